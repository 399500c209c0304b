"""The examples a sweep trains on: handwritten digits, or an HDF5 file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from experiments.machine import available_memory, in_words
from experiments.provenance import sha256
from experiments.sentences import shown
from experiments.source import Source
from sandbox.typing import Array

FORMATS = ("train_set_x", "train_set_y", "test_set_x", "test_set_y"), ("X", "y")
AXES = {"train_set_x": (4,), "test_set_x": (4,), "X": (2,)} | dict.fromkeys(
    ("train_set_y", "test_set_y", "y"), (1, 2)
)
"""How many axes each array has: labels are a column, a row, or neither."""

COPIES = 5  # of the examples in float64, on the way from the file to both parts
_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError)  # h5py's, each of some damage


class DataError(ValueError):
    """A data set that cannot be used; the message says which array, what was found and what is expected."""


@dataclass(frozen=True)
class Dataset:
    """Examples as columns, float64. X: (n_0, m), pixels / 255 or standardised features (no unit).
    Y: (1, m) of 0 and 1."""

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
    """The data set "digits" (odd against even), or that of an HDF5 file.

    The file holds either images in the exercise's format, train_set_x (m, h, w, c) of 0..255,
    train_set_y (m,), test_set_x and test_set_y; or X (m, n), one example a row, and y (m,), which are
    split here, stratified, and standardised by the training examples' mean and standard deviation.
    """
    train_fraction, split_seed = source.train_fraction, source.split_seed
    if source.data == "digits":
        from sklearn.datasets import load_digits

        images, digit = load_digits(return_X_y=True)
        return _split(images, digit % 2, "scikit-learn load_digits, odd = 1", train_fraction, split_seed)
    arrays, name = _read(Path(source.data)), Path(source.data).name
    if "X" in arrays:
        return _split(arrays["X"], arrays["y"], name, train_fraction, split_seed)
    return _of_images(arrays, name)


def _read(path: Path) -> dict[str, Array]:
    """The arrays of one format. What they are is looked at before any is read: a small file can hold the
    shape of an array that no machine can."""
    if not os.path.isfile(path):  # which a path too long is none of, either
        raise DataError(
            f"data: got {shown(str(path))}, which is no file; expected 'digits' or the path of an HDF5 file."
        )
    try:
        with h5py.File(path, "r") as file:
            arrays = _arrays(file, shown(path.name))
            _check_size(arrays)
            return {name: array[()] for name, array in arrays.items()}
    except DataError:
        raise
    except PermissionError:
        raise DataError(
            f"data: no permission to read {shown(str(path))}; change it, or give another file."
        ) from None
    except _ERRORS:
        raise DataError(
            f"data: {shown(path.name)} is not a readable HDF5 file, or a damaged one; give an .h5 file."
        ) from None


def _arrays(file: h5py.File, source: str) -> dict[str, h5py.Dataset]:
    for keys in FORMATS:
        found = {key: file.get(key) for key in keys}
        if all(isinstance(array, h5py.Dataset) for array in found.values()):
            for key, array in found.items():
                _check_array(array, key)
            return found
    expected = f"{', '.join(FORMATS[0])}, or X (m, n) and y (m,)"
    raise DataError(f"data: {source} holds {shown(list(file))}; expected {expected}.")


def _check_array(array: h5py.Dataset, name: str) -> None:
    axes = AXES[name]
    if array.dtype.kind not in "fiub" or array.ndim not in axes or not array.size:
        raise DataError(
            f"data: {name} has shape {array.shape} and dtype {shown(str(array.dtype))}, expected numbers, "
            f"at least one, on {' or '.join(map(str, axes))} axes."
        )


def _check_size(arrays: Mapping[str, h5py.Dataset]) -> None:
    name, largest = max(arrays.items(), key=lambda item: item[1].size)
    needed = 8 * COPIES * sum(array.size for array in arrays.values())
    if needed > (available := available_memory()):
        raise DataError(
            f"data: {name} has shape {largest.shape}, for which {in_words(needed)} of memory are needed, and "
            f"{in_words(available)} are free; give fewer examples or features."
        )


def _of_images(arrays: dict[str, Array], source: str) -> Dataset:
    (X_train, Y_train), (X_test, Y_test) = (_part(arrays, part) for part in ("train", "test"))
    if len(X_train) != len(X_test):
        raise DataError("data: train_set_x and test_set_x have images of different size; expected the same.")
    return Dataset(X_train, Y_train, X_test, Y_test, source, "pixel / 255")


def _part(arrays: dict[str, Array], part: str) -> tuple[Array, Array]:
    x, y = f"{part}_set_x", f"{part}_set_y"
    images = np.asarray(arrays[x], float)
    _check_finite(images, x)
    if images.min() < 0 or images.max() > 255 or (arrays[x].dtype.kind == "f" and images.max() <= 1):
        raise DataError(
            f"data: {x} holds numbers from {images.min()} to {images.max()}, expected pixels of 0 to 255."
        )
    X = np.ascontiguousarray(images.reshape(len(images), -1).T / 255.0)
    return X, _labels(arrays[y], len(images), y)


def _labels(labels: Array, m: int, name: str) -> Array:
    """(1, m) of 0 and 1."""
    if labels.size != m or max(labels.shape) != m:
        raise DataError(
            f"data: {name} has shape {labels.shape}, expected ({m},): one label for each example."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"data: {name} holds other values than 0 and 1; expected labels 0 or 1.")
    if name != "test_set_y" and labels.min() == labels.max():
        raise DataError(
            f"data: {name} holds {labels.min():g} alone; expected examples of both labels, 0 and 1."
        )
    return np.asarray(labels.reshape(1, m), float)


def _check_finite(array: Array, name: str) -> None:
    if not np.isfinite(array).all():
        raise DataError(
            f"data: {name} holds NaN or infinity; expected finite numbers. Remove those examples."
        )


def _split(X: Array, y: Array, source: str, train_fraction: float, split_seed: int) -> Dataset:
    from sklearn.model_selection import train_test_split

    X, Y = X.astype(float), _labels(y, len(X), "y")
    _check_finite(X, "X")
    try:
        X_train, X_test, Y_train, Y_test = train_test_split(
            X, Y[0], train_size=train_fraction, random_state=split_seed, stratify=Y[0]
        )
    except ValueError as error:
        raise DataError(
            f"data: cannot split {len(X)} examples with train_fraction {train_fraction}: {error}"
        ) from None
    X_train, X_test = _standardised(X_train, X_test)
    how = f"stratified split, train_fraction {train_fraction}, split_seed {split_seed}; standardised"
    return Dataset(X_train, Y_train[None], X_test, Y_test[None], source, how)


def _standardised(X_train: Array, X_test: Array) -> tuple[Array, Array]:
    """(X - mean) / deviation of the training examples, one example a column."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)
        deviation[deviation == 0] = 1  # a constant feature stays 0
        X_train, X_test = (np.ascontiguousarray(((X - mean) / deviation).T) for X in (X_train, X_test))
    if not all(np.isfinite(array).all() for array in (deviation, X_train, X_test)):
        raise DataError("data: X holds numbers too large to be standardised; expected at most about 1e150.")
    return X_train, X_test
