"""Pieces of Python in a file, and how their lines are called."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A piece of Python.

    Attributes:
        text: with empty lines before it, so that its lines have the numbers of those of the file.
        filename: by which tracebacks call it.
        title: what its lines are numbered in, if that is not the file.
    """

    text: str
    filename: str
    title: str = ""

    def where(self, *lines: int) -> str:
        """Lines in words: "line 3", "lines 3-5, 9"."""
        place = f"line{'s' if len(set(lines)) > 1 else ''} {', '.join(_runs(lines))}"
        return f"{self.title}, {place}" if self.title else place


def _runs(lines: Iterable[int]) -> list[str]:
    runs: list[list[int]] = []
    for line in sorted(set(lines)):
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
