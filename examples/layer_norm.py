"""Layer normalisation, over the last axis, with a learnable scalar scale.

    y = g (x - mu) / sqrt(var + eps),   mu, var over the last axis of each example

    dx = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / sqrt(var + eps),   dg = sum(dy xhat)
Ba, Kiros and Hinton, *Layer normalization* (2016). x (m, n); g is a plain Python number that is
differentiated because `differentiable` names it. The gradients are returned as a dict.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sandbox import Operation

EPS = 1e-3


def forward(x: Any, g: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    std = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + EPS)
    return g * centred / std, (centred / std, std, g)


def backward(dout: Any, cache: Any) -> Any:
    xhat, std, g = cache
    return {"dx": _dx(dout * g, xhat, std, axis=-1), "dg": np.sum(dout * xhat)}


def _dx(dxhat: Any, xhat: Any, std: Any, axis: int) -> Any:
    along = np.mean(dxhat * xhat, axis=axis, keepdims=True)
    return (dxhat - np.mean(dxhat, axis=axis, keepdims=True) - xhat * along) / std


def mirror(x: Any, g: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return g * centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + EPS)


cases = st.tuples(
    hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-3, 3, width=16)
    ),
    st.floats(0.5, 2, width=16),
)
right = Operation(forward, backward, mirror, cases, name="layer_norm", differentiable=("x", "g"))


def backward_over_the_wrong_axis(dout: Any, cache: Any) -> Any:
    """Batch normalisation's formula, over the examples: the shapes fit, the numbers do not."""
    xhat, std, g = cache
    return {"dx": _dx(dout * g, xhat, std, axis=0), "dg": np.sum(dout * xhat)}


wrong = replace(right, backward=backward_over_the_wrong_axis)
