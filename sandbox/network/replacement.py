"""The workspace's step as functions of the exercise's names, and their check.

What is checked is the step that trains: whole steps of several networks side by side, the ones that are asked
about between two others, after a step with other parameters has left its numbers everywhere. So a number that
is left from the step before, or taken from the neighbour, shows.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sandbox.network import validation
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.network.model_check import check_model
from sandbox.network.model_equations import Kind
from sandbox.network.workspace import Workspace, batch, is_possible
from sandbox.typing import Array, ArrayLike, Cache, Function, Gradients, Parameters
from sandbox.verifier.equation import Equation
from sandbox.verifier.local import compare_outputs, measured
from sandbox.verifier.report import Report
from sandbox.verifier.rows import OutputRow
from sandbox.verifier.warned import quiet

ASKED = slice(1, -2)
"""Where the networks that are asked about stand: between their neighbours, not in the middle."""


def check_replacement(
    parameters: Mapping[str, ArrayLike], X: ArrayLike, Y: ArrayLike, *, activation: str = "relu",
    cost: str = "cross_entropy", contracts: bool = False,
) -> Report:  # fmt: skip
    """Check the workspace's step as the passes are checked: Z and A of every layer, the cost, every dA on the
    way, dW and db of every layer and the updated parameters, against the mirror.

    Args:
        parameters: W1, b1, ..., WL, bL; the networks of a stack are checked side by side in one workspace.
        X: (n_0, m). Y: (1, m), labels 0 and 1.
        activation, cost: of those that can be computed in place.
        contracts: whether to check those of `check_model` too.

    Raises:
        TypeError, ValueError: malformed input. An error in the workspace is a finding.
    """
    _check_possible(activation, cost, Y)
    kind = Kind(activation, cost)
    report = check_model(
        parameters, X, Y, functions=workspace_functions(kind), contracts=contracts, activation=activation,
        cost=cost,
    )  # fmt: skip
    theta = {key: np.asarray(value) for key, value in parameters.items()}
    others = [row for row in report.rows if row.function != "compute_cost"]
    return replace(report, rows=(*_cost_rows(kind, theta, np.asarray(X), np.asarray(Y)), *others))


def workspace_functions(kind: Kind) -> dict[str, Function]:
    """The step of networks of this kind as functions of the exercise's names; of the backward's arguments
    only X, the parameters and Y are used: the step goes forward itself.

    The step makes no AL, which is the sigmoid of its Z[L]; and no dA0.
    """

    def L_model_forward(X: Array, parameters: Mapping[str, Array]) -> tuple[Array, list[Cache]]:
        seen = _step(kind, parameters, X, np.zeros((1, X.shape[-1]), X.dtype))
        L = len(parameters) // 2
        A = [X, *(seen[f"A{l}"] for l in range(1, L))]
        caches = [
            ((A[l - 1], parameters[f"W{l}"], parameters[f"b{l}"]), seen[f"Z{l}"]) for l in range(1, L + 1)
        ]
        return ACTIVATIONS["sigmoid"].forward(seen[f"Z{L}"])[0], caches

    def L_model_backward(AL: Array, Y: Array, caches: Sequence[Cache]) -> Gradients:
        linear = [cache for cache, _ in caches]
        parameters = {
            f"{key}{l}": part
            for l, (_, W, b) in enumerate(linear, start=1)
            for key, part in (("W", W), ("b", b))
        }
        seen = _step(kind, parameters, linear[0][0], Y)
        return {key: value for key, value in seen.items() if key[0] == "d"}

    def update_parameters(
        params: Mapping[str, Array], grads: Mapping[str, Array], learning_rate: float
    ) -> Parameters:
        return _updated(kind, params, grads, learning_rate)

    return {
        "L_model_forward": L_model_forward,
        "L_model_backward": L_model_backward,
        "update_parameters": update_parameters,
    }


# --- the step, watched ----------------------------------------------------------------------


class WatchedWorkspace(Workspace):
    """A workspace that keeps copies of what later lines overwrite, of the networks that are asked about."""

    seen: dict[str, Array]

    def __init__(self, kind: Kind, parameters: Mapping[str, Array], X: Array, Y: Array) -> None:
        """A workspace for a stack of networks like these, and the three beside them, after two steps."""
        W = [parameters[f"W{l}"] for l in range(1, len(parameters) // 2 + 1)]
        self.stack, self.seen = W[0].shape[:-2], {}
        dims, networks = (len(X), *(part.shape[-2] for part in W)), math.prod(self.stack) + 3
        in_blocks = batch(X, Y, X.shape[1] // 5 + 1)  # four or five, the last not full
        super().__init__(dims, in_blocks, networks, activation=kind.activation, cost=kind.cost)
        self.load({key: -value[::-1] for key, value in _between_others(parameters).items()})
        for _ in range(2):
            self.forward()
            self.backward()
            self.update(np.ones(self.networks, X.dtype))

    def arrive_at(self, parameters: Mapping[str, Array]) -> None:
        """At these, exactly, by an update, as in training: 0 - 1 (-theta)."""
        given = _between_others(parameters)
        self.load({key: np.zeros_like(value) for key, value in given.items()})
        self.set_gradients({key: -value for key, value in given.items()})
        self.update(np.ones(self.networks, self.theta.dtype))

    def set_gradients(self, gradients: Mapping[str, Array]) -> None:
        """dW{l} and db{l}, by the keys of the parameters."""
        for l, dW in self.dW.items():
            dW[..., :-1], dW[..., -1:] = gradients[f"W{l}"], gradients[f"b{l}"]

    def forward(self) -> Array:
        J = super().forward()
        self._see("J", J)
        return J

    def backward(self) -> None:
        super().backward()
        for key, gradient in self.gradients().items():
            self._see(key, gradient)

    def linear_forward(self, l: int) -> None:
        super().linear_forward(l)
        self._see(f"Z{l}", self.of_examples(self.Z[l]))

    def activation_forward(self, l: int) -> None:
        super().activation_forward(l)
        self._see(f"A{l}", self.of_examples(self.Z[l]))

    def linear_backward(self, l: int) -> None:
        super().linear_backward(l)
        if l > 1:
            self._see(f"dA{l - 1}", self.of_examples(self.dA[l - 1]))

    def _see(self, key: str, array: Array) -> None:
        self.seen[key] = array[ASKED].reshape((*self.stack, *array.shape[1:]))


def _step(kind: Kind, parameters: Mapping[str, Array], X: Array, Y: Array) -> dict[str, Array]:
    """What is seen of a step forward and back."""
    workspace = WatchedWorkspace(kind, parameters, X, Y)
    workspace.arrive_at(parameters)
    workspace.forward()
    workspace.backward()
    return workspace.seen


def _updated(
    kind: Kind, theta: Mapping[str, Array], gradients: Mapping[str, Array], learning_rate: float
) -> Parameters:
    """What an update makes of these parameters, while the networks beside them have other rates."""
    dtype = theta["W1"].dtype
    workspace = WatchedWorkspace(
        kind, theta, np.zeros((theta["W1"].shape[-1], 1), dtype), np.zeros((1, 1), dtype)
    )
    workspace.load(_between_others(theta))
    workspace.set_gradients(_between_others({key: gradients[f"d{key}"] for key in theta}))
    rates = np.arange(2, 2 + workspace.networks).astype(dtype) * learning_rate
    rates[ASKED] = learning_rate
    workspace.update(rates)
    updated = workspace.parameters()
    return {key: updated[key][ASKED].reshape(theta[key].shape) for key in theta}


def _between_others(parameters: Mapping[str, Array]) -> Parameters:
    """The networks of a stack one after another, between three others."""
    flat = {key: value.reshape(-1, *value.shape[-2:]) for key, value in parameters.items()}
    return {
        key: np.concatenate([-1.5 * x[:1], x, 0.5 * x[-1:], -x[-1:]]).astype(x.dtype)
        for key, x in flat.items()
    }


# --- the cost -------------------------------------------------------------------------------


def _cost_rows(kind: Kind, theta: Mapping[str, Array], X: Array, Y: Array) -> list[OutputRow]:
    """Of the cost that the step makes of its own Z[L]."""
    dtype = np.result_type(X, *theta.values())
    X, Y, theta = X.astype(dtype), Y.astype(dtype), {key: value.astype(dtype) for key, value in theta.items()}
    with quiet():
        seen = _step(kind, theta, X, Y)
    ZL = seen[f"Z{len(theta) // 2}"]
    equation = _cost_equation(kind)
    return compare_outputs(equation, seen["J"], measured(equation, (ZL, Y)), (ZL, Y))


@functools.lru_cache
def _cost_equation(kind: Kind) -> Equation:
    return Equation(
        "compute_cost", lambda ZL, Y: (kind.of_logits(ZL, Y),), ("ZL", "Y"), ("cost",), axes=("1m", "1m")
    )


def _check_possible(activation: str, cost: str, Y: ArrayLike) -> None:
    validation.check_name("activation", activation, ACTIVATIONS)
    validation.check_name("cost", cost, COSTS)
    if not is_possible(activation, cost):
        raise ValueError(
            f"activation is {activation!r} and cost is {cost!r}, expected those computed in "
            "place; networks of others train with the passes, which check_model checks."
        )
    if not np.isin(np.asarray(Y), (0, 1)).all():
        raise ValueError(
            "Y holds other values than 0 and 1, expected labels; check_model takes targets in [0, 1]."
        )
