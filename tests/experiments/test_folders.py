"""Claims about list, diff and rm: every sweep is told, and no run is lost that a name refers to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from experiments.answers.differences import differences
from experiments.answers.removal import planned, remove
from experiments.cli import app
from experiments.dataset import load
from experiments.store import Store, StoreError
from tests.experiments.made import ENVIRONMENT, ORIGIN, SMALL, TIMES, combine, points, put, trained, verdict

DEEP = replace(SMALL, depth=3)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two architectures; the names "one" and "two", which share three runs of the first."""
    store = Store(tmp_path_factory.mktemp("made") / "results")
    put(store, points()[:3], diverged=[1])
    put(store, points()[3:])
    put(store, points(DEEP))
    for architecture in (SMALL, DEEP):
        store.write_verification(verdict(architecture), ORIGIN)
    combine(store, [*points()[:3], *points(DEEP)], "one")
    combine(store, points(), "two")
    return store.results


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    return Store(shutil.copytree(made, tmp_path / "results"))


def files(store: Store) -> set[str]:
    return {str(path.relative_to(store.results)) for path in store.results.rglob("*.h5")}


# --- list ---------------------------------------------------------------------------------------------


def test_every_sweep_is_listed_with_what_cannot_be_read_and_what_is_not_finished(store: Store) -> None:
    put(store, points(DEEP, steps=9))
    (store.results / "torn.h5").write_bytes((store.results / "one.h5").read_bytes()[:-1])
    (store.results / "folder.h5").mkdir()
    with store.exclusive("busy"):
        pass
    with store.working(), store.exclusive("two"):
        answer = json.loads(invoke("list", "--results", store.results, "--json").stdout)
    of = {each["name"]: each for each in answer["sweeps"]}
    assert {name: each["state"] for name, each in of.items()} == {
        "one": "finished", "two": "being swept", "torn": "finished", "folder": "finished", "busy": "begun"
    }  # fmt: skip
    assert (of["one"]["runs"], of["one"]["diverged"], of["one"]["depths"]) == (9, 1, [2, 3])
    assert "torn.h5 is damaged" in of["torn"]["problem"]
    assert answer["unnamed"]["runs"] == 6
    text = invoke("list", "--results", store.results).stdout
    for words in ("begun, not finished", "torn.h5 is damaged", "folder.h5 is damaged or was not written by"):
        assert words in text


def test_a_folder_without_sweeps_is_told(tmp_path: Path) -> None:
    result = invoke("list", "--results", tmp_path / "absent")
    assert (result.exit_code, result.stdout) == (0, f"no sweeps in {tmp_path / 'absent'}\n")
    (tmp_path / "file").write_text("mine")
    result = invoke("list", "--results", tmp_path / "file")
    assert (result.exit_code, result.stderr.split(",")[0]) == (
        2,
        f"Error: results: {tmp_path / 'file'} is a file",
    )


# --- diff ---------------------------------------------------------------------------------------------


def test_sweeps_that_are_alike_but_for_their_order_do_not_differ(store: Store) -> None:
    combine(store, points()[::-1], "again")
    result = invoke("diff", "two", "again", "--results", store.results)
    assert (result.exit_code, result.stdout) == (0, "two and again are alike: 6 runs, bit for bit\n")


def test_runs_that_differ_are_told_from_those_that_do_not(store: Store, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    made = trained(points())
    curve = made.cost_curve.copy()
    curve[4, 2] = np.nextafter(curve[4, 2], 2)
    elsewhere.write(
        points(), replace(made, cost_curve=curve), ORIGIN, {**ENVIRONMENT, "machine": "another"}, TIMES
    )
    combine(elsewhere, points(), "two")
    found = differences(load("two", store.results), load("two", elsewhere.results))
    assert found.made_with == {"machine": ("m", "another")}
    assert (found.only_a, found.only_b, found.shared.runs, found.shared.alike) == (0, 0, 6, 4)
    gaps = {gap.value: gap for gap in found.shared.gaps}
    assert gaps["cost_curve"].runs == 2
    assert gaps["cost_curve"].largest is None  # of the one that diverged here, and not there
    assert gaps["diverged_at"].runs == gaps["final_cost"].runs == 1
    assert gaps["final_cost"].of["learning_rate"] == 0.1
    result = invoke("diff", store.results / "two.h5", elsewhere.results / "two.h5")
    assert result.exit_code == 1
    assert "6 of both: 4 alike bit for bit" in result.stdout


def test_one_bit_of_a_curve_is_a_difference_with_its_place(store: Store, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    made = trained(points(DEEP))
    curve = made.cost_curve.copy()
    curve[4, 2] = np.nextafter(curve[4, 2], 2)
    elsewhere.write(points(DEEP), replace(made, cost_curve=curve), ORIGIN, ENVIRONMENT, TIMES)
    combine(elsewhere, points(DEEP), "deep")
    found = differences(load("one", store.results), load("deep", elsewhere.results))
    assert (found.only_a, found.only_b, found.shared.runs, found.shared.alike) == (3, 0, 6, 5)
    [gap] = found.shared.gaps
    assert (gap.value, gap.runs, gap.step, gap.b) == ("cost_curve", 1, 2, curve[4, 2])
    assert (gap.of["learning_rate"], gap.of["seed"]) == (1.0, 1)
    assert gap.largest is not None
    assert 0 < gap.largest < 1e-14


def test_runs_of_other_code_are_compared_by_their_points(store: Store) -> None:
    other = replace(ORIGIN, code="e" * 64)
    put(store, points()[:4], other, diverged=[1])
    combine(store, points()[:4], "other", origin=other)
    found = differences(load("two", store.results), load("other", store.results))
    assert found.made_with["code_revision"] == ("c" * 64, "e" * 64)
    assert (found.only_a, found.only_b, found.shared.runs) == (2, 0, 0)
    assert (found.others.runs, found.others.alike) == (4, 4)


# --- rm -----------------------------------------------------------------------------------------------


def test_runs_go_that_no_other_name_refers_to_and_all_others_stay(store: Store) -> None:
    before = files(store)
    result = invoke("rm", "one", "--results", store.results, "--yes")
    assert result.exit_code == 0, result.output
    gone = before - files(store)
    assert {path.split("/")[-2] for path in gone if "/" in path} == {
        "depth3-width3-relu-cross_entropy-float64"
    }
    assert len(gone) == 3  # the name, the file of its deep runs and the verdict on these
    assert "stay     3 runs" in result.stdout
    assert store.read(points(), ORIGIN).runs.keys() == set(points())
    assert not list(store.runs.glob("*/depth3*"))
    assert invoke("rm", "two", "--results", store.results, "--yes").exit_code == 0
    assert files(store) == set()


def test_a_file_stays_whole_while_a_name_refers_to_one_of_its_runs(store: Store) -> None:
    combine(store, points()[4:5], "some")
    assert (planned(store.results, ["two"]).runs, planned(store.results, ["two"]).stay) == (0, 6)
    assert planned(store.results, ["two", "some"]).runs == 3


def test_runs_of_no_name_go_when_that_is_asked_for(store: Store) -> None:
    file = put(store, points(DEEP, steps=9))
    assert invoke("rm", "--unnamed", "--results", store.results, "--yes").exit_code == 0
    assert not file.exists()
    assert {"one.h5", "two.h5"} < files(store)
    assert planned(store.results, [], unnamed=True).size == 0


def test_nothing_goes_on_a_dry_run_or_where_nobody_can_be_asked(store: Store) -> None:
    before = files(store)
    assert invoke("rm", "one", "--results", store.results, "--dry-run").exit_code == 0
    result = invoke("rm", "one", "--results", store.results)
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: rm: there is no terminal to ask, expected --yes; give --yes, or --dry-run.\n"
    )
    assert files(store) == before


def torn(store: Store) -> None:
    (store.results / "two.h5").write_bytes(b"torn")


def foreign(store: Store) -> None:
    (store.results / "data.h5").write_bytes(b"mine")


@pytest.mark.parametrize("make", [torn, foreign])
def test_nothing_goes_while_it_is_not_known_to_which_runs_a_file_refers(
    make: Callable[[Store], None], store: Store
) -> None:
    make(store)
    with pytest.raises(StoreError, match="not known which runs it refers to, and nothing is removed"):
        planned(store.results, ["one"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "there is no"),
        ([], "names: got none, expected those of results to remove, or --unnamed"),
        (["a/one.h5", "b/two.h5"], "names: got files of 2 folders"),
    ],
)
def test_what_cannot_be_removed_is_a_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = invoke("rm", *arguments, "--results", tmp_path, "--yes")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_nothing_goes_while_another_process_works_in_the_folder(store: Store) -> None:
    removal, before = planned(store.results, ["one"]), files(store)
    with store.working(), pytest.raises(StoreError, match=r"another process works in .*; wait for it, then"):
        remove(store.results, removal)
    left = store.results / ".work" / "elsewhere@1"
    left.mkdir()
    with pytest.raises(StoreError, match=r"wait for it \(or remove .*elsewhere@1, where the process"):
        remove(store.results, removal)
    assert files(store) == before


def test_a_name_that_was_begun_and_left_can_be_removed(store: Store) -> None:
    work = store.results / ".work"
    for shard in ("", "1/2"):
        with store.exclusive("left", shard):
            pass
    (work / "left.live.json").write_text("{}")
    remove(store.results, planned(store.results, ["left"]))
    assert not [path for path in work.iterdir() if path.name.startswith("left")]


def test_nothing_goes_that_was_not_shown(store: Store) -> None:
    removal, before = planned(store.results, ["one"]), files(store)
    combine(store, points(DEEP), "three")
    with pytest.raises(StoreError, match="has changed meanwhile, expected what was shown"):
        remove(store.results, removal)
    assert files(store) == before | {"three.h5"}


@pytest.mark.parametrize("after", range(3))
def test_what_is_stopped_in_between_can_be_done_again(
    after: int, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Store(shutil.copytree(store.results, tmp_path / "whole"))
    remove(whole.results, planned(whole.results, ["one"]))
    unlink, left = Path.unlink, iter(range(after))

    def stopping(path: Path, **options: Any) -> None:
        if path.suffix == ".h5" and next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stopping)
        with pytest.raises(KeyboardInterrupt):
            remove(store.results, planned(store.results, ["one"]))
    assert (store.results / "one.h5").exists()
    remove(store.results, planned(store.results, ["one"]))
    assert files(store) == files(whole)
