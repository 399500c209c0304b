"""The numbers that the exercise "Building your deep neural network: step by step" prints for its test cases.

Each test draws as the exercise's test cases do, and compares with what it prints: to half a unit of the last
printed digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sandbox


def assert_prints(actual: Any, printed: str) -> None:
    """`printed`: rows separated by semicolons."""
    rows = [row.split() for row in printed.split(";")]
    expected = np.array([[float(number) for number in row] for row in rows])
    digits = np.array([[len(n.partition("e")[0].partition(".")[2]) for n in row] for row in rows])
    exponents = np.array([[int(n.partition("e")[2] or 0) for n in row] for row in rows])
    assert np.shape(actual) == expected.shape
    np.testing.assert_array_less(np.abs(actual - expected), 0.5000001 * 10.0 ** (exponents - digits))


def randn(seed: int, *shapes: tuple[int, int]) -> list[Any]:
    np.random.seed(seed)
    return [np.random.randn(*shape) for shape in shapes]


def test_initialize_parameters() -> None:
    np.random.seed(1)
    parameters = sandbox.initialize_parameters(3, 2, 1)
    assert_prints(parameters["W1"], "0.01624345 -0.00611756 -0.00528172; -0.01072969 0.00865408 -0.02301539")
    assert_prints(parameters["W2"], "0.01744812 -0.00761207")
    assert_prints(parameters["b1"], "0.; 0.")
    assert_prints(parameters["b2"], "0.")


def test_initialize_parameters_deep() -> None:
    np.random.seed(3)
    parameters = sandbox.initialize_parameters_deep([5, 4, 3])
    assert_prints(
        parameters["W1"],
        "0.01788628 0.0043651 0.00096497 -0.01863493 -0.00277388;"
        "-0.00354759 -0.00082741 -0.00627001 -0.00043818 -0.00477218;"
        "-0.01313865 0.00884622 0.00881318 0.01709573 0.00050034;"
        "-0.00404677 -0.0054536 -0.01546477 0.00982367 -0.01101068",
    )
    assert_prints(
        parameters["W2"],
        "-0.01185047 -0.0020565 0.01486148 0.00236716;"
        "-0.01023785 -0.00712993 0.00625245 -0.00160513;"
        "-0.00768836 -0.00230031 0.00745056 0.01976111",
    )


def test_linear_forward() -> None:
    A, W, b = randn(1, (3, 2), (1, 3), (1, 1))
    Z, _ = sandbox.linear_forward(A, W, b)
    assert_prints(Z, "3.26295337 -1.23429987")


@pytest.mark.parametrize(
    ("activation", "printed"), [("sigmoid", "0.96890023 0.11013289"), ("relu", "3.43896131 0.")]
)
def test_linear_activation_forward(activation: str, printed: str) -> None:
    A_prev, W, b = randn(2, (3, 2), (1, 3), (1, 1))
    A, _ = sandbox.linear_activation_forward(A_prev, W, b, activation)
    assert_prints(A, printed)


def test_L_model_forward() -> None:
    X, *theta = randn(6, (5, 4), (4, 5), (4, 1), (3, 4), (3, 1), (1, 3), (1, 1))
    parameters = dict(zip(("W1", "b1", "W2", "b2", "W3", "b3"), theta, strict=True))
    AL, caches = sandbox.L_model_forward(X, parameters)
    assert_prints(AL, "0.03921668 0.70498921 0.19734387 0.04728177")
    assert len(caches) == 3


@pytest.mark.parametrize(
    ("Y", "printed"), [([[1, 1, 0]], "0.2797765635793422"), ([[1, 1, 1]], "0.41493159961539694")]
)
def test_compute_cost(Y: list[list[int]], printed: str) -> None:
    cost = sandbox.compute_cost(np.array([[0.8, 0.9, 0.4]]), np.array(Y))
    assert cost == pytest.approx(float(printed), rel=8 * np.finfo(float).eps)  # all digits are printed


def test_linear_backward() -> None:
    dZ, A, W, b = randn(1, (1, 2), (3, 2), (1, 3), (1, 1))
    dA_prev, dW, db = sandbox.linear_backward(dZ, (A, W, b))
    assert_prints(dA_prev, "0.51822968 -0.19517421; -0.40506361 0.15255393; 2.37496825 -0.89445391")
    assert_prints(dW, "-0.10076895 1.40685096 1.64992505")
    assert_prints(db, "0.50629448")


@pytest.mark.parametrize(
    ("activation", "dA_prev_printed", "dW_printed", "db_printed"),
    [
        (
            "sigmoid",
            "0.11017994 0.01105339; 0.09466817 0.00949723; -0.05743092 -0.00576154",
            "0.10266786 0.09778551 -0.01968084",
            "-0.05729622",
        ),
        (
            "relu",
            "0.44090989 0.; 0.37883606 0.; -0.2298228 0.",
            "0.44513824 0.37371418 -0.10478989",
            "-0.20837892",
        ),
    ],
)
def test_linear_activation_backward(
    activation: str, dA_prev_printed: str, dW_printed: str, db_printed: str
) -> None:
    dA, A, W, b, Z = randn(2, (1, 2), (3, 2), (1, 3), (1, 1), (1, 2))
    dA_prev, dW, db = sandbox.linear_activation_backward(dA, ((A, W, b), Z), activation)
    assert_prints(dA_prev, dA_prev_printed)
    assert_prints(dW, dW_printed)
    assert_prints(db, db_printed)


def test_L_model_backward_with_an_AL_of_its_own() -> None:
    np.random.seed(3)
    AL, Y = np.random.randn(1, 2), np.array([[1, 0]])
    layer_1 = [np.random.randn(*shape) for shape in ((4, 2), (3, 4), (3, 1), (3, 2))]
    layer_2 = [np.random.randn(*shape) for shape in ((3, 2), (1, 3), (1, 1), (1, 2))]
    caches: Any = [((A_prev, W, b), Z) for A_prev, W, b, Z in (layer_1, layer_2)]
    grads = sandbox.L_model_backward(AL, Y, caches)
    assert_prints(
        grads["dW1"],
        "0.41010002 0.07807203 0.13798444 0.10502167; 0 0 0 0; 0.05283652 0.01005865 0.01777766 0.0135308",
    )
    assert_prints(grads["db1"], "-0.22007063; 0.; -0.02835349")
    assert_prints(grads["dA1"], "0.12913162 -0.44014127; -0.14175655 0.48317296; 0.01663708 -0.05670698")


def test_update_parameters() -> None:
    W1, b1, W2, b2 = randn(2, (3, 4), (3, 1), (1, 3), (1, 1))
    dW1, db1, dW2, db2 = randn(3, (3, 4), (3, 1), (1, 3), (1, 1))
    params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
    grads = {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}
    updated = sandbox.update_parameters(params, grads, 0.1)
    assert_prints(
        updated["W1"],
        "-0.59562069 -0.09991781 -2.14584584 1.82662008;"
        "-1.76569676 -0.80627147 0.51115557 -1.18258802;"
        "-1.0535704 -0.86128581 0.68284052 2.20374577",
    )
    assert_prints(updated["b1"], "-0.04659241; -1.28888275; 0.53405496")
    assert_prints(updated["W2"], "-0.55569196 0.0354055 1.32964895")
    assert_prints(updated["b2"], "-0.84610769")
