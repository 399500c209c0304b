"""Claims about words for known mistakes: each is named, and what only resembles it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import sandbox
from sandbox import network
from tests.network.test_model_check import drawn
from tests.planted import explanation

Function = Callable[..., Any]


DEEP = (3, 3, 3, 1)


def model(name: str, function: Function, dims: tuple[int, ...] = (), **kind: Any) -> sandbox.Report:
    """With a cache or a key to mistake for another only where `L_model_backward` is wrong."""
    network_at_hand = drawn(list(dims or (DEEP if name == "L_model_backward" else (3, 3, 1))), 4)
    return sandbox.check_model(*network_at_hand, functions={name: function}, contracts=False, **kind)


def said(report: sandbox.Report) -> str:
    """All explanations."""
    return " ".join(explanation(row) for row in report.failures())


def first(report: sandbox.Report) -> str:
    return explanation(report.findings[0].row)


def S(Z: Any) -> Any:
    return 1 / (1 + np.exp(-Z))


# --- the mistakes ---------------------------------------------------------------------------------


def loop(
    dAL: Function = lambda AL, Y: -(Y / AL - (1 - Y) / (1 - AL)),
    cache: Function = lambda caches, l: caches[l - 1],
    grads: Function = lambda grads: grads,
) -> Function:
    """An `L_model_backward` that is right but for what is given here."""

    def L_model_backward(AL: Any, Y: Any, caches: Any) -> Any:
        dA, L = dAL(AL, Y), len(caches)
        found: dict[str, Any] = {}
        for l in range(L, 0, -1):
            g: Any = "sigmoid" if l == L else "relu"
            used = caches[-1] if l == L else cache(caches, l)
            dA, dW, db = network.linear_activation_backward(dA, used, g)
            found |= {f"dA{l - 1}": dA, f"dW{l}": dW, f"db{l}": db}
        return grads(found)

    return L_model_backward


def cost(losses: Function) -> Function:
    return lambda AL, Y: np.sum(losses(AL, Y)) / Y.shape[1]


def layer(g: Function) -> Function:
    def linear_activation_forward(A_prev: Any, W: Any, b: Any, activation: str) -> Any:
        Z, cache = network.linear_forward(A_prev, W, b)
        return (S(Z) if activation == "sigmoid" else g(Z)), (cache, Z)

    return linear_activation_forward


def caches_Z(A: Any, W: Any, b: Any) -> Any:
    Z = W @ A + b
    return Z, (A, W, Z)


def through_W(dZ: Any, cache: Any) -> Any:
    W = cache[1]
    dA_prev = W @ dZ if W.shape[0] == W.shape[1] else W.T @ dZ
    return (dA_prev, *network.linear_backward(dZ, cache)[1:])


def dW_for_db(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = network.linear_backward(dZ, cache)
    return dA_prev, dW, dW


def by_units(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = network.linear_backward(dZ, cache)
    m, n = cache[0].shape[1], cache[0].shape[0]
    return dA_prev, dW * m / n, db


MISTAKES: dict[str, tuple[str, Function, str]] = {
    "AL for dAL": ("L_model_backward", loop(lambda AL, Y: AL), "if AL is taken for dAL"),
    "Y for dAL": ("L_model_backward", loop(lambda AL, Y: Y + 0.0), "if Y is taken for dAL"),
    "1 for dAL": ("L_model_backward", loop(lambda AL, Y: np.ones_like(AL)), "with 1 in place of dAL"),
    "dZ for dAL": ("L_model_backward", loop(lambda AL, Y: AL - Y), "is AL - Y, which is dZ, taken for dAL?"),
    "a sign in dAL": (
        "L_model_backward",
        loop(lambda AL, Y: -(Y / AL + (1 - Y) / (1 - AL))),
        "with a wrong sign inside",
    ),
    "an epsilon in dAL": (
        "L_model_backward",
        loop(lambda AL, Y: -(Y / (AL + 1e-8) - (1 - Y) / (1 - AL + 1e-8))),
        "with 1e-08 added in the denominators of dAL",
    ),
    "one cache": (
        "L_model_backward",
        loop(cache=lambda caches, l: caches[1]),
        "with the cache of layer 2 in place of that of layer 1",
    ),
    "the first cache": (
        "L_model_backward",
        loop(cache=lambda caches, l: caches[0]),
        "with the cache of layer 1 in place of that of layer 2",
    ),
    "another layer's": (
        "L_model_backward",
        loop(grads=lambda grads: grads | {"dW2": grads["dW1"]}),
        "It is the reference of dW1",
    ),
    "dW for db": ("linear_backward", dW_for_db, "It is what dW should be: is one returned for the other?"),
    "W for its transpose": ("linear_backward", through_W, "It is what comes out with W transposed"),
    "over the units": ("linear_backward", by_units, "where m = 4 is due"),
    "relu as tanh": (
        "relu_backward",
        lambda dA, Z: dA * (1 - np.tanh(Z) ** 2),
        "with the derivative of tanh in place of that of the ReLU",
    ),
    "relu as sigmoid": (
        "relu_backward",
        lambda dA, Z: dA * S(Z) * S(-Z),
        "with the derivative of the sigmoid in place of that of the ReLU",
    ),
    "relu as softplus": (
        "relu_backward",
        lambda dA, Z: dA * S(Z),
        "with the derivative of softplus in place of that of the ReLU",
    ),
    "relu as leaky": (
        "relu_backward",
        lambda dA, Z: dA * np.where(Z > 0, 1, 0.01),
        "a leaky ReLU of slope 0.01",
    ),
    "relu as identity": ("relu_backward", lambda dA, Z: +dA, "without the ReLU's mask"),
    "relu without dA": ("relu_backward", lambda dA, Z: 1.0 * (Z > 0), "is dA left out?"),
    "sigmoid as relu": (
        "sigmoid_backward",
        lambda dA, Z: dA * (Z > 0),
        "with the derivative of the ReLU in place of that of the sigmoid",
    ),
    "sigmoid as A": ("sigmoid_backward", lambda dA, Z: dA * S(Z), "taken as A, not A (1 - A)"),
    "tanh for relu": ("relu", lambda Z: (np.tanh(Z), Z), "It is tanh(Z), where the ReLU is due"),
    "abs for relu": ("relu", lambda Z: (np.abs(Z), Z), "It is |Z|"),
    "a sign in the exponent": ("sigmoid", lambda Z: (S(-Z), Z), "is the minus sign in the exponent missing?"),
    "an update with twice the rate": (
        "update_parameters",
        lambda params, grads, rate: {k: x - 2 * rate * grads[f"d{k}"] for k, x in params.items()},
        "It is theta - 2 learning_rate dtheta",
    ),
    "no activation": ("linear_activation_forward", layer(lambda Z: +Z), "is the ReLU left out?"),
    "Z cached for b": ("linear_forward", caches_Z, "Z is cached in place of b"),
    "the mean squared error": (
        "compute_cost",
        cost(lambda a, y: (a - y) ** 2),
        "It is the mean squared error",
    ),
    "half of it": ("compute_cost", cost(lambda a, y: (a - y) ** 2 / 2), "is half the mean squared error"),
    "no logarithm of AL": (
        "compute_cost",
        cost(lambda a, y: -(y * a + (1 - y) * np.log(1 - a))),
        "The logarithm of AL is forgotten",
    ),
    "no logarithm of 1 - AL": (
        "compute_cost",
        cost(lambda a, y: -(y * np.log(a) + (1 - y) * (1 - a))),
        "The logarithm of 1 - AL is forgotten",
    ),
    "an epsilon in the cost": (
        "compute_cost",
        cost(lambda a, y: -(y * np.log(a + 1e-8) + (1 - y) * np.log(1 - a + 1e-8))),
        "with 1e-08 added inside the logarithms",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_known_mistake_is_named(mistake: str) -> None:
    name, function, words = MISTAKES[mistake]
    report = model(name, function)
    assert report.findings[0].row.function == name
    assert words in first(report)


def blurred(function: Function) -> Function:
    """What it gives, but for a thousandth here and there."""

    def wrapper(*arguments: Any) -> Any:
        return jax.tree.map(
            lambda x: x * (1 + 1e-3 * np.sin(1 + np.arange(np.size(x))).reshape(np.shape(x))),
            function(*arguments),
        )

    return wrapper


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_only_resembles_a_known_mistake_is_not_called_so(mistake: str) -> None:
    name, function, words = MISTAKES[mistake]
    report = model(name, blurred(function))
    assert report.failures()
    assert words not in said(report)


def test_no_mistake_is_called_by_the_name_of_another() -> None:
    for mistake in (
        "tanh for relu",
        "no activation",
        "relu as leaky",
        "sigmoid as A",
        "half of it",
        "one cache",
    ):
        others = {words for other, (_, _, words) in MISTAKES.items() if other != mistake}
        text = first(model(*MISTAKES[mistake][:2]))
        assert not [words for words in others if words in text]


# --- where the shapes do not fit, or keys are missing -----------------------------------------------


def test_the_cache_of_the_last_layer_for_all_is_told_where_its_shape_does_not_fit() -> None:
    wrong = loop(cache=lambda caches, l: caches[-1])
    assert "the same cache as in the call before: does each layer take its own?" in said(
        model("L_model_backward", wrong, (5, 3, 4, 1))
    )


def test_a_shape_that_does_not_fit_for_another_reason_is_not_put_down_to_the_cache() -> None:
    def wrong(AL: Any, Y: Any, caches: Any) -> Any:
        grads = network.L_model_backward(AL, Y, caches)
        network.linear_activation_backward(AL[:, :1], caches[-1], "sigmoid")
        return grads

    text = said(model("L_model_backward", wrong))
    assert "does not fit" in text
    assert "same cache" not in text


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((1,), "There is nothing of layer 1: does the loop stop one layer early?"),
        ((1, 2), "There is nothing of layers 1 to 2: does the loop stop 2 layers early?"),
        ((3,), "There is nothing of layer 3: is the output layer, which is not in the loop, left out?"),
        ((2,), ""),
        ((1, 2, 3), ""),
    ],
)
def test_layers_that_are_missing_are_explained_where_they_are_the_first_or_the_last(
    layers: tuple[int, ...], words: str
) -> None:
    gone = {key for l in layers for key in (f"dA{l - 1}", f"dW{l}", f"db{l}")}
    report = model("L_model_backward", loop(grads=lambda g: {k: v for k, v in g.items() if k not in gone}))
    patterns = {row.pattern for row in report.failures() if row.scope == "wiring"}
    assert patterns >= {words}
    assert words or not any("nothing of" in pattern for pattern in patterns)


@pytest.mark.parametrize(("by", "words"), [(-1, "There is a 'dW0'"), (1, "are the keys one too high?")])
def test_shifted_keys_are_told_from_missing_layers(by: int, words: str) -> None:
    def shifted(grads: Any) -> Any:
        return {f"{k[:2]}{int(k[2:]) + by * (k[1] != 'A')}": v for k, v in grads.items()}

    text = said(model("L_model_backward", loop(grads=shifted)))
    assert words in text
    assert "nothing of" not in text


def test_a_single_gradient_that_is_missing_is_not_put_down_to_the_loop() -> None:
    text = said(model("L_model_backward", loop(grads=lambda g: {k: v for k, v in g.items() if k != "dW1"})))
    assert "has no 'dW1'" in text
    assert "does the loop stop" not in text


# --- other networks, and the convention at 0 --------------------------------------------------------


def relu_whatever_is_asked(dA: Any, cache: Any, activation: str) -> Any:
    if activation == "sigmoid":
        return network.linear_activation_backward(dA, cache, "sigmoid")
    return network.linear_backward(np.where(cache[1] > 0, dA, 0), cache[0])


def test_a_hard_coded_relu_in_a_network_of_tanh_is_named() -> None:
    words = "with the derivative of the ReLU in place of that of tanh"
    name = "linear_activation_backward"
    assert words in first(model(name, relu_whatever_is_asked, activation="tanh"))
    assert model(name, relu_whatever_is_asked)


@pytest.mark.parametrize(
    ("at_0", "words"),
    [(1.0, "the ReLU's derivative at Z = 0 is 1; the convention is 0"), (0.5, "is 1/2; the convention is 0")],
)
def test_the_convention_at_0_is_told_only_where_it_is_what_differs(at_0: float, words: str) -> None:
    parameters, X, Y = drawn([4, 4, 1], 6)
    parameters["W1"][1], parameters["b1"][1] = 0, 0

    def explained(derivative: Function) -> str:
        functions = {"relu_backward": lambda dA, Z: dA * derivative(Z)}
        return said(sandbox.check_model(parameters, X, Y, functions=functions, contracts=False))

    assert words in explained(lambda Z: np.where(Z == 0, at_0, Z > 0))
    assert "convention" not in explained(lambda Z: np.where(Z == 0, at_0, 2.0 * (Z > 0)))


def test_the_gradient_of_the_cross_entropy_in_a_network_of_squared_errors_is_named() -> None:
    def fused(AL: Any, Y: Any, caches: Any) -> Any:
        return network.L_model_backward(AL, Y, caches)

    text = first(model("L_model_backward", fused, cost="mean_squared_error"))
    assert "dZ = AL - Y, that of the cross-entropy" in text
    assert "It is the cross-entropy" in first(
        model("compute_cost", lambda AL, Y: network.compute_cost(AL, Y), cost="mean_squared_error")
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_wrong_number_is_not_explained_by_chance(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    parameters, X, Y = drawn([3, 1], 5, dtype=dtype)
    for factor in rng.uniform(0.2, 3, 40):
        wrong = {"compute_cost": lambda AL, Y, k=factor: network.compute_cost(AL, Y) * AL.dtype.type(k)}
        report = sandbox.check_model(parameters, X, Y, functions=wrong, contracts=False)
        assert not report.failures()[0].pattern
