"""Softmax cross-entropy, the mean over m examples, with whole-number labels.

    J = -(1/m) sum_i log p_i[y_i],   p = softmax(logits),   dlogits = dJ (p - onehot(y)) / m

logits (m, C), labels (m,) in 0..C-1. Goodfellow, Bengio and Courville, *Deep Learning* (2016), 6.2.2.3.
Convention "inputs": the backward is given the inputs again; the labels are not differentiated.
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


def softmax(logits: Any) -> Any:
    e = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def forward(logits: Any, labels: Any) -> Any:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(labels)), labels])


def backward(dout: Any, logits: Any, labels: Any) -> Any:
    dlogits = softmax(logits)
    dlogits[np.arange(len(labels)), labels] -= 1
    return dout * dlogits / len(labels)


def mirror(logits: Any, labels: Any) -> Any:
    log_p = jax.nn.log_softmax(logits, axis=1)
    return -jnp.mean(log_p[jnp.arange(len(labels)), labels])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    m, C = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    logits = draw(hnp.arrays(np.float64, (m, C), elements=st.floats(-4, 4, width=16)))
    return logits, draw(hnp.arrays(np.int64, m, elements=st.integers(0, C - 1)))


right = Operation(forward, backward, mirror, cases(), name="softmax_cross_entropy", convention="inputs")


def backward_without_1_over_m(dout: Any, logits: Any, labels: Any) -> Any:
    """The forward takes a mean, so its gradient has the 1/m: the check finds exactly m times too much."""
    return backward(dout, logits, labels) * len(labels)


wrong = replace(right, backward=backward_without_1_over_m)
