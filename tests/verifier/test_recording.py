"""Claims about threads: a check records its own thread alone, and two checks at once are each as if alone."""

from __future__ import annotations

import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import sandbox
from sandbox import network
from sandbox.network import passes
from sandbox.verifier.recording import Family, Recorder
from tests.network.test_model_check import drawn

theta, X, Y = drawn([5, 5, 5, 1], 12)


def train(stop: threading.Event, failures: list[BaseException]) -> None:
    parameters = dict(theta)
    try:
        while not stop.is_set():
            AL, caches = network.L_model_forward(X, parameters)
            network.update_parameters(parameters, network.L_model_backward(AL, Y, caches), 0.01)
            network.linear_backward(caches[0][1], caches[0][0])
    except BaseException as error:
        failures.append(error)


def rows(report: sandbox.Report) -> list[Any]:
    return [(row.function, row.scope, row.layer, row.output, row.verdict) for row in report.rows]


def test_a_thread_that_trains_is_neither_recorded_nor_disturbed() -> None:
    alone = rows(sandbox.check_model(theta, X, Y))
    stop = threading.Event()
    failures: list[BaseException] = []
    trainer = threading.Thread(target=train, args=(stop, failures))
    trainer.start()
    try:
        beside = [rows(sandbox.check_model(theta, X, Y)) for _ in range(2)]
    finally:
        stop.set()
        trainer.join()
    assert not failures
    assert all(found == alone for found in beside)


def doubled(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = network.linear_backward(dZ, cache)
    return dA_prev, 2 * dW, db


def inverted(dA: Any, Z: Any) -> Any:
    return np.where(Z > 0, 0, dA)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_checks_at_once_in_several_threads_are_each_as_if_alone(workers: int) -> None:
    subjects: list[Any] = [None, {"linear_backward": doubled}, {"relu_backward": inverted}, None]
    alone = [rows(sandbox.check_model(theta, X, Y, functions=f)) for f in subjects]
    before = {name: dict(vars(module)) for name, module in (("public", network), ("passes", passes))}
    with ThreadPoolExecutor(workers) as pool:
        together = list(pool.map(lambda f: rows(sandbox.check_model(theta, X, Y, functions=f)), subjects * 2))
    assert together == alone * 2
    assert before == {"public": dict(vars(network)), "passes": dict(vars(passes))}


def test_a_warning_of_another_thread_breaks_no_contract() -> None:
    stop = threading.Event()

    def warn() -> None:
        while not stop.is_set():
            warnings.warn("of another thread", stacklevel=1)
            stop.wait(1e-3)

    with warnings.catch_warnings(record=True, action="always") as others:
        noisy = threading.Thread(target=warn)
        noisy.start()
        try:
            assert sandbox.check_model(theta, X, Y)
        finally:
            stop.set()
            noisy.join()
    assert {str(warning.message) for warning in others} == {"of another thread"}


# --- code with unusual habits ---------------------------------------------------------------------------

LIBRARY = """
import numpy as np
from sandbox.network import linear_backward

def relu_backward(dA, Z):
    return np.where(Z > 0, dA, 2 * dA)

def sigmoid_backward(dA, Z):
    s = 1 / (1 + np.exp(-Z))
    return dA * s * (1 - s)

TABLE = {"relu": relu_backward, "sigmoid": sigmoid_backward}
by_another_name = linear_backward

def linear_activation_backward(dA, cache, activation):
    return by_another_name(TABLE[activation](dA, cache[1]), cache[0])
"""


def test_a_call_through_a_table_or_another_name_is_seen() -> None:
    module = types.ModuleType("library")
    exec(LIBRARY, vars(module))
    before = dict(vars(module)["TABLE"])
    report = sandbox.check(module)
    assert [finding.row.function for finding in report.findings] == ["relu_backward"]
    assert report.stood_in == ("relu_backward",)
    assert vars(module)["TABLE"] == before


def test_a_check_that_tested_code_runs_is_its_own() -> None:
    inner: list[sandbox.Report] = []

    def L_model_backward(AL: Any, Y: Any, caches: Any) -> Any:
        inner.append(sandbox.check_model(theta, X, Y, contracts=False))
        return network.L_model_backward(AL, Y, caches)

    functions = {
        "linear_forward": lambda A, W, b: (W @ A - b, (A, W, b)), "L_model_backward": L_model_backward
    }  # fmt: skip
    outer = sandbox.check_model(theta, X, Y, functions=functions, contracts=False)
    assert outer.findings[0].row.function == "linear_forward"
    assert inner[0], str(inner[0])
    alone = {"linear_forward": functions["linear_forward"]}
    assert rows(outer) == rows(sandbox.check_model(theta, X, Y, functions=alone, contracts=False))


def test_tested_code_may_wait_for_a_thread_that_checks() -> None:
    def linear_backward(dZ: Any, cache: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(sandbox.check_linear_backward, dZ, cache).result()
        return network.linear_backward(dZ, cache)

    functions = {"linear_backward": linear_backward}
    assert sandbox.check_model(theta, X, Y, functions=functions, contracts=False)


def test_keywords_are_given_to_a_function_that_has_them() -> None:
    def with_another_default(X: Any, parameters: Any, activation: str = "tanh") -> Any:
        return network.L_model_forward(X, parameters, activation=activation)

    def with_any(*arguments: Any, **options: Any) -> Any:
        return network.L_model_forward(*arguments, **options)

    for function in (with_another_default, with_any):
        for activation in ("relu", "tanh"):
            assert sandbox.check({"L_model_forward": function}, activation=activation)


def test_a_function_without_a_signature_is_checked() -> None:
    class Compiled:
        __signature__ = "none"

        def __call__(self, *arguments: Any) -> Any:
            return network.L_model_backward(*arguments)

    report = sandbox.check({"L_model_backward": Compiled()})
    assert report, str(report)


def test_a_tensor_that_cannot_be_an_array_is_a_finding() -> None:
    class Tensor:
        def __array__(self, *arguments: Any, **options: Any) -> Any:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    for name in ("linear_backward", "relu_backward"):
        report = sandbox.check({name: lambda *arguments: (Tensor(), Tensor(), Tensor())})
        assert report.findings[0].row.function == name


def test_an_error_in_code_without_a_path_is_placed() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def relu_backward(dA, Z):\n    raise KeyError('x')\n", "my.py", "exec"), namespace)
    report = sandbox.check({"relu_backward": namespace["relu_backward"]})
    assert "KeyError" in report.findings[0].row.finding


def recorded(*changes: Any) -> list[Any]:
    """The weights that three calls were seen to be given, which are changed between the calls."""
    family = Family({"f": lambda W, x: (W @ x, (W, x))}, ())
    recorder = Recorder({}, family)
    W = np.eye(64)
    with recorder.bound() as bound:
        for change in (None, *changes):
            if change:
                change(W)
            bound["f"](W, np.ones((64, 1)))
    return [seen for call in recorder.calls for seen in (call.arguments[0], call.result[1][0])]


def test_weights_that_go_through_many_calls_are_copied_once() -> None:
    first, *others = recorded(lambda W: None, lambda W: None)
    assert all(seen is first for seen in others)


def test_weights_that_change_between_calls_are_recorded_as_they_were() -> None:
    def shift(W: Any) -> None:
        W += 1

    def negate_zeros(W: Any) -> None:
        W[W == 0] = -0.0

    seen = recorded(negate_zeros, shift)[::2]
    assert not np.signbit(seen[0]).any()
    assert np.signbit(seen[1]).any()
    assert seen[1][0, 0] == 1
    assert seen[2][0, 0] == 2
