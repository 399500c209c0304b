"""The equations of the whole network, by the names of its parameters W1, b1, ..., WL, bL."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from sandbox.network import complete, mirror, passes
from sandbox.network.functions import SATURATED
from sandbox.network.mistakes import of_update
from sandbox.network.validation import check_caches
from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.equation import Equation
from sandbox.verifier.rows import Matter

RATE = 0.125  # of update_parameters: a power of 2, which every dtype holds exactly


@dataclass(frozen=True)
class Kind:
    """What the network is made of, by the names of the tables: that of the hidden layers, and the cost."""

    activation: str = "relu"
    cost: str = "cross_entropy"

    def options(self, name: str, function: Function) -> dict[str, str]:
        """The keywords by which a function in place of the one of this name is told."""
        return complete.options(name, function, activation=self.activation, cost=self.cost)

    @property
    def g(self) -> Function:
        mirrored: Function = getattr(mirror, self.activation)
        return mirrored

    @property
    def of_logits(self) -> Function:
        """The mirror of the cost as a function of Z[L], in a stable form where there is one."""
        stable: Function | None = getattr(mirror, f"{self.cost}_from_logits", None)
        return stable or partial(mirror.from_logits, cost=getattr(mirror, self.cost))


def gradient_keys(l: int) -> tuple[str, str, str]:
    """Those of what layer l hands on."""
    return f"dA{l - 1}", f"dW{l}", f"db{l}"


@lru_cache
def output_equation(kind: Kind) -> Equation:
    """dA{L-1}, dW{L} and db{L} from Y and what the cache of layer L holds."""
    return Equation(
        "L_model_backward", partial(mirror.output_backward, cost=kind.of_logits),
        ("Y", "A_prev", "W", "b", "Z"), (), axes=("1m", "pm", "np", "n1", "nm"), matter=Matter.GRADIENT,
    )  # fmt: skip


@lru_cache(maxsize=128)
def backward_equation(keys: tuple[str, ...], kind: Kind = Kind(), dA0: bool = True) -> Equation:
    """Every dA{l-1}, dW{l} and db{l} from X, Y and the parameters; `dA0`: whether that by X is one. The
    reference gives AL beside them, for `AL_equation`."""
    every = (name for l in range(len(keys) // 2, 0, -1) for name in gradient_keys(l))
    names = tuple(name for name in every if dA0 or name != "dA0")

    def reference(X: Value, Y: Value, *theta: Value) -> Inputs:
        AL, grads = mirror.L_model_backward(X, Y, _named(keys, theta), kind.g, kind.of_logits)
        return (*(grads[name] for name in names), AL)

    def pack(X: Array, Y: Array, *theta: Array) -> Inputs:
        AL, caches = passes.L_model_forward(X, _named(keys, theta), activation=kind.activation)
        return AL, Y, caches

    # By which input of the cost each output is the derivative; no input is an inner A{l}.
    by = {"dA0": 0} | {f"d{key}": i for i, key in enumerate(keys, start=2)}
    return Equation(
        "L_model_backward", reference, ("X", "Y", *keys), names, pack, partial(_unpack_gradients, names),
        axes=("pm", "1m", *_parameter_axes(keys)), matter=Matter.GRADIENT, picks=tuple(range(len(names))),
        differentiated=tuple(by.get(name, -1) for name in names),
        factors={names.index("dA0"): lambda X, *_: np.shape(X)[-1]} if dA0 else {},  # of the summed loss
        elsewhere={
            "gradients of 1e3": _large_gradients,
            SATURATED: lambda X, Y, *theta: _saturated(keys, kind, theta, X, Y),
        },
    )  # fmt: skip


def AL_equation(keys: tuple[str, ...], kind: Kind) -> Equation:
    """AL end to end, evaluated with the backward, of which it is a part at the same inputs."""
    whole = backward_equation(keys, kind)
    return replace(whole.part("L_model_forward", {len(whole.outputs): "AL"}), matter=Matter.VALUE)


def as_gradients(result: Value) -> Mapping[str, Value]:
    if not isinstance(result, Mapping):
        raise TypeError(f"it returned a {type(result).__name__}, expected the dict of gradients.")
    return result


def _unpack_gradients(names: tuple[str, ...], result: Value) -> Inputs:
    grads = as_gradients(result)
    for name in names:
        if name not in grads:
            raise ValueError(f"the dict of gradients has no '{name}'; it has {', '.join(map(str, grads))}.")
    return tuple(grads[name] for name in names)


@lru_cache(maxsize=128)
def forward_equation(keys: tuple[str, ...], kind: Kind = Kind()) -> Equation:
    """AL and the caches from X and the parameters."""
    L = len(keys) // 2
    caches = tuple(f"cache {l} {part}" for l in range(1, L + 1) for part in ("A_prev", "W", "b", "Z"))
    return Equation(
        "L_model_forward",
        lambda X, *theta: mirror.L_model_forward_with_caches(X, _named(keys, theta), kind.g),
        ("X", *keys), ("AL", *caches), lambda X, *theta: (X, _named(keys, theta)), partial(_unpack_caches, L),
        axes=("pm", *_parameter_axes(keys)), may_alias=caches,
        elsewhere={SATURATED: lambda X, *theta: _saturated(keys, kind, theta, X)},
    )  # fmt: skip


def _unpack_caches(L: int, result: Value) -> Inputs:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError("it did not return the tuple (AL, caches).")
    checked = check_caches(result[1])
    if len(checked) != L:
        raise ValueError(f"it returned {len(checked)} caches, expected {L}, one for each layer.")
    return (result[0], *(x for linear, Z in checked for x in (*linear, Z)))


def _saturated(keys: tuple[str, ...], kind: Kind, theta: Inputs, X: Array, *Y: Array) -> Inputs:
    """The last layer so much larger, in double precision, that sigmoids are near 0 and 1, where a clip of AL
    or a small number added to it shows."""
    X, *targets = (x.astype(np.float64) for x in (X, *Y))
    parameters = _named(keys, tuple(x.astype(np.float64) for x in theta))
    _, caches = passes.L_model_forward(X, parameters, activation=kind.activation)
    factor = 20 / np.max(np.abs(caches[-1][1]))
    *inner, W, b = parameters.values()
    return (X, *targets, *inner, factor * W, factor * b)


def _large_gradients(X: Array, Y: Array, W1: Array, *others: Array) -> Inputs:
    """The same Z from an X that is 2^10 times as large: dW1 is as much larger, and a clip shows."""
    factor = W1.dtype.type(2.0**10)
    return (factor * X, Y, W1 / factor, *others)


def unused_gradients(theta: Mapping[str, Array]) -> dict[str, Array]:
    """dA0, ..., dA{L-1} as L_model_backward returns them beside those by theta."""
    L = len(theta) // 2
    return {f"dA{l - 1}": np.ones((np.shape(theta[f"W{l}"])[-1], 1)) for l in range(1, L + 1)}


def update_inputs(theta: Mapping[str, Array], grads: Mapping[str, Array]) -> Inputs:
    return (*theta.values(), *(grads[f"d{key}"] for key in theta))


@lru_cache(maxsize=128)
def update_equation(keys: tuple[str, ...]) -> Equation:
    """theta - RATE dtheta for every parameter."""
    count = len(keys)

    def pack(*inputs: Array) -> Inputs:
        theta, dtheta = _named(keys, inputs[:count]), _named(keys, inputs[count:])
        return theta, {f"d{key}": x for key, x in dtheta.items()} | unused_gradients(theta), RATE

    def unpack_parameters(result: Value) -> Inputs:
        if not isinstance(result, Mapping) or set(result) != set(keys):
            got = list(result) if isinstance(result, Mapping) else type(result).__name__
            raise ValueError(f"it returned {got}, expected a dict with the keys {', '.join(keys)}.")
        return tuple(result[key] for key in keys)

    return Equation(
        "update_parameters", lambda *inputs: tuple(mirror.update_parameters(*pack(*inputs)).values()),
        (*keys, *(f"d{key}" for key in keys)), keys, pack, unpack_parameters,
        mistakes=lambda *inputs: of_update(inputs[:count], inputs[count:], RATE),
    )  # fmt: skip


def _named(keys: tuple[str, ...], theta: Inputs) -> dict[str, Value]:
    return dict(zip(keys, theta, strict=True))


def _parameter_axes(keys: tuple[str, ...]) -> Iterator[str]:
    return ("np" if key[0] == "W" else "n1" for key in keys)
