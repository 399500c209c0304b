"""Claims about the combined file and the table made from it: exact, whole, and open to other programs."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray

import experiments.dataset
from experiments.dataset import MEANING, load, write_dataset
from experiments.export import COLUMNS, to_csv
from experiments.files import HOST
from experiments.points import Architecture, Point, key
from experiments.store import Store, StoreError
from tests.experiments.made import ENVIRONMENT, ORIGIN, SMALL, contents, points, put, trained, verdict

DEEP = Architecture(3, 2, "tanh")
SPEC = json.dumps({"name": "main", "data": "digits"})
ABOUT = {"spec": SPEC, "data_source": "made up", "data_preprocessing": "none"}
EVERY = [*points(DEEP), *points()]
KEPT, DIVERGED, STALLED = [0, 2, 5], [1], [3]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, told: list[str]) -> Store:
    """Two groups, of two architectures."""
    store = Store(tmp_path / "results", told.append)
    put(store, points(), kept=KEPT, diverged=DIVERGED, stalled=STALLED)
    put(store, points(DEEP)[::-1], environment={**ENVIRONMENT, "machine": "another"})
    return store


def combine(store: Store, of: list[Point] = EVERY, *, name: str = "main", parameters: bool = False) -> Path:
    verdicts = [verdict(), verdict(moment="end"), verdict(DEEP)]
    return write_dataset(store, name, of, ORIGIN, verdicts, ABOUT, parameters=parameters)


# --- what it holds ------------------------------------------------------------------------------------


def test_it_holds_exactly_the_points_in_their_order_and_every_number_as_it_was(store: Store) -> None:
    order = EVERY[::-1]
    combine(store, order)
    runs, layers = load("main", store.results), load("main", store.results, "layers")
    assert runs["key"].values.tolist() == [key(point, ORIGIN) for point in order]
    for name in ("learning_rate", "seed", "scheme", "steps"):
        assert runs[name].values.tolist() == [getattr(point, name) for point in order]
    for name in ("depth", "width", "activation", "cost", "dtype"):
        assert runs[name].values.tolist() == [getattr(point.architecture, name) for point in order]
    small = trained(points()[::-1], diverged=[4], stalled=[2])
    deep = trained(points(DEEP)[::-1])
    for name in ("cost_curve", "diverged_at", "stalled_at", "train_accuracy", "test_accuracy", "seconds"):
        expected = np.concatenate([getattr(small, name), getattr(deep, name)])
        np.testing.assert_array_equal(runs[name], expected, strict=False)
    np.testing.assert_array_equal(runs["final_cost"], runs["cost_curve"].isel(step=-1))
    for name in ("gradient_norm_start", "gradient_norm_end"):
        np.testing.assert_array_equal(layers[name][:6, :2], getattr(small, name))
        np.testing.assert_array_equal(layers[name][6:], getattr(deep, name))
        assert np.isnan(layers[name][:6, 2]).all()  # depth 2 has no layer 3
    assert layers["depth"].values.tolist() == [2] * 6 + [3] * 6


def test_curves_are_as_long_as_the_longest_run_and_end_where_each_does(store: Store) -> None:
    longer = points(steps=8, seeds=1)
    put(store, longer, kept=[1])
    every = [longer[1], *points(), longer[0]]
    combine(store, every, parameters=True)
    runs = load("main", store.results)
    curves = runs["cost_curve"].values
    np.testing.assert_array_equal(curves[[-1, 0]], trained(longer).cost_curve)
    np.testing.assert_array_equal(curves[1:-1, :6], trained(points(), diverged=DIVERGED).cost_curve)
    assert np.isnan(curves[1:-1, 6:]).all()
    last = [curves[i, steps] for i, steps in enumerate(runs["steps"].values)]
    np.testing.assert_array_equal(runs["final_cost"], last)
    kept = load("main", store.results, "parameters/depth2-width3-relu-cross_entropy-float64")
    assert kept["run"].values.tolist() == [0, *(1 + run for run in KEPT)]
    np.testing.assert_array_equal(kept["W1"][0], trained(longer, kept=[1]).parameters["W1"][0])
    np.testing.assert_array_equal(kept["W1"][1:], trained(points(), kept=KEPT).parameters["W1"])


@pytest.mark.parametrize("block", [1, 100, 150])
def test_it_is_the_same_in_blocks_of_any_size(
    block: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    combine(store, EVERY[::2] + EVERY[1::2])
    whole = load("main", store.results)
    monkeypatch.setattr(experiments.dataset, "CHUNK", 8 * 6)
    monkeypatch.setattr(experiments.dataset, "BLOCK", block)
    combine(store, EVERY[::2] + EVERY[1::2])
    xarray.testing.assert_identical(load("main", store.results), whole)


def test_it_says_where_its_numbers_come_from(store: Store) -> None:
    combine(store)
    attributes = load("main", store.results).attrs
    assert attributes["spec"] == SPEC
    assert attributes["data_source"] == "made up"
    assert (attributes["data_sha256"], attributes["code_revision"]) == (ORIGIN.data, ORIGIN.code)
    assert attributes["machine"] == "another; m"
    assert attributes["schema_version"] == 2
    assert {"packages", "python", "git_revision", "blas"} <= attributes.keys()
    assert attributes["started"] < attributes["ended"]


def test_it_holds_the_verdicts_by_architecture_and_layer(store: Store) -> None:
    combine(store)
    verdicts = load("main", store.results, "verification")
    assert verdicts["moment"].values.tolist() == ["start", "end", "start"]
    assert verdicts["depth"].values.tolist() == [2, 2, 3]
    assert verdicts["schemes"].values.tolist() == ["he, small"] * 3
    np.testing.assert_array_equal(verdicts["sigma_error"][0, :2], verdict().sigma_error)
    assert np.isnan(verdicts["sigma_error"][0, 2]).all()
    assert verdicts["sigma_error"].sel(output="dW", layer=3).values.tolist()[2] == 7


def test_it_holds_final_parameters_where_asked_for(store: Store) -> None:
    combine(store, parameters=True)
    group = "parameters/depth2-width3-relu-cross_entropy-float64"
    kept = load("main", store.results, group)
    assert kept["run"].values.tolist() == [6 + run for run in KEPT]
    for name, value in trained(points(), kept=KEPT).parameters.items():
        np.testing.assert_array_equal(kept[name], value, strict=False)
    combine(store)
    with pytest.raises(StoreError, match="has no group 'parameters/depth2"):
        load("main", store.results, group)


def test_a_run_that_is_not_stored_or_not_verified_is_not_reported(store: Store) -> None:
    with pytest.raises(StoreError, match=r"3 of 15 runs are not stored .* run the same command again"):
        combine(store, [*EVERY, *points(rates=(9.0,))])
    with pytest.raises(StoreError, match=r"gradients of depth3-width2.*, he, were not checked"):
        write_dataset(store, "main", EVERY, ORIGIN, [verdict()], ABOUT)
    assert not (store.results / "main.h5").exists()


# --- other programs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"engine": "h5netcdf"}])
def test_xarray_opens_and_selects(options: dict[str, str], store: Store) -> None:
    path = combine(store)
    with xarray.open_dataset(path, **options) as runs:  # type: ignore[arg-type]
        xarray.testing.assert_identical(runs.load(), load("main", store.results))
        assert runs.sel(step=3)["cost_curve"].dims == ("run",)
        assert runs.sel(run=4)["seed"] == EVERY[4].seed
        assert (runs.where(runs["depth"] == 3, drop=True)["width"] == 2).all()
        assert runs.set_xindex("learning_rate").sel(learning_rate=0.1).sizes["run"] == 6
        assert runs.groupby("depth").mean()["seconds"].sizes == {"depth": 2}
        grid = runs.set_index(run=["depth", "learning_rate", "seed"]).unstack("run")
        assert grid["final_cost"].sizes == {"depth": 2, "learning_rate": 2, "seed": 3}
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert {"/", "/layers", "/verification"} <= set(tree.groups)


def test_pandas_gets_a_row_a_run_and_step(store: Store) -> None:
    combine(store)
    runs = load("main", store.results)
    table = runs.to_dataframe()
    assert table.index.names == ["run", "step"]
    assert len(table) == len(EVERY) * 6
    assert table["cost_curve"][3, 2] == runs["cost_curve"].values[3, 2]
    assert len(runs.drop_dims("step").to_dataframe()) == len(EVERY)


def test_plain_h5py_finds_names_dimensions_units_and_meanings(store: Store) -> None:
    with h5py.File(combine(store)) as file:
        assert file["cost_curve"].dims[0][0].name == "/run"
        assert file["cost_curve"].dims[1][0].name == "/step"
        assert file["layers/gradient_norm_end"].dims[1][0].name == "/layers/layer"
        np.testing.assert_array_equal(file["learning_rate"][()], [point.learning_rate for point in EVERY])
        assert file["scheme"].asstr()[0] == "he"
        for group in (file, file["layers"], file["verification"]):
            for name, dataset in group.items():
                if isinstance(dataset, h5py.Dataset):
                    assert (dataset.attrs["units"], dataset.attrs["long_name"]) == MEANING[name]
                    assert dataset.fletcher32 == (dataset.dtype.kind in "fi")


def test_a_cost_that_is_no_cross_entropy_is_not_in_nats(tmp_path: Path) -> None:
    squares = replace(SMALL, cost="mean_squared_error")
    store = Store(tmp_path)
    put(store, points(squares))
    write_dataset(store, "main", points(squares), ORIGIN, [verdict(squares)], ABOUT)
    assert load("main", tmp_path)["cost_curve"].attrs["units"] == "1"


def test_other_readers_find_a_flipped_byte_of_a_curve_too(store: Store) -> None:
    path = combine(store)
    value = trained(points(DEEP)).cost_curve[0].tobytes()
    content = path.read_bytes()
    at = content.index(value)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with xarray.open_dataset(path) as runs, pytest.raises(OSError, match="read data"):
        runs["cost_curve"].load()


# --- damage -------------------------------------------------------------------------------------------


def test_no_flipped_byte_is_ever_believed(store: Store) -> None:
    path = combine(store)
    content = bytearray(path.read_bytes())
    for at in (*range(0, len(content), 499), *range(len(content) - 150, len(content))):
        content[at] ^= 0x10
        path.write_bytes(content)
        content[at] ^= 0x10
        with pytest.raises(StoreError, match=r"main\.h5 is damaged") as caught:
            load("main", store.results)
        assert len(str(caught.value).splitlines()) == 1


def test_no_other_length_is_ever_believed(store: Store) -> None:
    path = combine(store)
    content = path.read_bytes()
    for length in (0, 1, 8, 100, 118, 119, 2048, len(content) // 2, len(content) - 119, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError, match=r"main\.h5 is damaged"):
            load("main", store.results)
    path.write_bytes(content + b"\n")
    with pytest.raises(StoreError, match=r"main\.h5 is damaged"):
        load("main", store.results)


def another_programs(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["cost"] = np.zeros(3)


def of_the_version_before(path: Path) -> None:
    run = ("scheme", "depth", "width", "learning_rate", "seed")
    with h5py.File(path, "w") as file:
        for name in (*run, "step", "moment", "layer", "output"):
            file[name] = [1]
            file[name].make_scale(name)
        file["cost"], file["gradients_verified"] = np.zeros([1] * 6), np.ones([1] * 3, np.int8)
        file["gradients_verified"].attrs["dtype"] = "bool"
        file.attrs["spec"] = SPEC


def opened_and_changed(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["note"] = "mine"


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "precious").write_text("data")


def a_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


FOREIGN: list[Callable[[Path], object]] = [
    another_programs, of_the_version_before, opened_and_changed, a_folder, a_pipe,
    lambda path: path.write_text("mine"), lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
]  # fmt: skip


@pytest.mark.parametrize("make", FOREIGN)
def test_a_foreign_file_at_its_place_is_named_and_set_aside_and_never_replaced(
    make: Callable[[Path], object], store: Store, told: list[str]
) -> None:
    path = combine(store)
    make(path)
    content = path.read_bytes() if path.is_file() else None
    expected = "of an earlier version" if make is of_the_version_before else "damaged or was not written by"
    with pytest.raises(StoreError, match=rf"main\.h5 is {expected}.*; run its sweep again"):
        load("main", store.results)
    assert combine(store) == path
    assert load("main", store.results).sizes["run"] == len(EVERY)
    [sentence] = told
    assert str(path) in sentence
    moved = store.runs / "set-aside" / "1" / "main.h5"
    assert moved.exists()
    assert content is None or moved.read_bytes() == content


def test_a_foreign_file_that_cannot_be_moved_stays(
    store: Store, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.results / "main.h5"
    another_programs(path)
    before = path.read_bytes()

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StoreError, match=r"cannot be moved away; move it, or choose another --name"):
        combine(store)
    assert path.read_bytes() == before


def test_groups_of_an_earlier_version_are_told_and_stay(store: Store, told: list[str]) -> None:
    groups = store.results / "main.groups"
    groups.mkdir()
    combine(store)
    [sentence] = told
    assert f"{groups} holds runs of an earlier version" in sentence
    assert groups.is_dir()


def test_a_name_without_results_is_told_with_those_that_have_some(store: Store) -> None:
    combine(store, name="deep")
    with pytest.raises(StoreError, match=r"there is no .*main\.h5, .*give one of the names deep"):
        load("main", store.results)
    with pytest.raises(StoreError, match=r"there is no .*run the sweep"):
        load("main", store.results / "elsewhere")


def test_a_full_disk_leaves_the_file_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = combine(store, points()).read_bytes()

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match=r"cannot write .*main\.h5 \(No space left on device\)"):
            combine(store)
    assert (store.results / "main.h5").read_bytes() == before
    assert not list(store.results.rglob("*.tmp"))
    combine(store)


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_memory_that_is_lacking_is_one_sentence(
    error: type[Exception], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(experiments.dataset, "_values", refuse)
    with pytest.raises(StoreError, match=r"main\.h5 \(not enough memory\)"):
        combine(store)


# --- a table ------------------------------------------------------------------------------------------


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_a_run_and_reads_back_to_the_last_bit(store: Store, tmp_path: Path) -> None:
    combine(store)
    runs = load("main", store.results)
    to_csv(runs, tmp_path / "runs.csv")
    rows = read(tmp_path / "runs.csv")
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(EVERY)
    for name in COLUMNS:
        kind = type(runs[name].values.tolist()[0])
        values = [kind(row[name] or "nan") for row in rows]
        np.testing.assert_array_equal(values, runs[name].values)


def test_curves_follow_where_asked_for(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    combine(store)
    runs = load("main", store.results)
    monkeypatch.setattr("experiments.export.AT_ONCE", 5)
    to_csv(runs, tmp_path / "runs.csv", curves=True)
    rows = read(tmp_path / "runs.csv")
    curves = [[float(row[f"cost_{step}"] or "nan") for step in range(6)] for row in rows]
    np.testing.assert_array_equal(curves, runs["cost_curve"].values)
    assert [row["key"] for row in rows] == runs["key"].values.tolist()
    assert pd.read_csv(tmp_path / "runs.csv")["final_cost"].isna().sum() == len(DIVERGED)


def test_a_table_goes_to_an_open_file_too(store: Store, tmp_path: Path) -> None:
    combine(store)
    text = io.StringIO()
    to_csv(load("main", store.results), text)
    to_csv(load("main", store.results), tmp_path / "runs.csv")
    assert text.getvalue() == (tmp_path / "runs.csv").read_text()


@pytest.mark.parametrize("place", ["absent/runs.csv", "results/runs", "results/main.h5/runs.csv", "x" * 300])
def test_a_table_that_cannot_be_written_is_one_sentence(place: str, store: Store, tmp_path: Path) -> None:
    combine(store)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"csv: cannot write .*;") as caught:
        to_csv(load("main", store.results), tmp_path / place)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(tmp_path) == before


def test_a_table_does_not_replace_a_device(store: Store, tmp_path: Path) -> None:
    combine(store)
    (tmp_path / "runs.csv").symlink_to("/dev/null")
    to_csv(load("main", store.results), tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").is_symlink()
    assert Path("/dev/null").is_char_device()


# --- the start of the command line --------------------------------------------------------------------


def test_writing_needs_neither_xarray_nor_pandas() -> None:
    script = (
        "import experiments.dataset, experiments.export, sys; print({'xarray', 'pandas'} & {*sys.modules})"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout == "set()\n", done.stderr


# --- one moment ---------------------------------------------------------------------------------------


def test_layers_and_labels_are_of_one_file_though_another_takes_its_place(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    combine(store)
    before = load("main", store.results, "layers")
    loaded = experiments.dataset._loaded

    def then_replaced(*arguments: object) -> xarray.Dataset:
        found = loaded(*arguments)  # type: ignore[arg-type]
        combine(store, EVERY[::-1])
        return found

    monkeypatch.setattr(experiments.dataset, "_loaded", then_replaced)
    xarray.testing.assert_identical(load("main", store.results, "layers"), before)


def test_what_a_killed_process_left_beside_a_file_is_removed_when_it_is_written(store: Store) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    )
    table = store.results / "table.csv"
    left = store.results / f".table.csv.{HOST}.{dead.stdout.strip()}.abc.tmp"
    living = store.results / f".table.csv.{HOST}.{os.getpid()}.abc.tmp"
    combine(store)
    elsewhere = store.results / f".table.csv.another.{dead.stdout.strip()}.abc.tmp"
    for file in (left, living, elsewhere):
        file.write_text("half")
    to_csv(load("main", store.results), table)
    assert living.exists()
    assert elsewhere.exists(), "a process of another machine, which may live"
    assert not left.exists()
