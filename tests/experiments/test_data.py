"""Claims about data sets: what features and labels become, and which files are refused in a sentence."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from experiments.data import DataError, load_data
from experiments.dataset import load
from experiments.source import Source
from experiments.sources import raw

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


def write_archive(path: Path, **arrays: Any) -> str:
    np.savez_compressed(path, **{"X": X, "y": Y, **arrays})
    return str(path)


def write_table(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def rows(count: int = 12, label: Callable[[int], object] = lambda i: ("no", "yes")[i % 2]) -> str:
    """A table with the columns a, b and label."""
    return "a,b,label\n" + "".join(f"{X[i, 0]},{i % 3},{label(i)}\n" for i in range(count))


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
    assert r"holds ['Z\x1b']; expected the arrays train_set_x" in refusal(tmp_path / "keys.h5")
    with h5py.File(tmp_path / "links.h5", "w") as file:
        file["X"], file["y"] = h5py.ExternalLink("/absent.h5", "X"), h5py.SoftLink("/absent")
    assert "expected the arrays train_set_x" in refusal(tmp_path / "links.h5")


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


# --- sets with a name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "shape", "classes"),
    [
        ({"data": "Breast-Cancer"}, (30, 455), "class 1: 'malignant'; class 0: 'benign'"),
        ({"data": "wine", "positive": ("class_1",)}, (13, 142), "class 0: 'class_0', 'class_2'"),
        (
            {"data": "iris", "positive": ("setosa",), "negative": ("virginica",)},
            (4, 80),
            "class 0: 'virginica'",
        ),
        ({"data": "digits", "positive": (7, "8")}, (64, 1437), "class 1: 7, 8; class 0: 0, 1, 2"),
        (
            {"data": "digits", "negative": (0,)},
            (64, 1437),
            "class 1: 1, 2, 3, 4, 5, 6, 7, 8, ... (9 in all);",
        ),
        ({"data": "moons", "parameters": {"noise": 0.1, "n_samples": 50}}, (2, 40), "class 1: 1; class 0: 0"),
        ({"data": "circles", "parameters": {"factor": 0.2}}, (2, 800), "class 1: 1"),
        ({"data": "classification", "parameters": {"n_features": 3, "class_sep": 2}}, (3, 800), "class 1: 1"),
    ],
)
def test_a_set_has_its_classes_and_says_them(
    fields: dict[str, Any], shape: tuple[int, int], classes: str
) -> None:
    data = load_data(Source(**fields))
    assert data.X_train.shape == shape
    assert set(data.Y_train[0]) == set(data.Y_test[0]) == {0, 1}
    assert classes in data.preprocessing
    assert data.sha256 == load_data(Source(**fields)).sha256


def test_what_is_drawn_depends_on_every_parameter_given() -> None:
    drawn: list[dict[str, float]] = [{}, {"noise": 0.3}, {"random_state": 1}, {"n_samples": 500}]
    data = [load_data(Source("moons", parameters=parameters)) for parameters in drawn]
    assert len({each.sha256 for each in data}) == len({each.source for each in data}) == 4
    assert data[1].source == "scikit-learn make_moons(n_samples=1000, noise=0.3, random_state=0)"


@pytest.mark.parametrize(
    ("data", "parameters", "message"),
    [
        ("moons", {"nois": 1}, "'moons' has no 'nois' (did you mean 'noise'?); expected one of n_samples"),
        ("moons", {"factor": 0.5}, "'moons' has no 'factor'"),
        ("moons", {"noise": -0.1}, "got noise = -0.1, expected a number from 0 to 1000000"),
        ("moons", {"n_samples": 100.0}, "expected a whole number from 4"),
        ("moons", {"n_samples": 10**8}, "n_samples = 100000000"),
        ("circles", {"factor": 1}, "got factor = 1, expected a number from 0 to 0.999"),
        ("moons", {"random_state": 2**32}, "expected a whole number from 0 to 4294967295"),
        ("classification", {"class_sep": 0}, "class_sep = 0, expected a number from 0.001"),
        ("classification", {"n_features": 1}, "expected at least n_informative"),
        ("classification", {"n_clusters_per_class": 3}, "at most half of 2^n_informative, 2^2"),
        ("classification", {"n_samples": 10**7, "n_features": 10**4}, "of memory are needed"),
        ("digits", {"noise": 1}, "for 'digits', expected none"),
    ],
)
def test_parameters_that_a_set_does_not_take_are_refused(
    data: str, parameters: dict[str, float], message: str
) -> None:
    sentence = refusal(data, parameters=parameters)
    assert sentence.startswith("data_parameters: ")
    assert message in sentence


def test_a_name_that_no_set_has_is_told_all_that_there_are() -> None:
    assert "(did you mean 'breast_cancer'?); expected one of digits, breast_cancer, wine" in refusal(
        "brest-cancer"
    )
    assert "did you mean" not in refusal("digits.csv")
    assert "target: got 'label' for 'digits'" in refusal("digits", target="label")


# --- classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "fields", "classes"),
    [
        (["no", "yes"], {}, "class 1: 'yes'; class 0: 'no'"),
        (["no", "yes"], {"positive": ("no",)}, "class 1: 'no'; class 0: 'yes'"),
        ([-1, 1], {}, "class 1: 1; class 0: -1"),
        ([10, 9], {}, "class 1: 10; class 0: 9"),
        (["10", "9"], {}, "class 1: 10; class 0: 9"),
        (["1.0", "2"], {"positive": ("1",)}, "class 1: 1; class 0: 2"),
        ([0.5, 1, 2], {"positive": ("1", 2.0)}, "class 1: 1, 2; class 0: 0.5"),
        ([" a", "a ", "b"], {}, "class 1: 'b'; class 0: 'a'"),
        (["NA", "None"], {}, "class 1: 'None'; class 0: 'NA'"),
        (["a", "b", "c"], {"positive": ("a",)}, "class 1: 'a'; class 0: 'b', 'c'"),
        (["a", "b", "c"], {"negative": ("a",)}, "class 1: 'b', 'c'"),
        (["a", "b", "c"], {"positive": ("c",), "negative": ("a",)}, "class 1: 'c'; class 0: 'a'"),
    ],
)
def test_labels_are_classes_as_asked_for(
    labels: list[Any], fields: dict[str, Any], classes: str, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "t.csv", rows(12, lambda i: labels[i % len(labels)]))
    data = load_data(Source(path, target="label", train_fraction=0.5, standardise=False, **fields))
    assert classes in data.preprocessing
    features, Y = (
        np.concatenate(parts, axis=1) for parts in ((data.X_train, data.X_test), (data.Y_train, data.Y_test))
    )
    of_class_1 = classes.split(";")[0].removeprefix("class 1: ")
    for x, y in zip(features[0], Y[0], strict=True):
        label = str(labels[int(np.argmin(np.abs(X[:, 0] - x))) % len(labels)]).strip().removesuffix(".0")
        assert (label in of_class_1.replace("'", "").split(", ")) == y


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {},
            "positive: y holds 3 labels, 'a', 'b', 'c'; say which are class 1: positive = ['c'], or "
            "--positive c.",
        ),
        (
            {"positive": ("A",)},
            "positive: got 'A', which is no label of y (did you mean 'a'?); expected some of 'a'",
        ),
        ({"positive": (1,)}, "positive: got 1, which is no label of y; expected some of 'a', 'b', 'c'"),
        ({"positive": ("a",), "negative": ("b", "a")}, "negative: got 'a', which is in positive, too"),
        ({"positive": ("a", "b", "c")}, "positive: got every label of y"),
        ({"negative": ("a", "b", "c")}, "negative: got every label of y"),
    ],
)
def test_classes_that_make_no_sense_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "t.npz", y=np.array(["a", "b", "c"] * 4))
    assert refusal(path, **fields).startswith(message)


def test_of_many_labels_the_first_are_listed(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "t.npz", y=np.arange(12) / 2)
    assert "holds 12 labels, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, ... (12 in all); say" in refusal(path)


def test_labels_that_a_terminal_would_obey_are_shown_escaped(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "t.npz", y=np.array(["\x1b[31m", "\x1b[0m", "b c"] * 4))
    assert refusal(path).endswith("positive = ['b c'], or --positive 'b c'.")
    assert r"some of '\x1b[0m', '\x1b[31m', 'b c'" in refusal(path, positive=("\n",))


# --- tables -----------------------------------------------------------------------------------


def test_a_table_is_the_same_in_every_kind_of_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": X[:, 0], "label": Y == 1, "b": X[:, 1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.TSV", index=False, sep="\t", encoding="utf-8-sig")
    frame.set_index(frame.index[::-1]).to_parquet(tmp_path / "t.parquet")
    tables = [
        load_data(Source(str(tmp_path / name), target="label", positive=positive))
        for name in ("t.csv", "t.TSV", "t.parquet")
        for positive in ((), (1,), ("True",), ("true",))
    ]
    plain, archive = write_plain(tmp_path / "t.hdf5"), write_archive(tmp_path / "t.npz")
    arrays = [load_data(Source(path)) for path in (plain, archive)]
    assert len({data.sha256 for data in tables + arrays}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no header"),
        ("a,b,label\n", "has no rows"),
        ("a,b,label", "has no rows"),
        ("1,2,3\n4,5,6\n", "begins with numbers, '1, 2, 3'"),
        (
            "a;b;label\n1;2;3\n",
            "has one column, 'a;b;label', expected fields separated by ','; here it seems to be ';'",
        ),
        ("label\n1\n0\n", "has the column 'label' alone"),
        ("a,a,label\n1,2,0\n", "more than one column 'a'"),
        (",a,label\n0,1,0\n", "column number 1 of 't.csv' has no name"),
        (
            "a,b,Label\n1,2,0\n",
            "no column of 't.csv' (did you mean 'Label'?); expected the column of the labels",
        ),
        ("a,b,label\n1,x,0\n2,3,1\n", "column 'b' holds 'x', no number, in row 1 (1 of 2 rows have"),
        ("a,b,label\n1,2,0\n2,,1\n", "column 'b' holds nothing in row 2"),
        ("a,b,label\n1,2,0\n2,nan,1\n", "column 'b' holds nan in row 2"),
        ("a,b,label\n1,1e999,0\n2,3,1\n", "column 'b' holds"),
        ("a,b,label\n1,2,0\n2,3,\n", "column 'label' holds no label (nothing, NaN or infinity) for 1 of 2"),
        ("a,b,label\n1,2,0\n2,3\n", "column 'label' holds no label"),
        ("a,b,label\n1,2,0\n2,3,1,4\n", "has 4 fields in row 2, and 3 columns in its header"),
        ("a,b,label\n1,2,0,4\n2,3,1\n", "more fields than its header has columns, 3"),
        ('a,b,label\n1,"2,0\n2,3,1\n', "a quotation mark that is not closed"),
        ('a,"b,label\n1,2,0\n', "header"),
        (rows(12, lambda i: 1), "column 'label' holds 1 alone"),
        (rows().replace(",1,", ",-inf,"), "column 'b' holds -inf in row 2 (4 of 12"),
        (b"a,b,label\n1,2,\xff\n", "not UTF-8"),
        (b"\xff,b,label\n1,2,0\n", "not UTF-8"),
        (b"\0" * 50, "no column of 't.csv'"),
    ],
)
def test_a_text_that_is_no_table_of_examples_is_refused(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    assert message in refusal(write_table(tmp_path / "t.csv", text), target="label")


def test_a_table_needs_a_target_that_nothing_else_takes(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", rows())
    assert "not given, for 't.csv'; expected the column of the labels, one of ['a', 'b'" in refusal(table)
    assert "labels by itself" in refusal(write_plain(tmp_path / "t.h5"), target="label")
    assert "for a file, expected none" in refusal(table, target="label", parameters={"noise": 1})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([None, *range(11)], "column 'b' holds nan in row 1"),
        (["x"] * 12, "holds 'x', no number,"),
        (pd.date_range("2020", periods=12), "datetime64"),
        ([[1]] * 12, "column 'b' holds array([1]), no number, in row 1"),
    ],
)
def test_columns_of_parquet_that_are_no_numbers_are_refused(
    column: Any, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame({"a": X[:, 0], "b": column, "label": Y}).to_parquet(tmp_path / "t.parquet")
    assert message in refusal(tmp_path / "t.parquet", target="label")


def test_without_pyarrow_a_parquet_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.lib", None)
    path = write_table(tmp_path / "t.parquet", b"PAR1")
    assert "autodiff-sandbox[parquet]" in refusal(path, target="label")
    monkeypatch.undo()
    pytest.importorskip("pyarrow")
    assert "not a readable Parquet file" in refusal(path, target="label")


def test_a_table_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "t.csv", rows())
    monkeypatch.setattr(raw, "available_memory", lambda: 1000.0)
    assert "'t.csv' has 3 columns and 13 lines, for which 2.6 kB of memory" in refusal(path, target="label")


# --- archives, and files in general -----------------------------------------------------------


def test_images_of_an_archive_are_those_of_hdf5_with_any_labels(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (6, 2, 2, 3), dtype=np.uint8)
    labels = np.array(["cat", "dog", "cow"] * 2)
    parts: dict[str, Any] = {
        "train_set_x": images,
        "train_set_y": labels[:, None],
        "test_set_x": images,
        "test_set_y": labels,
    }
    np.savez(tmp_path / "t.npz", **parts)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for name, array in parts.items():
            file[name] = array.astype("S" if array is labels else object) if name[-1] == "y" else array
    for name in ("t.npz", "t.h5"):
        data = load_data(Source(str(tmp_path / name), positive=("cat",)))
        np.testing.assert_array_equal(data.X_test, images.reshape(6, -1).T / 255)
        np.testing.assert_array_equal(data.Y_train, [[1, 0, 0, 1, 0, 0]])
        assert data.preprocessing.endswith("split of the file; pixel / 255; not standardised")
        of_two = load_data(
            Source(str(tmp_path / name), positive=("cat",), negative=("cow",), standardise=True)
        )
        assert of_two.X_train.shape == (12, 4)
        np.testing.assert_allclose(of_two.X_train.mean(axis=1), 0, atol=1e-12)
        assert of_two.preprocessing.endswith("pixel / 255; standardised")
        assert "train_fraction: got 0.5 for" in refusal(
            tmp_path / name, positive=("cat",), train_fraction=0.5
        )
        assert "split_seed: got 0 for" in refusal(tmp_path / name, positive=("cat",), split_seed=0)


def test_nothing_in_an_archive_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path / "sprung").touch, ()

    for name in ("X", "y"):
        path = write_archive(tmp_path / "t.npz", **{name: np.array([[Trap()]], object)})
        assert "dtype 'object', expected numbers" in refusal(path)
    assert not (tmp_path / "sprung").exists()


def test_an_archive_of_zeros_larger_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_archive(tmp_path / "t.npz", X=np.zeros((10**5, 10)), y=np.arange(10**5) % 2)
    monkeypatch.setattr(raw, "available_memory", lambda: 10.0**6)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    assert "X has shape (100000, 10), for which 44 MB of memory" in refusal(path)


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    plain, archive = write_plain(tmp_path / "t.h5"), write_archive(tmp_path / "t.npz")
    for source, content in ((plain, "an HDF5 file (.h5)"), (archive, "a zip archive (.npz")):
        for ending in {".csv", ".parquet", ".npz", ".h5"} - {Path(source).suffix}:
            path = write_table(tmp_path / f"x{ending}", Path(source).read_bytes())
            assert f"is no {ending} file by its content, but {content}" in refusal(path, target="label")
    load_data(Source(write_table(tmp_path / "without_ending", Path(plain).read_bytes())))
    for ending, kind in ((".npz", "NumPy"), (".h5", "HDF5"), (".parquet", "Parquet")):
        path = write_table(tmp_path / f"y{ending}", rows())
        assert f"not a readable {kind} file" in refusal(path)
    assert "has the ending '.txt', expected one of .csv, .tsv," in refusal(
        write_table(tmp_path / "t.txt", rows()), target="label"
    )


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so that the refusal itself is made up."""

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise PermissionError

    path = write_plain(tmp_path / "t.h5")
    monkeypatch.setattr(Path, "open", refuse)
    assert "no permission to read" in refusal(path)


def test_examples_that_are_all_the_same_are_refused_and_one_constant_feature_is_not(tmp_path: Path) -> None:
    for constant in (3.0, 0.1):  # the mean of many 0.1 is not 0.1
        X_constant = np.array([[0.0, constant]]) + [[1, 0]] * np.tile(X, (20, 1))
        data = load_data(Source(write_archive(tmp_path / "t.npz", X=X_constant, y=np.tile(Y, 20))))
        assert not data.X_train[1].any()
        assert not data.X_test[1].any()
    assert "are the same" in refusal(write_archive(tmp_path / "t.npz", X=np.ones((12, 2))))
    assert "are the same" in refusal(write_images(tmp_path / "t.h5", images=IMAGES[:1].repeat(2, axis=0)))


texts = st.text(max_size=6) | st.sampled_from(
    ["nan", "", "inf", "1e999", '"', "0", "1", "yes", "\r", "9" * 30]
)
cells = st.one_of(st.integers(-3, 3).map(str), st.floats(-10, 10).map(str), texts)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table in which one or two cells may be anything."""
    count = draw(st.integers(0, 12))
    lines = [["a", "b", "label"]] + [[str(i % 5), str(i * i), str(i % 2)] for i in range(count)]
    for _ in range(draw(st.integers(0, 2))):
        line = draw(st.sampled_from(lines))
        if line:
            line[draw(st.integers(0, len(line) - 1)) :] = draw(st.lists(cells, max_size=4))
    text = "\n".join(",".join(line) for line in lines).encode()
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xff"])) + text


@pytest.mark.parametrize(
    "cases", [pytest.param(60, id="some"), pytest.param(1500, marks=pytest.mark.slow, id="many")]
)
def test_any_table_is_examples_or_a_sentence(cases: int, tmp_path: Path) -> None:
    def check(content: bytes, standardise: bool, positive: list[Any]) -> None:
        path = write_table(tmp_path / "t.csv", content)
        try:
            data = load_data(
                Source(
                    path,
                    target="label",
                    standardise=standardise,
                    positive=tuple(positive),
                    train_fraction=0.5,
                )
            )
        except DataError:
            assert refusal(
                path, target="label", standardise=standardise, positive=tuple(positive), train_fraction=0.5
            )
        else:
            assert np.isfinite(data.X_train).all()
            assert set(data.Y_train[0]) == {0, 1}

    labels = st.lists(st.sampled_from([1, "1", "0", 0.0, 5, "yes"]), max_size=2)
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    drawn = given(tables() | st.binary(max_size=60), st.booleans(), labels)(check)
    settings(max_examples=cases, deadline=None, suppress_health_check=slow)(drawn)()


# --- the command line -------------------------------------------------------------------------


def test_a_table_is_swept_from_the_command_line_and_its_classes_are_kept(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", rows())
    options = [
        "--depth=1",
        "--learning-rate=0.1",
        "--scheme=he",
        "--seed=0",
        "--steps=3",
        "--jobs=1",
        "--quiet",
    ]
    about = ["--data", path, "--target=label", "--positive=yes", "--no-standardise", "--train-fraction=0.5"]
    done = CliRunner().invoke(app, ["sweep", "own", *options, *about, f"--results={tmp_path}"])
    assert done.exit_code == 0, done.output
    attributes = load("own", tmp_path).attrs
    assert attributes["data_source"] == "t.csv"
    assert attributes["data_preprocessing"] == (
        "class 1: 'yes'; class 0: 'no'; stratified split, train_fraction 0.5, split_seed 0; not standardised"
    )
    assert '"target":"label","positive":["yes"]' in attributes["spec"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data=moons", "--data-parameter=noise"], "--data-parameter: got 'noise', expected NAME=NUMBER"),
        (
            ["--data=moons", "--data-parameter=noise=x"],
            "--data-parameter: got 'noise=x', expected NAME=NUMBER",
        ),
        (["--data=moons", *["--data-parameter=noise=1"] * 2], "each once"),
        (["--data=moons", "--data-parameter=noise=nan"], "data_parameters: got {'noise': nan}"),
        (["--data=iris"], "positive: data set 'iris' holds 3 labels"),
        (["--data=iris", "--positive=1"], "positive: got '1', which is no label"),
    ],
)
def test_options_that_make_no_sense_are_a_sentence(options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["sweep", "own", "--dry-run", *options])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr


def test_a_path_in_a_spec_is_relative_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "specs").mkdir()
    write_table(tmp_path / "specs/t.csv", rows())
    (tmp_path / "specs/own.toml").write_text('data = "t.csv"\ntarget = "label"\ntrain_fraction = 0.5')
    (tmp_path / "specs/sets.toml").write_text('data = "moons"\ndata_parameters = {noise = 0.1}')
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["specs/own.toml"],
        ["specs/sets.toml"],
        ["specs/sets.toml", "--data-parameter=noise=0.3"],
    ):
        done = CliRunner().invoke(app, ["sweep", "--dry-run", *arguments])
        assert done.exit_code == 0, done.output
