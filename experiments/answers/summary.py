"""What came of a sweep, in a few numbers: of the table of its runs and of its verdicts, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.dataset import ARCHITECTURE, RUN
from experiments.export import table
from sandbox.typing import Array

if TYPE_CHECKING:
    import pandas
    import xarray

WORDS = ("scheme", "activation", "cost", "dtype")
"""The columns of words, of which there are few different ones."""
ALIKE = tuple(name for name in RUN if name != "seed")
"""What runs have in common that differ in their seed alone."""
LINE = tuple(name for name in ALIKE if name != "learning_rate")
"""And those that differ in their learning rate, too."""
SHOWN = 12
"""So many values of an axis are listed, of more the number and the range."""


@dataclass(frozen=True)
class Spread:
    """The middle one of some values, the lowest and the highest; None where there are none."""

    median: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class Axis:
    """The different values of a column: how many, the first and the last in order; all, if they are few."""

    count: int
    first: object
    last: object
    values: list[object] | None


@dataclass(frozen=True)
class Best:
    """Of the runs of one depth and cost those that, alike but for their seed, have the lowest median of the
    final cost. A run that diverged counts as one of infinite cost in the median, and is left out of the rest.

    Attributes:
        of: depth, width, learning rate, ...
        runs: one for each seed.
        diverged: how many of them have; the median is None where that is half of them.
    """

    of: dict[str, object]
    runs: int
    diverged: int
    final_cost: Spread
    train_accuracy: Spread
    test_accuracy: Spread


@dataclass(frozen=True)
class Boundary:
    """Where runs begin to diverge, of those that are alike but for learning rate and seed.

    Attributes:
        of: depth, width, scheme, ...
        lowest_rate, highest_rate: of all.
        some_from: the lowest rate at which one diverged; None: none did.
        none_up_to: the highest rate below that one; None: there is none.
        none_at: the highest rate at which none did, where that is above one at which some did.
    """

    of: dict[str, object]
    runs: int
    diverged: int
    stalled: int
    lowest_rate: float
    highest_rate: float
    none_up_to: float | None
    some_from: float | None
    none_at: float | None


@dataclass(frozen=True)
class Ended:
    """Runs that diverged or stalled (`what`) for one reason, and at which steps."""

    what: str
    why: str
    runs: int
    step: Spread


@dataclass(frozen=True)
class Verified:
    """The verdicts on architectures of one dtype.

    Attributes:
        networks: how many were checked at each moment.
        unchecked: architectures with no network left to check at the end: all sampled runs had diverged.
        sigma_error: the largest error of a gradient, in units of its rounding noise.
        caught: the smallest error of a gradient, relative to the whole of it, that would have been caught
            wherever it was; None: no verdict says, as those of an earlier checker.
        coarsest: the gradient of which only that much would have been: output, layer, depth, width, ...
        checkers: revisions of the code that checked.
    """

    dtype: str
    architectures: int
    networks: dict[str, int]
    unchecked: int
    sigma_error: float | None
    caught: float | None
    coarsest: dict[str, object]
    checkers: list[str]


@dataclass(frozen=True)
class Summary:
    """What came of a sweep, or of some of its runs. `seconds`: of training, of these runs together."""

    runs: int
    diverged: int
    stalled: int
    seconds: float
    axes: dict[str, Axis]
    best: list[Best]
    boundaries: list[Boundary]
    ended: list[Ended]
    verified: list[Verified]


def frame(runs: xarray.Dataset) -> pandas.DataFrame:
    """A row a run: the columns of an exported table, and whether it diverged and stalled.

    Args:
        runs: of `experiments.dataset.load`; curves are not needed.
    """
    found = table(runs).astype(dict.fromkeys(WORDS, "category"))
    return found.assign(diverged=found["diverged_at"] >= 0, stalled=found["stalled_at"] >= 0)


def summary(rows: pandas.DataFrame, layers: xarray.Dataset, verdicts: xarray.Dataset) -> Summary:
    """Of some runs of a sweep.

    Args:
        rows: of `frame`, or some of them.
        layers, verdicts: these groups of the sweep's results, whole.
    """
    architectures = {tuple(values) for values in rows[list(ARCHITECTURE)].drop_duplicates().values.tolist()}
    return Summary(
        runs=len(rows), diverged=int(rows["diverged"].sum()), stalled=int(rows["stalled"].sum()),
        seconds=float(rows["seconds"].sum()), axes=axes(rows),
        best=list(_best(rows)), boundaries=list(_boundaries(rows)),
        ended=[*_diverged(rows), *_stalled(rows, layers)], verified=list(_verified(verdicts, architectures)),
    )  # fmt: skip


def axes(rows: pandas.DataFrame) -> dict[str, Axis]:
    """What the runs are, by column."""
    return {name: _axis(rows[name]) for name in RUN}


def plain(value: Any) -> Any:
    """For JSON, which knows no NaN and no infinity: these are None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def attributes(runs: xarray.Dataset) -> dict[str, Any]:
    """Those of the file, of which the spec and the versions are JSON: a list of what several calls had."""
    found = {str(name): plain(value) for name, value in runs.attrs.items()}
    found["spec"] = json.loads(found["spec"])
    several = [json.loads(each) for each in str(found.get("packages", "{}")).split("; ")]
    return found | {"packages": several[0] if len(several) == 1 else several}


# --- the runs -----------------------------------------------------------------------------------------


def _axis(column: pandas.Series[Any]) -> Axis:
    values = sorted(column.unique().tolist())
    first, last = (values[0], values[-1]) if values else (None, None)
    return Axis(len(values), first, last, values if len(values) <= SHOWN else None)


def _best(rows: pandas.DataFrame) -> Iterator[Best]:
    if rows.empty:
        return
    costs = rows["final_cost"].where(~rows["diverged"], np.inf)
    medians = costs.groupby([rows[name] for name in ALIKE], observed=True, sort=False).median().reset_index()
    lowest = medians.groupby(["cost", "depth"], observed=True)["final_cost"].idxmin()
    chosen = medians.loc[lowest]
    found = dict(
        list(rows.merge(chosen[list(ALIKE)], on=list(ALIKE)).groupby(["cost", "depth"], observed=True))
    )
    for of in chosen.to_dict("records"):
        alike = found[of["cost"], of["depth"]]
        median = of.pop("final_cost")
        spread = _spread(alike["final_cost"])
        yield Best(
            plain(of), len(alike), int(alike["diverged"].sum()),
            Spread(plain(median), spread.lowest, spread.highest),
            _spread(alike["train_accuracy"]), _spread(alike["test_accuracy"]),
        )  # fmt: skip


def _boundaries(rows: pandas.DataFrame) -> Iterator[Boundary]:
    if rows.empty:
        return
    line = list(LINE)
    of_rate = rows.groupby([*line, "learning_rate"], observed=True)["diverged"].any().reset_index()
    rates, of_line = of_rate["learning_rate"], [of_rate[name] for name in line]
    some_from = rates.where(of_rate["diverged"], np.inf).groupby(of_line, observed=True).transform("min")
    parts = {
        "lowest_rate": rates, "highest_rate": rates, "none_up_to": rates.where(rates < some_from),
        "some_from": some_from, "none_at": rates.where(~of_rate["diverged"] & (rates > some_from)),
    }  # fmt: skip
    found = of_rate[line].assign(**parts).groupby(line, observed=True).max()
    found["lowest_rate"] = rates.groupby(of_line, observed=True).min()
    counts = rows.groupby(line, observed=True)[["diverged", "stalled"]]
    found["runs"] = counts.size()
    found[["diverged", "stalled"]] = counts.sum()
    for each in found.reset_index().to_dict("records"):
        of = {name: each.pop(name) for name in line}
        yield Boundary(of=plain(of), **plain(each))


def _spread(values: pandas.Series[Any] | Array) -> Spread:
    some = np.asarray(values, float)
    some = some[~np.isnan(some)]
    if not some.size:
        return Spread(None, None, None)
    return Spread(float(np.median(some)), float(some.min()), float(some.max()))


# --- what ended early ---------------------------------------------------------------------------------


def _diverged(rows: pandas.DataFrame) -> Iterator[Ended]:
    steps = rows.loc[rows["diverged"], "diverged_at"].to_numpy()
    reasons = {
        "the cost of the initial parameters is not finite": steps == 0,
        "the cost is not finite, or above 1000 times the first (which of these is not stored)": steps > 0,
    }
    yield from _ended("diverged", steps, reasons)


def _stalled(rows: pandas.DataFrame, layers: xarray.Dataset) -> Iterator[Ended]:
    """Why no parameter changes by a bit, so far as the gradients say."""
    stalled = rows[rows["stalled"]]
    start, end = (
        np.sqrt(np.nansum(layers[f"gradient_norm_{moment}"].values[stalled.index.to_numpy()] ** 2, axis=1))
        for moment in ("start", "end")
    )
    none, costs = end == 0, stalled["final_cost"].to_numpy()
    reasons = {
        "every dW is 0, and so is the cost: all examples are fitted to the last bit": none & (costs == 0),
        "every dW is 0, as where all hidden units are dead or the outputs are saturated": none
        & (costs != 0),
        "the rate times the gradient changes no bit; the gradient is at least half of the first": ~none
        & (end >= start / 2),
        "the rate times the gradient changes no bit; the gradient is below half of the first": ~none
        & (end < start / 2),
    }  # fmt: skip
    yield from _ended("stalled", stalled["stalled_at"].to_numpy(), reasons)


def _ended(what: str, steps: Array, reasons: Mapping[str, Array]) -> Iterator[Ended]:
    for why, which in reasons.items():
        if which.any():
            yield Ended(what, why, int(which.sum()), _spread(steps[which]))


# --- the verdicts -------------------------------------------------------------------------------------


def _verified(verdicts: xarray.Dataset, architectures: set[tuple[object, ...]]) -> Iterator[Verified]:
    """Of these architectures, by dtype."""
    of = [
        tuple(plain(each))
        for each in zip(*(verdicts[name].values.tolist() for name in ARCHITECTURE), strict=True)
    ]
    concerned = np.array([each in architectures for each in of], bool)
    for dtype in np.unique(verdicts["dtype"].values[concerned]).tolist():
        yield _of_dtype(verdicts.isel(verdict=concerned & (verdicts["dtype"].values == dtype)), dtype)


def _of_dtype(verdicts: xarray.Dataset, dtype: str) -> Verified:
    moments, networks = verdicts["moment"].values, verdicts["networks"].values
    errors, kinds = verdicts["sigma_error"].values, len(np.unique(_architectures(verdicts)))
    caught, coarsest = _caught(verdicts)
    return Verified(
        dtype, kinds, {moment: int(networks[moments == moment].sum()) for moment in ("start", "end")},
        int((networks == 0).sum()), None if np.isnan(errors).all() else float(np.nanmax(errors)),
        caught, coarsest, sorted(set(verdicts["checker"].values.tolist())),
    )  # fmt: skip


def _architectures(verdicts: xarray.Dataset) -> list[str]:
    columns = (verdicts[name].values.tolist() for name in ARCHITECTURE)
    return [json.dumps(each) for each in zip(*columns, strict=True)]


def _caught(verdicts: xarray.Dataset) -> tuple[float | None, dict[str, object]]:
    """The largest of the smallest errors, and whose; None where no verdict says."""
    if "caught" not in verdicts or np.isnan(caught := verdicts["caught"].values).all():
        return None, {}
    verdict, layer, output = np.unravel_index(np.nanargmax(caught), caught.shape)
    which = verdicts.isel(verdict=verdict)
    of = {name: which[name].item() for name in ("depth", "width", "activation", "cost", "moment")}
    place = {"output": which["output"].values[output].item(), "layer": int(layer) + 1}
    return float(np.nanmax(caught)), {**place, **of}
