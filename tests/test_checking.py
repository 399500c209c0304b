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
    (tmp_path / "broken.py").write_text("x = (1\n")
    report = check(tmp_path)
    assert "1 of 2 failed: wrong.py: square; 1 could not be checked" in str(report)
    assert "broken.py does not parse: '(' was never closed (broken.py, line 1)" in report.summary()


def test_a_file_of_a_folder_that_does_not_run_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(FILE.format(factor=2))
    (tmp_path / "broken.py").write_text("x = (1\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "broken.py does not parse: '(' was never closed (broken.py, line 1)" in result.stderr
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
        ("", {}, "'' does not exist; give the path of a file"),
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
    assert [title for title, part in files.parts.items() if not part] == [f"{tmp_path}/bob/sub.py: square"]


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
    (tmp_path / "broken.py").write_text("x = (1\n")
    data = json.loads(CliRunner().invoke(app, ["check", str(tmp_path), "--json"]).stdout)
    assert not data["ok"]
    assert "broken.py does not parse" in data["errors"][0]
    own = json.loads(CliRunner().invoke(app, ["check", "--json"]).stdout)
    assert own["verdict"].startswith("Gradients right: ")
    assert own["rows"][0]["matter"] == "value"


def test_the_door_is_reached_from_the_package() -> None:
    assert sandbox.check is check
    assert sandbox.check(depth=1, width=2, examples=3)


# --- what was found, and what was not -----------------------------------------------------------------------

RELU = "import numpy as np\ndef relu(Z):\n    return np.maximum(Z, 0), Z\n"
HALF = """
import numpy as np
def linear_forward(A, W, b):
    return np.dot(W, A) + b, (A, W, b)
def linear_backward(dZ, cache):
    # TODO
def relu_backward(dA, cache):
    return np.where(cache >= 0, dA, 0)
def update_parameters(params, grads, learning_rate):
    …
def sigmoid_backward(dA, cache):
    return dZ
def linear_activation_forward(A_prev, W, b, activation):
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = (sigmoid if activation == "sigmoid" else relu)(Z)
    return A, (linear_cache, activation_cache)
"""
LAYERS = """
import numpy as np
from sandbox import linear_forward, sigmoid

def relu(x):
    return np.maximum(x, 0)

def layernorm_forward(x, gamma):
    return gamma * relu(x), (x, gamma)

def layernorm_backward(dout, cache):
    return dout, dout.sum()
"""


def unjudged(report: Any) -> dict[str, tuple[str, str]]:
    return {r.function: (r.verdict, r.finding) for r in report.rows if r.verdict.startswith("not ")}


def exit_code(*arguments: object) -> int:
    return CliRunner().invoke(app, ["check", *map(str, arguments)]).exit_code


@pytest.mark.parametrize("name", ["linear_backwards", "LinearBackward", "linear_backwrad"])
def test_a_misspelt_function_beside_right_ones_is_no_pass(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{RELU}def {name}(dZ, cache):\n    return dZ, cache[1], cache[2]\n")
    report = check(file)
    assert not report
    assert not report.failures()
    verdict, finding = unjudged(report)[name]
    assert verdict == "not judged"
    assert "did you mean linear_backward?" in finding
    assert exit_code(file) == 1
    file.write_text(f"{RELU}def _linear_backward(dZ, cache):\n    return dZ, cache[1], cache[2]\n")
    assert check(file)


def test_a_misspelt_name_is_named_of_a_function_a_mapping_and_a_file(tmp_path: Path) -> None:
    def linear_backwards(dZ: Any, cache: Any) -> Any:
        return dZ, cache

    file = tmp_path / "mine.py"
    file.write_text("def linear_backwards(dZ, cache):\n    return dZ, cache[1], cache[2]\n")
    for what in (linear_backwards, {"linear_backwards": linear_backwards}, file, tmp_path):
        with pytest.raises(ValueError, match=r"linear_backwards.*did you mean linear_backward\?"):
            check(what)
    assert exit_code(file) == 2


def test_a_file_of_layers_that_nothing_checks_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(LAYERS)
    for what in (file, tmp_path):
        with pytest.raises(ValueError, match=r"Operation\(layernorm_forward, layernorm_backward, mirror"):
            check(what)
    assert exit_code(file) == 2
    result = CliRunner().invoke(app, ["check", str(file)])
    assert len(result.stderr.splitlines()) == 1


def test_a_pair_that_nothing_checks_beside_right_functions_is_no_pass(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    linear = "def linear_forward(A, W, b):\n    return np.dot(W, A) + b, (A, W, b)\n"
    file.write_text(LAYERS.replace(", linear_forward", "").replace("linear_forward, ", "") + linear)
    report = check(file)
    assert set(unjudged(report)) >= {"layernorm_backward"}
    assert "nothing checks it; write sandbox.Operation(layernorm_forward" in str(unjudged(report))
    assert not report


@pytest.mark.parametrize(
    "use",
    [
        "o = Operation(norm_forward, norm_backward, mirror, [(np.ones(2),)])",
        "o = Operation(lambda x: norm_forward(x), lambda d, c: norm_backward(d, c), mirror, [(np.ones(2),)])",
        "def made():\n    f, b = norm_forward, norm_backward\n"
        "    return Operation(lambda x: f(x), lambda d, c: b(d, c), mirror, [(np.ones(2),)])\no = made()",
    ],
)
def test_a_pair_that_an_operation_checks_is_not_said_to_be_unchecked(use: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom sandbox import Operation\ndef norm_forward(x):\n    return 2 * x, None\n"
        f"def norm_backward(dout, cache):\n    return 2 * dout\ndef mirror(x):\n    return 2 * x\n{use}\n"
    )
    report = check(tmp_path / "mine.py")
    assert report
    assert not unjudged(report)


def test_what_is_not_written_yet_is_listed_and_the_rest_is_judged(tmp_path: Path) -> None:
    file = tmp_path / "half.py"
    file.write_text(HALF, encoding="utf-8")
    report = check(file)
    assert not report
    assert unjudged(report) == {
        "linear_backward": ("not written yet", "its body is empty."),
        "update_parameters": ("not written yet", 'the "…" in line 10 stands for what is missing.'),
        "sigmoid_backward": ("not written yet", "dZ is used, and nothing defines it."),
    }
    matters = {row.function: row.matter for row in report.rows if row.verdict == "not written yet"}
    assert matters == {
        "linear_backward": "gradient", "update_parameters": "value", "sigmoid_backward": "gradient",
    }  # fmt: skip
    assert {row.function for row in report.failures()} == {"relu_backward"}
    assert exit_code(file) == 1
    file.write_text(HALF.replace(">=", ">"), encoding="utf-8")
    assert not check(file).failures()
    assert exit_code(file) == 1


def test_functions_that_are_given_may_be_unwritten_too() -> None:
    def linear_backward(dZ: Any, cache: Any) -> Any:
        raise NotImplementedError

    assert list(unjudged(check(linear_backward))) == ["linear_backward"]
    report = check({"linear_backward": linear_backward, "relu_backward": relu_backward})
    assert list(unjudged(report)) == ["linear_backward"]
    assert {row.function for row in report.failures()} == {"relu_backward"}
    assert list(unjudged(check(replace(square, backward=linear_backward)))) == ["linear_backward"]


def test_a_network_is_not_checked_with_a_stand_in_that_nobody_asked_for(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(HALF, encoding="utf-8")
    with pytest.raises(ValueError, match=r"half\.py: sigmoid_backward is not written yet: dZ is used"):
        sandbox.check_functions(tmp_path / "half.py")


# --- projects -----------------------------------------------------------------------------------------------


def test_a_folder_is_one_project_and_several_files_are_separate(tmp_path: Path) -> None:
    (tmp_path / "forward.py").write_text(RELU)
    (tmp_path / "backward.py").write_text(
        "import numpy as np\nfrom forward import relu\ndef relu_backward(dA, Z):\n"
        "    return np.where(relu(Z)[0] > 0, dA, 0)\n"
    )
    (tmp_path / "main.py").write_text(
        "from backward import *\nfrom forward import *\nwhile True:\n    pass\n"
    )
    project = check(tmp_path)
    assert project
    assert project.title == tmp_path.name
    assert project.yours == ("relu", "relu_backward")
    files = [str(tmp_path / name) for name in ("forward.py", "backward.py")]
    assert list(check(files).parts) == files
    assert exit_code(*files) == 0
    assert exit_code(*files, tmp_path / "nothing.py") == 2


def test_a_file_that_calls_check_itself_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        f"from sandbox import check\n{FILE.format(factor=2)}\nreport = check({str(file)!r})\nassert report\n"
    )
    report = check(file)
    assert report
    assert "it raised ValueError: check is called in the file that is being checked" in str(report.remarks)


def test_a_notebook_is_checked_by_its_path(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": text} for text in ("%matplotlib inline\n" + RELU, "train(3)")]
    (tmp_path / "nn.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
    report = check(tmp_path / "nn.ipynb")
    assert report
    assert report.title == "nn.ipynb"
    assert "code cell 1, line 1: magics are left out." in report.to_dict()["remarks"]


def test_nothing_of_the_tested_code_reaches_the_screen(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import sys, warnings\nprint('a')\nfrom sandbox import Operation\nimport numpy as np\n"
        "def forward(x):\n    print('b', file=sys.stderr)\n    warnings.warn('c')\n"
        "    return x / np.ones(2), np.zeros(1) / 0\n"
        "o = Operation(forward, lambda dout, cache: print('d') or dout, lambda x: x, [(np.ones(2),)])\n"
    )
    result = CliRunner().invoke(app, ["check", str(file), "--json"])
    assert not result.stderr
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["ok"]
    assert report["remarks"] == ["Only definitions were run, and what they need: not line 2."]
    assert "it warned" in str(report["rows"])


@pytest.mark.parametrize("name", ["my ops.py", "note.md"])
def test_the_case_of_a_file_runs_from_anywhere(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (
        "import numpy as np\nimport jax.numpy as jnp\nfrom sandbox import Operation\n"
        "def forward(x):\n    return np.sin(x), x\n"
        "def backward(dout, x):\n    return 3 * dout * np.cos(x)\n"
        "sine = Operation(forward, backward, jnp.sin, [(np.arange(3.0),)])\n"
    )
    file = tmp_path / name
    file.write_text(source if name.endswith(".py") else f"```python\n{source}```\n")
    report = check(file)
    exec(report.example, {})
    computed = report.findings[0].row.worst[0].computed
    assert f"{computed:.9g}"[:7] in capsys.readouterr().out


def test_methods_of_the_exercises_names_are_said_to_be_in_a_class(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("class Net:\n    def linear_backward(self, dZ, cache):\n        return 1, 2, 3\n")
    with pytest.raises(ValueError, match="Net: a class with linear_backward; check its methods as"):
        check(file)
