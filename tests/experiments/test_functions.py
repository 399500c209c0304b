"""Claims about sweeps with functions of the user's: they train, as they are, once they are known to be right;
and what is wrong, missing or raised is said in a sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import experiments
from experiments.cli import app
from experiments.group import Common, Group, Trained, run_group
from experiments.own import Own
from experiments.own_check import read_own
from experiments.points import Architecture, Point
from experiments.spec import SpecError, make_spec
from experiments.sweep import plan, run_sweep
from experiments.training import Examples
from experiments.verification import GradientError
from tests.experiments.test_sweep import assert_same

LINEAR_BACKWARD = """
import numpy as np


def linear_backward(dZ, cache):
    A_prev, W, b = cache
    m = A_prev.shape[1]
    dW = np.dot(dZ, A_prev.T) / m
    db = np.sum(dZ, axis=1, keepdims=True) / m
    return np.dot(W.T, dZ), dW, db
"""
WRONG = LINEAR_BACKWARD.replace("A_prev.T) / m", "A_prev.T)")

WHOLE = """
import numpy as np


def sigmoid(Z):
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e), Z


def relu(Z):
    return np.maximum(0, Z), Z


def linear_forward(A, W, b):
    return W @ A + b, [A, W, b]


def linear_activation_forward(A_prev, W, b, activation):
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, Z = ACTIVATIONS[activation](Z)
    return A, [linear_cache, Z]


ACTIVATIONS = {"sigmoid": sigmoid, "relu": relu}


def L_model_forward(X, parameters):
    A, caches = X, []
    L = len(parameters) // 2
    for l in range(1, L + 1):
        W, b, g = parameters[f"W{l}"], parameters[f"b{l}"], "sigmoid" if l == L else "relu"
        A, cache = linear_activation_forward(A, W, b, g)
        caches.append(cache)
    return A, caches


def compute_cost(AL, Y):
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(Y > 0, Y * np.log(AL), 0) + np.where(Y < 1, (1 - Y) * np.log(1 - AL), 0)
    return np.squeeze(-np.sum(terms) / Y.shape[1])


class Layer:
    @staticmethod
    def linear_backward(dZ, cache):
        A_prev, W, b = cache
        m = A_prev.shape[1]
        return W.T @ dZ, dZ @ A_prev.T / m, dZ.sum(axis=1, keepdims=True) / m


linear_backward = Layer.linear_backward


def relu_backward(dA, Z):
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


def L_model_backward(AL, Y, caches):
    L, grads = len(caches), {}
    dZ = AL - Y
    for l in range(L, 0, -1):
        linear_cache, Z = caches[l - 1]
        if l < L:
            dZ = relu_backward(dA, Z)
        dA, grads[f"dW{l}"], grads[f"db{l}"] = Layer.linear_backward(dZ, linear_cache)
        grads[f"dA{l - 1}"] = dA
    return grads


def update_parameters(params, grads, learning_rate):
    for key in params:
        params[key] -= learning_rate * grads["d" + key]
    return params
"""

POINT = Point(Architecture(2, 3), "he", 0.3, 0, 8)


def examples(dtype: str = "float64") -> Examples:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 40)).astype(dtype)
    Y = (X[:1] > 0).astype(dtype)
    return Examples(X[:, :30].copy(), Y[:, :30].copy(), X[:, 30:].copy(), Y[:, 30:].copy())


def own(folder: Path, text: str, name: str = "mine.py") -> Own:
    (folder / name).write_text(text)
    return read_own(str(folder / name))


def train(functions: Own | None, points: Sequence[Point] = (POINT,)) -> Trained:
    dtype = points[0].architecture.dtype
    common = Common({dtype: examples(dtype)}, functions)
    return run_group(Group(tuple(points), (True,) * len(points)), common, lambda steps, diverged: None)


def curve(functions: Own | None, point: Point = POINT) -> list[float]:
    return [float(cost) for cost in train(functions, [point]).cost_curve[0]]


def notebook(*cells: str, **metadata: Any) -> str:
    code: list[dict[str, Any]] = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
        for cell in cells
    ]
    return json.dumps({"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


# --- they train, as they are --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one.py", LINEAR_BACKWARD),
        ("all.py", WHOLE),
        ("half.py", LINEAR_BACKWARD + "\ndef relu_backward(dA, Z):\n    pass\n"),
        ("note.md", f"Mine:\n\n```python\n{LINEAR_BACKWARD}```\n"),
        ("book.ipynb", notebook(LINEAR_BACKWARD, "%matplotlib inline\n1 / 0")),
        ("calls.py", f"from sandbox import L_model_backward, linear_forward\n{LINEAR_BACKWARD}"),
    ],
)
def test_right_functions_train_as_the_sandboxs_do(name: str, text: str, dtype: str, tmp_path: Path) -> None:
    point = Point(Architecture(3, 4, dtype=dtype), "he", 0.3, 0, 8)
    found, expected = train(own(tmp_path, text, name), [point]), train(None, [point])
    rtol = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(found.cost_curve, expected.cost_curve, rtol)
    np.testing.assert_allclose(found.gradient_norm_end, expected.gradient_norm_end, 10 * rtol)
    assert found.parameters["W1"].dtype == dtype
    assert (found.train_accuracy, found.test_accuracy) == (expected.train_accuracy, expected.test_accuracy)


CHANGED = {
    "sigmoid": "def sigmoid(Z):\n    return 1 / (2 + np.exp(-Z)), Z",
    "relu": "def relu(Z):\n    return np.abs(Z), Z",
    "linear_forward": "def linear_forward(A, W, b):\n    return 2 * (W @ A + b), (A, W, b)",
    "relu_backward": "def relu_backward(dA, Z):\n    return 2 * dA",
    "linear_backward": LINEAR_BACKWARD.replace("/ m", ""),
    "compute_cost": "def compute_cost(AL, Y):\n    return np.mean(AL)",
    "update_parameters": "def update_parameters(p, g, r):\n    return {k: p[k] - g['d' + k] for k in p}",
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_is_missing_calls_what_is_written(name: str, tmp_path: Path) -> None:
    # Wrong ones, so that it shows: here nothing checks them.
    assert curve(own(tmp_path, f"import numpy as np\n{CHANGED[name]}\n")) != curve(None)


def test_a_function_that_has_the_keywords_is_told_what_the_network_is(tmp_path: Path) -> None:
    told = (
        "from sandbox import network\n"
        "def L_model_forward(X, parameters, activation='relu'):\n"
        "    return network.L_model_forward(X, parameters, activation=activation)\n"
    )
    tanh = Point(Architecture(2, 3, activation="tanh"), "he", 0.3, 0, 8)
    np.testing.assert_allclose(curve(own(tmp_path, told), tanh), curve(None, tanh), 1e-12)


def test_what_they_do_in_place_harms_nothing(tmp_path: Path) -> None:
    spoiling = WHOLE.replace("    A, caches = X, []\n", "    A, caches = 1 * X, []\n    X[:] = np.nan\n")
    assert curve(own(tmp_path, spoiling)) == curve(own(tmp_path, WHOLE))


def test_no_run_finds_what_another_has_left(tmp_path: Path) -> None:
    counting = (
        LINEAR_BACKWARD.replace("    m = A", "    calls.append(np.random.random())\n    m = A")
        .replace("return np.dot(W.T, dZ), dW", "return np.dot(W.T, dZ), dW * (1 + calls[-1] / len(calls))")
        .replace("import numpy as np", "import numpy as np\nfrom beside import calls")
    )
    (tmp_path / "beside.py").write_text("calls = []\n")
    mine = own(tmp_path, counting)
    points = [Point(POINT.architecture, "he", rate, seed, 8) for rate in (0.3, 1e9) for seed in (0, 1)]
    together, alone = train(mine, points), [train(mine, [point]) for point in points]
    np.testing.assert_array_equal(together.cost_curve, np.concatenate([a.cost_curve for a in alone]))
    np.testing.assert_array_equal(together.diverged_at, np.concatenate([a.diverged_at for a in alone]))


def test_a_cost_that_is_no_number_is_a_run_that_diverged(tmp_path: Path) -> None:
    text = (
        "import numpy as np\ndef compute_cost(AL, Y):\n    return np.nan if AL.mean() > 0.6 else AL.mean()\n"
    )
    found = train(own(tmp_path, text), [Point(POINT.architecture, "he", 30.0, 0, 50)])
    assert found.diverged_at[0] >= 0
    assert np.isnan(found.cost_curve[0, -1])


def test_what_they_print_and_warn_of_is_held_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = LINEAR_BACKWARD.replace(
        "    m = A",
        "    print('here', np.log(np.zeros(1)))\n    warnings.warn('old', stacklevel=1)\n    m = A",
    ).replace("import numpy", "import warnings\nimport numpy")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert curve(own(tmp_path, noisy)) == curve(own(tmp_path, LINEAR_BACKWARD))
    assert capsys.readouterr() == ("", "")
    assert not shown


def test_what_trains_is_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def divide(x, m):\n    return x / m\n")
    text = LINEAR_BACKWARD.replace("A_prev.T) / m", "A_prev.T)").replace(
        "return", "dW = divide(dW, m)\n    return"
    )
    mine = own(tmp_path, "from beside import divide\n" + text)
    before = curve(mine)
    for file in tmp_path.iterdir():
        file.write_text("1 / 0")
    assert curve(mine) == before
    for file in tmp_path.iterdir():
        file.unlink()
    assert curve(mine) == before
    np.testing.assert_allclose(before, curve(None), 1e-12)


def test_a_process_that_trains_with_them_loads_neither_jax_nor_scipy(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "own.pickle").write_bytes(pickle.dumps((own(tmp_path, LINEAR_BACKWARD), POINT, examples())))
    program = (
        "import pickle, sys\nfrom experiments.group import Common, Group, run_group\n"
        f"own, point, examples = pickle.load(open({str(tmp_path / 'own.pickle')!r}, 'rb'))\n"
        "run_group(Group((point,), (False,)), Common({'float64': examples}, own), lambda *told: None)\n"
        "assert not {'jax', 'scipy', 'h5py', 'rich', 'pydantic'} & {*sys.modules}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- checked first ------------------------------------------------------------------------------

SMALL = {
    "depths": [1, 2],
    "widths": [3],
    "learning_rates": [0.1],
    "seeds": [0, 1],
    "steps": 3,
    "schemes": ["he"],
}


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_wrong_gradient_ends_the_sweep_with_the_report_before_anything_trains(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mine.toml").write_text(
        f'functions = "wrong.py"\ndata = "{images}"\ndepths = [1]\nsteps = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    swept, checked = invoke("sweep", "mine.toml"), invoke("check", "wrong.py")
    assert swept.exit_code == 1
    assert (
        "wrong.py did not pass its check (relu, cross_entropy, float64), and nothing is trained"
        in swept.stderr
    )
    assert checked.stdout.split()[:8] == [
        "Gradients",
        "WRONG:",
        "linear_backward",
        "(dW).",
        "linear_backward,",
        "dW,",
        "layers",
        "1-3:",
    ]
    report = " ".join(swept.stderr.split("\n\n", 1)[1].split())
    assert report == " ".join(checked.stdout.split())
    assert not [*(tmp_path / "results").rglob("*.h5")]


@pytest.mark.slow
def test_functions_that_are_wrong_only_in_a_network_of_the_sweep_are_found_there(
    images: str, tmp_path: Path
) -> None:
    text = WHOLE.replace("dZ = AL - Y", "dZ = (AL - Y) * (2 if L == 5 else 1)")
    (tmp_path / "deep.py").write_text(text)
    spec = make_spec({**SMALL, "depths": [5], "data": images, "functions": str(tmp_path / "deep.py")})
    with pytest.raises(GradientError, match=r"depth 5, width 3, relu(.|\n)*correct .*deep\.py"):
        run_sweep(spec, tmp_path / "results", jobs=1)


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(images: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(WHOLE)
    fields = {**SMALL, "learning_rates": [0.1, 1e9], "data": images, "functions": str(tmp_path / "mine.py")}
    for jobs in (1, 2):
        run_sweep(make_spec(fields), tmp_path / str(jobs), jobs=jobs)
    assert_same(tmp_path / "1", tmp_path / "2")


def test_a_result_says_what_code_made_it_and_other_code_makes_another(images: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LINEAR_BACKWARD + "\n# " + "long " * 20000)
    fields = {**SMALL, "data": images, "functions": str(tmp_path / "mine.py")}
    spec, results = make_spec(fields), tmp_path / "results"
    with h5py.File(run_sweep(spec, results, jobs=1)) as file:
        assert file.attrs["functions"] == str(tmp_path / "mine.py")
        assert file.attrs["functions_written"] == "linear_backward"
        source = json.loads(file.attrs["functions_source"])
        assert source["mine.py"].startswith(LINEAR_BACKWARD.strip())
        revision = file.attrs["functions_revision"]
    assert plan(spec, results, jobs=1).done == 4
    (tmp_path / "mine.py").write_text(LINEAR_BACKWARD)
    assert revision != read_own(str(tmp_path / "mine.py")).revision
    after = plan(spec, results, jobs=1)
    assert (after.done, after.outdated) == (0, 4)
    assert plan(make_spec({**fields, "functions": None}), results, jobs=1).done == 0


def test_the_revision_is_of_the_code_and_of_nothing_else(tmp_path: Path) -> None:
    bare = own(tmp_path, notebook(LINEAR_BACKWARD), "a.ipynb")
    output = {"output_type": "stream", "name": "stdout", "text": "0.5"}
    shown = json.loads(notebook(LINEAR_BACKWARD, kernelspec={"name": "other"}))
    shown["cells"][0]["outputs"] = [output]
    assert own(tmp_path, json.dumps(shown), "a.ipynb").revision == bare.revision
    fence = f"```python\n{LINEAR_BACKWARD}```\n"
    note = own(tmp_path, fence, "a.md")
    assert own(tmp_path, f"A word before.\n\n{fence}", "a.md").revision == note.revision
    assert own(tmp_path, fence.replace("db", "d_b"), "a.md").revision != note.revision
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert own(elsewhere, fence, "a.md").revision == note.revision


def test_what_is_imported_from_beside_is_a_part_of_the_source(tmp_path: Path) -> None:
    package = tmp_path / "layers"
    package.mkdir()
    for file, text in {"__init__": "from . import inner", "inner": "import deep", "other": ""}.items():
        (package / f"{file}.py").write_text(text)
    (tmp_path / "deep.py").write_text("x = 1")
    mine = own(tmp_path, f"import numpy, layers\n{LINEAR_BACKWARD}")
    assert [*mine.snapshot.texts] == ["mine.py", "deep", "layers", "layers.inner"]
    (tmp_path / "deep.py").write_text("x = 2")
    assert read_own(mine.path).revision != mine.revision


# --- what will not do ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty.py", "", "defines none of the functions"),
        ("half.py", "def linear_backward(dZ, cache):\n    pass\n", "in which nothing is written yet"),
        ("broken.py", "def f(:\n", r"broken\.py does not parse"),
        ("mine.txt", LINEAR_BACKWARD, "is not a Python file"),
        ("book.ipynb", "{}", "is not a notebook"),
        (
            "operations.py",
            "import jax, sandbox\ndef f(x):\n    return x, x\ndef b(d, c):\n    return d\n"
            "o = sandbox.Operation(f, b, lambda x: x, examples=[(1.0,)])\n",
            "holds operations only, expected functions of the exercise's names",
        ),
    ],
)  # fmt: skip
def test_a_file_that_has_nothing_to_train_with_is_a_sentence(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=rf"functions: .*{message}[^\n]*$"):
        own(tmp_path, text, name)


@pytest.mark.parametrize(
    ("path", "what"), [("absent.py", "no such file"), (".", "a folder"), ("", "no such")]
)
def test_a_path_of_no_file_is_a_sentence(path: str, what: str) -> None:
    with pytest.raises(SpecError, match=f"functions: got '{path}', {what}"):
        read_own(path)


@pytest.mark.parametrize(
    ("function", "body", "message"),
    [
        ("relu(Z)", "return Z, {}['a']", r"forward raised KeyError: 'a' \(mine.py, line 2, in relu\)"),
        ("relu(Z)", "return Z, exit(3)", r"forward raised SystemExit: 3 \(mine.py, line 2, in relu\)"),
        ("relu(Z)", "return Z[:1], Z", "L_model_forward raised ValueError"),
        ("compute_cost(AL, Y)", "return AL", r"returned an array of shape \(1, 30\), expected a number"),
        ("L_model_forward(X, p)", "return X", "L_model_forward returned .*, expected the tuple"),
        ("L_model_forward(X, p)", "return X, []", r"of shape \(5, 30\), expected AL of shape"),
        ("L_model_backward(AL, Y, c)", "return {'dW1': AL}", r"of shape \(1, 30\), expected dW1"),
        ("L_model_backward(AL, Y, c)", "return [AL]", "returned list, expected a dict with dW1"),
        ("update_parameters(p, g, r)", "return {}", "update_parameters returned NoneType, expected W1"),
        ("update_parameters(p, g, r)", "return {k: 'x' for k in p}", "expected W1 of shape"),
        ("update_parameters(p, g, r)", "return {k: p[k] + 1j for k in p}", "raised .*complex128"),
        ("update_parameters(p, g, r)", "return {k: [[1], 2] for k in p}", "raised ValueError"),
    ],
)
def test_what_goes_wrong_in_training_is_a_sentence_with_the_function_the_line_and_the_run(
    function: str, body: str, message: str, tmp_path: Path
) -> None:
    sentence = rf"functions: .*mine\.py: .*{message}[^\n]*step 0 .*seed 0\.[^\n]*$"
    with pytest.raises(experiments.OwnError, match=sentence):
        train(own(tmp_path, f"def {function}:\n    {body}\n"))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_functions_that_fail_in_mid_training_end_the_sweep_and_leave_what_is_finished(
    jobs: int, images: str, tmp_path: Path
) -> None:
    text = WHOLE.replace(
        "    for key in params:",
        "    if learning_rate > 1:\n        raise ValueError('far')\n    for key in params:",
    )
    (tmp_path / "mine.py").write_text(text)
    fields = [f"--{name}={value}" for name, value in {
        "data": images, "depth": 2, "width": 3, "scheme": "he", "learning-rate": 0.1, "seed": 0, "steps": 4,
        "functions": tmp_path / "mine.py", "results": tmp_path / "results", "jobs": jobs,
    }.items()]  # fmt: skip
    failed = invoke("sweep", *fields, "--learning-rate=3")
    assert failed.exit_code == 2
    assert "Traceback" not in failed.stderr
    said = failed.stderr.splitlines()[-1]
    assert re.search(
        r"update_parameters raised ValueError: far \(mine.py, line \d+, in update_parameters\)", said
    )
    assert "step 0 of the run of depth 2, width 3, relu, cross_entropy, float64, he, learning rate 3" in said
    if jobs == 1:  # of two processes one may be stopped before it has finished
        assert "runs     1, of which 1 done" in invoke("sweep", *fields, "--dry-run").stdout


def test_a_dry_run_checks_nothing_and_says_so(images: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    said = invoke(
        "sweep", "--data", images, "--functions", tmp_path / "wrong.py", "--dry-run", "--results", tmp_path
    )
    assert said.exit_code == 0
    assert said.stdout.startswith(f"yours    {tmp_path / 'wrong.py'}: linear_backward; not checked yet\n")


def test_run_shows_the_report_of_the_users_functions(images: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    done = invoke("run", "--data", images, "--functions", tmp_path / "wrong.py", "--depth", 1, "--width", 3)
    assert done.exit_code == 1
    assert done.stdout.startswith("Gradients WRONG: linear_backward (dW).")
