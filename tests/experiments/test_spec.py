"""Claims about specs: which are refused and how, and which points they yield."""

from __future__ import annotations

import math
import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.points import Architecture, Point
from experiments.spec import KNOWN, LONGEST_NAME, MOST_POINTS, Spec, SpecError, make_spec
from experiments.spec_file import LARGEST_FILE, read_fields
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS

NAMES_OF_OTHERS = ["runs", "Figures", "set-aside", ".work", "con", "nul.x", "LPT1", "main.h5"]


def refusal(fields: Any) -> str:
    with pytest.raises(SpecError) as caught:
        make_spec(fields)
    (sentence,) = str(caught.value).splitlines()
    assert "expected" in sentence
    assert sentence.isprintable()
    assert len(sentence) < 600
    return sentence


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("depths", [0]),
        ("depths", [1, 1]),
        ("depths", []),
        ("depths", 3),
        ("depths", [1.5]),
        ("depths", [2**63]),
        ("depths", [10**5000]),
        ("depths", {2: 3}),
        ("widths", [True]),
        ("widths", ["5"]),
        ("widths", [1.0]),
        ("seeds", [-1]),
        ("seeds", [[0]]),
        ("seeds", {0, 1}),
        ("learning_rates", [math.nan]),
        ("learning_rates", [math.inf]),
        ("learning_rates", [-1.0]),
        ("learning_rates", ["0.1"]),
        ("learning_rates", [True]),
        ("learning_rates", [1, 1.0]),
        ("learning_rates", {"start": 0.1, "stop": 1.0}),
        ("learning_rates", {"start": 0, "stop": 1.0, "num": 3}),
        ("learning_rates", {"start": 0.1, "stop": 10**400, "num": 3}),
        ("learning_rates", {"start": 0.1, "stop": 1.0, "num": True}),
        ("learning_rates", {"start": 0.1, "stop": 0.1, "num": 2}),
        ("learning_rates", {"start": 0.1, "stop": 1.0, "num": 10**15}),
        ("schemes", ["xavier"]),
        ("activations", ["softmax"]),
        ("costs", "cross_entropy"),
        ("dtype", "float16"),
        ("steps", 0),
        ("steps", "5"),
        ("steps", date(2020, 1, 1)),
        ("train_fraction", 1.0),
        ("train_fraction", math.nan),
        ("split_seed", 2**32),
        ("data", 5),
        ("data", "a\0b"),
        ("data", "\ud800"),
        ("name", "../elsewhere"),
        ("name", "a\n\x1b[31mb"),
        ("name", "x" * (LONGEST_NAME + 1)),
        *[("name", name) for name in NAMES_OF_OTHERS],
        ("depth", [1]),
        ("a\n\x1b[31mb", 1),
        ("x" * 1000, 1),
    ],
)
def test_a_bad_field_is_named_in_one_sentence(field: str, value: Any) -> None:
    assert refusal({field: value}).strip("'").startswith(repr(field)[1:-1][:30])


@pytest.mark.parametrize("fields", [None, [], {1: 2}, {None: 1}])
def test_what_is_no_mapping_of_fields_is_refused(fields: Any) -> None:
    refusal(fields)


def test_the_sentence_shows_the_value_at_fault_and_what_is_expected() -> None:
    assert refusal({"depths": [1, 2, "3"]}) == (
        "depths: got '3' as value 3 of the list, expected a list of whole numbers of at least 1 and below "
        "2^63, each once, or a range {start, stop, num}; change depths."
    )


def test_an_unknown_field_is_told_its_nearest_neighbour_and_all_others() -> None:
    sentence = refusal({"learning_rate": [0.1]})
    assert "(did you mean 'learning_rates'?)" in sentence
    assert ", ".join(KNOWN) in sentence


@pytest.mark.parametrize(
    ("rates", "what"),
    [
        ([1e-60], "is 0.0"),
        ([1e39], "is inf"),
        ([2, 0.1, 0.1 + 1e-10], "got 0.1 and 0.1000000001, which are equal"),
    ],
)
def test_rates_are_refused_that_are_not_the_same_in_float32(rates: list[float], what: str) -> None:
    assert make_spec({"learning_rates": rates}).count
    assert f"{what}" in refusal({"learning_rates": rates, "dtype": "float32"})


def test_more_points_than_fit_are_refused_before_they_are_listed() -> None:
    few = {"depths": range(1, 10**4), "widths": range(1, 10**4)}
    assert f"at most {MOST_POINTS}" in refusal(few)


def test_whole_rates_and_numbers_of_numpy_are_numbers() -> None:
    spec = make_spec({
        "learning_rates": np.geomspace(1, 4, 3), "depths": list(np.arange(1, 3)), "steps": np.int64(5),
    })  # fmt: skip
    assert (spec.learning_rates, spec.depths, spec.steps) == ((1.0, 2.0, 4.0), (1, 2), 5)
    assert {type(depth) for depth in spec.depths} == {int}
    assert make_spec({"learning_rates": [1]}).learning_rates == (1.0,)


def test_equal_specs_have_equal_text_from_which_they_are_made_again() -> None:
    spec = make_spec({"depths": [3, 1], "learning_rates": [1], "activations": ["tanh"]})
    assert make_spec(spec.model_dump()) == spec == Spec.model_validate_json(spec.canonical())


# --- points -----------------------------------------------------------------------------------


def test_every_combination_is_a_point_in_the_order_as_written() -> None:
    spec = make_spec({
        "depths": [3, 1], "widths": [5], "learning_rates": [1.0, 0.1], "seeds": [7, 0], "schemes": ["he"],
        "activations": list(ACTIVATIONS), "costs": list(COSTS), "steps": 9, "dtype": "float32",
    })  # fmt: skip
    points = spec.points()
    assert len(set(points)) == len(points) == spec.count == 2 * 2 * 2 * len(ACTIVATIONS) * len(COSTS)
    deep = Architecture(3, 5, "relu", "cross_entropy", "float32")
    assert points[:4] == [Point(deep, "he", rate, seed, 9) for rate in (1.0, 0.1) for seed in (7, 0)]
    assert points[4].architecture == Architecture(1, 5, "relu", "cross_entropy", "float32")


# --- files ------------------------------------------------------------------------------------


def test_toml_table_of_learning_rates_is_spaced_evenly_on_a_log_scale(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text("depths = [2]\nlearning_rates = {start = 0.01, stop = 1.0, num = 3}\n")
    assert make_spec(read_fields(path)).learning_rates == (0.01, 0.1, 1.0)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(b"\xef\xbb\xbfsteps = 3\r\n")
    assert read_fields(path) == {"steps": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"depths = [", "not valid TOML"),
        (b"steps = 1\nsteps = 2", "not valid TOML"),
        (b"name = '\xff'", "not UTF-8"),
        (b"depths = " + 10**5 * b"[", "nested too deeply"),
        (10**5 * b"a ." + b"a = 1", "nested too deeply"),
        (b"[" + 10**5 * b"'a'.\"b\"." + b"c]", "nested too deeply"),
        (b"a = " + 10**4 * b"{a = ", "nested too deeply"),
        (b"steps = " + 10**4 * b"9", "too many digits"),
        (b"#" * (LARGEST_FILE + 1), "larger than 1000000 bytes"),
    ],
)
def test_a_file_that_holds_no_fields_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_fields(path)
    assert str(caught.value).startswith("spec file: ")
    assert str(caught.value).isprintable()


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SpecError, match=r"cannot read .* \(no regular file\)"):
            read_fields(path)
    for path in (tmp_path / "absent\x1b.toml", tmp_path / "x\0", tmp_path / ("x" * 1000)):
        with pytest.raises(SpecError, match="cannot read") as caught:
            read_fields(path)
        assert str(caught.value).isprintable()
