"""What each tested function should return: its equation in JAX, and how its arguments are laid out.

An `Equation` takes the same flat tuple of inputs whether the function is forward or backward, so
that local checks, contracts and the third oracle are written once, for the exercise's functions
(the table below) and for users' operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from sandbox import mirror
from sandbox.typing import Array

Inputs = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Equation:
    """A function of arrays and its reference.

    Attributes:
        function: the name under which it is reported.
        reference: in JAX, of the flat inputs; returns the outputs in order.
        inputs, outputs: their names.
        picks: which of the reference's outputs these are; () for all. So one evaluation serves several.
        pack: the flat inputs as the tested function's arguments.
        unpack: the tested function's result as outputs in order; raises TypeError or ValueError.
        cotangents: how many of the first inputs are cotangents: the outputs are linear in them.
        axes: for each input the meaning of its last two axes ("n" and "p": units, "m": examples), or
            () if unknown: by these a single example or unit is taken.
        mistakes: (explanation, inputs or None) with which the reference gives what a mistake gives.
        forward: of a backward, the equation that it differentiates, by its inputs after the cotangents.
        factors: of a backward, the factor of each output by convention (1/m in dW), from the inputs.
        differentiated: of a backward, for each output which of the forward's inputs it is the derivative by
            (-1: none of them).
        elsewhere: by the name of a contract, the inputs made from the given ones at which it asks for the
            values once more.
    """

    function: str
    reference: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pack: Callable[..., Inputs] = lambda *inputs: inputs
    unpack: Callable[[Any], Inputs] = lambda result: (result,)
    cotangents: int = 0
    axes: tuple[str, ...] = ()
    mistakes: Callable[..., Iterator[tuple[str, Inputs]]] = lambda *inputs: iter(())
    forward: Equation | None = None
    factors: Mapping[int, Callable[..., float]] = field(default_factory=dict)
    differentiated: tuple[int, ...] = ()
    picks: tuple[int, ...] = ()
    elsewhere: Mapping[str, Callable[..., Inputs]] = field(default_factory=dict)

    def named(self, inputs: Inputs) -> dict[str, Any]:
        """The inputs by name, with m, the number of examples, where the axes tell it."""
        named = {n: x for n, x in zip(self.inputs, inputs, strict=True) if isinstance(x, np.ndarray)}
        if self.axes and self.axes[0][-1] == "m":
            named["m"] = np.shape(inputs[0])[-1]
        return named


def _tuple_of(result: Any, parts: str) -> Inputs:
    names = parts.strip("()").split(", ")
    if not isinstance(result, tuple | list):
        raise TypeError(f"it returned a {type(result).__name__}, expected the tuple {parts}.")
    if len(result) != len(names):
        raise ValueError(f"it returned {len(result)} values, expected {len(names)}: {parts}.")
    return tuple(result)


def _with_linear_cache(result: Any) -> Inputs:
    Z, cache = _tuple_of(result, "(Z, cache)")
    return (Z, *_cached(cache, "(A, W, b)"))


def _with_activation_cache(result: Any) -> Inputs:
    A, cache = _tuple_of(result, "(A, cache)")
    linear_cache, Z = _cached(cache, "(linear_cache, activation_cache)")
    return (A, *_cached(linear_cache, "(A_prev, W, b)"), Z)


def _cached(cache: Any, parts: str) -> Inputs:
    try:
        return _tuple_of(cache, parts)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("it returned", "its cache is or holds")) from None


def _three(result: Any) -> Inputs:
    return _tuple_of(result, "(dA_prev, dW, db)")


def _linear_activation_forward(A_prev: Any, W: Any, b: Any, activation: Any) -> Any:
    Z = mirror.linear_forward(A_prev, W, b)
    return {"relu": mirror.relu, "sigmoid": mirror.sigmoid}[activation](Z), A_prev, W, b, Z


def _compute_cost(AL: Any, Y: Any) -> Any:
    """J = -(1/m) sum( y log a + (1 - y) log(1 - a) ), with 0 log 0 = 0."""
    likelihood = jnp.where(Y > 0, Y * jnp.log(jnp.where(Y > 0, AL, 1)), 0)
    likelihood += jnp.where(Y < 1, (1 - Y) * jnp.log(jnp.where(Y < 1, 1 - AL, 1)), 0)
    return -jnp.sum(likelihood, axis=(-2, -1)) / AL.shape[-1]


def _dropped_examples(dZ: Array, *others: Any) -> Iterator[tuple[str, Inputs]]:
    """What comes of leaving examples out of the sum, as cotangents that are 0 there."""
    m = dZ.shape[-1]
    for words, kept in (
        ("the last example is left out", np.arange(m) < m - 1),
        ("the first example is left out", np.arange(m) > 0),
        ("only the first example is used", np.arange(m) == 0),
        ("only the last example is used", np.arange(m) == m - 1),
    ):
        yield f"It is what comes out if {words}.", (dZ * kept, *others)


def _relu_mistakes(dA: Array, *rest: Any) -> Iterator[tuple[str, Inputs]]:
    Z, others = np.asarray(rest[-1]), rest[:-1]
    if dA.shape != Z.shape:
        return
    on = np.ones_like(Z)
    yield "It is what comes out if the ReLU's derivative at Z = 0 is 1; the convention is 0.", (
        dA, *others, np.where(Z >= 0, on, -on))  # fmt: skip
    yield "It is what comes out without the ReLU's mask.", (dA, *others, on)
    yield "It is what comes out with the ReLU's mask inverted.", (dA, *others, np.where(Z > 0, -on, on))
    yield "It is what comes out with a mask of dA > 0 in place of Z > 0.", (dA, *others, dA)
    S = _logistic(Z)
    yield "It is what comes out if the sigmoid's derivative is taken in place of the ReLU's.", (
        dA * S * (1 - S), *others, on)  # fmt: skip
    for slope in (0.01, 0.1, 0.2):
        leaky = np.where(Z > 0, dA, slope * dA)
        yield f"It is what a leaky ReLU of slope {slope} gives.", (leaky, *others, on)
    yield from _dropped_examples(dA, *rest)


def _sigmoid_mistakes(dA: Array, *rest: Any) -> Iterator[tuple[str, Inputs]]:
    Z, others = np.asarray(rest[-1], np.float64), rest[:-1]
    if dA.shape != Z.shape:
        return
    with np.errstate(all="ignore"):
        S = _logistic(Z)
        derivative = S * (1 - S)
        for words, wrong in (
            ("without the sigmoid's derivative", np.ones_like(S)),
            ("if the sigmoid's derivative is taken as A, not A (1 - A)", S),
            ("if the sigmoid's derivative is taken as 1 - A, not A (1 - A)", 1 - S),
            ("if the sigmoid is applied twice (was A cached in place of Z?)", _twice(S)),
            ("with the derivative of tanh, 1 - A^2", 1 - S**2),
            ("with Z in place of A, Z (1 - Z)", Z * (1 - Z)),
            ("if the ReLU's mask is taken in place of the sigmoid's derivative", Z > 0),
        ):
            yield f"It is what comes out {words}.", (dA * wrong / derivative, *others, Z)
    yield from _dropped_examples(dA, *rest)


def _twice(S: Array) -> Array:
    T = _logistic(S)
    return np.asarray(T * (1 - T))


def _logistic(Z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(Z, np.float64))))


def _large(*inputs: Any) -> Inputs:
    """A third of Z stays as it is, by whose size the rest is judged."""
    *others, Z = inputs
    large = np.choose(np.arange(Z.size).reshape(Z.shape) % 3, (1000, -1000, Z))
    return (*others, large.astype(Z.dtype))


_OF_Z: dict[str, Callable[..., Inputs]] = {
    "Z = 0": lambda *inputs: (*inputs[:-1], np.zeros_like(inputs[-1])),
    "Z = 1000 and -1000": _large,
}


SATURATED = "AL near 0 and 1"


def _saturated(AL: Array, Y: Array) -> Inputs:
    """In double precision, where a clip of AL or a small number added to it shows."""
    ends, targets = (1e-9, 1e-9, 1 - 2.0**-20, 1 - 2.0**-20), (1.0, 0.0, 1.0, 0.0)
    return np.resize(ends, AL.shape), np.resize(targets, Y.shape)


_LAYER = ("A_prev", "W", "b")
_LAYER_AXES = ("pm", "np", "n1")
_ONE_OVER_M: dict[int, Callable[..., float]] = {
    i: lambda *inputs: 1 / np.shape(inputs[0])[-1] for i in (1, 2)
}
_LAYER_FORWARD = {g: partial(_linear_activation_forward, activation=g) for g in ("relu", "sigmoid")}
_LINEAR_FORWARD = Equation(  # evaluated with the layer, of which it is a part at the same inputs
    "linear_forward", _LAYER_FORWARD["relu"], ("A", "W", "b"), ("Z", "cache A", "cache W", "cache b"),
    unpack=_with_linear_cache, axes=_LAYER_AXES, picks=(4, 1, 2, 3),
)  # fmt: skip
_ACTIVATION_FORWARD = {
    g: Equation(
        g, lambda Z, g=g: ({"relu": mirror.relu, "sigmoid": mirror.sigmoid}[g](Z), Z),
        ("Z",), ("A", "cache Z"), unpack=lambda result: _tuple_of(result, "(A, cache)"), axes=("nm",),
        elsewhere=_OF_Z,
    )
    for g in ("relu", "sigmoid")
}  # fmt: skip
_LINEAR_ACTIVATION_FORWARD = {
    g: Equation(
        "linear_activation_forward",
        _LAYER_FORWARD[g],
        _LAYER, ("A", "cache A_prev", "cache W", "cache b", "cache Z"),
        pack=lambda A_prev, W, b, g=g: (A_prev, W, b, g), unpack=_with_activation_cache, axes=_LAYER_AXES,
    )
    for g in ("relu", "sigmoid")
}  # fmt: skip
_MISTAKES = {"relu": _relu_mistakes, "sigmoid": _sigmoid_mistakes}
_LINEAR_BACKWARD = Equation(
    "linear_backward", mirror.linear_backward, ("dZ", *_LAYER), ("dA_prev", "dW", "db"),
    pack=lambda dZ, A_prev, W, b: (dZ, (A_prev, W, b)), unpack=_three, cotangents=1,
    axes=("nm", *_LAYER_AXES), mistakes=_dropped_examples, forward=_LINEAR_FORWARD, factors=_ONE_OVER_M,
    differentiated=(0, 1, 2),
)  # fmt: skip
_ACTIVATION_BACKWARD = {
    g: Equation(
        f"{g}_backward", partial(mirror.activation_backward, activation=g), ("dA", "Z"), ("dZ",),
        cotangents=1, axes=("nm", "nm"), mistakes=_MISTAKES[g], forward=_ACTIVATION_FORWARD[g],
        differentiated=(0,), elsewhere=_OF_Z,
    )
    for g in ("relu", "sigmoid")
}  # fmt: skip
_LINEAR_ACTIVATION_BACKWARD = {
    g: Equation(
        "linear_activation_backward", partial(mirror.linear_activation_backward, activation=g),
        ("dA", *_LAYER, "Z"), ("dA_prev", "dW", "db"),
        pack=lambda dA, A_prev, W, b, Z, g=g: (dA, ((A_prev, W, b), Z), g), unpack=_three, cotangents=1,
        axes=("nm", *_LAYER_AXES, "nm"), mistakes=_MISTAKES[g], elsewhere=_OF_Z,
    )
    for g in ("relu", "sigmoid")
}  # fmt: skip
_COMPUTE_COST = Equation(
    "compute_cost",
    _compute_cost,
    ("AL", "Y"),
    ("cost",),
    axes=("1m", "1m"),
    elsewhere={SATURATED: _saturated},
)

FUNCTIONS = (  # inner ones before those that call them
    "sigmoid", "relu", "linear_forward", "linear_activation_forward", "L_model_forward", "compute_cost",
    "sigmoid_backward", "relu_backward", "linear_backward", "linear_activation_backward",
    "L_model_backward", "update_parameters",
)  # fmt: skip

FORWARD = FUNCTIONS[:5]  # which make the activations

_SIMPLE = {
    "linear_forward": _LINEAR_FORWARD, "sigmoid": _ACTIVATION_FORWARD["sigmoid"],
    "relu": _ACTIVATION_FORWARD["relu"], "compute_cost": _COMPUTE_COST,
    "sigmoid_backward": _ACTIVATION_BACKWARD["sigmoid"], "relu_backward": _ACTIVATION_BACKWARD["relu"],
}  # fmt: skip


def equation_of(function: str, arguments: tuple[Any, ...]) -> tuple[Equation, Inputs] | None:
    """The equation of a call of one of the exercise's functions, and its inputs laid out flat; None
    for a function with no equation of its own, or for arguments that do not fit one."""
    try:
        if function in _SIMPLE:
            equation, inputs = _SIMPLE[function], arguments
        elif function == "linear_backward":
            dZ, (A_prev, W, b) = arguments
            equation, inputs = _LINEAR_BACKWARD, (dZ, A_prev, W, b)
        elif function == "linear_activation_forward":
            *inputs_, activation = arguments
            equation, inputs = _LINEAR_ACTIVATION_FORWARD[activation], tuple(inputs_)
        elif function == "linear_activation_backward":
            dA, ((A_prev, W, b), Z), activation = arguments
            equation, inputs = _LINEAR_ACTIVATION_BACKWARD[activation], (dA, A_prev, W, b, Z)
        else:
            return None
        arrays = tuple(np.asarray(x) for x in inputs)
    except (TypeError, ValueError, KeyError):
        return None
    if len(arrays) != len(equation.inputs) or any(a.dtype.kind not in "fiub" for a in arrays):
        return None
    return equation, arrays
