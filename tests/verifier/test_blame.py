"""Claims about blame: the first failure names the culprit, in words, whatever is replaced."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sandbox
from sandbox import network
from sandbox.verifier.oracle import directional
from sandbox.verifier.report import strictly
from tests.network.test_model_check import drawn
from tests.planted import entry, explanation, planted

Function = Callable[..., Any]
rng = np.random.default_rng(0)


def first(report: sandbox.Report) -> sandbox.Row:
    return report.failures()[0]


def model(functions: Any, **changes: Any) -> sandbox.Report:
    return sandbox.check_model(*drawn([5, 5, 5, 1], 12), functions=functions, **changes)


def right(dZ: Any, cache: Any) -> Any:
    A_prev, W, _ = cache
    m = dZ.shape[-1]
    return W.T @ dZ, dZ @ A_prev.T / m, dZ.sum(axis=1, keepdims=True) / m


# --- the culprit, though the outer functions fail too -------------------------------------------------


def test_an_inner_function_is_blamed_for_what_its_callers_return() -> None:
    report = model(planted("dW_without_1_over_m"))
    assert (first(report).function, first(report).output) == ("linear_backward", "dW")
    assert (
        first(report).pattern
        == "It is exactly m = 12 times the reference in all entries: is the 1/m missing?"
    )
    assert first(report).at_fault == "backward"
    assert {row.function for row in report.failures()} == {"linear_backward"}  # not those around it
    assert report.stood_in == ("linear_backward",)


def minus_dW2(AL: Any, Y: Any, caches: Any) -> Any:
    grads = network.L_model_backward(AL, Y, caches)
    return grads | {"dW2": -grads["dW2"]}


def squared_error(AL: Any, Y: Any) -> Any:
    return np.mean((AL - Y) ** 2)


def squared_error_backward(AL: Any, Y: Any, caches: Any) -> Any:
    (A, W, b), _ = caches[-1]
    L = len(caches)
    grads: dict[str, Any] = {}
    back = network.linear_backward(2 * (AL - Y) * AL * (1 - AL), (A, W, b))
    for l in range(L, 0, -1):
        grads |= dict(zip((f"dA{l - 1}", f"dW{l}", f"db{l}"), back, strict=True))
        if l > 1:
            back = network.linear_activation_backward(back[0], caches[l - 2], "relu")
    return grads


def test_a_mistake_that_the_network_at_hand_does_not_show_is_found_by_the_contracts() -> None:
    theta, X, Y = drawn([5, 4, 1], 12)
    hidden = {key: 0 * x if key[0] == "b" else x for key, x in theta.items()}
    without_b = sandbox.check_model(hidden, X, Y, functions=planted("forward_without_b"))
    assert first(without_b).output == "values"
    assert "is b left out?" in first(without_b).finding
    at_zero = model(planted("relu_derivative_1_at_0"))
    assert first(at_zero).function == "relu_backward"
    assert "the convention is 0" in explanation(first(at_zero))


def test_caches_kept_from_an_earlier_call_are_found() -> None:
    kept: list[Any] = []

    def forward(X: Any, parameters: Any) -> Any:
        AL, caches = network.L_model_forward(X, parameters)
        kept.extend(caches)
        return AL, kept

    report = model({"L_model_forward": forward})
    assert any("is kept and used again" in row.finding for row in report.rows)


def test_a_result_in_less_precision_says_so() -> None:
    report = model({"linear_forward": lambda A, W, b: ((W @ A + b).astype(np.float32), (A, W, b))})
    assert first(report).finding.startswith("its dtype is float32, expected float64")


def test_an_update_with_the_wrong_sign_says_so() -> None:
    assert first(model(planted("update_uphill"))).pattern.endswith("a sign is wrong.")


def test_the_forward_says_whether_the_model_backward_or_the_mirror_is_wrong() -> None:
    wrong = model({"L_model_backward": minus_dW2})
    assert {(row.output, row.at_fault) for row in wrong.failures()} == {("dW2", "backward")}
    # A right gradient, but of another cost than the mirror's.
    other = model({"compute_cost": squared_error, "L_model_backward": squared_error_backward})
    assert {row.at_fault for row in other.failures() if row.output == "dW3"} == {"mirror"}


def test_the_wiring_is_blamed_when_every_function_is_right() -> None:
    def wrong(AL: Any, Y: Any, caches: Any) -> Any:
        swapped = [
            (linear, other[1]) for (linear, _), other in zip(caches, [caches[1], *caches[1:]], strict=True)
        ]
        return network.L_model_backward(AL, Y, swapped)

    row = first(model({"L_model_backward": wrong}))
    assert (row.function, row.scope, row.layer) == ("L_model_backward", "wiring", 1)
    assert "ReLU mask of layer 2 in place of that of layer 1" in row.pattern


def test_the_layer_and_the_worst_entries_are_named() -> None:
    def wrong(dA: Any, cache: Any) -> Any:
        dZ = np.where(cache > 0, dA, 0)
        if cache.shape[0] == 4:
            dZ[2, 3] += 7.0
        return dZ

    report = sandbox.check_model(*drawn([5, 3, 4, 1], 9), functions={"relu_backward": wrong})
    assert (first(report).function, first(report).layer) == ("relu_backward", 2)
    assert first(report).worst[0].index == (2, 3)


def test_a_wrong_forward_is_blamed_and_not_the_backward_that_follows() -> None:
    report = model(planted("forward_without_b"))
    assert (first(report).function, first(report).output) == ("linear_forward", "Z")
    assert all(row.scope == "end to end" for row in report.failures() if "backward" in row.function)


def test_the_cache_of_the_original_notes_is_found_out() -> None:
    assert first(model(planted("forward_caches_Z"))).output == "cache b"


def test_an_exception_in_tested_code_is_a_finding_with_its_place() -> None:
    def wrong(dZ: Any, cache: Any) -> Any:
        A_prev, W, b, _m = cache
        return A_prev, W, b

    row = first(model({"linear_backward": wrong}))
    assert row.function == "linear_backward"
    assert "ValueError: not enough values to unpack" in row.finding
    assert "test_blame.py, line" in row.finding


@pytest.mark.parametrize("dims", [[5, 5, 5, 1], [5, 3, 4, 1]])
def test_a_sum_over_the_wrong_axis_says_so_in_every_layer(dims: list[int]) -> None:
    report = sandbox.check_model(*drawn(dims, 7), functions=planted("db_over_the_wrong_axis"))
    rows = [row for row in report.failures() if row.function == "linear_backward"]
    assert {row.layer for row in rows} == {1, 2, 3}
    # The last layer has one unit, and no such axis to sum over.
    assert all("a sum of dZ over the axis before the last" in row.pattern for row in rows if row.layer != 3)


# --- whose fault it is that something does not fit -------------------------------------------------------


def test_who_calls_with_the_wrong_shapes_is_blamed_and_not_who_raises() -> None:
    def a_layer_short(X: Any, parameters: Any) -> Any:
        A, caches, L = X, [], len(parameters) // 2
        for l in [*range(1, L - 1), L]:
            activation: Any = "sigmoid" if l == L else "relu"
            A, cache = network.linear_activation_forward(
                A, parameters[f"W{l}"], parameters[f"b{l}"], activation
            )
            caches.append(cache)
        return A, caches

    row = first(sandbox.check_model(*drawn([6, 5, 4, 1], 12), functions={"L_model_forward": a_layer_short}))
    assert row.function == "L_model_forward"
    assert "what it hands to linear_activation_forward" in row.finding


@pytest.mark.parametrize(
    "relu",
    [lambda Z: (Z > 0, Z), lambda Z: (np.maximum(Z, 0), Z > 0)],
    ids=["a boolean A", "a boolean cache"],
)
def test_what_a_wrong_function_hands_on_does_not_stop_the_check(relu: Function) -> None:
    assert first(model({"relu": relu})).function == "relu"


@pytest.mark.parametrize("dW", [[[1.0], [2.0, 3.0]], None, {"dW": 1.0}], ids=["ragged", "None", "a dict"])
def test_an_output_of_any_kind_is_a_finding(dW: Any) -> None:
    row = first(model({"linear_backward": lambda dZ, cache: (right(dZ, cache)[0], dW, right(dZ, cache)[2])}))
    assert (row.function, row.output) == ("linear_backward", "dW")


def test_a_key_under_which_another_dA_is_stored_does_not_accuse_dW() -> None:
    def one_key_too_high(AL: Any, Y: Any, caches: Any) -> Any:  # through linear_activation_backward
        grads = network.L_model_backward(AL, Y, caches)
        return {f"dA{int(key[2:]) + 1}" if key[1] == "A" else key: value for key, value in grads.items()}

    report = model({"L_model_backward": one_key_too_high})
    assert report
    assert [row.output for row in report.manners()] == ["keys of dA"]
    assert "edition of 2017" in report.manners()[0].finding
    assert {row.output for row in strictly(report).failures()} == {"keys of dA"}


@pytest.mark.parametrize("kept", [(), ("dA2", "dW3", "db3"), ("dA1", "dW2", "db2", "dA2", "dW3", "db3")])
def test_gradients_of_whole_layers_that_are_left_out_are_named(kept: tuple[str, ...]) -> None:
    def left_out(AL: Any, Y: Any, caches: Any) -> Any:
        grads = network.L_model_backward(AL, Y, caches)
        return {key: grads[key] for key in kept}

    report = model({"L_model_backward": left_out})
    assert first(report).function == "L_model_backward"
    missing = {row.output for row in report.failures() if "has no" in row.finding}
    every = {"dA0", "dA1", "dA2"} | {f"d{kind}{l}" for kind in "Wb" for l in (1, 2, 3)}
    assert missing == every - {"dA0"} - set(kept)
    assert [row.output for row in report.manners()] == ["dA0"]


def test_a_wrong_forward_does_not_make_the_mirror_look_wrong() -> None:
    report = model({"linear_forward": lambda A, W, b: (W @ A - b, (A, W, b))})
    assert {row.at_fault for row in report.failures()} <= {"", "forward"}


def test_an_exit_in_tested_code_is_a_finding(tmp_path: Path) -> None:
    assert "SystemExit" in first(model({"linear_backward": lambda dZ, cache: exit(0)})).finding
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ValueError, match="defines none of the functions"):
        sandbox.check_functions(tmp_path / "leaves.py")


# --- what can be replaced -------------------------------------------------------------------------------


def test_a_replacement_may_call_what_it_replaces() -> None:
    def doubled(dZ: Any, cache: Any) -> Any:
        dA_prev, dW, db = network.linear_backward(dZ, cache)
        return dA_prev, 2 * dW, db

    assert first(model({"linear_backward": doubled})).output == "dW"


def test_the_functions_are_as_they_were_after_a_check() -> None:
    before = dict(vars(network))
    model({"linear_backward": right})
    with pytest.raises(ValueError, match="expected one of"):
        model({"linear_bakward": right})
    assert dict(vars(network)) == before


def with_a_parameter_of_its_own(dZ: Any, cache: Any, *, decay: float) -> Any:
    dA_prev, dW, db = right(dZ, cache)
    return dA_prev, dW + decay * cache[1], db


def test_arguments_of_a_functions_own_are_passed_on() -> None:
    def backward(dA: Any, cache: Any, activation: Any) -> Any:
        dZ = (network.relu_backward if activation == "relu" else network.sigmoid_backward)(dA, cache[1])
        return with_a_parameter_of_its_own(dZ, cache[0], decay=0.0)

    functions = {"linear_activation_backward": backward, "L_model_backward": network.L_model_backward}
    assert model(functions)


def test_a_backward_may_call_the_cost_too() -> None:
    def backward(AL: Any, Y: Any, caches: Any) -> Any:
        assert network.compute_cost(AL, Y) > 0
        return network.L_model_backward(AL, Y, caches)

    assert model({"L_model_backward": backward})


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_each_branch_is_looked_at_though_the_network_does_not_take_it(activation: str) -> None:
    def wrong(dA: Any, cache: Any, given: Any) -> Any:
        if given == activation:
            return network.linear_backward(dA, cache[0])
        return network.linear_activation_backward(dA, cache, given)

    assert first(model({"linear_activation_backward": wrong})).function == "linear_activation_backward"


def test_a_misspelt_name_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\ndef relu(Z):\n    return np.maximum(Z, 0), Z\n"
        "def linear_backwards(dZ, cache):\n    return 1\n"
        "def _sigmoid(Z):\n    return 1\n"  # a helper, and meant to be one
    )
    summary = model(tmp_path / "mine.py").summary()
    assert "Yours: relu. The others are the sandbox's own." in summary
    assert "Not checked: linear_backwards (did you mean linear_backward?)" in summary
    assert "_sigmoid" not in summary


def test_inputs_that_are_not_numbers_of_one_dtype_are_refused() -> None:
    theta, X, Y = drawn([4, 3, 1], 5)
    with pytest.raises(ValueError, match=r"X is nan at \(0, 0\), expected finite numbers"):
        sandbox.check_model(theta, np.full_like(X, np.nan), Y)
    with pytest.raises(TypeError, match=r"parameters\['W1'\] has dtype object, expected real numbers"):
        sandbox.check_model(theta | {"W1": theta["W1"].astype(object)}, X, Y)
    with pytest.raises(ValueError, match=r"X is float32 and parameters\['W1'\] is float64"):
        sandbox.check_model(theta, X.astype(np.float32), Y)
    assert sandbox.check_model(theta, (10 * X).astype(int), Y)
    before = X.copy()

    def writes(A: Any, W: Any, b: Any) -> Any:
        A -= A.mean()
        return W @ A + b, (A, W, b)

    assert not sandbox.check_model(theta, X, Y, functions={"linear_forward": writes})
    np.testing.assert_array_equal(X, before)


EXERCISE = """
import numpy as np

def relu_backward(dA, cache):
    dZ = np.array(dA, copy=True)
    dZ[cache <= 0] = 0
    return dZ

def sigmoid_backward(dA, cache):
    s = 1 / (1 + np.exp(-cache))
    return dA * s * (1 - s)

def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    return np.dot(W.T, dZ), np.dot(dZ, A_prev.T) / m, np.sum(dZ, axis=1, keepdims=True) / m

def linear_activation_backward(dA, cache, activation):
    linear_cache, activation_cache = cache
    backward = relu_backward if activation == "relu" else sigmoid_backward
    return linear_backward(backward(dA, activation_cache), linear_cache)

def L_model_backward(AL, Y, caches):
    grads, L = {}, len(caches)
    dA = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
    for l in reversed(range(L)):
        activation = "sigmoid" if l == L - 1 else "relu"
        dA, dW, db = linear_activation_backward(dA, caches[l], activation)
        grads[f"dA{l}"], grads[f"dW{l + 1}"], grads[f"db{l + 1}"] = dA, dW, db
    return grads
"""


@pytest.mark.parametrize("how", ["module", "path", "mapping"])
def test_a_whole_strangers_module_passes_with_notes_on_stacks(how: str, tmp_path: Path) -> None:
    (tmp_path / "exercise.py").write_text(EXERCISE)
    module = types.ModuleType("exercise")
    exec(EXERCISE, vars(module))
    mapping = {k: v for k, v in vars(module).items() if k in vars(network) and callable(v)}
    functions: Any = {"module": module, "path": tmp_path / "exercise.py", "mapping": mapping}[how]
    report = model(functions)
    assert report, str(report)
    assert {row.output for row in report.notes()} == {"stacks", "Z = 1000 and -1000"}


def test_a_fault_deep_in_a_strangers_module_is_found_where_it_is() -> None:
    module = types.ModuleType("exercise")
    exec(EXERCISE.replace("cache <= 0", "cache < 0"), vars(module))
    parameters, X, Y = drawn([5, 5, 5, 1], 12)
    parameters["W1"][1], parameters["b1"][1] = 0, 0
    row = first(sandbox.check_model(parameters, X, Y, functions=module))
    assert (row.function, row.layer) == ("relu_backward", 1)
    assert "derivative at Z = 0 is 1" in row.pattern


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (7, "functions is a int, expected a mapping"),
        ({}, "functions is empty"),
        ({"relu": 3}, r"functions\['relu'\] is a int"),
        (types.ModuleType("empty"), "defines none of the functions"),
        ("no_such_file.py", "does not exist"),
    ],
)
def test_functions_of_the_wrong_kind_are_one_clear_error(functions: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        model(functions)


# --- contracts ------------------------------------------------------------------------------------------


def warns(dZ: Any, cache: Any) -> Any:
    warnings.warn("deprecated", stacklevel=2)
    return right(dZ, cache)


def clips(dZ: Any, cache: Any) -> Any:
    return right(np.clip(dZ, -50, 50), cache)


def needs_two_examples(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = right(dZ, cache)
    return dA_prev, dW, np.squeeze(db) if dZ.shape[1] == 1 else db


_buffer: dict[Any, Any] = {}


def reuses_a_buffer(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = right(dZ, cache)
    kept = _buffer.setdefault((dW.shape, dW.dtype), np.empty_like(dW))
    kept[...] = dW
    return dA_prev, kept, db


def writes_where_there_is_one_example(dZ: Any, cache: Any) -> Any:
    return (*right(dZ, cache)[:2], dZ if dZ.shape[1] == 1 else right(dZ, cache)[2])


def clips_by_a_large_norm(dZ: Any, cache: Any) -> Any:
    return right(dZ / max(1.0, float(np.linalg.norm(dZ)) / 1e3), cache)


@pytest.mark.parametrize(
    ("wrong", "contract"),
    [
        pytest.param(entry("dZ_scaled_in_place").function, "inputs unchanged", id="dZ_scaled_in_place"),
        (warns, "no warnings"),
        (clips, "linear in the cotangent"),
        pytest.param(entry("nan_to_num").function, "NaN and infinity come through", id="nan_to_num"),
        (needs_two_examples, "one example"),
        pytest.param(
            entry("random_noise").function, "no memory of earlier calls, no randomness", id="random_noise"
        ),
        (reuses_a_buffer, "no memory of earlier calls, no randomness"),
        (writes_where_there_is_one_example, "one example"),
        (clips_by_a_large_norm, "linear in the cotangent"),
    ],
)
def test_a_broken_contract_is_named(wrong: Function, contract: str) -> None:
    report = strictly(model({"linear_backward": wrong}))
    assert contract in {row.output for row in report.failures() if row.function == "linear_backward"}
    assert first(report).function == "linear_backward"
    assert bool(model({"linear_backward": wrong})) is (wrong in (warns, writes_where_there_is_one_example))


def test_an_output_that_is_an_input_is_named() -> None:
    def wrong(Z: Any) -> Any:
        return np.maximum(Z, 0, out=Z), Z.copy()

    report = model({"relu": wrong})
    assert {"inputs unchanged", "outputs are new arrays"} <= {r.output for r in report.rows if r.finding}


def clips_AL(AL: Any, Y: Any, caches: Any) -> Any:
    return network.L_model_backward(np.clip(AL, 1e-3, 1 - 1e-3), Y, caches)


def clips_gradients(AL: Any, Y: Any, caches: Any) -> Any:
    return {key: np.clip(g, -5, 5) for key, g in network.L_model_backward(AL, Y, caches).items()}


def mask_of_Z_at_least_0(dA: Any, cache: Any, activation: Any) -> Any:
    if activation == "relu":
        return network.linear_backward(np.where(cache[1] >= 0, dA, 0), cache[0])
    return network.linear_activation_backward(dA, cache, activation)


def updates_for_every_gradient(params: Any, grads: Any, learning_rate: Any) -> Any:
    return {key[1:]: params[key[1:]] - learning_rate * g for key, g in grads.items()}


def cost_of_a_clipped_AL(AL: Any, Y: Any) -> Any:
    return network.compute_cost(np.clip(AL, 1e-7, 1 - 1e-7), Y)


@pytest.mark.parametrize(
    ("name", "wrong", "output"),
    [
        ("L_model_backward", clips_AL, "AL near 0 and 1"),
        ("L_model_backward", clips_gradients, "gradients of 1e3"),
        ("linear_activation_backward", mask_of_Z_at_least_0, "values"),  # one unit's Z is 0
        ("update_parameters", updates_for_every_gradient, "result"),
        ("compute_cost", cost_of_a_clipped_AL, "AL near 0 and 1"),
    ],
)
def test_what_ordinary_networks_hide_is_asked_for(name: str, wrong: Function, output: str) -> None:
    report = model({name: wrong})
    assert (first(report).function, first(report).output) == (name, output)


def test_an_update_of_the_callers_own_dict_is_told_from_one_in_place() -> None:
    def rebinds(params: Any, grads: Any, learning_rate: Any) -> Any:
        for key in params:
            params[key] = params[key] - learning_rate * grads[f"d{key}"]
        return params

    findings = " ".join(row.finding for row in model({"update_parameters": rebinds}).manners())
    assert "the caller's own dict or list was changed" in findings


# --- the third oracle -------------------------------------------------------------------------------------


@given(st.floats(-2, 2), st.floats(0.1, 3), st.booleans())
@example(1.5, 2.091866730622305, False)  # sin is small there, and the rounding of k x is not
def test_the_derivative_is_within_its_error(x: float, k: float, complex_step: bool) -> None:
    def function(t: Any) -> Any:
        return np.sin(k * t[0]) if complex_step else float(np.sin(k * np.real(t[0])))

    derivative = directional(function, np.array([x]), np.array([1.0]))
    assert abs(derivative.value - k * np.cos(k * x)) <= derivative.error
    assert derivative.error < (1e-12 if complex_step else 1e-8)


def test_that_the_forward_agrees_with_neither_is_not_said_at_a_kink() -> None:
    row = first(model(planted("relu_mask_from_dA")))  # a unit has Z = 0 exactly
    assert "with a mask of dA > 0" in row.pattern
    assert row.at_fault in ("", "backward")


def test_a_complex_step_through_abs_is_not_believed() -> None:
    derivative = directional(lambda t: np.sum(np.abs(t) * t), np.array([3.0]), np.array([1.0]))
    assert derivative.value == pytest.approx(6.0, abs=1e-8)


# --- the report -------------------------------------------------------------------------------------------


def test_a_failing_report_says_first_what_to_look_at_in_text_html_and_data() -> None:
    report = model(planted("dW_of_the_wrong_sign"))
    for text in (str(report), report._repr_html_(), report.to_dict()["summary"], repr(report)):
        assert "Gradients WRONG: linear_backward (dW)." in text
        assert "linear_backward, dW, layers 1-3: It is exactly minus the reference" in text
    assert report.to_dict()["rows"][0]["verdict"] == "pass"


def test_a_failing_output_is_one_line_of_the_table_however_many_layers_it_fails_in() -> None:
    report = model({"linear_backward": lambda dZ, cache: (right(dZ, cache)[0], -right(dZ, cache)[1], 0)})
    lines = [line.split() for line in report.table().splitlines() if "FAIL" in line]
    assert [line[:4] for line in lines] == [
        ["linear_backward", "local", "1-3", "dW"], ["linear_backward", "local", "1-3", "db"],
    ]  # fmt: skip
    text = report.summary()
    assert "1. linear_backward, dW, layers 1-3: It is exactly minus the reference" in text
    assert "2. linear_backward, db, layers 1-3: Its shape is ()" in text
    assert "Yours: linear_backward. The others are the sandbox's own." in text
    assert str(report).startswith("Gradients WRONG: linear_backward (dW, db).")
    assert len(str(report).splitlines()) < 25


def test_errors_of_files_name_the_file_and_the_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("def linear_backward(dZ, cache:\n    pass\n")
    with pytest.raises(ValueError, match=r"broken\.py, line 1\); correct"):
        sandbox.check_functions(broken)
    with pytest.raises(ValueError, match="does not exist"):
        sandbox.check_functions(tmp_path / "nothing.py")
