"""Claims about sigma: the interpreter computes what JAX computes, and its noise covers rounding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.network import mirror
from sandbox.noise import measure


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


def spd(x: Any) -> Any:
    return x @ x.T + jnp.eye(6)


LINEAR_ALGEBRA: dict[str, Any] = {
    "cholesky": lambda x: jnp.linalg.cholesky(spd(x)),
    "lu": lambda x: jnp.linalg.solve(x, jnp.sin(x)[:, :2]),
    "triangular_solve": lambda x: jax.scipy.linalg.solve_triangular(jnp.tril(x), x[:, :2], lower=True),
    "eigh": lambda x: jnp.linalg.eigvalsh(spd(x)),
    "svd": lambda x: jnp.linalg.svd(x, compute_uv=False),
    "fft": lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * jnp.fft.rfft(x.T)),
}


@pytest.mark.parametrize("name", LINEAR_ALGEBRA)
def test_a_primitive_that_is_not_known_is_named_and_taken_for_backward_stable(name: str) -> None:
    function, errors, sigmas = LINEAR_ALGEBRA[name], 0.0, 0.0
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((6, 6)).astype(np.float32)
        noise = measure(function, x, dtype=np.float32)
        assert name in noise.unknown
        [measured] = noise.outputs
        error = np.abs(np.asarray(function(jnp.asarray(x)), np.float64) - measured.reference)
        # 10.5: Student's t with 32 degrees of freedom at 1e-9, two-sided, of 36 components and 20 matrices.
        assert np.all(error <= 10.5 * measured.sigma)
        errors += float(np.sum(error**2))
        sigmas += float(np.sum(measured.sigma**2))
    assert errors > 1e-4 * sigmas, "sigma is more than 100 times the error"


def test_complex_numbers_are_rounded_in_both_parts() -> None:
    def function(x: Any) -> Any:
        z = (x + 1j * jnp.sin(x)) ** 2
        return z.real, z.imag, jnp.abs(z @ z)

    x = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    noise = measure(function, x, dtype=np.float32)
    assert not noise.unknown
    for measured, single in zip(noise.outputs, function(jnp.asarray(x)), strict=True):
        error = np.abs(np.asarray(single, np.float64) - measured.reference)
        assert np.any(error > 0)
        assert np.all(error <= 10 * measured.sigma)


def test_sigma_covers_running_and_indexed_sums_of_complex_numbers() -> None:
    x = np.full(20_000, 0.7, np.float32)

    def function(x: Any) -> Any:
        z = x + 0.5j * x
        return jnp.cumsum(z), jax.ops.segment_sum(z, jnp.zeros(len(x), int), 2)

    running, indexed = measure(function, x, dtype=np.float32).outputs
    computed = np.cumsum(x + np.complex64(0.5j) * x)
    assert computed.dtype == np.complex64
    assert np.all(np.abs(computed - running.reference) <= 12 * running.sigma)
    assert abs(computed[-1] - indexed.reference[0]) <= 8.5 * indexed.sigma[0]


def test_decisions_and_indices_as_outputs_have_a_sigma_where_rounding_turns_them() -> None:
    x = np.array([0.1, 0.2, -0.3])  # 0.1 + 0.2 - 0.3 is 0 or 5.6e-17, as the order of the sum has it

    def function(x: Any) -> Any:
        return jnp.sum(x) > 0, jnp.argmax(jnp.array([0.0, 1.0]) * jnp.sum(x)), jnp.argmax(x)

    positive, index, certain = measure(function, x, dtype=np.float64).outputs
    assert positive.sigma > 0.1
    assert index.sigma > 0.1
    assert certain.sigma < 1e-15


@pytest.mark.parametrize("key", [pytest.param(jax.random.key, marks=pytest.mark.slow), jax.random.PRNGKey])
def test_a_mirror_may_draw_random_numbers_of_its_own(key: Any) -> None:
    """A dropout, say."""

    def function(x: Any) -> Any:
        first, second = jax.random.split(key(0))
        mask = jax.random.bernoulli(first, 0.5, x.shape)
        return x * mask * jax.random.gamma(second, 2.0, x.shape)

    x = np.random.default_rng(0).standard_normal((3, 4))
    noise = measure(function, x, dtype=np.float64)
    with jax.enable_x64(True):
        by_jax = np.asarray(function(jnp.asarray(x)))
    assert noise.unknown == ("random_gamma",)
    assert np.all(np.abs(noise.outputs[0].reference - by_jax) <= 10 * noise.outputs[0].sigma)


def test_a_primitive_that_jax_cannot_vectorise_is_evaluated_sample_by_sample() -> None:
    def function(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)  # type: ignore[no-untyped-call]

    x = np.linspace(0.1, 1.0, 5)
    noise = measure(function, x, dtype=np.float64)
    u = 2.0**-53
    assert noise.unknown == ("pure_callback",)
    np.testing.assert_allclose(noise.outputs[0].reference, np.sin(x), rtol=1e-15)
    np.testing.assert_array_less(noise.outputs[0].sigma, 10 * u)


def test_near_a_zero_of_a_function_the_rounding_of_its_argument_counts() -> None:
    """Near x = 1, where lgamma is 0, libraries are right to u, not to u |y|."""
    [measured] = measure(jax.scipy.special.gammaln, np.array([1.0 + 1e-7]), dtype=np.float64).outputs
    assert measured.sigma > 0.5 * 2.0**-53


def test_the_users_jax_configuration_stays_as_it_was() -> None:
    measure(mirror.sigmoid, np.ones(3), dtype=np.float64)
    assert jnp.ones(3).dtype == jnp.float32


def test_an_exactly_computed_output_has_a_sigma_of_two_roundings() -> None:
    def function(x: Any) -> Any:
        return jnp.where(x > 0, x, 0.0), jnp.where(x > 0, 0.0, 0.0)

    some, none = measure(function, np.array([3.0, -1.0]), dtype=np.float32).outputs
    u = 2.0**-24
    # That of the input and that of the output as a whole; for what is 0 altogether that of underflow.
    assert 3 * u < some.sigma[0] < 6 * u
    np.testing.assert_allclose(some.sigma[1], 3 * u, rtol=1e-12)
    np.testing.assert_array_equal(none.sigma, np.finfo(np.float32).tiny)


def test_the_matrices_of_a_stack_have_each_their_own_largest_entry() -> None:
    x = np.array([[[1.0, 0.0]], [[1e-9, 0.0]]])
    [measured] = measure(lambda x: x, x, dtype=np.float64).outputs
    np.testing.assert_allclose(measured.sigma[:, 0, 1], 2.0**-53 * np.array([1, 1e-9]), rtol=1e-12)


@pytest.mark.parametrize("form", ["tanh", "clip", "cancellation"])
def test_what_is_right_to_the_rounding_of_the_largest_entry_is_right(form: str) -> None:
    Z = np.linspace(-30, 30, 50)
    [A] = measure(mirror.sigmoid, Z, dtype=np.float64).outputs
    computed = {
        "tanh": (1 + np.tanh(Z / 2)) / 2,
        "clip": 1 / (1 + np.exp(-np.clip(Z, -500, 500))),
        "cancellation": 1 - 1 / (1 + np.exp(Z)),
    }[form]
    assert np.all(np.abs(computed - A.reference) <= 8.5 * A.sigma)
    assert np.max(A.sigma) < 10 * 2.0**-53


def test_constants_are_rounded_only_where_they_have_many_digits() -> None:
    """The index of jnp.median, (n - 1) / 2, is exact: rounded, it would be another entry's."""
    x = np.random.default_rng(0).standard_normal((6, 5))
    gradient = jax.grad(lambda x: jnp.sum(jnp.median(x, axis=1) ** 2))
    noise = measure(gradient, x, dtype=np.float64)
    assert noise.kinks == 0
    assert np.max(noise.outputs[0].sigma) < 1e-14


def test_whole_numbers_are_divided_as_whole_numbers() -> None:
    i = np.arange(6)
    [measured] = measure(lambda x, i: x * (i // 2), np.ones(6), i, dtype=np.float64).outputs
    np.testing.assert_array_equal(measured.reference, [0, 0, 1, 1, 2, 2])


def test_decisions_by_rounding_to_whole_numbers_are_counted() -> None:
    noise = measure(lambda x: jnp.floor(3.0 * x), np.array([1 / 3]), dtype=np.float64)
    assert noise.kinks >= 1


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


@settings(deadline=None, max_examples=60)
@given(
    k=st.integers(2, 2000),
    values=st.lists(st.floats(0.125, 1.0, width=32), min_size=1, max_size=2),
    seed=st.integers(0, 99),
)
def test_sigma_covers_a_sum_of_terms_that_are_rounded_alike(k: int, values: list[float], seed: int) -> None:
    x = np.random.default_rng(seed).choice(np.array(values, np.float32), k)
    [measured] = measure(jnp.sum, x, dtype=np.float32).outputs
    assert abs(float(np.cumsum(x)[-1]) - measured.reference) <= 8.5 * measured.sigma


@pytest.mark.parametrize("m", [64, 1024, 60_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigma_covers_vectorised_sums_of_alternating_sign(m: int, dtype: Any) -> None:
    """The labels alternate, and A is positive: each lane of a vectorised sum adds terms of one sign."""
    rng = np.random.default_rng(0)
    dZ = (np.where(np.arange(m) % 2, 0.5, -0.5) + 0.1 * rng.standard_normal(m))[None].astype(dtype)
    A = rng.random((3, m)).astype(dtype)
    [measured] = measure(lambda dZ, A: dZ @ A.T, dZ, A, dtype=dtype).outputs
    lanes = np.cumsum((dZ * A).reshape(3, -1, 8), axis=1)[:, -1]  # a sum for each of 8 lanes, one by one
    for computed in (np.einsum("im,jm->ij", dZ, A), lanes.sum(axis=1)[None], dZ @ A.T):
        assert np.all(np.abs(computed - measured.reference) <= 9 * measured.sigma)


@pytest.mark.parametrize("value", [0.1, 0.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigma_covers_running_and_indexed_sums_of_equal_terms(value: float, dtype: Any) -> None:
    x = np.full(20_000, value, dtype)

    def function(x: Any) -> Any:
        return jnp.cumsum(x), jax.ops.segment_sum(x, jnp.zeros(len(x), int), 2)

    running, indexed = measure(function, x, dtype=dtype).outputs
    computed = np.cumsum(x).astype(np.float64)
    assert np.all(np.abs(computed - running.reference) <= 12 * running.sigma)
    assert abs(computed[-1] - indexed.reference[0]) <= 8.5 * indexed.sigma[0]
    assert running.sigma[-1] < 1e4 * np.finfo(dtype).eps * running.reference[-1]


def test_sigma_covers_the_gradient_of_an_overlapping_max_pooling() -> None:
    """An entry gets a cotangent from each window in which it is the largest: they may cancel."""
    x = np.random.default_rng(0).standard_normal((4, 14, 14)).astype(np.float32)
    d = np.random.default_rng(1).standard_normal((4, 12, 12)).astype(np.float32)

    def pooled(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3), (1, 1, 1), "VALID")

    [measured] = measure(lambda x, d: jax.vjp(pooled, x)[1](d)[0], x, d, dtype=np.float32).outputs
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2)).reshape(4, 12, 12, 9)
    largest = windows.argmax(-1)
    dx = np.zeros_like(x)
    rows, columns = np.arange(12)[:, None] + largest // 3, np.arange(12) + largest % 3
    np.add.at(dx, (np.arange(4)[:, None, None], rows, columns), d)
    assert np.all(np.abs(dx - measured.reference) <= 12 * measured.sigma)


def test_examples_that_are_the_same_err_together() -> None:
    """The rounding of tanh(x) x is one number, which the sum takes 1000 times, not 1000 independent ones."""
    x = np.full(1000, 0.7, np.float32)
    [measured] = measure(lambda x: jnp.sum(jnp.tanh(x) * x), x, dtype=np.float32).outputs
    [one] = measure(lambda x: jnp.sum(jnp.tanh(x) * x), x[:1], dtype=np.float32).outputs
    assert measured.sigma > 500 * one.sigma


def test_a_decision_within_rounding_of_a_kink_is_counted_and_both_branches_are_covered() -> None:
    def derivative_of_relu_of_a_sum(x: Any) -> Any:
        return jax.grad(lambda t: jax.nn.relu(jnp.sum(t)))(x)

    x = np.array([0.1, 0.2, -0.3])  # 0.1 + 0.2 - 0.3 is 0 or 5.6e-17, as the order of the sum has it
    noise = measure(derivative_of_relu_of_a_sum, x, dtype=np.float64)
    assert noise.kinks == 1
    assert np.all(np.abs(np.array([[0.0], [1.0]]) - noise.outputs[0].reference) <= 4 * noise.outputs[0].sigma)


# --- layers of every kind, and their gradients ----------------------------------------------------------


def conv(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, (2, 1), [(1, 1), (0, 2)], rhs_dilation=(1, 2))


def grouped_conv(x: Any, w: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w[:, :1], (1, 1), "SAME", feature_group_count=2)


def layer_norm(x: Any, w: Any) -> Any:
    x = x.reshape(6, -1)
    mean, variance = jnp.mean(x, axis=1, keepdims=True), jnp.var(x, axis=1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-5) * w.sum()


def cross_entropy(x: Any, w: Any) -> Any:
    logits = x.reshape(6, -1) * w.sum()
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(6), jnp.array([0, 1, 2, 3, 2, 1])])


def attention(x: Any, w: Any) -> Any:
    q = x.reshape(6, -1)[:, :5]
    return jax.nn.softmax(q @ q.T * w[0, 0, 0, 0], axis=-1) @ q


def embedding(x: Any, w: Any) -> Any:
    return x.reshape(6, -1)[jnp.array([0, 3, 3, 5, 3])] * w.sum()


def pooling(x: Any, w: Any) -> Any:
    window, strides = (1, 1, 2, 2), (1, 1, 1, 1)
    largest = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "VALID")
    return largest + jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, "VALID") * w.sum()


def recurrent(x: Any, w: Any) -> Any:
    U = w[:2, :2, 0, 0]

    def step(h: Any, row: Any) -> Any:
        h = jnp.tanh(U @ h + row[:2])
        return h, h

    return jax.lax.scan(step, jnp.zeros(2, x.dtype), x.reshape(6, -1), reverse=True)[1]


def looped(x: Any, w: Any) -> Any:
    """Newton's square root, to a tolerance that rounding decides."""
    a = jnp.sum(x**2) + jnp.sum(w**2)
    return jax.lax.while_loop(lambda s: jnp.abs(s * s - a) > 1e-3 * a, lambda s: (s + a / s) / 2, a)


def conditional(x: Any, w: Any) -> Any:
    return jax.lax.cond(jnp.sum(x) > 0, lambda t: jnp.sin(t) * w.sum(), jnp.exp, x)


def running(x: Any, w: Any) -> Any:
    flat = x.reshape(6, -1)
    return jnp.cumsum(flat, axis=1) * w.sum() + jax.lax.cumlogsumexp(flat, axis=1) + jnp.prod(w)


LAYERS: list[Any] = [
    conv, grouped_conv, layer_norm, cross_entropy, attention, embedding, pooling, recurrent, looped,
    conditional, running,
]  # fmt: skip


def gradient(layer: Any) -> Any:
    return lambda x, w: jax.grad(lambda x, w: jnp.sum(jnp.sin(layer(x, w))), argnums=(0, 1))(x, w)


COMPILED_IN_MANY_PIECES = {running, conditional, recurrent, pooling, layer_norm, attention}
CASES = [pytest.param(layer, layer, id=layer.__name__) for layer in LAYERS] + [
    pytest.param(
        layer, gradient(layer), id=f"{layer.__name__} gradient",
        marks=pytest.mark.slow if layer in COMPILED_IN_MANY_PIECES else (),
    )
    for layer in LAYERS if layer is not looped
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "function"), CASES)
def test_sigma_covers_a_computation_in_float32_and_is_of_its_size(layer: Any, function: Any) -> None:
    errors, sigmas = 0.0, 0.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3, 2, 5, 4)).astype(np.float32)
        w = (0.5 * rng.standard_normal((4, 2, 2, 2))).astype(np.float32)
        noise = measure(function, x, w, dtype=np.float32)
        assert not noise.unknown
        with jax.enable_x64(True):
            exact = jax.tree.leaves(function(jnp.asarray(x, jnp.float64), jnp.asarray(w, jnp.float64)))
        single = jax.tree.leaves(function(jnp.asarray(x), jnp.asarray(w)))
        for measured, g, computed in zip(noise.outputs, exact, single, strict=True):
            # The reference is JAX's own float64 result, up to the rounding of float64.
            assert np.all(np.abs(measured.reference - np.asarray(g)) <= 1e-6 * measured.sigma + 1e-13)
            error = np.abs(np.asarray(computed, np.float64) - measured.reference)
            assert np.all(error <= 8.5 * measured.sigma), layer.__name__
            errors += float(np.sum(error**2))
            sigmas += float(np.sum(measured.sigma**2))
    assert errors > 1e-4 * sigmas, "sigma is more than 100 times the error"


def test_a_condition_within_rounding_of_its_border_covers_both_branches() -> None:
    def function(x: Any) -> Any:
        return jax.lax.cond(jnp.sum(x) > 0, lambda: 1.0, lambda: 0.0)

    noise = measure(function, np.array([0.1, 0.2, -0.3]), dtype=np.float64)
    assert noise.kinks >= 1
    assert noise.outputs[0].sigma > 0.1


def test_small_components_of_a_stack_beside_large_ones_keep_their_sigma() -> None:
    """The deviation of exp(-594) is 1e-272: its square underflows, its sigma must not."""
    x = np.array([-594.0, 0.0]).reshape(2, 1, 1)  # a stack of two
    tiny, _ = measure(lambda x: (jnp.exp(3.0 * (x / 3.0)),), x, dtype=np.float64).outputs[0].sigma
    relative = float(tiny[0, 0]) / np.exp(-594.0)
    u = 2.0**-53
    assert 594 * u / 4 < relative < 594 * u * 4


@pytest.mark.parametrize("product", [False, True])
def test_sums_of_tiny_terms_beside_large_ones_keep_their_sigma(product: bool) -> None:
    """Terms of 1e-200 that cancel: the squares underflow beside those of ordinary size."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 1, 50))  # a stack of two
    x[..., -1] -= x.sum(axis=-1)
    function = (
        (lambda x: (x @ jnp.ones((50, 1)),)) if product else (lambda x: (jnp.sum(x, axis=-1, keepdims=True),))
    )
    [alone] = measure(function, x, dtype=np.float64).outputs
    x[1] *= 2.0**-664
    [beside] = measure(function, x, dtype=np.float64).outputs
    np.testing.assert_allclose(beside.sigma[1] * 2.0**664, alone.sigma[1], rtol=0.5)


def test_saturated_units_err_by_numbers_of_their_own() -> None:
    """sigmoid(445) and sigmoid(37) are both 1 in float64, and err by 0 and by 1e-16: rounded alike, their
    gradients would cancel in W^T dZ for some W."""
    Z, dA = np.array([[445.0], [36.9]]), np.array([[1.0], [1.0]])

    def function(dA: Any, Z: Any) -> Any:
        return jnp.array([[1.0, -1.0]]) @ mirror.activation_backward(dA, Z, mirror.sigmoid)

    [measured] = measure(function, dA, Z, dtype=np.float64).outputs
    exact = -np.exp(-36.9)
    assert abs(exact - measured.reference[0, 0]) < 4 * measured.sigma[0, 0]


def test_examples_that_become_the_same_in_float32_err_together() -> None:
    """1 + x rounds to 1 for all x below u, although the numbers differ in float64: the errors of (1 + x) - 1
    add up to m times one, not sqrt(m) times, and cancel in a difference of two examples."""
    x = np.linspace(0.3, 0.4, 4000) * 2.0**-24

    def function(x: Any) -> Any:
        y = 1 + x
        return jnp.sum(y - 1), y[1:] - y[:-1]

    total, differences = measure(function, x, dtype=np.float32).outputs
    y = (1 + x).astype(np.float32)
    assert y[0] == 1
    assert abs(0.0 - total.reference) <= 3 * total.sigma
    np.testing.assert_array_less(np.abs(0.0 - differences.reference), 3 * differences.sigma)
    assert float(np.max(differences.sigma)) < 1e-3 * 2.0**-24


def test_what_a_vjp_does_not_need_is_left_out() -> None:
    """The backward of a square does not compute the square, which overflows here."""

    def backward(dy: Any, x: Any) -> Any:
        return jax.vjp(jnp.square, x)[1](dy)[0]

    noise = measure(backward, np.ones(3), np.full(3, 1e30), dtype=np.float32)
    assert not noise.outputs[0].overflow
    assert np.isfinite(noise.outputs[0].sigma).all()


def test_a_sum_that_overflows_on_the_way_may_end_on_either_side() -> None:
    """3e38 + 3e38 - 3e38 - 3e38 - 3e38 is inf or -inf in float32, as the order of the terms has it."""
    terms = np.array([3e38, 3e38, -3e38, -3e38, -3e38], np.float32)
    noise = measure(lambda x: mirror.sigmoid(jnp.sum(x)), terms, dtype=np.float32)
    [measured] = noise.outputs
    assert measured.overflow
    for computed in (0.0, 1.0):
        assert abs(computed - measured.reference) <= 4 * measured.sigma
