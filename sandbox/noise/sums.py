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

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from sandbox.noise.precision import Precision
from sandbox.typing import Array

BLOCKS = 8
LANES = 8
PIECE = 1 << 20  # terms that are looked at together
TINY = np.finfo(np.float64).tiny


def of_sum(x: Array, axes: Sequence[int], precision: Precision) -> Array:
    """The standard deviation of the sum of x over `axes`."""
    front = np.moveaxis(_real(x), axes, range(len(axes)))
    terms = front.reshape((math.prod(front.shape[: len(axes)]), *front.shape[len(axes) :]))
    if len(terms) == 0:
        return np.zeros(terms.shape[1:])
    scale = _scale(terms, 0)
    squares = np.sum((terms / scale) ** 2, axis=0)
    alike, k = nearly_equal(terms, precision.u), len(terms)
    return _of_parts(lambda p: np.sum(terms[p], axis=0), k, squares, alike, scale[0], precision)


def of_products(x: Array, y: Array, precision: Precision) -> Array:
    """The standard deviation of x @ y, of (batch, n, k) and (batch, k, o): of a block of the rows or of the
    columns at a time."""
    x, y = _real(x), _real(y)
    n, o = x.shape[-2], y.shape[-1]
    count = -(-max(x.size, y.size, x.size // max(x.shape[-1], 1) * o) // PIECE)
    if count <= 1:
        return _of_products(x, y, precision)
    if n > o:
        rows = np.array_split(x, min(count, n), axis=-2)
        return np.concatenate([_of_products(part, y, precision) for part in rows], axis=-2)
    columns = np.array_split(y, min(count, o), axis=-1)
    return np.concatenate([_of_products(x, part, precision) for part in columns], axis=-1)


def _of_products(x: Array, y: Array, precision: Precision) -> Array:
    k = x.shape[-1]
    if k == 0:
        return np.zeros((*x.shape[:-1], y.shape[-1]))
    scale_x, scale_y = _scale(x, -1), _scale(y, -2)
    squares = (x / scale_x) ** 2 @ (y / scale_y) ** 2
    # A product that underflows leaves no trace in the squares, but is a rounding error.
    nonzero = (x != 0).astype(float) @ (y != 0).astype(float) > 0
    squares = np.where(nonzero, np.maximum(squares, TINY), 0.0)
    # Terms are alike only where both factors are.
    rows = nearly_equal(np.moveaxis(x, -1, 0), precision.u)[..., :, None]
    columns = nearly_equal(np.moveaxis(y, -2, 0), precision.u)[..., None, :]
    alike, scale = np.minimum(rows, columns), scale_x * scale_y
    return _of_parts(lambda p: x[..., p] @ y[..., p, :], k, squares, alike, scale, precision)


def of_running_sum(x: Array, y: Array, axis: int, reverse: bool, u: float) -> Array:
    """The standard deviation, in units of u, of the running sums y of x along an axis, added one by one: an
    entry has made the roundings of the partial sums up to it."""
    order = slice(None, None, -1 if reverse else 1)
    terms, partials = (np.moveaxis(_real(a), axis, 0)[order] for a in (x, y))
    count = np.arange(1, len(terms) + 1).reshape(-1, *(1,) * (terms.ndim - 1))
    alike = np.minimum(nearly_equal(terms, u), count)
    return np.moveaxis(np.sqrt(np.cumsum(partials**2, axis=0) * alike)[order], 0, axis)


def _of_parts(
    added: Callable[[slice], Array], k: int, squares: Array, alike: Array, scale: Array, precision: Precision
) -> Array:
    """The standard deviation of a sum of k terms.

    Args:
        added: the sum of some of the terms.
        squares: the sum of squares of the terms divided by `scale`, lest they overflow or underflow.
        alike: by how much nearly equal terms raise the variance of the roundings (see `nearly_equal`).
    """
    block, divisor = k / min(BLOCKS, k), np.maximum(scale, TINY)
    total, blocks = _blocks(added, k, divisor)
    lanes = sum((added(slice(l, None, LANES)) / divisor) ** 2 for l in range(min(LANES, k)))
    variance = np.maximum(block * blocks, k / LANES * lanes) / 3 + (block / 6 + 1) * squares
    deviation = precision.u * np.sqrt(variance * alike) * scale
    # Each of the k terms may underflow. Where even the squares do, the rounding of the result is left.
    deviation = np.where(squares > 0, deviation + precision.underflow * np.sqrt(k), 0.0)
    deviation = np.maximum(deviation, precision.floor(total))
    # sum_j |t_j| <= sqrt(k sum_j t_j^2): beyond the largest number a partial sum may overflow.
    return np.where(np.sqrt(k * squares) * scale > precision.largest, np.inf, deviation)


def _blocks(added: Callable[[slice], Array], k: int, divisor: Array) -> tuple[Array, Array]:
    """The sum of k terms, and sum_b S_{b-1}^2 + S_{b-1} S_b + S_b^2 for its sums S_b after each block."""
    borders = np.linspace(0, k, min(BLOCKS, k) + 1).astype(int)
    total = S = areas = np.zeros(())
    for a, b in itertools.pairwise(borders):
        total = total + added(slice(a, b))
        before, S = S, total / divisor
        areas = areas + (before**2 + before * S + S**2)
    return total, areas


def nearly_equal(terms: Array, u: float) -> Array:
    """sum_c n_c^2 / sum_c n_c over the clusters c of nearly equal terms along the first axis, at least 1.

    S_j lies on the grid of ulp(S_j), so that rounding S_j + t errs by a function of t alone: terms that
    differ by less than the grid err alike, and n_c of them err n_c times as much, not sqrt(n_c) times.
    The grid of k terms is at most 2 u k times their size. The sign does not matter, zeros do not count.
    """
    if terms.size > PIECE and terms.ndim > 1 and terms.shape[1] > 1:
        count = min(-(-terms.size // PIECE), terms.shape[1])
        pieces = (nearly_equal(piece, u) for piece in np.array_split(terms, count, axis=1))
        return np.concatenate(list(pieces))
    k, size = len(terms), np.abs(terms)
    largest = np.max(size, axis=0, where=np.isfinite(size), initial=0.0)
    cells = np.floor(size / np.maximum(largest * 2 * u * k, TINY))
    cells = np.sort(np.where(size > 0, cells, -1.0), axis=0)
    borders = cells[1:] != cells[:-1]
    if borders.all():
        return np.ones(terms.shape[1:])
    # The length of each run of equal cells, found at its last entry, with the columns one after the other.
    columns = np.moveaxis(cells, 0, -1).ravel()
    ends = np.flatnonzero(np.moveaxis(np.concatenate([borders, np.ones_like(borders[:1])]), 0, -1))
    lengths = np.diff(ends, prepend=-1) * (columns[ends] >= 0)
    squares, counts = (np.bincount(ends // k, lengths**power, cells[0].size) for power in (2, 1))
    return np.asarray(np.maximum(squares / np.maximum(counts, 1), 1.0).reshape(terms.shape[1:]))


def _real(terms: Array) -> Array:
    """Of complex terms the moduli, whose sum errs no less."""
    return np.abs(terms) if terms.dtype.kind == "c" else terms


def _scale(x: Array, axis: int) -> Array:
    """The largest finite magnitude along an axis, by which to divide before squaring."""
    largest = np.max(np.abs(x), axis=axis, keepdims=True, where=np.isfinite(x), initial=0.0)
    return np.asarray(np.maximum(largest, TINY))
