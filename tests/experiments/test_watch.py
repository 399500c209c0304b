"""Claims about what a sweep leaves for those who look on, and about `watch`, which looks."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rich.console import Console
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.live import SILENT, TRAINING, Live, LiveFile, Working, sweeps_of
from experiments.looking import Watch
from experiments.points import Architecture, Origin, Point
from experiments.progress import Status
from experiments.sparks import BLOCKS, spark
from experiments.spec import Spec, make_spec
from experiments.standing import Standing
from experiments.store import Store
from experiments.sweep import run_sweep
from experiments.view import View
from tests.experiments.made import ORIGIN, SMALL, contents, points, put

STATUS = Status(
    runs=40, steps=4000, architectures=2, runs_done=10, steps_done=1000, diverged=3, verified=1, part=0.25
)
FEW = {"depths": [2], "widths": [3], "learning_rates": [0.1, 1.0], "seeds": [0, 1, 2], "schemes": ["he"]}
SPEC = make_spec({**FEW, "steps": 5})  # whose points are those of `points()`


@contextmanager
def under_way(results: Path, spec: Spec = SPEC, label: str = "") -> Iterator[LiveFile]:
    """A sweep of this process."""
    with Store(results).working() as own, LiveFile.of(spec.name, spec.canonical(), own, label) as live:
        yield live


def left(results: Path, label: str = "", **changes: Any) -> None:
    """What a process left that was killed."""
    with under_way(results, label=label) as live:
        live.does(TRAINING, ORIGIN)
        live.next = 0.0
        live(STATUS, lambda: [Working("7", SMALL, 2, 10, 4, 1)])
        live.live = replace(live.live, **{"born": 0.0, **changes})
        live._write()
        content = live.file.read_bytes()
    live.file.write_bytes(content)


def watched(results: Path, *options: str, columns: int = 100) -> Result:
    command = ["watch", "--results", str(results), *options]
    return CliRunner().invoke(app, command, env={"COLUMNS": str(columns)})


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep says everything."""
    monkeypatch.setattr("experiments.sweep.SHOW_EVERY", 0.0)
    monkeypatch.setattr("experiments.live.WRITE_EVERY", 0.0)
    monkeypatch.setattr("experiments.live.OF_THE_TIME", np.inf)


# --- what a sweep leaves ----------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
def test_a_sweep_says_what_it_does_and_leaves_nothing(images: str, tmp_path: Path) -> None:
    seen: list[Live] = []

    def look(status: Status) -> None:
        seen.extend(sweeps_of("main", tmp_path))

    run_sweep(make_spec({**FEW, "steps": 50, "data": images}), tmp_path, jobs=1, progress=look)
    assert {live.pid for live in seen} == {os.getpid()}
    assert all(live.alive for live in seen)
    assert {live.doing for live in seen} == {TRAINING}
    assert any(live.status is not None for live in seen)
    workers = [working for live in seen for working in live.workers]
    assert {(each.worker, each.architecture) for each in workers} == {(str(os.getpid()), SMALL)}
    assert all(0 <= each.steps_done <= each.steps == each.runs * 50 for each in workers)
    assert not sweeps_of("main", tmp_path)
    assert [file.suffix for file in (tmp_path / ".work").iterdir()] == [".lock"] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
def test_each_busy_worker_says_what_it_trains(images: str, tmp_path: Path) -> None:
    seen: list[Working] = []

    def look(status: Status) -> None:
        seen.extend(working for live in sweeps_of("main", tmp_path) for working in live.workers)

    spec = make_spec({**FEW, "learning_rates": [0.1, 1e9], "steps": 3000, "data": images})
    run_sweep(spec, tmp_path, jobs=2, progress=look)
    assert seen
    assert {each.architecture for each in seen} == {SMALL}
    assert {each.worker for each in seen}.isdisjoint({str(os.getpid())})
    assert all(each.steps == each.runs * 3000 and 0 <= each.steps_done <= each.steps for each in seen)


@pytest.mark.parametrize("trouble", ["the disk is full", "something is in the way", "no folder"])
def test_it_is_a_look_only_and_a_disk_that_takes_it_not_ends_nothing(trouble: str, tmp_path: Path) -> None:
    with under_way(tmp_path) as live:
        if trouble == "the disk is full":
            live.unfinished = Path("/dev/full")
        elif trouble == "no folder":
            live.unfinished = tmp_path / "gone" / "file"
        else:
            live.file.unlink()
            live.file.mkdir()
        live.does(TRAINING, ORIGIN)
        live.next = 0.0
        live(STATUS, lambda: [])


def test_a_sweep_whose_look_cannot_be_written_ends_as_any_other(images: str, tmp_path: Path) -> None:
    (tmp_path / ".work" / "main.live.json" / "x").mkdir(parents=True)
    spec = make_spec({**FEW, "steps": 5, "data": images})
    assert run_sweep(spec, tmp_path, jobs=1).exists()


def test_writing_it_takes_a_hundredth_of_the_time_at_most_however_slow_the_disk_is(tmp_path: Path) -> None:
    now, written = [0.0], []

    def slow_clock() -> float:  # asked twice a writing, and once a call
        now[0] += 0.02
        return now[0]

    with under_way(tmp_path) as live:
        live.clock = live.pace.clock = slow_clock
        live.next = 0.0
        for _ in range(3000):
            before = live.live.written
            live(STATUS, lambda: [])
            written += [now[0]] if live.live.written != before else []
    pauses = np.diff(written)
    assert len(pauses) > 5
    assert pauses.min() >= 2.0  # 0.02 s of each 2 s
    assert pauses.max() < SILENT / 2  # or it would be believed dead


def test_a_part_of_a_sweep_has_a_file_of_its_own(tmp_path: Path) -> None:
    with under_way(tmp_path, label="1-of-2"), under_way(tmp_path, label="2-of-2"):
        assert [live.label for live in sweeps_of("main", tmp_path)] == ["1-of-2", "2-of-2"]
        assert not sweeps_of("mai", tmp_path)
        text = watched(tmp_path, "--once").stdout
        assert "main 1-of-2  looking at what is stored" in text
        assert "main 2-of-2" in text
    assert not sweeps_of("main", tmp_path)


def test_of_parts_it_shows_the_whole_too_and_which_were_killed(tmp_path: Path) -> None:
    put(Store(tmp_path), points()[:4])
    left(tmp_path, label="1-of-2")
    with under_way(tmp_path, label="2-of-2") as live:
        live.does(TRAINING, ORIGIN)
        text = watched(tmp_path, "--once").stdout
    assert text.splitlines()[0] == "main  4/6 runs are stored, 0 diverged"
    assert "main 2-of-2  training, since" in text
    assert "main 1-of-2  stopped; the same command goes on where it stopped" in text
    put(Store(tmp_path), points()[4:])
    text = watched(tmp_path).stdout
    assert text.startswith("main  all 6 runs are stored, 0 diverged; the file of them all is not written yet")


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": "main"}', b"[1]", b"\xff"])
def test_what_is_no_such_file_is_passed_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "main.live.json").write_bytes(content)
    assert watched(tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ('"written":"', '"written":"x'), ('"part":0.25', '"part":Infinity'), ('"part":0.25', '"part":NaN'),
        ('"steps":10,', '"steps":0,'), ('"runs":40', '"runs":null'), ('"born":0.0', '"born":"x"'),
    ],
)  # fmt: skip
def test_what_no_sweep_can_have_written_is_passed_over(what: str, instead: str, tmp_path: Path) -> None:
    left(tmp_path)
    (file,) = (tmp_path / ".work").glob("*.json")
    text = file.read_text()
    assert what in text
    file.write_text(text.replace(what, instead))
    assert watched(tmp_path).exit_code == 2


@pytest.mark.parametrize("spec", ["", "{", "[]", "null", '{"depths": "x"}', '{"field": 1}'])
def test_a_spec_of_another_version_leaves_progress_to_be_seen(spec: str, tmp_path: Path) -> None:
    left(tmp_path, spec=spec, host="elsewhere")
    assert "10/40 runs" in watched(tmp_path, "--once").stdout


@pytest.mark.parametrize("pid", [-1, 0, 2**31, 2**70])
def test_a_process_that_cannot_be_is_not_under_way(pid: int, tmp_path: Path) -> None:
    left(tmp_path, pid=pid)
    assert not any(live.alive for live in sweeps_of("main", tmp_path))


# --- who lives --------------------------------------------------------------------------------


def test_a_process_that_died_is_not_under_way_nor_is_another_that_has_its_number(tmp_path: Path) -> None:
    left(tmp_path)
    with under_way(tmp_path, label="x") as live:
        assert live.live.alive
    (found,) = sweeps_of("main", tmp_path)
    assert found.pid == os.getpid()
    assert not found.alive
    assert not replace(found, pid=2**22 + 1).alive


def test_a_zombie_is_not_under_way(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    born = psutil.Process(process.pid).create_time()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    left(tmp_path, pid=process.pid, born=born)
    assert not sweeps_of("main", tmp_path)[0].alive
    process.wait()


def test_a_process_on_another_machine_is_believed_dead_when_it_is_silent(tmp_path: Path) -> None:
    left(tmp_path, host="elsewhere")
    (found,) = sweeps_of("main", tmp_path)
    assert found.alive
    silent = replace(found, written=datetime(2026, 1, 1, tzinfo=UTC))
    assert silent.silent > SILENT
    assert not silent.alive


# --- what is stored ---------------------------------------------------------------------------


def test_what_is_stored_is_read_as_it_comes_each_file_once(tmp_path: Path) -> None:
    store, some = Store(tmp_path), points(seeds=4)
    put(store, some[:3], diverged=[1])
    standing = Standing(some, ORIGIN, store)
    assert standing.read(np.inf)
    (row,) = standing.rows
    assert (row.runs, row.done, row.diverged) == (8, 3, 1)
    for file in tmp_path.rglob("*.h5"):
        file.unlink()  # nobody looks at it again
    put(store, some[3:])
    assert standing.read(np.inf)
    assert (row.runs, row.done, row.diverged) == (8, 8, 1)


def test_the_best_run_of_a_row_is_the_one_that_ended_lowest(tmp_path: Path) -> None:
    store, some = Store(tmp_path), points(seeds=4)
    put(store, some[:5], diverged=[2])
    put(store, some[5:])
    standing = Standing(some, ORIGIN, store)
    standing.read(np.inf)
    found = store.trained([store.read(some, ORIGIN).runs[point] for point in some])
    best = int(np.nanargmin(found.cost_curve[:, -1]))
    (row,) = standing.rows
    assert row.best is not None
    assert (row.best.learning_rate, row.best.seed) == (some[best].learning_rate, some[best].seed)
    np.testing.assert_array_equal(row.best.curve, found.cost_curve[best])


def test_runs_of_other_sweeps_other_data_and_twice_stored_ones_do_not_count(tmp_path: Path) -> None:
    store, some = Store(tmp_path), points(seeds=2)
    put(store, some)
    put(store, some[:2])
    put(store, points(seeds=5)[2:5])
    put(store, some, Origin("e" * 64, ORIGIN.code))
    put(store, some, Origin(ORIGIN.data[:8] + "f" * 56, ORIGIN.code))  # in the same folder
    standing = Standing(some, ORIGIN, store)
    standing.read(np.inf)
    assert [(row.runs, row.done) for row in standing.rows] == [(4, 4)]


def test_what_is_damaged_is_left_where_it_is(tmp_path: Path) -> None:
    store, some = Store(tmp_path), points()
    file = put(store, some)
    file.write_bytes(file.read_bytes()[:-1])
    before = contents(tmp_path)
    left(tmp_path)
    assert "0/6" in watched(tmp_path).stdout
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_of_many_runs_it_remembers_little(tmp_path: Path) -> None:
    """Not more of a group than its file's name and a curve for each row, whatever a group holds."""
    store = Store(tmp_path)
    some = [Point(SMALL, "he", rate, 0, 2000) for rate in np.geomspace(1e-4, 1.0, 4000).tolist()]
    for i in range(0, len(some), 100):
        put(store, some[i : i + 100])
    tracemalloc.start()
    standing = Standing(some, ORIGIN, store)
    assert standing.read(np.inf)
    remembered, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert standing.rows[0].done == 4000
    of_all = 8 * 2001 * len(some)  # bytes of their curves
    assert remembered < of_all / 100
    assert most < of_all / 5


# --- curves in a line -------------------------------------------------------------------------


def test_a_spark_falls_by_the_same_height_for_the_same_factor() -> None:
    assert spark(np.geomspace(1e-4, 1e3, 8), 1e-4, 1e3, 8) == BLOCKS
    assert spark(np.array([1.0, 1.0]), 1.0, 1.0, 8) == BLOCKS[0] * 2
    assert spark(np.array([1e9, 0.0]), 0.1, 1.0, 8) == BLOCKS[-1] + BLOCKS[0]


@given(
    arrays.arrays(float, st.integers(1, 60), elements=st.floats(0, 1e300)),
    st.floats(0, 1e300), st.floats(0, 1e300), st.integers(1, 50), st.booleans(),
)  # fmt: skip
def test_a_spark_of_any_curve_is_as_wide_as_there_is_room_and_values(
    curve: Any, low: float, high: float, width: int, ascii_only: bool
) -> None:
    low, high = sorted((low, high))
    drawn = spark(curve, low, high, width, ascii_only=ascii_only)
    assert len(drawn) == min(width, len(curve))
    assert drawn.isascii() == ascii_only


# --- what is shown ----------------------------------------------------------------------------


def stored_and_left(results: Path) -> None:
    some = points()
    put(Store(results), some[:4], diverged=[1])
    left(results, host="elsewhere", left=12.0, speed=900.0)


def test_it_shows_progress_workers_and_the_best_so_far(tmp_path: Path) -> None:
    stored_and_left(tmp_path)
    text = watched(tmp_path, "--once").stdout
    assert (
        "main on elsewhere  training, 10/40 runs, 3 diverged, 1/2 verified, 900 steps/s, 1000/4000 steps"
        in text
    )
    assert re.search(r" steps, 12 s left, since \w{3} \d\d:\d\d ", " ".join(text.split()))
    assert re.search(r"━ +25%$", text, re.M)
    assert re.search(r"7 depth 2, width 3, 2 runs, 1 diverged ━.* 40%$", text, re.M)
    assert re.search(r"depth 2, he +(0.1|1) +0\.\d+ +[▁-█]+ +0\.\d+ +4/6 +1$", text, re.M)


@pytest.mark.parametrize("columns", [20, 40, 60, 72, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_it_fits_into_any_terminal_of_any_encoding(columns: int, encoding: str, tmp_path: Path) -> None:
    stored_and_left(tmp_path)
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding, write_through=True), width=columns)
    console.print(Watch("main", tmp_path).look(np.inf))
    lines = raw.getvalue().decode(encoding).splitlines()
    assert max(map(len, lines)) <= columns
    if columns >= 40:
        assert "4/6" in "".join(lines)
        assert ("━" in "".join(lines)) == (encoding == "utf-8")


def test_of_workers_of_a_cluster_the_part_is_never_cut_off(tmp_path: Path) -> None:
    with under_way(tmp_path) as live:
        live.does(TRAINING, ORIGIN)
        live.next = 0.0
        live(STATUS, lambda: [Working(f"tcp://10.0.12.{n}:41893", SMALL, 12, 1000, 410, 2) for n in (1, 2)])
        lines = watched(tmp_path, "--once", columns=40).stdout.splitlines()
    of_workers = [line for line in lines if re.search(r"10.0.12.[12]:41893 depth 2.*━.* 41%$", line)]
    assert len(of_workers) == 2


def test_no_more_is_shown_than_a_terminal_has_lines(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for depth in range(1, 20):
        put(store, points(Architecture(depth, 3), seeds=1))
    spec = make_spec({**FEW, "depths": [*range(1, 20)], "seeds": [0], "steps": 5})
    shown = io.StringIO()
    with under_way(tmp_path, spec) as live:
        live.does(TRAINING, ORIGIN)
        live.next = 0.0
        live(STATUS, lambda: [Working(str(n), SMALL, 2, 10, 4, 1) for n in range(50)])
        console = Console(file=shown, width=80, height=24, force_terminal=True, color_system=None)
        console.print(Watch("main", tmp_path).look(np.inf))
    lines = shown.getvalue().splitlines()
    assert len(lines) <= 24
    assert "and 44 more workers" in shown.getvalue()
    assert re.search(r", \d+ more$", shown.getvalue(), re.M)


def test_a_log_has_no_colours_and_neither_has_a_terminal_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_and_left(tmp_path)
    assert "\x1b" not in watched(tmp_path, "--once").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    shown = io.StringIO()
    Console(file=shown, force_terminal=True, width=80).print(Watch("main", tmp_path).look(np.inf))
    assert not re.search(r"\x1b\[[\d;]*3\dm", shown.getvalue())


# --- from the beginning to the end ------------------------------------------------------------


def test_of_what_was_killed_it_says_where_it_stopped_and_how_it_goes_on(tmp_path: Path) -> None:
    put(Store(tmp_path), points()[:4], diverged=[1])
    left(tmp_path)
    before = contents(tmp_path)
    result = watched(tmp_path)
    assert result.exit_code == 0
    first = result.stdout.splitlines()[0]
    assert first == "main  stopped at 4 of 6 runs; the same command goes on where it stopped"
    assert contents(tmp_path) == before


def test_of_a_silent_process_elsewhere_it_does_not_say_that_it_has_stopped(tmp_path: Path) -> None:
    left(tmp_path, host="elsewhere")
    (file,) = (tmp_path / ".work").glob("*.json")
    file.write_text(re.sub('"written":"[^"]*"', '"written":"2026-01-01T00:00:00+00:00"', file.read_text()))
    assert re.search(r"nothing heard of it for \d+ s, at 0 of 6 runs; if it", watched(tmp_path).stdout)


def test_a_finished_sweep_is_shown_once(images: str, tmp_path: Path) -> None:
    spec = make_spec({**FEW, "learning_rates": [0.1, 1e9], "steps": 5, "data": images, "name": "few"})
    run_sweep(spec, tmp_path, jobs=1)
    before = contents(tmp_path)
    for name in (["few"], [str(tmp_path / "few.h5")]):
        result = watched(tmp_path, *name)
        assert result.exit_code == 0
        assert re.match(r"few  finished 20\S+ \S+ UTC, 6 runs, \d diverged", result.stdout)
        assert re.search(r"depth 2, he +0\.1 .* 6/6", result.stdout)
    assert contents(tmp_path) == before
    looks = Watch("few", tmp_path)
    with under_way(tmp_path, spec):  # once more, and there is nothing to train
        assert looks.look(np.inf).state == "under way"
    assert looks.look(np.inf).state == "finished"
    with under_way(tmp_path, spec) as live:  # on other data, and killed
        live.does(TRAINING, ORIGIN)
        assert looks.look(np.inf).state == "under way"
    assert looks.look(np.inf).state == "stopped"


def test_it_waits_for_a_sweep_and_follows_it_to_the_end(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, look = threading.Event(), Watch.look

    def look_and_say(watch: Watch, seconds: float) -> View:
        view = look(watch, seconds)
        if any(live.doing == TRAINING for live in view.sweeps):
            seen.set()
        return view

    monkeypatch.setattr(Watch, "look", look_and_say)
    spec = make_spec({**FEW, "steps": 300, "data": images})
    arguments = {"jobs": 1, "progress": lambda status: seen.wait(30)}
    sweep = threading.Timer(0.2, run_sweep, (spec, tmp_path), arguments)
    sweep.start()
    result = watched(tmp_path, "--wait", "--every", "0.05")
    sweep.join()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"Waiting for a sweep main in {tmp_path}"
    states = [line.split()[1].strip(",") for line in lines if line.startswith("main ")]
    assert "training" in states
    assert states[-1] == "finished"
    assert states.count("finished") == 1


def test_where_a_look_takes_long_there_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is slow, or runs are many: of the time at most a tenth, whatever --every says."""
    now = [0.0]
    slept: list[float] = []

    def look(watch: Watch, seconds: float) -> View:
        now[0] += 3.0
        return View("main", "under way" if len(slept) < 3 else "finished")

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=slept.append)
    monkeypatch.setattr("experiments.looking.time", clock)
    monkeypatch.setattr(Watch, "look", look)
    assert watched(tmp_path, "--every", "0.1").exit_code == 0
    assert slept == [30.0] * 3


@contextmanager
def terminal(results: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`watch` in a terminal of 100 columns, and what is on the terminal's other side."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    command = [sys.executable, "-m", "experiments", "watch", *options, "--results", str(results)]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def seen_until(screen: int, text: str, seen: bytes = b"") -> bytes:
    """What is shown, after `seen`, until there is this text, or to the end."""
    while text.encode() not in seen:
        assert select.select([screen], [], [], 60)[0], seen.decode()
        try:
            seen += os.read(screen, 4096)
        except OSError:  # nobody has the terminal any more
            break
    return seen


@pytest.mark.slow
def test_in_a_terminal_it_waits_moves_and_ends_with_the_sweep(images: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "experiments", "sweep", "--depth", "2", "--steps", "3000", "--jobs", "2"),
        *("--data", images, "--results", str(tmp_path), "--quiet"),
    ]
    with terminal(tmp_path, "--wait") as (process, screen):
        seen = seen_until(screen, "Waiting for a sweep main in")
        sweep = subprocess.Popen(command)
        shown = seen_until(screen, "\0", seen).decode()
        assert process.wait(60) == 0
        assert sweep.wait(60) == 0
    before, _, after = shown.partition("finished")
    assert "depth 2, width 16" in before  # a worker
    assert "━" in before
    assert "▁" in before
    assert "\x1b[1A" in before  # in place
    assert "18/18" in after


@pytest.mark.slow
def test_ctrl_c_ends_it_and_nothing_else(tmp_path: Path) -> None:
    with under_way(tmp_path) as live:
        live.does(TRAINING, ORIGIN)
        before = sorted(tmp_path.rglob("*"))
        with terminal(tmp_path) as (process, screen):
            seen = seen_until(screen, "depth 2, he")
            process.send_signal(signal.SIGINT)
            shown = seen_until(screen, "\0", seen).decode()
            assert process.wait(10) == 0
        assert "Traceback" not in shown
        assert "\x1b[?25h" in shown, "the cursor is there again"
        assert sorted(tmp_path.rglob("*")) == before


def test_where_there_is_nothing_it_says_what_there_is(tmp_path: Path) -> None:
    result = watched(tmp_path / "none", "rates")
    assert result.exit_code == 2
    assert "nothing is known of 'rates'" in result.stderr
    assert not (tmp_path / "none").exists()
    (tmp_path / "other.h5").write_bytes(b"")
    result = watched(tmp_path, "rates")
    assert "give one of the names other" in result.stderr
    damaged = watched(tmp_path, "other")
    assert damaged.exit_code == 2
    assert "is damaged or was not written by a sweep" in damaged.stderr


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf"])
def test_a_pause_that_makes_no_sense_is_refused(every: str, tmp_path: Path) -> None:
    result = watched(tmp_path, "--every", every)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: every: got {float(every)}, expected seconds from")
