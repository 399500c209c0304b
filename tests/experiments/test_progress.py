"""Claims about the bar of a slow check at the command line."""

import io
import re
import sys
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from experiments import cli

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
    assert "checking linear_activation_" in shown
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
