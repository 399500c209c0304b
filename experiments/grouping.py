"""Points in groups: what one process trains in one go, and one file holds."""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

from experiments.points import Architecture, Point
from experiments.sizes import first_layer, hidden_units, itemsize, parameters

# Seconds on one core of a server's processor of 2023, in float64; in float32 numbers take half the time. On
# networks of width 3 to 512 and depth 1 to 30 they were right within a factor of 1.5 or so; where a layer's W
# is larger than the cache it takes twice as long.
PER_OPERATION = 1 / 40e9  # of the products: a multiplication or an addition
PER_UNIT = {  # of a hidden unit and example: activation, its gradient, and what the products read and write
    ("relu", "float64"): 4e-9,
    ("relu", "float32"): 2e-9,
    ("identity", "float64"): 4e-9,
    ("identity", "float32"): 2e-9,
    ("tanh", "float64"): 17e-9,  # an exponential, and the passes in place of the workspace
    ("tanh", "float32"): 8.5e-9,
    ("sigmoid", "float64"): 19e-9,
    ("sigmoid", "float32"): 16e-9,
}
PER_OUTPUT = 2e-8  # of an example: sigmoid, logarithm and cost
PER_LAYER = 2e-6  # of a layer, however small: calls
PER_RUN = 2e-4

OWN_PACE = 6.0
"""How many times as long a run takes that trains with the user's functions, about: 4 to 15, measured."""

LONGEST = 5.0
"""Seconds of work in a group, at most, unless it is one run: what is lost when a process is killed."""

GROUPS_A_WORKER = 4
"""At least, so that no worker waits long for the last one."""

LARGEST_GROUP = 2**27
"""Bytes of a group's curves and parameters, at most, unless it is one run."""


def work(point: Point, n_0: int, m: int) -> float:
    """The seconds that a run takes on one core, about.

    A step's products are Z = W A, dW = dZ A^T and, but for the first layer, dA = W^T dZ, each of 2 operations
    for each parameter and example.
    """
    architecture = point.architecture
    products = 2 * m * (3 * parameters(architecture, n_0) - first_layer(architecture, n_0))
    numbers = (products * PER_OPERATION + m * PER_OUTPUT) * itemsize(architecture) / 8
    of_unit = PER_UNIT.get((architecture.activation, architecture.dtype), max(PER_UNIT.values()))
    step = numbers + m * hidden_units(architecture) * of_unit + architecture.depth * PER_LAYER
    return point.steps * step + PER_RUN


def groups(
    points: Sequence[Point], workers: int, n_0: int, m: int, pace: float = 1.0
) -> list[tuple[Point, ...]]:
    """Groups of one architecture and number of steps, the longest first, so that the last ones to end end
    together. Each is of about `LONGEST` seconds of work, or less, so that there are `GROUPS_A_WORKER` groups
    for each worker, if there are as many points.

    Args:
        points: different ones; their order is kept within a group.
        n_0: number of features. m: of training examples.
        pace: how many times as long a run takes as `work` says.
    """
    alike: defaultdict[tuple[Architecture, int], list[Point]] = defaultdict(list)
    for point in points:
        alike[point.architecture, point.steps].append(point)
    seconds = [pace * work(some[0], n_0, m) for some in alike.values()]
    wanted = min(GROUPS_A_WORKER * workers, len(points))
    whole = math.fsum(len(some) * each for some, each in zip(alike.values(), seconds, strict=True))
    longest = min(LONGEST, whole / max(wanted, 1))
    parts: list[tuple[float, tuple[Point, ...]]] = []
    while len(parts) < wanted:  # where a kind has too few points for a part of it, the others have more
        parts = [
            (len(part) * each, part)
            for some, each in zip(alike.values(), seconds, strict=True)
            for part in _parts(some, min(int(longest / each), _most(some[0], n_0)))
        ]
        longest /= 2
    return [part for _, part in sorted(parts, key=lambda part: -part[0])]


def _most(point: Point, n_0: int) -> int:
    """How many such runs a group's memory holds."""
    architecture = point.architecture
    return LARGEST_GROUP // (8 * (point.steps + 1) + itemsize(architecture) * parameters(architecture, n_0))


def _parts(points: Sequence[Point], size: int) -> list[tuple[Point, ...]]:
    """As few parts as there are of at most this size, whose sizes differ by at most 1."""
    count = -(-len(points) // max(size, 1))
    ends = [len(points) * i // count for i in range(count + 1)]
    return [tuple(points[start:end]) for start, end in itertools.pairwise(ends)]
