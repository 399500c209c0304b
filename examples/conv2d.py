"""A 2-D convolution (cross-correlation) with stride and zero padding.

    out[i, f, p, q] = b[f] + sum_{c, u, v} xpad[i, c, p s + u, q s + v] w[f, c, u, v]

x (m, C, H, W), w (F, C, kh, kw), b (F,); stride s and padding are whole numbers, not differentiated.
dw sums dout times the windows; dx adds, for every tap (u, v), dout w[:, :, u, v] to the places that it was
read from. Dumoulin and Visin, *A guide to convolution arithmetic* (2016).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.stride_tricks import sliding_window_view

from sandbox import Operation


def forward(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
    around = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    windows = sliding_window_view(np.pad(x, around), w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    out = np.einsum("icpquv,fcuv->ifpq", windows, w) + b[:, None, None]
    return out, (x.shape, windows, w, stride, padding)


def backward(dout: Any, cache: Any) -> Any:
    shape, windows, w, stride, padding = cache
    dw = np.einsum("ifpq,icpquv->fcuv", dout, windows)
    return _dx(dout, w, shape, stride, padding), dw, np.sum(dout, axis=(0, 2, 3))


def _dx(dout: Any, w: Any, shape: Any, stride: int, padding: int) -> Any:
    m, C, H, W = shape
    P, Q = dout.shape[2:]
    dxpad = np.zeros((m, C, H + 2 * padding, W + 2 * padding), dout.dtype)
    for u in range(w.shape[2]):
        for v in range(w.shape[3]):
            rows, columns = slice(u, u + stride * P, stride), slice(v, v + stride * Q, stride)
            dxpad[:, :, rows, columns] += np.einsum("ifpq,fc->icpq", dout, w[:, :, u, v])
    return dxpad[:, :, padding : padding + H, padding : padding + W].copy()


def mirror(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
    out = jax.lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2)
    return out + b[:, None, None]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    side, k = draw(st.integers(3, 5)), draw(st.integers(1, 3))
    m, C, F = (draw(st.integers(1, 2)) for _ in range(3))
    shapes = ((m, C, side, side), (F, C, k, k), (F,))
    x, w, b = (draw(hnp.arrays(np.float64, s, elements=st.floats(-2, 2, width=16))) for s in shapes)
    return x, w, b, draw(st.integers(1, 2)), draw(st.integers(0, 1))


right = Operation(forward, backward, mirror, cases(), name="conv2d")


def backward_with_the_kernel_flipped(dout: Any, cache: Any) -> Any:
    """That the gradient is a convolution with the flipped kernel holds of dout padded in full. Where the
    taps are placed one by one, as here, a flip is one too many; a kernel of 1 x 1 hides it."""
    shape, windows, w, stride, padding = cache
    dw = np.einsum("ifpq,icpquv->fcuv", dout, windows)
    flipped = w[:, :, ::-1, ::-1]
    return _dx(dout, flipped, shape, stride, padding), dw, np.sum(dout, axis=(0, 2, 3))


wrong = replace(right, backward=backward_with_the_kernel_flipped)
