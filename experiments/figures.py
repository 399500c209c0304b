"""Figures of a sweep, drawn from its combined results file."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments.store import LAYOUT, OUTPUTS, StoreError
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
DEPTH = "depth (layers with parameters)"
LAYER = "layer (1 is next to the input)"


@dataclass(frozen=True)
class Results:
    """The combined file, one width of it: arrays as in `experiments.store.LAYOUT`, less the width axis."""

    schemes: list[str]
    depths: Array
    learning_rates: Array
    width: int
    data: str
    values: dict[str, Array]


def draw_figures(results_file: Path, out_folder: Path) -> list[Path]:
    """Draw each figure for each width as PDF, SVG and PNG; return the files.

    Raises:
        StoreError: the file is missing or not a combined results file; the folder cannot be made.
    """
    every_width = _load(results_file)
    try:
        out_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"out: cannot make the folder {out_folder} ({error.strerror}).") from None
    files = []
    with mpl.rc_context(STYLE):
        for results in every_width:
            suffix = f"-width{results.width}" if len(every_width) > 1 else ""
            for name, draw in FIGURES.items():
                figure = draw(results)
                for extension, metadata in FORMATS.items():
                    path = out_folder / f"{results_file.stem}-{name}{suffix}.{extension}"
                    figure.savefig(path, dpi=150, metadata=metadata)
                    files.append(path)
    return files


def _load(path: Path) -> list[Results]:
    try:
        with h5py.File(path, "r") as file:
            schemes = [str(s) for s in file["scheme"].asstr()[()]]
            values = {key: file[key][()] for key in LAYOUT}
            data = json.loads(file.attrs["spec"])["data"]
            depths, rates, widths = (file[key][()] for key in ("depth", "learning_rate", "width"))
    except (OSError, KeyError):
        raise StoreError(
            f"results file: {path} is not the combined file of a sweep; give <folder>/<name>.h5."
        ) from None
    # in rising order, whatever order the spec has
    rising = {"depth": np.argsort(depths), "learning_rate": np.argsort(rates)}
    for key, (dims, _, _) in LAYOUT.items():
        for dim in rising.keys() & dims:
            values[key] = np.take(values[key], rising[dim], axis=dims.index(dim))
    every_width = [{key: value[:, :, i] for key, value in values.items()} for i in range(len(widths))]
    return [
        Results(schemes, np.sort(depths), np.sort(rates), int(width), Path(data).name, of_width)
        for width, of_width in zip(widths, every_width, strict=True)
    ]


def _figure(
    results: Results, title: str, rows: int, columns: int, panel: tuple[float, float]
) -> tuple[Figure, Any]:
    figure = Figure(figsize=(panel[0] * columns + 1.2, panel[1] * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{results.data}, hidden width {results.width}", fontsize=10)
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
        ax.set_xticks(np.arange(rates) + 0.5, [f"{rate:.2g}" for rate in results.learning_rates], rotation=60)
        ax.set_yticks(np.arange(depths) + 0.5, [str(depth) for depth in results.depths])
        ax.set(title=f"initialisation: {scheme}", xlabel="learning rate (per step)")
    axes[0, 0].set_ylabel(DEPTH)
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label="final cost (nat per example)")
    if diverged.any():
        cross = Line2D([], [], color="black", marker="x", linestyle="", label="diverged (at least one seed)")
        grey = Patch(facecolor="0.85", label="no run finished")
        figure.legend(handles=[cross, grey], loc="outside lower center", ncols=2)
    return figure


def _cost_curves(results: Results) -> Figure:
    """Cost against step; a row for each scheme, a column for each depth, a line for each learning rate."""
    cost = _median(results.values["cost"], axis=3)
    depths, rates = _chosen(len(results.depths)), _chosen(len(results.learning_rates))
    title = "Cost during training (median over the seeds that have not diverged)"
    figure, axes = _figure(results, title, len(results.schemes), len(depths), (2.1, 1.9))
    steps = np.arange(cost.shape[-1])
    every = max(1, len(steps) // 5)
    for (row, scheme), (column, depth) in product(enumerate(results.schemes), enumerate(depths)):
        ax = axes[row, column]
        for i, rate in enumerate(rates):
            marks, label = (i * every // 5, every), f"{results.learning_rates[rate]:.2g}"
            ax.plot(steps, cost[row, depth, rate], **LINES[i], markevery=marks, label=label)
        ax.set(title=f"{scheme}, depth {results.depths[depth]}", yscale="log")
        ax.grid(alpha=0.3)
    x, lines = "step (gradient steps)", "learning rate (per step)"
    return _labelled(figure, axes, x, "cost (nat per example)", lines)


def _gradient_error(results: Results) -> Figure:
    """Largest error in sigma against layer; a column for each gradient, a line for each depth."""
    error = np.fmax.reduce(results.values["sigma_error"], axis=2)  # the larger of start and end
    title = "Error of the hand-written gradients (larger of before and after training)"
    figure, axes = _figure(results, title, len(results.schemes), len(OUTPUTS), (2.3, 1.8))
    for (row, scheme), (column, output) in product(enumerate(results.schemes), enumerate(OUTPUTS)):
        ax = axes[row, column]
        _lines_by_depth(ax, results, error[row, :, :, column])
        ax.set_title(f"{output}, initialisation: {scheme}")
        ax.set_ylim(bottom=0)
    return _labelled(figure, axes, LAYER, "largest error (rounding noise sigma)", DEPTH)


def _gradient_norm(results: Results) -> Figure:
    """Gradient norm against layer before training, schemes side by side, a line for each depth."""
    norm = _median(results.values["gradient_norm_start"], axis=(2, 3))
    title = "Gradient norm before training (median over seeds)"
    figure, axes = _figure(results, title, 1, len(results.schemes), (2.8, 2.6))
    for ax, scheme, values in zip(axes[0], results.schemes, norm, strict=True):
        _lines_by_depth(ax, results, np.where(values > 0, values, np.nan))
        ax.set(title=f"initialisation: {scheme}", yscale="log")
    return _labelled(figure, axes, LAYER, "Frobenius norm of dW (nat per example)", DEPTH)


def _lines_by_depth(ax: Any, results: Results, values: Array) -> None:
    """One line of values (depth, layer) against layer for each depth shown."""
    for i, depth in enumerate(_chosen(len(results.depths))):
        layers = np.arange(1, results.depths[depth] + 1)
        ax.plot(layers, values[depth, : len(layers)], **LINES[i], label=str(results.depths[depth]))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    ax.grid(alpha=0.3)


FIGURES: dict[str, Callable[[Results], Figure]] = {
    "final_cost": _final_cost,
    "cost_curves": _cost_curves,
    "gradient_error": _gradient_error,
    "gradient_norm": _gradient_norm,
}
