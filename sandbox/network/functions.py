"""The table of the network: each function of the exercise with its mirror, what its outputs may alias, and
the mistakes that are known of it.

A function of the table finds its equation by the arguments of a call. `NETWORK` says where the functions find
each other, in the order "inner ones before those that call them".
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from sandbox import network
from sandbox.network import complete, mirror, passes
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.network.mistakes import dropped_examples, of_activation, of_cost, of_linear_cache, of_values
from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.equation import Equation
from sandbox.verifier.recording import Family, Place

FUNCTIONS = complete.FUNCTIONS


def _places() -> tuple[Place, ...]:
    """Where the passes are called from: by a public name, as a kernel, or through the activations' table."""
    modules = [(vars(module), name, name) for module in (network, passes) for name in FUNCTIONS]
    kernels = [(vars(passes), f"_{name}", name) for name in FUNCTIONS if hasattr(passes, f"_{name}")]
    entries = [(vars(ACTIVATIONS[g]), "forward", g) for g in ACTIVATIONS if g in FUNCTIONS]
    entries += [(vars(ACTIVATIONS[g]), "backward", f"{g}_backward") for g in ACTIVATIONS if g in FUNCTIONS]
    return (*modules, *kernels, *entries)


NETWORK = Family(FUNCTIONS, _places())


# --- what comes back ------------------------------------------------------------------------------


def _tuple_of(result: Value, parts: str, what: str = "it returned") -> Inputs:
    names = parts.strip("()").split(", ")
    if not isinstance(result, tuple | list):
        raise TypeError(f"{what} a {type(result).__name__}, expected the tuple {parts}.")
    if len(result) != len(names):
        raise ValueError(f"{what} {len(result)} values, expected {len(names)}: {parts}.")
    return tuple(result)


_cached = partial(_tuple_of, what="its cache is or holds")


def _with_linear_cache(result: Value) -> Inputs:
    Z, cache = _tuple_of(result, "(Z, cache)")
    return (Z, *_cached(cache, "(A, W, b)"))


def _with_activation_cache(result: Value) -> Inputs:
    A, cache = _tuple_of(result, "(A, cache)")
    linear_cache, Z = _cached(cache, "(linear_cache, activation_cache)")
    return (A, *_cached(linear_cache, "(A_prev, W, b)"), Z)


# --- other inputs, at which ordinary networks hide mistakes ---------------------------------------

SATURATED = "AL near 0 and 1"


def _large(*inputs: Value) -> Inputs:
    """A third of Z stays as it is, by whose size the rest is judged."""
    *others, Z = inputs
    large = np.choose(np.arange(Z.size).reshape(Z.shape) % 3, (1000, -1000, Z))
    return (*others, large.astype(Z.dtype))


_OF_Z: dict[str, Callable[..., Inputs]] = {
    "Z = 0": lambda *inputs: (*inputs[:-1], np.zeros_like(inputs[-1])),
    "Z = 1000 and -1000": _large,
}


def _saturated(AL: Array, Y: Array) -> Inputs:
    """In double precision, where a clip of AL or a small number added to it shows."""
    ends, targets = (1e-9, 1e-9, 1 - 2.0**-20, 1 - 2.0**-20), (1.0, 0.0, 1.0, 0.0)
    return np.resize(ends, AL.shape), np.resize(targets, Y.shape)


# --- the equations --------------------------------------------------------------------------------

_LAYER, _LAYER_AXES = ("A_prev", "W", "b"), ("pm", "np", "n1")


def _one_over_m(dZ: Array, *others: Value) -> float:
    return 1 / float(dZ.shape[-1])


def _of_each(make: Callable[[str, Function], Equation]) -> dict[str, Equation]:
    """One for each activation g, from its name and its mirror."""
    return {g: make(g, getattr(mirror, g)) for g in ACTIVATIONS}


LAYER_FORWARD = _of_each(lambda name, g: Equation(
    "linear_activation_forward", partial(mirror.linear_activation_forward, g=g), _LAYER,
    ("A", "cache A_prev", "cache W", "cache b", "cache Z"), axes=_LAYER_AXES,
    pack=lambda A_prev, W, b: (A_prev, W, b, name), unpack=_with_activation_cache,
    may_alias=("cache A_prev", "cache W", "cache b", "cache Z"), answers=of_values(name),
))  # fmt: skip
LINEAR_FORWARD = Equation(  # evaluated with the layer, of which it is a part at the same inputs
    "linear_forward", LAYER_FORWARD["relu"].reference, ("A", "W", "b"),
    ("Z", "cache A", "cache W", "cache b"), unpack=_with_linear_cache, axes=_LAYER_AXES, picks=(4, 1, 2, 3),
    may_alias=("cache A", "cache W", "cache b"), answers=of_linear_cache,
)  # fmt: skip
ACTIVATION_FORWARD = _of_each(lambda name, g: Equation(
    name, lambda Z: (g(Z), Z), ("Z",), ("A", "cache Z"), axes=("nm",),
    unpack=lambda result: _tuple_of(result, "(A, cache)"), may_alias=("cache Z",), elsewhere=_OF_Z,
    answers=of_values(name),
))  # fmt: skip
LINEAR_BACKWARD = Equation(
    "linear_backward", mirror.linear_backward, ("dZ", *_LAYER), ("dA_prev", "dW", "db"),
    pack=lambda dZ, A_prev, W, b: (dZ, (A_prev, W, b)),
    unpack=lambda result: _tuple_of(result, "(dA_prev, dW, db)"), cotangents=1, axes=("nm", *_LAYER_AXES),
    mistakes=dropped_examples, forward=LINEAR_FORWARD, differentiated=(0, 1, 2),
    factors={1: _one_over_m, 2: _one_over_m},
)  # fmt: skip
ACTIVATION_BACKWARD = _of_each(lambda name, g: Equation(
    f"{name}_backward", partial(mirror.activation_backward, g=g), ("dA", "Z"), ("dZ",), cotangents=1,
    axes=("nm", "nm"), mistakes=of_activation(name), forward=ACTIVATION_FORWARD[name],
    differentiated=(0,), elsewhere=_OF_Z,
))  # fmt: skip
LAYER_BACKWARD = _of_each(lambda name, g: Equation(
    "linear_activation_backward", partial(mirror.linear_activation_backward, g=g), ("dA", *_LAYER, "Z"),
    ("dA_prev", "dW", "db"), pack=lambda dA, A_prev, W, b, Z: (dA, ((A_prev, W, b), Z), name),
    unpack=LINEAR_BACKWARD.unpack, cotangents=1, axes=("nm", *_LAYER_AXES, "nm"),
    mistakes=of_activation(name), elsewhere=_OF_Z,
))  # fmt: skip
COST = {name: Equation(
    "compute_cost", getattr(mirror, name), ("AL", "Y"), ("cost",), axes=("1m", "1m"),
    elsewhere={SATURATED: _saturated}, answers=of_cost(name),
) for name in COSTS}  # fmt: skip


# --- which equation a call has --------------------------------------------------------------------

Found = tuple[Equation, Inputs]


def _of_layer(dA: Value, cache: Value, activation: str) -> Found:
    (A_prev, W, b), Z = cache
    return LAYER_BACKWARD[activation], (dA, A_prev, W, b, Z)


_BY_ARGUMENTS: dict[str, Callable[..., Found]] = {
    "linear_forward": lambda A, W, b: (LINEAR_FORWARD, (A, W, b)),
    "linear_activation_forward": lambda A_prev, W, b, g: (LAYER_FORWARD[g], (A_prev, W, b)),
    "linear_backward": lambda dZ, cache: (LINEAR_BACKWARD, (dZ, *_tuple_of(cache, "(A_prev, W, b)"))),
    "linear_activation_backward": _of_layer,
    **{g: lambda Z, e=e: (e, (Z,)) for g, e in ACTIVATION_FORWARD.items()},
    **{e.function: lambda dA, Z, e=e: (e, (dA, Z)) for e in ACTIVATION_BACKWARD.values()},
}


def equation_of(function: str, *arguments: Value, cost: str = "cross_entropy") -> Found | None:
    """The equation of a call of one of the exercise's functions in a network of this cost, and its inputs
    laid out flat; None for a function with no equation of its own, or for arguments that do not fit one."""
    try:
        if function == "compute_cost":
            AL, Y = arguments
            equation, inputs = COST[cost], (AL, Y)
        else:
            equation, inputs = _BY_ARGUMENTS[function](*arguments)
        arrays = tuple(np.asarray(x) for x in inputs)
    except Exception:  # of whatever kind the arguments are
        return None
    return (equation, arrays) if all(a.dtype.kind in "fiub" for a in arrays) else None
