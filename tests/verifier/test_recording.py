"""Claims about threads: a check records its own thread alone, and two checks at once are each as if alone."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import sandbox
from sandbox import network
from sandbox.network import passes
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


@pytest.mark.parametrize("workers", [2, 4])
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
