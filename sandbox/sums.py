"""The rounding error of sums: of terms, and of the products in a product of matrices.

A sum of k terms t_j with the partial sums S_j, added one by one, errs by u sqrt(sum_j S_j^2), plus
u sqrt(sum_j t_j^2) for the products of a dot product. This is the first-order error of recursive
summation (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 4.2) with
independent roundings (Higham and Mary 2019); pairwise and blocked sums err less. The design's
u sqrt(log2(k+1) sum t_j^2) is smaller than the rounding of the final addition alone when the terms
have one sign, so it is not used. The partial sums are taken in blocks, in the order of the data:
with l = k/B terms in block b, sum_j S_j^2 ~ l (S_{b-1}^2 + S_{b-1} S_b + S_b^2) / 3 + l sum t_j^2 / 6.
Vector instructions add every 2nd, 4th, 8th, ... term in a lane of its own. Where signs alternate, as those
of dZ do when the labels do, a lane's sums grow though those in the order of the data do not: with the sums
T_b of 8 lanes, sum_j S_j^2 ~ (k/8) sum_b T_b^2 / 3. The larger of the two is taken. Nearly equal terms are
rounded alike, and their errors add up: see `nearly_equal`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.typing import Array

BLOCKS = 8
LANES = 8


@dataclass(frozen=True)
class Precision:
    """The tested dtype: its unit roundoff u (2^-24 for float32, 2^-53 for float64), its smallest normal
    number, below which results may be flushed to 0, and its largest number."""

    u: float
    underflow: float
    largest: float

    @staticmethod
    def of(dtype: np.dtype[Any]) -> Precision:
        limits = np.finfo(dtype)
        return Precision(float(limits.eps) / 2, float(limits.tiny), float(limits.max))

    def is_short(self, y: Array) -> Array:
        """Whether numbers have at most half the digits of the dtype. A result of exact numbers that does is
        exact, but for a chance of about sqrt(u)."""
        mantissa, _ = np.frexp(y)
        scaled = np.ldexp(mantissa, round(-np.log2(self.u)) // 2)
        return np.asarray(scaled == np.floor(scaled))

    def floor(self, y: Array) -> Array:
        """The rounding of one stored value: u |y|, or what underflow leaves of it."""
        magnitude = np.abs(y)
        return np.asarray(np.minimum(magnitude, self.u * magnitude + self.underflow))


def of_sum(terms: Array, precision: Precision) -> Array:
    """The standard deviation of the sum of (k, ...) terms over the first axis."""
    scale = _scale(terms, 0)
    partials = (np.sum(terms[block], axis=0) for block in _blocks(len(terms)))
    lanes = (np.sum(terms[lane], axis=0) for lane in _lanes(len(terms)))
    squares = np.sum((terms / scale) ** 2, axis=0)
    alike = nearly_equal(terms, precision.u)
    return _summation(partials, lanes, squares, alike, len(terms), scale[0], precision)


def of_running_sum(terms: Array, partials: Array, u: float) -> Array:
    """The same of the running sums of (k, ...) terms, added one by one: entry j has made the roundings of
    the partial sums up to j."""
    count = np.arange(1, len(terms) + 1).reshape(-1, *(1,) * (terms.ndim - 1))
    alike = np.minimum(nearly_equal(terms, u), count)
    return np.asarray(np.sqrt(np.cumsum(partials**2, axis=0) * alike))


def of_products(x: Array, y: Array, precision: Precision) -> Array:
    """The standard deviation of x @ y, of (batch, n, k) and (batch, k, o)."""
    k = x.shape[-1]
    if k == 0:
        return np.zeros((*x.shape[:-1], y.shape[-1]))
    partials = (x[..., block] @ y[..., block, :] for block in _blocks(k))
    lanes = (x[..., lane] @ y[..., lane, :] for lane in _lanes(k))
    scale_x, scale_y = _scale(x, -1), _scale(y, -2)
    squares = (x / scale_x) ** 2 @ (y / scale_y) ** 2
    # A product that underflows leaves no trace in the squares, but is a rounding error.
    nonzero = (x != 0).astype(float) @ (y != 0).astype(float) > 0
    squares = np.where(nonzero, np.maximum(squares, np.finfo(float).tiny), 0.0)
    # Terms are alike only where both factors are.
    rows = nearly_equal(np.moveaxis(x, -1, 0), precision.u)[..., :, None]
    columns = nearly_equal(np.moveaxis(y, -2, 0), precision.u)[..., None, :]
    alike = np.minimum(rows, columns)
    return _summation(partials, lanes, squares, alike, k, scale_x * scale_y, precision)


def _summation(
    partials: Iterable[Array],
    lanes: Iterable[Array],
    squares: Array,
    alike: Array,
    k: int,
    scale: Array,
    precision: Precision,
) -> Array:
    """The standard deviation of a sum of k terms.

    Args:
        partials: the sums of the blocks. lanes: the sums of every 8th term.
        squares: the sum of squares of the terms divided by `scale`, which keeps them from overflow and
            underflow.
        alike: by how much nearly equal terms raise the variance of the roundings (see `nearly_equal`).
    """
    divisor = np.maximum(scale, np.finfo(float).tiny)
    block = k / min(BLOCKS, k)
    total, S, areas = np.zeros_like(squares), np.zeros_like(squares), np.zeros_like(squares)
    for partial in partials:
        total += partial
        before, S = S, total / divisor
        areas += before**2 + before * S + S**2
    lane_areas = np.zeros_like(squares)
    for lane in lanes:
        lane_areas += (lane / divisor) ** 2
    variance = np.maximum(block * areas, k / LANES * lane_areas) / 3 + (block / 6 + 1) * squares
    deviation = precision.u * np.sqrt(variance * alike) * scale
    # Each of the k terms may underflow. Where even the squares
    # underflow, the rounding of the result is what is left.
    deviation = np.where(squares > 0, deviation + precision.underflow * np.sqrt(k), 0.0)
    deviation = np.maximum(deviation, precision.floor(total))
    # sum_j |t_j| <= sqrt(k sum_j t_j^2): beyond the largest number a partial sum may overflow.
    return np.where(np.sqrt(k * squares) * scale > precision.largest, np.inf, deviation)


def nearly_equal(terms: Array, u: float) -> Array:
    """sum_c n_c^2 / sum_c n_c over the clusters c of nearly equal terms along the first axis, at least 1.

    S_j lies on the grid of ulp(S_j), so that rounding S_j + t errs by a function of t alone: terms that
    differ by less than the grid err alike, and n_c of them err n_c times as much, not sqrt(n_c) times.
    The grid of k terms is at most 2 u k times their size. The sign does not matter, zeros do not count.
    """
    k = len(terms)
    if k < 2:
        return np.ones(terms.shape[1:])
    size = np.abs(terms)
    largest = np.max(size, axis=0, where=np.isfinite(size), initial=0.0)
    cells = np.floor(size / np.maximum(largest * 2 * u * k, np.finfo(float).tiny))
    cells = np.sort(np.where(size > 0, cells, -1.0), axis=0)
    border = cells[1:] != cells[:-1]
    if border.all():
        return np.ones(terms.shape[1:])
    # The length of each run of equal cells, counted at its last entry.
    index = np.arange(1, k + 1).reshape(-1, *(1,) * (cells.ndim - 1))
    last = np.concatenate([border, np.ones((1, *border.shape[1:]), bool)])
    ends = np.where(last, index, 0)
    previous = np.concatenate(
        [np.zeros((1, *border.shape[1:]), int), np.maximum.accumulate(ends, axis=0)[:-1]]
    )
    runs = np.where(last & (cells >= 0), index - previous, 0)
    return np.asarray(
        np.maximum(np.sum(runs.astype(float) ** 2, axis=0) / np.maximum(np.sum(runs, axis=0), 1), 1.0)
    )


def _scale(x: Array, axis: int) -> Array:
    """The largest finite magnitude along an axis, by which to divide before squaring."""
    largest = np.max(np.abs(x), axis=axis, keepdims=True, where=np.isfinite(x), initial=0.0)
    return np.asarray(np.maximum(largest, np.finfo(float).tiny))


def _blocks(k: int) -> Iterator[slice]:
    """The blocks of a sum of k terms, at most 8."""
    borders = np.linspace(0, k, min(BLOCKS, k) + 1).astype(int)
    return (slice(a, b) for a, b in itertools.pairwise(borders))


def _lanes(k: int) -> Iterator[slice]:
    return (slice(l, None, LANES) for l in range(min(LANES, k)))
