"""A group of runs, trained: points in, results out, and nothing else; what a worker imports. NumPy alone."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from experiments.own import Own
from experiments.points import Architecture, Point
from experiments.training import Chunk, Examples, Step, accuracy, initial_parameters, steps_of
from sandbox.typing import Array, Parameters

LARGEST_CHUNK = 8
CACHE = 2**20
"""Bytes of the cache that a core has for itself, about."""

Progress = Callable[[int, int], None]
"""Told of the steps of all runs done since the last call, and of the runs found diverged since. The steps
that a run need not take, since it diverged, stalled or goes on from a shorter one, count as done."""


@dataclass(frozen=True)
class Trained:
    """What became of the runs; the first axis of every array is the runs, in the order of the points.

    Attributes:
        cost_curve: (runs, steps + 1) float64, nats per example (cross-entropy), before each step and after
            the last; NaN from `diverged_at` on.
        diverged_at: (runs,) int64, the step at which the run was found diverged; -1: it did not diverge.
        stalled_at: (runs,) int64, the step from which on no parameter changes by a bit; -1: they all change
            to the end. Every later step is the same, and none was computed: the curve is constant.
        train_accuracy, test_accuracy: (runs,) fractions; NaN for diverged runs.
        seconds: (runs,) wall time, of all steps so far.
        gradient_norm_start, gradient_norm_end: (runs, L), Frobenius norm of dW[l] before the first step and
            after the last; the end is NaN for diverged runs.
        kept: (kept,) int64, the runs whose final parameters are here: those asked for that did not diverge.
        parameters: W{l} (kept, n_l, n_{l-1}) and b{l} (kept, n_l, 1).
    """

    cost_curve: Array
    diverged_at: Array
    stalled_at: Array
    train_accuracy: Array
    test_accuracy: Array
    seconds: Array
    gradient_norm_start: Array
    gradient_norm_end: Array
    kept: Array
    parameters: Parameters

    @property
    def steps(self) -> int:
        return int(self.cost_curve.shape[1]) - 1


@dataclass(frozen=True)
class Common:
    """What all groups of a sweep train with.

    Attributes:
        examples: in each dtype.
        own: the user's functions, which train in place of the sandbox's.
    """

    examples: Mapping[str, Examples]
    own: Own | None = None


@dataclass(frozen=True)
class Group:
    """Points of one architecture and one number of steps.

    Attributes:
        keep: of each point, whether its final parameters are to come back.
        start: what became of the same points after fewer steps, to go on from. A run whose parameters are
            not there, and which has neither diverged nor stalled, trains anew.
    """

    points: tuple[Point, ...]
    keep: tuple[bool, ...]
    start: Trained | None = None


def run_group(group: Group, common: Common, progress: Progress) -> Trained:
    """Train the points of a group.

    The results, but for the seconds, are the same bit for bit however runs are grouped and ordered, and
    whether they go on from a shorter run or train anew.

    Raises:
        ValueError: the points differ in architecture or steps, or `keep` or `start` does not fit them.
    """
    _check(group)
    architecture = group.points[0].architecture
    examples = common.examples[architecture.dtype]
    steps, at_once = _steps(common, architecture)
    parts = []
    if group.start is not None and (settled := _settled(group)).size:
        parts.append((settled, _extended(group, settled)))
        progress(len(settled) * group.points[0].steps, int(np.sum(group.start.diverged_at >= 0)))
    for first, runs in _unfinished(group):
        for i in range(0, len(runs), at_once):
            some = runs[i : i + at_once]
            parts.append((some, _trained(group, some, first, examples, steps, progress)))
    return _joined(parts)


def chunk_size(architecture: Architecture, examples: Examples) -> int:
    """How many networks to train side by side: as many as the cache holds the activations of."""
    of_one = architecture.depth * architecture.width * examples.m * examples.X_train.itemsize
    return int(np.clip(CACHE // of_one, 1, LARGEST_CHUNK))


def _check(group: Group) -> None:
    kinds = {(point.architecture, point.steps) for point in group.points}
    if len(kinds) != 1:
        raise ValueError(
            f"points have {len(kinds)} pairs of architecture and steps, expected one; make a group of each."
        )
    count, start = len(group.points), group.start
    if len(group.keep) != count:
        raise ValueError(f"keep has {len(group.keep)} entries, expected {count}, one for each point.")
    if start is not None and (len(start.cost_curve) != count or start.steps > group.points[0].steps):
        raise ValueError(
            f"start has {len(start.cost_curve)} runs of {start.steps} steps, expected {count} runs of at "
            f"most {group.points[0].steps} steps."
        )


# --- where each run starts ------------------------------------------------------------------


def _settled(group: Group) -> Array:
    """The runs of which `start` says all: diverged, or stalled with what is to be kept of them there."""
    assert group.start is not None
    start, keep = group.start, np.array(group.keep)
    known = ~keep | np.isin(np.arange(len(keep)), start.kept)
    return np.flatnonzero((start.diverged_at >= 0) | ((start.stalled_at >= 0) & known))


def _extended(group: Group, runs: Array) -> Trained:
    """These settled runs of `start`, with more steps."""
    assert group.start is not None
    start = _part(group.start, runs)
    more = group.points[0].steps - start.steps
    wanted = np.array(group.keep, bool)[runs[start.kept]]
    return replace(
        start,
        cost_curve=np.pad(start.cost_curve, ((0, 0), (0, more)), "edge"),
        kept=start.kept[wanted],
        parameters={key: value[wanted] for key, value in start.parameters.items()},
    )


def _unfinished(group: Group) -> Iterator[tuple[int, Array]]:
    """The runs that train, by the step at which they start."""
    runs = np.arange(len(group.points))
    if group.start is None:
        yield 0, runs
        return
    runs = np.setdiff1d(runs, _settled(group))
    goes_on = np.isin(runs, group.start.kept)
    yield group.start.steps, runs[goes_on]
    yield 0, runs[~goes_on]


# --- one chunk ------------------------------------------------------------------------------

_OfNetworks = Callable[[int], Step]
_Steps = Callable[[Sequence[Point], int], tuple[_OfNetworks, _OfNetworks]]
"""Those of runs, from a step of theirs on: on training and on test examples."""


def _steps(common: Common, architecture: Architecture) -> tuple[_Steps, int]:
    """The steps, and how many networks are trained side by side."""
    examples = common.examples[architecture.dtype]
    parts = (examples.X_train, examples.Y_train), (examples.X_test, examples.Y_test)
    if (own := common.own) is not None:
        from experiments.own_step import own_steps  # reads files, which no other step needs

        def of_own(runs: Sequence[Point], first: int) -> tuple[_OfNetworks, _OfNetworks]:
            train, test = (own_steps(own, runs[0], first, X, Y) for X, Y in parts)
            return train, test

        return of_own, 1
    train, test = (steps_of(architecture, X, Y) for X, Y in parts)
    return lambda runs, first: (train, test), chunk_size(architecture, examples)


def _trained(
    group: Group, runs: Array, first: int, examples: Examples, steps: _Steps, progress: Progress
) -> Trained:
    """Train these runs side by side, from step `first`."""
    began = time.perf_counter()
    points = [group.points[run] for run in runs]
    dtype, last = points[0].architecture.dtype, points[0].steps
    rates = np.array([point.learning_rate for point in points], dtype)
    start = _part(group.start, runs) if first and group.start is not None else None
    chunk = Chunk(rates, np.full((len(runs), last + 1), np.nan), first)
    if start is not None:
        chunk.cost_curve[:, : first + 1] = start.cost_curve
        progress(first * len(runs), 0)
    initial = initial_parameters(points, examples.n_0) if start is None else start.parameters
    chunk.train(initial, steps(points, first)[0], progress)
    accuracies = _accuracies(chunk, examples, steps(points, last))
    taken = chunk.taken / chunk.taken.sum() if chunk.taken.any() else np.full(len(runs), 1 / len(runs))
    kept = np.array([i for i in chunk.final if group.keep[runs[i]]], np.int64)
    return Trained(
        cost_curve=chunk.cost_curve,
        diverged_at=chunk.diverged_at,
        stalled_at=chunk.stalled_at,
        train_accuracy=accuracies[0],
        test_accuracy=accuracies[1],
        seconds=(time.perf_counter() - began) * taken + (0 if start is None else start.seconds),
        gradient_norm_start=chunk.gradient_norm_start if start is None else start.gradient_norm_start,
        gradient_norm_end=chunk.gradient_norm_end,
        kept=kept,
        parameters={
            key: _stack([chunk.final[i][key] for i in kept], value) for key, value in initial.items()
        },
    )


def _accuracies(chunk: Chunk, examples: Examples, steps_of: tuple[_OfNetworks, _OfNetworks]) -> Array:
    """On training and test examples, (2, runs)."""
    accuracies = np.full((2, len(chunk.learning_rates)), np.nan)
    if runs := list(chunk.final):
        keys = chunk.final[runs[0]]
        final = {key: np.stack([chunk.final[run][key] for run in runs]) for key in keys}
        for of, Y, step_of in zip(accuracies, (examples.Y_train, examples.Y_test), steps_of, strict=True):
            of[runs] = accuracy(final, Y, step_of)
    return accuracies


def _stack(arrays: list[Array], like: Array) -> Array:
    return np.stack(arrays) if arrays else like[:0]


# --- parts and wholes -----------------------------------------------------------------------


def _part(trained: Trained, runs: Array) -> Trained:
    """These of the runs, in this order."""
    at = {run: i for i, run in enumerate(trained.kept.tolist())}
    kept = [i for i, run in enumerate(runs.tolist()) if run in at]
    parameters = {key: value[[at[runs[i]] for i in kept]] for key, value in trained.parameters.items()}
    of_all = {name: getattr(trained, name)[runs] for name in _OF_ALL}
    return Trained(**of_all, kept=np.array(kept, np.int64), parameters=parameters)


def _joined(parts: list[tuple[Array, Trained]]) -> Trained:
    """Parts, and which of the runs they are, as one in the order of the runs."""
    runs = np.concatenate([some for some, _ in parts])
    order, kept = np.argsort(runs), np.concatenate([some[part.kept] for some, part in parts])
    of_kept = np.argsort(kept)
    whole = {name: np.concatenate([getattr(part, name) for _, part in parts])[order] for name in _OF_ALL}
    parameters = {
        key: np.concatenate([part.parameters[key] for _, part in parts])[of_kept]
        for key in parts[0][1].parameters
    }
    return Trained(**whole, kept=kept[of_kept], parameters=parameters)


_OF_ALL = [f.name for f in fields(Trained) if f.name not in ("kept", "parameters")]
