"""Claims about kinks: said where the mirror's gradient jumps, and never where it is only steep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox import Operation, check_operation
from sandbox.verifier.rows import Fault, OutputRow


def failures(forward: Any, backward: Any, mirror: Any, *inputs: Any) -> list[OutputRow]:
    operation = Operation(forward, backward, mirror, convention="inputs", name="f")
    report = check_operation(operation, *inputs, contracts=False)
    return [row for row in report.outputs if row.verdict == "FAIL"]


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("off", [1e-5, 1e-9])
def test_a_smooth_gradient_that_is_slightly_off_is_at_no_kink(off: float, scale: float) -> None:
    faults = set()
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((3, 4)) * scale
        [row] = failures(np.exp, lambda dout, x: dout * np.exp(x) * (1 + off), lambda x: jnp.exp(x), x)
        assert "jumps" not in row.pattern
        faults.add(row.at_fault)
    assert off < 1e-6 or Fault.BACKWARD in faults


def test_the_hint_of_single_precision_is_kept() -> None:
    def single(dout: Any, x: Any) -> Any:
        return dout * np.exp(x.astype(np.float32))

    [row] = failures(np.exp, single, lambda x: jnp.exp(x), np.random.default_rng(0).standard_normal(20))
    assert "computed in float32" in row.pattern


def row_maximum(x: Any) -> Any:
    return x.max(axis=1)


def of_every_tied(dout: Any, x: Any) -> Any:
    return (x == x.max(axis=1, keepdims=True)) * dout[:, None]


def of_the_first(dout: Any, x: Any) -> Any:
    dx = np.zeros_like(x)
    dx[np.arange(len(x)), x.argmax(axis=1)] = dout
    return dx


@pytest.mark.parametrize("backward", [of_every_tied, of_the_first])
@pytest.mark.parametrize(
    "x", [np.ones((3, 5)), np.zeros((3, 64)), np.array([[2.0, 2, 0, 1], [3, 2, 1, 0]])],
    ids=["all tied", "all 0", "two tied"],
)  # fmt: skip
def test_ties_of_a_maximum_are_said_to_be_ties(backward: Any, x: Any) -> None:
    [row] = failures(row_maximum, backward, row_maximum, x)
    assert "a tie (of a maximum)" in row.pattern
    assert ("x is exactly 0" in row.pattern) == (not x.any())
    assert row.at_fault == Fault.UNASKED


def pooled(x: Any) -> Any:
    return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).max(axis=(1, 3))


def pooled_backward(dout: Any, x: Any) -> Any:
    windows = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2)
    mask = windows == windows.max(axis=(1, 3), keepdims=True)
    return (mask * dout[:, None, :, None]).reshape(x.shape)


def test_a_pooling_of_equal_pixels_is_at_a_tie_and_a_wrong_one_is_not_excused_by_it() -> None:
    x = np.random.default_rng(0).standard_normal((8, 8))
    x[:4, :4] = 0
    [row] = failures(pooled, pooled_backward, pooled, x)
    assert "where x is exactly 0: at a kink" in row.pattern
    for wrong in (
        lambda dout, x: 2 * pooled_backward(dout, x),
        lambda dout, x: pooled_backward(dout, x) + 777.0 * (x == 0),
    ):
        [row] = failures(pooled, wrong, pooled, x)
        assert "jumps" not in row.pattern


def test_a_dead_unit_is_at_a_kink_in_its_weights_and_its_bias() -> None:
    def backward(dout: Any, x: Any, W: Any, b: Any) -> Any:
        dZ = dout * (x @ W + b >= 0)
        return dZ @ W.T, x.T @ dZ, dZ.sum(axis=0)

    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((6, 4)), rng.standard_normal((4, 3))
    W[:, 1] = 0
    rows = failures(
        lambda x, W, b: np.maximum(x @ W + b, 0), backward, lambda x, W, b: jax.nn.relu(x @ W + b),
        x, W, np.zeros(3),
    )  # fmt: skip
    assert {row.output for row in rows if "jumps, where" in row.pattern} == {"dW", "db"}


def test_next_to_a_kink_is_not_at_it() -> None:
    x = np.array([1e-7, 1.0])
    [row] = failures(np.abs, lambda dout, x: dout * np.sign(x) * (x > 1e-3), lambda x: jnp.abs(x), x)
    assert "jumps" not in row.pattern
