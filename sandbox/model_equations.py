"""The equations of the whole network, by the names of its parameters W1, b1, ..., WL, bL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from sandbox import mirror, network
from sandbox.equations import SATURATED, Equation, Inputs
from sandbox.typing import Array
from sandbox.validation import check_caches

RATE = 0.125  # of update_parameters: a power of 2, which every dtype holds exactly


def gradient_keys(L: int) -> tuple[str, ...]:
    return tuple(key for l in range(L, 0, -1) for key in (f"dA{l - 1}", f"dW{l}", f"db{l}"))


def layer_of(key: str) -> int:
    """dA{l-1}, dW{l} and db{l} are outputs of layer l."""
    return int(key[2:]) + (key[1] == "A")


@lru_cache(maxsize=128)
def backward_equation(keys: tuple[str, ...]) -> Equation:
    """Every dA{l-1}, dW{l} and db{l} from X, Y and the parameters."""
    L = len(keys) // 2
    names = gradient_keys(L)

    def reference(X: Any, Y: Any, *theta: Any) -> Any:
        grads = mirror.L_model_backward(X, Y, dict(zip(keys, theta, strict=True)))
        return tuple(grads[name] for name in names)

    def pack(X: Any, Y: Any, *theta: Any) -> Inputs:
        AL, caches = network.L_model_forward(X, dict(zip(keys, theta, strict=True)))
        return AL, Y, caches

    def unpack_grads(grads: Any) -> Inputs:
        if not isinstance(grads, Mapping):
            raise TypeError(f"it returned a {type(grads).__name__}, expected the dict of gradients.")
        for name in names:
            if name not in grads:
                raise ValueError(
                    f"the dict of gradients has no '{name}'; it has {', '.join(map(str, grads))}."
                )
        return tuple(grads[name] for name in names)

    # By which input of the cost each output is the derivative; no input is an inner A{l}.
    by = {"dA0": 0} | {f"d{key}": i for i, key in enumerate(keys, start=2)}
    return Equation(
        "L_model_backward", reference, ("X", "Y", *keys), names, pack, unpack_grads,
        axes=("pm", "1m", *_parameter_axes(keys)),
        differentiated=tuple(by.get(name, -1) for name in names),
        factors={names.index("dA0"): lambda X, *_: np.shape(X)[-1]},  # dA0 is of the summed loss
        elsewhere={
            "gradients of 1e3": _large_gradients,
            SATURATED: lambda X, Y, *theta: _saturated(keys, theta, X, Y),
        },
    )  # fmt: skip


@lru_cache(maxsize=128)
def forward_equation(keys: tuple[str, ...]) -> Equation:
    """AL and the caches from X and the parameters."""
    L = len(keys) // 2

    def reference(X: Any, *theta: Any) -> Any:
        parameters, A, caches = dict(zip(keys, theta, strict=True)), X, []
        for l in range(1, L + 1):
            W, b = parameters[f"W{l}"], parameters[f"b{l}"]
            Z = mirror.linear_forward(A, W, b)
            caches += [A, W, b, Z]
            A = mirror.relu(Z) if l < L else mirror.sigmoid(Z)
        return (A, *caches)

    def unpack_caches(result: Any) -> Inputs:
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError("it did not return the tuple (AL, caches).")
        checked = check_caches(result[1])
        if len(checked) != L:
            raise ValueError(f"it returned {len(checked)} caches, expected {L}, one for each layer.")
        return (result[0], *(x for linear, Z in checked for x in (*linear, Z)))

    outputs = ("AL", *(f"cache {l} {part}" for l in range(1, L + 1) for part in ("A_prev", "W", "b", "Z")))
    return Equation(
        "L_model_forward", reference, ("X", *keys), outputs,
        lambda X, *theta: (X, dict(zip(keys, theta, strict=True))), unpack_caches,
        axes=("pm", *_parameter_axes(keys)),
        elsewhere={SATURATED: lambda X, *theta: _saturated(keys, theta, X)},
    )  # fmt: skip


def _saturated(keys: tuple[str, ...], theta: tuple[Array, ...], X: Array, *Y: Array) -> Inputs:
    """The last layer so much larger, in double precision, that sigmoids are near 0 and 1, where a clip of AL
    or a small number added to it shows."""
    X, *targets = (x.astype(np.float64) for x in (X, *Y))
    parameters = {key: x.astype(np.float64) for key, x in zip(keys, theta, strict=True)}
    _, caches = network.L_model_forward(X, parameters)
    factor = 20 / np.max(np.abs(caches[-1][1]))
    *inner, W, b = parameters.values()
    return (X, *targets, *inner, factor * W, factor * b)


def _large_gradients(X: Array, Y: Array, W1: Array, *others: Array) -> Inputs:
    """The same Z from an X that is 2^10 times as large: dW1 is as much larger, and a clip shows."""
    factor = W1.dtype.type(2.0**10)
    return (factor * X, Y, W1 / factor, *others)


def unused_gradients(theta: Mapping[str, Any]) -> dict[str, Any]:
    """dA0, ..., dA{L-1} as L_model_backward returns them beside those by theta."""
    L = len(theta) // 2
    return {f"dA{l - 1}": np.ones((np.shape(theta[f"W{l}"])[-1], 1)) for l in range(1, L + 1)}


@lru_cache(maxsize=128)
def update_equation(keys: tuple[str, ...]) -> Equation:
    """theta - RATE dtheta for every parameter."""
    count = len(keys)

    def pack(*inputs: Any) -> Inputs:
        gradients = {f"d{key}": x for key, x in zip(keys, inputs[count:], strict=True)}
        gradients |= unused_gradients(dict(zip(keys, inputs[:count], strict=True)))
        return dict(zip(keys, inputs[:count], strict=True)), gradients, RATE

    def unpack_parameters(result: Any) -> Inputs:
        if not isinstance(result, Mapping) or set(result) != set(keys):
            got = list(result) if isinstance(result, Mapping) else type(result).__name__
            raise ValueError(f"it returned {got}, expected a dict with the keys {', '.join(keys)}.")
        return tuple(result[key] for key in keys)

    def mistakes(*inputs: Any) -> Iterator[tuple[str, Inputs]]:
        theta, dtheta = inputs[:count], inputs[count:]
        yield "It is theta + learning_rate dtheta: a sign is wrong.", (*theta, *(-x for x in dtheta))
        yield "It is theta - dtheta: is the learning rate left out?", (*theta, *(x / RATE for x in dtheta))
        yield "It is theta as it was: is it updated?", (*theta, *(0 * x for x in dtheta))

    return Equation(
        "update_parameters",
        lambda *inputs: tuple(x - RATE * dx for x, dx in zip(inputs[:count], inputs[count:], strict=True)),
        (*keys, *(f"d{key}" for key in keys)), keys, pack, unpack_parameters, mistakes=mistakes,
    )  # fmt: skip


def _parameter_axes(keys: tuple[str, ...]) -> Iterator[str]:
    return ("np" if key[0] == "W" else "n1" for key in keys)
