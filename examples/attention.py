"""Scaled dot-product attention, with its weights as a second output.

    S = Q K^T / sqrt(d),   P = softmax(S) along the keys,   out = P V

Given dout and dP' (the cotangent of the weights):
    dV = P^T dout,   dP = dout V^T + dP',   dS = P (dP - rowsum(dP P)),   dQ = dS K / sqrt(d),
    dK = dS^T Q / sqrt(d)
Vaswani et al., *Attention is all you need* (2017), 3.2.1. Q (n, d), K (k, d), V (k, e); mask (n, k) of
booleans, True where a query may look, or None.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sandbox import Operation


def forward(Q: Any, K: Any, V: Any, mask: Any) -> Any:
    S = Q @ K.T / np.sqrt(Q.dtype.type(Q.shape[1]))
    if mask is not None:
        S = np.where(mask, S, -np.inf)
    e = np.exp(S - np.max(S, axis=1, keepdims=True))
    P = e / np.sum(e, axis=1, keepdims=True)
    return P @ V, P, (Q, K, V, P.copy())


def backward(dout: Any, dweights: Any, cache: Any) -> Any:
    Q, K, V, P = cache
    dP = dout @ V.T + dweights
    dS = P * (dP - np.sum(dP * P, axis=1, keepdims=True))
    return (*_through_the_scores(dS, Q, K), P.T @ dout)


def _through_the_scores(dS: Any, Q: Any, K: Any) -> Any:
    scale = np.sqrt(Q.dtype.type(Q.shape[1]))
    return dS @ K / scale, dS.T @ Q / scale


def mirror(Q: Any, K: Any, V: Any, mask: Any) -> Any:
    S = Q @ K.T / jnp.sqrt(Q.shape[1])
    P = jax.nn.softmax(S if mask is None else jnp.where(mask, S, -jnp.inf), axis=1)
    return P @ V, P


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    n, k, d, e = (draw(st.integers(1, 4)) for _ in range(4))
    shapes = ((n, d), (k, d), (k, e))
    Q, K, V = (draw(hnp.arrays(np.float64, s, elements=st.floats(-2, 2, width=16))) for s in shapes)
    mask = draw(st.none() | hnp.arrays(np.bool_, (n, k)))
    if mask is not None:
        mask[:, 0] = True  # every query may look somewhere
    return Q, K, V, mask


right = Operation(forward, backward, mirror, cases(), name="attention", outputs=("out", "weights"))


def backward_without_the_row_sum(dout: Any, dweights: Any, cache: Any) -> Any:
    """The weights of a row add up to 1, so a softmax has no elementwise derivative P (1 - P): each score
    moves every weight of its row."""
    Q, K, V, P = cache
    dS = P * (1 - P) * (dout @ V.T + dweights)
    return (*_through_the_scores(dS, Q, K), P.T @ dout)


wrong = replace(right, backward=backward_without_the_row_sum)
