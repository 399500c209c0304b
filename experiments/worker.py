"""What a process of the pool runs: groups, one after another, as long as its parent lives. NumPy alone."""

import errno
import functools
import io
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Mapping, MutableSequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from experiments.group import Common, Group, Trained, run_group
from experiments.own import OwnError
from experiments.training import Examples

COMMON = "common.pickle"


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a group, and when it began and ended (UTC, ISO 8601).

    Attributes:
        made_by: the software and the machine that trained it, where these are not the sweep's own.
    """

    number: int
    trained: Trained
    times: tuple[str, str]
    made_by: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Failure:
    """A group that was not trained: for want of memory, or because the system refuses something, or by a
    mistake of the code.

    Attributes:
        refused: by the system: what, in its words; "" if it did not.
        own: what the user's functions did, if it is they that failed.
    """

    number: int
    memory: bool
    refused: str
    traceback: str
    own: str = ""


def result(
    number: int, group: Group, common: Common, count: Callable[[int, int], None],
    made_by: Mapping[str, str] | None = None,
) -> Result:  # fmt: skip
    """Train one group; `count` is told as `run_group` does."""
    began = _now()
    trained = run_group(group, common, count)
    return Result(number, trained, (began, _now()), made_by)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def share(common: Common, folder: Path) -> None:
    """Lay what is common where processes find it, the examples to be mapped into their memory, once for all.
    Raises OSError."""
    for dtype, examples in common.examples.items():
        for name, array in vars(examples).items():
            content = io.BytesIO()
            np.save(content, array)
            (folder / f"{name}-{dtype}.npy").write_bytes(content.getbuffer())
    (folder / COMMON).write_bytes(pickle.dumps((list(common.examples), common.own)))


def shared(folder: Path) -> Common:
    """What is laid there."""
    dtypes, own = pickle.loads((folder / COMMON).read_bytes())
    return Common({dtype: _mapped(folder, dtype) for dtype in dtypes}, own)


def _mapped(folder: Path, dtype: str) -> Examples:
    return Examples(
        **{f.name: np.load(folder / f"{f.name}-{dtype}.npy", mmap_mode="r") for f in fields(Examples)}
    )


def work(connection: Connection, folder: Path, counters: MutableSequence[int]) -> None:
    """Train each group that comes, with its number, and send its Result or Failure.

    Args:
        folder: where what is common is shared.
        counters: shared; of group i, 2i holds the run-steps done and 2i + 1 the diverged runs.
    """
    threading.Thread(target=_die_with_parent, daemon=True).start()
    common = functools.cache(functools.partial(shared, folder))
    with suppress(EOFError, OSError):  # the parent wants no more, or is no more
        while True:
            number, group = connection.recv()
            connection.send(outcome(number, group, common, functools.partial(_count, counters, number)))


def outcome(
    number: int, group: Group, common: Callable[[], Common], count: Callable[[int, int], None],
    made_by: Mapping[str, str] | None = None,
) -> Result | Failure:  # fmt: skip
    """Train one group, whatever comes of it."""
    try:
        return result(number, group, common(), count, made_by)
    except OwnError as error:
        return Failure(number, False, "", "", str(error))
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
