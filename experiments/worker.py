"""What a process of the pool runs: groups, one after another, as long as its parent lives. NumPy alone."""

import functools
import io
import os
import threading
import traceback
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass, fields
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from experiments.group import Group, Trained, run_group
from experiments.training import Examples


@dataclass(frozen=True)
class Failure:
    """A group that was not trained: for want of memory, or by a mistake of the code, with its traceback."""

    memory: bool
    traceback: str


def share(examples: Examples, folder: Path) -> None:
    """Lay the examples where processes map them into their memory, which is the same for all. Raises OSError."""
    for name, array in vars(examples).items():
        content = io.BytesIO()
        np.save(content, array)
        (folder / f"{name}.npy").write_bytes(content.getbuffer())


def _shared(folder: Path) -> Examples:
    return Examples(
        **{
            field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False)
            for field in fields(Examples)
        }
    )


def work(connection: Connection, folder: Path, counters: MutableSequence[int]) -> None:
    """Train each group that comes, with its number, and send what came of it.

    Args:
        folder: where the examples were shared.
        counters: shared; of group i, 2i holds the run-steps done and 2i + 1 the diverged runs.
    """
    threading.Thread(target=_die_with_parent, daemon=True).start()
    examples = functools.cache(lambda: _shared(folder))
    while True:
        try:
            number, group = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(number, group, examples, counters))


def _die_with_parent() -> None:
    """At once, whatever is under way: a parent that was killed cannot say so."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _outcome(
    number: int, group: Group, examples: Callable[[], Examples], counters: MutableSequence[int]
) -> Trained | Failure:
    def count(steps: int, diverged: int) -> None:
        counters[2 * number] += steps
        counters[2 * number + 1] += diverged

    try:
        return run_group(group, examples(), count)
    except Exception as error:
        return Failure(isinstance(error, MemoryError), traceback.format_exc())
