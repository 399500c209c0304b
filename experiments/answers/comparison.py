"""In what two sweeps differ, in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from experiments.answers.differences import Agreement, Differences
from experiments.answers.tables import runs_of, table_of, value_of
from experiments.sentences import escaped, shown

WIDEST = 60  # characters of a value


def compared(found: Differences, a: str, b: str) -> Iterator[RenderableType]:
    """In what two sweeps differ."""
    if not found:
        yield Text(f"{a} and {b} are alike: {runs_of(found.shared.runs)}, bit for bit")
        return
    for title, pairs in (("spec", found.spec), ("made with", found.made_with)):
        if pairs:
            table = table_of([title, a, b])
            for name, values in pairs.items():
                table.add_row(name, *map(_cell, values))
            yield table
            yield ""
    yield Text(f"runs     {found.only_a} of {a} alone, {found.only_b} of {b} alone")
    yield from _agreement("of both", found.shared)
    yield from _agreement("of both, with other data or code", found.others)


def _agreement(which: str, of: Agreement) -> Iterator[RenderableType]:
    if not of.runs:
        return
    yield Text(f"         {of.runs} {which}: {of.alike} alike bit for bit")
    for gap in of.gaps:
        place = ", ".join(f"{name} {value_of(value)}" for name, value in gap.of.items())
        step = "" if gap.step is None else f", step {gap.step}"
        apart = "one of them has none" if gap.largest is None else f"at most {gap.largest:.2g} of it"
        yield Text(
            f"         {gap.value} of {gap.runs}, {apart}: {_number(gap.a)} and {_number(gap.b)} "
            f"({place}{step})"
        )


def _cell(value: object) -> str:
    text = escaped(shown(value))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _number(value: float | None) -> str:
    return "none" if value is None else repr(value)
