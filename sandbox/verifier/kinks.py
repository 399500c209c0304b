"""Whether a gradient is wrong only where the mirror's own gradient jumps: at a kink or a tie.

A jump does not shrink with the step. The mirror's gradient is taken where the inputs are moved by STEPS of
their size, in directions that turn kinks and ties (as the signs of the error say, one input as a whole, at
random), forwards and backwards. That of a smooth function changes a thousand times less with a step a
thousand times smaller; across a kink it changes by as much.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sandbox.noise import Measured, is_float, measure
from sandbox.typing import Array, Inputs, Value
from sandbox.verifier.equation import Equation

STEPS = (1e-6, 1e-9)
RANDOM = 3  # directions


@dataclass(frozen=True)
class _Range:
    """The lowest and the highest gradient seen, an entry each."""

    low: Array
    high: Array

    @property
    def width(self) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(self.high - self.low)


def at_a_jump(equation: Equation, inputs: Inputs, k: int, error: Array, expected: Measured) -> str:
    """In words, that the mirror's gradient k jumps in all entries that are wrong, by no less than they are
    wrong; "" if it does not.

    Args:
        error: of the entries that are wrong; 0 in the others.
    """
    wrong, j = error != 0, equation.differentiated[k] + equation.cotangents
    if not wrong.any() or j < equation.cotangents:
        return ""
    directions = list(_directions(inputs, equation.cotangents, j, error))
    far, near = (_nearby(equation, inputs, k, directions, step) for step in STEPS)
    jumps = (near.width > 0.5 * far.width) & (near.width > 10 * expected.sigma)
    # Of equal entries one turns out the largest, and each may have been taken for it: which of them jumps
    # furthest is a matter of the direction.
    if not np.all(jumps[wrong]) or np.max(np.abs(error)) > 1.01 * np.max(near.width[wrong]):
        return ""
    return _words(equation.inputs[j], np.asarray(inputs[j]), wrong, expected.reference, near)


def _nearby(equation: Equation, inputs: Inputs, k: int, directions: Iterable[Inputs], step: float) -> _Range:
    seen = [
        measure(equation.reference, *_moved(inputs, v, t), dtype=np.float64, samples=1).outputs[k].reference
        for v in directions for t in (0.0, step, -step)
    ]  # fmt: skip
    return _Range(np.min(seen, axis=0), np.max(seen, axis=0))


def _directions(inputs: Inputs, count: int, j: int, error: Array) -> Iterator[Inputs]:
    """Of the floats among the inputs after the cotangents; None: an input stays where it is."""

    def alone(i: int, v: Array) -> Inputs:
        return tuple(v if other == i else None for other in range(len(inputs)))

    floats = [i for i, x in enumerate(inputs) if i >= count and is_float(np.asarray(x).dtype)]
    yield alone(j, np.sign(error))
    yield from (alone(i, np.ones(np.shape(inputs[i]))) for i in floats)
    rng = np.random.default_rng(0)
    for _ in range(RANDOM):
        yield tuple(rng.standard_normal(np.shape(x)) if i in floats else None for i, x in enumerate(inputs))


def _moved(inputs: Inputs, direction: Inputs, t: float) -> Iterator[Value]:
    return (x if v is None else x + t * v * _size(x) for x, v in zip(inputs, direction, strict=True))


def _size(x: Value) -> Array:
    """Of each entry; of one that is 0 that of the smallest other one."""
    size = np.abs(np.asarray(x, np.float64))
    smallest = np.min(size, where=size > 0, initial=np.inf)
    return np.where(size > 0, size, smallest if np.isfinite(smallest) else 1.0)


def _words(name: str, x: Array, wrong: Array, expected: Array, near: _Range) -> str:
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    zero = "" if np.any(x[wrong]) else f", where {name} is exactly 0"
    return (
        f"The wrong entries are those where the mirror's gradient jumps{zero}: at a kink (abs at 0) or a tie "
        f"(of a maximum) of these very inputs. In entry {where} it is {expected[where]:.4g}, and "
        f"{near.low[where]:.4g} to {near.high[where]:.4g} right beside. If yours is right there too, write "
        "the mirror with the same choice, or give inputs without ties."
    )
