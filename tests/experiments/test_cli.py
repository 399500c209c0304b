"""Claims about the command line: what it says, where it puts it, and how it exits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.dataset import load

SMALL = ["--depth", "1", "--width", "3", "--learning-rate", "0.1", "--steps", "2", "--scheme", "he"]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def small(verb: str, data: str, results: Path, *more: object) -> Result:
    """The verb on a sweep of two runs."""
    return invoke(verb, *more, "--data", data, *SMALL, "--results", results, "--jobs", 1)


@pytest.fixture(scope="module")
def results(images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a sweep named main, which is done; not to be written to."""
    folder = tmp_path_factory.mktemp("results")
    assert small("sweep", images, folder).exit_code == 0
    return folder


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--depth", "0"], "--depth is 0, expected a whole number of at least 1"),
        (["sweep", "absent.toml"], "cannot read"),
        (["sweep", "folder/absent"], "cannot read"),
        (["sweep", "a name"], "name: got 'a name'"),
        (["sweep", "one", "--name", "two"], "name: got 'one' and --name 'two', expected one"),
        (["sweep", "--data", "absent.h5"], "no file"),
        (["sweep", "--scheme", "xavier"], "'small', 'he' or 'inverse_sqrt'"),
        (["sweep", "--activation", "rleu"], "did you mean 'relu'"),
        (["sweep", "--jobs", "0"], "jobs: got 0, expected a whole number"),
        (["sweep", "--depth", "1000000000"], "of memory, this machine has"),
        (["figures", "absent"], "absent.h5"),
        (["figures", "folder/absent.h5"], "absent.h5"),
        (["export", "absent", "--csv", "-"], "absent.h5"),
        (
            ["sweep", "one", "--depth", "2", "4"],
            "(4); several values are given as --depth 2 --depth 4",
        ),
        (["sweep", "--depth", "2", "4"], "name: got '4', expected a NAME that is no number; several values"),
        (["sweep", "--depth", "2,4"], "integer; several values are given as --depth 2 --depth 4"),
        (["list", "one"], "unexpected extra argument(s) (one)\n"),
        (["sweep", "--lr", "1"], "No such option: --lr; did you mean --learning-rate?"),
        (["sweep", "--step", "1"], "No such option: --step; did you mean --steps?"),
        (["sweep", "--overwrite"], "to train anew, delete results/runs, or choose another --results"),
        (["sweep", "--scheme", "He"], "did you mean 'he'"),
        (["sweep", "--cost", "MSE"], "did you mean 'mean_squared_error'"),
        (["sweep", "folder/absent"], "or a NAME, which has no slash"),
        (["sweep", "--results", "a-file"], "results: a-file is a file, expected a folder"),
        (["sweep", "--dry-run", "--results", "a-file"], "results: a-file is a file, expected a folder"),
    ],
)
def test_bad_input_exits_2_with_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("mine")
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "/x"), "/x: No space left on device; mend that, then"),
        (MemoryError("Unable to allocate"), "memory: Unable to allocate; give fewer --jobs"),
        (MemoryError(), "memory: there is too little; give fewer --jobs"),
        (RecursionError(), "nested too deeply"),
    ],
)
def test_what_the_machine_refuses_exits_2_with_a_sentence(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("experiments.sweeping.run_sweep", refused)
    result = invoke("sweep", "--results", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {message}" if message[0] != "n" else "Error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("depths = []", "depths: got [], expected"),
        ("steps = true", "steps: got true, expected"),
        ("jobs = 2", "'jobs': no such field; it is an option of the command line: --jobs."),
        ("keep_parameters = true", "it is an option of the command line: --keep-parameters."),
    ],
)
def test_a_file_is_answered_in_its_own_notation(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(line)
    result = invoke("sweep", tmp_path / "spec.toml", "--results", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_what_does_not_go_on_is_not_said_to(results: Path) -> None:
    result = invoke("export", results / "main.h5", "--csv", "/absent/table.csv")
    assert result.stderr == (
        "Error: csv: cannot write /absent/table.csv (No such file or directory); mind the path or choose "
        "another --csv.\n"
    )
    result = invoke("figures", results / "main.h5", "--out", results / "main.h5")
    assert result.stderr.endswith("; move away the file that stands where a folder should be.\n")


# --- sweeps -----------------------------------------------------------------------------------


def test_run_checks_sweeps_and_draws(images: str, tmp_path: Path) -> None:
    result = small("run", images, tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Gradients right:")
    assert f"results  {tmp_path / 'r' / 'main.h5'}" in result.stdout
    assert len(list((tmp_path / "r" / "figures").iterdir())) == 12


def test_quiet_says_only_what_was_made(images: str, tmp_path: Path) -> None:
    result = small("sweep", images, tmp_path, "deep", "--quiet")
    assert (result.exit_code, result.stdout) == (0, f"results  {tmp_path / 'deep.h5'}\n")
    assert not result.stderr


def test_a_sweep_ends_with_what_became_of_its_runs(images: str, tmp_path: Path) -> None:
    result = small("sweep", images, tmp_path, "--learning-rate", 1e9, "--depth", 2)
    assert result.stdout == f"results  {tmp_path / 'main.h5'}: 8 runs, 4 diverged\n"


def test_runs_that_a_name_held_before_and_holds_no_more_are_told(
    images: str, results: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(results, tmp_path / "results")
    grown = small("sweep", images, folder, "--seed", 0, "--seed", 1, "--seed", 2)
    assert grown.stdout == f"results  {folder / 'main.h5'}: 3 runs, 0 diverged\n"
    another = small("sweep", images, folder, "--seed", 2, "--seed", 3)
    assert another.stdout.splitlines()[1:] == [
        f"{folder / 'main.h5'} held 3 runs, of which 2 are no longer in it; what is stored of them stays in "
        f"{folder / 'runs'}"
    ]


def test_a_file_without_a_name_gives_its_own(images: str, tmp_path: Path) -> None:
    for name in ("deep", "the deep one"):
        (tmp_path / f"{name}.toml").write_text("depths = [2]\n")
    assert small("sweep", images, tmp_path, tmp_path / "deep.toml").exit_code == 0
    assert (tmp_path / "deep.h5").exists()
    result = small("sweep", images, tmp_path, tmp_path / "the deep one.toml")
    assert result.exit_code == 2
    assert "name: got 'the deep one', the file's own name, expected up to 150 letters" in result.stderr
    assert result.stderr.endswith("; give a name in the file, or --name.\n")
    assert small("sweep", images, tmp_path, tmp_path / "the deep one.toml", "--name", "a").exit_code == 0


def test_a_dry_run_says_what_there_is_to_do(images: str, results: Path) -> None:
    files = sorted(results.rglob("*"))
    first = small("sweep", images, results, "--dry-run").stdout.splitlines()
    assert first[0] == "runs     2, of which 2 done"
    grown = small("run", images, results, "--dry-run", "--seed", 0, "--seed", 5).stdout
    assert "runs     2, of which 1 done" in grown
    for word in ("groups", "time", "memory", "disk"):
        assert f"\n{word} " in grown
    assert sorted(results.rglob("*")) == files


def test_options_take_precedence_over_the_file(images: str, tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    file.write_text(
        f"name = 'of-file'\ndata = {images!r}\ndepths = [1]\nwidths = [3]\nlearning_rates = [0.1]\n"
        "schemes = ['he']\nsteps = 2\n"
    )
    options = ["--seed", 7, "--activation", "tanh", "--cost", "mean_squared_error", "--results", tmp_path]
    result = invoke("sweep", file, *options, "--name", "given", "--jobs", 1)
    assert result.exit_code == 0, result.output
    run = load("given", tmp_path).isel(run=0)
    assert (int(run.seed), str(run.activation.values)) == (7, "tanh")
    assert str(run.cost.values) == "mean_squared_error"


@pytest.mark.parametrize("named", [["main", "--results", "folder"], ["folder/main.h5"]])
def test_figures_takes_a_name_or_its_file(named: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def draw(*arguments: Any) -> list[Path]:
        asked.append(arguments)
        return [Path("a.pdf")]

    monkeypatch.setattr("experiments.figures.draw_figures", draw)
    assert invoke("figures", *named).stdout == "figure   a.pdf\n"
    assert asked == [("main", Path("folder"), Path("folder/figures"))]


def test_export_writes_a_table_of_a_name_or_its_file(results: Path, tmp_path: Path) -> None:
    printed = invoke("export", "main", "--results", results, "--csv", "-").stdout
    assert printed.startswith("depth,width,learning_rate,seed,scheme")
    assert len(printed.splitlines()) == 1 + 2
    assert invoke("export", results / "main.h5", "--csv", tmp_path / "t.csv").exit_code == 0
    assert (tmp_path / "t.csv").read_text() == printed
    curves = invoke("export", "main", "--results", results, "--csv", "-", "--curves").stdout
    assert curves.splitlines()[0].endswith("cost_0,cost_1,cost_2")


def test_nobody_need_read_on(results: Path) -> None:
    command = [sys.executable, "-m", "experiments", "export", "main", "--results", str(results), "--csv", "-"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [(">&-", 0, ""), (">/dev/full", 2, "Error: output: No space left on device; mend that")],
)
def test_an_output_that_is_closed_or_full_is_no_traceback(output: str, status: int, said: str) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m experiments --version {output}', shell=True, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr[: len(said) or None]) == (status, said)


def test_what_is_damaged_is_a_warning_in_a_line(images: str, results: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(results, tmp_path / "\x1b[31m\nresults")
    damaged = list((folder / "runs").rglob("*.h5"))
    for path in damaged:
        path.write_bytes(b"damaged")
    command = [sys.executable, "-m", "experiments", "sweep", *SMALL, "--data", images]
    done = subprocess.run([*command, "--results", str(folder), "--dry-run"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == done.stderr.count("Warning: results: ") == len(damaged)


# --- check ------------------------------------------------------------------------------------


def test_check_prints_a_report_and_exits_0() -> None:
    result = CliRunner().invoke(app, ["check", "--depth", "2", "--width", "3", "--examples", "5"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Gradients right: sigmoid_backward, relu_backward, linear_backward,")


@pytest.mark.usefixtures("little_shrinking")
@pytest.mark.parametrize(
    ("source", "exit_code"),
    [
        ("def relu_backward(dA, cache):\n    print('hello')\n    return np.where(cache > 0, dA, 0)\n", 0),
        ("def relu_backward(dA, cache):\n    print('hello')\n    return np.where(cache > 0, dA, 1)\n", 1),
    ],
)
@pytest.mark.parametrize("cases", [[], pytest.param(["--cases", "3"], marks=pytest.mark.slow)])
def test_json_is_json_whatever_the_checked_file_prints(
    source: str, exit_code: int, cases: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import numpy as np\nprint('loaded')\n{source}")
    result = CliRunner().invoke(app, ["check", str(file), "--json", *cases])
    assert result.exit_code == exit_code, result.output
    report = json.loads(result.stdout)
    assert report["ok"] is (exit_code == 0)
    assert report["yours"] == ["relu_backward"]
    assert not result.stderr


def test_a_file_that_exits_is_checked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("def relu(Z):\n    return Z, Z\nimport sys\nsys.exit(0)\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "leaves.py"), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["yours"] == ["relu"]


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("autodiff-sandbox 0.")


BOTH = """
import numpy as np
from sandbox import Operation

def linear_backward(dZ, cache):
    A_prev, W, b = cache
    return W.T @ dZ, dZ @ A_prev.T, dZ.sum(axis=1, keepdims=True) / dZ.shape[1]

def relu(x):  # a helper of the operation, with another signature than the exercise's
    return np.maximum(x, 0)

double = Operation(lambda x: (2 * x, None), lambda dout, cache: {factor} * dout, lambda x: 2 * x{examples})
again = Operation(lambda x: (2 * x, None), lambda dout, cache: 2 * dout, lambda x: 2 * x, [(np.ones(2),)])
"""


def test_a_file_of_functions_and_operations_is_checked_for_both(tmp_path: Path) -> None:
    file = tmp_path / "both.py"
    file.write_text(BOTH.format(factor=2, examples=", [(np.ones(2),)]"))
    result = CliRunner().invoke(app, ["check", str(file), "--json"])
    assert result.exit_code == 1, result.output
    assert {n: r["ok"] for n, r in json.loads(result.stdout)["parts"].items()} == {
        "both.py": False, "double": True, "again": True,
    }  # fmt: skip


def test_an_operation_that_cannot_be_checked_does_not_hide_the_others(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(BOTH.format(factor=2, examples="").replace("linear_backward", "_linear_backward"))
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert "Values right: again forward." in result.stdout
    assert result.stderr.startswith("Error: double: there are no inputs and no examples")
