"""Where groups are trained: in this process, or in processes of their own, one a core."""

import multiprocessing
import os
import signal
import sys
import threading
import types
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol, Self, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.files import GOES_ON, explained
from experiments.group import Common, Group
from experiments.own import OwnError
from experiments.worker import Failure, Result, result, share, work
from sandbox.typing import Array

Tell: TypeAlias = Callable[[Array, Mapping[str, int]], None]
"""Told every now and then, (groups, 2) of int64: of each group the run-steps that are done, and the runs
found diverged; and by the name of each busy worker the number of its group. What it raises ends the
training."""

TELL_EVERY = 0.1  # seconds
TRIES = 2  # of a group whose process is lost
ONE_THREAD = dict.fromkeys(
    [f"{library}_NUM_THREADS" for library in ("BLIS", "MKL", "OMP", "OPENBLAS")] + ["VECLIB_MAXIMUM_THREADS"],
    "1",
)
SPAWN = multiprocessing.get_context("spawn")


class WorkerError(RuntimeError):
    """A process that trains was lost more than once with the same group, or refused by the system."""


class Executor(Protocol):
    """Trains groups, between `with` and its end: then nothing of it is left running."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def results(self, tell: Tell) -> Iterator[Result]:
        """The groups' results, as they come.

        Raises:
            MemoryError: there is too little for a group. WorkerError: a process was lost again.
            OwnError: the user's functions failed.
        """
        ...


class Workers(Protocol):
    """What trains, before it is known what."""

    @property
    def workers(self) -> int:
        """How many processes."""
        ...

    @property
    def elsewhere(self) -> bool:
        """Whether on other machines."""
        ...

    def executor(self, groups: Sequence[Group], common: Common, folder: Path) -> Executor:
        """What trains these groups.

        Args:
            folder: for what processes of this machine share.
        """
        ...


@dataclass(frozen=True)
class Local:
    """At most so many processes of this machine; one is this one."""

    workers: int
    elsewhere: bool = False

    def executor(self, groups: Sequence[Group], common: Common, folder: Path) -> Executor:
        return executor(groups, common, folder, self.workers)


def available_cores() -> int:
    """The cores that this process may use; one if it may not have processes of its own."""
    if multiprocessing.current_process().daemon:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def executor(groups: Sequence[Group], common: Common, folder: Path, jobs: int) -> Executor:
    """What trains these groups in at most so many processes; one is this one.

    Args:
        folder: for what the processes share.
    """
    jobs = min(jobs, len(groups))
    if jobs <= 1:
        return Here(groups, common)
    with explained("write into", folder):
        share(common, folder)
    return Processes(groups, folder, jobs)


class Here:
    """In this process, with BLAS at one thread as everywhere."""

    def __init__(self, groups: Sequence[Group], common: Common) -> None:
        self.groups, self.common = groups, common

    def __enter__(self) -> Self:
        self.limits = threadpool_limits(1, user_api="blas")
        return self

    def __exit__(self, *raised: object) -> None:
        self.limits.restore_original_limits()

    def results(self, tell: Tell) -> Iterator[Result]:
        counts = np.zeros((len(self.groups), 2), np.int64)
        for number, group in enumerate(self.groups):

            def count(steps: int, diverged: int, number: int = number) -> None:
                counts[number] += steps, diverged
                tell(counts, {str(os.getpid()): number})

            yield result(number, group, self.common, count)


@dataclass
class _Worker:
    """`number`: of the group it trains, if any."""

    process: SpawnProcess
    connection: Connection
    number: int | None = None


class Processes:
    """In processes of their own, each of which is given a group when it has done the last."""

    def __init__(self, groups: Sequence[Group], folder: Path, jobs: int) -> None:
        self.groups, self.folder, self.jobs = groups, folder, jobs
        self.counters = SPAWN.RawArray("q", 2 * len(groups))  # each written by one process only: no lock
        self.waiting = deque(range(len(groups)))
        self.workers: list[_Worker] = []
        self.lost: Counter[int] = Counter()

    def __enter__(self) -> Self:
        try:
            for _ in range(self.jobs):
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.connection.close()

    def results(self, tell: Tell) -> Iterator[Result]:
        counts = np.frombuffer(self.counters, np.int64).reshape(-1, 2)
        while busy := {worker.connection: worker for worker in self.workers if worker.number is not None}:
            for connection in wait(list(busy), TELL_EVERY):
                yield from self._received(busy[connection])  # type: ignore[index]
            tell(counts, {str(w.process.pid): w.number for w in self.workers if w.number is not None})

    def _start(self) -> None:
        ours, theirs = SPAWN.Pipe()
        # A daemon: ended with this process, should nothing else end it.
        process = SPAWN.Process(target=work, args=(theirs, self.folder, self.counters), daemon=True)
        with _undisturbed():
            with _spawning():
                process.start()
            theirs.close()  # so that the end of the process is the end of the connection
            self.workers.append(_Worker(process, ours))
        self._give(self.workers[-1])

    def _give(self, worker: _Worker) -> None:
        worker.number = self.waiting.popleft() if self.waiting else None
        if worker.number is not None:
            with suppress(OSError):  # it has died, which is seen when its result is received
                worker.connection.send((worker.number, self.groups[worker.number]))

    def _received(self, worker: _Worker) -> Iterator[Result]:
        try:
            outcome: Result | Failure = worker.connection.recv()
        except (EOFError, OSError):
            self._lost(worker)
            return
        self._give(worker)  # first, so that it need not wait until its result is stored
        if isinstance(outcome, Failure):
            raise error_of(outcome, self.groups[outcome.number], f"{self.jobs - 1} other processes")
        yield outcome

    def _lost(self, worker: _Worker) -> None:
        """Its group is the first of a new process."""
        number = worker.number
        assert number is not None
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        self.lost[number] += 1
        if self.lost[number] == TRIES:
            what = described(self.groups[number])
            raise WorkerError(
                f"jobs: the process that trained {what} was lost {TRIES} times (exit code "
                f"{worker.process.exitcode}), expected it to live; give fewer --jobs if memory is short, "
                f"then {GOES_ON}."
            )
        self.counters[2 * number : 2 * number + 2] = [0, 0]
        self.waiting.appendleft(number)
        self._start()


def error_of(failure: Failure, group: Group, others: str) -> Exception:
    """What is raised for a group that was not trained beside `others`."""
    if failure.own:
        return OwnError(failure.own)
    what = described(group)
    if failure.memory:
        return MemoryError(f"too little to train {what} beside {others}")
    if failure.refused:
        return WorkerError(f"training {what}: {failure.refused}; mend that, then {GOES_ON}.")
    return RuntimeError(f"training {what} failed in its process:\n{failure.traceback}")


def described(group: Group) -> str:
    """In words: "2 runs of depth 3 and width 16"."""
    architecture = group.points[0].architecture
    return f"{len(group.points)} runs of depth {architecture.depth} and width {architecture.width}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that come meanwhile are answered at the end: a process that was started by half complains."""
    if threading.current_thread() is not threading.main_thread():  # where all signals are answered
        yield
        return
    came: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if callable(signal.getsignal(n))]
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in numbers}
    try:
        yield
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
        for number in came:
            signal.raise_signal(number)


@contextmanager
def _spawning() -> Iterator[None]:
    """What a process takes over when it starts: BLAS at one thread; deafness to Ctrl-C, which a terminal
    sends to every process and this one answers; and nothing of the script or notebook that is running, which
    it would run once more."""
    resource_tracker.ensure_running()  # it would make SIGINT heard again below
    main, environment = sys.modules["__main__"], {name: os.environ.get(name) for name in ONE_THREAD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
