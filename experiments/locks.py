"""What only one process at a time may have: a name's results, and its own folder for unfinished files."""

import contextlib
import glob
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from experiments.files import GOES_ON, HOST, StoreError, explained, make_folder

STARTING = ".starting.lock"  # no name of a sweep begins with a dot
ENDINGS = ("lock", "holder", "live.json")
"""Of what lies there of a name, or of a shard of it."""
OLD = 7 * 86400.0  # seconds without a new file
PATIENCE = 60.0  # seconds; starting takes a few milliseconds of them


@contextlib.contextmanager
def exclusive(folder: Path, name: str, shard: str = "") -> Iterator[None]:
    """Hold the lock of `name` in `folder`, or of its shard "i/n"; the system releases it when this process
    dies.

    Raises:
        StoreError: another process, or another thread of this one, holds it.
    """
    make_folder(folder)
    # No name of a sweep has such a character.
    stem = f"{name}@{shard.replace('/', '-of-')}" if shard else name
    lock, holder = FileLock(folder / f"{stem}.lock", thread_local=False), folder / f"{stem}.holder"
    with explained("lock", folder / f"{stem}.lock"):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            what = f"shard {shard} of {name!r}" if shard else repr(name)
            raise StoreError(
                f"name: {what} is being worked on {_held_by(holder)}, expected one at a time; wait for "
                "it: what it finishes is shared, and need not be trained again."
            ) from None
        except NotImplementedError:
            raise _without_locks(folder) from None
    try:
        with explained("write", holder):
            now = datetime.now(UTC).isoformat(timespec="seconds")
            holder.write_text(json.dumps({"pid": os.getpid(), "host": HOST, "since": now}))
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _held_by(holder: Path) -> str:
    try:
        found = json.loads(holder.read_text())
        where = "" if found["host"] == HOST else f" on {found['host']}"
        return f"by process {found['pid']}{where} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "by another process"


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A new folder of this process under `parent`; those of processes that have died are removed.

    A process holds a lock in its folder as long as it lives. Folders are made, locked and removed under one
    more lock, so that none is taken for a dead one's between its making and its locking. Some shared file
    systems have locks that hold within one machine only: a folder that another one has made, which its name
    says, is removed when it is old, too.
    """
    make_folder(parent)
    with explained("make a folder in", parent), _starting(parent):
        _remove_dead(parent)
        own = Path(tempfile.mkdtemp(prefix=f"{HOST}@", dir=parent))
        lock = FileLock(own / "lock", thread_local=False)
        lock.acquire(blocking=False)
    try:
        yield own
    finally:
        _remove(own, lock)


@contextlib.contextmanager
def _starting(parent: Path) -> Iterator[None]:
    try:
        with FileLock(parent / STARTING, timeout=PATIENCE, thread_local=False):
            yield
    except Timeout:
        raise StoreError(
            f"results: another process holds {parent / STARTING} and does not go on; end it, then {GOES_ON}."
        ) from None
    except NotImplementedError:
        raise _without_locks(parent) from None


def _remove_dead(parent: Path) -> None:
    for folder in parent.iterdir():
        if folder.is_dir() and not folder.is_symlink() and _may_be_dead(folder):
            with contextlib.suppress(Timeout, OSError):
                lock = FileLock(folder / "lock")
                lock.acquire(blocking=False)
                _remove(folder, lock)


def _remove(folder: Path, lock: FileLock) -> None:
    """Remove a folder whose lock this process holds: NFS keeps a file that is open, under another name."""
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _may_be_dead(folder: Path) -> bool:
    """Whether a lock that is free says so."""
    if folder.name.rpartition("@")[0] == HOST:
        return True
    try:
        return time.time() - folder.stat().st_mtime > OLD
    except OSError:
        return False


def _without_locks(folder: Path) -> StoreError:
    return StoreError(
        f"results: the file system of {folder} has no locks, expected one that has; choose another --results."
    )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While no other process works in `folder`, and none begins to.

    Raises:
        StoreError: one does.
    """
    make_folder(folder)
    with explained("lock", folder), _starting(folder):
        _remove_dead(folder)
        for left in folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                here = left.name.rpartition("@")[0] == HOST
                dead = "" if here else f" (or remove {left}, where the process that has made it is dead)"
                raise StoreError(
                    f"results: another process works in {folder.parent}, expected none; wait for it{dead}, "
                    "then run the command again."
                )
        yield


def begun(folder: Path) -> dict[str, str]:
    """The names that were ever worked on in `folder`, and by whom they seem to be now: "" for nobody."""
    names: dict[str, str] = {}
    for lock in folder.glob("[!.]*.lock"):
        name, holder = lock.stem.partition("@")[0], lock.with_suffix(".holder")  # of it, or of a shard of it
        names[name] = names.get(name, "") or (_held_by(holder) if _is_held(holder) else "")
    return names


def forget(folder: Path, name: str) -> None:
    """Remove the locks of a name, on which nobody works, and what lies beside them. Raises StoreError."""
    with explained("remove the locks in", folder):
        for part, ending in itertools.product(("", "@*"), ENDINGS):
            for left in folder.glob(f"{glob.escape(name)}{part}.{ending}"):
                left.unlink(missing_ok=True)


def _is_held(holder: Path) -> bool:
    """So far as is known: whether a process of another machine lives is not."""
    try:
        found = json.loads(holder.read_text())
        return bool(found["host"] != HOST or psutil.pid_exists(int(found["pid"])))
    except (OSError, ValueError, KeyError, TypeError):
        return False
