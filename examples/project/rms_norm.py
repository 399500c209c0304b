"""Root mean square normalisation (Zhang and Sennrich, 2019): y = g x / rms(x), rms over the last axis.

x (m, n), g (n,). The forward, and the backward by hand; NumPy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

EPS = 1e-6


def forward(x: Any, g: Any) -> Any:
    rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + EPS)
    return g * x / rms, (x / rms, rms, g)


def backward(dy: Any, cache: Any) -> Any:
    """dx = (dxhat - xhat mean(dxhat xhat)) / rms with dxhat = dy g;  dg = sum_i dy_i xhat_i."""
    xhat, rms, g = cache
    dxhat = dy * g
    dx = (dxhat - xhat * np.mean(dxhat * xhat, axis=-1, keepdims=True)) / rms
    return dx, np.sum(dy * xhat, axis=0)
