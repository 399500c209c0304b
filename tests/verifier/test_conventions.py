"""Claims about the conventions that people have: a right one passes, a wrong one is caught in its own row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sandbox
from sandbox import Operation, check_operation

rng = np.random.default_rng(0)
X, W1, b1 = rng.standard_normal((6, 4)), rng.standard_normal((4, 3)), rng.standard_normal(3)


def failing(operation: Operation, *inputs: Any) -> list[str]:
    """The gradients that fail."""
    return [row.output for row in check_operation(operation, *inputs, contracts=False).failures()]


# --- dicts and lists ----------------------------------------------------------------------------------


def gradients(dout: Any, X: Any, W: Any, wrong: float = 1.0) -> tuple[Any, Any, Any]:
    return dout @ W.T, wrong * (X.T @ dout), dout.sum(axis=0)


Returned = Callable[[Any, Any, Any], Any]
OF_DICT: dict[str, Returned] = {
    "a tuple": lambda dX, dW, db: (dX, {"W1": dW, "b1": db}),
    "keys with d": lambda dX, dW, db: (dX, {"dW1": dW, "db1": db}),
    "a dict of all": lambda dX, dW, db: {"dX": dX, "dparams": {"W1": dW, "b1": db}},
    "a flat dict": lambda dX, dW, db: {"dX": dX, "dW1": dW, "db1": db},
    "one by one": lambda dX, dW, db: (dX, dW, db),
}


def with_dict(returned: Returned, wrong: float = 1.0) -> Operation:
    return Operation(
        lambda X, params: X @ params["W1"] + params["b1"],
        lambda dout, X, params: returned(*gradients(dout, X, params["W1"], wrong)),
        lambda X, params: X @ params["W1"] + params["b1"],
        convention="inputs",
        name="linear",
    )


@pytest.mark.parametrize("form", OF_DICT)
def test_parameters_and_gradients_may_be_a_dict(form: str) -> None:
    params = {"W1": W1, "b1": b1}
    report = check_operation(with_dict(OF_DICT[form]), X, params, contracts=form == "a tuple")
    assert report, str(report)
    assert {row.output for row in report.outputs} == {"out", "dX", "dparams['W1']", "dparams['b1']"}
    assert failing(with_dict(OF_DICT[form], 2.0), X, params) == ["dparams['W1']"]


def test_a_missing_key_is_named() -> None:
    left_out = with_dict(lambda dX, dW, db: (dX, {"dW1": dW}))
    [row] = check_operation(left_out, X, {"W1": W1, "b1": b1}, contracts=False).failures()
    assert row.finding == "it returned the keys dW1, without dparams['b1']."


def test_parameters_and_gradients_may_be_lists() -> None:
    def network(weights: Any, X: Any, m: Any = np) -> Any:
        for W in weights:
            X = m.tanh(X @ W)
        return X

    def backward(dout: Any, weights: Any, X: Any, wrong: float = 1.0) -> Any:
        A = [X]
        for W in weights:
            A.append(np.tanh(A[-1] @ W))
        grads = []
        for W, before, after in zip(weights[::-1], A[-2::-1], A[::-1], strict=False):
            dZ = dout * (1 - after**2)
            grads.append(wrong * (before.T @ dZ))
            dout, wrong = dZ @ W.T, 1.0
        return grads[::-1]

    weights = [rng.standard_normal((4, 4)) / 2 for _ in range(3)]
    layers = Operation(
        network, backward, lambda weights, X: network(weights, X, jnp), convention="inputs",
        differentiable=("weights",), name="network",
    )  # fmt: skip
    report = check_operation(layers, weights, X)
    assert report, str(report)
    wrong = sandbox.Operation(
        network, lambda dout, weights, X: backward(dout, weights, X, 0.5), layers.mirror,
        convention="inputs", differentiable=("weights",), name="network",
    )  # fmt: skip
    assert failing(wrong, weights, X) == ["dweights[2]"]


# --- layers -------------------------------------------------------------------------------------------


class Linear:
    """Keeps self.W and self.dW."""

    factor = 1.0

    def __init__(self) -> None:
        self.W, self.b = W1.copy(), b1.copy()
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        dx, self.dW, self.db = gradients(dout, self.x, self.W, self.factor)
        return dx


class OfDicts(Linear):
    """Keeps self.params["W"] and self.grads["W"]."""

    def __init__(self) -> None:
        self.params: Any = {"W": W1.copy(), "b": b1.copy()}
        self.grads: Any = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dout: Any) -> Any:
        dx, self.grads["W"], self.grads["b"] = gradients(dout, self.x, self.params["W"], self.factor)
        return dx


class OfLists(Linear):
    """Keeps self.params = [W, b], beside self.W, and adds to self.grads in place."""

    def __init__(self) -> None:
        super().__init__()
        self.params: Any = [self.W, self.b]
        self.grads: Any = [np.zeros_like(self.W), np.zeros_like(self.b)]

    def forward(self, x: Any) -> Any:
        self.x, (W, b) = x, self.params
        return x @ W + b

    def backward(self, dout: Any) -> Any:
        dx, dW, db = gradients(dout, self.x, self.params[0], self.factor)
        self.grads[0] += dW
        self.grads[1] += db
        return dx


@pytest.mark.parametrize("kind", [Linear, OfDicts, OfLists])
def test_a_layer_keeps_its_parameters_and_gradients(kind: Any) -> None:
    def linear(layer: Any) -> Operation:
        return Operation.of_layer(layer, lambda x, W, b: x @ W + b, examples=[(X,)])

    report = check_operation(linear(kind()))
    assert report, str(report)
    assert {row.output for row in report.outputs} == {"out", "dx", "dW", "db"}
    wrong = kind()
    wrong.factor = 2.0
    [row] = check_operation(linear(wrong), X, contracts=False).failures()
    assert (row.function, row.output, row.at_fault) == (f"{kind.__name__} backward", "dW", "backward")


def test_a_layer_without_parameters_that_keeps_the_first_mask_is_caught() -> None:
    class ReLU:
        mask: Any = None

        def forward(self, x: Any) -> Any:
            self.mask = x > 0
            return x * self.mask

        def backward(self, dout: Any) -> Any:
            return dout * self.mask

    class Stale(ReLU):
        def forward(self, x: Any) -> Any:
            self.mask = x > 0 if self.mask is None else self.mask
            return x * self.mask

    assert check_operation(Operation.of_layer(ReLU(), lambda x: jax.nn.relu(x)), X)
    stale = Operation.of_layer(Stale(), lambda x: jax.nn.relu(x), examples=[(X,), (-X,)])
    assert not check_operation(stale)


def test_a_layer_that_does_not_fit_is_one_clear_error() -> None:
    with pytest.raises(TypeError, match=r"instance Linear\(4, 3\), not Linear"):
        Operation.of_layer(Linear, lambda x, W, b: x @ W + b)
    with pytest.raises(TypeError, match=r"expected those of forward \(x\), then parameters that the layer"):
        Operation.of_layer(Linear(), lambda x, weights: x @ weights)

    class Forgetful(Linear):
        def backward(self, dout: Any) -> Any:
            return dout @ self.W.T

    operation = Operation.of_layer(Forgetful(), lambda x, W, b: x @ W + b)
    [row] = check_operation(operation, X, contracts=False).failures()
    assert "the layer holds no gradient of W, neither self.dW nor self.grads['W']" in row.finding


# --- a loss and its gradients ---------------------------------------------------------------------------


def softmax_loss(x: Any, y: Any, factor: float = 1.0) -> tuple[Any, Any]:
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[np.arange(len(x)), y] -= 1
    return -log_p[np.arange(len(x)), y].mean(), factor * dx / len(x)


def softmax_mirror(x: Any, y: Any) -> Any:
    return -jnp.mean(jax.nn.log_softmax(x)[jnp.arange(len(x)), y])


def test_a_loss_and_its_gradient_come_from_one_call() -> None:
    y = rng.integers(0, 4, 6)
    right = Operation.of_loss(softmax_loss, softmax_mirror, examples=[(X, y)])
    for given in ((X, y), (X.astype(np.float32), y)):
        report = check_operation(right, *given)
        assert report, str(report)
    assert {row.output for row in report.outputs} == {"loss", "dx"}
    wrong = Operation.of_loss(lambda x, y: softmax_loss(x, y, 6.0), softmax_mirror)
    [row] = check_operation(wrong, X, y, contracts=False).failures()
    assert (row.output, row.at_fault) == ("dx", "backward")

    def in_double(x: Any, y: Any) -> Any:
        loss, dx = softmax_loss(x, y)
        return loss, dx.astype(np.float64)

    twice = Operation.of_loss(in_double, softmax_mirror)
    assert failing(twice, X.astype(np.float32), y) == ["dx"]


def test_a_loss_may_return_a_dict_of_gradients() -> None:
    def loss(X: Any, params: Any, reg: Any, wrong: float = 1.0) -> Any:
        residual = X @ params["W"]
        grads = {"W": X.T @ residual * 2 + wrong * 2 * reg * params["W"]}
        return np.sum(residual**2) + reg * np.sum(params["W"] ** 2), grads

    def mirror(X: Any, params: Any, reg: Any) -> Any:
        return jnp.sum((X @ params["W"]) ** 2) + reg * jnp.sum(params["W"] ** 2)

    inputs = (X, {"W": W1}, 0.5)
    right = Operation.of_loss(loss, mirror, differentiable=("params",))
    assert check_operation(right, *inputs)
    wrong = Operation.of_loss(
        lambda X, params, reg: loss(X, params, reg, 0.5), mirror, differentiable=("params",)
    )
    assert failing(wrong, *inputs) == ["dparams['W']"]


# --- several, a forward alone, dropout -------------------------------------------------------------------


def test_several_operations_may_come_in_a_dict() -> None:
    def square(factor: float) -> Operation:
        return Operation(
            np.square, lambda dout, x: factor * dout * x, lambda x: x * x, [(X,)], convention="inputs"
        )  # fmt: skip

    report = sandbox.check({"one": square(2.0), "another": square(2.0)}, contracts=False)
    assert report
    assert set(report.parts) == {"one", "another"}
    mixed = sandbox.check({"one": square(2.0), "another": square(3.0)}, contracts=False)
    assert [bool(part) for part in mixed.parts.values()] == [True, False]


@pytest.mark.parametrize("convention", ["cache", "inputs"])
def test_a_forward_alone_needs_no_backward(convention: Any) -> None:
    def forward(x: Any, i: Any) -> Any:
        return np.tanh(x)[i]

    def alone(forward: Any) -> Operation:
        return Operation(
            forward, mirror=lambda x, i: jnp.tanh(x)[i], differentiable=(), convention=convention
        )  # fmt: skip

    report = check_operation(alone(forward), X, np.array([1, 3]))
    assert report, str(report)
    assert {row.output for row in report.outputs} == {"out"}
    assert failing(alone(lambda x, i: 1.01 * forward(x, i)), X, np.array([1, 3])) == ["out"]
    with pytest.raises(TypeError, match=r"backward is not given, .*differentiable=\(\) checks a forward"):
        Operation(forward, mirror=lambda x, i: jnp.tanh(x)[i])


def dropout_mirror(x: Any, param: Any) -> Any:
    mask = np.random.default_rng(param["seed"]).random(x.shape) < param["p"]
    return x * mask / param["p"]


def test_a_dropout_may_draw_its_mask_from_a_seed_among_its_inputs() -> None:
    def dropout(x: Any, param: Any) -> Any:
        mask = (np.random.default_rng(param["seed"]).random(x.shape) < param["p"]) / param["p"]
        return x * mask, (mask, param["p"])

    inputs = (X, {"p": 0.7, "mode": "train", "seed": 3})
    right = Operation(dropout, lambda dout, cache: dout * cache[0], dropout_mirror, name="dropout")
    report = check_operation(right, *inputs)
    assert report, str(report)
    wrong = Operation(dropout, lambda dout, cache: dout * cache[0] * cache[1], dropout_mirror)
    assert failing(wrong, *inputs) == ["dx"]


def test_a_dropout_may_draw_its_mask_from_the_global_generator() -> None:
    class Dropout:
        mask: Any = None
        factor = 1.0

        def forward(self, x: Any) -> Any:
            self.mask = np.random.rand(*x.shape) > 0.5
            return x * self.mask

        def backward(self, dout: Any) -> Any:
            return self.factor * dout * self.mask

    def mirror(x: Any) -> Any:
        return x * (np.random.rand(*x.shape) > 0.5)

    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    report = check_operation(Operation.of_layer(Dropout(), mirror, seed=0), X)
    assert report, str(report)
    assert np.random.rand() == expected, "the generator is left as it was"
    wrong = Dropout()
    wrong.factor = 2.0
    assert failing(Operation.of_layer(wrong, mirror, seed=0), X) == ["dx"]


def test_a_forward_alone_is_checked_by_the_one_door_too() -> None:
    for factor, right in ((1.0, True), (1.01, False)):
        alone = Operation(
            lambda x, f=factor: f * np.tanh(x), mirror=lambda x: jnp.tanh(x), differentiable=(),
            examples=[(np.linspace(-1, 1, 5),)],
        )  # fmt: skip
        report = sandbox.check(alone)
        assert bool(report) is right
        assert {row.verdict for row in report.outputs} == {"pass" if right else "FAIL"}


class Averaging:
    """A layer that counts its calls and keeps a running average."""

    def __init__(self) -> None:
        self.scale, self.mean, self.calls = np.full(3, 2.0), np.zeros(3), 0

    def forward(self, x: Any) -> Any:
        self.mean, self.calls, self.x = 0.9 * self.mean + 0.1 * x.mean(0), self.calls + 1, x
        return x * self.scale

    def backward(self, dout: Any) -> Any:
        self.dscale = (dout * self.x).sum(0)
        return dout * self.scale


class Slotted:
    __slots__ = ("dscale", "scale", "x")

    def __init__(self) -> None:
        self.scale = np.full(3, 2.0)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.scale

    def backward(self, dout: Any) -> Any:
        self.dscale = (dout * self.x).sum(0)
        return dout * self.scale


@pytest.mark.parametrize("layer", [Averaging, Slotted])
def test_a_layer_may_keep_averages_and_have_slots(layer: Any) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3))
    report = sandbox.check(Operation.of_layer(layer(), lambda x, scale: x * scale, [(x,)]))
    assert report, str(report)
    assert any("a running average" in row.finding for row in report.manners()) is (layer is Averaging)


def test_a_kernel_for_float32_alone_is_right() -> None:
    def kernel(x: Any) -> Any:
        assert x.dtype == np.float32
        return x * np.float32(0.1), x

    operation = Operation(kernel, lambda dout, x: dout * np.float32(0.1), lambda x: x * np.float32(0.1))
    assert sandbox.check(operation, np.linspace(-1, 1, 7, dtype=np.float32))


def test_what_a_backward_that_raises_should_return_is_a_gradient() -> None:
    def backward(dout: Any, cache: Any) -> Any:
        return cache["W"]

    report = sandbox.check(Operation(lambda x: (2 * x, x), backward, lambda x: 2 * x), np.ones(3))
    assert report.headline().startswith("Gradients WRONG")
