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
    return stacked(drawn)


def stacked(networks: "Sequence[Parameters]") -> Parameters:
    """Networks of one architecture as W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1)."""
    return {key: np.stack([network[key] for network in networks]) for key in networks[0]}


# --- the step -------------------------------------------------------------------------------


class Step(Protocol):
    """A step of training of some networks: `Workspace`, or the same by the passes."""

    def load(self, parameters: "Mapping[str, Array]") -> None: ...
    def forward(self) -> Array: ...
    def backward(self) -> None: ...
    def update(self, learning_rates: Array) -> Array: ...
    def positive(self) -> Array: ...
    def parameters(self) -> Parameters: ...
    def gradients(self) -> Gradients: ...


class PassesStep:
    """The step by the passes, of networks whose activation or cost cannot be computed in place."""

    def __init__(self, architecture: "Architecture", X: Array, Y: Array) -> None:
        self._activation, self._cost = architecture.activation, architecture.cost
        self._X, self._Y = X, Y

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

    def positive(self) -> Array:
        """Whether Z[L] > 0, that is AL > 1/2; (networks, m)."""
        return np.asarray(self._caches[-1][1][:, 0] > 0)

    def parameters(self) -> Parameters:
        return dict(self._parameters)

    def gradients(self) -> Gradients:
        return {key: value for key, value in self._gradients.items() if not key.startswith("dA")}


def steps_of(architecture: "Architecture", X: Array, Y: Array) -> Callable[[int], Step]:
    """A step for so many networks: the workspace, or the passes where the activation or the cost cannot be
    computed in place. The workspaces share the examples; each is made once."""
    if not is_possible(architecture.activation, architecture.cost):
        return lambda networks: PassesStep(architecture, X, Y)
    dims = layer_dims(len(X), architecture)
    shared = batch(X, Y, block_size(dims, X.shape[1]))
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
        gradient_norm_start, gradient_norm_end: (runs, L), Frobenius norm of dW[l].
        final: of each run that did not diverge, its parameters.
    """

    learning_rates: Array
    cost_curve: Array
    first: int
    diverged_at: Array = field(init=False)
    stalled_at: Array = field(init=False)
    gradient_norm_start: Array = field(init=False)
    gradient_norm_end: Array = field(init=False)
    final: dict[int, Parameters] = field(default_factory=dict)
    _step: Step = field(init=False)

    @property
    def steps(self) -> int:
        return int(self.cost_curve.shape[1]) - 1

    @property
    def taken(self) -> Array:
        """(runs,), the steps that were computed."""
        ended = np.where(self.diverged_at >= 0, self.diverged_at, self.steps)
        return np.asarray(np.where(self.stalled_at >= 0, self.stalled_at + 1, ended) - self.first)

    def train(
        self, initial: Parameters, step_of: Callable[[int], Step], progress: Callable[[int, int], None]
    ) -> None:
        """Train from these parameters; `step_of` gives a step for so many networks.

        A run that diverged or stalled leaves at once: it costs no more time. `progress` is told of every step
        the number of runs that took it, and of those found diverged.
        """
        runs, depth = len(self.learning_rates), len(initial) // 2
        self.diverged_at, self.stalled_at = np.full((2, runs), -1)
        self.gradient_norm_start, self.gradient_norm_end = np.full((2, runs, depth), np.nan)
        self._step_of, self._progress = step_of, progress
        self._go_on_with(np.arange(runs), initial)
        # Overflow on the way to divergence is expected and recorded in diverged_at.
        with np.errstate(all="ignore"):
            self._train()

    def _train(self) -> None:
        for t in range(self.first, self.steps + 1):
            self._forward(t)
            if not self._alive.size:
                return
            self._step.backward()
            if t == 0:
                self.gradient_norm_start[self._alive] = _norms(self._step.gradients())
                self._highest = self._highest_costs()
            if t == self.steps:
                break
            changed = self._step.update(self._rates)
            self._progress(len(self._rates), 0)
            if not changed.all():
                self._settle(t, ~changed)
                if not self._alive.size:
                    return
        self._finish(np.ones(len(self._alive), bool))

    def _go_on_with(self, runs: Array, parameters: Parameters) -> None:
        """These runs alone are alive."""
        self._alive, self._rates = runs, self.learning_rates[runs]
        self._highest = self._highest_costs()
        if runs.size:
            self._step = self._step_of(len(runs))
            self._step.load(parameters)

    def _highest_costs(self) -> Array:
        """Of the runs alive, beyond which they have diverged; before the first step, any finite cost."""
        first = np.nan_to_num(self.cost_curve[self._alive, 0], nan=np.inf)
        return np.asarray(np.minimum(DIVERGENCE_FACTOR * first, np.finfo(float).max))

    def _forward(self, t: int) -> None:
        """The cost of step t, without the runs that are found diverged by it."""
        cost = self._step.forward()
        kept = cost <= self._highest
        if not kept.all():
            self._diverge(t, ~kept)
            cost = cost[kept]
            if kept.any():
                self._step.forward()
        self.cost_curve[self._alive, t] = cost

    def _diverge(self, t: int, diverged: Array) -> None:
        runs = self._alive[diverged]
        self.diverged_at[runs] = t
        self.cost_curve[runs, t:] = np.nan
        self._progress((self.steps - t) * len(runs), len(runs))
        self._leave(diverged)

    def _settle(self, t: int, stalled: Array) -> None:
        """Runs whose parameters step t left as they were: so will all later ones."""
        runs = self._alive[stalled]
        self.stalled_at[runs] = t
        self.cost_curve[runs, t + 1 :] = self.cost_curve[runs, t : t + 1]
        self._progress((self.steps - 1 - t) * len(runs), 0)
        self._finish(stalled)
        self._leave(stalled)

    def _finish(self, done: Array) -> None:
        """Keep what these of the runs alive ended with."""
        self.gradient_norm_end[self._alive[done]] = _norms(self._step.gradients())[done]
        parameters = self._step.parameters()
        for i in np.flatnonzero(done):
            self.final[int(self._alive[i])] = {key: value[i] for key, value in parameters.items()}

    def _leave(self, gone: Array) -> None:
        """Go on without these of the runs alive."""
        parameters = self._step.parameters()
        self._go_on_with(self._alive[~gone], {key: value[~gone] for key, value in parameters.items()})


def accuracy(parameters: Parameters, Y: Array, step_of: Callable[[int], Step]) -> Array:
    """The fraction of the examples of `step_of` on whose side of 1/2 the output is, of each network."""
    step = step_of(len(parameters["W1"]))
    step.load(parameters)
    with np.errstate(all="ignore"):
        step.forward()
    return np.asarray((step.positive() == (Y > 0.5)).mean(axis=-1))


def _norms(gradients: Gradients) -> Array:
    depth = len(gradients) // 2
    return np.stack(
        [np.linalg.norm(gradients[f"dW{l}"], axis=(-2, -1)) for l in range(1, depth + 1)], axis=-1
    )
