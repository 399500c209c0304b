"""Names and the runs behind them, removed: never a run that another name refers to."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.answers.inventory import Entry, GroupFile, entries, group_files
from experiments.files import StoreError, explained
from experiments.locks import alone, forget
from experiments.outcome import believed
from experiments.store import VERDICT, WORK


@dataclass(frozen=True)
class Removal:
    """What is to be removed.

    Attributes:
        names: those asked for.
        unnamed: whether runs go that no name refers to, whoever has trained them.
        files: of the names.
        groups, verdicts: files of runs, and of verdicts on architectures of which no run is left.
        runs: how many the files of runs hold.
        stay: runs of these names that stay: other names refer to them, or to others in the same file.
        begun: other names that have runs and no file yet, of which runs may be removed.
        size: bytes of all these files.
    """

    names: tuple[str, ...]
    unnamed: bool
    files: tuple[Path, ...]
    groups: tuple[Path, ...]
    verdicts: tuple[Path, ...]
    runs: int
    stay: int
    begun: tuple[str, ...]
    size: int


def planned(results: Path, names: Sequence[str], *, unnamed: bool = False) -> Removal:
    """What there is to remove.

    Args:
        names: whose files go, and the runs that no other name refers to.
        unnamed: whether all other runs go too that no name refers to.

    Raises:
        StoreError: there is no such name; or a file is damaged, so that it is not known to which runs it
            refers.
    """
    found = {entry.name: entry for entry in entries(results)}
    asked = tuple(dict.fromkeys(names))
    for name in asked:
        if name not in found or found[name].problem:
            believed(results / f"{name}.h5")  # says why not
    others = [entry for name, entry in found.items() if name not in asked]
    _check_known(others)
    wanted = frozenset[str]().union(*(found[name].outcome.keys for name in asked))
    kept = frozenset[str]().union(*(entry.outcome.keys for entry in others))
    groups, stay = [], 0
    for file in group_files(results):
        if not kept.isdisjoint(file.keys):
            stay += len(wanted & file.keys)
        elif unnamed or not wanted.isdisjoint(file.keys):
            groups.append(file)
    verdicts = _verdicts(groups)
    files = tuple(results / f"{name}.h5" for name in asked if found[name].size)
    return Removal(
        asked, unnamed, files, tuple(file.path for file in groups), verdicts,
        sum(len(file.keys) for file in groups), stay,
        tuple(entry.name for entry in others if not entry.size) if groups else (),
        sum(file.size for file in groups) + sum(path.stat().st_size for path in (*files, *verdicts)),
    )  # fmt: skip


def remove(results: Path, removal: Removal) -> None:
    """Remove it, so that what is stopped in between can be done again: verdicts first, which are found by the
    runs they are on, then runs, which are found by the names, and these last.

    Raises:
        StoreError: another process works in the folder; or what there is to remove is no longer the same; or
            the system refuses.
    """
    with alone(results / WORK):
        now = planned(results, removal.names, unnamed=removal.unnamed)
        if now != removal:
            raise StoreError(
                f"results: what is in {results} has changed meanwhile, expected what was shown; run the "
                "command again."
            )
        for path in (*removal.verdicts, *removal.groups, *removal.files):
            with explained("remove", path):
                path.unlink(missing_ok=True)
        _remove_empty({path.parent for path in removal.groups})
        for name in removal.names:
            forget(results / WORK, name)


def _check_known(others: Sequence[Entry]) -> None:
    for entry in others:
        if entry.problem:
            raise StoreError(
                f"{entry.problem.removesuffix('.')}. Until then it is not known which runs it refers to, and "
                "nothing is removed; or move that file away, if it is not of a sweep."
            )


def _verdicts(groups: Sequence[GroupFile]) -> tuple[Path, ...]:
    """Of the folders of which no file of runs stays."""
    gone: defaultdict[Path, set[Path]] = defaultdict(set)
    for file in groups:
        gone[file.path.parent].add(file.path)
    return tuple(
        path
        for folder, files in gone.items()
        if (there := set(folder.glob("*.h5"))) and not _runs_of(there) - files
        for path in sorted(there - files)
    )


def _runs_of(files: set[Path]) -> set[Path]:
    return {path for path in files if not path.name.startswith(VERDICT)}


def _remove_empty(folders: set[Path]) -> None:
    for folder in folders:
        for empty in (folder, folder.parent):
            with contextlib.suppress(OSError):
                empty.rmdir()
