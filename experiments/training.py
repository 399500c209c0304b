"""One chunk of runs: full-batch gradient descent on a few networks, with the verified step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sandbox import (
    L_model_backward,
    L_model_forward,
    compute_cost_from_logits,
    initialize_parameters_deep,
    update_parameters,
)
from sandbox.network.workspace import Workspace, batch, block_size, is_possible
from sandbox.typing import Array, Gradients, Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.data import Dataset
    from experiments.points import Architecture, Point

DIVERGENCE_FACTOR = 1e3
"""A run has diverged when its cost is not finite or above this many times its initial cost."""


# --- what is read ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """What training reads, in the runs' dtype. X: (n_0, m). Y: (1, m), labels 0 and 1."""

    X_train: Array
    Y_train: Array
    X_test: Array
    Y_test: Array

    @property
    def n_0(self) -> int:
        return len(self.X_train)

    @property
    def m(self) -> int:
        return int(self.X_train.shape[1])


def prepared(data: "Dataset", dtype: str) -> Examples:
    """The examples of `data` in this dtype."""
    arrays = (data.X_train, data.Y_train, data.X_test, data.Y_test)
    return Examples(*(array.astype(dtype) for array in arrays))


def layer_dims(n_0: int, architecture: "Architecture") -> tuple[int, ...]:
    """(n_0, n_1, ..., n_L)."""
    return (n_0, *[architecture.width] * (architecture.depth - 1), 1)


def initial_parameters(points: "Sequence[Point]", n_0: int) -> Parameters:
    """The networks that the points start from: W{l} (points, n_l, n_{l-1}), b{l} (points, n_l, 1)."""
    drawn = [
        initialize_parameters_deep(
            layer_dims(n_0, point.architecture), rng=point.seed, scheme=point.scheme,
            dtype=point.architecture.dtype,
        )
        for point in points
    ]  # fmt: skip
    return {key: np.stack([network[key] for network in drawn]) for key in drawn[0]}


# --- the step -------------------------------------------------------------------------------


class Step(Protocol):
    """A step of training of some networks: `Workspace`, or the same by the passes."""

    def load(self, parameters: "Mapping[str, Array]") -> None: ...
    def forward(self) -> Array: ...
    def backward(self) -> None: ...
    def update(self, learning_rates: Array) -> Array: ...
    def parameters(self) -> Parameters: ...
    def gradients(self) -> Gradients: ...


class PassesStep:
    """The step by the passes, of networks whose activation or cost cannot be computed in place."""

    def __init__(self, architecture: "Architecture", examples: Examples) -> None:
        self._activation, self._cost = architecture.activation, architecture.cost
        self._X, self._Y = examples.X_train, examples.Y_train

    def load(self, parameters: "Mapping[str, Array]") -> None:
        self._parameters = dict(parameters)

    def forward(self) -> Array:
        """The cost J of each network."""
        self._AL, self._caches = L_model_forward(self._X, self._parameters, activation=self._activation)
        ZL = self._caches[-1][1]
        return np.asarray(compute_cost_from_logits(ZL, self._Y, cost=self._cost))

    def backward(self) -> None:
        self._gradients = L_model_backward(
            self._AL, self._Y, self._caches, activation=self._activation, cost=self._cost
        )

    def update(self, learning_rates: Array) -> Array:
        """Whether a bit of the parameters changed, of each network."""
        before, after = self._parameters, update_parameters(self._parameters, self._gradients, learning_rates)
        self._parameters = after
        return np.array([
            any(before[key][i].tobytes() != after[key][i].tobytes() for key in after)
            for i in range(len(learning_rates))
        ])  # fmt: skip

    def parameters(self) -> Parameters:
        return dict(self._parameters)

    def gradients(self) -> Gradients:
        return {key: value for key, value in self._gradients.items() if not key.startswith("dA")}


def steps_of(architecture: "Architecture", examples: Examples) -> Callable[[int], Step]:
    """A step for so many networks: the workspace, or the passes where the activation or the cost cannot be
    computed in place. The workspaces share the examples; each is made once."""
    if not is_possible(architecture.activation, architecture.cost):
        return lambda networks: PassesStep(architecture, examples)
    dims = layer_dims(examples.n_0, architecture)
    shared = batch(examples.X_train, examples.Y_train, block_size(dims, examples.m))
    of_kind = partial(Workspace, dims, shared, activation=architecture.activation, cost=architecture.cost)
    return cache(of_kind)


# --- the chunk ------------------------------------------------------------------------------


@dataclass
class Chunk:
    """Runs that train side by side, and what becomes of them; the first axis of every array is the runs.

    Attributes:
        cost_curve: (runs, steps + 1), before each step and after the last; up to `first` as it was found
            earlier, then to be filled.
        diverged_at, stalled_at: (runs,), the step at which a run's cost was found too large or not finite,
            and from which on no parameter changes by a bit; -1: not.
        taken: (runs,), the steps that were computed.
        gradient_norm_start, gradient_norm_end: (runs, L), Frobenius norm of dW[l].
        final: of each run that did not diverge, its parameters.
    """

    learning_rates: Array
    cost_curve: Array
    first: int
    diverged_at: Array = field(init=False)
    stalled_at: Array = field(init=False)
    taken: Array = field(init=False)
    gradient_norm_start: Array = field(init=False)
    gradient_norm_end: Array = field(init=False)
    final: dict[int, Parameters] = field(default_factory=dict)

    def train(
        self, initial: Parameters, step_of: Callable[[int], Step], progress: Callable[[int, int], None]
    ) -> None:
        """Train from these parameters; `step_of` gives a step for so many networks.

        A run that diverged or stalled leaves at once: it costs no more time. `progress` is told of every step
        the number of runs that took it, and of those found diverged.
        """
        self._begin(initial, step_of)
        # Overflow on the way to divergence is expected and recorded in diverged_at.
        with np.errstate(all="ignore"):
            self._train(progress)

    def _begin(self, initial: Parameters, step_of: Callable[[int], Step]) -> None:
        runs, depth = len(self.learning_rates), len(initial) // 2
        self.diverged_at, self.stalled_at = np.full((2, runs), -1)
        self.taken = np.zeros(runs, int)
        self.gradient_norm_start, self.gradient_norm_end = np.full((2, runs, depth), np.nan)
        self._alive, self._step_of = np.arange(runs), step_of
        self._step = step_of(runs)
        self._step.load(initial)

    def _train(self, progress: Callable[[int, int], None]) -> None:
        steps = self.cost_curve.shape[1] - 1
        for t in range(self.first, steps + 1):
            self._forward(t, progress)
            if not self._alive.size:
                return
            self._step.backward()
            if t == 0:
                self.gradient_norm_start[self._alive] = _norms(self._step.gradients())
            if t == steps:
                break
            changed = self._step.update(self.learning_rates[self._alive])
            self.taken[self._alive] += 1
            progress(len(self._alive), 0)
            if not changed.all():
                self._settle(t, ~changed, progress)
                if not self._alive.size:
                    return
        self._finish(np.ones(len(self._alive), bool))

    def _forward(self, t: int, progress: Callable[[int, int], None]) -> None:
        """The cost of step t, without the runs that are found diverged by it."""
        cost = self._step.forward().astype(float)
        highest = np.finfo(float).max  # which infinity and NaN are not below
        if t > 0:
            highest = np.minimum(DIVERGENCE_FACTOR * self.cost_curve[self._alive, 0], highest)
        kept = cost <= highest
        if not kept.all():
            self.diverged_at[self._alive[~kept]] = t
            self.cost_curve[self._alive[~kept], t:] = np.nan
            missed = self.cost_curve.shape[1] - 1 - t
            progress(missed * int(np.sum(~kept)), int(np.sum(~kept)))
            cost = cost[kept]
            self._keep(kept)
            if kept.any():
                self._step.forward()
        self.cost_curve[self._alive, t] = cost

    def _settle(self, t: int, stalled: Array, progress: Callable[[int, int], None]) -> None:
        """Runs whose parameters step t left as they were: so will all later ones."""
        runs = self._alive[stalled]
        self.stalled_at[runs] = t
        self.cost_curve[runs, t + 1 :] = self.cost_curve[runs, t : t + 1]
        progress((self.cost_curve.shape[1] - 2 - t) * len(runs), 0)
        self._finish(stalled)
        self._keep(~stalled)

    def _finish(self, done: Array) -> None:
        """Keep what these of the runs alive ended with."""
        self.gradient_norm_end[self._alive[done]] = _norms(self._step.gradients())[done]
        parameters = self._step.parameters()
        for i in np.flatnonzero(done):
            self.final[int(self._alive[i])] = {key: value[i] for key, value in parameters.items()}

    def _keep(self, kept: Array) -> None:
        """Go on with these of the runs alive alone."""
        parameters = self._step.parameters()
        self._alive = self._alive[kept]
        if self._alive.size:
            self._step = self._step_of(len(self._alive))
            self._step.load({key: value[kept] for key, value in parameters.items()})


def accuracy(parameters: Parameters, X: Array, Y: Array, activation: str) -> Array:
    """The fraction of examples on whose side of 1/2 the output is, of each network."""
    AL, _ = L_model_forward(X, parameters, activation=activation)
    return np.asarray(((AL > 0.5) == (Y > 0.5)).mean(axis=(-2, -1)))


def _norms(gradients: Gradients) -> Array:
    depth = len(gradients) // 2
    return np.stack(
        [np.linalg.norm(gradients[f"dW{l}"], axis=(-2, -1)) for l in range(1, depth + 1)], axis=-1
    )
