"""Claims about large operations: the contracts of values are asked at smaller inputs of the same kind."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import sandbox
from sandbox import Operation, check_operation
from sandbox.verifier.rows import Verdict

rng = np.random.default_rng(0)
x, W = rng.standard_normal((128, 32)), rng.standard_normal((32, 32))
HEADS = 32


@pytest.fixture(autouse=True)
def these_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.verifier.smaller.LARGE", x.size)


class Seen:
    """A linear layer, and the shapes of x at which it is called forward."""

    def __init__(self, **changes: Any) -> None:
        self.shapes: list[tuple[int, ...]] = []
        parts = {"forward": self.forward, "backward": self.backward, "mirror": lambda x, W: x @ W}
        self.operation = Operation(**{**parts, **changes, "name": "layer"})

    def forward(self, x: Any, W: Any) -> Any:
        self.shapes.append(x.shape)
        return x @ W, (x, W)

    def backward(self, dout: Any, cache: Any) -> Any:
        x, W = cache
        return dout @ W.T, x.T @ dout

    def check(self, *inputs: Any) -> Any:
        return check_operation(self.operation, *inputs)


def test_values_are_asked_for_at_few_entries_of_each_axis() -> None:
    seen = Seen()
    assert seen.check(x, W)
    assert seen.shapes.count((16, 16)) > 4 > seen.shapes.count((16, 32))
    assert x.shape in seen.shapes


def test_a_large_layer_of_the_exercise_is_asked_at_few_units_too() -> None:
    shapes = []

    def linear_backward(dZ: Any, cache: Any) -> Any:
        shapes.append(cache[1].shape)
        return sandbox.linear_backward(dZ, cache)

    dZ, A, W, b = (rng.standard_normal(shape) for shape in ((64, 5), (64, 5), (64, 64), (64, 1)))
    assert sandbox.check_linear_backward(dZ, (A, W, b), function=linear_backward)
    assert shapes.count((16, 16)) > 4


def test_small_inputs_stay_as_they_are() -> None:
    seen = Seen()
    assert seen.check(x[:40], W)
    assert set(seen.shapes) == {(40, 32)}


def test_an_axis_that_something_else_depends_on_stays_as_it_is() -> None:
    def forward(x: Any, W: Any, rows: Any) -> Any:
        seen.shapes.append(x.shape)
        return np.maximum(x.reshape(len(x), HEADS, -1), 0).reshape(x.shape)[rows] @ W, (x, W, rows)

    def backward(dout: Any, cache: Any) -> Any:
        x, W, rows = cache
        dx = np.zeros_like(x)
        np.add.at(dx, rows, dout @ W.T)
        return dx * (x > 0), np.maximum(x, 0)[rows].T @ dout

    seen = Seen(
        forward=forward, backward=backward, mirror=lambda x, W, rows: jnp.maximum(x, 0)[rows] @ W,
        differentiable=("x", "W"),
    )  # fmt: skip
    assert seen.check(x, W, np.arange(127, -1, -1))
    tried = set(seen.shapes) - {x.shape}
    assert tried == {(16, 32), (128, 16)}
    # Once forward, and once for the backward, where that fails later than the mirror.
    assert all(seen.shapes.count(shape) <= 2 for shape in tried)


def keeps_state(dout: Any, cache: Any, calls: list[int] = []) -> Any:  # noqa: B006
    calls.append(1)
    dx, dW = Seen().backward(dout, cache)
    return dx * (1 + 1e-3 * len(calls)) if len(calls) > 1 else dx, dW


def of_contiguous_inputs(dout: Any, cache: Any) -> Any:
    """Of what is strided in memory it reads what lies beside."""
    x, W = cache
    flat = np.lib.stride_tricks.as_strided(dout, dout.shape, (dout.shape[1] * 8, 8))
    return flat @ W.T, x.T @ dout


def is_wrong_in_single_precision(dout: Any, cache: Any) -> Any:
    dx, dW = Seen().backward(dout, cache)
    return dx * (1.001 if dout.dtype == np.float32 else 1), dW


def changes_its_cotangent(dout: Any, cache: Any) -> Any:
    result = Seen().backward(dout, cache)
    dout[-1, -1] = 0  # of the inputs as they are: the last one
    return result


@pytest.mark.parametrize(
    "backward",
    [keeps_state, of_contiguous_inputs, is_wrong_in_single_precision, changes_its_cotangent],
)
def test_a_mistake_that_only_the_contracts_see_is_seen_in_a_large_operation_too(backward: Any) -> None:
    report = Seen(backward=backward).check(x, W)
    assert [row for row in report.rows if row.verdict is Verdict.FAIL]
