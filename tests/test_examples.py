"""The worked examples: the right ones pass on drawn cases, the wrong ones are caught by name."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from sandbox import check_operation

EXAMPLES = {
    "softmax_cross_entropy": {"dlogits"},
    "batch_norm": {"dx"},
    "layer_norm": {"dx"},
    "dropout": {"dx"},
    "conv2d": {"dx"},
    "attention": {"dQ", "dK"},
}


def module(name: str) -> Any:
    return importlib.import_module(f"examples.{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_right_one_passes_on_drawn_cases(name: str) -> None:
    report = check_operation(module(name).right, cases=10)
    assert report, str(report)
    assert not report.unknown_primitives


@pytest.mark.usefixtures("little_shrinking")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_wrong_one_is_caught_and_its_gradient_named(name: str) -> None:
    report = check_operation(module(name).wrong, cases=10, contracts=False)
    assert {row.output for row in report.failures()} <= EXAMPLES[name]
    assert report.failures()
    assert report.failures()[0].at_fault in ("backward", "")
    assert report.example


LARGER: dict[str, Any] = {
    "softmax_cross_entropy": lambda rng: (rng.standard_normal((64, 10)), rng.integers(0, 10, 64)),
    "batch_norm": lambda rng: (*(rng.standard_normal(s) for s in ((64, 16), 16, 16)), 1e-5),
    "layer_norm": lambda rng: (rng.standard_normal((64, 16)), np.asarray(rng.standard_normal())),
    "dropout": lambda rng: (rng.standard_normal((64, 16)), rng.random((64, 16)) < 0.8, 0.8),
    "conv2d": lambda rng: (*(rng.standard_normal(s) for s in ((4, 3, 9, 9), (5, 3, 3, 3), 5)), 2, 1),
    "attention": lambda rng: (*(rng.standard_normal(s) for s in ((12, 8), (15, 8), (15, 6))), None),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_right_one_passes_at_a_larger_size_in_either_precision(name: str, dtype: Any) -> None:
    inputs = LARGER[name](np.random.default_rng(0))
    cast = [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs]
    report = check_operation(module(name).right, *cast)
    assert report, str(report)
