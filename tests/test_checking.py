"""Claims about the one door: whatever holds gradients is checked; options that do not apply are errors."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from typer.testing import CliRunner

import sandbox
from experiments.cli import app
from sandbox import Operation, check, network

square = Operation(
    lambda x: (x * x, x), lambda dout, x: 2 * x * dout, lambda x: x * x, [(np.arange(3.0),)], name="square"
)
cube = Operation(
    lambda x: (x**3, x),
    lambda dout, x: 3 * x**2 * dout,
    lambda x: x**3,
    st.tuples(st.floats(1, 2).map(np.asarray)),
    name="cube",
)


def relu_backward(dA: Any, Z: Any) -> Any:
    return np.where(Z >= 0, dA, 0)


FILE = """
import numpy as np
from sandbox import Operation

def linear_backward(dZ, cache):
    A_prev, W, b = cache
    return W.T @ dZ, dZ @ A_prev.T / dZ.shape[1], dZ.sum(axis=1, keepdims=True) / dZ.shape[1]

square = Operation(
    lambda x: (x * x, x), lambda dout, x: {factor} * x * dout, lambda x: x * x, [(np.ones(2),)]
)
"""


def module(**names: Any) -> types.ModuleType:
    made = types.ModuleType("mine")
    vars(made).update(names)
    return made


@pytest.mark.parametrize(
    ("what", "blamed"),
    [
        (relu_backward, "relu_backward"),
        ({"relu_backward": relu_backward}, "relu_backward"),
        ({"relu_backward": relu_backward, "__name__": "notebook", "x": 3}, "relu_backward"),
        ([relu_backward, network.sigmoid_backward, square], "relu_backward"),
        (module(relu_backward=relu_backward), "relu_backward"),
        ([module(relu_backward=relu_backward)], "relu_backward"),
    ],
    ids=["a function", "a mapping", "globals()", "a list", "a module", "a list of modules"],
)
def test_functions_of_the_exercise_are_found_in(what: Any, blamed: str) -> None:
    report = check(what)
    assert not report
    assert report.findings[0].row.function == blamed


def test_operations_are_found_in_a_list_a_mapping_and_by_themselves() -> None:
    assert check(square)
    assert check(square, np.ones(4))
    assert set(check([square, cube], cases=2).parts) == {"square", "cube"}
    assert check({"square": square, "wrong_one": cube}).title == "square"


def test_a_file_and_a_folder_are_checked_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(FILE.format(factor=2))
    (tmp_path / "wrong.py").write_text(FILE.format(factor=3))
    (tmp_path / "nothing.py").write_text("x = 3\n")
    (tmp_path / ".hidden.py").write_text("1 / 0\n")
    of_file = check(tmp_path / "right.py")
    assert of_file
    assert set(of_file.parts) == {"right.py", "square"}
    of_folder = check(str(tmp_path))
    assert {title for title, part in of_folder.parts.items() if not part} == {"wrong.py: square"}
    assert "1 of 4 failed: wrong.py: square" in of_folder.summary()
    assert "1 of 4 failed" in str(of_folder)
    assert "wrong.py: square" in of_folder._repr_html_()


def test_what_could_not_be_checked_is_said_beside_what_failed(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(FILE.format(factor=3))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    report = check(tmp_path)
    assert "1 of 2 failed: wrong.py: square; 1 could not be checked" in str(report)
    assert "broken.py raised ZeroDivisionError" in report.summary()


def test_a_file_of_a_folder_that_does_not_run_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(FILE.format(factor=2))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "broken.py raised ZeroDivisionError" in result.stderr
    assert "outputs agree" in result.stdout
    (tmp_path / "right.py").unlink()
    with pytest.raises(ValueError, match="no Python file in it defines anything"):
        check(tmp_path)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        (square, {"depth": 3}, "depth: of the random network for functions of the exercise"),
        (square, {"cases": 3}, "cases: nothing is drawn at random here"),
        (None, {"cases": 3, "depth": 3, "cost": "cross_entropy"}, "depth: of one network, and cases draws"),
        (None, {"depht": 3}, "check has no option 'depht'; it has cases, contracts, depth, width"),
        (None, {"depth": 0}, "depth is 0, expected a whole number of at least 1"),
        (None, {"examples": True}, "examples is True"),
        (None, {"dtype": "float16"}, "dtype is 'float16', expected 'float64' or 'float32'"),
        (None, {"scheme": "xavier"}, "scheme is 'xavier'"),
        (None, {"activation": "swish"}, "activation is 'swish', expected"),
        (None, {"cost": "hinge"}, "cost is 'hinge', expected"),
        (3, {}, "got int, expected an Operation, a function, a mapping"),
        ([], {}, "the list is empty"),
        (np.sin, {}, "the function sin has none of the names that are known"),
        ({"x": 3}, {}, "functions has the name 'x'"),
    ],
)
def test_what_does_not_apply_is_one_clear_error(what: Any, options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check(what, **options)


def test_what_is_imported_from_the_sandbox_is_not_said_to_be_the_users(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from sandbox import *\nfrom sandbox import relu\n" + FILE.format(factor=2))
    assert check(file).parts["mine.py"].tested == "Yours: linear_backward. The others are the sandbox's own."
    file.write_text("from sandbox import relu\n")
    with pytest.raises(ValueError, match="defines none of the functions that can be checked"):
        check(file)
    assert check(network)


def test_inputs_go_with_one_operation() -> None:
    with pytest.raises(TypeError, match="inputs go with one Operation, got module"):
        check(network, np.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--depth", "4"], "--depth: of the random network"),
        (["--depth", "4", "--width", "5"], "--depth, --width: of the random network"),
        (["--cases", "4"], "--cases: nothing is drawn"),
    ],
)
def test_the_command_line_names_the_option_that_does_not_apply(
    options: list[str], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "square.py"
    file.write_text(FILE.format(factor=2).replace("linear_backward", "helper"))
    result = CliRunner().invoke(app, ["check", str(file), *options])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}")
    assert len(result.stderr.splitlines()) == 1


def test_json_has_the_parts_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE.format(factor=2))
    result = CliRunner().invoke(app, ["check", str(tmp_path / "mine.py"), "--json"])
    assert set(json.loads(result.stdout)) == {"mine.py", "square"}
    assert set(json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)) == {"network"}


def test_the_door_is_reached_from_the_package() -> None:
    assert sandbox.check is check
    assert sandbox.check(depth=1, width=2, examples=3)
