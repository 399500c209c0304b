"""What a sweep takes: time, memory and disk, found by arithmetic before anything is allocated."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from experiments.group import CACHE, LARGEST_CHUNK
from experiments.grouping import LARGEST_GROUP, work
from experiments.machine import available_memory, free_disk, in_words
from experiments.points import Architecture, Point
from experiments.sizes import hidden_units, itemsize, parameters
from experiments.spec import Spec, SpecError
from sandbox.network.workspace import is_possible

# Bytes, measured.
PARENT = 300 * 10**6  # the process with all libraries, JAX among them
WORKER = 50 * 10**6  # a process with NumPy
POINT = 2000  # a point, its key and where its run is stored
RUN_ON_DISK = 500  # a run but for its values at steps and layers, in a group's file and the combined one
BLOCK = 2**27  # of curves on their way into the combined file

# A check of gradients, measured.
CHECKED_NETWORKS, CHECKED_EXAMPLES = 4, 128  # at most
CHECK_COPIES = 30  # of all numbers in the networks and in their layers' outputs
CHECK_SECONDS, CHECK_SECONDS_A_NUMBER = 0.3, 1e-5


@dataclass(frozen=True)
class Estimate:
    """seconds: wall time. memory: bytes over all processes at once. disk: bytes."""

    points: int
    seconds: float
    memory: int
    disk: int


@dataclass(frozen=True)
class _Work:
    """`count` runs, of which the largest network is `largest`, on m examples with n_0 features."""

    count: int
    steps: int
    largest: Architecture
    n_0: int
    m: int
    workers: int
    keep_parameters: bool


@dataclass(frozen=True)
class _Need:
    """Memory for `what`, in bytes; `field` and `remedy` say what makes it less."""

    field: str
    what: str
    size: int
    remedy: str


def estimate(
    points: Iterable[Point], n_0: int, m: int, workers: int, *, keep_parameters: bool = False,
    pace: float = 1.0,
) -> Estimate:  # fmt: skip
    """What it takes to train these points, by rule of thumb: right within a factor of 2 or so.

    Args:
        n_0: number of features. m: of training examples.
        workers: processes that train, at most one for each point.
        pace: how many times as long a run takes as `grouping.work` says.
    """
    alike = Counter(dataclasses.replace(point, learning_rate=0.0, seed=0, scheme="he") for point in points)
    if not alike:
        return Estimate(0, 0.0, 0, 0)
    architectures = {point.architecture for point in alike}
    largest = dataclasses.replace(
        next(iter(architectures)),
        depth=max(architecture.depth for architecture in architectures),
        width=max(architecture.width for architecture in architectures),
    )
    training = pace * sum(count * work(point, n_0, m) for point, count in alike.items())
    checks = sum(2 * _seconds_of_check(architecture, n_0, m) for architecture in architectures)
    steps = max(point.steps for point in alike)
    workers = min(workers, alike.total())
    whole = _Work(alike.total(), steps, largest, n_0, m, workers, keep_parameters)
    seconds = max(checks, (training + checks) / workers)
    return Estimate(whole.count, seconds, sum(need.size for need in _needs(whole)), _disk(whole))


def check_memory(spec: Spec, n_0: int, m: int, workers: int, *, keep_parameters: bool = False) -> None:
    """Refuse a spec that is too large for this machine's memory, before its points are listed.

    Raises:
        SpecError: there is too little.
    """
    found = {column: spec.all_values(column) for column in ("depth", "width", "activation", "cost", "dtype")}
    largest = Architecture(
        max(found["depth"]), max(found["width"]), found["activation"][0], found["cost"][0],
        max(found["dtype"]),  # float64 is the larger one, by name, too
    )  # fmt: skip
    steps = max(spec.all_values("steps"))
    whole = _Work(spec.count, steps, largest, n_0, m, min(workers, spec.count), keep_parameters)
    needs, available = _needs(whole, spec.longest), available_memory()
    if (total := sum(need.size for need in needs)) > available:
        most = max(needs, key=lambda need: need.size)
        raise SpecError(
            f"{most.field}: {most.what} needs about {in_words(most.size)} of memory"
            f"{'' if most.size > available else f', and the sweep {in_words(total)}'}, this machine has "
            f"{in_words(available)} free; {most.remedy}."
        )


def check_disk(missing: Estimate, results: Path) -> None:
    """Refuse what is too large for the disk on which the folder `results` is or will be.

    Args:
        missing: of the runs that are not there yet: a sweep that a full disk has stopped goes on when there
            is room for the rest.

    Raises:
        SpecError: there is too little room.
    """
    if missing.disk > (free := free_disk(results)):
        raise SpecError(
            f"--results: {missing.points} runs to train need about {in_words(missing.disk)} of disk, that of "
            f"{results} has {in_words(free)} free; make room there, or choose another folder or fewer runs."
        )


def _needs(work: _Work, longest: str = "seeds") -> list[_Need]:
    """What of the memory is for what; `longest` is the field with the most values."""
    deep = work.largest.depth > work.largest.width
    network = f"a network of depth {work.largest.depth} and width {work.largest.width}"
    examples = work.n_0 * work.m * itemsize(work.largest) * (2 + work.workers)
    values, layers = 8 * work.count * (work.steps + 1), 2 * 8 * work.count * work.largest.depth
    return [
        _Need("depths" if deep else "widths", network, _memory_of_networks(work), "choose smaller ones"),
        _Need("data", f"the data of {work.m} examples with {work.n_0} features", examples, "choose fewer"),
        _Need(
            "steps", f"the cost curve of {work.steps} steps of each of {work.count} runs", _twice(values),
            "choose fewer steps or runs",
        ),
        _Need(
            "depths", f"the gradients' size at {work.largest.depth} layers of each of {work.count} runs",
            _twice(layers), "choose smaller depths or fewer runs",
        ),
        _Need(longest, f"a list of {work.count} runs", POINT * work.count, "choose fewer"),
        _Need(
            "--jobs", f"a sweep in {work.workers} processes", PARENT + WORKER * work.workers, "choose fewer"
        ),
    ]  # fmt: skip


def _twice(size: int) -> int:
    """As much again is on its way, a block at a time: into the file, and out of a worker."""
    return size + min(size, BLOCK)


def _memory_of_networks(work: _Work) -> int:
    """In all workers at once: a chunk in each and what it leaves; and in the check beside them."""
    size = itemsize(work.largest)
    P, hidden = parameters(work.largest, work.n_0), hidden_units(work.largest)
    chunk = min(LARGEST_CHUNK, max(1, CACHE // (2 * work.largest.width * work.m * size)), work.count)
    outputs = hidden * work.m
    if is_possible(work.largest.activation, work.largest.cost):
        step = outputs + (work.largest.width + 10) * work.m  # A, dA of one layer, and the cost's
    else:
        step = 5 * outputs  # A and Z before and after, and dA
    training = size * (chunk * (step + 6 * P) + 2 * outputs)
    kept = min(LARGEST_GROUP, work.count * P * size) if work.keep_parameters else 0
    return work.workers * (training + kept) + CHECK_COPIES * 8 * CHECKED_NETWORKS * _checked(
        work.largest, work.n_0, work.m
    )


def _checked(architecture: Architecture, n_0: int, m: int) -> int:
    """The numbers in a network and in its layers' outputs, where it is checked."""
    return parameters(architecture, n_0) + (n_0 + hidden_units(architecture)) * min(m, CHECKED_EXAMPLES)


def _seconds_of_check(architecture: Architecture, n_0: int, m: int) -> float:
    return CHECK_SECONDS + CHECK_SECONDS_A_NUMBER * _checked(architecture, n_0, m)


def _disk(work: _Work) -> int:
    """Groups' files and the combined one."""
    of_run = RUN_ON_DISK + 2 * 8 * (work.steps + 1 + 2 * work.largest.depth)
    kept = work.count if work.keep_parameters else min(work.count, CHECKED_NETWORKS)
    return work.count * of_run + kept * 2 * itemsize(work.largest) * parameters(work.largest, work.n_0)
