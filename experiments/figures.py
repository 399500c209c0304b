"""Figures of a sweep, drawn from its results."""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.dataset import load_together
from experiments.files import StoreError, explained, replaced
from experiments.lists.ranges import rounded
from experiments.verification import OUTPUTS
from sandbox.typing import Array

# Okabe and Ito's palette, told apart with every kind of colour vision; a marker and a line style besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
LINES: list[dict[str, Any]] = [
    {"color": colour, "marker": marker, "linestyle": line}
    for colour, marker, line in zip(COLOURS, "os^Dv", ("-", "--", "-.", ":", (0, (5, 1))), strict=True)
]
STYLE: dict[Any, Any] = {
    "font.size": 9.0, "axes.titlesize": 9.0, "legend.fontsize": 8.0, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "svg.hashsalt": "experiments", "lines.markersize": 4.0,
}  # fmt: skip
FORMATS: dict[str, Any] = {  # and their metadata, without a date: equal results give equal files
    "pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None,
}  # fmt: skip
AXES = ["scheme", "depth", "learning_rate", "seed"]
BESIDES = ["width", "activation", "cost", "dtype", "steps"]
NUMBERS = ("width", "steps")
MOST_SETS, MOST_TICKS = 50, 200  # sets of figures; learning rates or depths of one
LARGEST_GRID = 2**30  # bytes of its curves
NARROWEST = 5.4  # inches, in which a title and a legend of all LINES have room
DEPTH = "depth (layers with parameters)"
LAYER = "layer (1 is next to the input)"


@dataclass(frozen=True)
class Results:
    """The runs that differ in scheme, depth, learning rate and seed alone, as a grid: in rising order, NaN
    where there is no run.

    values: by name, (scheme, depth, learning_rate, seed) and, of some, step or layer.
    sigma_error: (depth, layer, output), the largest of all verdicts.
    """

    title: str
    suffix: str
    unit: str
    schemes: list[str]
    depths: Array
    learning_rates: Array
    values: dict[str, Array]
    sigma_error: Array


def draw_figures(name: str, results: Path, out: Path | None = None) -> list[Path]:
    """Draw each figure of the results under a name as PDF, SVG and PNG; return the files.

    There is a set of them for each width, activation, cost, dtype and number of steps.

    Args:
        results: the folder.
        out: where the figures go, figures/ in it by default.

    Raises:
        StoreError: the results are missing or damaged, or too many different values for a grid; the figures
            cannot be written.
    """
    parts = _load(name, results)
    folder = out or results / "figures"
    with explained("make the folder", folder, "out"):
        folder.mkdir(parents=True, exist_ok=True)
    files = []
    with mpl.rc_context(STYLE):
        for part, (figure_name, draw) in product(parts, FIGURES.items()):
            figure = draw(part)
            figure.draw_without_rendering()  # lays out once, not once a format
            figure.set_layout_engine("none")
            for extension, metadata in FORMATS.items():
                path = folder / f"{name}-{figure_name}{part.suffix}.{extension}"
                with explained("write", path, "out"), replaced(path) as file:
                    figure.savefig(file, format=extension, dpi=150, metadata=metadata)
                files.append(path)
    return files


def _load(name: str, results: Path) -> list[Results]:
    """The grids of the results, and their titles and suffixes."""
    table, layers, verdicts = load_together(name, results, ("", "layers", "verification"))
    runs = table.assign(layers.data_vars)
    data = Path(json.loads(runs.attrs["spec"])["data"]).name
    every = {each: np.unique(runs[each]) for each in BESIDES}
    if (sets := math.prod(map(len, every.values()))) > MOST_SETS:
        counts = ", ".join(f"{len(found)} of {each}" for each, found in every.items() if len(found) > 1)
        raise StoreError(
            f"figures: got values for {sets} sets of figures ({counts}), expected at most {MOST_SETS}; "
            "`export` the runs, or sweep fewer under a name of their own."
        )
    parts = []
    for values in product(*every.values()):
        of = dict(zip(BESIDES, values, strict=True))
        chosen = {each: value for each, value in of.items() if each == "width" or len(every[each]) > 1}
        title = ", ".join([data, *(f"{each} {value}" for each, value in chosen.items())])
        several = [each for each in chosen if len(every[each]) > 1]
        suffix = "".join(f"-{each}{of[each]}" if each in NUMBERS else f"-{of[each]}" for each in several)
        alike = _where(runs, of).isel(step=slice(of["steps"] + 1))
        if alike.sizes["run"]:
            _check_size(alike, title)
            unit = "nat per example" if of["cost"] == "cross_entropy" else "per example"
            of_verdicts = {each: value for each, value in of.items() if each != "steps"}
            parts.append(_grid(alike, _where(verdicts, of_verdicts), title, suffix, unit))
    return parts


def _check_size(runs: xarray.Dataset, title: str) -> None:
    """Refuse what has a value of its own for each run, as draws have: as a grid it is mostly empty, and as
    large as can be."""
    sizes = {each: len(np.unique(runs[each])) for each in AXES}
    curves = 8 * runs.sizes["step"] * math.prod(sizes.values())
    if max(sizes["learning_rate"], sizes["depth"]) > MOST_TICKS or curves > LARGEST_GRID:
        raise StoreError(
            f"figures: got {runs.sizes['run']} runs ({title}) of {sizes['learning_rate']} learning rates, "
            f"{sizes['depth']} depths and {sizes['seed']} seeds, expected a grid with at most {MOST_TICKS} "
            "learning rates and depths and 1 GB of curves; `export` them, or sweep fewer under a name of "
            "their own."
        )


def _where(dataset: xarray.Dataset, of: dict[str, Any]) -> xarray.Dataset:
    """Its runs, or verdicts, with these values."""
    [dimension] = dataset["depth"].dims
    chosen = np.all([dataset[each] == value for each, value in of.items()], axis=0)
    return dataset.isel({dimension: np.flatnonzero(chosen)})


def _grid(runs: xarray.Dataset, verdicts: xarray.Dataset, title: str, suffix: str, unit: str) -> Results:
    table = runs.drop_vars([each for each in runs.coords if each not in (*AXES, "step", "layer")])
    grid = table.set_index(run=AXES).unstack("run").transpose(*AXES, ...)
    sigma_error = verdicts["sigma_error"].groupby("depth").max().reindex(depth=grid["depth"])
    return Results(
        title,
        suffix,
        unit,
        grid["scheme"].values.tolist(),
        grid["depth"].values,
        grid["learning_rate"].values,
        {str(each): grid[each].values for each in grid.data_vars},
        sigma_error.transpose("depth", "layer", "output").values,
    )


def _figure(
    results: Results, title: str, rows: int, columns: int, panel: tuple[float, float]
) -> tuple[Figure, Any]:
    width = max(panel[0] * columns + 1.2, NARROWEST)
    figure = Figure(figsize=(width, panel[1] * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{results.title}", fontsize=10, wrap=True)
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)


def _labelled(figure: Figure, axes: Any, x: str, y: str, lines: str) -> Figure:
    """The same with its axes named and with a legend of the lines, those of the first panel."""
    for ax in axes[-1]:
        ax.set_xlabel(x)
    figure.supylabel(y, fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, title=lines, loc="outside lower center", ncols=len(LINES))
    return figure


def _median(values: Array, axis: int | tuple[int, ...]) -> Array:
    """Median of the finite values, NaN where there is none."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all NaN: NaN is the answer
        return np.asarray(np.nanmedian(values, axis=axis))


def _chosen(count: int) -> Array:
    """Indices of at most len(LINES) of `count` values, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, len(LINES))).round().astype(int))


def _in_words(rates: Array) -> list[str]:
    """Different ones in different words: with two digits, or as many as that takes."""
    every = ([f"{rounded(rate, digits):.{max(digits, 6)}g}" for rate in rates] for digits in range(2, 18))
    return next(words for words in every if len({*words}) == len(words))


def _final_cost(results: Results) -> Figure:
    """Heat map over learning rate and depth for each scheme; crosses where a run diverged."""
    cost = _median(results.values["final_cost"], axis=-1)
    diverged = np.any(results.values["diverged_at"] >= 0, axis=-1)
    rates, depths = len(results.learning_rates), len(results.depths)
    panel = (max(2.6, 0.42 * rates), max(2.6, 0.42 * depths))
    title = "Final cost (median over the seeds that did not diverge)"
    figure, axes = _figure(results, title, 1, len(results.schemes), panel)
    finite = cost[np.isfinite(cost)]
    low = max(float(finite.min(initial=1.0)), 1e-8)
    norm = LogNorm(low, max(float(finite.max(initial=low)), low * 1.01))
    for ax, scheme, values, crosses in zip(axes[0], results.schemes, cost, diverged, strict=True):
        ax.set_facecolor("0.85")
        ax.pcolormesh(np.ma.masked_invalid(np.maximum(values, low)), norm=norm, cmap="viridis")
        at_depth, at_rate = np.nonzero(crosses)
        ax.scatter(at_rate + 0.5, at_depth + 0.5, marker="x", s=40, color="white", linewidths=3.5)
        ax.scatter(at_rate + 0.5, at_depth + 0.5, marker="x", s=32, color="black", linewidths=1.5)
        ax.set_xticks(np.arange(rates) + 0.5, _in_words(results.learning_rates), rotation=60)
        ax.set_yticks(np.arange(depths) + 0.5, [str(depth) for depth in results.depths])
        ax.set(title=f"initialisation: {scheme}", xlabel="learning rate (per step)")
    axes[0, 0].set_ylabel(DEPTH)
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label=f"final cost ({results.unit})")
    if diverged.any():
        cross = Line2D([], [], color="black", marker="x", linestyle="", label="diverged (at least one seed)")
        grey = Patch(facecolor="0.85", label="no run finished")
        figure.legend(handles=[cross, grey], loc="outside lower center", ncols=2)
    return figure


def _cost_curves(results: Results) -> Figure:
    """Cost against step; a row for each scheme, a column for each depth, a line for each learning rate."""
    cost = _median(results.values["cost_curve"], axis=3)
    depths, rates = _chosen(len(results.depths)), _chosen(len(results.learning_rates))
    words = _in_words(results.learning_rates)
    title = "Cost during training (median over the seeds that have not diverged)"
    figure, axes = _figure(results, title, len(results.schemes), len(depths), (2.1, 1.9))
    steps = np.arange(cost.shape[-1])
    every = max(1, len(steps) // 5)
    for (row, scheme), (column, depth) in product(enumerate(results.schemes), enumerate(depths)):
        ax = axes[row, column]
        for i, rate in enumerate(rates):
            marks = i * every // 5, every
            ax.plot(steps, cost[row, depth, rate], **LINES[i], markevery=marks, label=words[rate])
        ax.set(title=f"{scheme}, depth {results.depths[depth]}", yscale="log")
        ax.grid(alpha=0.3)
    x, lines = "step (gradient steps)", "learning rate (per step)"
    return _labelled(figure, axes, x, f"cost ({results.unit})", lines)


def _gradient_error(results: Results) -> Figure:
    """Largest error in sigma against layer; a panel for each gradient, a line for each depth."""
    title = "Error of the hand-written gradients (larger of before and after training)"
    figure, axes = _figure(results, title, 1, len(OUTPUTS), (2.3, 2.6))
    for ax, output, error in zip(axes[0], OUTPUTS, np.moveaxis(results.sigma_error, -1, 0), strict=True):
        _lines_by_depth(ax, results, error)
        ax.set_title(output)
    axes[0, 0].set_ylim(bottom=0)  # at last: it fixes the top, too, which all panels share
    return _labelled(figure, axes, LAYER, "largest error (rounding noise sigma)", DEPTH)


def _gradient_norm(results: Results) -> Figure:
    """Gradient norm against layer before training, schemes side by side, a line for each depth."""
    norm = _median(results.values["gradient_norm_start"], axis=(2, 3))
    title = "Gradient norm before training (median over seeds)"
    figure, axes = _figure(results, title, 1, len(results.schemes), (2.8, 2.6))
    for ax, scheme, values in zip(axes[0], results.schemes, norm, strict=True):
        _lines_by_depth(ax, results, np.where(values > 0, values, np.nan))
        ax.set(title=f"initialisation: {scheme}", yscale="log")
    return _labelled(figure, axes, LAYER, f"Frobenius norm of dW ({results.unit})", DEPTH)


def _lines_by_depth(ax: Any, results: Results, values: Array) -> None:
    """One line of values (depth, layer) against layer for each depth shown."""
    for i, depth in enumerate(_chosen(len(results.depths))):
        layers = np.arange(1, results.depths[depth] + 1)
        of_depth, label = values[depth, : len(layers)], str(results.depths[depth])
        ax.plot(layers, of_depth, **LINES[i], label=label, clip_on=False)  # whole markers at a limit, too
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)


FIGURES: dict[str, Callable[[Results], Figure]] = {
    "final_cost": _final_cost,
    "cost_curves": _cost_curves,
    "gradient_error": _gradient_error,
    "gradient_norm": _gradient_norm,
}
