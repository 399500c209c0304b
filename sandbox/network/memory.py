"""Memory for stacks of networks, in which no network's numbers depend on where it stands."""

import math
from collections.abc import Sequence

import numpy as np

from sandbox.typing import Array, Dtype

ALIGNMENT = 64
"""Bytes: a line of the cache, and the widest register."""


def aligned(shape: Sequence[int], dtype: Dtype) -> Array:
    """Zeros, whose entries along the first axis each begin at a multiple of `ALIGNMENT` bytes."""
    networks, *each = shape
    size = math.prod(each) * dtype.itemsize
    stride = max(-(-size // ALIGNMENT), 1) * ALIGNMENT
    memory = np.zeros(networks * stride + ALIGNMENT, np.uint8)
    inner = [math.prod(each[i + 1 :]) * dtype.itemsize for i in range(len(each))]
    offset = -memory.ctypes.data % ALIGNMENT
    return np.ndarray(tuple(shape), dtype, memory, offset, (stride, *inner))
