"""What lies in a folder of results: names and their files, and the files of runs behind them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.files import StoreError, content_name, read_regular
from experiments.group_file import ImplausibleError, unpack_points
from experiments.locks import begun
from experiments.outcome import Outcome, believed
from experiments.points import Architecture, Origin, key
from experiments.store import SET_ASIDE, VERDICT, WORK, folder_of


@dataclass(frozen=True)
class Disk:
    """Bytes of a name's file, and of the files of runs and verdicts of its architectures, and how many these
    are."""

    file: int
    runs: int
    files: int


def disk(file: Path, origin: Origin, architectures: Iterable[Architecture]) -> Disk:
    """Raises OSError."""
    beside = [
        path.stat().st_size
        for architecture in architectures
        for path in folder_of(file.parent / "runs", origin, architecture).glob("*.h5")
    ]
    return Disk(file.stat().st_size, sum(beside), len(beside))


@dataclass(frozen=True)
class Entry:
    """A name in a folder.

    Attributes:
        size: bytes of its file; 0 where there is none yet.
        problem: why its file cannot be read; "" where it can.
        state: "finished", "being swept" or "begun", that is neither.
        by: whom it is being swept, so far as is known; "" by nobody.
        outcome: of its runs, where its file can be read.
    """

    name: str
    size: int
    problem: str
    state: str
    by: str
    outcome: Outcome

    @property
    def data(self) -> str:
        return str(json.loads(self.outcome.about.get("spec", "{}")).get("data", ""))


def entries(results: Path) -> list[Entry]:
    """All names, with those that have no file yet. Raises OSError."""
    names = begun(results / WORK)
    files = {file.stem: file for file in results.glob("*.h5")}
    return [_entry(name, files.get(name), names.get(name, "")) for name in sorted({*names, *files})]


def _entry(name: str, file: Path | None, by: str) -> Entry:
    state = "being swept" if by else "finished" if file else "begun"
    if file is None:
        return Entry(name, 0, "", state, by, Outcome())
    size = file.lstat().st_size
    try:
        return Entry(name, size, "", state, by, believed(file))
    except StoreError as error:
        return Entry(name, size, str(error), state, by, Outcome())


@dataclass(frozen=True)
class GroupFile:
    """A file of runs, its bytes and their keys."""

    path: Path
    size: int
    keys: frozenset[str]


def group_files(results: Path) -> Iterator[GroupFile]:
    """Every file of runs that can be believed, of whatever data and code."""
    for path in sorted((results / "runs").glob("*/*/*.h5")):
        if path.parents[1].name == SET_ASIDE or path.name.startswith(VERDICT):
            continue
        with contextlib.suppress(ImplausibleError, OSError):
            content = read_regular(path)
            if path.name == f"{content_name(content)}.h5":
                points, origin = unpack_points(content)
                yield GroupFile(path, len(content), frozenset(key(point, origin) for point in points))


@dataclass(frozen=True)
class Unnamed:
    """Stored runs that no name refers to: how many, and the bytes of the files that hold no others."""

    runs: int
    size: int


def unnamed(results: Path, named: frozenset[str]) -> Unnamed:
    """Those whose keys are not among these."""
    runs = size = 0
    for file in group_files(results):
        runs += len(file.keys - named)
        size += file.size if named.isdisjoint(file.keys) else 0
    return Unnamed(runs, size)
