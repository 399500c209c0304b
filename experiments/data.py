"""The examples a sweep trains on: a data set with a name, or a file."""

import math
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from experiments.provenance import sha256
from experiments.sentences import nearest, shown
from experiments.source import SETS, SPLIT_SEED, TRAIN_FRACTION, Label, Source, named_set
from experiments.sources.array_files import read_hdf5, read_npz
from experiments.sources.bundled import read_set
from experiments.sources.labels import Classes, classes
from experiments.sources.raw import DataError as DataError
from experiments.sources.raw import Raw
from experiments.sources.table_files import SEPARATORS, read_parquet, read_text
from sandbox.typing import Array

HDF5, NPZ, PARQUET = (".h5", ".hdf5"), ".npz", ".parquet"
ENDINGS = (*SEPARATORS, *HDF5, NPZ, PARQUET)
_BEGINNINGS = {b"PK\3\4": NPZ, b"PAR1": PARQUET}
_CONTENTS = {
    HDF5[0]: "an HDF5 file (.h5)",
    NPZ: "a zip archive (.npz, or a spreadsheet's)",
    PARQUET: "a Parquet file (.parquet)",
}


@dataclass(frozen=True)
class Dataset:
    """Examples as columns, float64. X: (n_0, m), pixels / 255, standardised features or features as they are
    (no unit). Y: (1, m) of 0 and 1."""

    X_train: Array
    Y_train: Array
    X_test: Array
    Y_test: Array
    source: str
    preprocessing: str

    @cached_property
    def sha256(self) -> str:
        return sha256(self.X_train, self.Y_train, self.X_test, self.Y_test)


def load_data(source: Source) -> Dataset:
    """The examples that `source` describes.

    Those of a file with images have its own split, pixels / 255. All others are split here, stratified, and
    standardised by the training examples' mean and standard deviation. What else is asked for is done.

    Raises:
        DataError: they cannot be had, or make no sense.
    """
    name = named_set(source.data)
    raw = read_set(name, source.parameters) if name else _read(source)
    if source.target and name:
        raise _no_target(source, repr(name))
    chosen = classes(raw, source, _is_odd if name == "digits" else None)
    split = _own_split(raw, chosen, source) if raw.train is not None else _split(raw, chosen, source)
    _check_parts(split, raw)
    X_train, X_test = (_scaled(X, raw.are_images) for X in (split.X_train, split.X_test))
    steps = [chosen.words, split.words, *(["pixel / 255"] if raw.are_images else [])]
    standardise = not raw.are_images if source.standardise is None else source.standardise
    if standardise:
        X_train, X_test = _standardised(X_train, X_test)
    steps.append("standardised" if standardise else "not standardised")
    X_train, X_test = (np.ascontiguousarray(X.T) for X in (X_train, X_test))
    return Dataset(X_train, split.Y_train[None], X_test, split.Y_test[None], raw.source, "; ".join(steps))


def _is_odd(digit: Label) -> bool:
    return not isinstance(digit, str) and digit % 2 == 1


# --- files ------------------------------------------------------------------------------------


def _read(source: Source) -> Raw:
    path = Path(source.data)
    _check_path(path, source.data)
    if source.parameters:
        raise DataError(
            f"data_parameters: got {shown(dict(source.parameters))} for a file, expected none; they are of "
            "data sets that are drawn."
        )
    kind = _kind(path)
    if kind in SEPARATORS:
        return read_text(path, source.target)
    if kind == PARQUET:
        return read_parquet(path, source.target)
    if source.target:
        raise _no_target(source, shown(path.name))
    return read_npz(path) if kind == NPZ else read_hdf5(path)


def _no_target(source: Source, what: str) -> DataError:
    return DataError(
        f"target: got {shown(source.target)} for {what}, which has its labels by itself; expected a target "
        "for tables (CSV, TSV, Parquet) alone. Leave it out."
    )


def _check_path(path: Path, given: str) -> None:
    """DataError unless this is a regular file that may be read: a pipe might never begin."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with path.open("rb"):
                return
        reason = "is a folder" if path.is_dir() else "is no file"
    except PermissionError:
        raise DataError(
            f"data: no permission to read {shown(given)}; change it, or give another file."
        ) from None
    except (OSError, ValueError):  # a path that is too long, or holds a zero character
        reason = "is no file"
    like = "" if path.suffix else nearest(path.name.replace("-", "_"), SETS)
    raise DataError(
        f"data: got {shown(given)}, which {reason}{like}; expected one of {', '.join(SETS)}, or the path "
        f"of a file ({', '.join(ENDINGS)})."
    )


def _kind(path: Path) -> str:
    """The ending that this file has, or should have by its content."""
    ending, content = path.suffix.casefold(), _by_content(path)
    if ending in ENDINGS:
        same = ending == content or {ending, content} <= {*HDF5}
        if content and not same:
            raise DataError(
                f"data: {shown(path.name)} is no {ending} file by its content, but {_CONTENTS[content]}; "
                f"give it the right ending, or save it as {ending}."
            )
        return ending
    if content is None:
        raise DataError(
            f"data: {shown(path.name)} has the ending {shown(path.suffix)}, expected one of "
            f"{', '.join(ENDINGS)}."
        )
    return content


def _by_content(path: Path) -> str | None:
    if h5py.is_hdf5(path):
        return HDF5[0]
    with path.open("rb") as file:
        return _BEGINNINGS.get(file.read(4))


# --- parts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Split:
    """X: (m, ...), one example a row. Y: (m,)."""

    X_train: Array
    Y_train: Array
    X_test: Array
    Y_test: Array
    words: str


def _own_split(raw: Raw, chosen: Classes, source: Source) -> _Split:
    """That of the file."""
    for field in ("train_fraction", "split_seed"):
        if (value := getattr(source, field)) is not None:
            raise DataError(
                f"{field}: got {value} for {raw.source}, which says by itself what trains (train_set_x) and "
                f"what tests (test_set_x); leave {field} out."
            )
    is_train = np.arange(len(raw.labels)) < (raw.train or 0)
    train, test = (chosen.kept & is_train), (chosen.kept & ~is_train)
    if not test.any():
        raise DataError("data: test_set_y holds no example of the two classes; expected at least one.")
    Y = np.zeros(len(raw.labels))
    Y[chosen.kept] = chosen.Y
    return _Split(raw.X[train], Y[train], raw.X[test], Y[test], "split of the file")


def _split(raw: Raw, chosen: Classes, source: Source) -> _Split:
    """Stratified: as many of each class in both parts."""
    from sklearn.model_selection import train_test_split

    fraction = TRAIN_FRACTION if source.train_fraction is None else source.train_fraction
    seed = SPLIT_SEED if source.split_seed is None else source.split_seed
    _check_counts(chosen, fraction)
    X = raw.X if chosen.kept.all() else raw.X[chosen.kept]
    X_train, X_test, Y_train, Y_test = train_test_split(
        X, chosen.Y, train_size=fraction, random_state=seed, stratify=chosen.Y
    )
    for Y, part in ((Y_train, "train"), (Y_test, "test")):
        if Y.min() == Y.max():
            absent = 1 - int(Y[0])
            raise DataError(
                f"train_fraction: got {fraction}, which leaves none of {_counts(chosen)[absent]} examples of "
                f"class {absent} to {part}; expected both classes in both parts. Change it, or give more "
                "examples."
            )
    words = f"stratified split, train_fraction {fraction}, split_seed {seed}"
    return _Split(X_train, Y_train, X_test, Y_test, words)


def _counts(chosen: Classes) -> list[int]:
    """The numbers of examples of class 0 and 1."""
    of_one = int(chosen.Y.sum())
    return [len(chosen.Y) - of_one, of_one]


def _check_counts(chosen: Classes, fraction: float) -> None:
    counts = _counts(chosen)
    m, fewest = sum(counts), counts.index(min(counts))
    if counts[fewest] < 2:
        raise DataError(
            f"data: class {fewest} has {counts[fewest]} example of {m} ({chosen.words}); expected at least "
            "2, for training and for the test."
        )
    train = math.floor(fraction * m)
    if min(train, m - train) < 2:
        raise DataError(
            f"train_fraction: got {fraction}, which leaves {train} of {m} examples for training and "
            f"{m - train} for the test; expected at least 2 for each."
        )


def _check_parts(split: _Split, raw: Raw) -> None:
    if split.Y_train.size == 0 or split.Y_train.min() == split.Y_train.max():
        holds = "no example" if split.Y_train.size == 0 else f"examples of class {split.Y_train[0]:g} alone"
        raise DataError(f"data: {raw.name} holds {holds}; expected examples of both classes.")
    if (split.X_train == split.X_train[:1]).all():
        raise DataError(
            f"data: all {len(split.X_train)} training examples of {raw.source} are the same; expected "
            "features that differ."
        )


# --- scale ------------------------------------------------------------------------------------


def _scaled(X: Array, are_images: bool) -> Array:
    """(m, n) in float64, pixels / 255."""
    X = np.asarray(X, float).reshape(len(X), -1)
    return X / 255.0 if are_images else X


def _standardised(X_train: Array, X_test: Array) -> tuple[Array, Array]:
    """(X - mean) / deviation of the training examples, one example a row."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)
        constant = (X_train == X_train[0]).all(axis=0)
        mean[constant] = X_train[0, constant]  # which the mean of many is but for rounding
        deviation[constant | (deviation == 0)] = 1  # so that a constant feature is 0
        X_train, X_test = ((X - mean) / deviation for X in (X_train, X_test))
    if not all(np.isfinite(array).all() for array in (deviation, X_train, X_test)):
        raise DataError("data: X holds numbers too large to be standardised; expected at most about 1e150.")
    return X_train, X_test
