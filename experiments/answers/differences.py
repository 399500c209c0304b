"""Two sweeps, compared: what was asked for, what it was made with, and the runs that both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.answers.summary import attributes, plain
from experiments.dataset import RUN
from experiments.export import table
from sandbox.typing import Array

if TYPE_CHECKING:
    import pandas
    import xarray

MADE_WITH = (
    "data_sha256", "data_source", "data_preprocessing", "code_revision", "functions_revision", "git_revision",
    "python", "packages", "blas", "machine",
)  # fmt: skip
COMPARED = ("cost_curve", "final_cost", "train_accuracy", "test_accuracy", "diverged_at", "stalled_at")
BLOCK = 2**24  # numbers compared at a time


@dataclass(frozen=True)
class Gap:
    """How far a value is apart in two sweeps.

    Attributes:
        value: its name.
        runs: in how many it is.
        largest: relative to the larger one; None where one of the runs has the value and the other has not,
            since it diverged.
        of: the run in which that is; `step`: where in its curve.
        a, b: what it is there; None: nothing.
    """

    value: str
    runs: int
    largest: float | None
    of: dict[str, object]
    step: int | None
    a: float | None
    b: float | None


@dataclass(frozen=True)
class Agreement:
    """Runs that both sweeps have: how many, how many of them are alike bit for bit, and how those differ that
    are not."""

    runs: int
    alike: int
    gaps: list[Gap]


@dataclass(frozen=True)
class Differences:
    """Between two sweeps, A and B.

    Attributes:
        spec, made_with: what is not the same, and what it is in each.
        only_a, only_b: runs at points that the other has not.
        shared: the runs of the same key: point, data and code.
        others: those of the same point, with other data or code.
    """

    spec: dict[str, tuple[Any, Any]]
    made_with: dict[str, tuple[Any, Any]]
    only_a: int
    only_b: int
    shared: Agreement
    others: Agreement

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(
            self.spec or self.made_with or self.only_a or self.only_b or self.others.runs
            or self.shared.alike < self.shared.runs
        )  # fmt: skip


def differences(a: xarray.Dataset, b: xarray.Dataset) -> Differences:
    """Of two sweeps with their curves; their names and times do not count."""
    about_a, about_b = attributes(a), attributes(b)
    runs_a, runs_b = _numbered(a), _numbered(b)
    shared = runs_a[["key", "run"]].merge(runs_b[["key", "run"]], on="key", suffixes=("_a", "_b"))
    left_a = runs_a[~runs_a["run"].isin(shared["run_a"])]
    left_b = runs_b[~runs_b["run"].isin(shared["run_b"])]
    others = left_a.merge(left_b, on=list(RUN), suffixes=("_a", "_b"))
    return Differences(
        _unlike(about_a["spec"], about_b["spec"], without="name"),
        _unlike(_flat(about_a), _flat(about_b)),
        len(left_a) - len(others), len(left_b) - len(others),
        _agreement(a, b, shared), _agreement(a, b, others),
    )  # fmt: skip


def _numbered(runs: xarray.Dataset) -> pandas.DataFrame:
    found = table(runs)[["key", *RUN]]
    return found.assign(run=np.arange(len(found)))


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a sweep was made with, each package by itself."""
    made = {name: about.get(name) for name in MADE_WITH}
    packages = made.pop("packages")
    return made | (packages if isinstance(packages, dict) else {"packages": packages})


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any], without: str = "") -> dict[str, tuple[Any, Any]]:
    names = [name for name in {**a, **b} if name != without]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def _agreement(a: xarray.Dataset, b: xarray.Dataset, pairs: pandas.DataFrame) -> Agreement:
    rows = pairs["run_a"].to_numpy(), pairs["run_b"].to_numpy()
    unlike, gaps = np.zeros(len(pairs), bool), []
    for name in COMPARED:
        apart, steps = _apart(a[name].values, b[name].values, *rows)
        unlike |= apart > 0
        if (apart > 0).any():
            gaps.append(_gap(a, b, name, apart, steps, rows))
    return Agreement(len(pairs), int((~unlike).sum()), gaps)


def _apart(a: Array, b: Array, rows_a: Array, rows_b: Array) -> tuple[Array, Array]:
    """Of each pair the largest relative difference, infinite where one is NaN and the other is not, and at
    which step that is."""
    if a.ndim == 1:
        a, b = a[:, None], b[:, None]
    common = min(a.shape[1], b.shape[1])  # after that both are NaN: runs of one point are equally long
    found = np.zeros((2, len(rows_a)))
    for block in _blocks(len(rows_a), common):
        x, y = a[rows_a[block], :common], b[rows_b[block], :common]
        with np.errstate(all="ignore"):
            apart = np.abs(x - y) / np.maximum(np.abs(x), np.abs(y))
        apart[(x == y) | (np.isnan(x) & np.isnan(y))] = 0
        apart[np.isnan(x) != np.isnan(y)] = np.inf
        found[:, block] = apart.max(axis=1), apart.argmax(axis=1)
    return found[0], found[1].astype(int)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    size = max(BLOCK // columns, 1)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def _gap(
    a: xarray.Dataset, b: xarray.Dataset, name: str, apart: Array, steps: Array, rows: tuple[Array, Array]
) -> Gap:
    worst = int(apart.argmax())
    run_a, run_b, step = int(rows[0][worst]), int(rows[1][worst]), int(steps[worst])
    place = (step,) if a[name].ndim > 1 else ()
    return Gap(
        name, int((apart > 0).sum()), plain(float(apart[worst])),
        plain({each: a[each].values[run_a] for each in RUN}),
        step if place else None,
        plain(a[name].values[(run_a, *place)]), plain(b[name].values[(run_b, *place)]),
    )  # fmt: skip
