"""How the runs of a sweep stand: by architecture and initialisation, as they are stored or at the end.

Nothing is written and nothing set aside. Of each file it remembers the name, and of each row the best run.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np

from experiments.files import explained
from experiments.live import Live
from experiments.points import Architecture, Origin, Point, key
from experiments.spec import Spec, SpecError, make_spec
from experiments.store import Store, believed
from experiments.whole import opened
from sandbox.typing import Array, Scheme

MOST_POINTS = 10**6
"""Points that are listed, at most: so many take 0.4 GB."""
FINEST = 512
"""Values of a curve that are remembered, at most; more than a line of a terminal has."""


@dataclass(frozen=True)
class Best:
    """The run that ended at the lowest cost. curve: (values,), evenly from the first step to the last."""

    learning_rate: float
    seed: int
    curve: Array

    @classmethod
    def of(cls, learning_rate: float, seed: int, costs: Array) -> Self:
        """Of the costs at each step."""
        steps = np.linspace(0, len(costs) - 1, min(len(costs), FINEST)).round().astype(int)
        return cls(learning_rate, seed, costs[steps])

    @property
    def final(self) -> float:
        return float(self.curve[-1])


@dataclass
class Row:
    """Runs of one architecture and initialisation: how many there are, are stored, and diverged of these."""

    architecture: Architecture
    scheme: Scheme
    runs: int = 0
    done: int = 0
    diverged: int = 0
    best: Best | None = None

    def take(self, point: Point, diverged: bool, costs: Array) -> None:
        """One more that is stored."""
        self.done += 1
        self.diverged += diverged
        if not diverged and (self.best is None or costs[-1] < self.best.final):
            self.best = Best.of(point.learning_rate, point.seed, costs)


class Standing:
    """What is stored of these points, read as it comes: a file that was read once never changes."""

    def __init__(self, points: Sequence[Point], origin: Origin, store: Store) -> None:
        self.origin, self.store = origin, store
        self.missing, self.read_files = set(points), set[Path]()
        self._rows: dict[tuple[Architecture, Scheme], Row] = {}
        for point in points:
            self._row(point).runs += 1

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def read(self, seconds: float) -> bool:
        """Read what is new, for about so long at most; return whether that was all of it."""
        until = time.monotonic() + seconds
        for architecture in dict.fromkeys(row.architecture for row in self.rows):
            for file in self.store.files(self.origin, architecture):
                if file in self.read_files:
                    continue
                if time.monotonic() > until:
                    return False
                self.read_files.add(file)
                self._take(file)
        return True

    def _take(self, file: Path) -> None:
        stored = believed(file)
        if stored is None or stored.origin != self.origin:
            return
        diverged = stored.trained.diverged_at >= 0
        for point, gone, costs in zip(stored.points, diverged, stored.trained.cost_curve, strict=True):
            if point in self.missing:  # it may be stored twice
                self.missing.remove(point)
                self._row(point).take(point, bool(gone), costs)

    def _row(self, point: Point) -> Row:
        of = point.architecture, point.scheme
        return self._rows.setdefault(of, Row(*of))


def standing(live: Live, results: Path) -> Standing | None:
    """Of the sweep that left this; None where it does not know its runs yet, or has too many to be listed."""
    spec = spec_of(live)
    if spec is None or live.origin is None or spec.count > MOST_POINTS:
        return None
    return Standing(spec.points(), live.origin, Store(results))


def spec_of(live: Live) -> Spec | None:
    """None where it is one of another version."""
    try:
        return make_spec(json.loads(live.spec))
    except (SpecError, ValueError):
        return None


# --- at the end ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """What `results/NAME.h5` holds. spec: as JSON; first: the key of its first run; ended: UTC, ISO 8601."""

    file: Path
    rows: list[Row]
    stalled: int
    spec: str
    first: str
    ended: str

    def is_of(self, live: Live) -> bool:
        """Whether these are the results of the sweep that left this: its spec, on the same data and code,
        where it has said which."""
        spec = spec_of(live)
        if spec is None or self.spec != live.spec:
            return False
        return live.origin is None or self.first == key(next(iter(spec.points())), live.origin)


_ROW = ("depth", "width", "activation", "cost", "dtype", "scheme")
_OF_RUN = ("learning_rate", "seed", "steps", "diverged_at", "final_cost")


def finished(name: str, results: Path) -> Finished:
    """Raises StoreError where there is no such file, or one that cannot be believed."""
    file = results / f"{name}.h5"
    with opened(file) as content, explained("read", file, goes_on=False), h5py.File(content, "r") as runs:
        columns = {each: _values(runs[each]) for each in (*_ROW, *_OF_RUN)}
        rows = [
            _finished_row(of, numbers, columns, runs["cost_curve"]) for of, numbers in _alike(columns).items()
        ]
        stalled, ended = int((runs["stalled_at"][:] >= 0).sum()), str(runs.attrs["ended"])
        return Finished(file, rows, stalled, str(runs.attrs["spec"]), str(runs["key"].asstr()[0]), ended)


def _values(variable: h5py.Dataset) -> Array:
    return np.asarray(variable.asstr()[:] if variable.dtype.kind == "O" else variable[:])


def _alike(columns: Mapping[str, Array]) -> dict[tuple[Architecture, Scheme], list[int]]:
    """The numbers of the runs, by architecture and initialisation."""
    found: dict[tuple[Architecture, Scheme], list[int]] = {}
    for number, (*of, scheme) in enumerate(zip(*(columns[each].tolist() for each in _ROW), strict=True)):
        found.setdefault((Architecture(*of), scheme), []).append(number)
    return found


def _finished_row(
    of: tuple[Architecture, Scheme], numbers: list[int], columns: Mapping[str, Array], curves: h5py.Dataset
) -> Row:
    diverged = columns["diverged_at"][numbers] >= 0
    row = Row(*of, runs=len(numbers), done=len(numbers), diverged=int(diverged.sum()))
    if not diverged.all():
        best = numbers[int(np.nanargmin(columns["final_cost"][numbers]))]
        learning_rate, seed, steps = (
            columns[each][best].item() for each in ("learning_rate", "seed", "steps")
        )
        row.best = Best.of(learning_rate, seed, curves[best, : steps + 1])
    return row
