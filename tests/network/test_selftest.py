"""Claims about the catalogue: what is wrong is caught and rightly blamed, what is right passes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from sandbox.network import selftest
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.catalogue import RIGHT, WRONG, Implementation
from sandbox.network.costs import COSTS
from sandbox.network.selftest import CATALOGUE, WORKSPACES, Outcome, SelfTest, run_selftest
from sandbox.network.workspace import is_possible
from sandbox.verifier.rows import Matter


@pytest.fixture(scope="module")
def result() -> SelfTest:
    """The self-test, run once for all claims about it."""
    return run_selftest()


@pytest.fixture(scope="module")
def outcomes(result: SelfTest) -> dict[str, Outcome]:
    return {outcome.implementation.name: outcome for outcome in result.outcomes}


def test_the_catalogue_is_as_large_as_is_claimed() -> None:
    assert len({entry.name for entry in WRONG}) >= 40
    assert len({entry.name for entry in RIGHT}) >= 15
    assert all(entry.mistake for entry in WRONG)


def test_no_two_implementations_have_the_same_name() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("of", [WRONG, RIGHT], ids=["wrong", "right"])
def test_one_of_each_function_is_judged_as_it_should_be(of: tuple[Implementation, ...]) -> None:
    one_each = {entry.replaces: entry for entry in of}
    assert run_selftest(list(one_each.values()))


@pytest.mark.slow
def test_the_self_test_is_of_the_whole_catalogue(result: SelfTest) -> None:
    assert [outcome.implementation for outcome in result.outcomes] == [*CATALOGUE]
    assert (*WRONG, *RIGHT, *WORKSPACES) == CATALOGUE


@pytest.mark.slow
@pytest.mark.parametrize("entry", WRONG, ids=lambda entry: entry.name)
def test_a_wrong_implementation_is_caught_and_its_function_blamed(
    entry: Implementation, outcomes: dict[str, Outcome]
) -> None:
    first = outcomes[entry.name].first
    assert first is not None
    assert (first.function, first.matter) == (entry.replaces, entry.matter)


@pytest.mark.slow
def test_manners_alone_pass_where_the_check_is_not_strict(outcomes: dict[str, Outcome]) -> None:
    passed = {name for name, outcome in outcomes.items() if outcome.passed and outcome.implementation.wrong}
    assert passed == {entry.name for entry in WRONG if entry.matter is Matter.MANNER} != set()


@pytest.mark.slow
@pytest.mark.parametrize("entry", [*RIGHT, *WORKSPACES], ids=lambda entry: entry.name)
def test_a_right_implementation_raises_no_alarm(entry: Implementation, outcomes: dict[str, Outcome]) -> None:
    first = outcomes[entry.name].first
    assert first is None, str(first)


def test_the_workspace_is_tested_for_all_that_is_computed_in_place() -> None:
    in_place = [(a, c) for a in ACTIVATIONS for c in COSTS if is_possible(a, c)]
    assert [entry.name for entry in WORKSPACES] == [f"workspace_{a}_{c}" for a, c in in_place] != []


def test_a_self_test_that_misses_something_is_false() -> None:
    right_for_relu = next(entry for entry in RIGHT if entry.replaces == "relu")
    unnoticed = Implementation("fine", "relu", right_for_relu.function, wrong=True)
    alarm = Implementation("alarm", WRONG[0].replaces, WRONG[0].function, wrong=False)
    assert not run_selftest([unnoticed])
    assert not run_selftest([alarm])


@pytest.mark.slow
def test_the_command_prints_the_table_and_succeeds(result: SelfTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "run_selftest", lambda: result)
    printed = CliRunner().invoke(app, ["selftest"])
    assert printed.exit_code == 0
    assert "0 false alarms" in printed.output
    assert "MISSED" not in printed.output
    assert printed.output.count("caught") == len(WRONG) + 1  # and in the summary


def test_the_command_fails_when_a_mistake_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = SelfTest((Outcome(WRONG[0], None, True, 0.0),))
    monkeypatch.setattr(selftest, "run_selftest", lambda: missed)
    printed = CliRunner().invoke(app, ["selftest"])
    assert printed.exit_code == 1
    assert "MISSED" in printed.output


@pytest.mark.slow
def test_the_command_runs_the_self_test_by_itself() -> None:
    command = [sys.executable, "-c", "from experiments.entry import main; main()", "selftest"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(WRONG)} of {len(WRONG)} wrong implementations caught" in " ".join(done.stdout.split())
