"""What became of the runs under a name, in a line or two."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from experiments.files import StoreError
from experiments.whole import opened


@dataclass(frozen=True)
class Outcome:
    """The keys of a name's runs, and how many of these diverged and stalled."""

    keys: frozenset[str]
    diverged: int
    stalled: int


def outcome(file: Path) -> Outcome:
    """Of the runs in this file; of none where there is no such file, or one that cannot be believed."""
    try:
        with opened(file) as content, h5py.File(content, "r") as runs:
            return Outcome(
                frozenset(runs["key"].asstr()[:].tolist()),
                int((runs["diverged_at"][:] >= 0).sum()),
                int((runs["stalled_at"][:] >= 0).sum()),
            )
    except StoreError:
        return Outcome(frozenset(), 0, 0)


def in_words(file: Path, before: Outcome, after: Outcome) -> Iterator[str]:
    """What is in the file, and what was in it and is no more."""
    stalled = f", {after.stalled} stalled" if after.stalled else ""
    yield f"results  {file}: {_runs(after)}, {after.diverged} diverged{stalled}"
    if gone := len(before.keys - after.keys):
        yield (
            f"{file} held {_runs(before)}, of which {gone} are no longer in it; what is stored of them stays "
            f"in {file.parent / 'runs'}"
        )


def _runs(of: Outcome) -> str:
    return f"{len(of.keys)} run{'' if len(of.keys) == 1 else 's'}"
