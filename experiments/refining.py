"""The verb refine: points that would sharpen the results of a name, found and run under the same name."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from experiments.dataset import has_parameters, load
from experiments.exits import exit_codes
from experiments.files import StoreError
from experiments.lists.kinds import refused
from experiments.points import Point
from experiments.refinement import FINDERS, Found, grown, lines
from experiments.sentences import nearest
from experiments.spec import Spec, make_spec
from experiments.sweep import plan
from experiments.sweeping import (
    Dask,
    DryRun,
    How,
    Jobs,
    Name,
    Quiet,
    Results,
    named,
    plan_in_words,
    sweep,
    warnings_in_a_line,
)

if TYPE_CHECKING:
    import xarray


@exit_codes(goes_on=True)
def refine(
    name: Name,
    of: Annotated[
        str, Option(help="boundary: where runs begin to diverge; best: the neighbours of the best rate.")
    ] = "boundary",
    results: Results = Path("results"),
    jobs: Jobs = None,
    dask: Dask = None,
    keep_parameters: Annotated[
        bool, Option("--keep-parameters", help="Store final parameters, also where the sweep did not.")
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train the points that sharpen what a finished sweep has found, under its name.

    Among runs that differ in learning rate and seed alone: halfway, on a log scale, between the largest
    learning rate at which none diverged and the next; with --of best, between the best one and its two
    neighbours. Each time the gap is half as wide.

    Examples: autodiff-sandbox refine main; autodiff-sandbox refine main --of best --dry-run
    """
    if of not in FINDERS:
        raise refused("--of", of, f"expected 'boundary' or 'best'{nearest(of, FINDERS)}")
    name, results = named(name, results)
    with warnings_in_a_line():
        before = load(name, results, curves=False)
        kept = has_parameters(name, results)
        keep = kept or keep_parameters
        spec = make_spec({**json.loads(before.attrs["spec"]), "name": name})
        _check_current(spec, before, results, kept)
        found = _found(before, of)
        points = [point for each in found.values() for point in each.points]
        if points and dry_run:
            there = plan(grown(spec, points), results, jobs=jobs, keep_parameters=keep, dask=dask)
            print(plan_in_words(there))
        elif points:
            sweep(grown(spec, points), How(results, jobs, keep, quiet, dask))
        after = _found(load(name, results, curves=False), of) if points and not dry_run else {}
    for line in [] if quiet else _table(of, found, after):
        print(line)


def _check_current(spec: Spec, runs: "xarray.Dataset", results: Path, kept: bool) -> None:
    """Refuse where the stored runs are not those that the same spec would have today."""
    done, there = plan(spec, results, keep_parameters=kept).done, runs.sizes["run"]
    if done < there:
        raise StoreError(
            f"results: {there - done} of {there} runs of {spec.name!r} are of other data, functions or "
            "revision of the code, or no longer stored, expected none; run its sweep again first."
        )


def _found(runs: "xarray.Dataset", of: str) -> dict[Point, Found]:
    return {line: FINDERS[of](found) for line, found in lines(runs).items()}


# --- in words -----------------------------------------------------------------------------------------


def _table(of: str, before: Mapping[Point, Found], after: Mapping[Point, Found]) -> list[str]:
    """What was found, before and after, a row a line, and why there is nothing to do where there is not."""
    names = _columns([*before])
    sharpened = {line: found for line, found in before.items() if found.points}
    rows = [
        (*(str(_value(line, name)) for name in names), found.what, _halfway(found), *_after(line, after))
        for line, found in sharpened.items()
    ]
    heads = (*names, of, "new rates", *(["now"] if after else []))
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (heads, *rows)] if rows else []
    return [*table, *_reasons(before, names)]


def _columns(lines: Sequence[Point]) -> list[str]:
    """Depth and scheme, and what else differs."""
    every = ("depth", "width", "scheme", "activation", "cost", "dtype", "steps")
    return [
        name
        for name in every
        if name in ("depth", "scheme") or len({_value(line, name) for line in lines}) > 1
    ]


def _value(line: Point, name: str) -> object:
    return getattr(line if hasattr(line, name) else line.architecture, name)


def _halfway(found: Found) -> str:
    return ", ".join(f"{rate:.6g}" for rate in sorted({point.learning_rate for point in found.points}))


def _after(line: Point, after: Mapping[Point, Found]) -> list[str]:
    return [after[line].what] if after else []


def _reasons(found: Mapping[Point, Found], names: Sequence[str]) -> list[str]:
    """A sentence for each reason."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for line, each in found.items():
        if each.why:
            alike[each.why].append(" ".join(f"{name} {_value(line, name)}" for name in names))
    return [f"{_some(places)}: {why}." for why, places in alike.items()]


def _some(places: Sequence[str]) -> str:
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return "; ".join(places[:4]) + more
