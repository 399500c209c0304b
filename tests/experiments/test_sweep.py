"""Claims about a sweep: it trains what is missing, counts only what is verified, and ends in the same results
whatever happened on the way."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray

from experiments.dataset import load
from experiments.progress import Status
from experiments.spec import Spec, SpecError, make_spec
from experiments.store import Store, StoreError
from experiments.sweep import plan, run_sweep
from experiments.verification import GradientError
from sandbox.network.activations import ACTIVATIONS

SMALL = {"depths": [1, 2], "widths": [3], "learning_rates": [0.1, 1.0, 1e9], "seeds": [0, 1], "steps": 5}


@pytest.fixture(scope="module")
def spec(images: str) -> Spec:
    """24 runs, of which 8 diverge."""
    return make_spec({**SMALL, "data": images})


@pytest.fixture(scope="module")
def whole(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an undisturbed sweep; not to be written to."""
    return run_sweep(spec, tmp_path_factory.mktemp("whole"), jobs=1).parent


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole results."""
    return Path(shutil.copytree(whole, tmp_path / "results"))


def changed(spec: Spec, **fields: Any) -> Spec:
    return make_spec({**spec.model_dump(), **fields})


def runs(folder: Path, name: str = "main") -> dict[str, xarray.Dataset]:
    """All that is the same each time: neither times nor dates."""
    root = load(name, folder).drop_vars("seconds").drop_attrs()
    verdicts = load(name, folder, "verification").drop_vars("checked").drop_attrs()
    return {"root": root, "layers": load(name, folder, "layers").drop_attrs(), "verification": verdicts}


def assert_same(a: Path, b: Path) -> None:
    for one, other in zip(runs(a).values(), runs(b).values(), strict=True):
        xarray.testing.assert_identical(one, other)


def files(folder: Path) -> dict[Path, int]:
    """The files of groups and verdicts, and when they were written."""
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in (folder / "runs").rglob("*.h5")}


# --- the same results -------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_results_do_not_depend_on_the_number_of_processes(
    jobs: int, spec: Spec, whole: Path, tmp_path: Path
) -> None:
    run_sweep(spec, tmp_path, jobs=jobs)
    assert_same(tmp_path, whole)


def test_a_sweep_that_is_done_trains_nothing(spec: Spec, results: Path, whole: Path) -> None:
    before = files(results)
    run_sweep(spec, results, jobs=1)
    assert files(results) == before
    assert_same(results, whole)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_keeps_what_is_done_and_resumes_to_the_same_results(
    jobs: int, spec: Spec, whole: Path, tmp_path: Path
) -> None:
    def interrupt(status: Status) -> None:
        if status.runs_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(spec, tmp_path, jobs=jobs, progress=interrupt)
    assert not multiprocessing.active_children()
    kept = files(tmp_path)
    assert kept
    run_sweep(spec, tmp_path, jobs=1)
    assert files(tmp_path).items() >= kept.items()
    assert_same(tmp_path, whole)
    assert not [path for path in (tmp_path / ".work").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_has_diverged_before_counts_from_the_first_moment_on(
    jobs: int, spec: Spec, results: Path
) -> None:
    said: list[Status] = []
    run_sweep(changed(spec, seeds=[0, 1, 2]), results, jobs=jobs, progress=said.append)
    assert (said[0].diverged, said[-1].diverged) == (8, 12)
    run_sweep(spec, results, jobs=jobs, progress=said.append)
    assert said[-1].diverged == 8
    kept: list[Status] = []  # those that have not diverged are trained again
    run_sweep(spec, results, jobs=jobs, keep_parameters=True, progress=kept.append)
    assert (kept[0].diverged, kept[-1].diverged) == (8, 8)


# --- a sweep that grows -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"learning_rates": [0.1, 0.2, 1.0, 1e9]}, 8),
        ({"seeds": [0, 1, 2]}, 12),
        ({"depths": [2, 1], "seeds": [1, 0]}, 0),
        ({"depths": [2]}, 0),
        ({"depths": [1, 2, 3]}, 12),
        ({"name": "other"}, 0),
        ({"steps": 6}, 24),
    ],
)
def test_only_what_is_missing_is_trained(
    fields: dict[str, Any], missing: int, spec: Spec, results: Path
) -> None:
    grown = changed(spec, **fields)
    there = plan(grown, results, jobs=2)
    assert (there.points - there.done, there.points) == (missing, grown.count)
    assert (there.groups > 0) == (missing > 0)


def test_a_grown_sweep_holds_exactly_its_points_in_the_order_written(
    spec: Spec, results: Path, tmp_path: Path
) -> None:
    grown = changed(spec, depths=[2, 1], learning_rates=[0.2, 0.1])
    before = files(results)
    run_sweep(grown, results, jobs=1)
    assert files(results).items() > before.items()
    run_sweep(grown, tmp_path / "anew", jobs=1)
    xarray.testing.assert_identical(runs(results)["root"], runs(tmp_path / "anew")["root"])
    assert runs(results)["root"].depth.values.tolist() == [2] * 8 + [1] * 8


@pytest.mark.parametrize("keep_parameters", [pytest.param(False, marks=pytest.mark.slow), True])
def test_longer_runs_go_on_from_kept_parameters_and_are_the_same_as_anew(
    keep_parameters: bool, spec: Spec, tmp_path: Path
) -> None:
    short, long = changed(spec, depths=[2]), changed(spec, depths=[2], steps=9)
    run_sweep(short, tmp_path / "grown", jobs=1, keep_parameters=keep_parameters)
    steps: list[int] = []
    run_sweep(long, tmp_path / "grown", jobs=1, progress=lambda status: steps.append(status.steps_done))
    assert steps[0] == (12 if keep_parameters else 4 + 2) * 5  # diverged, and checked at their ends
    run_sweep(long, tmp_path / "anew", jobs=1)
    for part in ("root", "layers"):
        xarray.testing.assert_identical(runs(tmp_path / "grown")[part], runs(tmp_path / "anew")[part])


def test_parameters_are_kept_also_of_runs_that_were_done_without(spec: Spec, results: Path) -> None:
    assert plan(spec, results, jobs=1).done == spec.count
    run_sweep(spec, results, jobs=1, keep_parameters=True)
    kept = load("main", results, "parameters/depth2-width3-relu-cross_entropy-float64")
    assert kept["W1"].shape == (8, 3, 12)  # all but the diverged
    assert plan(spec, results, jobs=1, keep_parameters=True).done == spec.count


# --- verified ---------------------------------------------------------------------------------


def test_wrong_gradients_stop_the_sweep_and_nothing_trained_on_them_is_stored(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = changed(spec, depths=[2], activations=["relu", "tanh"])
    monkeypatch.setitem(vars(ACTIVATIONS["tanh"]), "backward", lambda dA, Z: dA.copy())
    with pytest.raises(GradientError, match=r"tanh"):
        run_sweep(both, tmp_path, jobs=1)
    assert not list(tmp_path.rglob("*tanh*/*.h5"))
    assert not (tmp_path / "main.h5").exists()


def test_an_architecture_whose_runs_all_diverge_is_a_result(spec: Spec, tmp_path: Path) -> None:
    run_sweep(changed(spec, learning_rates=[1e9], depths=[2]), tmp_path, jobs=1)
    assert (load("main", tmp_path).diverged_at >= 0).all()
    verdicts = load("main", tmp_path, "verification")
    assert dict(zip(verdicts.moment.values, verdicts.networks.values > 0, strict=True)) == {
        "start": True, "end": False
    }  # fmt: skip


def test_another_checker_checks_again_what_is_done(
    spec: Spec, results: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.verdicts.checker_revision", lambda: "another")
    run_sweep(spec, results, jobs=1)
    assert "another" in load("main", results, "verification").checker.values
    xarray.testing.assert_identical(runs(results)["root"], runs(whole)["root"])


# --- never lost -------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_what_is_damaged_or_lost_is_trained_again(
    damage: Callable[[Path], None], spec: Spec, results: Path, whole: Path
) -> None:
    group = next(path for path in results.rglob("depth2*/*.h5") if not path.name.startswith("verified"))
    damage(group)
    if damage is not Path.unlink:
        with pytest.warns(RuntimeWarning, match="is not used"):
            run_sweep(spec, results, jobs=1)
    else:
        run_sweep(spec, results, jobs=1)
    assert_same(results, whole)


def test_a_second_sweep_of_one_name_is_told_of_the_first(spec: Spec, results: Path) -> None:
    store = Store(results)
    with (
        store.working(),
        store.exclusive("main"),
        pytest.raises(StoreError, match=r"name: 'main' is being worked on by process \d+"),
    ):
        run_sweep(changed(spec, seeds=[3]), results, jobs=1)


@pytest.mark.slow
def test_of_two_sweeps_of_one_name_at_once_the_results_are_those_of_one_that_ended_well(
    images: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "experiments", "sweep", "--data", images, "--depth", "1", "--width", "3"]
    command += ["--results", str(tmp_path), "--jobs", "1", "--quiet", "--learning-rate"]
    both = {
        rate: subprocess.Popen([*command, str(rate)], stderr=subprocess.PIPE, text=True)
        for rate in (0.1, 0.2)
    }
    said = {rate: process.communicate()[1] for rate, process in both.items()}
    ended_well = [rate for rate, process in both.items() if process.returncode == 0]
    assert ended_well
    for rate in said:
        if rate not in ended_well:
            assert both[rate].returncode == 2
            assert said[rate].startswith("Error: name: 'main' is being worked on")
    assert set(load("main", tmp_path).learning_rate.values) <= set(ended_well)


# --- what is refused, said and looked at ------------------------------------------------------


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5, "2", pytest.param(-(10**5000), id="huge")])
def test_jobs_are_a_count(jobs: Any, spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"jobs: got .*, expected a whole number"):
        run_sweep(spec, tmp_path, jobs=jobs)


def test_a_plan_writes_nothing_and_loads_no_jax(images: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from experiments.spec import make_spec
from experiments.sweep import plan

print(plan(make_spec({{"data": {images!r}}}), Path("results")).points, "jax" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["144", "False"]
    assert not list(tmp_path.iterdir())


def test_progress_never_falls_and_ends_at_all(spec: Spec, tmp_path: Path) -> None:
    said: list[Status] = []
    run_sweep(spec, tmp_path, jobs=2, progress=said.append)
    for before, after in itertools.pairwise(said):
        assert before.runs_done <= after.runs_done
        assert before.steps_done <= after.steps_done
        assert before.part <= after.part
    assert said[-1] == Status(24, 24 * 5, 2, 24, 24 * 5, diverged=8, verified=2, part=1.0)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_part_that_is_over_grows_with_the_steps_of_runs_that_go_on(
    jobs: int, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.sweep.SHOW_EVERY", 0.0)
    short = changed(spec, depths=[2], learning_rates=[0.1], steps=1000)
    run_sweep(short, tmp_path, jobs=jobs, keep_parameters=True)
    said: list[Status] = []
    run_sweep(changed(short, steps=2000), tmp_path, jobs=jobs, progress=said.append)
    assert said[0].steps_done == 4 * 1000
    for (
        status
    ) in said:  # of one architecture, runs take the time of their steps, but for what each begins with
        assert status.part == pytest.approx(status.steps_done / status.steps, abs=0.01)
    assert jobs > 1 or len({status.part for status in said}) > 100


TEN_THOUSAND = """
import sys
from pathlib import Path
import psutil
from experiments.spec import make_spec
from experiments.sweep import run_sweep

most, said = 0, []

def look(status):
    global most
    said.append((status.runs_done, status.steps_done))
    me = psutil.Process()
    most = max(most, sum(p.memory_full_info().pss for p in [me, *me.children(recursive=True)]))

fields = {
    "depths": [4], "widths": [16], "seeds": list(range(1000)), "steps": 50, "schemes": ["he"],
    "learning_rates": {"start": 1e-3, "stop": 1.0, "num": 10},
}
run_sweep(make_spec(fields), Path(sys.argv[1]), jobs=2, progress=look)
print(most, len({runs for runs, _ in said}), len({steps for _, steps in said}))
"""


@pytest.mark.slow
def test_ten_thousand_runs_take_little_memory_and_the_bar_moves_within_groups(tmp_path: Path) -> None:
    # In a process that has done nothing else: what tests before have loaded is not the sweep's.
    command = [sys.executable, "-c", TEN_THOUSAND, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    most, runs, steps = map(int, done.stdout.split())
    assert most < 1.2e9
    assert steps > 2 * runs
    assert load("main", tmp_path).sizes["run"] == 10_000
