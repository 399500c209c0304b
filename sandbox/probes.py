"""Networks, gradients and calls of the check's own, for what the network at hand leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from sandbox import network
from sandbox.equations import FUNCTIONS, Equation, Inputs, equation_of
from sandbox.hooks import Recorder
from sandbox.model_equations import backward_equation, forward_equation, unused_gradients, update_equation
from sandbox.typing import Array

Subjects = Mapping[str, list[tuple[Equation, Inputs]]]
SEED = 20_240_301  # of cotangents and gradients


def drawn_network(dims: list[int], m: int, dtype: str, seed: int) -> tuple[dict[str, Array], Array, Array]:
    rng = np.random.default_rng(seed)
    theta = network.initialize_parameters_deep([*dims, 1], rng=rng, scheme="he", dtype=dtype)
    theta = {key: x + (0.1 * rng.standard_normal(x.shape)).astype(dtype) for key, x in theta.items()}
    theta["W1"][0], theta["b1"][0] = 0, 0  # a unit whose Z is exactly 0
    Y = rng.integers(0, 2, (1, m)).astype(dtype)
    return theta, rng.standard_normal((dims[0], m)).astype(dtype), Y


def some_gradients(theta: Mapping[str, Array]) -> dict[str, Array]:
    """As L_model_backward's, of many sizes, with dA0, dA1, ..., which an update has no use for. Not of the
    seed 0, with which parameters may well have been drawn: they would be proportional."""
    rng = np.random.default_rng(SEED)
    gradients = {
        f"d{key}": (rng.standard_normal(x.shape) * 1000 ** rng.uniform(-1, 1, x.shape)).astype(x.dtype)
        for key, x in theta.items()
    }
    return {**unused_gradients(theta), **gradients}


def further_calls(caches: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Something to call each inner function with, and each of its branches, where the network at hand
    does not: a first layer, which has several units."""
    linear_cache, Z = caches[0]
    dA = np.random.default_rng(SEED).standard_normal(Z.shape).astype(Z.dtype)
    return [
        ("linear_forward", linear_cache),
        ("linear_backward", (dA, linear_cache)),
        *((g, (Z,)) for g in ("relu", "sigmoid")),
        *((f"{g}_backward", (dA, Z)) for g in ("relu", "sigmoid")),
        *(("linear_activation_forward", (*linear_cache, g)) for g in ("relu", "sigmoid")),
        *(("linear_activation_backward", (dA, (linear_cache, Z), g)) for g in ("relu", "sigmoid")),
    ]


def activation_of(arguments: tuple[Any, ...]) -> str:
    return next((x for x in arguments if isinstance(x, str)), "")


@lru_cache(maxsize=2)
def contract_subjects(dtype: str) -> Subjects:
    """Each function's equations and inputs at which to ask for its contracts: those of a small network
    of fixed shapes, so that tracing is paid once. One for each activation."""
    theta, X, Y = drawn_network([3, 4, 4], 6, dtype, 0)
    recorder = Recorder({})
    with recorder.bound() as bound:
        AL, caches = bound["L_model_forward"](X, theta)
        bound["compute_cost"](AL, Y)
        for name, arguments in further_calls(caches):
            bound[name](*arguments)
    subjects: dict[tuple[str, str], tuple[Equation, Inputs]] = {}
    for call in recorder.calls:
        if subject := equation_of(call.function, call.arguments):
            subjects[call.function, activation_of(call.arguments)] = subject
    keys, values, gradients = tuple(theta), tuple(theta.values()), some_gradients(theta)
    return {
        name: [subject for (function, _), subject in subjects.items() if function == name]
        for name in FUNCTIONS
    } | {
        "L_model_forward": [(forward_equation(keys), (X, *values))],
        "L_model_backward": [(backward_equation(keys), (X, Y, *values))],
        "update_parameters": [(update_equation(keys), (*values, *(gradients[f"d{key}"] for key in keys)))],
    }
