"""Functions of the user's that train in place of the sandbox's: as they were read when the sweep began, so
that what is checked is what trains, in whatever process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Own:
    """The sources of a user's functions.

    Attributes:
        path: as it was given.
        sources: every file that takes part, by its path relative to a common folder; the first is the one
            with the functions.
    """

    path: str
    sources: tuple[tuple[str, bytes], ...]

    @property
    def revision(self) -> str:
        """A hash of the sources."""
        digest = hashlib.sha256()
        for name, content in self.sources:
            digest.update(f"{name} {len(content)} ".encode() + content)
        return digest.hexdigest()


def read_own(path: Path) -> Own:
    raise NotImplementedError
