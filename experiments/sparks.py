"""A curve in a line of text: blocks whose height is the logarithm of its values."""

from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment

from sandbox.typing import Array

BLOCKS = "▁▂▃▄▅▆▇█"
IN_ASCII = "_.:-=+*#"
LOWEST = 1e-8  # what is smaller is drawn as this
NARROWEST, WIDEST = 8, 48  # in characters


@dataclass(frozen=True)
class Spark:
    """A curve as wide as there is room. low, high: the values of the lowest and the highest block."""

    curve: Array
    low: float
    high: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, WIDEST)
        yield Segment(spark(self.curve, self.low, self.high, width, ascii_only=options.ascii_only))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = min(WIDEST, options.max_width, len(self.curve))
        return Measurement(min(NARROWEST, widest), widest)


def spark(curve: Array, low: float, high: float, width: int, *, ascii_only: bool = False) -> str:
    """The first value, the last, and others evenly between: as many as there are, or as `width`, if that is
    fewer. What is outside of `low` to `high` is drawn as these."""
    blocks = IN_ASCII if ascii_only else BLOCKS
    chosen = curve[np.linspace(0, len(curve) - 1, min(width, len(curve))).round().astype(int)]
    floor, top = np.log(max(low, LOWEST)), np.log(max(high, LOWEST))
    part = (np.log(np.clip(chosen, max(low, LOWEST), max(high, LOWEST))) - floor) / max(top - floor, 1e-12)
    return "".join(blocks[level] for level in (part * (len(blocks) - 1)).round().astype(int))
