"""Ranges of numbers: as so many values, or as what draws are made of."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.lists.kinds import LARGEST, MOST_VALUES, SpecError, is_positive, refused
from experiments.sentences import nearest, shown
from sandbox.typing import Array

LOWEST = {"depths": 1, "widths": 1, "learning_rates": None, "seeds": 0}
"""The fields that take ranges, and the lowest value of those that are whole numbers."""

KEYS = ("start", "stop", "num", "scale")
SCALES = ("linear", "log")
METHODS = ("sobol", "latin_hypercube")
DIGITS = {"float64": 12, "float32": 6}
"""Of a rate: so that 0.1 is 0.1 in tables and figures, and that different ones are different in the dtype."""

Show = Callable[[object], str]


@dataclass(frozen=True)
class Range:
    """From `start` to `stop`, both included, on a scale; `num` values, or none where they are drawn."""

    field: str
    start: Any
    stop: Any
    num: int | None
    log: bool

    @property
    def whole(self) -> bool:
        return LOWEST[self.field] is not None


def read_range(field: str, table: Mapping[Any, Any], show: Show = shown) -> Range:
    """The range of this table. SpecError where it is none of this field."""
    for key in table:
        if key not in KEYS:
            expected = f"expected a range: start, stop, num and scale{nearest(key, KEYS)}"
            raise refused(field, table, expected, show)
    scale = table.get("scale", "log" if field == "learning_rates" else "linear")
    found = Range(field, table.get("start"), table.get("stop"), table.get("num"), scale == "log")
    if scale not in SCALES:
        raise refused(field, table, f"expected a scale of 'linear' or 'log'{nearest(scale, SCALES)}", show)
    if not all(_is_end(found, end) for end in (found.start, found.stop)):
        raise refused(field, table, f"expected {_words(found)}", show)
    if found.num is not None and not (type(found.num) is int and 1 <= found.num <= MOST_VALUES):
        raise refused(field, table, f"expected a whole num of at least 1 and at most {MOST_VALUES}", show)
    return found


def _is_end(of: Range, end: object) -> bool:
    lowest = LOWEST[of.field]
    if lowest is None:
        return is_positive(end)
    return type(end) is int and max(lowest, int(of.log)) <= end <= LARGEST


def _words(of: Range) -> str:
    if not of.whole:
        return "positive, finite start and stop"
    lowest = max(LOWEST[of.field] or 0, int(of.log))
    return f"whole start and stop of at least {lowest} and below 2^63" + (" on a log scale" * of.log)


def spaced(of: Range, show: Show = shown) -> tuple[Any, ...]:
    """The `num` values, evenly on the scale. SpecError where they are not different."""
    assert of.num is not None
    if of.whole:
        found: tuple[Any, ...] = _whole_values(of, of.num)
    else:
        space = np.geomspace if of.log else np.linspace
        found = tuple(rounded(rate, 12) for rate in space(float(of.start), float(of.stop), of.num))
    if len(set(found)) < of.num:
        within = "rounded to whole numbers" if of.whole else "within 12 digits"
        table = {"start": of.start, "stop": of.stop, "num": of.num}
        raise refused(
            of.field, table, f"expected values that differ {within}: a smaller num or a wider range", show
        )
    return found


def _whole_values(of: Range, num: int) -> tuple[int, ...]:
    if of.log:
        low, high = sorted((of.start, of.stop))
        inner = np.geomspace(float(of.start), float(of.stop), num)[1:-1]
        ends = (of.stop,) if num > 1 else ()
        return (of.start, *(min(max(round(value), low), high) for value in inner), *ends)
    gaps = max(num - 1, 1)
    # In whole numbers, which hold all digits; a half is rounded up.
    return tuple(of.start + (2 * i * (of.stop - of.start) + gaps) // (2 * gaps) for i in range(num))


def rounded(rate: float, digits: int) -> float:
    """To so many significant digits."""
    return float(f"{rate:.{digits}g}")


# --- draws --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    method: str
    num: int
    seed: int


def read_draw(table: Any, show: Show = shown) -> Draw:
    """How to draw. SpecError where the table does not say that."""
    if not isinstance(table, Mapping):
        raise refused("draw", table, "expected a table with method, num and seed", show)
    for key in table:
        if key not in ("method", "num", "seed"):
            raise refused(
                "draw", table, f"expected method, num and seed{nearest(key, ('method', 'num', 'seed'))}", show
            )
    found = Draw(table.get("method", "sobol"), table.get("num"), table.get("seed", 0))  # type: ignore[arg-type]
    if found.method not in METHODS:
        words = "expected a method of 'sobol' or 'latin_hypercube'"
        raise refused("draw", table, words + nearest(found.method, METHODS), show)
    if not (type(found.num) is int and 1 <= found.num <= MOST_VALUES):
        raise refused("draw", table, f"expected a whole num of at least 1 and at most {MOST_VALUES}", show)
    if not (type(found.seed) is int and 0 <= found.seed <= LARGEST):
        raise refused("draw", table, "expected a whole seed of at least 0 and below 2^63", show)
    return found


def drawn(draw: Draw, ranges: Sequence[Range], digits: int) -> dict[str, tuple[Any, ...]]:
    """By field, `num` values: together the points of the method in the ranges, the same on every machine.

    Args:
        digits: of a rate.
    """
    for of in ranges:
        if not of.start < of.stop:
            raise SpecError(
                f"{of.field}: got a range from {of.start} to {of.stop}, expected a start below its stop, "
                f"between which is drawn; change {of.field}."
            )
    points = _unit_points(draw, len(ranges))
    return {
        of.field: tuple(_place(of, float(u), digits) for u in column)
        for of, column in zip(ranges, points.T, strict=True)
    }


def _unit_points(draw: Draw, dimensions: int) -> Array:
    """(num, dimensions), in [0, 1)."""
    from scipy.stats import qmc  # takes a second to load

    rng = np.random.default_rng(draw.seed)
    if draw.method == "latin_hypercube":
        return np.asarray(qmc.LatinHypercube(dimensions, rng=rng).random(draw.num))
    # The first of 2^k points: the same as of any larger k.
    sobol = qmc.Sobol(dimensions, rng=rng)
    return np.asarray(sobol.random_base2((draw.num - 1).bit_length())[: draw.num])


def _place(of: Range, u: float, digits: int) -> float | int:
    """The value of the range at `u`, from 0 to 1, of its scale; a whole number has its share of it."""
    half = 0.5 if of.whole else 0.0
    low, high = of.start - half, of.stop + half
    if of.log:
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    elif of.whole:
        value = of.start + int(u * (of.stop - of.start + 1))
    else:
        value = low + u * (high - low)
    inside = min(max(value, of.start), of.stop)
    return round(inside) if of.whole else rounded(inside, digits)
