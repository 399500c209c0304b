"""Runs on disk, found by key: a file for each finished group, shared by all names.

```
results/NAME.h5                                   the combined file of a name: see `experiments.dataset`
results/runs/<data>-<code>/<architecture>/<hash of its bytes>.h5            a finished group
results/runs/<data>-<code>/<architecture>/verified-<hash of its bytes>.h5   a verdict on gradients
results/runs/set-aside/                           what was damaged or foreign: moved, never deleted
results/.work/                                    locks, unfinished files; see `experiments.live`, too
```
A file is believed only if its name is the hash of its bytes, its content is plausible, and data, code,
architecture and points, which are what a key hashes, are those that are asked for.
"""

import contextlib
import errno
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from experiments.files import (
    StoreError,
    built_in_memory,
    content_name,
    explained,
    make_folder,
    move_aside,
    read_regular,
    replaced,
)
from experiments.group import Trained
from experiments.group_file import (
    ImplausibleError,
    Stored,
    joined,
    pack_group,
    pack_verification,
    taken,
    unpack_group,
    unpack_verification,
)
from experiments.locks import exclusive, working_folder
from experiments.points import Architecture, Origin, Point
from experiments.verification import Verification

__all__ = ["Found", "Run", "Store", "StoreError"]

VERDICT = "verified-"
SET_ASIDE = "set-aside"
WORK = ".work"
NOT_THE_FILES_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
"""The process has too little, or a server of files does not answer."""


@dataclass(frozen=True)
class Run:
    """Where a run lies: `row` of the group in `file`. `kept`: with its final parameters."""

    point: Point
    file: Path
    row: int
    kept: bool
    diverged: bool
    stalled: bool

    @property
    def goes_on(self) -> bool:
        """Whether a longer run can go on from it."""
        return self.kept or self.diverged or self.stalled


@dataclass(frozen=True)
class Found:
    """What is stored of the points asked for.

    Attributes:
        runs: the finished ones.
        shorter: of the others, the longest run of the same content with fewer steps that can be gone on
            from: with final parameters, or diverged or stalled, which needs none.
        outdated: how many of the others another revision of the code has trained.
    """

    runs: dict[Point, Run]
    shorter: dict[Point, Run]
    outdated: int


def _warn(sentence: str) -> None:
    warnings.warn(sentence, RuntimeWarning, stacklevel=2)


class Store:
    """The results in one folder. Nothing is made before something is written.

    Args:
        results: the folder.
        tell: called with a sentence about each file that is set aside or ignored.
    """

    def __init__(self, results: Path, tell: Callable[[str], None] = _warn) -> None:
        self.results = results
        self.runs = results / "runs"
        self._work = results / WORK
        self._own: Path | None = None
        self.tell = tell

    # --- processes ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def working(self) -> Iterator[Path]:
        """This process's folder for unfinished files, gone at the end; those of dead processes go now.

        Raises:
            StoreError: it cannot be made.
        """
        if self._own is not None:
            yield self._own
            return
        with working_folder(self._work) as own:
            self._own = own
            try:
                yield own
            finally:
                self._own = None

    @contextlib.contextmanager
    def exclusive(self, name: str, shard: str = "") -> Iterator[None]:
        """Hold the name's results, or those of its shard "i/n".

        Raises:
            StoreError: another process is at them.
        """
        with exclusive(self._work, name, shard):
            yield

    # --- groups ---------------------------------------------------------------------------------------

    def read(self, points: Iterable[Point], origin: Origin) -> Found:
        """Which of these points are finished, and where they lie.

        Raises:
            StoreError: a folder cannot be read. A file that cannot be believed is set aside and told.
        """
        wanted = dict.fromkeys(points)
        architectures = dict.fromkeys(point.architecture for point in wanted)
        runs: dict[Point, Run] = {}
        usable: dict[Point, Run] = {}
        for architecture in architectures:
            for run in self._runs(origin, architecture):
                if run.point in wanted:
                    _put(runs, run)
                if run.goes_on:
                    _put(usable, run)
        missing = [point for point in wanted if point not in runs]
        return Found(
            {point: runs[point] for point in wanted if point in runs},
            _longest_shorter(missing, usable),
            self._outdated(missing, origin),
        )

    def write(
        self, points: Sequence[Point], trained: Trained, origin: Origin,
        environment: Mapping[str, str], times: tuple[str, str],
    ) -> Path:  # fmt: skip
        """Store a finished group; return its file.

        Args:
            points: of one architecture and one number of steps.
            environment: the software and the machine that trained them.
            times: when that started and ended, UTC, ISO 8601.

        Raises:
            StoreError: it cannot be written, and nothing of it is left; or it is no such group.
        """
        about = {**environment, "started": times[0], "ended": times[1]}
        folder = self._folder(origin, points[0].architecture)
        with _packing(folder):
            content = pack_group(Stored(tuple(points), origin, trained, about))
        return self._write(folder, "", content)

    def rows(self, runs: Sequence[Run]) -> Iterator[tuple[list[int], list[int], Stored]]:
        """File by file: which of `runs` it holds, in which rows, and the whole group.

        Raises:
            StoreError: one of the files has gone or was changed since it was found.
        """
        files: defaultdict[Path, list[int]] = defaultdict(list)
        for i, run in enumerate(runs):
            files[run.file].append(i)
        for file, positions in files.items():
            stored = _stored(file)
            yield positions, [runs[i].row for i in positions], stored

    def trained(self, runs: Sequence[Run]) -> Trained:
        """These runs, of one architecture and one number of steps, in this order. Raises as `rows`."""
        parts, order = [], []
        for positions, rows, stored in self.rows(runs):
            parts.append(taken(stored.trained, rows))
            order.extend(positions)
        return taken(joined(parts), np.argsort(order).tolist())

    def files(self, origin: Origin, architecture: Architecture) -> list[Path]:
        """The files of an architecture's finished groups, by their names alone; none where that cannot be
        read."""
        with contextlib.suppress(OSError):
            found = self._folder(origin, architecture).glob("*.h5")
            return [file for file in found if not file.name.startswith(VERDICT)]
        return []

    def _runs(self, origin: Origin, architecture: Architecture) -> Iterator[Run]:
        """The finished runs."""
        folder = self._folder(origin, architecture)
        for file, content in self._believed(folder):
            try:
                stored = unpack_group(content)
                _check_place(folder, stored.origin, stored.points[0].architecture, origin, architecture)
            except ImplausibleError as error:
                self.set_aside(file, str(error))
                continue
            kept = set(stored.trained.kept.tolist())
            ended = stored.trained.diverged_at >= 0, stored.trained.stalled_at >= 0
            for row, (point, *has) in enumerate(zip(stored.points, *ended, strict=True)):
                yield Run(point, file, row, row in kept, *map(bool, has))

    def _outdated(self, points: Sequence[Point], origin: Origin) -> int:
        """How many of these points have been trained by other code on the same data."""
        if not points or not self.runs.is_dir():
            return 0
        own = self._folder(origin, points[0].architecture).parent
        found: set[Point] = set()
        for folder in self.runs.glob(f"{origin.data[:8]}-*"):
            for architecture in {point.architecture for point in points} if folder != own else ():
                for file in (folder / label(architecture)).glob("*.h5"):
                    with contextlib.suppress(ImplausibleError, OSError):
                        found.update(unpack_group(read_regular(file)).points)
        return len(found.intersection(points))

    # --- verdicts -------------------------------------------------------------------------------------

    def verifications(self, origin: Origin, architecture: Architecture) -> list[Verification]:
        """The verdicts on this architecture's gradients, on this data and code. Raises as `read`."""
        folder, verdicts = self._folder(origin, architecture), []
        for file, content in self._believed(folder, VERDICT):
            try:
                verdict, of = unpack_verification(content)
                _check_place(folder, of, verdict.architecture, origin, architecture)
            except ImplausibleError as error:
                self.set_aside(file, str(error))
            else:
                verdicts.append(verdict)
        return verdicts

    def write_verification(self, verdict: Verification, origin: Origin) -> Path:
        """Store a verdict; return its file. Raises as `write`."""
        folder = self._folder(origin, verdict.architecture)
        with _packing(folder):
            content = pack_verification(verdict, origin)
        return self._write(folder, VERDICT, content)

    # --- files ----------------------------------------------------------------------------------------

    def _folder(self, origin: Origin, architecture: Architecture) -> Path:
        return folder_of(self.runs, origin, architecture)

    def _write(self, folder: Path, prefix: str, content: bytes) -> Path:
        file = folder / f"{prefix}{content_name(content)}.h5"
        self.replace(file, content)
        return file

    def replace(self, file: Path, *content: bytes | memoryview) -> None:
        """Put a file of this content in place, whole, or leave what is there. Raises StoreError."""
        make_folder(file.parent)
        with self.working() as own, explained("write", file), replaced(file, own) as unfinished:
            for part in content:
                unfinished.write(part)

    def _believed(self, folder: Path, prefix: str = "") -> Iterator[tuple[Path, bytes]]:
        """The files of this kind whose name is the hash of their bytes, and these; others are set aside."""
        with explained("read", folder):
            try:
                files = sorted(file for file in folder.iterdir() if file.suffix == ".h5")
            except FileNotFoundError:
                return
        for file in files:
            if file.name.startswith(VERDICT) != bool(prefix):
                continue
            content = self._content(file)
            if content is None:
                continue
            if file.name == f"{prefix}{content_name(content)}.h5":
                yield file, content
            else:
                self.set_aside(file, "its bytes are not those that were written under this name")

    def _content(self, file: Path) -> bytes | None:
        """The file's bytes; None when it has gone, or cannot be read and is set aside."""
        try:
            return read_regular(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in NOT_THE_FILES_FAULT:
                with explained("read", file):
                    raise
            self.set_aside(file, f"it cannot be read ({error.strerror})")
        except MemoryError:
            with explained("read", file):
                raise
        return None

    def set_aside(self, path: Path, why: str) -> None:
        """Move away what cannot be used, and tell; where that is not permitted it is ignored."""
        try:
            place = move_aside(path, self.runs / SET_ASIDE)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            self.tell(f"results: {path} is ignored: {why}; it cannot be moved away ({error.strerror}).")
        else:
            self.tell(f"results: {path} is not used: {why}; it lies in {place.parent} now.")


def folder_of(runs: Path, origin: Origin, architecture: Architecture) -> Path:
    """Where the files of an architecture's runs lie."""
    return runs / f"{origin.data[:8]}-{origin.code[:8]}" / label(architecture)


def label(architecture: Architecture) -> str:
    """The name of an architecture's folder."""
    a = architecture
    return f"depth{a.depth}-width{a.width}-{a.activation}-{a.cost}-{a.dtype}"


def _put(runs: dict[Point, Run], run: Run) -> None:
    """Of two files with one run either is right; final parameters are worth more than none."""
    if run.kept or run.point not in runs:
        runs[run.point] = run


def _longest_shorter(missing: Sequence[Point], runs: Mapping[Point, Run]) -> dict[Point, Run]:
    """For each missing point the run of the same content that has the most steps below its own."""
    lengths: defaultdict[Point, list[Point]] = defaultdict(list)
    for point in runs:
        lengths[replace(point, steps=0)].append(point)
    found = {}
    for point in missing if lengths else ():
        fewer = [run for run in lengths.get(replace(point, steps=0), ()) if run.steps < point.steps]
        if fewer:
            found[point] = runs[max(fewer, key=lambda run: run.steps)]
    return found


def _check_place(
    folder: Path, origin: Origin, architecture: Architecture, expected: Origin, asked: Architecture
) -> None:
    if (origin, architecture) != (expected, asked):
        raise ImplausibleError(f"it is of other data, code or architecture than {folder.name} is for")


def _stored(file: Path) -> Stored:
    try:
        with explained("read", file):
            content = read_regular(file)
        if file.name == f"{content_name(content)}.h5":
            return unpack_group(content)
    except (StoreError, ImplausibleError):
        pass
    raise StoreError(
        f"results: {file} has gone or was changed meanwhile, expected every group to stay; run the same "
        "command again."
    )


def believed(file: Path) -> Stored | None:
    """The group in this file; None where it cannot be believed, and nothing is set aside."""
    with contextlib.suppress(StoreError):
        return _stored(file)
    return None


@contextlib.contextmanager
def _packing(folder: Path) -> Iterator[None]:
    with built_in_memory(folder):
        try:
            yield
        except ImplausibleError as error:
            raise StoreError(f"results: a file for {folder} is not stored: {error}.") from None
