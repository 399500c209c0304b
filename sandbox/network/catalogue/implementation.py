"""One entry of the catalogue, how entries are written down, and what they share."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np

from sandbox.typing import Array, Function
from sandbox.verifier.rows import Matter


@dataclass(frozen=True)
class Implementation:
    """A function in place of one of the exercise's.

    Attributes:
        name: what it does, or does wrong.
        replaces: the exercise's name for it.
        function: the replacement.
        wrong: whether it must be caught; then `replaces` is what must be blamed.
        matter: what is wrong: a gradient, a value, or a manner alone.
        mistake: what people get wrong here, in a sentence; "" for a right one.
    """

    name: str
    replaces: str
    function: Function
    wrong: bool
    mistake: str = ""
    matter: Matter = Matter.VALUE


def wrong(replaces: str, **rows: tuple[str, Function]) -> tuple[Implementation, ...]:
    """A table of mistakes in one function: name=(the mistake, what is computed)."""
    matter = Matter.GRADIENT if replaces.endswith("_backward") else Matter.VALUE
    return tuple(
        Implementation(name, replaces, f, True, mistake, matter) for name, (mistake, f) in rows.items()
    )


def manners(replaces: str, **rows: tuple[str, Function]) -> tuple[Implementation, ...]:
    """A table of what is done to the callers of one function whose results are right."""
    return tuple(replace(entry, matter=Matter.MANNER) for entry in wrong(replaces, **rows))


def right(replaces: str, **rows: Function) -> tuple[Implementation, ...]:
    """A table of other ways to write one function: name=what is computed."""
    return tuple(Implementation(name, replaces, f, False) for name, f in rows.items())


def transposed(x: Array) -> Array:
    """The transpose of each matrix of a stack."""
    return np.swapaxes(x, -1, -2)


def written(x: Array, where: Any, value: Any) -> Array:
    """x itself, after x[where] = value."""
    x[where] = value
    return x


def layer_gradients(dZ: Array, cache: Any) -> Any:
    """What `linear_backward` should return, written once more."""
    A_prev, W, _ = cache
    m = dZ.shape[-1]
    return transposed(W) @ dZ, dZ @ transposed(A_prev) / m, np.sum(dZ, axis=-1, keepdims=True) / m


def gradients(**formulas: Function) -> Function:
    """A `linear_backward` with formulas of its own for some of dA_prev, dW and db.

    Each is a function of what its arguments name: dZ, A_prev, W, m, or one of the right gradients.
    """

    def linear_backward(dZ: Any, cache: Any) -> Any:
        right = dict(zip(("dA_prev", "dW", "db"), layer_gradients(dZ, cache), strict=True))
        known = right | {"dZ": dZ, "A_prev": cache[0], "W": cache[1], "m": dZ.shape[-1]}
        own = {name: f(**{x: known[x] for x in signature(f).parameters}) for name, f in formulas.items()}
        return tuple((right | own).values())

    return linear_backward


def of_layer(l: int, gradients: Iterable[Array]) -> dict[str, Array]:
    """The gradients of layer l by their keys."""
    return dict(zip((f"dA{l - 1}", f"dW{l}", f"db{l}"), gradients, strict=True))
