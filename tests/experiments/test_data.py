"""Claims about data sets: what the features become, and which files are refused in a sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from experiments import raw
from experiments.data import DataError, load_data
from experiments.source import Source

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 2))
Y = np.arange(12) % 2
IMAGES = np.array([255, 0], np.uint8)[:, None, None, None] * np.ones((4, 4, 3), np.uint8)


def write_plain(path: Path, **arrays: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, array in {"X": X, "y": Y, **arrays}.items():
            file[name] = array
    return str(path)


def write_images(path: Path, labels: Any = (0, 1), images: Any = IMAGES) -> str:
    with h5py.File(path, "w") as file:
        file["train_set_x"], file["test_set_x"] = images, images
        file["train_set_y"], file["test_set_y"] = labels, labels
    return str(path)


def refusal(path: Path | str, **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_data(Source(str(path), **fields))
    sentence = str(caught.value)
    assert sentence.partition(":")[0] in {"data_parameters", *Source.__dataclass_fields__}
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert len(sentence) < 600
    return sentence


def test_digits_are_standardised_by_the_training_examples() -> None:
    data = load_data(Source())
    assert data.X_train.shape == (64, 1437)
    assert data.Y_test.shape == (1, 360)
    np.testing.assert_allclose(data.X_train.mean(axis=1), 0, atol=1e-12)
    assert data.sha256 == load_data(Source()).sha256 != load_data(Source(split_seed=1)).sha256


@pytest.mark.parametrize("dtype", ["uint8", "float32", ">i4"])
def test_exercise_images_become_columns_between_0_and_1(dtype: str, tmp_path: Path) -> None:
    data = load_data(Source(write_images(tmp_path / "cats.h5", images=IMAGES.astype(dtype))))
    assert data.X_train.shape == (48, 2)
    assert data.X_train.dtype == float
    assert data.X_train.max() == 1
    np.testing.assert_array_equal(data.Y_train, [[0, 1]])


@pytest.mark.parametrize(
    "labels", [[0, 1, 1], [0.0, np.nan], [[0, 1], [1, 0]], 1, [1, 1], [0, 1j], [b"a", b""]]
)
def test_bad_labels_are_refused(tmp_path: Path, labels: Any) -> None:
    assert "train_set_y" in refusal(write_images(tmp_path / "cats.h5", labels))


@pytest.mark.parametrize(
    "images", [IMAGES / 255, IMAGES.astype(float) * 2, -IMAGES.astype(float), IMAGES[0], IMAGES * np.nan]
)
def test_images_that_are_no_pixels_are_refused(tmp_path: Path, images: Any) -> None:
    assert "train_set_x" in refusal(write_images(tmp_path / "cats.h5", images=images))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((12, 2), np.nan), "NaN"),
        (np.sign(X) * 1e308, "too large"),
        (X.astype(complex), "complex128"),
        (np.zeros((12, 2), [("a", float), ("b", int)]), "expected numbers"),
        (np.full((12, 2), b"a"), "expected numbers"),
        (1.0, r"shape ()"),
        (X[:, 0], "on 2 axes"),
        (X[:, :0], "at least one"),
        (h5py.Empty("f8"), "at least one"),
        (X[:3], "y has shape (12,), expected (3,)"),
    ],
)
def test_arrays_that_are_no_examples_are_refused(array: Any, message: str, tmp_path: Path) -> None:
    assert message in refusal(write_plain(tmp_path / "plain.h5", X=array))


def test_labels_of_one_kind_or_too_few_to_split_are_refused(tmp_path: Path) -> None:
    assert "y holds 1 alone" in refusal(write_plain(tmp_path / "one.h5", y=np.ones(12)))
    assert "class 1 has 1 example of 12" in refusal(write_plain(tmp_path / "few.h5", y=np.arange(12) == 0))
    plain = write_plain(tmp_path / "small.h5")
    assert "leaves 0 of 12 examples for training" in refusal(plain, train_fraction=1e-300)
    assert "11 of 12 examples for training and 1 for the test" in refusal(plain, train_fraction=0.92)
    three = write_plain(tmp_path / "three.h5", y=np.arange(12) < 2)
    assert "leaves none of 2 examples of class 1 to test" in refusal(three, train_fraction=0.8)


def test_an_array_larger_than_memory_is_refused_by_its_shape(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("X", (10**6, 10**6), "f4", chunks=(10, 10))  # none of it is on disk
        file["y"] = Y
    assert "X has shape (1000000, 1000000), for which 40 TB" in refusal(tmp_path / "huge.h5")


def test_a_file_of_little_memory_is_refused_when_less_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_plain(tmp_path / "plain.h5")
    load_data(Source(path, train_fraction=0.5))
    monkeypatch.setattr(raw, "available_memory", lambda: 1000.0)
    assert "1 kB are free" in refusal(path)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent\x1b.h5", tmp_path, tmp_path / "pipe", "/dev/zero", "x\0y", "x/" * 10**5):
        assert ("is a folder" if path == tmp_path else "is no file") in refusal(path)
    (tmp_path / "text.h5").write_text("text")
    assert "not a readable HDF5" in refusal(tmp_path / "text.h5")
    with h5py.File(tmp_path / "keys.h5", "w") as file:
        file["Z\x1b"] = 1
    assert r"holds ['Z\x1b']; expected train_set_x" in refusal(tmp_path / "keys.h5")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["X"], file["y"] = h5py.ExternalLink("/absent.h5", "X"), h5py.SoftLink("/absent")
    assert "expected train_set_x" in refusal(tmp_path / "links.h5")


def truncate(content: bytes, at: int) -> bytes:
    return content[:at]


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :]


@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_damaged_file_is_refused_or_holds_finite_numbers(
    damage: Callable[[bytes, int], bytes], tmp_path: Path
) -> None:
    """A flipped bit within the numbers is seen by nobody; everywhere else HDF5 has its own errors."""
    path = tmp_path / "plain.h5"
    write_plain(path)
    content = path.read_bytes()
    for at in range(0, len(content), 61):
        path.write_bytes(damage(content, at))
        with contextlib.suppress(DataError):
            assert np.isfinite(load_data(Source(str(path), train_fraction=0.5)).X_train).all()
