"""The third oracle: the hand-written forward, differentiated without automatic differentiation.

d/dt <dout, F(x + t v)> at t = 0, for real x, v and a cotangent dout, in two ways:

* the complex step Im <dout, F(x + i h v)> / h, which has no cancellation (Squire and Trapp,
  *Using complex variables to estimate derivatives of real functions*, SIAM Review 1998), where F
  takes complex numbers and is analytic;
* central differences with Richardson's extrapolation (Ridders, *Accurate computation of F'(x)*,
  1982), which need only F. They also tell whether the complex step can be believed: np.abs or
  np.maximum take complex numbers and are not analytic.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.typing import Array

_ROWS = 12  # of Richardson's table
_SHRINK = 2.0  # factor from one step to the next: from 1/20 of the argument's size to 1/40000, near a pole
_STEP = 1e-30  # of the complex step: h^2 vanishes beside 1


@dataclass(frozen=True)
class Derivative:
    """A directional derivative and a bound on its error, estimated from the extrapolation."""

    value: float
    error: float


def directional(function: Callable[[Any], Any], x: Array, v: Array, step: float | None = None) -> Derivative:
    """d/dt function(x + t v) at t = 0 of a real-valued function of an array.

    Args:
        function: may raise for complex arguments; then central differences are taken.
        x, v: of one shape; computed in float64.
        step: the largest step, by default 0.05 of the size of x in units of that of v.
    """
    x, v = np.asarray(x, np.float64), np.asarray(v, np.float64)
    by_differences = _richardson(function, x, v, step or _first_step(x, v))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            shifted = np.asarray(function(x + 1j * _STEP * v))
        except Exception:  # not for complex numbers, in whatever way the function says so
            return by_differences
    if shifted.dtype.kind != "c":
        return by_differences
    value = float(shifted.imag) / _STEP
    if not abs(value - by_differences.value) <= 10 * by_differences.error:
        return by_differences
    return Derivative(value, 64 * np.finfo(float).eps * abs(value) + np.finfo(float).tiny)


def _first_step(x: Array, v: Array) -> float:
    size = float(np.max(np.abs(v), initial=0.0))
    return 0.05 * max(float(np.sqrt(np.mean(x**2))) if x.size else 1.0, 1e-3) / (size or 1.0)


def _richardson(function: Callable[[Any], Any], x: Array, v: Array, h: float) -> Derivative:
    """Ridders' table: each column removes the next even power of h; the best entry is the one whose
    neighbours differ least."""
    table = np.zeros((_ROWS, _ROWS))
    size = float(np.max(np.abs(x), initial=0.0)) / (float(np.max(np.abs(v), initial=0.0)) or 1.0)
    best, error = float("nan"), float("inf")
    with np.errstate(all="ignore"):
        for i in range(_ROWS):
            plus, minus = float(np.real(function(x + h * v))), float(np.real(function(x - h * v)))
            table[i, 0] = (plus - minus) / (2 * h)
            # A few roundings of the function and of its arguments x +- h v (which its slope carries on); the
            # extrapolation amplifies them by less than prod_j (s^2j + 1) / (s^2j - 1) < 3 with s = 2.
            moved = max(abs(plus), abs(minus)) + abs(table[i, 0]) * size
            cancellation = 8 * np.finfo(float).eps * moved / h
            factor = _SHRINK**2
            for j in range(1, i + 1):
                table[i, j] = (table[i, j - 1] * factor - table[i - 1, j - 1]) / (factor - 1)
                factor *= _SHRINK**2
                spread = max(abs(table[i, j] - table[i, j - 1]), abs(table[i, j] - table[i - 1, j - 1]))
                if spread + cancellation < error:
                    best, error = float(table[i, j]), float(spread + cancellation)
            h /= _SHRINK
    return Derivative(best, error)
