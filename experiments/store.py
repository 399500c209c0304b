"""Results on disk: one file for each finished group, and one combined file made from them.

Every file is written under a temporary name, flushed to the disk and renamed into place: whenever the
program is killed, each file is either whole or absent.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from experiments.data import Dataset
from experiments.provenance import environment
from experiments.spec import Spec
from experiments.training import Runs
from sandbox.typing import Array, Scheme

MOMENTS = ("start", "end")
OUTPUTS = ("dA_prev", "dW", "db")
IDENTITY = {"spec": "spec", "data_sha256": "data"}  # what the files of one name share, in words
RUN = ("scheme", "depth", "width", "learning_rate", "seed")

# dataset: (dimensions, units, meaning)
LAYOUT: dict[str, tuple[tuple[str, ...], str, str]] = {
    "cost": ((*RUN, "step"), "nat", "mean cross-entropy per example; NaN from the step of divergence on"),
    "final_cost": (RUN, "nat", "cost after the last step; NaN for diverged runs"),
    "train_accuracy": (RUN, "1", "fraction of training examples classified correctly"),
    "test_accuracy": (RUN, "1", "fraction of test examples classified correctly"),
    "diverged_at": (RUN, "1", "step at which the run was found diverged, -1 when it was not"),
    "gradient_norm_start": ((*RUN, "layer"), "nat", "Frobenius norm of dW before the first step"),
    "gradient_norm_end": ((*RUN, "layer"), "nat", "Frobenius norm of dW after the last step"),
    "seconds": (RUN[:3], "s", "wall time of training the group's runs together"),
    "gradients_verified": (RUN[:3], "1", "1 when the gradients passed their check"),
    "sigma_error": (
        (*RUN[:3], "moment", "layer", "output"),
        "1",
        "largest error of a gradient, local or end to end, in units of its rounding noise sigma",
    ),
}
UNITS = {"learning_rate": "1", "depth": "layers with parameters", "width": "units", "step": "gradient steps"}

Group = tuple[Scheme, int, int]


class StoreError(ValueError):
    """Results that cannot be used, are another sweep's or must not be overwritten."""


@dataclass(frozen=True)
class GroupResult(Runs):
    """What one group stores.

    sigma_error: (moment, layer, output), NaN where nothing was checked (every run diverged).
    attributes: when it started and ended (UTC, ISO 8601); a stored group has its provenance too.
    """

    sigma_error: Array
    attributes: dict[str, str]


class Store:
    """The files of one sweep: `<folder>/<name>.groups/*.h5` and `<folder>/<name>.h5`."""

    def __init__(self, folder: Path, spec: Spec, data: Dataset) -> None:
        self.spec = spec
        self.combined = folder / f"{spec.name}.h5"
        self.groups = folder / f"{spec.name}.groups"
        self.provenance = {
            "spec": spec.canonical(),
            "dtype": spec.dtype,
            "data_source": data.source,
            "data_preprocessing": data.preprocessing,
            "data_sha256": data.sha256,
            **environment(),
        }

    def path(self, group: Group) -> Path:
        scheme, depth, width = group
        return self.groups / f"{scheme}-depth{depth}-width{width}.h5"

    def prepare(self, overwrite: bool) -> None:
        """Make the folders; with `overwrite` remove this name's results, else refuse another sweep's."""
        try:
            self.groups.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"results: cannot make {self.groups} ({error.strerror}); choose --results."
            ) from None
        if overwrite:
            for path in self._files():
                path.unlink(missing_ok=True)
        self._refuse_others({path: _load(path)[0] for path in self._files()})

    def read(self, group: Group) -> GroupResult | None:
        """The stored result of a group, None when it has not finished; another sweep's is refused."""
        path = self.path(group)
        if not path.exists():
            return None
        attributes, arrays = _load(path, [f.name for f in fields(GroupResult) if f.name != "attributes"])
        self._refuse_others({path: attributes})
        return GroupResult(**arrays, attributes=attributes)

    def write(self, group: Group, result: GroupResult) -> None:
        """Store a finished group; one that another sweep has stored meanwhile is refused and stays."""

        def fill(file: h5py.File) -> None:
            for key, value in vars(result).items():
                if key != "attributes":
                    file[key] = value
            file.attrs.update(result.attributes | self.provenance)

        self.read(group)  # refuses another sweep's
        write_atomically(self.path(group), fill)

    def combine(self) -> Path:
        """Write the combined file from all groups, unless one is another sweep's; return its path."""
        self._refuse_others({path: _load(path)[0] for path in self._files()})
        results = {}
        for group in self.spec.groups:
            result = self.read(group)
            if result is None:
                raise StoreError(
                    f"results: {self.path(group)} has gone, expected every group to stay until the end; "
                    "run the same command again."
                )
            results[group] = result
        history = [result.attributes for result in results.values()]

        def fill(file: h5py.File) -> None:
            _fill_layout(file, self.spec, results)
            for key in self.provenance:  # groups of a resumed sweep may differ: say so
                found = {attributes.get(key, "unknown") for attributes in history}
                file.attrs[key] = "; ".join(sorted(found))
            file.attrs["started"] = min(attributes["started"] for attributes in history)
            file.attrs["ended"] = max(attributes["ended"] for attributes in history)

        write_atomically(self.combined, fill)
        return self.combined

    def _files(self) -> list[Path]:
        return [path for path in (self.combined, *sorted(self.groups.glob("*.h5"))) if path.exists()]

    def _refuse_others(self, stored: Mapping[Path, Mapping[str, str]]) -> None:
        """Refuse to go on when the attributes of any of these files are another sweep's."""
        others = []
        for path, attributes in stored.items():
            what = [word for key, word in IDENTITY.items() if attributes.get(key) != self.provenance[key]]
            if what:
                others.append(f"{path.name} (other {' and '.join(what)})")
        if others:
            more = f" and {len(others) - 4} more" if len(others) > 4 else ""
            raise StoreError(
                f"name: {self.spec.name!r} holds results of another sweep: {', '.join(others[:4])}{more}; "
                "expected only this one's. Choose another --name, or --overwrite to replace them."
            )


def _load(path: Path, names: Iterable[str] = ()) -> tuple[dict[str, str], dict[str, Any]]:
    """A file's attributes and arrays, from one opening: another process may replace it at any moment."""
    try:
        with h5py.File(path, "r") as file:
            return {k: str(v) for k, v in file.attrs.items()}, {name: file[name][()] for name in names}
    except (OSError, KeyError, RuntimeError):
        raise StoreError(
            f"results: {path} is damaged or not readable, expected an HDF5 file of this sweep; "
            "remove it and run the same command again, or choose another --name."
        ) from None


def _fill_layout(file: h5py.File, spec: Spec, results: Mapping[Group, GroupResult]) -> None:
    """Write the dimension scales and the arrays of LAYOUT."""
    scales: dict[str, Sequence[str | float]] = {
        "scheme": spec.schemes, "depth": spec.depths, "width": spec.widths, "output": OUTPUTS,
        "learning_rate": spec.learning_rates, "seed": spec.seeds, "moment": MOMENTS,
        "step": range(spec.steps + 1), "layer": range(1, max(spec.depths) + 1),
    }  # fmt: skip
    for name, scale in scales.items():
        file[name] = list(scale)
        file[name].make_scale(name)
        file[name].attrs["units"] = UNITS.get(name, "1")
    values = _values(spec, {name: len(scale) for name, scale in scales.items()}, results)
    for name, (dims, units, meaning) in LAYOUT.items():
        file[name] = values[name]
        file[name].attrs.update({"units": units, "long_name": meaning})
        for axis, dim in enumerate(dims):
            file[name].dims[axis].attach_scale(file[dim])
    file["gradients_verified"].attrs["dtype"] = "bool"  # xarray reads it as such


def _values(spec: Spec, sizes: Mapping[str, int], results: Mapping[Group, GroupResult]) -> dict[str, Array]:
    """The arrays of LAYOUT, every group's result in its place."""
    values: dict[str, Array] = {}
    for key, (dims, _, _) in LAYOUT.items():
        whole = {"diverged_at": np.int64, "gradients_verified": np.int8}.get(key)
        shape = [sizes[dim] for dim in dims]
        values[key] = np.zeros(shape, whole) if whole else np.full(shape, np.nan)
    runs = len(spec.learning_rates), len(spec.seeds)
    for (scheme, depth, width), result in results.items():
        at = spec.schemes.index(scheme), spec.depths.index(depth), spec.widths.index(width)
        # A group that fails its check is never written.
        of_group = {**vars(result), "final_cost": result.cost[:, -1], "gradients_verified": 1}
        for key, (dims, _, _) in LAYOUT.items():
            value = np.asarray(of_group[key])
            if dims[: len(RUN)] == RUN:
                value = value.reshape(*runs, *value.shape[1:])
            # All of its place, but for the layers that deeper networks have.
            values[key][at + tuple(slice(size) for size in value.shape)] = value
    return values


def write_atomically(path: Path, fill: Callable[[h5py.File], None]) -> None:
    """Write an HDF5 file so that `path` is at any moment absent, the old file or the whole new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=path.parent)
    try:
        with h5py.File(name, "w") as file:
            fill(file)
        os.fchmod(handle, 0o644)
        os.fsync(handle)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
