"""Claims about `show`: what it says of a sweep is what came of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from experiments.answers.selection import chosen, in_order
from experiments.answers.summary import frame
from experiments.cli import app
from experiments.dataset import load
from experiments.points import Architecture, Point
from experiments.spec import SpecError
from experiments.store import Store
from tests.experiments.made import ENVIRONMENT, ORIGIN, SMALL, TIMES, combine, trained

DEEP = replace(SMALL, depth=4)
RATES = (0.1, 1.0, 10.0)
SEEDS = 3


def put(
    store: Store, architecture: Architecture, costs: Sequence[Sequence[float]], **ends: Any
) -> list[Point]:
    """Runs of one architecture with these final costs, a row a learning rate and a column a seed; NaN:
    diverged at step 2."""
    of = [
        Point(architecture, "he", rate, seed, 5)
        for rate, row in zip(RATES, costs, strict=True)
        for seed in range(len(row))
    ]
    final = np.concatenate([np.asarray(row, float) for row in costs])
    made = trained(of, diverged=np.flatnonzero(np.isnan(final)).tolist(), **ends)
    curve = np.where(np.isnan(made.cost_curve), np.nan, np.nan_to_num(final, nan=1.0)[:, None])
    store.write(
        of, replace(made, cost_curve=curve, seconds=np.full(len(of), 0.5)), ORIGIN, ENVIRONMENT, TIMES
    )
    return of


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two architectures of nine runs; not to be written to."""
    store = Store(tmp_path_factory.mktemp("answers") / "results")
    nan = np.nan
    of = put(store, SMALL, [[0.5, 0.6, 0.7], [0.2, 0.1, 0.3], [nan, 0.01, nan]])
    of += put(store, DEEP, [[0.4, 0.4, 0.1], [0.9, 0.9, 0.9], [0.8, 0.8, 0.8]])
    combine(store, of)
    return store.results


@pytest.fixture(scope="module")
def answer(results: Path) -> dict[str, Any]:
    """Of all of them."""
    return shown(results)


@pytest.fixture(scope="module")
def runs(results: Path) -> pd.DataFrame:
    return frame(load("main", results, curves=False))


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def shown(results: Path, *more: object) -> dict[str, Any]:
    result = invoke("show", "main", "--results", results, "--json", *more)
    assert result.exit_code == 0, result.output

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    answer: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return answer


# --- the summary --------------------------------------------------------------------------------------


def test_the_best_of_a_depth_has_the_lowest_median_over_seeds(answer: dict[str, Any]) -> None:
    small, deep = answer["best"]
    assert (small["of"]["depth"], small["of"]["learning_rate"], small["runs"]) == (2, 1.0, 3)
    assert small["final_cost"] == {"median": 0.2, "lowest": 0.1, "highest": 0.3}
    assert (deep["of"]["depth"], deep["of"]["learning_rate"], deep["diverged"]) == (4, 0.1, 0)
    assert deep["final_cost"] == {"median": 0.4, "lowest": 0.1, "highest": 0.4}


def test_a_diverged_run_counts_as_one_of_infinite_cost(tmp_path: Path) -> None:
    store, nan = Store(tmp_path), np.nan
    combine(store, put(store, SMALL, [[0.5, 0.6, 0.7], [0.1, nan, 0.1], [0.01, nan, nan]]))
    [best] = shown(tmp_path)["best"]
    assert (best["of"]["learning_rate"], best["diverged"]) == (1.0, 1)
    assert best["final_cost"] == {"median": 0.1, "lowest": 0.1, "highest": 0.1}
    answer = shown(tmp_path, "--where", "learning_rate > 5")
    [best], [boundary] = answer["best"], answer["boundaries"]
    assert (boundary["none_up_to"], boundary["some_from"]) == (None, 10.0)
    assert (answer["runs"], answer["of"], len(answer["table"])) == (3, 9, 3)
    assert best["final_cost"] == {"median": None, "lowest": 0.01, "highest": 0.01}


def test_the_boundary_is_the_last_rate_without_and_the_first_with_a_diverged_run(
    answer: dict[str, Any],
) -> None:
    small, deep = answer["boundaries"]
    assert (small["none_up_to"], small["some_from"], small["diverged"]) == (1.0, 10.0, 2)
    assert (deep["none_up_to"], deep["some_from"], deep["diverged"]) == (10.0, None, 0)
    assert small["none_at"] is deep["none_at"] is None


def test_the_boundary_is_below_the_first_rate_that_diverges(tmp_path: Path) -> None:
    store, nan = Store(tmp_path), np.nan
    combine(store, put(store, SMALL, [[0.5, 0.5], [0.5, nan], [0.5, 0.5]]))
    [boundary] = shown(tmp_path)["boundaries"]
    rates = ("lowest_rate", "highest_rate", "none_up_to", "some_from", "none_at")
    assert [boundary[name] for name in rates] == [0.1, 10.0, 0.1, 1.0, 10.0]


def test_what_ended_early_is_counted_with_its_step_and_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    of = [Point(SMALL, "he", rate, 0, 5) for rate in (0.1, 0.2, 0.3, 0.4, 0.5)]
    made = trained(of, diverged=[0], stalled=[1, 2, 3, 4])
    start, end = np.ones((5, 2)), np.array([[np.nan] * 2, [0, 0], [0, 0], [0.9, 0.9], [1e-9, 0]])
    curve = made.cost_curve.copy()
    curve[2] = 0
    store.write(
        of, replace(made, cost_curve=curve, gradient_norm_start=start, gradient_norm_end=end), ORIGIN,
        ENVIRONMENT, TIMES,
    )  # fmt: skip
    combine(store, of)
    answer = shown(tmp_path)
    [boundary], ended = answer["boundaries"], answer["ended"]
    assert [boundary[name] for name in ("none_up_to", "some_from", "none_at")] == [None, 0.1, 0.5]
    assert "and none at 0.5" in invoke("show", "main", "--results", tmp_path).stdout
    assert [(each["what"], each["runs"], each["step"]["median"]) for each in ended] == [
        ("diverged", 1, 2), *[("stalled", 1, 4)] * 4
    ]  # fmt: skip
    for words, each in zip(
        ["1000 times the first", "fitted to the last bit", "dead", "at least half", "below half"],
        ended,
        strict=True,
    ):
        assert words in each["why"]


def test_it_says_what_was_run_verified_and_spent(results: Path, answer: dict[str, Any]) -> None:
    assert (answer["runs"], answer["of"], answer["diverged"], answer["stalled"]) == (18, 18, 2, 0)
    assert answer["axes"]["learning_rate"] == {"count": 3, "first": 0.1, "last": 10.0, "values": [0.1, 1, 10]}
    assert answer["about"]["data_sha256"] == ORIGIN.data
    [verified] = answer["verified"]
    assert (verified["architectures"], verified["networks"]) == (2, {"start": 8, "end": 8})
    assert (verified["sigma_error"], verified["checkers"]) == (11, ["checker"])  # see `made.verdict`
    assert verified["caught"] == 11 / 2**52
    assert (verified["coarsest"]["output"], verified["coarsest"]["layer"]) == ("db", 4)
    assert answer["seconds"] == 9.0
    files = list((results / "runs").rglob("*.h5"))
    size = sum(file.stat().st_size for file in files)
    assert answer["disk"] == {"file": (results / "main.h5").stat().st_size, "runs": size, "files": len(files)}
    text = invoke("show", results / "main.h5").stdout
    for words in (
        "18, 2 diverged, 0 stalled",
        "0.1, 1, 10",
        "would have caught an error of 3e-15 of db",
        "9 s",
        "not reached",
    ):
        assert words in text


# --- some of the runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("depth == 2 and learning_rate < 5", 6),
        ("(depth == 2) & ~diverged", 7),
        ("0.05 < learning_rate < 5 and not diverged", 12),
        ("scheme in ['he', 'small'] and seed in [0, 2]", 12),
        ("depth * learning_rate == 40 or diverged", 5),
        ("stalled", 0),
    ],
)
def test_where_takes_some_of_the_runs(where: str, count: int, runs: pd.DataFrame) -> None:
    assert len(chosen(runs, where)) == count


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("dpeth == 2", "got 'dpeth', which is no column (did you mean 'depth'?); expected one of depth,"),
        ("depth ==", "which is no expression (invalid syntax)"),
        ("depth", "depth is not true or false for each run"),
        ("depth and diverged", "depth is not true or false for each run"),
        ("depth == 'he'", "depth is compared with 'he', and it holds numbers"),
        ("scheme == 2", "scheme is compared with 2, and it holds words, in quotes"),
        ("scheme < 'he'", "which cannot be computed"),
        ("1 == 1", "which names no column"),
        ("depth == None", "with None"),
        ("depth.mean() == 2", "with a call"),
        ("depth.values == 2", "with an attribute"),
        ("depth[0] == 2", "with an index"),
        ("@depth == 2", "which is no expression"),
        ("__import__('os').system('touch made') == 0", "with a call"),
        ("().__class__ == 2", "with an attribute"),
        ("depth == 9**9**9**9", "with Pow"),
        ("depth == 2 and 'a' * 9000 == 'b'", "with arithmetic of 'a'"),
        ("depth == 2 and 9000 * (2 * 'a') == 'b'", "with arithmetic of 'a'"),
        ("(" * 4000 + "depth" + ")" * 4000, "which is no expression"),
        ("-" * 9000 + "depth == 2", ""),
        ("depth == 2" + " or depth == 2" * 1000, "of 14010 characters"),
        ("", "which is no expression"),
    ],
)
def test_a_malformed_where_is_a_sentence(where: str, message: str, runs: pd.DataFrame) -> None:
    with pytest.raises(SpecError) as caught:
        chosen(runs, where)
    assert message in str(caught.value)
    assert str(caught.value).startswith("where: got ")
    assert len(str(caught.value).splitlines()) == 1


def test_sort_is_by_a_column_from_either_end_with_what_has_none_last(runs: pd.DataFrame) -> None:
    rising = runs["final_cost"].sort_values().tolist()
    np.testing.assert_array_equal(in_order(runs, "final_cost")["final_cost"], rising)
    falling = in_order(runs, "-final_cost")["final_cost"].tolist()
    np.testing.assert_array_equal(falling, [*rising[:-2][::-1], np.nan, np.nan])
    with pytest.raises(SpecError, match=r"sort: got 'costs', which is no column .did you mean 'cost'\?"):
        in_order(runs, "costs")


def test_a_terminal_gets_the_first_runs_and_a_pipe_all(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.answering.FIRST", 5)
    asked = ["show", "main", "--results", results, "--sort", "-diverged", "--where", "depth == 2"]
    everything = invoke(*asked).stdout
    assert everything.count("diverged at 2") == 2
    assert len(everything.split("final_cost")[1].splitlines()) == 1 + 9
    monkeypatch.setattr("experiments.answering._is_terminal", lambda: True)
    first = invoke(*asked).stdout
    assert "and 4 more runs: --all shows them" in first
    assert len(first.split("final_cost")[1].splitlines()) == 1 + 5 + 1
    assert invoke(*asked, "--all").stdout == everything


def test_a_where_that_is_malformed_exits_2(results: Path) -> None:
    result = invoke("show", "main", "--results", results, "--where", "depth.mean() == 2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: where: got 'depth.mean() == 2', with a call; expected")


def test_nothing_that_a_terminal_would_obey_is_printed(tmp_path: Path) -> None:
    store = Store(tmp_path / "\x1b[31mresults")
    combine(store, put(store, SMALL, [[0.5], [0.2], [0.1]]), data="\x1b[31m.h5")
    for verb in (["show", "main"], ["list"]):
        assert "\x1b" not in invoke(*verb, "--results", store.results).stdout
