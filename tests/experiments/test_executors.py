"""Claims about where groups are trained: what the processes share, load and survive, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import active_children, resource_tracker, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from experiments.executors import ONE_THREAD, SPAWN, Executor, WorkerError, executor
from experiments.group import Common, Group, Trained
from experiments.points import Architecture, Point
from experiments.training import Examples
from experiments.worker import share, work
from sandbox.typing import Array

EXAMPLES = 2000  # at which a step of these networks takes about a millisecond


@pytest.fixture(scope="module")
def common() -> Common:
    X = np.random.default_rng(0).standard_normal((4, EXAMPLES))
    Y = (X[:1] > 0).astype(float)
    return Common({"float64": Examples(X, Y, X, Y)})


def groups(count: int = 4, steps: int = 100, rates: tuple[float, ...] = (0.1, 1e9)) -> list[Group]:
    """Of two runs each, the second of which diverges."""
    return [
        Group(tuple(Point(Architecture(2, 8), "he", rate, seed, steps) for rate in rates), (True, True))
        for seed in range(count)
    ]


def ignore(counts: Array, busy: Mapping[str, int]) -> None:
    pass


def trained(executor: Executor) -> dict[int, Trained]:
    with executor as training:
        return {result.number: result.trained for result in training.results(ignore)}


def assert_same(a: dict[int, Trained], b: dict[int, Trained]) -> None:
    assert a.keys() == b.keys()
    for number in a:
        for field in ("cost_curve", "diverged_at", "gradient_norm_end", "kept"):
            np.testing.assert_array_equal(getattr(a[number], field), getattr(b[number], field))
        np.testing.assert_array_equal(a[number].parameters["W1"], b[number].parameters["W1"])


# --- the same results -------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_give_the_bits_that_this_one_gives(jobs: int, common: Common, tmp_path: Path) -> None:
    here = trained(executor(groups(), common, tmp_path, 1))
    assert here[0].diverged_at[1] > 0
    assert_same(trained(executor(groups(), common, tmp_path, jobs)), here)
    assert not active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_told_moves_within_a_group_and_ends_at_all_steps(
    jobs: int, common: Common, tmp_path: Path
) -> None:
    told: list[list[list[int]]] = []
    with executor(groups(2, steps=2000), common, tmp_path, jobs) as training:
        for _ in training.results(lambda counts, busy: told.append(counts.tolist())):
            pass
    assert any(2000 < steps < 4000 for counts in told for steps, _ in counts)  # the diverged run's are done
    assert told[-1] == [[4000, 1], [4000, 1]]


# --- what a process is ------------------------------------------------------------------------


def test_a_worker_loads_numpy_alone() -> None:
    heavy = "jax", "scipy", "h5py", "pandas", "pydantic", "sklearn", "typer", "threadpoolctl", "xarray"
    code = f"import sys, experiments.worker; print(*({{*sys.modules}} & {{*{heavy}}}))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "\n"
    )


def test_workers_map_the_examples_have_one_thread_of_blas_and_leave_the_environment_as_it_was(
    common: Common, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment, main = dict(os.environ), sys.modules["__main__"]
    mapped: set[str] = set()
    environments: list[dict[str, str]] = []

    def look(counts: Array, busy: Mapping[str, int]) -> None:
        for child in active_children():
            with suppress(psutil.Error):  # it has ended
                worker = psutil.Process(child.pid)
                mapped.update(part.path for part in worker.memory_maps())
                environments.append(worker.environ())

    with executor(groups(2, steps=400), common, tmp_path, 2) as training:
        for _ in training.results(look):
            pass
    assert {f"{tmp_path}/{name}-float64.npy" for name in ("X_train", "Y_train")} <= mapped
    assert all(found.items() >= ONE_THREAD.items() for found in environments)
    assert dict(os.environ) == environment
    assert sys.modules["__main__"] is main


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from experiments.executors import executor
from experiments.group import Common, Group
from experiments.points import Architecture, Point
from experiments.training import Examples
from experiments.worker import share, work

print("once")
X = np.random.default_rng(0).standard_normal((5, 2000))
Y = (X[:1] > 0).astype(float)
groups = [
    Group((Point(Architecture(2, 8), "he", 0.1, seed, int(sys.argv[2])),), (False,)) for seed in range(4)
]
with executor(groups, Common({"float64": Examples(X, Y, X, Y)}), Path(sys.argv[1]), 2) as training:
    for result in training.results(lambda counts, busy: None):
        print("group", result.number)
"""


@pytest.mark.parametrize("how", ["a script", "-c", "standard input", "-m"])
@pytest.mark.slow
def test_processes_start_from_any_script_which_they_do_not_run_again(how: str, tmp_path: Path) -> None:
    (tmp_path / "unguarded.py").write_text(SCRIPT)
    begin = {
        "a script": [str(tmp_path / "unguarded.py")], "-c": ["-c", SCRIPT], "standard input": ["-"],
        "-m": ["-m", "unguarded"],
    }[how]  # fmt: skip
    done = subprocess.run(
        [sys.executable, *begin, str(tmp_path), "5"],
        input=SCRIPT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )  # fmt: skip
    assert sorted(done.stdout.split()) == sorted(["once", *["group"] * 4, *"0123"])
    assert not done.stderr


# --- what it survives, and how it ends --------------------------------------------------------


def test_the_groups_of_a_killed_process_are_trained_again(common: Common, tmp_path: Path) -> None:
    killed: list[BaseProcess] = []

    def kill_one(counts: Array, busy: Mapping[str, int]) -> None:
        if not killed and counts.any():
            killed.append(active_children()[0])
            killed[0].kill()

    with executor(groups(steps=400), common, tmp_path, 2) as training:
        found = {result.number: result.trained for result in training.results(kill_one)}
    assert killed
    assert_same(found, trained(executor(groups(steps=400), common, tmp_path, 1)))


def test_processes_that_are_lost_again_and_again_are_said_to_be(common: Common, tmp_path: Path) -> None:
    def kill_all(counts: Array, busy: Mapping[str, int]) -> None:
        for worker in active_children():
            worker.kill()

    with (
        pytest.raises(WorkerError, match=r"2 runs of depth 2 and width 8 was lost 2 times \(exit code -9\)"),
        executor(groups(), common, tmp_path, 2) as training,
    ):
        for _ in training.results(kill_all):
            pass
    assert not active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_too_little_memory_is_a_memory_error(jobs: int, common: Common, tmp_path: Path) -> None:
    with pytest.raises(MemoryError, match="2 runs of depth 2 and width 8" if jobs == 2 else "Unable"):
        trained(executor(groups(2, steps=10**15), common, tmp_path, jobs))
    assert not active_children()


def test_a_mistake_in_a_process_comes_with_its_traceback(common: Common, tmp_path: Path) -> None:
    wrong = [Group(group.points, (True,)) for group in groups(2)]
    with pytest.raises(RuntimeError, match=r"ValueError: keep has 1 entries"):
        trained(executor(wrong, common, tmp_path, 2))


def test_stopping_ends_what_is_under_way_at_once(common: Common, tmp_path: Path) -> None:
    def stop(counts: Array, busy: Mapping[str, int]) -> None:
        if counts.any():
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        executor(groups(steps=10**6), common, tmp_path, 2) as training,
    ):
        for _ in training.results(stop):
            pass
    assert not active_children()


def test_a_signal_while_a_process_starts_is_answered_when_it_has(
    common: Common, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    resource_tracker.ensure_running()
    start, begun = util.spawnv_passfds, []

    def interrupted(*arguments: Any) -> int:
        begun.append(psutil.Process(pid := start(*arguments)))
        signal.raise_signal(signal.SIGTERM)  # before the process is told what to do
        return pid

    monkeypatch.setattr(util, "spawnv_passfds", interrupted)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), executor(groups(), common, tmp_path, 2):
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(begun) == 1
    assert not psutil.wait_procs(begun, timeout=30)[1]
    assert capfd.readouterr().err == ""


def test_a_process_whose_parent_listens_no_more_ends_in_silence(
    common: Common, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    share(common, tmp_path)
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=work, args=(theirs, tmp_path, SPAWN.RawArray("q", 2)))
    process.start()
    theirs.close()
    ours.send((0, groups()[0]))
    ours.close()
    process.join(timeout=30)
    assert process.exitcode == 0
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as parent:
        try:
            while len(children := psutil.Process(parent.pid).children()) < 3:  # two, and the resource tracker
                time.sleep(0.01)
        finally:
            parent.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_examples_that_have_gone_are_a_sentence(common: Common, tmp_path: Path) -> None:
    training = executor(groups(), common, tmp_path, 2)
    for file in tmp_path.glob("*.npy"):
        file.unlink()
    with pytest.raises(
        WorkerError, match=r"training 2 runs of depth 2 and width 8: .*No such file.*mend that"
    ):
        trained(training)
