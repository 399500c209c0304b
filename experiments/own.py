"""Functions of the user's that train in place of the sandbox's: as they were read when the sweep began, so
that what is checked is what trains, in whatever process."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.reading.snapshot import Snapshot


class OwnError(RuntimeError):
    """The user's functions failed while they trained; the message says which, where, and in which run."""


@dataclass(frozen=True)
class Own:
    """A user's functions.

    Attributes:
        path: of their file, as it was given.
        snapshot: what was read of it, and of the modules beside it that it imports.
        names: those of the exercise's that are the user's, and written; the others are the sandbox's.
    """

    path: str
    snapshot: "Snapshot"
    names: tuple[str, ...]

    @property
    def revision(self) -> str:
        """A hash of their source, the same wherever the file lies."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def source(self) -> str:
        """JSON, the text of each file that takes part by its name."""
        return json.dumps(self.snapshot.texts)
