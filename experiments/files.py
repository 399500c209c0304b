"""Files that are whole or absent: written beside their place, flushed to the disk and renamed into it.

Whatever the system refuses becomes one sentence with the path and what to do.
"""

import contextlib
import errno
import glob
import hashlib
import os
import platform
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

HOST = re.sub("[^A-Za-z0-9-]", "_", platform.node())[:60] or "unknown"
"""This machine, in names of files: where several share a file system a process's number is one of its own."""
GOES_ON = "the same command goes on where it stopped"
_PERMISSION = "mind the permissions or choose another --{argument}; then {goes_on}"
_SPACE = "make space or choose another --{argument}; then {goes_on}"
_DISK = "mind the disk or choose another --{argument}; then {goes_on}"
_IN_THE_WAY = "move away the file that stands where a folder should be; then {goes_on}"
ADVICE = {
    errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EFBIG: _SPACE, errno.EROFS: _PERMISSION,
    errno.EACCES: _PERMISSION, errno.EPERM: _PERMISSION, errno.EIO: _DISK, errno.ESTALE: _DISK,
    errno.ENAMETOOLONG: "choose a shorter one", errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "move away the folder that stands where a file should be; then {goes_on}",
    errno.EMFILE: "close files or raise `ulimit -n`; then {goes_on}",
}  # fmt: skip
_OTHER = "mind the path or choose another --{argument}; then {goes_on}"
_MEMORY = "not enough memory); close other programs or give fewer --jobs; then {goes_on}"


class StoreError(ValueError):
    """Results that cannot be read or written; the message says which file, why and what to do."""


@contextlib.contextmanager
def explained(
    what: str, path: Path, argument: str = "results", *, goes_on: bool | None = None
) -> Iterator[None]:
    """What the system refuses becomes a StoreError: "`argument`: cannot `what` `path` (why); what to do".

    Args:
        goes_on: whether the same command then goes on where it stopped; by default that of a sweep's results.
    """
    try:
        yield
    except MemoryError:
        why_and_advice = _MEMORY
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, _OTHER)
        why_and_advice = f"{error.strerror or error}); {advice}"
    else:
        return
    if not (argument == "results" if goes_on is None else goes_on):
        why_and_advice = why_and_advice.removesuffix("; then {goes_on}")
    then = why_and_advice.format(argument=argument, goes_on=GOES_ON)
    raise StoreError(f"{argument}: cannot {what} {path} ({then}.")


@contextlib.contextmanager
def built_in_memory(path: Path) -> Iterator[None]:
    """Where HDF5 builds the file in memory, it says OSError or RuntimeError for memory that it cannot get."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError):
        with explained("write", path):
            raise MemoryError from None


@contextlib.contextmanager
def replaced(path: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """A new file that is in the place of `path`, whole, when the block ends; none when it fails.

    What is no regular file (a terminal, a pipe) is written to as it is. Raises OSError.

    Args:
        folder: where the file lies until then, on the file system of `path`; beside it by default.
    """
    path = path if folder else Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    own = f"{HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    unfinished = (folder or path.parent) / f".{path.name[:100]}.{own}.tmp"
    if folder is None:
        _remove_unfinished(path)
    try:
        with unfinished.open("xb") as file:
            if path.exists():
                shutil.copymode(path, unfinished)
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _remove_unfinished(path: Path) -> None:
    """What processes of this machine that were killed have left of this file."""
    for left in path.parent.glob(f".{glob.escape(path.name[:100])}.{HOST}.*.tmp"):
        pid = left.name.split(".")[-3]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Flush the folder's list of names: the rename itself."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make the folder and those above it; StoreError when that cannot be."""
    with explained("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)


def content_name(content: bytes | memoryview) -> str:
    """The name of a file with this content: a hash of its bytes."""
    return hashlib.sha256(content).hexdigest()[:32]


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file; OSError also of a pipe or a device, which might never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return file.read()


def move_aside(path: Path, aside: Path) -> Path:
    """Move a file or folder into a new folder under `aside`, where it replaces nothing. Raises OSError."""
    aside.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in aside.iterdir()) + 1
    while True:
        try:
            (place := aside / str(number)).mkdir()
        except FileExistsError:
            number += 1
            continue
        try:
            return path.rename(place / path.name)
        except OSError:
            place.rmdir()
            raise
