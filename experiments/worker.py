"""What a process of the pool runs: groups, one after another, as long as its parent lives. NumPy alone."""

import errno
import functools
import io
import os
import threading
import traceback
from collections.abc import Callable, MutableSequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from experiments.group import Group, Trained, run_group
from experiments.training import Examples


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a group, and when it began and ended (UTC, ISO 8601)."""

    number: int
    trained: Trained
    times: tuple[str, str]


@dataclass(frozen=True)
class Failure:
    """A group that was not trained: for want of memory, or because the system refuses something, or by a
    mistake of the code.

    Attributes:
        refused: by the system: what, in its words; "" if it did not.
    """

    number: int
    memory: bool
    refused: str
    traceback: str


def result(number: int, group: Group, examples: Examples, count: Callable[[int, int], None]) -> Result:
    """Train one group; `count` is told as `run_group` does."""
    began = _now()
    trained = run_group(group, examples, count)
    return Result(number, trained, (began, _now()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def share(examples: Examples, folder: Path) -> None:
    """Lay the examples where processes map them into their memory, once for all. Raises OSError."""
    for name, array in vars(examples).items():
        content = io.BytesIO()
        np.save(content, array)
        (folder / f"{name}.npy").write_bytes(content.getbuffer())


def _shared(folder: Path) -> Examples:
    return Examples(**{f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(Examples)})


def work(connection: Connection, folder: Path, counters: MutableSequence[int]) -> None:
    """Train each group that comes, with its number, and send its Result or Failure.

    Args:
        folder: where the examples are shared.
        counters: shared; of group i, 2i holds the run-steps done and 2i + 1 the diverged runs.
    """
    threading.Thread(target=_die_with_parent, daemon=True).start()
    examples = functools.cache(functools.partial(_shared, folder))
    with suppress(EOFError, OSError):  # the parent wants no more, or is no more
        while True:
            number, group = connection.recv()
            connection.send(_outcome(number, group, examples, functools.partial(_count, counters, number)))


def _outcome(
    number: int, group: Group, examples: Callable[[], Examples], count: Callable[[int, int], None]
) -> Result | Failure:
    try:
        return result(number, group, examples(), count)
    except Exception as error:
        memory = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
        refused = str(error) if isinstance(error, OSError) else ""
        return Failure(number, memory, refused, traceback.format_exc())


def _count(counters: MutableSequence[int], number: int, steps: int, diverged: int) -> None:
    counters[2 * number] += steps
    counters[2 * number + 1] += diverged


def _die_with_parent() -> None:
    """At once, whatever is under way: a parent that was killed cannot say so."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
