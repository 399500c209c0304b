"""A combined file ends with a hash of its bytes, after its HDF5, where readers of HDF5 do not look: it is
believed only if whole, which is known before HDF5 sees a byte of it."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from experiments.files import StoreError, explained

SCHEMA = 2
_MARK = b"\nautodiff-sandbox dataset, schema version %d, sha256 "
_SEAL = len(_MARK % SCHEMA) + 64 + 1
_PIECE = 2**20
OLD = "gradients_verified"
"""A dataset of the combined files of the version before."""


def seal(content: bytes | memoryview) -> bytes:
    """What the file ends with after this content."""
    return _MARK % SCHEMA + hashlib.sha256(content).hexdigest().encode() + b"\n"


def is_sealed(path: Path) -> bool:
    """Whether the file ends as those that are written here do, whatever its bytes are otherwise."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _seal_of(file)[1].startswith(_MARK % SCHEMA)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file, found whole.

    Raises:
        StoreError: there is none, or it is damaged, of an earlier version, or another program's.
    """
    if not os.path.lexists(path):
        raise StoreError(_missing(path))
    with explained("read", path, goes_on=False):
        if not path.is_file():
            raise StoreError(_foreign(path))
        file = path.open("rb")
    with file:
        with explained("read", path, goes_on=False):
            end, found = _seal_of(file)
            if not found.startswith(_MARK % SCHEMA):
                raise StoreError(_old(path) if _mentions(file, OLD.encode()) else _foreign(path))
            if found != _MARK % SCHEMA + _hash(file, end).encode() + b"\n":
                raise StoreError(_damaged(path))
            file.seek(0)
        yield file


def _seal_of(file: BinaryIO) -> tuple[int, bytes]:
    """Where the content ends, and what comes after it."""
    end = max(os.fstat(file.fileno()).st_size - _SEAL, 0)
    file.seek(end)
    return end, file.read(_SEAL)


def _hash(file: BinaryIO, end: int) -> str:
    digest, left = hashlib.sha256(), end
    file.seek(0)
    while left and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


def _mentions(file: BinaryIO, word: bytes) -> bool:
    file.seek(0)
    before = b""
    while piece := file.read(_PIECE):
        if word in before + piece:
            return True
        before = piece[-len(word) :]
    return False


def _missing(path: Path) -> str:
    names = sorted(file.stem for file in path.parent.glob("*.h5"))
    return (
        f"results: there is no {path}, expected the results of a finished sweep; "
        + (f"give one of the names {', '.join(names[:8])}" if names else "run the sweep, or give --results")
        + "."
    )


def _old(path: Path) -> str:
    return (
        f"results: {path} is of an earlier version and cannot be read by this one; run its sweep again, "
        "which moves it to runs/set-aside."
    )


def _foreign(path: Path) -> str:
    return (
        f"results: {path} is damaged or was not written by a sweep of this version; run its sweep again, "
        "which moves it to runs/set-aside and takes finished runs as they are."
    )


def _damaged(path: Path) -> str:
    return (
        f"results: {path} is damaged: its bytes are not those that were written; run its sweep again, which "
        "takes finished runs as they are."
    )
