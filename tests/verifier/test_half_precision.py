"""Claims about float16 and bfloat16: kernels that compute in float32 and round once are judged sharply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sandbox
from sandbox import Operation, check_operation
from sandbox.verifier.rows import Row, Verdict

BFLOAT16 = np.dtype(jnp.bfloat16)
DTYPES = [np.dtype(np.float16), BFLOAT16]


def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Inputs widened to float32, the outputs rounded once."""

    def kernel(*inputs: Any) -> Any:
        dtype = inputs[0].dtype
        outputs = function(*(x.astype(np.float32) for x in inputs))
        single = not isinstance(outputs, tuple)
        stored = tuple(np.asarray(y).astype(dtype) for y in ((outputs,) if single else outputs))
        return stored[0] if single else stored

    return kernel


def operation(forward: Any, backward: Any, mirror: Any, **options: Any) -> Operation:
    return Operation(
        fused(forward), fused(backward), mirror, convention="inputs", name="kernel", **options
    )  # fmt: skip


def rms_norm_backward(dout: Any, x: Any, g: Any) -> Any:
    r = 1 / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + np.float32(1e-5))
    dxhat = dout * g
    dx = r * dxhat - x * r**3 * np.mean(dxhat * x, axis=1, keepdims=True)
    return dx, np.sum(dout * x * r, axis=0)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dout: Any, x: Any) -> Any:
    p = softmax(x)
    return p * (dout - np.sum(dout * p, axis=1, keepdims=True))


LINEAR = operation(
    lambda x, W: x @ W, lambda dout, x, W: (dout @ W.T, x.T @ dout), lambda x, W: x @ W
)  # fmt: skip
RIGHT: dict[str, tuple[Operation, tuple[tuple[int, ...], ...]]] = {
    "linear": (LINEAR, ((64, 6), (6, 5))),
    "rms_norm": (
        operation(
            lambda x, g: g * x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + np.float32(1e-5)),
            rms_norm_backward,
            lambda x, g: g * x / jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True) + 1e-5),
        ),
        ((16, 32), (32,)),
    ),
    "softmax": (operation(softmax, softmax_backward, lambda x: jax.nn.softmax(x, axis=1)), ((8, 16),)),
    "tanh": (
        operation(np.tanh, lambda dout, x: dout * (1 - np.tanh(x) ** 2), lambda x: jnp.tanh(x)),
        ((50,),),
    ),
    "mean": (
        operation(np.mean, lambda dout, x: dout / x.size * np.ones_like(x), lambda x: jnp.mean(x)),
        ((300,),),
    ),
}


def drawn(shapes: Any, dtype: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def row_of(report: Any, output: str) -> Any:
    [row] = [row for row in report.outputs if row.output == output]
    return row


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_kernel_passes_with_every_contract(name: str, dtype: Any) -> None:
    kernel, shapes = RIGHT[name]
    for seed in range(4):
        report = check_operation(kernel, *drawn(shapes, dtype, seed), contracts=seed == 0)
        assert report, str(report)
        assert report.largest_error() < 3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", RIGHT)
def test_a_factor_of_a_hundredth_is_caught(name: str, dtype: Any) -> None:
    kernel, shapes = RIGHT[name]

    def wrong(*inputs: Any) -> Any:
        gradients = kernel.backward(*(x.astype(np.float32) for x in inputs))
        scaled = [np.float32(1.01) * x for x in (gradients if isinstance(gradients, tuple) else (gradients,))]
        return tuple(x.astype(dtype) for x in scaled)

    report = check_operation(replace(kernel, backward=wrong), *drawn(shapes, dtype), contracts=False)
    assert not report
    assert {row.verdict for row in report.outputs if row.output != "out"} <= {
        Verdict.FAIL,
        Verdict.NOT_JUDGED,
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0])
def test_a_dW_of_4096_terms_that_is_zero_or_of_the_wrong_sign_or_twice_as_large_fails(
    factor: float, dtype: Any
) -> None:
    wrong = fused(lambda dout, x, W: (dout @ W.T, np.float32(factor) * (x.T @ dout)))
    inputs = drawn(((4096, 3), (3, 2)), dtype)
    report = check_operation(replace(LINEAR, backward=wrong), *inputs, contracts=False)
    assert [(row.output, row.verdict) for row in report.failures()] == [("dW", "FAIL")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_small_gradient_of_zero_fails(dtype: Any) -> None:
    """Half a unit of 0 is that of the smallest number, not of 1."""
    x, W = drawn(((64, 3), (3, 2)), dtype)
    wrong = fused(lambda dout, x, W: (dout @ W.T, 0 * (x.T @ dout)))
    tiny = (x.astype(np.float32) * 2.0**-12).astype(dtype)
    report = check_operation(replace(LINEAR, backward=wrong), tiny, W, contracts=False)
    assert row_of(report, "dW").verdict is Verdict.FAIL


def rounded_in_between(function: Callable[[Any, Callable[[Any], Any]], Any]) -> Callable[..., Any]:
    return lambda x: function(x.astype(np.float32), lambda y: y.astype(x.dtype).astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_kernel_that_rounds_in_between_is_not_judged_and_a_wrong_one_fails(dtype: Any) -> None:
    def backward(dout: Any, x: Any, factor: float = 1.0) -> Any:
        t = np.tanh(x.astype(np.float32)).astype(dtype).astype(np.float32)
        s = (1 - t * t).astype(dtype).astype(np.float32)
        return (np.float32(factor) * dout.astype(np.float32) * s).astype(dtype)

    kernel, shapes = RIGHT["tanh"]
    [x] = drawn(shapes, dtype)
    report = check_operation(replace(kernel, backward=backward), x)
    row: Row = row_of(report, "dx")
    assert not report
    assert row.verdict is Verdict.NOT_JUDGED
    assert f"not what float32 gives, rounded once to {dtype}" in row.finding
    wrong = replace(kernel, backward=lambda dout, x: backward(dout, x, 2.0))
    assert row_of(check_operation(wrong, x), "dx").verdict is Verdict.FAIL


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_output_in_another_dtype_fails(dtype: Any) -> None:
    wide = replace(LINEAR, backward=lambda dout, x, W: fused(LINEAR.backward)(*(
        y.astype(np.float32) for y in (dout, x, W)
    )))  # fmt: skip
    report = check_operation(wide, *drawn(((4, 3), (3, 2)), dtype), contracts=False)
    assert f"its dtype is float32, expected {dtype}" in row_of(report, "dW").finding


def test_what_float16_cannot_hold_is_infinite_and_not_compared() -> None:
    square = operation(lambda x: x * x, lambda dout, x: 2 * x * dout, lambda x: x * x)
    report = check_operation(square, np.array([2.0, 3.0, 300.0], np.float16), contracts=False)
    assert report, str(report)
    assert row_of(report, "out").overflowed == 1


def test_a_tie_on_a_coarse_grid_is_said_to_be_one() -> None:
    maximum = operation(
        lambda x: x.max(axis=1), lambda dout, x: (x == x.max(axis=1, keepdims=True)) * dout[:, None],
        lambda x: x.max(axis=1),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((500, 64)).astype(BFLOAT16)
    [row] = check_operation(maximum, x, contracts=False).failures()
    assert "a tie (of a maximum)" in row.pattern


def test_the_network_is_checked_in_float64_and_float32_alone() -> None:
    parameters = {"W1": np.ones((1, 2), np.float16), "b1": np.zeros((1, 1), np.float16)}
    with pytest.raises((TypeError, ValueError), match=r"dtype float16, .*pass a float64 or float32"):
        sandbox.check_model(parameters, np.ones((2, 3), np.float16), np.ones((1, 3)))
