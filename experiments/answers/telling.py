"""What came of a sweep, as a terminal shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from experiments.answers.inventory import Disk
from experiments.answers.summary import Axis, Best, Boundary, Ended, Spread, Summary, Verified
from experiments.answers.tables import SHORT, in_time, moment, table_of, value_of
from experiments.machine import in_words
from experiments.sentences import escaped
from sandbox.verifier.rows import rounded_up, sigmas

if TYPE_CHECKING:
    import pandas

MOST_LINES = 40  # of a table in a terminal
HASH = "[0-9a-f]{40}"
PACKAGES = ("numpy", "jax", "autodiff-sandbox")
HIDDEN = ("diverged_at", "stalled_at", "diverged", "stalled", "key")
"""Columns of which the table of runs says the same in another one, or nothing that one would read."""


def told(
    summary: Summary, attributes: dict[str, Any], file: Path, disk: Disk, *, of: int, shortened: bool
) -> Iterator[RenderableType]:
    """The summary of a file.

    Args:
        of: how many runs the file has.
        shortened: whether long tables are.
    """
    yield from _lines(_about(summary, attributes, file, of))
    if not summary.runs:
        return
    limit = MOST_LINES if shortened else None
    varying = [name for name, axis in summary.axes.items() if axis.count > 1]
    yield from _part(
        "Best of each depth: lowest median over seeds of the final cost (lowest to highest)",
        _best(summary.best, varying), limit,
    )  # fmt: skip
    yield from _part("Learning rates at which runs diverge", _boundaries(summary.boundaries, varying), limit)
    yield ""
    yield from _lines([("ended early", _ended(each)) for each in summary.ended])
    yield from _lines([("verified", line) for each in summary.verified for line in _verified(each)])
    yield from _lines(_spent(summary, attributes, file, disk))


def runs_table(rows: pandas.DataFrame, hidden: Sequence[str] = HIDDEN) -> str:
    """A line a run, its number first; columns whose values are all the same are left out."""
    ended = [
        f"diverged at {diverged}" if diverged >= 0 else f"stalled at {stalled}" if stalled >= 0 else ""
        for diverged, stalled in zip(rows["diverged_at"], rows["stalled_at"], strict=True)
    ]
    shown = rows.drop(columns=list(hidden)).assign(ended=ended)
    alike = [name for name in shown.columns[:-1] if len(rows) > 1 and shown[name].nunique(dropna=False) == 1]
    shown = shown.drop(columns=alike)
    if not any(ended):
        shown = shown.drop(columns="ended")
    shown.index.name = None
    lines = shown.to_string(na_rep="", float_format="{:.6g}".format).splitlines()
    return "\n".join(line.rstrip() for line in lines)


# --- lines --------------------------------------------------------------------------------------------


def _lines(entries: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """Words after their heading, which is not said twice."""
    before = ""
    for heading, words in entries:
        yield Text(f"{'' if heading == before else heading:<14} {escaped(words)}".rstrip())
        before = heading


def _about(summary: Summary, attributes: dict[str, Any], file: Path, of: int) -> Iterator[tuple[str, str]]:
    some = "" if summary.runs == of else f" of {of}"
    ends = f"{summary.diverged} diverged, {summary.stalled} stalled" if summary.runs else "which are"
    yield "results", str(file)
    yield "runs", f"{summary.runs}{some}, {ends}"
    for name, axis in summary.axes.items():
        yield name, _axis(axis)
    data, git = attributes["data_sha256"][:SHORT], str(attributes["git_revision"])
    yield "data", f"{attributes['data_source']}; {attributes['data_preprocessing']}; hash {data}"
    yield "functions", _functions(attributes)
    yield "made", f"{moment(attributes['started'])} to {moment(attributes['ended'])} UTC"
    yield "", f"code {attributes['code_revision'][:SHORT]}, git {re.sub(HASH, _shortened, git)}"
    packages = attributes["packages"]
    for each in packages if isinstance(packages, list) else [packages]:
        yield (
            "",
            ", ".join([f"Python {attributes['python']}", *(f"{p} {each.get(p, '?')}" for p in PACKAGES)]),
        )
    yield "", f"{attributes['machine']}; {attributes['blas']}"


def _functions(attributes: dict[str, Any]) -> str:
    if "functions" not in attributes:
        return "the sandbox's own"
    revision = attributes["functions_revision"][:SHORT]
    return f"{attributes['functions_written']} of {attributes['functions']}; hash {revision}"


def _shortened(found: re.Match[str]) -> str:
    return found[0][:SHORT]


def _axis(axis: Axis) -> str:
    if axis.values is not None:
        return ", ".join(map(value_of, axis.values))
    return f"{axis.count} from {value_of(axis.first)} to {value_of(axis.last)}"


def _verified(of: Verified) -> Iterator[str]:
    networks = " and ".join(f"{count} at the {moment}" for moment, count in of.networks.items())
    yield f"{of.architectures} architecture{'s' * (of.architectures != 1)} in {of.dtype}, {networks} checked"
    if of.sigma_error is not None:
        yield f"largest error of a gradient {sigmas(of.sigma_error)} of its rounding"
    if of.caught is not None:
        place = of.coarsest
        yield (
            f"would have caught an error of {rounded_up(of.caught)} of {place['output']} of layer "
            f"{place['layer']} (depth {place['depth']}, width {place['width']}) or any other as a whole"
        )
    else:
        yield "what it would have caught is not known"
    if of.unchecked:
        yield f"{of.unchecked} without a network to check at the end: all those sampled had diverged"
    yield f"by checker {', '.join(each[:SHORT] for each in of.checkers)}"


def _spent(summary: Summary, attributes: dict[str, Any], file: Path, disk: Disk) -> Iterator[tuple[str, str]]:
    began, ended = (datetime.fromisoformat(attributes[name]) for name in ("started", "ended"))
    whole = (ended - began).total_seconds()
    between = f"{in_time(whole)} from the start of the first to the end of the last"
    yield "time", f"{in_time(summary.seconds)} of training, of one core; {between}"
    beside = f"{in_words(disk.runs)} in {disk.files} files of runs and verdicts, which names share"
    yield "disk", f"{in_words(disk.file)} in {file.name}; {beside if disk.files else 'no runs beside it'}"


# --- tables -------------------------------------------------------------------------------------------


def _part(title: str, table: Table, limit: int | None) -> Iterator[RenderableType]:
    yield ""
    yield Text(title)
    rows = table.row_count
    if limit is not None and rows > limit:
        yield _first(table, limit)
        yield Text(f"and {rows - limit} more lines: --all shows them, --json has them")
    else:
        yield table


def _first(table: Table, rows: int) -> Table:
    shown = table_of([str(column.header) for column in table.columns])
    for cells in zip(*(list(column.cells)[1 : rows + 1] for column in table.columns), strict=True):
        shown.add_row(*cells)
    return shown


def _best(best: Sequence[Best], varying: Sequence[str]) -> Table:
    names = _columns(varying)
    table = table_of([*map(_heading, names), "seeds", "final cost", "test accuracy"])
    for each in best:
        seeds = f"{each.runs}, {each.diverged} diverged" if each.diverged else str(each.runs)
        table.add_row(*_cells(each.of, names), seeds, _spread(each.final_cost), _middle(each.test_accuracy))
    return table


def _boundaries(boundaries: Sequence[Boundary], varying: Sequence[str]) -> Table:
    names = [name for name in _columns(varying) if name != "learning_rate"]
    table = table_of([*names, "runs", "diverged", "stalled", "none up to", "some from", ""])
    for each in boundaries:
        table.add_row(
            *_cells(each.of, names), str(each.runs), str(each.diverged), str(each.stalled),
            "-" if each.none_up_to is None else value_of(each.none_up_to),
            "not reached" if each.some_from is None else value_of(each.some_from),
            "" if each.none_at is None else f"and none at {value_of(each.none_at)}",
        )  # fmt: skip
    return table


def _ended(ended: Ended) -> str:
    return f"{ended.runs} {ended.what} at step {_spread(ended.step)}: {ended.why}"


def _columns(varying: Sequence[str]) -> list[str]:
    """What a table says of its runs: the depth, and what is not the same of all."""
    return ["depth", *(name for name in varying if name not in ("depth", "seed"))]


def _cells(of: dict[str, object], names: Sequence[str]) -> list[str]:
    return [value_of(of[name]) for name in names]


def _heading(name: str) -> str:
    return "rate" if name == "learning_rate" else name


def _middle(of: Spread) -> str:
    return "diverged" if of.median is None else f"{of.median:.3g}"


def _spread(of: Spread) -> str:
    median = _middle(of)
    if of.lowest is None or of.lowest == of.highest == of.median:
        return median
    return f"{median} ({of.lowest:.3g} to {of.highest:.3g})"
