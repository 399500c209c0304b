"""Claims about sigma: the interpreter computes what JAX computes, and its noise covers rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import mirror
from sandbox.rounding import measure


def convolution(x: Any) -> Any:
    return jnp.convolve(x[0], x[1], mode="same")


FUNCTIONS = [
    mirror.sigmoid,
    mirror.relu,
    mirror.softplus,
    jax.nn.softmax,
    lambda x: jnp.cumsum(x, axis=-1),
    lambda x: jnp.sum(x**3) / jnp.sqrt(jnp.mean(x**2) + 1.0),
    lambda x: jnp.sort(x)[..., ::2],
    lambda x: jnp.where(x > 0.5, jnp.tanh(x), jnp.abs(x)),
    lambda x: jnp.einsum("ij,kj->ik", x, x + 1.0),
    convolution,
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_the_reference_is_what_jax_computes(number: int) -> None:
    function = FUNCTIONS[number]
    x = np.random.default_rng(number).standard_normal((4, 6))
    [measured] = measure(function, x, dtype=np.float64).outputs
    with jax.enable_x64(True):
        by_jax = np.asarray(function(jnp.asarray(x)))
    # Both are float64 computations of the same jaxpr: they differ by rounding, of which sigma is the size.
    assert np.all(np.abs(measured.reference - by_jax) <= 10 * measured.sigma)


def test_a_primitive_that_is_not_known_is_named() -> None:
    noise = measure(jnp.arctan, np.ones(3), dtype=np.float32)
    assert noise.unknown == ("atan",)
    assert np.all(noise.outputs[0].sigma > 0)


def test_the_users_jax_configuration_stays_as_it_was() -> None:
    measure(mirror.sigmoid, np.ones(3), dtype=np.float64)
    assert jnp.ones(3).dtype == jnp.float32


def test_an_exactly_computed_output_has_a_sigma_of_one_rounding() -> None:
    [measured] = measure(lambda x: jnp.where(x > 0, x, 0.0), np.array([3.0, -1.0]), dtype=np.float32).outputs
    u = 2.0**-24
    np.testing.assert_allclose(measured.sigma, [3 * u, 0.0], rtol=1e-12)  # u |g|; nothing for the exact 0


@settings(deadline=None, max_examples=30)
@given(
    k=st.integers(1, 2000),
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
    ordered=st.booleans(),
)
def test_sigma_covers_a_sum_in_any_usual_order(k: int, seed: int, offset: float, ordered: bool) -> None:
    """One by one, pairwise and backwards, with terms of one sign or of both, sorted or not."""
    x = (np.random.default_rng(seed).standard_normal(k) + offset).astype(np.float32)
    if ordered:
        x = np.sort(x)
    [measured] = measure(jnp.sum, x, dtype=np.float32).outputs
    for total in (np.cumsum(x)[-1], np.sum(x), np.cumsum(x[::-1])[-1]):
        # 8.5 is the quantile of Student's t with 32 degrees of freedom at 1e-9, two-sided.
        assert abs(float(total) - measured.reference) <= 8.5 * measured.sigma


def test_a_decision_within_rounding_of_a_kink_is_counted_and_both_branches_are_covered() -> None:
    def derivative_of_relu_of_a_sum(x: Any) -> Any:
        return jax.grad(lambda t: jax.nn.relu(jnp.sum(t)))(x)

    x = np.array([0.1, 0.2, -0.3])  # 0.1 + 0.2 - 0.3 is 0 or 5.6e-17, as the order of the sum has it
    noise = measure(derivative_of_relu_of_a_sum, x, dtype=np.float64)
    assert noise.kinks == 1
    assert np.all(np.abs(np.array([[0.0], [1.0]]) - noise.outputs[0].reference) <= 4 * noise.outputs[0].sigma)
