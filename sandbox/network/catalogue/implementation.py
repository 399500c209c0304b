"""One entry of the catalogue, how entries are collected, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.typing import Array

Function = Callable[..., Any]


@dataclass(frozen=True)
class Implementation:
    """A function in place of one of the exercise's.

    Attributes:
        name: what it does, or does wrong.
        replaces: the exercise's name for it.
        function: the replacement.
        wrong: whether it must be caught; then `replaces` is what must be blamed.
        mistake: what people get wrong here, in a sentence; "" for a right one.
    """

    name: str
    replaces: str
    function: Function
    wrong: bool
    mistake: str = ""


def collected(
    catalogue: list[Implementation], *, wrong: bool
) -> Callable[..., Callable[[Function], Function]]:
    """A decorator that enters a function into the catalogue under its own name."""

    def enter(replaces: str, mistake: str = "") -> Callable[[Function], Function]:
        def entered(function: Function) -> Function:
            catalogue.append(Implementation(function.__name__, replaces, function, wrong, mistake))
            return function

        return entered

    return enter


def transposed(x: Array) -> Array:
    """The transpose of each matrix of a stack."""
    return np.swapaxes(x, -1, -2)


def layer_gradients(dZ: Array, cache: Any) -> Any:
    """What `linear_backward` should return, written once more: for one of them to be spoiled."""
    A_prev, W, _ = cache
    m = dZ.shape[-1]
    return transposed(W) @ dZ, dZ @ transposed(A_prev) / m, np.sum(dZ, axis=-1, keepdims=True) / m
