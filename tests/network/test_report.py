"""Claims about what a report says of a network: its verdict, each mistake by itself, a case to paste."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import sandbox
from experiments.cli import app
from sandbox import network
from sandbox.verifier.terms import TERMS
from tests.planted import planted

FILE = """
import numpy as np

def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = dZ @ A_prev.T
    db = np.sum(dZ, axis=1) / m
    return W.T @ dZ, dW, db

def linear_activation_backward(dA, cache, activation):
    linear_cache, Z = cache
    A = 1 / (1 + np.exp(-Z))
    return linear_backward(dA * (Z > 0) if activation == "relu" else dA * A * (1 - A), linear_cache)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("options", [{}, {"cases": 10}, {"cost": "mean_squared_error", "dtype": "float32"}])
@pytest.mark.usefixtures("little_shrinking")
def test_the_case_can_be_pasted_into_python_and_shows_the_failure(
    mine: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = sandbox.check(mine, **options)
    row = report.findings[0].row
    monkeypatch.syspath_prepend(mine.parent)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(report.example, {})
    assert "Gradients WRONG: linear_backward" in printed.getvalue()
    assert row.finding[1:40] in " ".join(printed.getvalue().split())


def test_two_mistakes_of_one_function_are_both_put_into_words(mine: Path) -> None:
    patterns = [(f.row.output, f.row.pattern) for f in sandbox.check(mine).findings]
    assert [output for output, _ in patterns] == ["dW", "db"]
    assert "is the 1/m missing?" in patterns[0][1]
    assert "keepdims" in patterns[1][1]


def wrong_twice(AL: Any, Y: Any, caches: Any) -> Any:
    """Right but for dW1, which is its own mistake; it calls linear_backward through its callees."""
    grads = network.L_model_backward(AL, Y, caches)
    return grads | {"dW1": -grads["dW1"]}


def test_a_second_mistake_around_a_wrong_function_is_judged_by_itself() -> None:
    functions = planted("db_not_summed") | {"L_model_backward": wrong_twice}
    report = sandbox.check(functions)
    assert [(f.row.function, f.row.output) for f in report.findings] == [
        ("linear_backward", "db"), ("L_model_backward", "dW1"),
    ]  # fmt: skip
    assert "minus the reference" in report.findings[1].row.pattern
    assert report.stood_in == ("linear_backward", "L_model_backward")


def test_a_right_function_around_a_wrong_one_is_never_listed_as_wrong() -> None:
    functions = {name: f for name, f in network.__dict__.items() if name.endswith("_backward")}
    report = sandbox.check(functions | planted("dW_without_1_over_m"))
    assert {row.function for row in report.failures()} == {"linear_backward"}
    assert "linear_activation_backward" not in report.headline().split(" right: ")[0]


def closures() -> dict[str, Any]:
    def linear_backward(dZ: Any, cache: Any) -> Any:
        dA_prev, dW, db = network.linear_backward(dZ, cache)
        return dA_prev, 2 * dW, db

    def linear_activation_backward(dA: Any, cache: Any, activation: Any) -> Any:
        return linear_backward(getattr(network, f"{activation}_backward")(dA, cache[1]), cache[0])

    return {"linear_backward": linear_backward, "linear_activation_backward": linear_activation_backward}


class Net:
    def linear_backward(self, dZ: Any, cache: Any) -> Any:
        dA_prev, dW, db = network.linear_backward(dZ, cache)
        return dA_prev, 2 * dW, db

    def linear_activation_backward(self, dA: Any, cache: Any, activation: Any) -> Any:
        return self.linear_backward(getattr(network, f"{activation}_backward")(dA, cache[1]), cache[0])


def methods() -> dict[str, Any]:
    net = Net()
    names = ("linear_backward", "linear_activation_backward")
    return {name: getattr(net, name) for name in names}


@pytest.mark.parametrize("functions", [closures(), methods()], ids=["closures", "methods"])
def test_functions_that_close_over_each_other_or_are_methods_are_told_apart(
    functions: dict[str, Any],
) -> None:
    report = sandbox.check(functions)
    assert [f.row.function for f in report.findings] == ["linear_backward"]
    assert {row.function for row in report.failures()} == {"linear_backward"}
    function = functions["linear_activation_backward"]
    held = (
        function.__closure__[0].cell_contents if function.__closure__ else function.__self__.linear_backward
    )
    assert held == functions["linear_backward"], "as it was before"


def of_another_signature(dZ: Any, cache: Any, weight_decay: float) -> Any:
    dA_prev, dW, db = network.linear_backward(dZ, cache)
    return dA_prev, 2 * dW + weight_decay, db


def test_the_sandboxs_own_stands_in_for_a_function_of_more_arguments() -> None:
    def linear_activation_backward(dA: Any, cache: Any, activation: Any) -> Any:
        dZ = getattr(network, f"{activation}_backward")(dA, cache[1])
        return bound(dZ, cache[0], weight_decay=0.0)

    def bound(dZ: Any, cache: Any, weight_decay: float) -> Any:
        return globals()["of_another_signature"](dZ, cache, weight_decay=weight_decay)

    functions = {
        "linear_backward": of_another_signature, "linear_activation_backward": linear_activation_backward,
    }  # fmt: skip
    report = sandbox.check(functions, contracts=False)
    assert report.findings[0].row.function == "linear_backward"


def masks_in_place(dA: Any, cache: Any) -> Any:
    dA[cache <= 0] = 0
    return dA


def test_a_manner_by_which_another_function_is_wrong_is_the_mistake() -> None:
    report = sandbox.check({"relu_backward": masks_in_place})
    (finding,) = report.findings
    assert (finding.row.function, finding.row.output) == ("relu_backward", "inputs unchanged")
    assert "By this L_model_backward, layer" in finding.row.finding
    assert finding.row.matter == "gradient"


def updates_in_place(params: Any, grads: Any, learning_rate: Any) -> Any:
    for key in params:
        params[key] -= learning_rate * grads[f"d{key}"]
    return params


def test_manners_alone_pass_with_a_remark_and_fail_on_request() -> None:
    functions = {"update_parameters": updates_in_place}
    report = sandbox.check(functions)
    assert report
    assert {row.output for row in report.manners()} >= {"inputs unchanged"}
    assert "remark: update_parameters, inputs unchanged" in str(report)
    strict = sandbox.check(functions, strict=True)
    assert not strict
    assert strict.headline() == "Values right: update_parameters. Manners fail."
    assert not sandbox.check(functions, contracts=False).manners()
    assert sandbox.check(planted("without_dA0")).manners()
    assert not sandbox.check(planted("without_dA0"), contracts=False).manners()
    assert sandbox.check(planted("without_dA0"), contracts=False, strict=True)


def overflows(Z: Any) -> Any:
    return 1 / (1 + np.exp(-Z)), Z


def test_a_warning_is_a_manner() -> None:
    report = sandbox.check({"sigmoid": overflows})
    assert report
    assert any("overflow" in row.finding for row in (*report.manners(), *report.notes()))


def scaled_in_place(dZ: Any, cache: Any) -> Any:
    dZ /= dZ.shape[1]
    A_prev, W, _ = cache
    return W.T @ dZ * dZ.shape[1], dZ @ A_prev.T, dZ.sum(axis=1, keepdims=True)


def test_what_makes_a_second_call_wrong_is_a_wrong_gradient() -> None:
    report = sandbox.check({"linear_backward": scaled_in_place})
    assert not report
    assert "a second call with it gives another result" in report.findings[0].row.finding


def test_a_pass_says_what_it_would_have_caught() -> None:
    own = sandbox.check()
    rows = [row for row in own.outputs if row.output == "dW" and row.function == "linear_backward"]
    for row in rows:
        assert 1e-16 < row.caught < row.caught_entry < 1e-12

    def off_by(d: float) -> sandbox.Report:
        def wrong(dZ: Any, cache: Any) -> Any:
            dA_prev, dW, db = network.linear_backward(dZ, cache)
            return dA_prev, (1 + d) * dW, db

        return sandbox.check({"linear_backward": wrong}, contracts=False)

    worst = max(row.caught for row in rows)
    assert not off_by(2 * worst)
    assert "Would have caught an error of" in own.summary()
    assert own.to_dict()["rows"][0]["caught"] is not None


def test_what_rounding_hides_is_too_coarse_to_tell() -> None:
    options: dict[str, Any] = {
        "depth": 48,
        "width": 8,
        "scheme": "small",
        "dtype": "float32",
        "contracts": False,
    }
    report = sandbox.check(**options)
    coarse = [row for row in report.outputs if row.verdict == "too coarse to tell"]
    assert coarse
    assert all(row.caught > 1e-2 for row in coarse)
    assert report
    assert "too coarse to tell" in str(report)
    assert not sandbox.check(**options, strict=True)


EXERCISE = """
import numpy as np
def relu_backward(dA, Z):
    return np.where(Z > 0, dA, 0)
def linear_backward(dZ, cache):
    {linear}
def linear_activation_backward(dA, cache, activation):
    linear_cache, Z = cache
    A = 1 / (1 + np.exp(-Z))
    dZ = relu_backward(dA, Z) if activation == "relu" else dA * A * (1 - A)
    return linear_backward(dZ, linear_cache)
def L_model_backward(AL, Y, caches):
    grads, L = {{}}, {depth}
    grads[f"dA{{L - 1}}"], grads[f"dW{{L}}"], grads[f"db{{L}}"] = linear_backward(AL - Y, caches[L - 1][0])
    for l in {layers}:
        dA = grads[f"dA{{l}}"]
        back = linear_activation_backward(dA, caches[l - 1], "relu")
        grads[f"dA{{l - 1}}"], grads[f"dW{{l}}"], grads[f"db{{l}}"] = back
    return grads
"""
LINEAR = "A, W, b = cache; m = A.shape[1]; return W.T @ dZ, dZ @ A.T / m, dZ.sum(axis=1, keepdims=True) / m"


def exercise(tmp_path: Path, **changes: str) -> sandbox.Report:
    parts = {"linear": LINEAR, "depth": "len(caches)", "layers": "range(L - 1, 0, -1)"} | changes
    (tmp_path / "exercise.py").write_text(EXERCISE.format(**parts))
    return sandbox.check(tmp_path / "exercise.py")


@pytest.mark.parametrize("body", ["pass", "raise NotImplementedError", "dW = None; return dW, dW, dW"])
def test_a_right_function_around_one_that_is_not_written_yet_is_right(body: str, tmp_path: Path) -> None:
    assert exercise(tmp_path)
    report = exercise(tmp_path, linear=body)
    assert not report
    assert report.headline() == (
        "Not written yet: linear_backward. Gradients right: relu_backward, linear_activation_backward, "
        "L_model_backward."
    )


def test_a_second_mistake_that_raises_is_put_into_words_too(tmp_path: Path) -> None:
    report = exercise(tmp_path, linear=LINEAR.replace("A.T / m", "A.T"), layers="range(1, L)")
    assert [f.row.function for f in report.findings] == ["linear_backward", "L_model_backward"]
    assert "KeyError" in report.findings[1].row.finding


def test_a_depth_that_is_written_into_the_code_is_found(tmp_path: Path) -> None:
    report = exercise(tmp_path, depth="3")
    assert [f.row.function for f in report.findings] == ["L_model_backward"]
    assert "b2 of shape (1, 1) it raised IndexError" in report.findings[0].row.finding


@pytest.mark.usefixtures("little_shrinking")
def test_right_in_one_case_is_not_said_of_what_is_wrong_in_another() -> None:
    functions = planted("dW_without_1_over_m") | {"relu_backward": lambda dA, Z: np.where(Z > 0.5, dA, 0)}
    report = sandbox.check(functions, cases=20)
    wrong = {f.row.function for f in report.findings} | set(report.elsewhere)
    assert wrong <= {"linear_backward", "relu_backward"}
    assert "right: " not in report.headline().replace("right in the case shown: ", "")
    for name in wrong:
        assert name not in report.headline().partition("right in the case shown")[2]


def skipped_and_of_the_wrong_sign(dA: Any, cache: Any, activation: Any) -> Any:
    linear_cache, Z = cache
    dZ = dA if activation == "relu" else -network.sigmoid_backward(dA, Z)
    return network.linear_backward(dZ, linear_cache)


def test_two_mistakes_of_one_function_in_different_layers_are_two() -> None:
    report = sandbox.check({"linear_activation_backward": skipped_and_of_the_wrong_sign})
    said = [(f.row.pattern, {row.layer for row in f.rows}) for f in report.findings]
    assert ("It is what comes out without the ReLU's mask.", {1, 2}) in said
    assert any(pattern.startswith("It is exactly minus the reference") for pattern, _ in said)


def test_a_change_in_place_is_said_of_the_function_that_makes_it(tmp_path: Path) -> None:
    report = exercise(tmp_path, linear="dZ *= 2; dZ /= 2; " + LINEAR)
    assert {row.function for row in report.manners()} == {"linear_backward"}


def test_every_term_is_explained_by_the_command_and_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    for term, meaning in TERMS.items():
        assert f"- **{term}**: {meaning}" in " ".join(page.split()), term
        said = CliRunner().invoke(app, ["check", "--explain", term])
        assert said.exit_code == 0
        assert " ".join(said.output.split()) == f"{term}: {meaning}"
    unknown = CliRunner().invoke(app, ["check", "--explain", "epsilon"])
    assert unknown.exit_code == 2
    assert "expected one of: sigma, mirror" in unknown.stderr


def test_the_command_prints_the_table_of_all_rows_on_request(mine: Path) -> None:
    short, long = (CliRunner().invoke(app, ["check", str(mine), *more]) for more in ([], ["--all"]))
    assert short.exit_code == long.exit_code == 1
    assert "end to end" not in short.output
    assert "end to end" in long.output
    assert len(short.output.splitlines()) < 40
