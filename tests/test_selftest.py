"""Claims about the catalogue: what is wrong is caught and rightly blamed, what is right passes."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from sandbox.network.catalogue import RIGHT, WRONG, Implementation
from sandbox.network.selftest import run_selftest


def test_the_catalogue_is_as_large_as_is_claimed() -> None:
    assert len({entry.name for entry in WRONG}) >= 40
    assert len({entry.name for entry in RIGHT}) >= 15
    assert all(entry.mistake for entry in WRONG)


@pytest.mark.parametrize("entry", WRONG, ids=lambda entry: entry.name)
def test_a_wrong_implementation_is_caught_and_its_function_blamed(entry: Implementation) -> None:
    [outcome] = run_selftest([entry]).outcomes
    assert outcome.first is not None
    assert outcome.first.function == entry.replaces


@pytest.mark.parametrize("entry", RIGHT, ids=lambda entry: entry.name)
def test_a_right_implementation_raises_no_alarm(entry: Implementation) -> None:
    [outcome] = run_selftest([entry]).outcomes
    assert outcome.first is None, str(outcome.first)


def test_a_self_test_that_misses_something_is_false() -> None:
    right_for_relu = next(entry for entry in RIGHT if entry.replaces == "relu")
    unnoticed = Implementation("fine", "relu", right_for_relu.function, wrong=True)
    alarm = Implementation("alarm", WRONG[0].replaces, WRONG[0].function, wrong=False)
    assert not run_selftest([unnoticed])
    assert not run_selftest([alarm])


def test_the_command_prints_the_table_and_succeeds() -> None:
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code == 0
    assert "0 false alarms" in result.output
    assert "MISSED" not in result.output
