"""What a worker of a Dask cluster runs: one group, after it has said which versions it has."""

import functools
import pickle
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.group import Common
from experiments.provenance import environment, package_revision
from experiments.worker import Failure, Result, outcome

if TYPE_CHECKING:
    from distributed import Worker

Versions: TypeAlias = dict[str, str]
"""What must be the same everywhere, by its name."""

TOPIC = "autodiff-sandbox"
"""Of the events by which a worker tells how far its group is: (sweep, group, worker, run-steps done, runs
diverged)."""

TELL_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Refusal:
    """A group that was not trained, since this worker is another than expected: it has these versions."""

    worker: str
    versions: Versions


def versions() -> Versions:
    """Of what computes here."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "NumPy": np.__version__,
        "distributed": version("distributed"),
        "revision of the code": package_revision()[:12],
    }


def versions_of(dask_worker: "Worker") -> Versions:
    """Also in how many threads the worker trains, of which each would want the interpreter for itself."""
    return {**versions(), "threads": str(dask_worker.state.nthreads)}


def train(
    number: int, group: bytes, common: bytes, expected: Versions, sweep: str
) -> Result | Failure | Refusal:
    """Train a group, unless this worker has other versions than expected.

    Args:
        group, common: pickled, as they cannot be read by another revision.
        sweep: its name in what is told.
    """
    from distributed import get_worker

    worker = get_worker()
    if (found := versions_of(worker)) != expected:
        return Refusal(worker.address, found)

    def tell(steps: int, diverged: int) -> None:
        worker.log_event(TOPIC, (sweep, number, worker.address, steps, diverged))

    with threadpool_limits(1, user_api="blas"):
        return outcome(
            number, pickle.loads(group), functools.partial(_common, common), _Count(tell), _environment()
        )


@functools.lru_cache(maxsize=1)
def _common(content: bytes) -> Common:
    """The same for all groups of a sweep."""
    common: Common = pickle.loads(content)
    return common


@functools.cache
def _environment() -> dict[str, str]:
    return environment()


class _Count:
    """Counts what a group has done, and tells it now and then."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self.tell, self.steps, self.diverged = tell, 0, 0
        self._told()

    def __call__(self, steps: int, diverged: int) -> None:
        self.steps, self.diverged = self.steps + steps, self.diverged + diverged
        if time.monotonic() - self.last >= TELL_EVERY:
            self._told()

    def _told(self) -> None:
        self.tell(self.steps, self.diverged)
        self.last = time.monotonic()
