"""Claims about what is shown of a slow check, and of a sweep."""

import io
import itertools
import re
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from experiments import cli
from experiments.progress import Status, shown

CHECK = ["check", "--depth", "8", "--width", "48", "--examples", "64", "--seed", "11"]  # a second


def checked(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, slow: float) -> tuple[Result, str]:
    """The result of a check that counts as slow after so many seconds, and what stderr showed."""
    errors = io.StringIO()

    def console(file: Any = None) -> Console:  # given one for the bar alone
        of_bar = file is not None
        return Console(file=errors if of_bar else sys.stdout, force_terminal=of_bar and terminal, width=100)

    monkeypatch.setattr(cli, "Console", console)
    monkeypatch.setattr(cli, "SLOW", slow)
    return CliRunner().invoke(cli.app, CHECK), errors.getvalue()


def test_a_slow_check_shows_what_it_looks_at_and_the_time_left_and_then_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, shown = checked(monkeypatch, terminal=True, slow=0.05)
    assert result.exit_code == 0
    assert re.search(r"checking [a-z_]+ ", shown)
    assert "%" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)  # the time left
    assert shown.endswith("\x1b[2K")  # the line is erased
    assert "checking" not in result.stdout


@pytest.mark.parametrize(("terminal", "slow"), [(True, 600.0), (False, 0.0)])
def test_a_quick_check_shows_nothing_nor_does_one_in_a_pipe(
    terminal: bool, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, shown = checked(monkeypatch, terminal=terminal, slow=slow)
    assert result.exit_code == 0
    assert shown == ""


# --- a sweep ----------------------------------------------------------------------------------


def sweep_shown(statuses: list[tuple[float, Status]], *, terminal: bool, quiet: bool = False) -> str:
    """What is shown of statuses, each at its time in seconds."""
    shown_to, now = io.StringIO(), [0.0]
    console = Console(file=shown_to, force_terminal=terminal, width=100, color_system=None)
    with shown(console, quiet, lambda: now[0]) as show:
        for now[0], status in statuses:
            show(status)
    return shown_to.getvalue()


def status(part: float, runs_done: int, diverged: int = 0) -> Status:
    return Status(
        runs=40, steps=4000, architectures=2, runs_done=runs_done, steps_done=int(4000 * part),
        diverged=diverged, verified=1, part=part,
    )  # fmt: skip


SWEEP = [
    (0.0, status(0.0, 0)),
    (5.0, status(0.05, 0)),
    (12.0, status(0.1, 0, 3)),
    (13.0, status(0.25, 10, 3)),
]


def test_a_log_has_a_line_every_ten_seconds_and_at_each_group() -> None:
    assert sweep_shown(SWEEP, terminal=False).splitlines() == [
        "sweep   0%  0/40 runs, 0 diverged, 1/2 verified, 0 steps/s, 0/4000 steps",
        "sweep  10%  0/40 runs, 3 diverged, 1/2 verified, 33.3 steps/s, 400/4000 steps, 108 s left",
        "sweep  25%  10/40 runs, 3 diverged, 1/2 verified, 76.9 steps/s, 1000/4000 steps, 39 s left",
    ]


@given(st.floats(0.02, 0.98), st.floats(0.05, 20))
@settings(deadline=None)
def test_the_time_left_falls_as_steps_are_done_also_when_they_take_longer_than_before(
    change: float, slower: float
) -> None:
    """A status a second, at one pace for 100 s and at another from then on; from half a minute later at the
    latest what is left falls by what has passed, but for 1 s of rounding."""
    speeds = [change / 100] * 100 + [(1 - change) / 100 / slower] * int(100 * slower)
    parts = itertools.accumulate(speeds)
    statuses = [(float(t), status(part, 0)) for t, part in enumerate(parts)]
    lines = sweep_shown(statuses, terminal=False).splitlines()
    left = [float(found[1]) for line in lines if (found := re.search(r", (\d+) s left", line))]
    late = left[14:]  # a line every 10 s
    assert all(abs(before - after - 10) <= 1 for before, after in itertools.pairwise(late))


def test_a_terminal_has_a_bar_that_moves_within_a_group() -> None:
    shown = sweep_shown(SWEEP, terminal=True)
    assert "━" in shown
    assert "25% 0:00:" in shown
    assert "10/40 runs, 3 diverged, 1/2 verified, 76.9 steps/s, 1000/4000 steps" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_sweep_shows_nothing(terminal: bool) -> None:
    assert sweep_shown(SWEEP, terminal=terminal, quiet=True) == ""
