"""A point is one training run. NumPy is not even needed: workers and keys know points and nothing else."""

import hashlib
import json
from dataclasses import dataclass

from sandbox.typing import Scheme


@dataclass(frozen=True, order=True)
class Architecture:
    """What the networks of a group share: shapes, functions and dtype. Depth counts the layers with
    parameters; width is the number of units of every hidden layer."""

    depth: int
    width: int
    activation: str = "relu"
    cost: str = "cross_entropy"
    dtype: str = "float64"


@dataclass(frozen=True, order=True)
class Point:
    """One training run: `steps` steps of full-batch gradient descent from the parameters that `scheme` and
    `seed` draw."""

    architecture: Architecture
    scheme: Scheme
    learning_rate: float
    seed: int
    steps: int


@dataclass(frozen=True, order=True)
class Origin:
    """What fixes a run's numbers besides its point: hashes of the data's bytes and of the training code."""

    data: str
    code: str


def key(point: Point, origin: Origin) -> str:
    """The name of a run, the same on every machine: a hash of its content."""
    of_point = {**vars(point), "architecture": vars(point.architecture)}
    content = json.dumps([of_point, vars(origin)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
