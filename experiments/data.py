"""The examples a sweep trains on: handwritten digits, or an HDF5 file."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from experiments.provenance import sha256
from sandbox.typing import Array

EXERCISE_KEYS = ("train_set_x", "train_set_y", "test_set_x", "test_set_y")


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


def load_data(data: str, train_fraction: float, split_seed: int) -> Dataset:
    """The data set "digits" (odd against even), or that of an HDF5 file.

    The file holds either images in the exercise's format, train_set_x (m, h, w, c) of 0..255,
    train_set_y (m,), test_set_x and test_set_y; or X (m, n), one example a row, and y (m,), which are
    split here, stratified, and standardised by the training examples' mean and standard deviation.
    """
    if data == "digits":
        from sklearn.datasets import load_digits

        images, digit = load_digits(return_X_y=True)
        source = "scikit-learn load_digits, odd = 1"
        return _split(images, digit % 2, source, train_fraction, split_seed)
    path = Path(data)
    if not path.is_file():
        raise DataError(
            f"data: got {data!r}, which is no file; expected 'digits' or the path of an HDF5 file."
        )
    try:
        with h5py.File(path, "r") as file:
            names = [key for key in (*EXERCISE_KEYS, "X", "y") if isinstance(file.get(key), h5py.Dataset)]
            arrays = {key: file[key][()] for key in names}
            found = ", ".join(file) or "nothing"
    except OSError:
        raise DataError(f"data: {path.name} is not a readable HDF5 file; give an .h5 file.") from None
    if all(key in arrays for key in EXERCISE_KEYS):
        return _of_images(arrays, path.name)
    if "X" in arrays and "y" in arrays:
        return _split(arrays["X"], arrays["y"], path.name, train_fraction, split_seed)
    raise DataError(
        f"data: {path.name} holds {found}; expected {', '.join(EXERCISE_KEYS)}, or X (m, n) and y (m,)."
    )


def _of_images(arrays: dict[str, Any], source: str) -> Dataset:
    (X_train, Y_train), (X_test, Y_test) = (_part(arrays, part) for part in ("train", "test"))
    if len(X_train) != len(X_test):
        raise DataError("data: train_set_x and test_set_x have images of different size; expected the same.")
    return Dataset(X_train, Y_train, X_test, Y_test, source, "pixel / 255")


def _part(arrays: dict[str, Any], part: str) -> tuple[Array, Array]:
    x, y = f"{part}_set_x", f"{part}_set_y"
    images = arrays[x]
    _check_numbers(images, x, 4)
    if images.dtype.kind == "f" and images.max() <= 1:
        raise DataError(f"data: {x} holds numbers up to {images.max()}, expected pixels of 0 to 255.")
    X = np.ascontiguousarray(images.reshape(len(images), -1).T / 255.0)
    return X, _labels(arrays[y], len(images), y)


def _labels(labels: Any, m: int, name: str) -> Array:
    labels = np.asarray(labels)
    if labels.size != m or labels.squeeze().ndim > 1:
        raise DataError(
            f"data: {name} has shape {labels.shape}, expected ({m},): one label for each example."
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(f"data: {name} holds other values than 0 and 1; expected labels 0 or 1.")
    return np.asarray(labels.reshape(1, m), float)


def _check_numbers(array: Any, name: str, ndim: int) -> None:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.ndim != ndim or not array.size:
        raise DataError(
            f"data: {name} has shape {array.shape}, expected a non-empty numeric array of {ndim} axes."
        )
    if not np.isfinite(array).all():
        raise DataError(
            f"data: {name} holds NaN or infinity; expected finite numbers. Remove those examples."
        )


def _split(X: Any, y: Any, source: str, train_fraction: float, split_seed: int) -> Dataset:
    from sklearn.model_selection import train_test_split

    _check_numbers(X, "X", 2)
    Y = _labels(y, len(X), "y")
    try:
        X_train, X_test, Y_train, Y_test = train_test_split(
            X.astype(float), Y[0], train_size=train_fraction, random_state=split_seed, stratify=Y[0]
        )
    except ValueError as error:
        raise DataError(
            f"data: cannot split {len(X)} examples with train_fraction {train_fraction}: {error}"
        ) from None
    mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)
    deviation[deviation == 0] = 1  # a constant feature stays 0
    X_train, X_test = (np.ascontiguousarray(((X - mean) / deviation).T) for X in (X_train, X_test))
    how = f"stratified split, train_fraction {train_fraction}, split_seed {split_seed}; standardised"
    return Dataset(X_train, Y_train[None], X_test, Y_test[None], source, how)
