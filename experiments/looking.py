"""`watch`: how a sweep stands, whichever process sweeps, and at the end. Nothing is written."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.live import Live as Display
from typer import Option

from experiments.answers.tables import moment
from experiments.exits import exit_codes
from experiments.files import StoreError
from experiments.live import Live, names, sweeps_of
from experiments.sentences import escaped
from experiments.spec import SpecError
from experiments.standing import Finished, Row, Standing, finished, standing
from experiments.stopping import Stopped
from experiments.sweeping import Name, Results, named
from experiments.view import View

EVERY, IN_A_LOG = 0.5, 10.0  # seconds
SHORTEST, LONGEST = 0.05, 86400.0  # seconds
READING = 0.3  # seconds, after which what is read so far is shown
PATIENT = 10  # times as long as a look takes it waits for the next: the disk may be slow


class Watch:
    """What is to be seen of a name in the folder of the results."""

    def __init__(self, name: str, results: Path) -> None:
        self.name, self.results = name, results
        self._seen: list[Live] = []
        self._standing: Standing | None = None

    @property
    def under_way(self) -> bool:
        """Whether a process is at it."""
        return any(live.alive for live in sweeps_of(self.name, self.results))

    @property
    def written(self) -> tuple[int, int] | None:
        """What tells one writing of the results from another; None: there are none."""
        with contextlib.suppress(OSError):
            of = (self.results / f"{self.name}.h5").stat()
            return of.st_mtime_ns, of.st_ino
        return None

    def look(self, seconds: float) -> View:
        """How it stands, reading for about so long at most.

        Raises:
            StoreError: no process is, or was, at it, and there are no results of it.
        """
        sweeps = sweeps_of(self.name, self.results)
        alive = [live for live in sweeps if live.alive]
        if sweeps:
            self._follow(alive or sweeps)
        if not alive:
            return self._end()
        lost = [live for live in sweeps if live not in alive and live.spec == alive[0].spec]
        all_read = self._standing is None or self._standing.read(seconds)
        return View(self.name, "under way", alive, lost, self._rows(), all_read)

    def _follow(self, sweeps: list[Live]) -> None:
        known = [live for live in sweeps if live.origin is not None] or sweeps
        before = self._seen and (self._seen[0].spec, self._seen[0].origin)
        if before != (known[0].spec, known[0].origin):
            self._standing = standing(known[0], self.results)
        self._seen = known

    def _rows(self) -> list[Row]:
        return self._standing.rows if self._standing is not None else []

    def _end(self) -> View:
        """Of what no process is at any more."""
        try:
            found = finished(self.name, self.results)
        except StoreError as error:
            if not self._seen:
                raise self._nothing(error) from None
        else:
            if not self._seen or found.is_of(self._seen[0]):
                return View(self.name, "finished", rows=found.rows, words=_in_words(found))
        if self._standing is not None:
            self._standing.read(math.inf)
        return View(self.name, "stopped", self._seen, rows=self._rows())

    def _nothing(self, error: StoreError) -> StoreError:
        """`error`: why there are no results."""
        if (self.results / f"{self.name}.h5").exists():
            return error
        there = sorted(names(self.results) | {file.stem for file in self.results.glob("*.h5")})
        advice = f"give one of the names {', '.join(there[:8])}" if there else "give the folder as --results"
        return StoreError(
            f"name: nothing is known of {self.name!r} in {self.results}, expected a sweep under way or its "
            f"results; {advice}, or --wait for it to begin."
        )


def _in_words(found: Finished) -> str:
    runs, diverged = (sum(getattr(row, of) for row in found.rows) for of in ("runs", "diverged"))
    stalled = f", {found.stalled} stalled" if found.stalled else ""
    return (
        f"finished {moment(found.ended)} UTC, {runs} run{'' if runs == 1 else 's'}, {diverged} diverged"
        f"{stalled}, all verified: {found.file}"
    )


def _views(watched: Watch, pause: float, reading: float = math.inf) -> Iterator[View]:
    """One after the other, to the end of the sweep."""
    while True:
        began = time.monotonic()
        view = watched.look(reading)
        yield view
        if view.state != "under way":
            return
        took = time.monotonic() - began
        time.sleep(max(pause, PATIENT * took) if view.all_read else took)


def _in_place(watched: Watch, console: Console, pause: float) -> None:
    with Display(console=console, auto_refresh=False, vertical_overflow="crop") as display:
        for view in _views(watched, pause, READING):
            display.update(view, refresh=True)


def _one_after_the_other(watched: Watch, console: Console, pause: float) -> None:
    before: View | None = None
    for view in _views(watched, pause):
        if before is None or view.summary != before.summary:
            console.print(*([] if before is None else [""]), view, sep="\n")
        before = view


def _wait(watched: Watch, console: Console, pause: float) -> None:
    """Until a sweep is under way; one that has nothing to train may have begun and ended between two looks,
    which writes the results anew."""
    before = watched.written
    if not watched.under_way:
        where = escaped(f"{watched.name} in {watched.results}")
        console.print(f"Waiting for a sweep {where}", markup=False, highlight=False, soft_wrap=True)
    while not watched.under_way and watched.written == before:
        time.sleep(pause)


@exit_codes(goes_on=False)
def watch(
    name: Name = "main",
    results: Results = Path("results"),
    every: Annotated[float | None, Option(help="Seconds between two looks (0.5; in a log 10).")] = None,
    once: Annotated[bool, Option("--once", help="Look once.")] = False,
    wait: Annotated[bool, Option("--wait", help="Until a sweep of this name begins.")] = False,
) -> None:
    """Show how a sweep stands, whichever process sweeps: progress, workers, the best runs so far.

    It ends with the sweep, or with Ctrl-C, which does nothing to the sweep. It writes nothing.

    Examples: autodiff-sandbox watch main; autodiff-sandbox watch main --once
    """
    if every is not None and not SHORTEST <= every <= LONGEST:
        raise SpecError(
            f"every: got {every}, expected seconds from {SHORTEST} to {LONGEST:.0f}; change every."
        )
    console = Console()
    watched = Watch(*named(name, results))
    in_place = console.is_terminal and not console.is_dumb_terminal
    pause = every or (EVERY if in_place else IN_A_LOG)
    with contextlib.suppress(KeyboardInterrupt, Stopped):
        if wait:
            _wait(watched, console, pause)
        if once:
            console.print(watched.look(math.inf))
        else:
            (_in_place if in_place else _one_after_the_other)(watched, console, pause)
