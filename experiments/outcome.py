"""What became of the runs under a name, without reading more of its file than that."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from experiments.files import StoreError
from experiments.whole import opened


@dataclass(frozen=True)
class Outcome:
    """The keys of a name's runs, how many of these diverged and stalled, which depths they have, and the
    attributes of the file."""

    keys: frozenset[str] = frozenset()
    diverged: int = 0
    stalled: int = 0
    depths: tuple[int, ...] = ()
    about: dict[str, str] = field(default_factory=dict)


def believed(file: Path) -> Outcome:
    """Of the runs in this file. StoreError where there is none, or one that cannot be believed."""
    with opened(file) as content, h5py.File(content, "r") as runs:
        return Outcome(
            frozenset(runs["key"].asstr()[:].tolist()),
            int((runs["diverged_at"][:] >= 0).sum()),
            int((runs["stalled_at"][:] >= 0).sum()),
            tuple(np.unique(runs["depth"][:]).tolist()),
            {name: str(value) for name, value in runs.attrs.items()},
        )


def outcome(file: Path) -> Outcome:
    """The same; of no runs where there is no such file, or one that cannot be believed."""
    try:
        return believed(file)
    except StoreError:
        return Outcome()


def in_words(file: Path, before: Outcome, after: Outcome) -> Iterator[str]:
    """Whose functions trained, what is in the file, and what was in it and is no more."""
    if "functions" in after.about:
        yield f"yours    {after.about['functions']}: {after.about['functions_written']}"
    stalled = f", {after.stalled} stalled" if after.stalled else ""
    yield f"results  {file}: {_runs(after)}, {after.diverged} diverged{stalled}"
    if gone := len(before.keys - after.keys):
        yield (
            f"{file} held {_runs(before)}, of which {gone} are no longer in it; what is stored of them stays "
            f"in {file.parent / 'runs'}"
        )


def _runs(of: Outcome) -> str:
    return f"{len(of.keys)} run{'' if len(of.keys) == 1 else 's'}"
