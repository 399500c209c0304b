"""Claims about measuring several layers as a stack, and with fewer samples."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import sandbox
from sandbox.network.cases import drawn_network
from sandbox.network.functions import LAYER_BACKWARD
from sandbox.noise import K, measure
from sandbox.typing import Array
from sandbox.verifier.compare import threshold
from sandbox.verifier.equation import Equation
from sandbox.verifier.local import measure_together, measured, sampled


def layers(seed: int, count: int, n: int = 20, m: int = 9) -> list[tuple[Array, ...]]:
    """dA, A_prev, W, b and Z of layers of one shape."""
    rng = np.random.default_rng(seed)
    return [
        tuple(rng.standard_normal(shape) for shape in ((n, m), (n, m), (n, n), (n, 1), (n, m)))
        for _ in range(count)
    ]


def test_layers_measured_together_have_the_reference_and_the_noise_of_each_alone() -> None:
    equation, given = LAYER_BACKWARD["relu"], layers(seed=1, count=5)
    measure_together((equation, inputs) for inputs in given)
    for inputs in given:
        alone = measure(equation.reference, *inputs, dtype=np.float64)
        for one, of_stack in zip(alone.outputs, measured(equation, inputs).outputs, strict=True):
            np.testing.assert_allclose(of_stack.reference, one.reference, rtol=1e-12, atol=1e-14)
            # Each is the root of a mean of K squares, whose relative deviation is near 1 / sqrt(2 K); that
            # of their quotient is sqrt(1 / K). Entries share their samples: a mean over them is no better.
            quotient = np.mean(of_stack.sigma / one.sigma)
            assert abs(quotient - 1) < 6 / np.sqrt(K)


def test_a_layer_at_a_kink_is_measured_by_itself() -> None:
    def masked(A: Array, W: Array, b: Array) -> tuple[object]:
        Z = W @ A + b
        return (jnp.where(Z > 0, A, 0.0),)

    equation = Equation("masked", masked, ("A", "W", "b"), ("Z",), axes=("nm", "nn", "n1"))
    given = layers(seed=2, count=3)
    linear = [inputs[1:4] for inputs in given]
    A, W, b = linear[1]
    linear[1] = A, W, np.asarray(b - (W @ A + b)[:, :1])  # the first example of each unit is at Z = 0
    measure_together((equation, inputs) for inputs in linear)
    assert [measured(equation, inputs).kinks > 0 for inputs in linear] == [False, True, False]


def test_an_overflow_in_one_layer_excuses_no_other() -> None:
    equation, given = LAYER_BACKWARD["relu"], layers(seed=3, count=3)
    given[1] = (given[1][0] * 1e200, given[1][1] * 1e200, *given[1][2:])
    measure_together((equation, inputs) for inputs in given)
    assert [measured(equation, x).outputs[0].overflow for x in given] == [False, True, False]


@pytest.mark.parametrize("samples", [pytest.param(8, marks=pytest.mark.slow), 16])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fewer_samples_catch_no_less_and_raise_no_alarm(samples: int, dtype: str) -> None:
    network = drawn_network([5, 5, 5, 5, 1], 12, seed=0, dtype=dtype)

    def one_layer_off(dZ: Array, cache: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        dA_prev, dW, db = sandbox.linear_backward(dZ, cache)
        return dA_prev, dW, db * (1 + 1e-3)

    with sampled(samples):
        right = sandbox.check_model(*network, contracts=False)
        assert right, str(right)
        wrong = sandbox.check_model(*network, functions={"linear_backward": one_layer_off}, contracts=False)
    assert wrong.findings[0].row.function == "linear_backward"


def test_the_threshold_knows_of_how_many_samples_sigma_is() -> None:
    # Student's t with fewer degrees of freedom has the longer tail.
    assert threshold(100, 8) > threshold(100, 16) > threshold(100, K) == threshold(100)
    network = drawn_network([4, 3, 1], 6, seed=1)
    with sampled(16):
        report = sandbox.check_model(*network, contracts=False)
    assert {row.tensor_threshold for row in report.outputs if row.tensor_threshold > 0} == {threshold(1, 16)}
