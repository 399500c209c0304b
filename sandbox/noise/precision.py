"""The tested dtype, and how far one rounding in it moves a number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sandbox.typing import Array, Dtype

LARGE = 1 << 12  # numbers, of which a sum of squares is found sooner than the largest and the smallest
_NARROW = ("float16", "bfloat16")
_FLOATS = ("float64", "float32", *_NARROW)


@lru_cache  # a dtype's name takes longer than what is asked
def is_float(dtype: Dtype) -> bool:
    """Whether rounding in this dtype is known. NumPy does not count bfloat16 among the floats."""
    return dtype.name in _FLOATS


@lru_cache
def is_narrow(dtype: Dtype) -> bool:
    return dtype.name in _NARROW


def arithmetic(dtype: Dtype) -> Dtype:
    """In which a kernel computes that stores in `dtype`: narrow numbers are widened to float32 first."""
    return np.dtype(np.float32) if is_narrow(dtype) else dtype


def half_unit(stored: Array) -> Array:
    """Half a unit in the last place of each number of a narrow dtype, by which storing it may have moved it:
    at 0 that of the smallest number. 0 for wider ones, in whose arithmetic it is contained."""
    if not is_narrow(stored.dtype):
        return np.zeros(())
    limits, magnitude = _limits(stored.dtype), np.abs(stored.astype(np.float64))
    exponent = np.where(magnitude > 0, np.frexp(magnitude)[1] - 1, limits.minexp)
    return np.asarray(np.ldexp(1.0, np.maximum(exponent, limits.minexp) - limits.nmant - 1))


def _limits(dtype: Dtype) -> np.finfo[np.floating]:
    limits: np.finfo[np.floating] = jnp.finfo(dtype)  # type: ignore[no-untyped-call]  # NumPy's lacks bfloat16
    return limits


@dataclass(frozen=True)
class Precision:
    """A dtype with its unit roundoff u (2^-24 for float32, 2^-53 for float64), its smallest normal number,
    below which results may be flushed to 0 (many kernels do; of float16, whose subnormal numbers all kernels
    keep, the smallest of these), and its largest number."""

    dtype: Dtype
    u: float
    underflow: float
    largest: float

    @staticmethod
    def of(dtype: npt.DTypeLike) -> Precision:
        limits = _limits(np.dtype(dtype))
        smallest = limits.smallest_subnormal if limits.dtype == np.float16 else limits.tiny
        return Precision(limits.dtype, float(limits.eps) / 2, float(smallest), float(limits.max))

    @cached_property
    def of_sums(self) -> Precision:
        """In which terms are added up."""
        wider = arithmetic(self.dtype)
        return self if wider == self.dtype else Precision.of(wider)

    def holds(self, y: Array) -> bool:
        """Whether no number is beyond the largest one, or undefined."""
        if y.size > LARGE and y.flags.c_contiguous and np.vdot(y, y) < self.largest:
            return True  # its root, which none is beyond, is below it too
        return y.size == 0 or bool(y.max() <= self.largest and y.min() >= -self.largest)

    def is_short(self, y: Array) -> Array:
        """Whether numbers have at most half the digits of the dtype. A result of exact numbers that does is
        exact, but for a chance of about sqrt(u)."""
        scaled = np.ldexp(np.frexp(y)[0], round(-np.log2(self.u)) // 2)
        return np.asarray(scaled == np.floor(scaled))

    def floor(self, y: Array) -> Array:
        """The rounding of one stored value: u |y|, or what underflow leaves of it."""
        magnitude = np.abs(y)
        return np.asarray(np.minimum(magnitude, self.u * magnitude + self.underflow))
