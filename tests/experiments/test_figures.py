"""Claims about the figures: every one in every format, a set for each kind of network, whole or absent."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from experiments import figures
from experiments.dataset import load, write_dataset
from experiments.figures import draw_figures
from experiments.points import Architecture
from experiments.store import Store, StoreError
from tests.experiments.made import ORIGIN, SMALL, points, put, verdict

FIGURES = ["cost_curves", "final_cost", "gradient_error", "gradient_norm"]


def swept(results: Path, *architectures: Architecture) -> Store:
    store = Store(results)
    for each in architectures:
        put(store, points(each, seeds=2), diverged=[1])
    every = [point for each in architectures for point in points(each, seeds=2)]
    write_dataset(
        store,
        "main",
        every,
        ORIGIN,
        [verdict(each) for each in architectures],
        {"spec": '{"data": "digits"}'},
    )
    return store


def test_every_figure_is_written_in_three_formats(tmp_path: Path) -> None:
    swept(tmp_path, SMALL, replace(SMALL, depth=1))
    files = draw_figures("main", tmp_path)
    assert sorted(files) == sorted(
        tmp_path / "figures" / f"main-{figure}.{extension}"
        for figure in FIGURES
        for extension in ("pdf", "svg", "png")
    )
    assert {path.read_bytes()[:4] for path in files} == {b"%PDF", b"<?xm", b"\x89PNG"}
    assert len(list((tmp_path / "figures").iterdir())) == len(files)


@pytest.mark.parametrize(
    ("changes", "suffixes"),
    [
        pytest.param({"activation": "tanh"}, ["-relu", "-tanh"], marks=pytest.mark.slow),
        ({"cost": "mean_squared_error"}, ["-cross_entropy", "-mean_squared_error"]),
        pytest.param({"width": 5}, ["-width3", "-width5"], marks=pytest.mark.slow),
        ({"width": 5, "activation": "tanh"}, ["-width3-relu", "-width5-tanh"]),
    ],
)
def test_there_is_a_set_for_each_kind_of_network(
    changes: dict[str, object], suffixes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, SMALL, replace(SMALL, **changes))  # type: ignore[arg-type]
    monkeypatch.setattr(figures, "FORMATS", {"svg": {"Date": None}})
    monkeypatch.setattr(figures, "FIGURES", {"final_cost": figures.FIGURES["final_cost"]})
    files = draw_figures("main", tmp_path, tmp_path / "here")
    assert sorted(path.name for path in files) == sorted(
        f"main-final_cost{suffix}.svg" for suffix in suffixes
    )


def test_runs_of_several_lengths_have_a_set_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, every = Store(tmp_path), [*points(seeds=1), *points(seeds=1, steps=9)]
    put(store, every[:2])
    put(store, every[2:])
    write_dataset(store, "main", every, ORIGIN, [verdict()], {"spec": '{"data": "digits"}'})
    monkeypatch.setattr(figures, "FORMATS", {"svg": {"Date": None}})
    monkeypatch.setattr(figures, "FIGURES", {"cost_curves": figures.FIGURES["cost_curves"]})
    assert [path.name for path in draw_figures("main", tmp_path)] == [
        "main-cost_curves-steps5.svg", "main-cost_curves-steps9.svg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"MOST_TICKS": 1},
            r"4 runs \(digits, width 3\) of 2 learning rates, 1 depths and 2 seeds, expected a",
        ),
        ({"LARGEST_GRID": 191}, r"4 runs \(digits, width 3\) of 2 learning rates"),
        ({"MOST_SETS": 1}, r"2 sets of figures \(2 of width\), expected at most 1"),
    ],
)
def test_what_is_no_grid_of_a_size_to_be_drawn_is_one_sentence(
    limits: dict[str, int], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, SMALL, *([replace(SMALL, width=5)] if "MOST_SETS" in limits else []))
    for name, limit in limits.items():
        monkeypatch.setattr(figures, name, limit)
    with pytest.raises(StoreError, match=f"figures: got .*{message}"):
        draw_figures("main", tmp_path)
    assert not (tmp_path / "figures").exists()


@pytest.mark.slow
def test_equal_results_give_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(tmp_path, SMALL)
    monkeypatch.setattr(figures, "FIGURES", {"gradient_norm": figures.FIGURES["gradient_norm"]})
    before = {path: path.read_bytes() for path in draw_figures("main", tmp_path)}
    assert {path: path.read_bytes() for path in draw_figures("main", tmp_path)} == before


def test_figures_that_cannot_be_written_are_one_sentence_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, SMALL)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"out: cannot make the folder .*; move away the file"):
        draw_figures("main", tmp_path, tmp_path / "file")

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match=r"out: cannot write .*pdf \(No space left on device\)"):
        draw_figures("main", tmp_path, tmp_path / "figures")
    assert list((tmp_path / "figures").iterdir()) == []


def test_the_largest_errors_are_within_the_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(tmp_path, SMALL, replace(SMALL, depth=5))
    drawn: list[Figure] = []
    gradient_error = figures.FIGURES["gradient_error"]

    def draw(results: figures.Results) -> Figure:
        drawn.append(gradient_error(results))
        return drawn[-1]

    monkeypatch.setattr(figures, "FIGURES", {"gradient_error": draw})
    draw_figures("main", tmp_path)
    largest = float(load("main", tmp_path, "verification").sigma_error.max())
    for ax in drawn[0].axes:
        low, high = ax.get_ylim()
        assert low == 0
        assert high > largest


@pytest.mark.slow
def test_titles_and_labels_stay_within_a_figure_of_one_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, data = points(seeds=1, rates=(0.1, 6.04, 6.042, 100.0)), "a name of many words, " * 5
    store = Store(tmp_path)
    put(store, every)
    write_dataset(store, "main", every, ORIGIN, [verdict()], {"spec": json.dumps({"data": data})})
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    monkeypatch.setattr(figures, "FORMATS", {"svg": {}})
    draw_figures("main", tmp_path)
    for figure in drawn:
        edges = figure.get_tightbbox()
        assert edges.x0 >= 0
        assert edges.x1 <= figure.get_figwidth()
    assert [each.get_text() for each in drawn[0].axes[0].get_xticklabels()] == ["0.1", "6.04", "6.042", "100"]
