"""The examples a sweep trains on: handwritten digits, or an HDF5 file."""

from __future__ import annotations

from dataclasses import dataclass
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

    name: str
    X_train: Array
    Y_train: Array
    X_test: Array
    Y_test: Array
    source: str
    preprocessing: str
    sha256: str


def load_data(data: str, train_fraction: float, split_seed: int) -> Dataset:
    """The data set "digits" (odd against even), or that of an HDF5 file.

    The file holds either images in the exercise's format, train_set_x (m, h, w, c) of 0..255,
    train_set_y (m,), test_set_x and test_set_y; or X (m, n), one example a row, and y (m,), which are
    split here, stratified, and standardised by the training examples' mean and standard deviation.
    """
    if data == "digits":
        from sklearn.datasets import load_digits

        images, digit = load_digits(return_X_y=True)
        return _split(
            "digits", images, digit % 2, "scikit-learn load_digits, odd = 1", train_fraction, split_seed
        )
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
        X_train, Y_train, X_test, Y_test = (arrays[key] for key in EXERCISE_KEYS)
        train = _images(X_train, "train_set_x"), _labels(Y_train, len(X_train), "train_set_y")
        test = _images(X_test, "test_set_x"), _labels(Y_test, len(X_test), "test_set_y")
        if len(train[0]) != len(test[0]):
            raise DataError(
                "data: train_set_x and test_set_x have images of different size; expected the same."
            )
        return _dataset(path.stem, *train, *test, path.name, "pixel / 255")
    if "X" in arrays and "y" in arrays:
        return _split(path.stem, arrays["X"], arrays["y"], path.name, train_fraction, split_seed)
    raise DataError(
        f"data: {path.name} holds {found}; expected {', '.join(EXERCISE_KEYS)}, or X (m, n) and y (m,)."
    )


def _images(images: Any, name: str) -> Array:
    _check_numbers(images, name, 4)
    if images.dtype.kind == "f" and images.max() <= 1:
        raise DataError(f"data: {name} holds numbers up to {images.max()}, expected pixels of 0 to 255.")
    return np.asarray(images.reshape(len(images), -1).T / 255.0)


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
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "fiub"
        or array.ndim != ndim
        or not array.size
    ):
        shape = getattr(array, "shape", ())
        raise DataError(f"data: {name} has shape {shape}, expected a non-empty numeric array of {ndim} axes.")
    if not np.isfinite(array).all():
        raise DataError(
            f"data: {name} holds NaN or infinity; expected finite numbers. Remove those examples."
        )


def _split(name: str, X: Any, y: Any, source: str, train_fraction: float, split_seed: int) -> Dataset:
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
    train, test = ((part - mean) / deviation for part in (X_train, X_test))
    how = f"stratified split, train_fraction {train_fraction}, split_seed {split_seed}; standardised"
    return _dataset(name, train.T, Y_train[None], test.T, Y_test[None], source, how)


def _dataset(
    name: str, X_train: Array, Y_train: Array, X_test: Array, Y_test: Array, source: str, preprocessing: str
) -> Dataset:
    arrays = X_train, Y_train, X_test, Y_test
    X_train, Y_train, X_test, Y_test = map(np.ascontiguousarray, arrays)
    return Dataset(name, X_train, Y_train, X_test, Y_test, source, preprocessing, sha256(*arrays))
