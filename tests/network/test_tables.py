"""Claims about the tables of activations and costs: every entry has its equation, and is verified in use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sandbox
from sandbox.network import mirror
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.cases import drawn_network
from sandbox.network.costs import COSTS
from sandbox.network.functions import FUNCTIONS


def test_every_entry_has_an_equation_of_its_name_and_every_function_too() -> None:
    equations = {name for name, value in vars(mirror).items() if callable(value)}
    assert equations >= {*ACTIVATIONS, *COSTS}
    backward = {"sigmoid_backward", "relu_backward", "compute_cost"}  # one equation serves all of the table
    assert equations >= {*FUNCTIONS} - backward
    assert [a.name for a in ACTIVATIONS.values()] == [*ACTIVATIONS]
    assert [c.name for c in COSTS.values()] == [*COSTS]


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cost", COSTS)
def test_every_network_of_the_tables_is_verified(activation: str, cost: str, dtype: str) -> None:
    report = sandbox.check(activation=activation, cost=cost, dtype=dtype, depth=4, width=5, examples=20)
    assert report, str(report)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_derivative_that_is_off_is_caught(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ACTIVATIONS[activation].backward
    monkeypatch.setitem(vars(ACTIVATIONS[activation]), "backward", lambda dA, Z: right(dA, Z) * (1 + 1e-10))
    report = sandbox.check(activation=activation)
    assert report.findings[0].row.function in (f"{activation}_backward", "linear_activation_backward")


def test_the_derivative_of_tanh_keeps_its_digits_where_tanh_is_1() -> None:
    dZ = ACTIVATIONS["tanh"].backward(np.ones(2), np.array([-20.0, 20.0]))
    # 1 / cosh(20)^2, which 1 - tanh(20)^2 rounds to 0; an exponential, a square and a quotient round.
    np.testing.assert_allclose(dZ, np.cosh(20.0) ** -2, rtol=16 * np.finfo(float).eps)


def test_a_network_of_identities_is_one_linear_layer() -> None:
    parameters, X, _ = drawn_network([3, 4, 1], 5, seed=0)
    _, caches = sandbox.L_model_forward(X, parameters, activation="identity")
    Z = parameters["W2"] @ (parameters["W1"] @ X + parameters["b1"]) + parameters["b2"]
    np.testing.assert_array_equal(caches[-1][1], Z)
    assert not np.shares_memory(caches[1][0][0], caches[0][1])


@pytest.mark.parametrize("cost", COSTS)
def test_the_gradient_of_a_cost_that_is_off_is_caught(cost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = COSTS[cost].backward
    wrong = replace(COSTS[cost], backward=lambda AL, Y: right(AL, Y) * (1 + 1e-10), through_sigmoid=None)
    monkeypatch.setitem(COSTS, cost, wrong)
    assert sandbox.check(cost=cost).findings[0].row.function == "L_model_backward"


@pytest.mark.parametrize("cost", COSTS)
def test_the_cost_of_logits_is_the_cost(cost: str) -> None:
    rng = np.random.default_rng(0)
    ZL, Y = rng.standard_normal((1, 9)), rng.random((1, 9))
    AL, _ = sandbox.sigmoid(ZL)
    of_logits = sandbox.compute_cost_from_logits(ZL, Y, cost=cost)
    # A sum of 9 terms of order 1, each of a few roundings.
    assert abs(of_logits - sandbox.compute_cost(AL, Y, cost=cost)) <= 64 * np.finfo(float).eps


def test_the_mean_squared_error_has_a_half() -> None:
    assert sandbox.compute_cost([[0.5, 1.0]], [[0, 1]], cost="mean_squared_error") == 0.0625


@pytest.mark.slow
def test_a_cost_of_a_users_own_is_compared_with_the_one_that_was_asked_for() -> None:
    def squared(AL: Any, Y: Any) -> Any:
        return np.mean((AL - Y) ** 2) / 2

    def cross_entropy(AL: Any, Y: Any) -> Any:
        return sandbox.compute_cost(AL, Y)

    for cases in (None, 3):
        report = sandbox.check({"compute_cost": squared}, cost="mean_squared_error", cases=cases)
        assert report, str(report)
        wrong = {"compute_cost": cross_entropy}
        assert not sandbox.check(wrong, cost="mean_squared_error", contracts=False, cases=cases)


def test_functions_of_a_users_own_are_checked_with_the_activation_that_they_have() -> None:
    """Without the keyword, as a notebook's functions for one kind of network have it."""

    def L_model_forward(X: Any, parameters: Any) -> Any:
        return sandbox.L_model_forward(X, parameters, activation="sigmoid")

    def L_model_backward(AL: Any, Y: Any, caches: Any) -> Any:
        return sandbox.L_model_backward(AL, Y, caches, activation="sigmoid")

    own = {"L_model_forward": L_model_forward, "L_model_backward": L_model_backward}
    assert sandbox.check(own, activation="sigmoid")
    assert not sandbox.check(own)
