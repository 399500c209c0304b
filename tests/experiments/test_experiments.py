"""Claims about the experiments: training, storage, figures, command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import experiments.sweep
from experiments.cli import app
from experiments.data import load_data
from experiments.figures import draw_figures
from experiments.spec import Spec, make_spec
from experiments.store import LAYOUT, StoreError
from experiments.sweep import GradientError, run_sweep
from experiments.training import initial_parameters, train
from sandbox.network.activations import ACTIVATIONS

SMALL = {"depths": [1, 2], "widths": [3], "learning_rates": [0.1, 1.0, 1e9], "seeds": [0, 1], "steps": 5}


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """A sweep of a second over 40 made-up examples."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["X"], file["y"] = X, X[:, 0] + 0.3 * rng.standard_normal(40) > 0
    return make_spec({**SMALL, "data": str(tmp_path / "plain.h5")})


def sweep(spec: Spec, folder: Path, **options: Any) -> Path:
    return run_sweep(spec, folder, lambda runs, diverged: None, **options)


def contents(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {key: file[key][()] for key in LAYOUT if key != "seconds"}


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_diverged_run_does_not_change_a_bit_of_its_neighbours(spec: Spec, dtype: str) -> None:
    data = load_data(spec.data, 0.8, 0)
    initial = initial_parameters(4, 3, 5, "he", [0, 1], dtype)
    together = train(initial, data, [0.1, 1e12, 0.5], 20, dtype)
    assert (together.diverged_at[2:4] > 0).all()
    assert np.isnan(together.cost[2, together.diverged_at[2] :]).all()
    for i, rate in ((0, 0.1), (4, 0.5)):
        alone = train(initial, data, [rate], 20, dtype)
        assert (alone.diverged_at == -1).all()
        np.testing.assert_array_equal(together.cost[i : i + 2], alone.cost)
        np.testing.assert_array_equal(together.parameters["W1"][i : i + 2], alone.parameters["W1"])


def test_training_lowers_the_cost(spec: Spec) -> None:
    data = load_data(spec.data, 0.8, 0)
    training = train(initial_parameters(4, 2, 5, "he", [0], "float64"), data, [0.5], 100, "float64")
    assert training.cost[0, -1] < 0.7 * training.cost[0, 0]
    assert training.train_accuracy[0] > 0.8


# --- sweep and store --------------------------------------------------------------------------


def test_an_interrupted_sweep_resumes_to_the_same_results(spec: Spec, tmp_path: Path) -> None:
    whole = sweep(spec, tmp_path / "whole")

    def interrupt(runs: int, diverged: int) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        run_sweep(spec, folder, interrupt)
    (first,) = folder.glob("main.groups/*.h5")
    written = first.stat().st_mtime_ns
    resumed = sweep(spec, folder)
    assert first.stat().st_mtime_ns == written
    for key, value in contents(whole).items():
        np.testing.assert_array_equal(contents(resumed)[key], value, err_msg=key)
    assert not list(folder.rglob("*.tmp"))


def test_results_of_another_spec_are_replaced_only_when_asked(spec: Spec, tmp_path: Path) -> None:
    sweep(spec, tmp_path)
    other = make_spec({**spec.model_dump(), "steps": 6})
    with pytest.raises(StoreError, match="--overwrite"):
        sweep(other, tmp_path)
    with h5py.File(sweep(other, tmp_path, overwrite=True), "r") as file:
        assert file["cost"].shape[-1] == 7


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.h5")}


@pytest.mark.parametrize(
    ("change", "what"),
    [({"steps": 6}, "spec"), ({"depths": [3]}, "spec"), ({"split_seed": 1}, "spec and data")],
)
@pytest.mark.parametrize("finished", [1, 4])
def test_groups_that_another_sweep_writes_meanwhile_are_refused_and_kept(
    change: dict[str, Any], what: str, finished: int, spec: Spec, tmp_path: Path
) -> None:
    other = make_spec({**spec.model_dump(), **change})
    sweep(other, tmp_path / "other")
    folder, left, kept = tmp_path / "here", [finished], {}

    def progress(runs: int, diverged: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            shutil.copytree(tmp_path / "other" / "main.groups", folder / "main.groups", dirs_exist_ok=True)
            kept.update(files_in(folder))

    with pytest.raises(StoreError, match=r"'main' .*-depth[123]-width3\.h5 .*expected .* --name") as caught:
        run_sweep(spec, folder, progress)
    assert f"(other {what})" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert files_in(folder).items() >= kept.items()
    assert not (folder / "main.h5").exists()


def test_a_finished_group_does_not_replace_another_specs(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(make_spec({**spec.model_dump(), "steps": 6}), tmp_path / "other")
    folder, run_group = tmp_path / "here", experiments.sweep.run_group

    def trained_too_late(*arguments: Any) -> Any:
        shutil.copytree(tmp_path / "other", folder, dirs_exist_ok=True)
        return run_group(*arguments)

    monkeypatch.setattr("experiments.sweep.run_group", trained_too_late)
    with pytest.raises(StoreError, match="small-depth1-width3"):
        sweep(spec, folder)
    assert files_in(folder) == files_in(tmp_path / "other")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def lose_the_cost(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["cost"]


@pytest.mark.parametrize("damage", [truncate, lose_the_cost])
def test_a_damaged_group_is_named(damage: Callable[[Path], None], spec: Spec, tmp_path: Path) -> None:
    sweep(spec, tmp_path)
    damage(tmp_path / "main.groups" / "he-depth1-width3.h5")
    with pytest.raises(
        StoreError, match=r"he-depth1-width3\.h5 is damaged .*expected .*; remove it"
    ) as caught:
        sweep(spec, tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_group_that_vanishes_before_the_end_is_named(spec: Spec, tmp_path: Path) -> None:
    first = tmp_path / "main.groups" / "small-depth1-width3.h5"
    with pytest.raises(StoreError, match=r"small-depth1-width3\.h5 has gone.* run the same command again"):
        run_sweep(spec, tmp_path, lambda runs, diverged: first.unlink(missing_ok=True))


def test_of_two_sweeps_of_one_name_at_once_at_most_one_succeeds(spec: Spec, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from experiments.cli import main; main()", "sweep", "--data", spec.data]
    command += ["--depth", "1", "--width", "3", "--results", str(tmp_path), "--learning-rate"]
    both = {
        rate: subprocess.Popen([*command, str(rate)], stderr=subprocess.PIPE, text=True)
        for rate in (0.1, 0.2)
    }
    said = {rate: process.communicate()[1] for rate, process in both.items()}
    exit_codes = {rate: process.returncode for rate, process in both.items()}
    assert 2 in exit_codes.values(), said
    for rate, exit_code in exit_codes.items():
        if exit_code == 0:
            with h5py.File(tmp_path / "main.h5") as file:
                assert json.loads(file.attrs["spec"])["learning_rates"] == [rate]
        else:
            assert exit_code == 2, said[rate]
            assert (
                said[rate].splitlines()[-1].startswith("Error: name: 'main' holds results of another sweep")
            )
            assert "Traceback" not in said[rate]


def test_combined_file_names_its_dimensions_and_units(spec: Spec, tmp_path: Path) -> None:
    with h5py.File(sweep(spec, tmp_path), "r") as file:
        for key, (dims, _, _) in LAYOUT.items():
            assert tuple(file[key].dims[axis][0].name.strip("/") for axis in range(file[key].ndim)) == dims
            assert file[key].attrs["units"]
        assert file["cost"].shape == (2, 2, 1, 3, 2, 6)
        assert file["gradients_verified"][()].all()
        assert np.isfinite(file["sigma_error"][:, 1, 0, 0]).all()
        assert np.isnan(file["gradient_norm_start"][:, 0, ..., 1]).all()  # depth 1 has no layer 2
        assert file.attrs["spec"] == spec.canonical()
        assert {"packages", "git_revision", "blas", "machine", "started", "ended"} <= set(file.attrs)


def test_a_failed_gradient_check_stops_the_sweep_and_stores_nothing(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(ACTIVATIONS["relu"]), "backward", lambda dA, Z: dA.copy())
    with pytest.raises(
        GradientError, match=r"Gradients WRONG: relu_backward \(dZ\)\. Gradients right: sigmoid_backward"
    ):
        sweep(spec, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.h5"))


# --- figures and command line -----------------------------------------------------------------


def test_every_figure_is_written_in_three_formats(spec: Spec, tmp_path: Path) -> None:
    files = draw_figures(sweep(spec, tmp_path), tmp_path / "figures")
    assert len(files) == 12
    assert {path.suffix for path in files} == {".pdf", ".svg", ".png"}
    assert all(path.stat().st_size > 1000 for path in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--depth", "0"], "--depth is 0, expected a whole number of at least 1"),
        (["sweep", "absent.toml"], "cannot read"),
        (["sweep", "--data", "absent.h5"], "no file"),
        (["sweep", "--scheme", "xavier"], "'small', 'he' or 'inverse_sqrt'"),
        (["figures", "absent.h5"], "not the combined file"),
    ],
)
def test_bad_input_exits_2_with_at_most_two_lines(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_check_prints_a_report_and_exits_0() -> None:
    result = CliRunner().invoke(app, ["check", "--depth", "2", "--width", "3", "--examples", "5"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Gradients right: sigmoid_backward, relu_backward, linear_backward,")


def test_run_checks_sweeps_and_draws(spec: Spec, tmp_path: Path) -> None:
    options = ["--depth", "1", "--width", "3", "--learning-rate", "0.1", "--steps", "2", "--scheme", "he"]
    arguments = ["run", "--data", spec.data, *options, "--results", str(tmp_path / "r")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "r" / "main.h5").exists()
    assert len(list((tmp_path / "r" / "figures").iterdir())) == 12


@pytest.mark.usefixtures("little_shrinking")
@pytest.mark.parametrize(
    ("source", "exit_code"),
    [
        ("def relu_backward(dA, cache):\n    print('hello')\n    return np.where(cache > 0, dA, 0)\n", 0),
        ("def relu_backward(dA, cache):\n    print('hello')\n    return np.where(cache > 0, dA, 1)\n", 1),
    ],
)
@pytest.mark.parametrize("cases", [[], ["--cases", "3"]])
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


def test_an_interrupted_sweep_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.cli.run_sweep", interrupted)
    result = CliRunner().invoke(app, ["sweep", "--results", str(tmp_path)])
    assert result.exit_code == 130
    assert "the same command goes on" in result.stderr


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
