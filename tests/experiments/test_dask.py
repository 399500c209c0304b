"""Claims about a sweep on a Dask cluster, with a scheduler and workers in processes of their own: what it
survives, whom it refuses, and that it ends in the bits of a sweep in one process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from experiments import cluster
from experiments.cli import app
from experiments.cluster import connected
from experiments.group import Common, Group
from experiments.points import Architecture, Point
from experiments.remote import versions
from experiments.training import Examples
from tests.experiments.test_sweep import assert_same, files
from tests.experiments.waiting import PATIENCE, wait_until

pytest.importorskip("distributed")

SPEC = [
    *("--depth", "2", "--depth", "3", "--width", "16", "--scheme", "he"),
    *("--learning-rate", "0.01", "--learning-rate", "0.5", "--learning-rate", "1e9"),
    *("--seed", "0", "--seed", "1", "--seed", "2", "--seed", "3"),
]
RUNS = 24


def sweep(images: str, results: Path, *options: str, steps: int = 3000) -> list[str]:
    return [
        sys.executable, "-m", "experiments", "sweep", *SPEC, "--steps", str(steps), "--data", images,
        "--results", str(results), *options,
    ]  # fmt: skip


class Dask:
    """A scheduler and workers on this machine."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port)

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", *options)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *command, "--no-dashboard"],
            stderr=subprocess.DEVNULL, cwd=self.folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])},
        )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    with ExitStack() as stack:
        yield Dask(stack, tmp_path)


@pytest.fixture(scope="module")
def whole(images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an undisturbed sweep in one process."""
    results = tmp_path_factory.mktemp("whole")
    subprocess.run(sweep(images, results, "--jobs", "1"), check=True, capture_output=True)
    return results


def finished(results: Path) -> list[Path]:
    return [file for file in files(results) if not file.name.startswith("verified")]


def run(command: Sequence[str]) -> tuple[int, str]:
    """How it ended, and what it said in its last line; there is no traceback, nor anything of Dask's."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("sweep ")]
    assert len(lines) <= 1, done.stderr
    return done.returncode, lines[0] if lines else done.stdout.splitlines()[-1]


# --- what it survives -------------------------------------------------------------------------


@pytest.mark.slow
def test_all_runs_finish_with_the_same_bits_when_a_worker_is_killed_in_the_middle(
    dask: Dask, images: str, whole: Path, tmp_path: Path
) -> None:
    victim, _ = dask.worker(), dask.worker()
    command = sweep(images, tmp_path / "results", "--dask", dask.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: finished(tmp_path / "results"))
        before = finished(tmp_path / "results")
        os.kill(victim.pid, signal.SIGKILL)
        out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert f"{RUNS} runs" in out
    assert len(finished(tmp_path / "results")) >= len(before) + 2, "it was in the middle"
    assert all(line.startswith("sweep ") for line in said.splitlines()), said
    assert_same(tmp_path / "results", whole)


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_a_sentence_and_the_same_command_goes_on_without_it(
    dask: Dask, images: str, whole: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    dask.worker()
    command = sweep(images, results, "--dask", dask.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: finished(results))
        dask.scheduler.kill()
        began = time.monotonic()
        _, said = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 20
    assert process.returncode == 2
    (line,) = [line for line in said.splitlines() if not line.startswith("sweep ")]
    assert f"the scheduler at {dask.address} is gone, or the way to it" in line
    kept = files(results)
    assert finished(results)
    assert run(sweep(images, results, "--jobs", "1"))[0] == 0
    assert files(results).items() >= kept.items()
    assert_same(results, whole)


@pytest.mark.slow
def test_workers_that_are_lost_again_and_again_are_said_to_be(
    dask: Dask, images: str, tmp_path: Path
) -> None:
    """A worker that kills itself in training, and is started again by its nanny."""
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import os, signal, experiments.worker\n"
        "experiments.worker.run_group = lambda *group: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    dask._start("worker", dask.address, "--nthreads", "1", "--preload", str(deadly))
    code, said = run(sweep(images, tmp_path / "results", "--dask", dask.address))
    assert code == 2
    assert re.search(
        r"dask: the worker that trained \d+ runs of depth \d and width 16 was lost 4 times", said
    )


@pytest.mark.slow
def test_ctrl_c_cancels_what_is_under_way(dask: Dask, images: str, tmp_path: Path) -> None:
    worker = dask.worker()
    command = sweep(images, tmp_path / "results", "--dask", dask.address)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: finished(tmp_path / "results"))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=5)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("Interrupted; ")
    of_worker = psutil.Process(worker.pid)
    wait_until(lambda: of_worker.cpu_percent(0.5) < 20)


@pytest.mark.slow
def test_workers_tell_how_far_they_are_and_where_they_trained(dask: Dask, tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((4, 2000))
    examples = Examples(X, (X[:1] > 0).astype(float), X, (X[:1] > 0).astype(float))
    steps = 20_000  # of some seconds: a worker tells every second
    groups = [
        Group(
            tuple(Point(Architecture(2, 8), "he", rate, seed, steps) for rate in (0.1, 1e9)), (False, False)
        )
        for seed in range(4)
    ]
    dask.worker(), dask.worker()
    told: list[tuple[list[list[int]], dict[str, int]]] = []
    with connected(dask.address) as workers:
        wait_until(lambda: workers.look() == 2)
        with workers.executor(groups, Common({"float64": examples}), tmp_path) as training:
            found = list(training.results(lambda counts, busy: told.append((counts.tolist(), dict(busy)))))
    assert {result.number for result in found} == {0, 1, 2, 3}
    assert all(result.made_by and result.made_by["python"] for result in found)
    assert any(
        steps < done < 2 * steps for counts, _ in told for done, _ in counts
    )  # the diverged run's are done
    assert any(len(busy) == 2 and len(set(busy.values())) == 2 for _, busy in told)
    assert all(worker.startswith("tcp://") for _, busy in told for worker in busy)


# --- whom it refuses --------------------------------------------------------------------------

OTHERS = {
    "revision of the code": (
        "import experiments.remote as r; r.package_revision = lambda: 'another'",
        "revision of the code another",
    ),
    "Python": ("import platform; platform.python_version_tuple = lambda: ('3', '99', '0')", "Python 3.99"),
    "NumPy": ("import numpy; numpy.__version__ = '1.99'", "NumPy 1.99"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHERS)
def test_a_worker_of_another_version_is_refused_with_both_named(
    what: str, dask: Dask, images: str, tmp_path: Path
) -> None:
    preload, named = OTHERS[what]
    (tmp_path / "other.py").write_text(preload)
    dask.worker("--preload", str(tmp_path / "other.py"))
    code, said = run(sweep(images, tmp_path / "results", "--dask", dask.address))
    assert code == 2
    expected = versions()[what]
    assert re.search(rf"dask: worker tcp://\S+ has {named}, expected {what} {re.escape(expected)}; ", said)
    assert not finished(tmp_path / "results")


@pytest.mark.slow
def test_a_worker_without_this_program_is_refused(dask: Dask, images: str, tmp_path: Path) -> None:
    (tmp_path / "without.py").write_text("import sys; sys.modules['experiments'] = None")
    dask.worker("--preload", str(tmp_path / "without.py"))
    code, said = run(sweep(images, tmp_path / "results", "--dask", dask.address))
    assert code == 2
    assert re.search(r"cannot load this program \(.*ModuleNotFoundError.*, expected revision \w+ of it", said)


@pytest.mark.slow
def test_a_worker_of_another_revision_that_joins_later_is_refused_too(
    dask: Dask, images: str, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text(OTHERS["revision of the code"][0])
    dask.worker()
    command = sweep(images, tmp_path / "results", "--dask", dask.address, steps=10**5)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: files(tmp_path / "results"))
        dask.worker("--preload", str(tmp_path / "other.py"))
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "has revision of the code another, expected" in said.splitlines()[-1]


@pytest.mark.slow
def test_a_scheduler_without_workers_is_a_sentence(
    dask: Dask, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    wait_until(lambda: answers(dask.address))
    found = CliRunner().invoke(app, sweep(images, tmp_path, "--dask", dask.address)[3:])
    assert found.exit_code == 2
    assert "has had no worker for" in found.stderr


def answers(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


# --- what it is given -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--dask", "localhost"], "dask: got 'localhost', expected the address of a scheduler"),
        (["--dask", ""], "dask: got '', expected the address of a scheduler"),
        (["--dask", "tcp://127.0.0.1:70000"], "expected the address of a scheduler"),
        (["--dask", "tls://127.0.0.1:8786"], "expected certificates for it"),
        (["--dask", "tcp://127.0.0.1:8786", "--jobs", "2"], "and jobs 2, expected one of them"),
        (["--dask", "tcp://127.0.0.1:8786", "--shard", "1/2"], "and shard 1/2, expected one of them"),
    ],
)
def test_what_is_no_address_is_a_sentence(options: list[str], sentence: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["sweep", "--results", str(tmp_path / "results"), *options])
    assert found.exit_code == 2
    assert sentence in found.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["nobody", "a service that says nothing", "a service that says something else"]
)
def test_an_address_where_no_scheduler_answers_is_a_sentence(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECTING", 0.5)
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        if what == "a service that says nothing":
            listening.listen()
        if what == "a service that says something else":
            listening.close()
            command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
            service = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(service.kill)
            wait_until(lambda: answers(f"tcp://127.0.0.1:{port}"))
        found = CliRunner().invoke(app, ["sweep", "--results", str(tmp_path), "--dask", f"127.0.0.1:{port}"])
    assert found.exit_code == 2
    assert "no scheduler answers at" in found.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = CliRunner().invoke(app, ["sweep", "--results", str(tmp_path), "--dask", "tcp://127.0.0.1:8786"])
    assert found.exit_code == 2
    assert "pip install 'autodiff-sandbox[dask]'" in found.stderr
