"""How far a sweep is: a bar in a terminal, a line now and then in a log."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

LINE_EVERY = 10.0  # seconds
WINDOW = 30.0  # seconds, as that of the bar


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
    whole = Column(no_wrap=True)  # in a narrow terminal the words go on in a second line
    columns = (
        BarColumn(bar_width=10, table_column=whole), TaskProgressColumn(table_column=whole),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=whole),
        TextColumn("{task.description}", table_column=Column()),
    )  # fmt: skip
    pace = _Pace(clock)
    with Progress(*columns, console=console, get_time=clock) as bar:
        task = bar.add_task("sweep", total=1.0)

        def show(status: Status) -> None:
            bar.update(task, completed=status.part, description=_words(status, pace(status)))

        yield show


class _Lines:
    """A line when runs are done, and otherwise every LINE_EVERY seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console, self.clock, self.pace = console, clock, _Pace(clock)
        self.runs_done, self.last = -1, clock()

    def __call__(self, status: Status) -> None:
        pace, now = self.pace(status), self.clock()
        if status.runs_done == self.runs_done and now - self.last < LINE_EVERY:
            return
        self.runs_done, self.last = status.runs_done, now
        left = "" if pace.left is None else f", {pace.left:.0f} s left"
        line = f"sweep {status.part:4.0%}  {_words(status, pace)}{left}"
        self.console.print(line, soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class _Rate:
    """speed: run-steps a second. left: seconds to the end at this rate; None: not known."""

    speed: float
    left: float | None


class _Pace:
    """The rate of the last WINDOW seconds: what is slower than what came before is not said to be done at the
    old pace, which would let the time left stand still."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.past: deque[tuple[float, Status]] = deque()

    def __call__(self, status: Status) -> _Rate:
        now = self.clock()
        self.past.append((now, status))
        while now - self.past[0][0] > WINDOW and now - self.past[1][0] >= WINDOW:
            self.past.popleft()
        began, first = self.past[0]
        seconds, part = now - began, status.part - first.part
        left = seconds * (1 - status.part) / part if part > 0 else None
        return _Rate((status.steps_done - first.steps_done) / max(seconds, 1e-3), left)


def _words(status: Status, rate: _Rate) -> str:
    return (
        f"{status.runs_done}/{status.runs} runs, {status.diverged} diverged, "
        f"{status.verified}/{status.architectures} verified, {rate.speed:.3g} steps/s, "
        f"{status.steps_done}/{status.steps} steps"
    )
