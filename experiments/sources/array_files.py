"""Examples from arrays with names: HDF5 and NPZ files."""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from experiments.sentences import shown
from experiments.sources.labels import labels_of
from experiments.sources.raw import DataError, Raw, check_finite, check_size
from sandbox.typing import Array

FORMATS = ("train_set_x", "train_set_y", "test_set_x", "test_set_y"), ("X", "y")
AXES = {"train_set_x": (4,), "test_set_x": (4,), "X": (2,)} | dict.fromkeys(
    ("train_set_y", "test_set_y", "y"), (1, 2)
)
"""How many axes each array has: labels are a column, a row, or neither."""
NUMBERS, TEXT = "fiub", "SU"  # kinds of dtypes

_OF_HDF5 = (OSError, RuntimeError, KeyError, TypeError, ValueError)  # h5py's, each of some damage
_OF_NPZ = (
    OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """An array that is not read yet."""

    shape: tuple[int, ...]
    dtype: str
    kind: str
    read: Callable[[], Array]


def read_hdf5(path: Path) -> Raw:
    """Images in the exercise's format, train_set_x (m, h, w, c) of 0..255, train_set_y (m,), test_set_x and
    test_set_y; or X (m, n), one example a row, and y (m,)."""
    with _readable(path, "HDF5", ".h5", _OF_HDF5), h5py.File(path, "r") as file:
        found = {key: array for key in AXES if isinstance(array := file.get(key), h5py.Dataset)}
        return _raw({key: _of_hdf5(array) for key, array in found.items()}, file, path)


def read_npz(path: Path) -> Raw:
    """The same from an archive of NumPy's; nothing in it is unpickled."""
    with _readable(path, "NumPy", ".npz", _OF_NPZ), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        found = {key: _of_npz(archive, f"{key}.npy") for key in AXES if key in names}
        return _raw(found, names, path)


@contextlib.contextmanager
def _readable(path: Path, kind: str, ending: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(
            f"data: a label in {shown(path.name)} is text that is not UTF-8; write it so."
        ) from None
    except errors:
        raise DataError(
            f"data: {shown(path.name)} is not a readable {kind} file, or a damaged one; give an intact "
            f"{ending} file."
        ) from None


def _of_hdf5(array: h5py.Dataset) -> Stored:
    if h5py.check_string_dtype(array.dtype):
        return Stored(array.shape, "text", "U", lambda: np.asarray(array.asstr()[()], str))
    return Stored(array.shape, str(array.dtype), array.dtype.kind, lambda: np.asarray(array[()]))


def _of_npz(archive: zipfile.ZipFile, member: str) -> Stored:
    """Its shape and dtype are at its start; a small archive can hold zeros that no machine can."""
    with archive.open(member) as file:
        shape, dtype = _header(file)

    def read() -> Array:
        with archive.open(member) as file:
            array = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
        return np.char.decode(array, "utf-8") if dtype.kind == "S" else array

    return Stored(shape, str(dtype), dtype.kind, read)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    of_version = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = of_version[np.lib.format.read_magic(file)](file)
    return shape, dtype


def _raw(found: Mapping[str, Stored], names: Iterable[str], path: Path) -> Raw:
    """What is in the file is looked at before any of it is read."""
    keys = next((keys for keys in FORMATS if all(key in found for key in keys)), None)
    if keys is None:
        expected = f"{', '.join(FORMATS[0])}, or X (m, n) and y (m,)"
        raise DataError(
            f"data: {shown(path.name)} holds {shown(list(names))}; expected the arrays {expected}."
        )
    arrays = {key: found[key] for key in keys}
    for key, array in arrays.items():
        _check_array(array, key)
    largest = max(arrays, key=lambda key: math.prod(arrays[key].shape))
    check_size(
        f"data: {largest} has shape {arrays[largest].shape}",
        sum(math.prod(array.shape) for array in arrays.values()),
    )
    read = {key: array.read() for key, array in arrays.items()}
    return _of_images(read, path.name) if keys == FORMATS[0] else _of_table(read, path.name)


def _check_array(array: Stored, name: str) -> None:
    axes = AXES[name]
    kinds = NUMBERS + TEXT if name.endswith("y") else NUMBERS
    if array.kind not in kinds or len(array.shape or ()) not in axes or not math.prod(array.shape or (0,)):
        text = " or text" if name.endswith("y") else ""
        advice = " Text as an array of str, not of objects." if array.kind == "O" and text else ""
        raise DataError(
            f"data: {name} has shape {array.shape} and dtype {shown(array.dtype)}, expected numbers{text}, "
            f"at least one, on {' or '.join(map(str, axes))} axes.{advice}"
        )


def _of_table(arrays: Mapping[str, Array], source: str) -> Raw:
    with np.errstate(over="ignore"):
        X = np.asarray(arrays["X"], float)
    labels = labels_of(arrays["y"], len(X), "y")
    check_finite(X, "X")
    return Raw(X, labels, "y", source)


def _of_images(arrays: Mapping[str, Array], source: str) -> Raw:
    (X_train, y_train), (X_test, y_test) = (_part(arrays, part) for part in ("train", "test"))
    if X_train.shape[1:] != X_test.shape[1:]:
        raise DataError(
            f"data: train_set_x has images of {X_train.shape[1:]}, test_set_x of {X_test.shape[1:]}; "
            "expected the same size."
        )
    if (y_train.dtype.kind in TEXT) != (y_test.dtype.kind in TEXT):
        raise DataError("data: train_set_y and test_set_y are text and numbers; expected the same of both.")
    X, labels = np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test])
    return Raw(X, labels, "train_set_y", source, train=len(X_train))


def _part(arrays: Mapping[str, Array], part: str) -> tuple[Array, Array]:
    x, y = f"{part}_set_x", f"{part}_set_y"
    images = arrays[x]
    labels = labels_of(arrays[y], len(images), y)
    check_finite(images, x)
    if images.min() < 0 or images.max() > 255 or (images.dtype.kind == "f" and images.max() <= 1):
        raise DataError(
            f"data: {x} holds numbers from {images.min()} to {images.max()}, expected pixels of 0 to 255."
        )
    return images, labels
