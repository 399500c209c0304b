"""Inverted dropout with a given mask.

    y = x mask / keep,   dx = dy mask / keep
Srivastava et al., *Dropout* (2014), in the inverted form. x of any shape, mask of its shape, of booleans;
keep, the probability of keeping, is a number. The mask is an input, so that the operation is a function:
a mask drawn inside the forward is none, and the backward must use the very same mask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sandbox import Operation


def forward(x: Any, mask: Any, keep: float) -> Any:
    return x * mask / keep, (mask, keep)


def backward(dout: Any, cache: Any) -> Any:
    mask, keep = cache
    return dout * mask / keep


def mirror(x: Any, mask: Any, keep: float) -> Any:
    return x * mask / keep


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    shape = draw(hnp.array_shapes(max_dims=2, max_side=5))
    x = draw(hnp.arrays(np.float64, shape, elements=st.floats(-3, 3, width=16)))
    return x, draw(hnp.arrays(np.bool_, shape)), draw(st.sampled_from([0.5, 0.8]))


right = Operation(forward, backward, mirror, cases(), name="dropout")


def backward_without_1_over_keep(dout: Any, cache: Any) -> Any:
    """The forward's 1 / keep is a factor of the backward too: the check finds the reference times keep."""
    mask, _ = cache
    return dout * mask


wrong = replace(right, backward=backward_without_1_over_keep)
