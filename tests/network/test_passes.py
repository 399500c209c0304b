"""Claims about the hand-written passes, one for each trap of the exercise's notes, and more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sandbox

DTYPES = [np.float64, np.float32]
sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def layer(
    n: int, n_prev: int, m: int, seed: int, dtype: Any = np.float64, stack: tuple[int, ...] = ()
) -> Any:
    """dZ, A_prev, W, b of one linear layer."""
    rng = np.random.default_rng(seed)
    shapes = ((n, m), (n_prev, m), (n, n_prev), (n, 1))
    return tuple(rng.standard_normal(stack + shape).astype(dtype) for shape in shapes)


# --- parameters -----------------------------------------------------------------------------------


def test_the_global_seed_gives_the_exercises_numbers() -> None:
    np.random.seed(3)
    parameters = sandbox.initialize_parameters_deep([5, 4, 3])
    np.testing.assert_allclose(parameters["W1"][0, :2], [0.01788628, 0.0043651], atol=5e-9)  # printed digits
    np.random.seed(3)
    np.testing.assert_array_equal(parameters["W1"], np.random.randn(4, 5) * 0.01)


@pytest.mark.parametrize("make", [int, np.random.default_rng, np.random.RandomState])
def test_every_kind_of_rng_is_repeatable(make: Any) -> None:
    first, second = (sandbox.initialize_parameters(3, 4, 1, rng=make(7)) for _ in range(2))
    np.testing.assert_array_equal(first["W2"], second["W2"])
    assert {key: value.shape for key, value in first.items()} == {
        "W1": (4, 3), "b1": (4, 1), "W2": (1, 4), "b2": (1, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("scheme", "scale"), [("small", 0.01), ("he", 2**0.5 / 8), ("inverse_sqrt", 1 / 8)])
def test_a_scheme_scales_the_same_draw(scheme: Any, scale: float) -> None:
    W = sandbox.initialize_parameters_deep([64, 5], rng=1, scheme=scheme, dtype=np.float32)["W1"]
    expected = (np.random.default_rng(1).standard_normal((5, 64)) * scale).astype(np.float32)
    np.testing.assert_allclose(
        W, expected, rtol=2 * float(np.finfo(np.float32).eps)
    )  # scale and product round


# --- forward --------------------------------------------------------------------------------------


@given(st.floats(-1e308, 1e308))
def test_sigmoid_is_accurate_and_silent_for_any_finite_Z(z: float) -> None:
    with np.errstate(all="raise"):
        A, cache = sandbox.sigmoid(np.array(z))
    assert cache == z
    Z = np.longdouble(z)
    with np.errstate(all="ignore"):
        exact = 1 / (1 + np.exp(-Z)) if z >= 0 else np.exp(Z) / (1 + np.exp(Z))
    # Roundings of exp (1 ulp), the sum and the quotient; below the normal numbers, one subnormal.
    assert (
        abs(np.longdouble(A) - exact) <= 4 * np.finfo(float).eps * exact + np.finfo(float).smallest_subnormal
    )


def test_the_linear_cache_is_A_W_b() -> None:
    _, A, W, b = layer(3, 2, 5, 0)
    Z, cache = sandbox.linear_forward(A, W, b)
    assert all(cached is given for cached, given in zip(cache, (A, W, b), strict=True))
    np.testing.assert_array_equal(Z, W @ A + b)


def test_the_exercises_cost_is_a_scalar() -> None:
    cost = sandbox.compute_cost(np.array([[0.8, 0.9, 0.4]]), np.array([[1, 1, 0]]))
    assert cost.shape == ()
    assert cost == pytest.approx(
        0.2797765635793422, rel=8 * np.finfo(float).eps
    )  # three logarithms and a sum


def test_the_cost_follows_0_log_0_and_is_never_nan() -> None:
    assert sandbox.compute_cost(np.array([[0.0, 1.0]]), np.array([[0, 1]])) == 0
    assert sandbox.compute_cost(np.array([[0.0, 1.0]]), np.array([[1, 0]])) == np.inf


@given(z=st.floats(-30, 30), y=st.floats(0, 1))
def test_the_cost_from_logits_is_the_cost_where_nothing_saturates(z: float, y: float) -> None:
    AL, ZL = sandbox.sigmoid(np.array([[z]]))
    cost = sandbox.compute_cost(AL, np.array([[y]]))
    # log(1 - AL) has the relative error of 1 - AL: eps e^z; and the terms max(z, 0) and y z round.
    tolerance = 4 * np.finfo(float).eps * (1 + abs(z) + np.exp(max(z, 0)))
    assert abs(sandbox.compute_cost_from_logits(ZL, np.array([[y]])) - cost) <= tolerance


# --- backward -------------------------------------------------------------------------------------


@given(n=sizes, n_prev=sizes, m=sizes, seed=seeds)
def test_linear_backward_is_the_sum_over_examples(n: int, n_prev: int, m: int, seed: int) -> None:
    dZ, A, W, b = layer(n, n_prev, m, seed)
    dA_prev, dW, db = sandbox.linear_backward(dZ, (A, W, b))
    # Recursive summation of k terms errs by at most k eps sum |t|, whatever the order.
    bound = 2 * (n + m) * np.finfo(float).eps
    for i in range(n):
        for j in range(n_prev):
            terms = [dZ[i, k] * A[j, k] / m for k in range(m)]
            assert abs(dW[i, j] - sum(terms)) <= bound * sum(map(abs, terms))
        assert abs(db[i, 0] - sum(dZ[i]) / m) <= bound * sum(abs(dZ[i])) / m
    for j in range(n_prev):
        for k in range(m):
            terms = [W[i, j] * dZ[i, k] for i in range(n)]
            assert abs(dA_prev[j, k] - sum(terms)) <= bound * sum(map(abs, terms))


def test_relus_derivative_at_0_is_0() -> None:
    dZ = sandbox.relu_backward(np.array([[1.0, np.inf, 3.0]]), np.array([[0.0, -1.0, 2.0]]))
    np.testing.assert_array_equal(dZ, [[0, 0, 3]])


def model(dtype: Any, stack: tuple[int, ...] = (), m: int = 6) -> Any:
    rng = np.random.default_rng(5)
    parameters = {
        key: rng.standard_normal(stack + shape).astype(dtype)
        for key, shape in {"W1": (4, 3), "b1": (4, 1), "W2": (1, 4), "b2": (1, 1)}.items()
    }
    return parameters, rng.standard_normal((3, m)).astype(dtype), rng.integers(0, 2, (1, m))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_that_comes_in_goes_out(dtype: Any) -> None:
    parameters, X, Y = model(dtype)
    AL, caches = sandbox.L_model_forward(X, parameters)
    grads = sandbox.L_model_backward(AL, Y, caches)
    updated = sandbox.update_parameters(parameters, grads, np.float64(0.1))
    cost = [sandbox.compute_cost(AL, Y), sandbox.compute_cost_from_logits(caches[-1][1], Y)]
    assert {np.asarray(v).dtype for v in (AL, *cost, *grads.values(), *updated.values())} == {np.dtype(dtype)}
    assert set(grads) == {"dA0", "dA1", "dW1", "db1", "dW2", "db2"}
    assert grads["dA1"].shape == (4, 6)


def test_a_stack_is_a_loop_over_networks() -> None:
    parameters, X, Y = model(np.float64, stack=(3,))
    rates = np.array([0.1, 0.2, 0.3])
    AL, caches = sandbox.L_model_forward(X, parameters)
    grads = sandbox.L_model_backward(AL, Y, caches)
    updated = sandbox.update_parameters(parameters, grads, rates)
    for i, rate in enumerate(rates):
        one = {key: value[i] for key, value in parameters.items()}
        AL_one, caches_one = sandbox.L_model_forward(X, one)
        grads_one = sandbox.L_model_backward(AL_one, Y, caches_one)
        for key in grads_one:  # sums of at most 6 terms of order 1, in another order
            np.testing.assert_allclose(grads[key][i], grads_one[key], rtol=0, atol=100 * np.finfo(float).eps)
        for key, value in sandbox.update_parameters(one, grads_one, rate).items():
            np.testing.assert_allclose(updated[key][i], value, rtol=0, atol=100 * np.finfo(float).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None)
@given(z=st.floats(-1e4, 1e4, width=32), y=st.sampled_from([0, 1]))
def test_the_output_gradient_is_exact_however_saturated(dtype: Any, z: float, y: int) -> None:
    X, Y = np.ones((1, 1), dtype), np.array([[y]])
    parameters = {"W1": np.array([[z]], dtype), "b1": np.zeros((1, 1), dtype)}
    with np.errstate(all="raise", under="ignore"):
        AL, caches = sandbox.L_model_forward(X, parameters)
        db = sandbox.L_model_backward(AL, Y, caches)["db1"][0, 0]
    exact = sandbox.sigmoid(np.array(-z if y else z))[0] * (-1 if y else 1)  # sigmoid(z) - 1 = -sigmoid(-z)
    limits = np.finfo(dtype)
    assert abs(float(db) - exact) <= 8 * limits.eps * abs(exact) + limits.tiny


def test_an_AL_of_ones_own_gets_the_exercises_formula() -> None:
    parameters, X, Y = model(np.float64)
    _, caches = sandbox.L_model_forward(X, parameters)
    AL = np.array([[1.7, -0.4, 0.3, 0.5, 2.0, -3.0]])
    S = 1 / (1 + np.exp(-caches[-1][1]))
    dZ = -(Y / AL - (1 - Y) / (1 - AL)) * S * (1 - S)
    db = sandbox.L_model_backward(AL, Y, caches)["db2"]
    np.testing.assert_allclose(
        db, dZ.mean(keepdims=True), rtol=1e3 * np.finfo(float).eps
    )  # 1 - S loses digits


def test_nothing_that_comes_in_is_changed() -> None:
    parameters, X, Y = model(np.float64)
    for array in (X, Y, *parameters.values()):
        array.flags.writeable = False
    AL, caches = sandbox.L_model_forward(X, parameters)
    for (A_prev, _, _), Z in caches:
        A_prev.flags.writeable = Z.flags.writeable = False
    sandbox.update_parameters(parameters, sandbox.L_model_backward(AL, Y, caches), 0.1)


def test_a_network_of_whole_numbers_is_one_of_floats() -> None:
    whole = {"W1": np.array([[1, 2]], np.uint8), "b1": np.array([[0]], np.uint8)}
    X = np.array([[1, 0], [200, 0]], np.uint8)
    AL, caches = sandbox.L_model_forward(X, whole)
    AL_floats, caches_floats = sandbox.L_model_forward(
        X.astype(float), {k: x * 1.0 for k, x in whole.items()}
    )
    np.testing.assert_array_equal(AL, AL_floats)
    np.testing.assert_array_equal(caches[0][1], caches_floats[0][1])
    grads = sandbox.L_model_backward(AL, np.array([[1, 0]]), caches)
    assert sandbox.update_parameters(whole, grads, 1)["W1"].dtype == float


def test_a_network_learns() -> None:
    parameters, X, Y = model(np.float64, m=40)
    costs = []
    for _ in range(200):
        AL, caches = sandbox.L_model_forward(X, parameters)
        costs.append(sandbox.compute_cost(AL, Y))
        grads = sandbox.L_model_backward(AL, Y, caches)
        parameters = sandbox.update_parameters(parameters, grads, 0.1)
    assert costs[-1] < 0.8 * costs[0]


# --- malformed input --------------------------------------------------------------------------------


def broken(change: Any) -> Any:
    parameters, X, _ = model(np.float64)
    change(parameters)
    return lambda: sandbox.L_model_forward(X, parameters)


ones = np.ones
CASES: list[tuple[Any, type[Exception], str]] = [
    (lambda: sandbox.linear_forward(ones(3), ones((2, 3)), ones((2, 1))), ValueError, r"A has shape \(3,\)"),
    (lambda: sandbox.linear_forward(ones((3, 0)), ones((2, 3)), ones((2, 1))), ValueError, "batch of 0"),
    (
        lambda: sandbox.linear_forward(ones((4, 5)), ones((2, 3)), ones((2, 1))),
        ValueError,
        r"\(2, 3\).*\(4, 5\)",
    ),
    (lambda: sandbox.linear_forward(ones((3, 5)), ones((2, 3)), ones((3, 1))), ValueError, "b has shape"),
    (lambda: sandbox.linear_forward(np.array([["a"]]), ones((1, 1)), ones((1, 1))), TypeError, "A has dtype"),
    (
        lambda: sandbox.linear_backward(ones((3, 5)), (ones((3, 5)), ones((2, 3)), ones((2, 1)))),
        ValueError,
        "dZ",
    ),
    (lambda: sandbox.linear_backward(ones((2, 5)), (ones((3, 5)), ones((2, 3)))), ValueError, "2 parts"),  # type: ignore[arg-type]
    (
        lambda: sandbox.linear_activation_forward(ones((1, 1)), ones((1, 1)), ones((1, 1)), "swish"),
        ValueError,
        "activation is 'swish', expected 'relu'",
    ),
    (
        lambda: sandbox.relu_backward(ones((2, 3, 5)), ones((4, 3, 5))),
        ValueError,
        r"dA \(2, 3, 5\), the cache",
    ),
    (broken(lambda p: p.update(b1=ones((2, 4, 1)), b2=ones((3, 1, 1)))), ValueError, "do not broadcast"),
    (
        lambda: sandbox.L_model_forward(*model(np.float64)[1::-1], activation="swish"),
        ValueError,
        "activation is 'swish', expected 'relu'",
    ),
    (
        lambda: sandbox.compute_cost(ones((1, 2)) / 2, ones((1, 2)), cost="hinge"),
        ValueError,
        "cost is 'hinge', expected 'cross_entropy'",
    ),
    (lambda: sandbox.compute_cost(ones((1, 2)) / 2, np.array([[0, 2]])), ValueError, "Y holds values"),
    (lambda: sandbox.compute_cost(2 * ones((1, 2)), ones((1, 2))), ValueError, "AL holds values"),
    (broken(lambda p: p.pop("b2")), ValueError, "missing: b2"),
    (broken(lambda p: p.update(c1=1)), ValueError, "unknown: c1"),
    (broken(lambda p: p.update(W2=ones((1, 7)))), ValueError, r"W2'\] \(layer 2\) has shape \(1, 7\)"),
    (broken(lambda p: p.update(W2=ones((2, 4)), b2=ones((2, 1)))), ValueError, "layer 2, the output"),
    (lambda: sandbox.L_model_backward(ones((1, 2)), ones((1, 2)), []), ValueError, "caches is empty"),
    (lambda: sandbox.initialize_parameters_deep([3, 0]), ValueError, r"layer_dims\[1\] is 0"),
    (lambda: sandbox.initialize_parameters_deep([3, 1], scheme="xavier"), ValueError, "scheme is 'xavier'"),  # type: ignore[arg-type]
    (lambda: sandbox.initialize_parameters_deep([3, 1], rng="seed"), TypeError, "rng is a str"),  # type: ignore[arg-type]
    (lambda: sandbox.update_parameters(model(np.float64)[0], {}, 0.1), ValueError, r"no 'dW1' \(layer 1\)"),
    (lambda: sandbox.update_parameters(model(np.float64)[0], None, 0.1), TypeError, "grads is a NoneType"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_malformed_input_is_named(number: int) -> None:
    call, error, message = CASES[number]
    with pytest.raises(error, match=message):
        call()
