"""How far a sweep is: a bar in a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Status:
    """How far a sweep is, with what earlier calls have done.

    Attributes:
        runs, steps, architectures: how many there are; a step is one of one run.
        runs_done: trained, checked and stored.
        steps_done: also of runs that are not done yet.
        diverged: how many runs have, so far.
        verified: architectures whose gradients are.
        part: of the estimated time of all runs, 0 to 1, that is over.
    """

    runs: int
    steps: int
    architectures: int
    runs_done: int = 0
    steps_done: int = 0
    diverged: int = 0
    verified: int = 0
    part: float = 0.0


Show: TypeAlias = Callable[[Status], None]


@contextmanager
def shown(
    console: Console, quiet: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[Show]:
    """What to call with each new status; it is shown as the console allows.

    Args:
        clock: seconds.
    """
    if quiet:
        yield lambda status: None
    elif console.is_terminal:
        with _bar(console, clock) as show:
            yield show
    else:
        yield _Lines(console, clock)


@contextmanager
def _bar(console: Console, clock: Callable[[], float]) -> Iterator[Show]:
    columns = (
        TextColumn("sweep"), BarColumn(bar_width=20), TaskProgressColumn(), TextColumn("{task.description}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )  # fmt: skip
    speed = _Speed(clock)
    with Progress(*columns, console=console, get_time=clock) as bar:
        task = bar.add_task("", total=None)

        def show(status: Status) -> None:
            bar.update(task, total=1.0, completed=status.part, description=_words(status, speed(status)))

        yield show


class _Lines:
    """A line when runs are done, and otherwise every LINE_EVERY seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console, self.clock, self.speed = console, clock, _Speed(clock)
        self.runs_done, self.last = -1, clock()

    def __call__(self, status: Status) -> None:
        speed, now = self.speed(status), self.clock()
        if status.runs_done == self.runs_done and now - self.last < LINE_EVERY:
            return
        self.runs_done, self.last = status.runs_done, now
        self.console.print(
            f"sweep {status.part:4.0%}  {_words(status, speed)}", soft_wrap=True, highlight=False
        )


class _Speed:
    """Run-steps a second since the first status."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.first: tuple[float, int] | None = None

    def __call__(self, status: Status) -> float:
        now = self.clock()
        began, steps = self.first = self.first or (now, status.steps_done)
        return (status.steps_done - steps) / max(now - began, 1e-3)


def _words(status: Status, speed: float) -> str:
    return (
        f"{status.runs_done}/{status.runs} runs, {status.steps_done}/{status.steps} steps, "
        f"{status.diverged} diverged, {status.verified}/{status.architectures} verified, {speed:.3g} steps/s"
    )
