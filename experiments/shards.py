"""One sweep in several parts that know nothing of each other but the spec: for jobs that share only a file
system."""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from experiments.points import Architecture, Point
from experiments.sentences import shown
from experiments.spec import SpecError


@dataclass(frozen=True)
class Shard:
    """The part `number` of the parts 1, ..., `of`.

    Raises:
        SpecError: there is no such part.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        for value in (self.number, self.of):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= self.number <= self.of:
                raise SpecError(
                    f"shard: got {self.number}/{self.of}, expected i/n with 1 <= i <= n; number the parts "
                    "from 1 on (of an array job --array=1-n)."
                )

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Of "3/8". SpecError when that is none."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
        if not found:
            raise SpecError(
                f"shard: got {shown(text)}, expected i/n, the part i of n, as 3/8; change --shard."
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, points: Sequence[Point], work: Callable[[Point], float]) -> list[Point]:
        """This part of the points, in their order; `work` as of `divided`."""
        number = divided(points, self.of, work)
        return [point for point in points if number[point] == self.number]


def divided(points: Sequence[Point], shards: int, work: Callable[[Point], float]) -> dict[Point, int]:
    """The shard, 1, ..., `shards`, of each point, whatever the points' order: all have about equal work, and
    few architectures are in more than one.

    Args:
        points: at least one.
        work: of a point, in seconds, the same in every process.
    """
    ordered = sorted(points, key=_place)
    seconds = np.array([work(point) for point in ordered])
    middle = (np.cumsum(seconds) - seconds / 2) / seconds.sum()
    numbers = np.minimum((middle * shards).astype(np.int64), shards - 1) + 1
    return dict(zip(ordered, numbers.tolist(), strict=True))


def _place(point: Point) -> tuple[Architecture, int, int, Point]:
    """By architecture, and drawn within it: of neighbours by rate all might diverge soon."""
    drawn = f"{point.scheme} {point.learning_rate} {point.seed}"
    return point.architecture, point.steps, zlib.crc32(drawn.encode()), point
