"""Claims about being stopped: at any moment, by any means, at once, and nothing that was done is lost."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import xarray

from experiments.dataset import load
from tests.experiments.waiting import PATIENCE, wait_until

SOON = 3.0  # seconds: one, and twice as much again for a machine that is not alone
SAYS = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated", signal.SIGHUP: "Hung up"}
SPEC = [
    *("--depth", "2", "--depth", "3", "--width", "16"),
    *("--learning-rate", "0.01", "--learning-rate", "0.5", "--learning-rate", "1e9"),
    *("--seed", "0", "--seed", "1", "--seed", "2"),
]


def command(images: str, results: Path, steps: int = 300, jobs: int = 2) -> list[str]:
    """A sweep of 36 runs."""
    return [
        sys.executable, "-m", "experiments", "sweep", *SPEC, "--steps", str(steps), "--data", images,
        "--results", str(results), "--jobs", str(jobs),
    ]  # fmt: skip


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command, once it can be stopped; as long as that is not, Python itself is starting."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_until(lambda: signal.SIGTERM in handled(process.pid))
        yield process
    finally:
        process.kill()
        process.communicate()


def handled(pid: int) -> set[int]:
    """The signals for which the process has a handler."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
    return {number for number in range(1, 32) if mask >> (number - 1) & 1}


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return list(psutil.Process(process.pid).children(recursive=True))
    return []


def unfinished(results: Path) -> list[Path]:
    """What is neither a result nor a lock."""
    return [path for path in results.rglob("*") if path.is_file() and path.suffix not in (".h5", ".lock")]


def same_each_time(results: Path) -> list[xarray.Dataset]:
    return [
        load("main", results, group).drop_vars(("seconds", "checked"), errors="ignore").drop_attrs()
        for group in ("", "layers", "verification")
    ]


def assert_same(results: list[xarray.Dataset], expected: list[xarray.Dataset]) -> None:
    for found, wanted in zip(results, expected, strict=True):
        xarray.testing.assert_identical(found, wanted)


# --- signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SAYS)
@pytest.mark.parametrize("after", [0.0, 0.2, 0.5])
def test_it_can_be_stopped_from_the_first_moment_on(
    number: signal.Signals, after: float, images: str, tmp_path: Path
) -> None:
    with started(command(images, tmp_path)) as process:
        time.sleep(after)
        process.send_signal(number)
        _, said = process.communicate(timeout=SOON)
    assert process.returncode == 128 + number
    assert is_how_to_go_on(SAYS[number], said.splitlines()[-1])
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("jobs", "when"),
    [
        (2, "training"),
        (1, "JAX is loaded"),
        pytest.param(1, "training", marks=pytest.mark.slow),
        pytest.param(2, "JAX is loaded", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_the_training_and_all_its_processes(
    jobs: int, when: str, images: str, tmp_path: Path
) -> None:
    with started(command(images, tmp_path, steps=10**5, jobs=jobs)) as process:
        wait_until(lambda: is_loaded(process, "jaxlib"))
        if when == "training":
            wait_until(lambda: list(tmp_path.rglob("verified-*.h5")))
        others = descendants(process)
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: every process gets it
        _, said = process.communicate(timeout=SOON)
    assert process.returncode == 130
    lines = [line for line in said.splitlines() if not line.startswith("sweep ")]
    assert len(lines) == 1
    assert is_how_to_go_on("Interrupted", lines[0])
    assert (len(others) >= 3) == (jobs == 2)  # two, and the resource tracker
    assert not psutil.wait_procs(others, timeout=SOON)[1]
    assert not unfinished(tmp_path)


def is_how_to_go_on(what: str, line: str) -> bool:
    kept = r"(what is finished is|\d+ of 36 runs are) kept"
    return re.fullmatch(rf"{what}; {kept}; the same command goes on from there\.", line) is not None


@pytest.mark.slow
def test_what_is_kept_is_counted(images: str, tmp_path: Path) -> None:
    subprocess.run(command(images, tmp_path), check=True, capture_output=True)
    with started([*command(images, tmp_path), "--depth", "9", "--width", "400"]) as process:
        assert process.stderr is not None
        assert "36/108 runs" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SOON)
    last = said.splitlines()[-1]
    assert last == "Terminated; 36 of 108 runs are kept; the same command goes on from there."


def is_loaded(process: subprocess.Popen[str], library: str) -> bool:
    return any(library in part.path for part in psutil.Process(process.pid).memory_maps())


def test_what_swallows_the_interruption_delays_it_only() -> None:
    code = """
import time
from experiments import cli, entry

def swallow():
    print("ready", flush=True)
    while True:
        try:
            time.sleep(100)
        except BaseException:
            pass

cli.app = swallow
entry.main()
"""
    with started([sys.executable, "-c", code]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert said == "Interrupted.\n"


def test_a_signal_that_is_ignored_stays_so(images: str, tmp_path: Path) -> None:
    with started(["nohup", *command(images, tmp_path)]) as process:
        assert signal.SIGHUP not in handled(process.pid)


# --- kills ------------------------------------------------------------------------------------


def disturbed(images: str, results: Path, how: signal.Signals, draw: random.Random) -> None:
    """Start the sweep, and after a moment send the signal to it, or now and then to one of its processes."""
    with started(command(images, results)) as process:
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=draw.uniform(0, 3))
        others = descendants(process)
        if others and draw.random() < 0.3:
            with suppress(psutil.NoSuchProcess):
                draw.choice(others).kill()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=draw.uniform(0, 2))
        process.send_signal(how)
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode in (0, -how, 128 + how), said
    assert "Traceback" not in said


def kill(times: int, images: str, folder: Path, kinds: list[signal.Signals]) -> None:
    """Disturb sweeps so many times, and compare their results with those of one that nobody disturbed."""
    subprocess.run(command(images, folder / "whole"), check=True, capture_output=True)
    expected, draw = same_each_time(folder / "whole"), random.Random(0)
    for number in range(times):
        results = folder / str(number // 6)
        disturbed(images, results, kinds[number % len(kinds)], draw)
        if number % 6 == 5 or number == times - 1:
            subprocess.run(command(images, results), check=True, capture_output=True)
            assert_same(same_each_time(results), expected)
            assert not unfinished(results)
            assert not (results / "runs" / "set-aside").exists()


@pytest.mark.slow
def test_a_dozen_interruptions_of_any_kind_change_nothing(images: str, tmp_path: Path) -> None:
    """KILLS=100 in the environment makes it a hundred."""
    count = int(os.environ.get("KILLS", "12"))
    kill(count, images, tmp_path, [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
