"""Claims about the one door: whatever holds gradients is checked; options that do not apply are errors."""

from __future__ import annotations

import functools
import json
import types
from dataclasses import dataclass, replace
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
    assert "Gradients right: square" in result.stdout
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
        (functools.partial(np.sin), {}, "the function partial has none of the names"),
        ([[square]], {}, "the list holds a list"),
        ([relu_backward, relu_backward], {}, "the list holds two functions relu_backward"),
        ("", {}, "'' does not exist; give the path of a Python file or a folder"),
        ("def f(x):\n    return x" * 300, {}, "does not exist; give the path"),
        (None, {"width": 10**6}, r"make a network of 3.0e\+12 numbers, expected at most 1e\+08"),
        (None, {"depth": 10**30}, "make a network of"),
        ({"x": 3}, {}, "functions has the name 'x'"),
    ],
)
def test_what_does_not_apply_is_one_clear_error(what: Any, options: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check(what, **options)


def test_what_is_imported_from_the_sandbox_is_not_said_to_be_the_users(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from sandbox import *\nfrom sandbox import relu\n" + FILE.format(factor=2))
    assert check(file).parts["mine.py"].yours == ("linear_backward",)
    file.write_text("from sandbox import relu\n")
    with pytest.raises(ValueError, match="defines none of the functions that can be checked"):
        check(file)
    assert check(network)


def test_two_things_of_one_title_are_both_checked(tmp_path: Path) -> None:
    wrong = {"relu_backward": relu_backward}
    assert not check([wrong, {"sigmoid": network.sigmoid}])
    assert set(check([wrong, wrong]).parts) == {"network", "network (2)"}
    bad = replace(square, backward=lambda dout, x: 3 * x * dout)
    assert not check([bad, square])
    for name, factor in (("alice", 2), ("bob", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sub.py").write_text(FILE.format(factor=factor))
    files = check([tmp_path / "alice" / "sub.py", tmp_path / "bob" / "sub.py"])
    assert [title for title, part in files.parts.items() if not part] == ["square (2)"]


def test_each_file_gets_the_helper_beside_it(tmp_path: Path) -> None:
    for name, right in (("alice", True), ("bob", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helpers.py").write_text(f"def mean(x, m):\n    return x / m if {right} else x\n")
        (tmp_path / name / "submission.py").write_text(
            "import numpy as np\nfrom helpers import mean\ndef linear_backward(dZ, cache):\n"
            "    A, W, b = cache\n    m = dZ.shape[1]\n"
            "    return W.T @ dZ, mean(dZ @ A.T, m), mean(dZ.sum(axis=1, keepdims=True), m)\n"
        )
    report = check(tmp_path)
    assert {title: bool(part) for title, part in report.parts.items()} == {
        "alice/submission.py": True, "bob/submission.py": False,
    }  # fmt: skip


def test_an_operation_is_judged_by_what_its_mirror_is_now() -> None:
    scale = [2.0]
    scaled = Operation(
        lambda x: (scale[0] * x, None), lambda dout, _: scale[0] * dout, lambda x: scale[0] * x,
        [(np.ones(2),)], name="scaled",
    )  # fmt: skip
    assert check(scaled)
    scale[0] = 3.0
    assert check(scaled)


def test_an_operation_of_callable_objects_is_found_in_a_mapping() -> None:
    @dataclass
    class Square:
        def __call__(self, x: Any) -> Any:
            return x * x, x

    assert check({"squared": replace(square, forward=Square()), 3: square})


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
    assert set(json.loads(result.stdout)["parts"]) == {"mine.py", "square"}
    (tmp_path / "broken.py").write_text("1 / 0")
    data = json.loads(CliRunner().invoke(app, ["check", str(tmp_path), "--json"]).stdout)
    assert not data["ok"]
    assert "ZeroDivisionError" in data["errors"][0]
    own = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    assert own["verdict"].startswith("Gradients right: ")
    assert own["rows"][0]["matter"] == "value"


def test_the_door_is_reached_from_the_package() -> None:
    assert sandbox.check is check
    assert sandbox.check(depth=1, width=2, examples=3)
