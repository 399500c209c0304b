"""Networks, gradients and calls: the one drawer of what is checked at random, and of what the network at hand
leaves out."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from sandbox.network import passes
from sandbox.network.functions import FUNCTIONS, NETWORK, equation_of
from sandbox.network.model_equations import (
    Kind,
    backward_equation,
    forward_equation,
    unused_gradients,
    update_equation,
    update_inputs,
)
from sandbox.typing import Array, Cache, Inputs, Parameters, Scheme
from sandbox.verifier.equation import Equation
from sandbox.verifier.recording import Recorder

Network = tuple[Parameters, Array, Array]
Subjects = Mapping[str, list[tuple[Equation, Inputs]]]
SEED = 20_240_301  # of cotangents and gradients


def drawn_network(
    layer_dims: Sequence[int], m: int, *, seed: int, dtype: str = "float64", scheme: Scheme = "he",
    output_scale: float = 1.0, dead_unit: bool = True,
) -> Network:  # fmt: skip
    """Parameters, X and Y: b is not 0, as it is initialised, which would hide what is done with b.

    Args:
        layer_dims: (n_0, ..., n_L).
        output_scale: factor of W[L], with which the sigmoid saturates.
        dead_unit: whether unit 0 of layer 1 has Z = 0 exactly.
    """
    rng = np.random.default_rng(seed)
    theta = passes.initialize_parameters_deep(layer_dims, rng=rng, scheme=scheme)
    L = len(layer_dims) - 1
    for l in range(1, L + 1):
        theta[f"b{l}"] = 0.1 * rng.standard_normal(theta[f"b{l}"].shape)
    if dead_unit:
        theta["W1"][0], theta["b1"][0] = 0, 0
    theta[f"W{L}"] *= output_scale
    X, Y = rng.standard_normal((layer_dims[0], m)), rng.integers(0, 2, (1, m))
    return {key: x.astype(dtype) for key, x in theta.items()}, X.astype(dtype), Y.astype(dtype)


def some_gradients(theta: Mapping[str, Array]) -> dict[str, Array]:
    """As L_model_backward's, of many sizes, with dA0, dA1, ..., which an update has no use for. Not of the
    seed 0, with which parameters may well have been drawn: they would be proportional."""
    rng = np.random.default_rng(SEED)
    gradients = {
        f"d{key}": (rng.standard_normal(x.shape) * 1000 ** rng.uniform(-1, 1, x.shape)).astype(x.dtype)
        for key, x in theta.items()
    }
    return {**unused_gradients(theta), **gradients}


def further_calls(caches: Sequence[Cache], kind: Kind) -> list[tuple[str, Inputs]]:
    """Something to call each inner function with, and each of its branches, where the network at hand
    does not: a first layer, which has several units."""
    linear_cache, Z = caches[0]
    dA = np.random.default_rng(SEED).standard_normal(Z.shape).astype(Z.dtype)
    branches = dict.fromkeys(("relu", "sigmoid", kind.activation))
    calls: list[tuple[str, Inputs]] = [
        ("linear_forward", linear_cache),
        ("linear_backward", (dA, linear_cache)),
        *((g, (Z,)) for g in branches),
        *((f"{g}_backward", (dA, Z)) for g in branches),
        *(("linear_activation_forward", (*linear_cache, g)) for g in branches),
        *(("linear_activation_backward", (dA, (linear_cache, Z), g)) for g in branches),
    ]
    return [(name, arguments) for name, arguments in calls if name in FUNCTIONS]


def branch_of(arguments: Inputs) -> str:
    """The activation that is named in a call."""
    return next((x for x in arguments if isinstance(x, str)), "")


@lru_cache(maxsize=8)
def contract_subjects(dtype: str, kind: Kind) -> Subjects:
    """Each function's equations and inputs at which to ask for its contracts: those of a small network
    of fixed shapes, so that tracing is paid once. One for each activation."""
    theta, X, Y = drawn_network([3, 4, 1], 6, seed=0, dtype=dtype)
    recorder = Recorder({}, NETWORK)
    with recorder.bound() as bound:
        AL, caches = bound["L_model_forward"](X, theta, activation=kind.activation)
        bound["compute_cost"](AL, Y, cost=kind.cost)
        for name, arguments in further_calls(caches, kind):
            bound[name](*arguments)
    subjects: dict[str, dict[str, tuple[Equation, Inputs]]] = {name: {} for name in FUNCTIONS}
    for call in recorder.calls:
        if subject := equation_of(call.function, *call.arguments, cost=kind.cost):
            subjects[call.function][branch_of(call.arguments)] = subject
    keys, values, updated = tuple(theta), tuple(theta.values()), update_inputs(theta, some_gradients(theta))
    return {name: list(of_one.values()) for name, of_one in subjects.items()} | {
        "L_model_forward": [(forward_equation(keys, kind), (X, *values))],
        "L_model_backward": [(backward_equation(keys, kind), (X, Y, *values))],
        "update_parameters": [(update_equation(keys), updated)],
    }
