"""Claims about a sweep in shards: they divide the work and share nothing but a folder, and combined they are
the sweep of one process, bit for bit."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.dataset import load
from experiments.files import HOST
from experiments.points import Architecture, Point
from experiments.shards import Shard, divided
from experiments.spec import Spec, SpecError, make_spec
from experiments.store import Store, StoreError
from experiments.sweep import combine, plan, run_sweep
from tests.experiments.test_sweep import assert_same, files

SMALL = {
    "depths": [1, 2], "widths": [3], "learning_rates": [0.1, 1.0, 1e9], "seeds": [0, 1, 2], "schemes": ["he"],
    "steps": 5,
}  # fmt: skip
OPTIONS = [
    *("--depth", "1", "--depth", "2", "--width", "3", "--scheme", "he", "--steps", "5"),
    *("--learning-rate", "0.1", "--learning-rate", "1", "--learning-rate", "1e9"),
    *("--seed", "0", "--seed", "1", "--seed", "2"),
]


@pytest.fixture(scope="module")
def spec(images: str) -> Spec:
    """18 runs of two architectures."""
    return make_spec({**SMALL, "data": images})


@pytest.fixture(scope="module")
def whole(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one process; not to be written to."""
    return run_sweep(spec, tmp_path_factory.mktemp("whole"), jobs=1).parent


@pytest.fixture(scope="module")
def first(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first of three shards leaves; not to be written to."""
    return run_sweep(spec, tmp_path_factory.mktemp("first"), jobs=1, shard=Shard(1, 3)).parent


@pytest.fixture
def results(first: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(first, tmp_path / "results"))


def invoke(verb: str, images: str, results: Path, *options: str) -> Result:
    return CliRunner().invoke(app, [verb, *OPTIONS, "--data", images, "--results", str(results), *options])


# --- what a shard is --------------------------------------------------------------------------


def points(architectures: int = 5, seeds: int = 40) -> list[Point]:
    return [
        Point(Architecture(depth, 8), "he", rate, seed, 10)
        for depth in range(1, architectures + 1)
        for rate in (0.1, 1.0, 10.0)
        for seed in range(seeds)
    ]


def work(point: Point) -> float:
    return 0.1 + point.architecture.depth


@pytest.mark.parametrize("shards", [1, 2, 4, 7, 64])
def test_shards_have_each_point_once_and_about_equal_work(shards: int) -> None:
    every = points()
    parts = [Shard(number, shards).part(every, work) for number in range(1, shards + 1)]
    assert sorted(point for part in parts for point in part) == sorted(every)
    share = sum(map(work, every)) / shards
    assert all(abs(sum(map(work, part)) - share) <= max(map(work, every)) for part in parts)
    of = [{point.architecture for point in part} for part in parts]
    assert sum(map(len, of)) <= 5 + shards - 1, "few architectures are verified more than once"


def test_all_processes_divide_alike_whatever_the_order_of_the_points() -> None:
    every = points()
    expected = divided(every, 6, work)
    random.Random(0).shuffle(every)
    assert divided(every, 6, work) == expected


def test_no_shard_of_one_architecture_has_all_the_rates_that_diverge() -> None:
    every = points(architectures=1)
    for number in range(1, 5):
        rates = [point.learning_rate for point in Shard(number, 4).part(every, work)]
        assert 0 < rates.count(10.0) < len(rates) / 2 + 1


def test_more_shards_than_points_leave_some_with_nothing_to_do(spec: Spec, tmp_path: Path) -> None:
    there = [plan(spec, tmp_path, jobs=1, shard=Shard(number, 50)) for number in (1, 25, 50)]
    assert min(each.points for each in there) == 0
    empty = there.index(min(there, key=lambda each: each.points))
    run_sweep(spec, tmp_path, jobs=1, shard=Shard((1, 25, 50)[empty], 50))
    assert not files(tmp_path)


@pytest.mark.parametrize(
    "text", ["3", "0/4", "5/4", "1/0", "-1/4", "1/2/3", "a/b", "", "1.0/2", "1/99999999999"]
)
def test_what_is_no_shard_is_a_sentence(text: str, images: str, tmp_path: Path) -> None:
    found = invoke("sweep", images, tmp_path / "results", "--shard", text)
    assert found.exit_code == 2
    assert found.stderr.startswith("Error: shard: got ")
    assert "expected i/n" in found.stderr
    assert not (tmp_path / "results").exists()


def test_shards_count_from_one_in_python_too() -> None:
    with pytest.raises(SpecError, match=r"shard: got 0/4, expected i/n with 1 <= i <= n"):
        Shard(0, 4)


# --- what it leaves ---------------------------------------------------------------------------


def at(second: int) -> type[datetime]:
    """A clock that stands."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2026, 1, 1, second=second, tzinfo=tz)

    return Clock


def test_shards_that_know_nothing_of_each_other_are_the_whole_when_combined(
    spec: Spec, whole: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (2, 3):  # each as if it had begun before the others had stored anything
        monkeypatch.setattr("experiments.verification.datetime", at(number))
        apart = tmp_path / str(number)
        run_sweep(spec, apart, jobs=1, shard=Shard(number, 3))
        assert not (apart / "main.h5").exists()
        shutil.copytree(apart / "runs", results / "runs", dirs_exist_ok=True)
    verdicts = [file for file in files(results) if file.name.startswith("verified-")]
    before = files(results)
    combine(spec, results)
    assert files(results) == before
    assert_same(results, whole)
    assert len(verdicts) > 4
    assert load("main", results, "verification").sizes["verdict"] == 4
    there = plan(spec, results, jobs=1)
    assert there.points == there.done


def test_combine_says_what_is_missing_and_trains_nothing(images: str, spec: Spec, results: Path) -> None:
    before = files(results)
    found = invoke("combine", images, results, "--shards", "3")
    assert found.exit_code == 2
    assert f"of 18 runs are missing in {results} (" in found.stderr
    assert "of shard 2/3" in found.stderr
    assert "of shard 3/3" in found.stderr
    assert "of shard 1/3" not in found.stderr
    assert files(results) == before
    assert not (results / "main.h5").exists()
    with pytest.raises(StoreError, match=r"runs are missing in \S+, expected all"):
        combine(spec, results)


def test_combine_says_which_runs_are_stored_without_their_parameters(images: str, results: Path) -> None:
    found = invoke("combine", images, results, "--keep-parameters")
    assert found.exit_code == 2
    assert re.search(
        r"\d+ of 18 runs are missing in \S+, \d+ of them only their final parameters, expected", found.stderr
    )


def test_a_shard_that_is_done_trains_nothing_and_says_what_follows(images: str, results: Path) -> None:
    before = files(results)
    found = invoke("sweep", images, results, "--shard", "1/3", "--jobs", "1")
    assert found.exit_code == 0, found.stderr
    assert "shard    1/3 of 'main': " in found.stdout
    assert "; when all shards are done, `combine` writes" in found.stdout
    assert files(results) == before


@pytest.mark.slow
def test_a_sweep_goes_on_from_shards(spec: Spec, whole: Path, results: Path) -> None:
    before = files(results)
    run_sweep(spec, results, jobs=1)
    assert files(results).items() >= before.items()
    assert_same(results, whole)


def test_a_shard_excludes_itself_and_no_other(spec: Spec, results: Path) -> None:
    with Store(results).exclusive("main", "2/3"):
        run_sweep(spec, results, jobs=1, shard=Shard(1, 3))
        with pytest.raises(StoreError, match=r"shard 2/3 of 'main' is being worked on by process"):
            run_sweep(spec, results, jobs=1, shard=Shard(2, 3))


def test_verbs_have_the_options_that_apply(images: str, tmp_path: Path) -> None:
    for verb, option in (
        ("run", "--shard"),
        ("combine", "--jobs"),
        ("combine", "--shard"),
        ("sweep", "--shards"),
    ):
        assert f"No such option: {option}" in invoke(verb, images, tmp_path, option, "1").stderr


@pytest.mark.slow
def test_four_shards_at_once_of_which_one_is_killed_and_started_again(images: str, tmp_path: Path) -> None:
    options = [
        *("--depth", "2", "--depth", "3", "--width", "16", "--steps", "2000", "--scheme", "he"),
        *("--learning-rate", "0.1", "--learning-rate", "1", "--learning-rate", "1e9", "--data", images),
        *(argument for seed in range(8) for argument in ("--seed", str(seed))),
    ]

    def command(verb: str, results: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "experiments", verb, *options, "--results", str(results), *more]

    shards = [command("sweep", tmp_path / "shards", "--jobs", "1", "--shard", f"{i}/4") for i in range(1, 5)]
    processes = [subprocess.Popen(shard, stderr=subprocess.DEVNULL) for shard in shards]
    while not files(tmp_path / "shards"):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait()
    said = subprocess.run(
        command("combine", tmp_path / "shards", "--shards", "4"), capture_output=True, text=True
    )
    assert said.returncode == 2
    assert "of shard 2/4" in said.stderr
    processes[1] = subprocess.Popen(shards[1], stderr=subprocess.DEVNULL)
    assert [process.wait(timeout=100) for process in processes] == [0] * 4
    assert not [path for path in (tmp_path / "shards/.work").iterdir() if path.suffix != ".lock"]
    subprocess.run(command("combine", tmp_path / "shards"), check=True, capture_output=True)
    subprocess.run(command("sweep", tmp_path / "whole", "--jobs", "1"), check=True, capture_output=True)
    assert_same(tmp_path / "shards", tmp_path / "whole")


# --- several machines -------------------------------------------------------------------------


def test_the_folder_of_another_machines_process_stays_until_it_is_old(tmp_path: Path) -> None:
    """Whose lock may look free here, where the file system has locks within one machine only."""
    store = Store(tmp_path)
    for name in ("elsewhere@young", "elsewhere@old", f"{HOST}@dead"):
        (tmp_path / ".work" / name).mkdir(parents=True)
    long_ago = time.time() - 8 * 86400
    os.utime(tmp_path / ".work/elsewhere@old", (long_ago, long_ago))
    with store.working() as own:
        left = {path.name for path in own.parent.iterdir() if path.is_dir()}
    assert left == {"elsewhere@young", own.name}
