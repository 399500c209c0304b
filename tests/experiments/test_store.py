"""Claims about runs on disk: found by key, believed only if whole, never lost, whatever happens to files."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import experiments.store
from experiments.points import Architecture, Origin, Point
from experiments.store import Found, Store, StoreError
from experiments.verification import Moment
from tests.experiments.made import (
    ORIGIN,
    SMALL,
    Told,
    assert_same,
    contents,
    points,
    put,
    read_back,
    trained,
    verdict,
)

MOMENTS: tuple[Moment, ...] = ("start", "end")
DEEP = Architecture(3, 2, "tanh", "mean_squared_error", "float32")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "results")


# --- by key -----------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_run_is_what_it_was_however_runs_are_grouped_and_asked_for(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = Told(tmp_path_factory.mktemp("results"))
    architecture = data.draw(st.sampled_from([SMALL, DEEP, Architecture(1, 5)]))
    every = points(architecture, seeds=4)
    left = data.draw(st.permutations(every))
    kept, ended = set(), set()
    while left:
        group, left = left[: (size := data.draw(st.integers(1, 8)))], left[size:]
        ends = {i: data.draw(st.sampled_from(["kept", "diverged", "whole"])) for i in range(len(group))}
        which = {end: [i for i in ends if ends[i] == end] for end in ("kept", "diverged")}
        put(told.store, group, kept=which["kept"], diverged=which["diverged"])
        kept |= {group[i] for i in which["kept"]}
        ended |= {group[i] for i in which["diverged"]}
    asked = data.draw(st.permutations(every))[: data.draw(st.integers(1, 8))]
    expected = trained(
        asked,
        kept=[i for i, point in enumerate(asked) if point in kept],
        diverged=[i for i, point in enumerate(asked) if point in ended],
    )
    assert_same(read_back(told.store, asked), expected)
    assert told == []


def test_nothing_is_found_and_nothing_made_where_there_is_nothing(told: Told) -> None:
    assert told.store.read(points(), ORIGIN) == Found({}, {}, 0)
    assert told.store.verifications(ORIGIN, SMALL) == []
    assert not told.store.results.exists()


@pytest.mark.parametrize(
    ("of", "origin", "outdated"),
    [
        (points(), replace(ORIGIN, code="e" * 64), 6),
        (points(), replace(ORIGIN, code="c" * 8 + "e" * 56), 0),  # the same folder
        (points(), replace(ORIGIN, data="e" * 64), 0),
        (points(steps=4), ORIGIN, 0),
        (points(rates=(0.2,)), ORIGIN, 0),
        (points(replace(SMALL, dtype="float32")), ORIGIN, 0),
        ([replace(point, scheme="small") for point in points()], ORIGIN, 0),
    ],
)
def test_runs_of_another_key_are_not_found(
    of: list[Point], origin: Origin, outdated: int, told: Told
) -> None:
    put(told.store, points())
    found = told.store.read(of, origin)
    assert (found.runs, found.outdated) == ({}, outdated)


def test_of_runs_with_fewer_steps_the_longest_that_can_be_gone_on_from_is_found(told: Told) -> None:
    for steps in (3, 4, 7):
        put(told.store, points(steps=steps), kept=[0] if steps == 3 else [0, 1], diverged=[2], stalled=[3])
    longer = points(steps=6)
    shorter = told.store.read(longer, ORIGIN).shorter
    assert {longer.index(point): (run.point.steps, run.kept) for point, run in shorter.items()} == {
        0: (4, True), 1: (4, True), 2: (4, False), 3: (4, False),
    }  # fmt: skip
    assert all(replace(run.point, steps=6) == point for point, run in shorter.items())


def test_of_two_files_with_one_run_the_one_with_parameters_is_found(told: Told) -> None:
    put(told.store, points())
    put(told.store, points()[::-1], kept=[0, 1])
    put(told.store, points()[:3])
    runs = told.store.read(points(), ORIGIN).runs
    assert [run.kept for run in runs.values()] == [False] * 4 + [True] * 2


def test_verdicts_are_of_an_architecture_on_data_and_code(told: Told) -> None:
    written = {moment: verdict(moment=moment) for moment in MOMENTS}
    for each in written.values():
        told.store.write_verification(each, ORIGIN)
    put(told.store, points())
    found = {each.moment: each for each in told.store.verifications(ORIGIN, SMALL)}
    assert found.keys() == written.keys()
    for moment, each in written.items():
        np.testing.assert_equal(vars(found[moment]), vars(each))
    assert told.store.verifications(ORIGIN, DEEP) == []
    assert told.store.verifications(replace(ORIGIN, code="e" * 64), SMALL) == []
    assert told.store.read(points(), ORIGIN).runs.keys() == set(points())
    assert told == []


# --- the system says no -------------------------------------------------------------------------------

REFUSALS = [
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ESTALE, errno.EINVAL,
]  # fmt: skip


@pytest.mark.parametrize("number", REFUSALS, ids=[errno.errorcode[number] for number in REFUSALS])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkdir", "open"])
def test_whatever_the_system_refuses_is_one_sentence_and_leaves_nothing(
    call: str, number: int, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(told.store, points(seeds=1))
    before = contents(told.store.results)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "open" else os, call, refuse)
        with pytest.raises(StoreError) as caught:
            put(told.store, points(), kept=[0])
    assert os.strerror(number) in str(caught.value)
    assert str(told.store.results) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(told.store.results) == before
    assert not [path for path in (told.store.results / ".work").iterdir() if path.is_dir()]
    put(told.store, points(), kept=[0])
    assert told.store.read(points(), ORIGIN).runs.keys() == set(points())


@pytest.mark.parametrize("error", [MemoryError, OSError, RuntimeError])
def test_memory_that_is_lacking_is_one_sentence(
    error: type[Exception], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(experiments.store, "pack_group", refuse)
    with pytest.raises(StoreError, match=r"not enough memory.* the same command goes on"):
        put(told.store, points())


@pytest.fixture
def largest_file() -> Iterator[Callable[[int], None]]:
    """Lets no file become larger than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1, 512, 4096, 10_000])
def test_a_file_that_may_not_grow_is_one_sentence_and_leaves_nothing(
    size: int, told: Told, largest_file: Callable[[int], None]
) -> None:
    put(told.store, points(seeds=1))
    before = contents(told.store.results)
    largest_file(size)
    with pytest.raises(StoreError, match=r"cannot write .*h5 \(File too large\); make space"):
        put(told.store, points(), kept=[0])
    assert contents(told.store.results) == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small file system of its own, mounted with these options."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        return folder

    yield mount
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [4, 12, 24, 48, 96, 192, 384])
def test_a_full_disk_loses_nothing_and_the_same_goes_on_when_there_is_space(
    kilobytes: int, mounted: Callable[[str], Path]
) -> None:
    folder = mounted(f"size={kilobytes}k")
    told = Told(folder / "results")
    written: list[Point] = []
    with pytest.raises(StoreError, match=r"\(No space left on device\); make space"):  # noqa: PT012
        for rate in range(1, 100):
            group = points(rates=(rate,), steps=200)
            put(told.store, group)
            written += group
    every = points(rates=range(1, 9), steps=200)
    before = told.store.read(every, ORIGIN).runs
    assert before.keys() == set(every) & set(written)
    subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
    for rate in range(1, 9):
        put(told.store, points(rates=(rate,), steps=200))
    assert_same(read_back(told.store, every), trained(every))
    assert not list(folder.rglob("*.tmp"))
    assert told == []


def test_a_read_only_disk_can_be_read_and_not_written(mounted: Callable[[str], Path]) -> None:
    folder = mounted("size=8m")
    told = Told(folder / "results")
    put(told.store, points())
    put(told.store, points(DEEP)).write_bytes(b"")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert told.store.read([*points(), *points(DEEP)], ORIGIN).runs.keys() == set(points())
    assert "is ignored" in told[0]
    with pytest.raises(StoreError, match=r"\(Read-only file system\); .*choose another --results"):
        put(told.store, points(DEEP))
    with (
        pytest.raises(StoreError, match=r"\(Read-only file system\)"),
        told.store.exclusive("main"),
    ):
        pass


@pytest.fixture
def bound(tmp_path: Path) -> None:
    """Not for a user whom no permissions bind."""
    (tmp_path / "probe").touch(0)
    if os.access(tmp_path / "probe", os.R_OK):
        pytest.skip("no permissions bind this user")


@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize("folder", ["runs", ".work", "the architecture's"])
def test_a_folder_that_may_not_be_written_to_is_named_and_its_runs_are_found(folder: str, told: Told) -> None:
    file = put(told.store, points())
    path = file.parent if folder == "the architecture's" else told.store.results / folder
    path.chmod(0o500)
    other = points(DEEP) if folder == "runs" else points(rates=(7.0,))
    if folder == "runs":
        file.parent.parent.chmod(0o500)
    try:
        assert told.store.read(points(), ORIGIN).runs.keys() == set(points())
        with pytest.raises(
            StoreError, match=r"\(Permission denied\); mind the permissions or choose another"
        ):
            put(told.store, other)
    finally:
        file.parent.parent.chmod(0o700)
        path.chmod(0o700)
    put(told.store, other)


@pytest.mark.usefixtures("bound")
def test_a_file_that_may_not_be_read_is_told_and_set_aside(told: Told) -> None:
    put(told.store, points()).chmod(0)
    assert told.store.read(points(), ORIGIN).runs == {}
    assert "it cannot be read (Permission denied); it lies in" in told[0]


@pytest.mark.parametrize("place", ["results", "results/runs", "results/.work", "the architecture's"])
def test_a_file_where_a_folder_should_be_is_named(place: str, tmp_path: Path) -> None:
    told = Told(tmp_path / "results")
    path = tmp_path / place
    if place == "the architecture's":
        path = put(told.store, points()).parent
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(StoreError, match="move away the file that stands where a folder should be"):
        put(told.store, points())
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"\(File name too long\); choose a shorter one"):
        put(Store(tmp_path / ("x" * 300)), points())


# --- several at once ----------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from experiments.store import Store
store = Store(Path(sys.argv[1]))
with store.exclusive("main"), store.working() as own:
    (own / "unfinished").write_text("data")
    print(own, flush=True)
    sys.stdin.read()
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip


@pytest.fixture
def holder(told: Told) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds the name "main", and its folder."""
    with start(HOLD, told.store.results) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_second_process_is_told_that_another_is_at_the_name(
    holder: tuple[subprocess.Popen[str], Path], told: Told
) -> None:
    process, _ = holder
    sentence = f"'main' is being worked on by process {process.pid} since"
    with pytest.raises(StoreError, match=sentence), told.store.exclusive("main"):
        pass
    with told.store.exclusive("other"):
        pass


def test_a_killed_process_leaves_no_lock_and_no_files(
    holder: tuple[subprocess.Popen[str], Path], told: Told
) -> None:
    process, folder = holder
    with told.store.working() as own:
        assert own != folder
        assert (folder / "unfinished").exists(), "it is alive"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with told.store.exclusive("main"), told.store.working():
        assert not folder.exists()


def test_threads_of_one_process_exclude_each_other_too(told: Told) -> None:
    said = []

    def other() -> None:
        try:
            with Store(told.store.results).exclusive("main"):
                pass
        except StoreError as error:
            said.append(str(error))

    with told.store.exclusive("main"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(said) == 1
    other()
    assert len(said) == 1


START = """
import sys
from pathlib import Path
from experiments.store import Store
for _ in range(40):
    with Store(Path(sys.argv[1])).working() as own:
        for i in range(20):
            (own / str(i)).write_text("data")
        assert len(list(own.iterdir())) == 21, list(own.iterdir())
"""


def test_processes_that_start_at_once_leave_each_other_alone(told: Told) -> None:
    processes = [start(START, told.store.results) for _ in range(4)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0] * 4


def test_a_folder_for_unfinished_files_is_gone_at_the_end(told: Told) -> None:
    with pytest.raises(KeyboardInterrupt), told.store.working() as own:  # noqa: PT012
        put(told.store, points())
        assert own.is_dir()
        raise KeyboardInterrupt
    assert not own.exists()


WRITE = """
import sys
from pathlib import Path
from experiments.store import Store
from tests.experiments.made import points, put
store = Store(Path(sys.argv[1]))
for rate in range(1, 10_000):
    put(store, points(rates=(rate,), steps=300))
    print(rate, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 20])
@pytest.mark.slow
def test_a_process_killed_while_it_writes_loses_at_most_what_it_is_writing(after: int, told: Told) -> None:
    with start(WRITE, told.store.results) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read().split()
    written = after + len([line for line in rest if line.isdigit()])
    every = points(rates=range(1, after + 1), steps=300)
    assert_same(read_back(told.store, every), trained(every))
    with told.store.working() as own:
        assert [path for path in own.parent.iterdir() if path.is_dir()] == [own]
    files = [file for file in told.store.runs.rglob("*") if file.is_file()]
    assert len(files) in (written, written + 1)
    assert told == []


def test_no_name_keeps_others_from_starting(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.working(), store.exclusive("starting"):
        finished = subprocess.run(
            [
                sys.executable, "-c",
                f"from pathlib import Path; from experiments.store import Store\n"
                f"with Store(Path({str(tmp_path)!r})).working(): print('started')",
            ],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert finished.stdout == "started\n"
