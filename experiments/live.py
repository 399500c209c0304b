"""What a sweep under way leaves for those who look on: a small file beside its lock, replaced now and then.

```
results/.work/NAME.live.json          of the sweep under this name
results/.work/NAME@LABEL.live.json    of a part of it
```
It is a look and nothing else: no sweep ends or waits because it cannot be written, and none reads it. It is
removed at the end; one that stays is of a process that was killed.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from experiments.files import HOST, read_regular
from experiments.points import Architecture, Origin
from experiments.progress import Pace, Status

ENDING = ".live.json"
WRITE_EVERY = 0.5  # seconds
OF_THE_TIME = 0.01  # that writing may take, where the disk is slow
SILENT = 60.0
"""Seconds without a word after which a process on another machine, where nobody can look, may have died. One
that lives is silent while it reads many results at the start, or writes them at the end."""

LOOKING, TRAINING, WRITING = "looking at what is stored", "training", "writing the results"


@dataclass(frozen=True)
class Working:
    """What a worker trains: so many runs of an architecture, and how many of their steps are done."""

    worker: str
    architecture: Architecture
    runs: int
    steps: int
    steps_done: int
    diverged: int


@dataclass(frozen=True)
class Live:
    """How a sweep stands.

    Attributes:
        label: of the part of the sweep, "" of a whole one.
        spec: as `Spec.canonical` has it.
        pid, host: of the process that sweeps; born: when that began, seconds since 1970.
        started, written: the sweep, and this.
        doing: in words.
        origin: of its runs, once that is known.
        status: once it trains; speed: in run-steps a second; left: seconds, None: not known.
    """

    name: str
    label: str
    spec: str
    pid: int
    host: str
    born: float
    started: AwareDatetime
    written: AwareDatetime
    doing: str
    origin: Origin | None = None
    status: Status | None = None
    speed: float = 0.0
    left: float | None = None
    workers: tuple[Working, ...] = ()

    @property
    def silent(self) -> float:
        """Seconds since it was written, by this machine's clock."""
        return (datetime.now(UTC) - self.written).total_seconds()

    @property
    def alive(self) -> bool:
        """Whether the process that wrote it lives, as far as can be known from here."""
        if self.host != HOST:
            return self.silent < SILENT
        try:
            process = psutil.Process(self.pid)
            same: bool = abs(process.create_time() - self.born) < 5  # numbers are given again
            return same and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, ValueError, OverflowError):  # or it is no number of a process
            return False

    @property
    def plausible(self) -> bool:
        """Whether a sweep can have written it."""
        steps = all(0 <= worker.steps_done <= worker.steps > 0 for worker in self.workers)
        return steps and (self.status is None or 0 <= self.status.part <= 1)


_LIVE = TypeAdapter(Live)


class LiveFile:
    """The file of a sweep under way.

    Args:
        file: its place.
        unfinished: where it lies until it is whole.
        clock: seconds.
    """

    def __init__(
        self, file: Path, unfinished: Path, live: Live, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.file, self.unfinished, self.live, self.clock = file, unfinished, live, clock
        self.pace = Pace(clock)
        self.next = clock()

    @classmethod
    def of(cls, name: str, spec: str, folder: Path, label: str = "") -> Self:
        """Of this process. `folder`: its own for unfinished files, in the one where live files lie."""
        now, pid = datetime.now(UTC), os.getpid()
        live = Live(name, label, spec, pid, HOST, psutil.Process(pid).create_time(), now, now, LOOKING)
        file = folder.parent / f"{name}{f'@{label}' if label else ''}{ENDING}"
        return cls(file, folder / file.name, live)

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(self, *raised: object) -> None:
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)

    def does(self, what: str, origin: Origin) -> None:
        """Say at once what the sweep does from now on."""
        self.live = replace(self.live, doing=what, origin=origin, workers=())
        self._write()

    def __call__(self, status: Status, workers: Callable[[], Iterable[Working]]) -> None:
        """Say how far it is, unless that was said a moment ago."""
        rate = self.pace(status)
        if self.clock() < self.next:
            return
        self.live = replace(
            self.live, status=status, speed=rate.speed, left=rate.left, workers=tuple(workers())
        )
        self._write()

    def _write(self) -> None:
        began = self.clock()
        self.live = replace(self.live, written=datetime.now(UTC))
        with contextlib.suppress(OSError):  # a full disk ends a sweep when results cannot be written
            self.unfinished.write_bytes(_LIVE.dump_json(self.live))
            self.unfinished.replace(self.file)
        now = self.clock()
        self.next = now + min(max(WRITE_EVERY, (now - began) / OF_THE_TIME), SILENT / 3)


def sweeps_of(name: str, results: Path) -> list[Live]:
    """Those that work on the name's results or did so when they were killed, by label."""
    found = [live for live in _all(results) if live.name == name]
    return sorted(found, key=lambda live: live.label)


def names(results: Path) -> set[str]:
    """The names on whose results a process works, or did so when it was killed."""
    return {live.name for live in _all(results)}


def _all(results: Path) -> Iterator[Live]:
    """What cannot be read, or is none of this version, is left out."""
    for file in (results / ".work").glob(f"*{ENDING}"):
        with contextlib.suppress(OSError, ValidationError):
            live = _LIVE.validate_json(read_regular(file))
            if live.plausible:
                yield live
