"""The tests of a project of one's own: the fixture `gradcheck` comes with the installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rms_norm import EPS, backward, forward

from sandbox import Operation


def mirror(x: Any, g: Any) -> Any:
    return g * x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + EPS)


numbers = st.floats(-3, 3, width=16)
cases = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.just(n)), elements=numbers),
        hnp.arrays(np.float64, n, elements=numbers),
    )
)
rms_norm = Operation(forward, backward, mirror, cases, name="rms_norm", outputs=("y",))


def test_the_gradient_is_right_on_random_cases(gradcheck: Callable[..., Any]) -> None:
    gradcheck(rms_norm)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_gradient_is_right_at_the_size_in_use(gradcheck: Callable[..., Any], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    gradcheck(rms_norm, rng.standard_normal((64, 128)).astype(dtype), np.ones(128, dtype))


@pytest.mark.xfail(strict=True, reason="the mean over the last axis depends on x too")
def test_the_rms_is_not_a_constant(gradcheck: Callable[..., Any]) -> None:
    def with_a_constant_rms(dy: Any, cache: Any) -> Any:
        xhat, rms, g = cache
        return dy * g / rms, np.sum(dy * xhat, axis=0)

    gradcheck(replace(rms_norm, backward=with_a_constant_rms))
