"""Claims about words for mistakes in any operation: each is said of its own, and not of what is near it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sandbox
from sandbox import Operation, check_operation
from tests.planted import explanation

Function = Callable[..., Any]
rng = np.random.default_rng(0)
x, w, positive = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), rng.uniform(0.2, 2, (4, 3))
long = rng.standard_normal((3, 5))
square, right_factor = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))


def first(forward: Function, backward: Function, mirror: Function, *inputs: Any) -> sandbox.Row:
    operation = Operation(forward, backward, mirror, name="tested", convention="inputs")
    report = check_operation(operation, *inputs, contracts=False)
    return report.failures()[0]


def said(*operation: Any) -> str:
    return explanation(first(*operation))


def softmax(x: Any) -> Any:
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)


def standardised(x: Any) -> Any:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def of_standardised(mean: float = 1.0, variance: float = 1.0) -> Function:
    """The backward with its terms through the mean and the variance times these."""

    def backward(dout: Any, x: Any) -> Any:
        xhat = standardised(x)
        through = mean * dout.mean(axis=0) + variance * xhat * (dout * xhat).mean(axis=0)
        return (dout - through) / x.std(axis=0)

    return backward


def standardised_mirror(x: Any) -> Any:
    return (x - jnp.mean(x, axis=0)) / jnp.std(x, axis=0)


def noisy(x: Any, size: float) -> Any:
    return x * (1 + size * np.cos(np.arange(x.size)).reshape(x.shape))


CUBE = lambda x: x**3, lambda x: x**3
LOG = np.log, jnp.log
MATMUL = lambda x, w: x @ w, lambda x, w: x @ w
SOFTMAX = softmax, lambda x: jax.nn.softmax(x, axis=1)
STANDARDISED = standardised, standardised_mirror
QUOTIENT = lambda x, w: x / w, lambda x, w: x / w

Case = tuple[tuple[Function, Function], Function, Function, tuple[Any, ...], str]
OF_BACKWARDS: dict[str, Case] = {
    # what is due, the mistake, what is near it, the inputs, the words
    "dout is ignored": (
        CUBE, lambda dout, x: 3 * x**2, lambda dout, x: 3 * x**2 * (1 + 1e-4 * dout), (x,),
        "is dout left out?",
    ),
    "dout of a number is ignored": (
        (lambda x: np.sum(x**2), lambda x: jnp.sum(x**2)),
        lambda dout, x: 2 * x, lambda dout, x: 2 * x * 1.001, (x,), "is dout left out?",
    ),
    "a matrix is not transposed": (
        MATMUL, lambda dout, x, w: (dout @ w, x.T @ dout),
        lambda dout, x, w: (dout @ noisy(w, 1e-3), x.T @ dout), (square, right_factor),
        "It is what comes out with w transposed",
    ),
    "one gradient for another": (
        (lambda x, w: x * w, lambda x, w: x * w),
        lambda dout, x, w: (dout * w, dout * w), lambda dout, x, w: (dout * w, dout * noisy(w, 1e-3)), (x, w),
        "It is what dx should be: is one returned for the other?",
    ),
    "zero but for rounding": (
        STANDARDISED, lambda dout, x: (dout - dout.mean(axis=0)).mean(axis=0) + 0 * x,
        lambda dout, x: 1e-9 * of_standardised()(dout, x), (x,), "It is 0 but for rounding",
    ),
    "a mean is left out": (
        STANDARDISED, of_standardised(mean=0), lambda dout, x: noisy(of_standardised(mean=0)(dout, x), 1e-3),
        (x,), "by a number that is the same along axis 0",
    ),
    "mean and variance are left out": (
        STANDARDISED, of_standardised(0, 0), lambda dout, x: noisy(of_standardised(0, 0)(dout, x), 1e-3),
        (x,), "along axis 0, by a number and a multiple of x",
    ),
    "the sum of a softmax is left out": (
        SOFTMAX, lambda dout, x: softmax(x) * dout, lambda dout, x: softmax(x) * noisy(dout, 1e-3), (long,),
        "along axis 1, by a number and a multiple of out",
    ),
    "a factor is left out": (
        CUBE, lambda dout, x: 3 * x * dout, lambda dout, x: 3 * np.abs(x) * dout, (x,),
        "Times x it is the reference",
    ),
    "a factor too many": (
        QUOTIENT, lambda dout, x, w: (dout, -x / w**2 * dout),
        lambda dout, x, w: (dout / w * 1.1, -x / w**2 * dout), (x, w), "It is the reference times w",
    ),
    "an inexact constant": (
        CUBE, lambda dout, x: 3.002 * x**2 * dout, lambda dout, x: noisy(3 * x**2 * dout, 2e-3), (x,),
        "is a constant in it not exact?",
    ),
    "the order is reversed": (
        (lambda x: np.cumsum(x), lambda x: jnp.cumsum(x)), lambda dout, x: np.cumsum(dout[::-1]),
        lambda dout, x: np.cumsum(noisy(dout, 1e-3)[::-1]), (x[:, 0],),
        "It is the reference, reversed along axis 0",
    ),
    "the diagonal of a Jacobian": (
        SOFTMAX, lambda dout, x: softmax(x) * (1 - softmax(x)) * dout,
        lambda dout, x: softmax(x) * (1 - softmax(x)) * noisy(dout, 1e-3), (x,),
        "differentiated by the input at its own place alone",
    ),
    "signs": (
        (np.abs, jnp.abs), lambda dout, x: dout, lambda dout, x: np.where(x < 0, 1.001 * dout, dout), (x,),
        "entries have the wrong sign",
    ),
    "another size": (
        (lambda x: x.mean(axis=0), lambda x: x.mean(axis=0)), lambda dout, x: dout / 3 + 0 * x,
        lambda dout, x: dout / 3.003 + 0 * x, (x,), "where x.shape[0] = 4 is due?",
    ),
    "the size of all": (
        (lambda x: x.mean(), lambda x: x.mean()), lambda dout, x: dout + 0 * x,
        lambda dout, x: 1.002 * dout + 0 * x, (x,), "It is exactly x.size = 12 times the reference",
    ),
    "a mean too many": (
        (lambda x: x**2 / 2, lambda x: x**2 / 2), lambda dout, x: np.mean(x * dout, axis=0) + 0 * x,
        lambda dout, x: np.mean(x * dout, axis=0) + 1e-3 * x, (x,),
        "It is the mean of the reference over axis 0, repeated",
    ),
    "an epsilon in a denominator": (
        LOG, lambda dout, x: dout / (x + 2e-3), lambda dout, x: dout / x * (1 + 2e-3), (positive,),
        "It is off by 0.002 / x of itself",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", OF_BACKWARDS)
def test_a_mistake_in_a_backward_is_put_into_words_and_what_is_near_it_is_not(mistake: str) -> None:
    (forward, mirror), wrong, near, inputs, words = OF_BACKWARDS[mistake]
    assert words in said(forward, wrong, mirror, *inputs)
    assert words not in said(forward, near, mirror, *inputs)


def _log(change: Function) -> tuple[Function, Function, Function, Any]:
    return lambda x: change(x), lambda dout, x: dout / x, jnp.log, positive


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (_log(lambda x: np.log(x + 1e-8)), "off by 1e-08 / x: is a small number (an epsilon) added to x"),
        (_log(lambda x: np.log(x) * (1 + 1e-8)), ""),
        (_log(lambda x: np.log(x) + 1e-8), ""),
        (
            (lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-9), of_standardised(), standardised_mirror, x),
            "(an epsilon) added to the variance of x along axis 0",
        ),
    ],
    ids=["in a logarithm", "a factor", "a number added", "beside a variance"],
)
def test_an_epsilon_is_told_by_how_the_error_grows_and_by_nothing_else(operation: Any, words: str) -> None:
    text = said(*operation)
    assert words in text
    assert words or "added to" not in text


@pytest.mark.parametrize("error", [1e-5, 1e-7, 1e-9, 1e-12, 1e-14])
def test_numbers_that_differ_are_shown_to_differ(error: float) -> None:
    row = first(*_log(lambda x: np.log(x) * (1 + error)))
    shown = re.search(r"is (\S+), expected (\S+), ", row.finding)
    assert shown is not None
    assert shown[1] != shown[2]


def test_numbers_that_differ_in_their_first_digits_are_shown_to_no_more_than_six() -> None:
    row = first(*CUBE[:1], lambda dout, x: 6 * x**2 * dout, CUBE[1], np.array([1 / 3]))
    assert max(map(len, re.findall(r"\d+\.\d+", row.finding))) <= len("0.123456") + 1


# --- the dtype alone ------------------------------------------------------------------------------


def times_2_x(dtype: Any, off: float = 0.0) -> tuple[Function, Function, Function]:
    return lambda x: x**2, lambda dout, x: (2 * x * dout * (1 + off)).astype(dtype), lambda x: x**2


@pytest.mark.parametrize(
    ("given", "returned", "finding"),
    [
        (np.float32, np.float64, "its dtype is float64, expected float32."),
        (np.float64, np.float32, "its dtype is float32, expected float64; to that precision it is right."),
    ],
)
def test_where_only_the_dtype_differs_just_that_is_said(given: Any, returned: Any, finding: str) -> None:
    row = first(*times_2_x(returned), x.astype(given))
    assert (row.finding, row.pattern, row.at_fault) == (finding, "", "")
    wrong = first(*times_2_x(returned, off=1e-3), x.astype(given))
    assert "further off than rounding explains" in wrong.finding
    assert wrong.at_fault == "backward"


def test_whole_numbers_are_not_taken_for_rounded_ones() -> None:
    row = first(lambda x: x, lambda dout, x: np.round(dout).astype(int), lambda x: x, x)
    assert "expected float64; " in row.finding
    assert "further off than rounding explains" in row.finding


# --- where a gradient is not one number -------------------------------------------------------------


def test_of_an_all_tied_maximum_nothing_is_said_of_factors_or_masks() -> None:
    def shared_by_none(dout: Any, x: Any) -> Any:
        return (x == x.max(axis=1, keepdims=True)) * dout[:, None]

    text = said(lambda x: x.max(axis=1), shared_by_none, lambda x: x.max(axis=1), np.ones((4, 3)))
    assert "tie" in text
    assert "times the reference" not in text
    untied = said(
        lambda x: x.max(axis=1), lambda dout, x: 3 * shared_by_none(dout, x), lambda x: x.max(axis=1), x
    )
    assert "tie" not in untied
    assert "It is exactly" in untied


def test_a_clip_of_large_numbers_is_not_called_a_factor() -> None:
    report = check_operation(
        Operation(
            lambda x: (2e11 * x, None), lambda dout, cache: np.clip(2e11 * dout, -10, 10), lambda x: 2e11 * x,
            examples=[(x,)],
        )
    )  # fmt: skip
    row = report.failures()[0]
    assert "times the reference" not in f"{row.finding} {row.pattern}"
    assert "all 10 in magnitude" in row.pattern


def test_a_tiny_factor_is_not_called_zero_but_for_rounding() -> None:
    operation = Operation(
        lambda x: (2 * x, None), lambda dout, cache: 2 * dout * dout.dtype.type(1e-4), lambda x: 2 * x
    )
    for dtype in (np.float32, np.float16):
        row = check_operation(operation, np.linspace(1, 2, 7).astype(dtype)).failures()[0]
        assert "0 but for rounding" not in row.pattern


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("factor", [1 / 64, 64])
def test_a_factor_is_named_in_every_precision(dtype: Any, factor: float) -> None:
    given = (np.linspace(1, 2, 64) / 8).astype(dtype)
    operation = Operation(
        lambda x: (2 * x, None), lambda dout, cache: 2 * dout * dout.dtype.type(factor), lambda x: 2 * x
    )
    row = check_operation(operation, given).failures()[0]
    assert ("divided by" if factor < 1 else "times the reference") in row.pattern
    assert "= 64" in row.pattern
