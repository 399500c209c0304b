"""Claims about results that grow by other ways than a grid: runs of several lengths and dtypes under one
name, what `export` writes as a spec, and `refine`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.dataset import has_parameters, load
from experiments.points import Architecture, Point
from experiments.refinement import Line, best, boundary, grown
from experiments.spec import Spec, make_spec
from experiments.sweep import plan, run_sweep

OF = Point(Architecture(2, 3), "he", 0.0, 0, 5)
SMALL = {"depths": [1], "widths": [3], "schemes": ["he"], "seeds": [0, 1], "steps": 2}


@pytest.fixture(scope="module")
def spec(images: str) -> Spec:
    """Of its rates the largest diverges; of the others the largest is the best."""
    return make_spec({**SMALL, "data": images, "learning_rates": [0.01, 1.0, 1e9], "name": "main"})


@pytest.fixture(scope="module")
def whole(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results; not to be written to."""
    return run_sweep(spec, tmp_path_factory.mktemp("whole"), jobs=1, keep_parameters=True).parent


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refine(results: Path, *more: object) -> list[str]:
    done = invoke("refine", "main", "--results", results, "--jobs", 1, *more)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def rates(results: Path) -> list[float]:
    return sorted(set(load("main", results)["learning_rate"].values.tolist()))


# --- several lengths and dtypes ---------------------------------------------------------------


def test_runs_of_several_lengths_and_dtypes_are_under_one_name(spec: Spec, tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [{"steps": 2}, {"steps": 4}, {"steps": 3, "dtype": "float32"}]
    fields = {**SMALL, "data": spec.data, "seeds": [0], "learning_rates": [0.1, 1e9]}
    union = make_spec({**fields, "union": tables})
    for _ in range(2):  # once more where what is to be checked is stored already, at several lengths
        run_sweep(union, tmp_path, jobs=1, keep_parameters=True)
        for verdict in (tmp_path / "runs").rglob("verified-*"):
            verdict.unlink()
    runs = load("main", tmp_path)
    assert runs["steps"].values.tolist() == [2, 2, 4, 4, 3, 3]
    assert runs["dtype"].values.tolist() == [*["float64"] * 4, *["float32"] * 2]
    curves = runs["cost_curve"].values
    assert np.isnan(curves).sum(axis=1).tolist() == [2, 4, 0, 4, 1, 4]
    np.testing.assert_array_equal(curves[0, :3], curves[2, :3])
    assert runs["final_cost"].values[::2].tolist() == [curves[0, 2], curves[2, 4], curves[4, 3]]
    parameters = load("main", tmp_path, "parameters/depth1-width3-relu-cross_entropy-float64")
    assert parameters["run"].values.tolist() == [0, 2]
    assert (parameters["W1"][0] != parameters["W1"][1]).any()


def test_what_export_writes_is_a_spec_of_the_same_points_all_done(
    spec: Spec, results: Path, tmp_path: Path
) -> None:
    table = tmp_path / "points.csv"
    assert invoke("export", "main", "--csv", table, "--curves", "--results", results).exit_code == 0
    again = make_spec({"name": "again", "data": spec.data, "points": str(table)})
    assert again.points() == spec.points()
    assert plan(again, results).done == spec.count
    done = invoke("sweep", "again", "--points", table, "--data", spec.data, "--results", results, "--jobs", 1)
    assert done.stdout == f"results  {results / 'again.h5'}: 6 runs, 2 diverged\n"
    assert load("again", results)["key"].equals(load("main", results)["key"])


def test_options_take_the_place_of_fields_in_a_union_too(images: str, tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text("learning_rates = [1.0]\nseeds = [0]\n[[union]]\nsteps = 5\n[[union]]\nsteps = 6\n")
    sweep = ["sweep", file, "--dry-run", "--data", images, "--results", tmp_path]
    assert invoke(*sweep).stdout.startswith("runs     16,")
    assert invoke(*sweep, "--steps", 7, "--depth", 1).stdout.startswith("runs     2,")


# --- what is refined --------------------------------------------------------------------------


def line(costs: dict[float, list[float]], dtype: str = "float64") -> Line:
    """Of a cost for each rate and seed; infinite where diverged."""
    of = replace(OF, architecture=replace(OF.architecture, dtype=dtype))
    return Line(of, {rate: dict(enumerate(of_seeds)) for rate, of_seeds in costs.items()})


INF = float("inf")


def test_the_boundary_is_halved_on_a_log_scale_for_all_seeds_there() -> None:
    found = boundary(line({0.1: [1.0, 1.0], 1.0: [1.0], 4.0: [1.0, INF], 16.0: [INF, INF]}))
    assert found.points == [replace(OF, learning_rate=2.0, seed=seed) for seed in (0, 1)]
    assert (found.what, found.why) == ("1 to 4", "")
    apart = boundary(line({0.1: [1.0], 1.0: [INF], 4.0: [1.0], 16.0: [INF]}))
    assert [point.learning_rate for point in apart.points] == [8.0]


@pytest.mark.parametrize(
    ("costs", "why"),
    [
        ({0.1: [1.0], 1.0: [1.0]}, "no run diverged; sweep larger"),
        ({0.1: [1.0, INF], 1.0: [INF, INF]}, "at every learning rate a run diverged; sweep smaller"),
        ({0.1: [INF], 1.0: [1.0]}, "at the smallest learning rates alone"),
        ({0.1: [1.0], 0.1 * (1 + 1e-6): [INF]}, "near enough"),
    ],
)
def test_a_boundary_that_cannot_be_halved_says_why(costs: dict[float, list[float]], why: str) -> None:
    found = boundary(line(costs))
    assert not found.points
    assert why in found.why


def test_the_best_rate_has_the_lowest_median_and_gets_both_neighbours() -> None:
    found = best(line({0.25: [3.0] * 3, 1.0: [1.0, 2.0, INF], 4.0: [0.1, INF, INF]}))
    assert [(point.learning_rate, point.seed) for point in found.points] == [
        (rate, seed) for rate in (0.5, 2.0) for seed in (0, 1, 2)
    ]
    assert found.what == "1 (cost 2)"
    edge = best(line({0.25: [3.0], 1.0: [1.0]}))
    assert [point.learning_rate for point in edge.points] == [0.5]
    assert "the best is the largest learning rate; sweep larger ones" in edge.why
    assert "the best is the smallest learning rate; sweep smaller ones" in best(line({1.0: [1.0]})).why
    assert "at every learning rate half of the runs diverged" in best(line({1.0: [1.0, INF, INF]})).why


@pytest.mark.parametrize(("dtype", "halvings"), [("float64", 18), ("float32", 15)])
def test_halving_ends_where_the_rates_are_near_enough(dtype: str, halvings: int) -> None:
    low, high, found = 1.0, 10.0, []
    while points := boundary(line({low: [1.0], high: [INF]}, dtype)).points:
        low = points[0].learning_rate
        found.append(low)
    assert len(found) == halvings
    assert len({np.dtype(dtype).type(rate) for rate in [1.0, *found, high]}) == halvings + 2


def test_a_spec_grows_by_points_and_those_of_before_stay() -> None:
    spec = make_spec({**SMALL, "learning_rates": [0.1], "data": "somewhere", "train_fraction": 0.5})
    more = [replace(OF, learning_rate=rate) for rate in (1.0, 2.0, 3.0)]
    once = grown(spec, more[:1])
    twice = grown(once, more[1:])
    assert twice.points() == [*spec.points(), *more]
    assert len(twice.union) == 2
    assert twice.source == spec.source
    assert make_spec(json.loads(twice.canonical())) == twice


# --- the command ------------------------------------------------------------------------------


def test_each_refinement_halves_the_gap_and_adds_to_the_same_results(spec: Spec, results: Path) -> None:
    before = load("main", results)
    assert refine(results)[1:] == [
        "depth  scheme  boundary    new rates  now",
        "1      he      1 to 1e+09  31622.8    1 to 31622.8",
    ]
    after = load("main", results)
    assert rates(results) == [0.01, 1.0, 31622.7766017, 1e9]
    assert after["key"].values.tolist()[:6] == before["key"].values.tolist()
    np.testing.assert_array_equal(after["cost_curve"][:6], before["cost_curve"])
    assert has_parameters("main", results), "as before"
    assert refine(results)[2].split()[-3:] == ["177.828", "to", "31622.8"]
    assert len(rates(results)) == 5
    assert make_spec(json.loads(load("main", results).attrs["spec"])).count == 10


@pytest.mark.slow
def test_the_best_rate_is_refined_and_what_there_is_beyond_is_said(results: Path) -> None:
    table = refine(results, "--of", "best")
    assert table[1].split() == ["depth", "scheme", "best", "new", "rates", "now"]
    assert table[2].split()[:2] == ["1", "he"]
    assert rates(results) == [0.01, 0.1, 1.0, 31622.7766017, 1e9]


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(results: Path) -> None:
    before = (results / "main.h5").read_bytes()
    told = refine(results, "--dry-run")
    assert told[0] == "runs     8, of which 6 done"
    assert told[-1] == "1      he      1 to 1e+09  31622.8"
    assert (results / "main.h5").read_bytes() == before


def test_where_nothing_diverged_a_sentence_says_so(spec: Spec, results: Path) -> None:
    run_sweep(make_spec({**spec.model_dump(), "learning_rates": [0.01, 1.0]}), results, jobs=1)
    assert refine(results) == ["depth 1 scheme he: no run diverged; sweep larger learning rates, too."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "there is no "),
        (["main", "--of", "bset"], "--of: got 'bset', expected 'boundary' or 'best' (did you mean 'best'?)"),
        (["main", "--jobs", "0"], "jobs: got 0, expected a whole number"),
    ],
)
def test_what_cannot_be_refined_is_a_sentence(arguments: list[str], message: str, whole: Path) -> None:
    done = invoke("refine", *arguments, "--results", whole)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_results_that_their_spec_would_not_give_today_are_not_refined(results: Path) -> None:
    shutil.rmtree(results / "runs")
    done = invoke("refine", "main", "--results", results)
    assert done.exit_code == 2
    assert "6 of 6 runs of 'main' are of other data, functions or revision" in done.stderr
    assert "run its sweep again first" in done.stderr
