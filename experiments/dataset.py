"""The combined file of a name: an xarray Dataset on disk (netCDF-4, which is HDF5).

At its root a table of runs, dimension `run`, with what they are as coordinates, and curves over `run` and
`step`. In sub-groups: /layers, values per run and layer; /verification, the verdicts on the gradients behind
the runs; and, where asked for, /parameters, the final ones. `load` believes the file only if whole; it opens
with `xarray.open_dataset`, h5py and every other reader of netCDF or HDF5, too.

To select: `runs.where(runs.depth == 4, drop=True)`; `runs.set_xindex("depth").sel(depth=4)`;
`runs.set_index(run=["depth", "learning_rate", ...]).unstack("run")` is the grid of a sweep.
"""

from __future__ import annotations

import io
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import h5py
import numpy as np

from experiments.files import StoreError, built_in_memory, explained
from experiments.group_file import taken
from experiments.points import Architecture, Origin, Point, key
from experiments.store import Run, Store, label
from experiments.verification import OUTPUTS, Verification
from experiments.whole import SCHEMA, is_sealed, opened, seal
from sandbox.typing import Array, Parameters

if TYPE_CHECKING:
    import xarray

# name: units, meaning
MEANING: dict[str, tuple[str, str]] = {
    "run": ("1", "number of the run, in the order of the spec"),
    "key": ("1", "hash of the run's content, of the data and of the code: its name on every machine"),
    "depth": ("1", "number of layers with parameters"),
    "width": ("1", "number of units of every hidden layer"),
    "learning_rate": ("1", "factor of the gradient in a step"),
    "seed": ("1", "seed of the initial parameters"),
    "scheme": ("1", "initialisation"),
    "activation": ("1", "function of the hidden layers"),
    "cost": ("1", "function that is minimised"),
    "dtype": ("1", "floating-point numbers that the run was trained in"),
    "steps": ("1", "number of full-batch gradient steps"),
    "step": ("1", "gradient steps done"),
    "final_cost": ("nat", "cost per example after the run's own last step; NaN where diverged"),
    "train_accuracy": ("1", "fraction of training examples classified correctly; NaN where diverged"),
    "test_accuracy": ("1", "fraction of test examples classified correctly; NaN where diverged"),
    "diverged_at": ("1", "step at which the run was found diverged; -1 where it was not"),
    "stalled_at": ("1", "step from which no parameter changes by a bit; -1 where there is none"),
    "seconds": ("s", "time of training"),
    "cost_curve": (
        "nat",
        "cost per example before each step and after the last; NaN from divergence on, and after the end of "
        "a run of fewer steps than the longest",
    ),
    "layer": ("1", "number of the layer; 1 is next to the input"),
    "gradient_norm_start": ("nat", "Frobenius norm of dW before the first step; NaN where no such layer"),
    "gradient_norm_end": ("nat", "Frobenius norm of dW after the last step; NaN where diverged"),
    "output": ("1", "gradient of a layer"),
    "verdict": ("1", "number of the verdict"),
    "moment": ("1", "start: at initial parameters; end: at final ones"),
    "schemes": ("1", "initialisations of the networks that were checked"),
    "checker": ("1", "revision of the code that checked"),
    "checked": ("1", "when it was checked (UTC, ISO 8601)"),
    "networks": ("1", "number of networks that were checked"),
    "sigma_error": (
        "1",
        "largest error of a gradient, local or end to end, in units of its rounding noise sigma; NaN where "
        "there is no such layer or no network was left to check",
    ),
    "caught": (
        "1",
        "smallest error of a gradient, relative to the whole of it, that the check would have caught, where "
        "it was coarsest; NaN where that is not known",
    ),
}
ARCHITECTURE = ("depth", "width", "activation", "cost", "dtype")
RUN = ("depth", "width", "learning_rate", "seed", "scheme", "activation", "cost", "dtype", "steps")
VERDICT = ("moment", "schemes", "checker", "checked", "networks")
COORDINATES = {"run": ("key", *RUN), "verdict": (*ARCHITECTURE, *VERDICT)}
"""By the first axis of a variable."""
PER_RUN = ("train_accuracy", "test_accuracy", "diverged_at", "stalled_at", "seconds")
PER_LAYER = ("gradient_norm_start", "gradient_norm_end")
OF_VERDICT = ("sigma_error", "caught")

CHUNK = 2**20  # bytes of a curve's chunk, about
BLOCK = 2**27  # bytes of curves in memory besides the file's own


def write_dataset(
    store: Store, name: str, points: Sequence[Point], origin: Origin,
    verifications: Sequence[Verification], about: Mapping[str, str], *, parameters: bool = False,
) -> Path:  # fmt: skip
    """Write `results/NAME.h5` with exactly these points, in this order; return its path.

    The file is built in memory, once, and takes about 8 bytes for each run and step.

    Args:
        verifications: the verdicts on the gradients behind the runs.
        about: attributes: the spec (JSON), the data's source, ...
        parameters: whether the final parameters that were kept are in it.

    Raises:
        StoreError: a run is not stored, or has gone; or the file cannot be written, then what was there is
            as it was. A file at its place that no sweep of this version wrote is set aside, and told.
    """
    runs = _all_runs(store, points, origin)
    _check_verdicts(points, verifications)
    path = store.results / f"{name}.h5"
    with built_in_memory(path):
        content = _content(store, runs, origin, verifications, about, parameters)
    with explained("write", path):
        _make_way(store, path)
    store.replace(path, content, seal(content))
    return path


def load(name: str, results: Path, group: str = "", *, curves: bool = True) -> xarray.Dataset:
    """The results under a name, in memory.

    Args:
        results: the folder.
        group: "" for the table of runs and their curves; "layers" (with the runs' coordinates);
            "verification"; "parameters/depth4-width32-...".
        curves: whether those are with it, which are most of it.

    Raises:
        StoreError: there is no such file or group, or it is damaged, of an earlier version or foreign.
    """
    return load_together(name, results, (group,), curves=curves)[0]


def load_together(
    name: str, results: Path, groups: Sequence[str], *, curves: bool = True
) -> list[xarray.Dataset]:
    """Several groups, as of `load`, of one moment: another process may replace the file at any."""
    path = results / f"{name}.h5"
    with opened(path) as file:
        wanted = {*groups, ""} if "layers" in groups else set(groups)
        left_out = [] if curves else ["cost_curve", "step"]
        loaded = {group: _loaded(file, group, path, left_out) for group in wanted}
    if "layers" in loaded:
        loaded["layers"] = loaded["layers"].assign_coords(
            loaded[""].drop_dims("step", errors="ignore").coords
        )
    return [loaded[group] for group in groups]


def has_parameters(name: str, results: Path) -> bool:
    """Whether the results under a name hold final parameters. Raises as `load`."""
    with opened(results / f"{name}.h5") as content, h5py.File(content, "r") as file:
        return "parameters" in file


def _loaded(file: BinaryIO, group: str, path: Path, left_out: Sequence[str]) -> xarray.Dataset:
    import xarray

    file.seek(0)
    try:
        with xarray.open_dataset(file, engine="h5netcdf", group=group or None) as dataset:
            return dataset.drop_vars(left_out, errors="ignore").load()
    except (OSError, KeyError, ValueError):
        raise StoreError(
            f"results: {path} has no group {group!r}; expected '', 'layers', 'verification', "
            "or 'parameters/...' of a sweep that kept them."
        ) from None


# --- what is written ----------------------------------------------------------------------------------


def _all_runs(store: Store, points: Sequence[Point], origin: Origin) -> list[Run]:
    found = store.read(points, origin).runs
    missing = [point for point in points if point not in found]
    if missing:
        raise StoreError(
            f"results: {len(missing)} of {len(points)} runs are not stored in {store.runs}, expected all; "
            "run the same command again."
        )
    return [found[point] for point in points]


def _check_verdicts(points: Sequence[Point], verifications: Sequence[Verification]) -> None:
    """No run is reported on gradients that were not checked."""
    verified = {
        (verdict.architecture, scheme)
        for verdict in verifications
        for scheme in verdict.schemes
        if verdict.moment == "start"
    }
    for point in points:
        if (point.architecture, point.scheme) not in verified:
            raise StoreError(
                f"results: the gradients of {label(point.architecture)}, {point.scheme}, were not checked, "
                "expected a verdict on all; run the same command again."
            )


def _make_way(store: Store, path: Path) -> None:
    """Set aside what no sweep of this version wrote; tell of groups of an earlier one."""
    if os.path.lexists(path) and not is_sealed(path):
        store.set_aside(path, "it is not the results of a sweep of this version, or damaged")
        if os.path.lexists(path):
            raise StoreError(
                f"results: {path} is not the results of a sweep of this version, and cannot be moved away; "
                "move it, or choose another --name."
            )
    if path.with_suffix(".groups").is_dir():
        store.tell(
            f"results: {path.with_suffix('.groups')} holds runs of an earlier version, which are not read; "
            "remove it if you do not need them."
        )


def _content(
    store: Store, runs: Sequence[Run], origin: Origin, verifications: Sequence[Verification],
    about: Mapping[str, str], parameters: bool,
) -> memoryview:  # fmt: skip
    import h5netcdf

    in_memory = io.BytesIO()
    with h5netcdf.File(in_memory, "w") as file:
        _write_coordinates(file, [run.point for run in runs], origin)
        history = _write_runs(file, store, runs)
        _write_verdicts(file.create_group("verification"), verifications)
        if parameters:
            _write_parameters(file.create_group("parameters"), store, runs)
        file.attrs.update({**about, **_joined(history), "schema_version": SCHEMA})
        file.attrs.update({"data_sha256": origin.data, "code_revision": origin.code})
    return in_memory.getbuffer()


def _write_coordinates(file: Any, points: Sequence[Point], origin: Origin) -> None:
    architectures = [point.architecture for point in points]
    file.dimensions = {"run": len(points), "step": max(point.steps for point in points) + 1}
    _write(file, "run", ("run",), np.arange(len(points)))
    _write(file, "step", ("step",), np.arange(file.dimensions["step"].size))
    _write(file, "key", ("run",), [key(point, origin) for point in points])
    for name in RUN:
        of = architectures if name in ARCHITECTURE else points
        _write(file, name, ("run",), [getattr(each, name) for each in of])


def _write_runs(file: Any, store: Store, runs: Sequence[Run]) -> list[dict[str, str]]:
    """What was measured, a block of runs after the other; return where each file's runs were trained."""
    layers = file.create_group("layers")
    layers.dimensions = {"layer": max(run.point.architecture.depth for run in runs)}
    _write(layers, "layer", ("layer",), 1 + np.arange(layers.dimensions["layer"].size))
    for name in ("final_cost", *PER_RUN):
        _create(file, name, ("run",), np.int64 if name.endswith("_at") else np.float64)
    _create(file, "cost_curve", ("run", "step"), np.float64)
    for name in PER_LAYER:
        _create(layers, name, ("run", "layer"), np.float64)
    if {run.point.architecture.cost for run in runs} != {"cross_entropy"}:  # the only one in nats
        for variable in (file["final_cost"], file["cost_curve"], *(layers[name] for name in PER_LAYER)):
            variable.attrs["units"] = "1"
    history: dict[Path, dict[str, str]] = {}
    for block in _blocks(file["cost_curve"]):
        values = _values(store, runs[block], file, layers, history)
        for name, value in values.items():
            (layers if name in PER_LAYER else file)[name][block] = value
    return list(history.values())


def _blocks(curves: Any) -> Iterator[slice]:
    """Runs of about BLOCK bytes of curves, in whole chunks."""
    runs, costs = curves.shape
    of_chunk = curves.chunks[0]
    size = max(BLOCK // (8 * costs) // of_chunk, 1) * of_chunk
    for start in range(0, runs, size):
        yield slice(start, min(start + size, runs))


def _values(
    store: Store, runs: Sequence[Run], file: Any, layers: Any, history: dict[Path, dict[str, str]]
) -> dict[str, Array]:
    """The arrays of these runs, each group's in their places."""
    values = {name: np.zeros(len(runs), file[name].dtype) for name in PER_RUN}
    values["cost_curve"] = np.full((len(runs), file["cost_curve"].shape[1]), np.nan)
    for name in PER_LAYER:
        values[name] = np.full((len(runs), layers[name].shape[1]), np.nan)
    final_cost = np.empty(len(runs))
    for positions, rows, stored in store.rows(runs):
        for name, value in values.items():
            found = getattr(stored.trained, name)[rows]
            if found.ndim == 2:  # others may be deeper, or longer
                value[positions, : found.shape[1]] = found
            else:
                value[positions] = found
        final_cost[positions] = stored.trained.cost_curve[rows, -1]
        history[runs[positions[0]].file] = stored.about
    return {**values, "final_cost": final_cost}


def _joined(history: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Where and when: a resumed sweep may have several of each."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for about in history:
        for name, value in about.items():
            found[name].add(value)
    joined = {name: "; ".join(sorted(values)) for name, values in found.items()}
    return joined | {"started": min(found["started"]), "ended": max(found["ended"])}


def _write_verdicts(group: Any, verdicts: Sequence[Verification]) -> None:
    depth = max(verdict.architecture.depth for verdict in verdicts)
    group.dimensions = {"verdict": len(verdicts), "layer": depth, "output": len(OUTPUTS)}
    _write(group, "verdict", ("verdict",), np.arange(len(verdicts)))
    _write(group, "layer", ("layer",), 1 + np.arange(depth))
    _write(group, "output", ("output",), OUTPUTS)
    for name in ARCHITECTURE:
        _write(group, name, ("verdict",), [getattr(verdict.architecture, name) for verdict in verdicts])
    for name in VERDICT:
        values = [getattr(verdict, name) for verdict in verdicts]
        _write(group, name, ("verdict",), [", ".join(v) if isinstance(v, tuple) else v for v in values])
    for name in OF_VERDICT:
        errors = np.full((len(verdicts), depth, len(OUTPUTS)), np.nan)
        for error, verdict in zip(errors, verdicts, strict=True):
            error[: verdict.architecture.depth] = getattr(verdict, name)
        _write(group, name, ("verdict", "layer", "output"), errors)


def _write_parameters(group: Any, store: Store, runs: Sequence[Run]) -> None:
    """For each architecture W1, b1, ... of the runs that kept them, and the numbers of these."""
    alike: defaultdict[Architecture, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        if run.kept:
            alike[run.point.architecture].append(number)
    for architecture, numbers in alike.items():
        of_architecture = group.create_group(label(architecture))
        parameters = _final_parameters(store, [runs[number] for number in numbers])
        units = [
            parameters["W1"].shape[-1],
            *(parameters[f"b{l + 1}"].shape[1] for l in range(architecture.depth)),
        ]
        of_architecture.dimensions = {
            "kept": len(numbers), "one": 1, **{f"units_{l}": size for l, size in enumerate(units)},
        }  # fmt: skip
        _write(of_architecture, "run", ("kept",), numbers)
        for name, value in parameters.items():
            l = int(name[1:])
            columns = f"units_{l - 1}" if name[0] == "W" else "one"
            _write(of_architecture, name, ("kept", f"units_{l}", columns), value)


def _final_parameters(store: Store, runs: Sequence[Run]) -> Parameters:
    """Of these runs of one architecture, in this order, however many steps each took."""
    order: list[int] = []
    parts = []
    for positions, rows, stored in store.rows(runs):
        order.extend(positions)
        parts.append(taken(stored.trained, rows).parameters)
    back = np.argsort(order)
    return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}


# --- variables ----------------------------------------------------------------------------------------


def _write(group: Any, name: str, dimensions: tuple[str, ...], values: Any) -> None:
    values = np.asarray(values)
    text = values.dtype.kind in "UO"
    variable = _create(group, name, dimensions, h5py.string_dtype() if text else values.dtype)
    variable[...] = values.astype(object) if text else values


def _create(group: Any, name: str, dimensions: tuple[str, ...], dtype: Any) -> Any:
    """A variable with its units and meaning; numbers have a checksum, which HDF5 looks at, too."""
    shape = tuple(_size(group, dimension) for dimension in dimensions)
    checked = {"fletcher32": True, "chunks": _chunks(shape)} if np.dtype(dtype).kind in "fi" else {}
    variable = group.create_variable(name, dimensions, dtype, **checked)
    units, meaning = MEANING.get(name, ("1", f"final {name}"))
    variable.attrs.update({"units": units, "long_name": meaning})
    coordinates = [each for each in COORDINATES.get(dimensions[0], ()) if each in group.variables]
    if name not in (*dimensions, *coordinates) and coordinates:
        variable.attrs["coordinates"] = " ".join(coordinates)
    return variable


def _size(group: Any, dimension: str) -> int:
    """A sub-group has the dimensions of those above it."""
    while dimension not in group.dimensions:
        group = group.parent
    return int(group.dimensions[dimension].size)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """All of the last axes and as many of the first as CHUNK holds; of a long curve a piece."""
    *first, last = shape
    chunks = [min(last, CHUNK // 8)]
    for size in reversed(first):
        chunks.insert(0, max(1, min(size, CHUNK // (8 * math.prod(chunks)))))
    return tuple(chunks)
