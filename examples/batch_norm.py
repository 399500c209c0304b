"""Batch normalisation in training mode, over m examples (rows).

    y = gamma (x - mu) / sqrt(var + eps) + beta,   mu, var over the examples

With xhat the normalised x and dxhat = dy gamma:
    dx = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / sqrt(var + eps)
Ioffe and Szegedy, *Batch normalization* (2015), section 3. x (m, n), gamma and beta (n,), eps a number,
which is not differentiated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sandbox import Operation


def forward(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    centred = x - np.mean(x, axis=0)
    std = np.sqrt(np.mean(centred**2, axis=0) + eps)
    xhat = centred / std
    return gamma * xhat + beta, (xhat, std, gamma)


def backward(dout: Any, cache: Any) -> Any:
    xhat, std, gamma = cache
    dxhat = dout * gamma
    dx = (dxhat - np.mean(dxhat, axis=0) - xhat * np.mean(dxhat * xhat, axis=0)) / std
    return dx, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


def mirror(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    centred = x - jnp.mean(x, axis=0)
    return gamma * centred / jnp.sqrt(jnp.mean(centred**2, axis=0) + eps) + beta


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    m, n = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    numbers = st.floats(-3, 3, width=16)
    x, gamma, beta = (draw(hnp.arrays(np.float64, s, elements=numbers)) for s in ((m, n), n, n))
    return x, gamma, beta, 1e-3


right = Operation(forward, backward, mirror, cases(), name="batch_norm")


def backward_with_constant_statistics(dout: Any, cache: Any) -> Any:
    """mu and var depend on x: taken as constants (as they are at test time), two terms of dx are lost."""
    xhat, std, gamma = cache
    return dout * gamma / std, np.sum(dout * xhat, axis=0), np.sum(dout, axis=0)


wrong = replace(right, backward=backward_with_constant_statistics)
