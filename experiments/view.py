"""How what is known of a sweep looks in a terminal of any width, or in a log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from experiments.files import GOES_ON, HOST
from experiments.live import Live, Working
from experiments.progress import Rate, in_words
from experiments.sentences import escaped
from experiments.sparks import Spark
from experiments.standing import Row

BESIDES = 58  # columns that a row of one line takes besides its label
BESIDES_WORKER = 14  # columns that a worker's line takes at least besides its name and what it trains
LONGEST_WORKER = 15  # characters of a worker's name, the last
LATE = 10.0  # seconds without a word, from which on it is said
IN_A_LOG = 60  # lines
COLUMNS: dict[str, JustifyMethod] = {
    "": "left", "rate": "right", "first": "right", "cost": "left", "last": "left", "runs": "right",
    "diverged": "right",
}  # fmt: skip
FIELDS = ("depth", "width", "activation", "cost", "dtype")


@dataclass(frozen=True)
class View:
    """What is to be seen.

    Attributes:
        state: of the sweep.
        sweeps: what the processes at it have said last; of several each has a part.
        lost: of the parts, those whose processes were killed, while others go on.
        rows: what is stored of it. all_read: whether that was all looked at.
        words: of a finished one.
    """

    name: str
    state: Literal["under way", "stopped", "finished"]
    sweeps: Sequence[Live] = ()
    lost: Sequence[Live] = ()
    rows: Sequence[Row] = ()
    all_read: bool = True
    words: str = ""

    @property
    def summary(self) -> object:
        """Equal for two views that say the same."""
        said = [(live.label, live.doing, live.status) for live in (*self.sweeps, *self.lost)]
        return self.state, self.done, said

    @property
    def done(self) -> tuple[int, int, int]:
        """How many runs are stored, of how many, and how many of these have diverged."""
        rows = self.rows
        return sum(row.done for row in rows), sum(row.runs for row in rows), sum(row.diverged for row in rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = console.height if console.is_terminal else IN_A_LOG
        above = [*self._head(), *self._workers(max(height // 4, 1), options.max_width)]
        used = sum(len(console.render_lines(part, options)) for part in above)
        yield from above
        if self.rows:
            yield from _best(self.rows, options.max_width, height - used - 3)

    def _head(self) -> Iterator[RenderableType]:
        if self.state == "finished":
            yield _titled(self.name, self.words)
        elif self.state == "stopped":
            yield _titled(self.name, self._stopped())
        else:
            yield from self._parts()
        if not self.all_read:
            yield Text("more is stored, and being read", "dim")

    def _parts(self) -> Iterator[RenderableType]:
        """What each process at it says; of parts also how the whole stands."""
        if self.rows and any(live.label for live in self.sweeps):
            done, runs, diverged = self.done
            yield _titled(self.name, f"{done}/{runs} runs are stored, {diverged} diverged")
        for live in self.sweeps:
            yield _titled(_title(live), _standing(live))
            if live.status is not None:
                yield _bar(live.status.part)
        for live in self.lost:
            yield _titled(_title(live), f"stopped; {GOES_ON}")

    def _stopped(self) -> str:
        done, runs, diverged = self.done
        if runs and done == runs:
            return f"all {runs} runs are stored, {diverged} diverged; the file of them all is not written yet"
        where = f"{done} of {runs} runs" if runs else "the beginning"
        last = self.sweeps[0]
        if last.host != HOST:
            return f"nothing heard of it for {last.silent:.0f} s, at {where}; if it has ended, {GOES_ON}"
        return f"stopped at {where}; {GOES_ON}"

    def _workers(self, lines: int, width: int) -> Iterator[RenderableType]:
        workers = [(live.label, worker) for live in self.sweeps for worker in live.workers]
        if not workers or self.state != "under way":
            return
        table = Table.grid(padding=(0, 1), expand=True)
        names = [_worker_name(label, worker) for label, worker in workers[:lines]]
        table.add_column()
        table.add_column(max_width=max(width - max(map(len, names)) - BESIDES_WORKER, 1))
        table.add_column(ratio=1)
        table.add_column(justify="right")
        for name, (_, worker) in zip(names, workers, strict=False):
            cells = [Text(words, no_wrap=True, overflow="crop") for words in (name, _what(worker))]
            part = worker.steps_done / worker.steps
            table.add_row(*cells, ProgressBar(1.0, part), Text(f"{part:.0%}", no_wrap=True))
        yield table
        if len(workers) > lines:
            yield Text(f"and {len(workers) - lines} more workers", "dim")


def _title(live: Live) -> str:
    where = "" if live.host == HOST else f" on {live.host}"
    return f"{live.name} {live.label}".rstrip() + where


def _titled(title: str, words: str) -> Text:
    return Text.assemble((escaped(title), "bold"), "  ", escaped(words))


def _bar(part: float) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, overflow="crop", justify="right")
    table.add_row(ProgressBar(1.0, part), Text(f"{part:.0%}"))
    return table


def _standing(live: Live) -> str:
    """What the process says, in words."""
    late = f", last heard of {live.silent:.0f} s ago" if live.silent > LATE else ""
    late = f", since {live.started.astimezone():%a %H:%M}{late}"
    if live.status is None:
        return live.doing + late
    left = "" if live.left is None else f", {live.left:.0f} s left"
    return f"{live.doing}, {in_words(live.status, Rate(live.speed, live.left))}{left}{late}"


def _worker_name(label: str, worker: Working) -> str:
    address = worker.worker.rpartition("//")[2][-LONGEST_WORKER:]
    return escaped(f"{label} {address}".strip())


def _what(worker: Working) -> str:
    runs = f"{worker.runs} run{'' if worker.runs == 1 else 's'}"
    diverged = f", {worker.diverged} diverged" if worker.diverged else ""
    return f"depth {worker.architecture.depth}, width {worker.architecture.width}, {runs}{diverged}"


# --- the best so far ----------------------------------------------------------------------------------


def _best(rows: Sequence[Row], width: int, lines: int) -> Iterator[RenderableType]:
    """The best run of each row; of more rows than there are lines, those with the best."""
    labels = _labels(rows)
    of_row = 1 if width >= max(map(len, labels.values())) + BESIDES else 2
    chosen = _chosen(rows, max((lines - 1) // of_row, 1))
    found = [row.best.curve for row in chosen if row.best is not None]
    low, high = (min(map(min, found)), max(map(max, found))) if found else (1.0, 1.0)
    shown = [(labels[row.architecture, row.scheme], row) for row in chosen]
    yield Text()
    yield (_in_a_line if of_row == 1 else _in_two)(shown, low, high)
    words = [f"the best so far, log scale from {low:.3g} to {high:.3g}"] if found else []
    words += [f"{len(rows) - len(chosen)} more"] if len(chosen) < len(rows) else []
    yield Text(", ".join(words), "dim")


def _chosen(rows: Sequence[Row], count: int) -> list[Row]:
    best = sorted(rows, key=lambda row: row.best.final if row.best is not None else float("inf"))[:count]
    return [row for row in rows if any(row is each for each in best)]


def _labels(rows: Sequence[Row]) -> dict[object, str]:
    """In words, what tells the rows apart: always depth and initialisation."""
    vary = [name for name in FIELDS if len({getattr(row.architecture, name) for row in rows}) > 1]
    labels: dict[object, str] = {}
    for row in rows:
        words = [f"depth {row.architecture.depth}"]
        for name in vary:
            value = getattr(row.architecture, name)
            words += [] if name == "depth" else [f"width {value}" if name == "width" else str(value)]
        labels[row.architecture, row.scheme] = ", ".join([*words, row.scheme])
    return labels


def _in_a_line(rows: Sequence[tuple[str, Row]], low: float, high: float) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title, side in COLUMNS.items():
        table.add_column(title, justify=side, no_wrap=title != "cost", overflow="crop")
    for label, row in rows:
        counts = f"{row.done}/{row.runs}", str(row.diverged)
        if row.best is None:
            table.add_row(label, "", "", Text(_nothing(row), "dim"), "", *counts)
        else:
            first, last = f"{row.best.curve[0]:.3g}", f"{row.best.final:.3g}"
            spark = Spark(row.best.curve, low, high)
            table.add_row(label, f"{row.best.learning_rate:.3g}", first, spark, last, *counts)
    return table


def _in_two(rows: Sequence[tuple[str, Row]], low: float, high: float) -> RenderableType:
    parts: list[RenderableType] = []
    for label, row in rows:
        words = f"{label}: {row.done}/{row.runs} runs, {row.diverged} diverged"
        parts.append(Text(words, no_wrap=True, overflow="crop"))
        if row.best is None:
            parts.append(Text(f"  {_nothing(row)}", "dim"))
            continue
        table = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None):
            table.add_column(no_wrap=True, overflow="crop", ratio=ratio)
        start = f"  rate {row.best.learning_rate:.3g}  {row.best.curve[0]:.3g}"
        table.add_row(start, Spark(row.best.curve, low, high), f"{row.best.final:.3g}")
        parts.append(table)
    return Group(*parts)


def _nothing(row: Row) -> str:
    return "all have diverged" if row.done and row.done == row.diverged else "nothing yet"
