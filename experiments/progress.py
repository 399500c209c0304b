"""How far a sweep is: a bar in a terminal or a notebook, a line now and then in a log."""

import math
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
REPLACE_EVERY = 0.3  # seconds; each time is a message from the kernel to whoever shows the notebook


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
    elif console.is_jupyter:
        with _in_notebook(clock) as show:
            yield show
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console, clock) as show:
            yield show
    else:
        yield _Lines(console, clock)


@contextmanager
def default_progress() -> Iterator[Show]:
    """`shown` where this process runs: in a notebook, or where its errors go."""
    with shown(Console(stderr=True)) as show:
        yield show


@contextmanager
def _bar(console: Console, clock: Callable[[], float]) -> Iterator[Show]:
    whole = Column(no_wrap=True)  # in a narrow terminal the words go on in a second line
    columns = (
        BarColumn(bar_width=10, table_column=whole), TaskProgressColumn(table_column=whole),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=whole),
        TextColumn("{task.description}", table_column=Column()),
    )  # fmt: skip
    pace = Pace(clock)
    with Progress(*columns, console=console, get_time=clock) as bar:
        task = bar.add_task("sweep", total=1.0)

        def show(status: Status) -> None:
            bar.update(task, completed=status.part, description=in_words(status, pace(status)))

        yield show


@contextmanager
def _in_notebook(clock: Callable[[], float]) -> Iterator[Show]:
    output = _Output(clock)
    try:
        yield output
    except BaseException:
        output.end("stopped after")
        raise
    output.end("in")


class _Output:
    """One output of the running cell, replaced in place, and in the saved notebook as it was at the end.

    These are the means of notebooks themselves: every program that shows them has these without an extension,
    and nothing that a saved notebook could lack, as it does the state of widgets. Where HTML is not shown it
    is a line of text.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        from IPython.display import display

        self.clock, self.pace, self.began, self.last = clock, Pace(clock), clock(), -math.inf
        self.part, self.words = 0.0, "looking at what is stored"
        self.handle = display(self._content(""), raw=True, display_id=True)

    def __call__(self, status: Status) -> None:
        rate = self.pace(status)
        self.part, self.words = status.part, in_words(status, rate)
        if self.clock() - self.last >= REPLACE_EVERY:
            self._replace("" if rate.left is None else f", {rate.left:.0f} s left")
            self.last = self.clock()

    def end(self, how: str) -> None:
        self._replace(f", {how} {self.clock() - self.began:.1f} s")

    def _replace(self, time: str) -> None:
        self.handle.update(self._content(time), raw=True)

    def _content(self, time: str) -> dict[str, str]:
        text = f"{self.part:4.0%}  {self.words}{time}"
        bar = f'<progress value="{self.part:.4f}" max="1" style="vertical-align: middle"></progress>'
        return {"text/plain": f"sweep {text}", "text/html": f"<div>{bar} {text}</div>"}


class _Lines:
    """A line when runs are done, and otherwise every LINE_EVERY seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self.console, self.clock, self.pace = console, clock, Pace(clock)
        self.runs_done, self.last = -1, clock()

    def __call__(self, status: Status) -> None:
        pace, now = self.pace(status), self.clock()
        if status.runs_done == self.runs_done and now - self.last < LINE_EVERY:
            return
        self.runs_done, self.last = status.runs_done, now
        left = "" if pace.left is None else f", {pace.left:.0f} s left"
        line = f"sweep {status.part:4.0%}  {in_words(status, pace)}{left}"
        self.console.print(line, soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Rate:
    """speed: run-steps a second. left: seconds to the end at this rate; None: not known."""

    speed: float
    left: float | None


class Pace:
    """The rate of the last WINDOW seconds: what is slower than what came before is not said to be done at the
    old pace, which would let the time left stand still."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.past: deque[tuple[float, Status]] = deque()

    def __call__(self, status: Status) -> Rate:
        now = self.clock()
        self.past.append((now, status))
        while now - self.past[0][0] > WINDOW and now - self.past[1][0] >= WINDOW:
            self.past.popleft()
        began, first = self.past[0]
        seconds, part = now - began, status.part - first.part
        left = seconds * (1 - status.part) / part if part > 0 else None
        return Rate((status.steps_done - first.steps_done) / max(seconds, 1e-3), left)


def in_words(status: Status, rate: Rate) -> str:
    return (
        f"{status.runs_done}/{status.runs} runs, {status.diverged} diverged, "
        f"{status.verified}/{status.architectures} verified, {rate.speed:.3g} steps/s, "
        f"{status.steps_done}/{status.steps} steps"
    )
