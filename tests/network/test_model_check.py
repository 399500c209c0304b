"""Claims about the check: right code passes whatever its size, wrong code is caught and named."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sandbox
from sandbox.network.cases import Network, drawn_network
from sandbox.typing import Scheme
from tests.planted import entry, planted


def drawn(dims: list[int], m: int, seed: int = 0, scheme: Scheme = "he", dtype: Any = np.float64) -> Network:
    return drawn_network(dims, m, seed=seed, scheme=scheme, dtype=np.dtype(dtype).name, dead_unit=False)


@settings(deadline=None, max_examples=15)
@given(
    depth=st.sampled_from([1, 2, 3, 5, 8, 16]),
    width=st.sampled_from([1, 2, 7, 32, 64]),
    m=st.sampled_from([1, 2, 17, 256]),
    scheme=st.sampled_from(["small", "he", "inverse_sqrt"]),
    dtype=st.sampled_from([np.float64, np.float32]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.slow
def test_the_right_passes_raise_no_false_alarm(
    depth: int, width: int, m: int, scheme: Scheme, dtype: Any, scale: float, seed: int
) -> None:
    parameters, X, Y = drawn([width] * depth + [1], m, seed, scheme, dtype)
    scaled = {key: (scale * x).astype(dtype) for key, x in parameters.items()}
    with np.errstate(all="ignore"):  # weights of 1e3 over 16 layers overflow float32
        report = sandbox.check_model(scaled, X, Y, contracts=False)  # which do not depend on the case
    assert report, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scheme", ["small", "he", "inverse_sqrt"])
@pytest.mark.parametrize(
    ("depth", "width", "m"), [(64, 256, 64), (64, 1, 2000), (2, 256, 2000), (64, 32, 256)]
)
def test_no_false_alarm_at_the_largest_sizes(
    depth: int, width: int, m: int, scheme: Scheme, dtype: Any
) -> None:
    report = sandbox.check_model(*drawn([width] * depth + [1], m, 1, scheme, dtype))
    assert report, str(report)


def test_a_stack_is_checked_network_by_network() -> None:
    networks = [drawn([5, 4, 1], 9, seed) for seed in range(3)]
    parameters = {key: np.stack([network[0][key] for network in networks]) for key in networks[0][0]}
    report = sandbox.check_model(parameters, networks[0][1], networks[0][2])
    assert report
    assert {row.shape for row in report.outputs if row.output == "dW"} == {(3, 1, 4), (3, 4, 5)}


def test_exact_zeros_in_Z_and_a_saturated_output_raise_no_false_alarm() -> None:
    parameters, X, Y = drawn([4, 6, 1], 20)
    parameters["W1"][2], parameters["b1"][2] = 0, 0
    parameters["W2"] = parameters["W2"] * 1e4
    assert sandbox.check_model(parameters, X, Y)


# --- the mistakes that the exercise's notes invite ------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "output"),
    [
        ("dW_without_1_over_m", "dW"),
        ("dA_prev_over_m", "dA_prev"),
        ("db_of_the_first_example", "db"),
        ("db_without_keepdims", "db"),
        ("dW_of_the_wrong_sign", "dW"),
        ("dA_prev_through_W_untransposed", "dA_prev"),
        ("db_is_float32", "db"),
        ("one_entry_off_by_1e_9", "dW"),
    ],
)
def test_a_wrong_linear_backward_is_caught_and_its_output_named(wrong: str, output: str) -> None:
    rng = np.random.default_rng(0)
    A_prev, W, b, dZ = (rng.standard_normal(shape) for shape in ((6, 20), (6, 6), (6, 1), (6, 20)))
    report = sandbox.check_linear_backward(dZ, (A_prev, W, b), function=entry(wrong).function)
    assert {row.output for row in report.failures() if row.scope == "local"} == {output}


def test_relu_with_a_derivative_of_one_at_zero_is_caught() -> None:
    def wrong(dA: Any, cache: Any, activation: str) -> Any:
        return sandbox.linear_backward(np.where(cache[1] >= 0, dA, 0), cache[0])

    A_prev, W, b = np.ones((2, 3)), np.array([[1.0, -1.0]]), np.zeros((1, 1))
    _, cache = sandbox.linear_activation_forward(A_prev, W, b, "relu")
    dA = np.ones((1, 3))
    assert sandbox.check_linear_activation_backward(dA, cache, "relu")
    assert not sandbox.check_linear_activation_backward(dA, cache, "relu", function=wrong)


def the_exercises_formula(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        dA = -(Y / AL - (1 - Y) / (1 - AL))
        for l in range(len(caches), 0, -1):
            activation = "sigmoid" if l == len(caches) else "relu"
            dA, dW, db = sandbox.linear_activation_backward(dA, caches[l - 1], activation)
            grads |= {f"dA{l - 1}": dA, f"dW{l}": dW, f"db{l}": db}
    return grads


@pytest.mark.parametrize("wrong", ["dW_one_key_too_low", "mask_of_the_layer_below"])
def test_a_wrong_model_backward_is_caught(wrong: str) -> None:
    assert not sandbox.check_model(*drawn([5, 5, 5, 1], 12), functions=planted(wrong))


def test_dW_and_db_are_not_accused_where_only_the_keys_of_dA_are_wrong() -> None:
    def swapped(AL: Any, Y: Any, caches: Any) -> Any:
        grads = sandbox.L_model_backward(AL, Y, caches)
        return grads | {"dA0": grads["dA1"], "dA1": grads["dA0"]}

    report = sandbox.check_model(*drawn([5, 5, 5, 1], 12), functions={"L_model_backward": swapped})
    assert {row.output for row in report.failures()} == {"dA0", "dA1"}


def test_the_exercises_formula_is_right_until_the_output_saturates() -> None:
    parameters, X, Y = drawn([5, 4, 1], 12)
    assert sandbox.check_model(parameters, X, Y, functions={"L_model_backward": the_exercises_formula})
    parameters["W2"] = parameters["W2"] * 1e3
    assert not sandbox.check_model(parameters, X, Y, functions={"L_model_backward": the_exercises_formula})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e3])
def test_the_fused_AL_minus_Y_is_right_however_saturated(scale: float, dtype: Any) -> None:
    parameters, X, Y = drawn([5, 4, 1], 40, dtype=dtype)
    parameters["W2"] = (parameters["W2"] * scale).astype(dtype)
    assert sandbox.check_model(parameters, X, Y.astype(dtype), functions=planted("output_fused"))


# --- the report -----------------------------------------------------------------------------------


def test_a_report_is_a_table_plain_data_and_a_truth_value() -> None:
    report = sandbox.check_model(*drawn([3, 2, 1], 5))
    assert bool(report) is True
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is True
    assert data["rows"][0]["function"] == "sigmoid"
    assert set(data["rows"][0]) >= {
        "function", "layer", "output", "shape", "dtype", "sigma_error", "relative_error", "verdict",
    }  # fmt: skip
    assert "L_model_backward" in str(report)
    assert str(report).startswith("Gradients right: sigmoid_backward, relu_backward, linear_backward,")
    assert len(repr(report)) < 1000


def test_malformed_input_is_an_error_and_not_a_finding() -> None:
    with pytest.raises(ValueError, match="dZ has shape"):
        sandbox.check_linear_backward(np.ones((3, 4)), (np.ones((2, 4)), np.ones((5, 2)), np.ones((5, 1))))


def test_import_sandbox_does_not_import_jax() -> None:
    code = "import sandbox, sys; sys.exit('jax' in sys.modules or 'scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whole_numbers_typed_by_hand_are_taken_as_floats_and_NaN_is_refused() -> None:
    dZ, A_prev, W, b = [[1, 2]], [[3, 1], [0, 2]], [[1, -1]], [[2]]
    report = sandbox.check_linear_backward(dZ, (A_prev, W, b))  # type: ignore[arg-type]
    assert report, str(report)
    with pytest.raises(ValueError, match=r"dZ is nan at \(0, 1\), expected finite numbers"):
        sandbox.check_linear_backward([[1, np.nan]], (A_prev, W, b))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"dZ is (longdouble|float128), expected at most double precision"):
        sandbox.check_linear_backward(np.array(dZ, np.longdouble), (A_prev, W, b))  # type: ignore[arg-type]
