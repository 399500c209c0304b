"""Smaller inputs of the same kind: contracts hold or fail on few numbers, and are asked many times over."""

import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from sandbox.noise import widened
from sandbox.typing import Array, Inputs, Value
from sandbox.verifier.equation import Equation

FEW = 16  # entries that are left along an axis
LARGE = 1 << 16  # numbers, from which on inputs are made smaller


def smaller(equation: Equation, inputs: Inputs, fits: Callable[[Inputs], bool]) -> Inputs:
    """Large inputs without all but the first few entries along every axis of the same length: the axes of one
    length belong together in all inputs, as those of x and W in x @ W do. The longest first, each length
    only if the outcome `fits`; so what is an index into an axis, or a number of heads that divides it, keeps
    that axis as it is.
    """
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    if sum(x.size for x in arrays) < LARGE:
        return inputs
    for length in sorted({n for x in arrays for n in x.shape if n > FEW}, reverse=True):
        cut = _cut(equation, inputs, length)
        if cut is not None and fits(cut):
            inputs = cut
    return inputs


def _cut(equation: Equation, inputs: Inputs, length: int) -> Inputs | None:
    """Along the axes of this length, with cotangents of the shapes of what the mirror makes of them."""
    count = equation.cotangents
    given = tuple(map(partial(_few, length=length), inputs[count:]))
    if not count or equation.forward is None:
        return (*map(partial(_few, length=length), inputs[:count]), *given)
    try:
        with jax.enable_x64(True):
            outputs = jax.eval_shape(equation.forward.reference, *(widened(np.asarray(x)) for x in given))
    except Exception:  # whatever the mirror has against shapes that do not belong together
        return None
    # After the outputs that have cotangents a forward may give a cache.
    cotangents = [_first(x, out.shape) for x, out in zip(inputs[:count], outputs, strict=False)]
    return None if any(x is None for x in cotangents) else (*cotangents, *given)


def _few(x: Value, length: int) -> Value:
    if not isinstance(x, np.ndarray):
        return x
    return x[tuple(slice(FEW if n == length else n) for n in x.shape)].copy() if length in x.shape else x


def _first(x: Array, shape: tuple[int, ...]) -> Array | None:
    """As many of its entries along each axis, if it has them."""
    if (
        x.ndim != len(shape)
        or any(n > m for n, m in zip(shape, x.shape, strict=True))
        or not math.prod(shape)
    ):
        return None
    return x[tuple(map(slice, shape))].copy()
