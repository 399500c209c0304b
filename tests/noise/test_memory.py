"""Claims about large evaluations: bounded memory, and a sigma that does not depend on the parts."""

import importlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox.network import mirror
from sandbox.noise import Noise, measure
from tests.noise.test_measure import FUNCTIONS, LINEAR_ALGEBRA

module = importlib.import_module("sandbox.noise.measure")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """All samples at once; 4 at a time."""
    return [lambda: None, lambda: monkeypatch.setattr(module, "MEMORY", 1)]


def until_small(x: Any) -> Any:
    """A loop whose end depends on the sample, with a branch in it."""

    def body(state: Any) -> Any:
        x, n = state
        return jax.lax.cond(jnp.sum(x) > 2.0, lambda: x * 0.7, lambda: x * 0.5 - 0.01 * jnp.sin(x)), n + 1.0

    return jax.lax.while_loop(lambda state: jnp.max(jnp.abs(state[0])) > 0.25, body, (x, jnp.zeros(())))


def recurrence(x: Any) -> Any:
    return jax.lax.scan(lambda h, row: (jnp.tanh(h + row), h * row), x[0], x)


CASES = [
    *FUNCTIONS, LINEAR_ALGEBRA["svd"], until_small, recurrence,
    lambda x: jax.jit(lambda y: (y, y @ x.T, jax.grad(lambda z: jnp.sum(mirror.relu(z) ** 2))(y)))(x - x[0]),
    lambda x: jnp.repeat(jnp.round(x, 1), 2, axis=1) * 1.1,  # ties
    lambda x: jnp.exp(100 * x).astype(jnp.float32) * x,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigma_does_not_depend_on_how_many_samples_are_taken_at_a_time(
    number: int, dtype: Any, settings: list[Callable[[], None]]
) -> None:
    x = np.random.default_rng(number).standard_normal((6, 6)).astype(dtype)

    def measured(settle: Any) -> Noise:
        settle()
        return measure(CASES[number], x, dtype=dtype)

    whole, parts = map(measured, settings)
    assert (parts.kinks, parts.unknown) == (whole.kinks, whole.unknown)
    for expected, got in zip(whole.outputs, parts.outputs, strict=True):
        np.testing.assert_array_equal(got.reference, expected.reference)
        assert got.overflow == expected.overflow
        # The same squares, added in another order.
        np.testing.assert_allclose(got.sigma, expected.sigma, rtol=1e-13)


def linear_backward(m: int, width: int) -> tuple[int, int]:
    """The most bytes held during a measurement of a layer, and those of what it is given and gives."""
    rng = np.random.default_rng(0)
    dZ, A = (rng.standard_normal((width, m)).astype(np.float32) for _ in range(2))
    W, b = rng.standard_normal((width, width)).astype(np.float32), np.zeros((width, 1), np.float32)
    tracemalloc.start()
    try:
        noise = measure(mirror.linear_backward, dZ, A, W, b, dtype=np.float32)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return most, sum(8 * x.size for x in (dZ, A, W, b)) + sum(8 * o.reference.size for o in noise.outputs)


def test_a_large_layer_needs_its_samples_a_few_at_a_time() -> None:
    most, bytes_of_all = linear_backward(m=16_384, width=32)
    # 8 samples and the reference of each number that it is given or gives, for which `MEMORY` has room; then
    # inputs in double precision, reference, sigma, and what is kept of sums and ties, once each, and as much
    # again on the way.
    assert most < (9 + 8) * bytes_of_all
    assert module.MEMORY // bytes_of_all - 1 in range(8, 12)


def test_arguments_are_made_noisy_only_when_they_are_needed() -> None:
    """Of 48 matrices one is looked at after the other: it is not 33 copies of all that are held."""
    many = [np.random.default_rng(i).standard_normal((128, 128)) for i in range(48)]
    tracemalloc.start()
    try:
        measure(lambda *x: [2.5 * one for one in x], *many, dtype=np.float64)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    given = sum(x.nbytes for x in many)
    # 33 of a few matrices at a time, and for each the reference, sigma, what is known of ties.
    assert most < 33 * 6 * many[0].nbytes + 6 * given < 33 * given
