"""The runs that would sharpen what a sweep has found: of learning rates halfway between neighbouring ones."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.lists.kinds import COLUMNS
from experiments.lists.ranges import DIGITS, rounded
from experiments.points import Architecture, Point
from experiments.spec import LISTED, Listing, Spec, make_spec

if TYPE_CHECKING:
    import xarray

FINEST = {"float64": 1e-5, "float32": 1e-4}
"""Neighbouring learning rates that differ by less, as a part of them, are near enough."""


@dataclass(frozen=True)
class Line:
    """Runs that differ in learning rate and seed alone, by these: the final cost, infinite where diverged."""

    of: Point
    costs: dict[float, dict[int, float]]

    @property
    def rates(self) -> list[float]:
        return sorted(self.costs)

    @property
    def finest(self) -> float:
        return FINEST[self.of.architecture.dtype]

    def is_fine(self, low: float, high: float) -> bool:
        """Whether these rates are near enough."""
        return high < low * (1 + self.finest)

    def at(self, rate: float) -> list[float]:
        """The costs at this rate, of all seeds."""
        return [*self.costs[rate].values()]

    def between(self, low: float, high: float) -> list[Point]:
        """A run halfway for each seed at one of the two."""
        rate = rounded(math.sqrt(low) * math.sqrt(high), DIGITS[self.of.architecture.dtype])
        seeds = sorted({*self.costs[low], *self.costs[high]})
        a = self.of
        return [Point(a.architecture, a.scheme, rate, seed, a.steps) for seed in seeds]


@dataclass(frozen=True)
class Found:
    """What was found of a line.

    Attributes:
        what: it is, in words; empty where there is nothing of the kind.
        points: that would sharpen it.
        why: there are none, or not on both sides; empty where there are.
    """

    what: str
    points: list[Point]
    why: str = ""


def lines(runs: "xarray.Dataset") -> dict[Point, Line]:
    """The lines of a name's runs, in their order, each by a point with neither rate nor seed."""
    columns = [runs[column].values.tolist() for column in COLUMNS]
    costs = np.where(runs["diverged_at"] >= 0, np.inf, runs["final_cost"]).tolist()
    found: defaultdict[Point, defaultdict[float, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for activation, cost, depth, width, dtype, scheme, rate, seed, steps, final in zip(
        *columns, costs, strict=True
    ):
        architecture = Architecture(depth, width, activation, cost, dtype)
        found[Point(architecture, scheme, 0.0, 0, steps)][rate][seed] = final
    return {of: Line(of, dict(of_line)) for of, of_line in found.items()}


def boundary(line: Line) -> Found:
    """Between the largest rate at which no run diverged, of those whose next one has a run that did, and
    that."""
    diverged = [math.inf in line.at(rate) for rate in line.rates]
    pairs = zip(itertools.pairwise(line.rates), itertools.pairwise(diverged), strict=True)
    gaps = [gap for gap, (below, above) in pairs if above and not below]
    if not any(diverged):
        return Found("", [], "no run diverged; sweep larger learning rates, too")
    if all(diverged):
        return Found("", [], "at every learning rate a run diverged; sweep smaller ones, too")
    if not gaps:
        return Found("", [], "runs diverged at the smallest learning rates alone; sweep smaller ones, too")
    low, high = gaps[-1]
    what = f"{low:.6g} to {high:.6g}"
    if line.is_fine(low, high):
        return Found(what, [], f"it is known to a part of {line.finest:g}, which is near enough")
    return Found(what, line.between(low, high))


def best(line: Line) -> Found:
    """On both sides of the rate with the lowest median of the final cost."""
    rates = line.rates
    medians = [float(np.median(line.at(rate))) for rate in rates]
    lowest = min(range(len(rates)), key=medians.__getitem__)
    if math.isinf(medians[lowest]):
        return Found("", [], "at every learning rate half of the runs diverged; sweep smaller ones, too")
    beside = rates[max(lowest - 1, 0) : lowest + 2]
    gaps = [(low, high) for low, high in itertools.pairwise(beside) if not line.is_fine(low, high)]
    points = [point for low, high in gaps for point in line.between(low, high)]
    what = f"{rates[lowest]:.6g} (cost {medians[lowest]:.6g})"
    if lowest in (0, len(rates) - 1):
        end = "smallest" if lowest == 0 else "largest"
        return Found(what, points, f"the best is the {end} learning rate; sweep {end[:-2]}r ones, too")
    return Found(
        what, points, "" if points else f"it is known to a part of {line.finest:g}, which is near enough"
    )


FINDERS: dict[str, Callable[[Line], Found]] = {"boundary": boundary, "best": best}
"""What can be refined."""


def grown(spec: Spec, points: Iterable[Point]) -> Spec:
    """The spec with these runs as well: in a union, the last part of which lists them, and grows."""
    *parts, last = (_fields(part) for part in spec.parts)
    more = dict(zip(COLUMNS, zip(*map(_row, points), strict=True), strict=True))
    if set(last) == {"points"}:
        columns = last["points"]
        more = {column: (*columns[column], *more[column]) for column in COLUMNS}
    else:
        parts.append(last)
    others = {field: value for field, value in spec.model_dump().items() if field not in (*LISTED, "union")}
    return make_spec({**others, "union": [*parts, {"points": more}]})


def _fields(part: Listing) -> dict[str, dict[str, tuple[object, ...]]]:
    return {field: value for field, value in part.model_dump().items() if field in LISTED}


def _row(point: Point) -> tuple[object, ...]:
    """In the order of COLUMNS."""
    a = point.architecture
    of_run = point.scheme, point.learning_rate, point.seed, point.steps
    return a.activation, a.cost, a.depth, a.width, a.dtype, *of_run
