"""The tested dtype, and how far one rounding in it moves a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sandbox.typing import Array, Dtype

_FLOATS = ("float64", "float32", "float16")


def is_float(dtype: Dtype) -> bool:
    """Whether rounding in this dtype is known."""
    return dtype.name in _FLOATS


@dataclass(frozen=True)
class Precision:
    """A dtype with its unit roundoff u (2^-24 for float32, 2^-53 for float64), its smallest normal number,
    below which results may be flushed to 0 (many kernels do), and its largest number."""

    dtype: np.dtype[np.floating]
    u: float
    underflow: float
    largest: float

    @staticmethod
    def of(dtype: npt.DTypeLike) -> Precision:
        limits = np.finfo(np.dtype(dtype))
        return Precision(limits.dtype, float(limits.eps) / 2, float(limits.tiny), float(limits.max))

    def holds(self, y: Array) -> bool:
        """Whether no number is beyond the largest one, or undefined."""
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
