"""Claims about the ways to write a list of runs: ranges, draws, files of points, unions."""

from __future__ import annotations

import csv
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.export import COLUMNS as EXPORTED
from experiments.lists.kinds import COLUMNS, MOST_VALUES
from experiments.lists.points_file import OUTCOMES
from experiments.points import Architecture, Point
from experiments.resources import check_memory
from experiments.spec import Spec, SpecError, make_spec
from experiments.spec_file import read_fields
from tests.experiments.test_spec import refusal

ONE = {"depths": [2], "widths": [3], "seeds": [0], "schemes": ["he"], "learning_rates": [0.1]}
BETWEEN = {"start": 0.01, "stop": 10}
FOUR = {"depth": [1, 2], "learning_rate": [0.1, 1.0], "seed": [0, 7], "scheme": ["he", "small"]}
ROWS = "depth,learning_rate,seed,scheme\n"


def again(spec: Spec) -> Spec:
    """The same spec, from its own text."""
    assert make_spec(spec.model_dump()) == spec
    return Spec.model_validate_json(spec.canonical())


# --- ranges -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "table", "expected"),
    [
        ("learning_rates", {"start": 0.1, "stop": 10, "num": 3}, (0.1, 1.0, 10.0)),
        ("learning_rates", {"start": 1, "stop": 2, "num": 3, "scale": "linear"}, (1.0, 1.5, 2.0)),
        ("learning_rates", {"start": 10, "stop": 0.1, "num": 3}, (10.0, 1.0, 0.1)),
        ("depths", {"start": 1, "stop": 9, "num": 3}, (1, 5, 9)),
        ("depths", {"start": 1, "stop": 4, "num": 3}, (1, 3, 4)),
        ("widths", {"start": 1, "stop": 16, "num": 5, "scale": "log"}, (1, 2, 4, 8, 16)),
        ("seeds", {"start": 0, "stop": 4, "num": 5}, (0, 1, 2, 3, 4)),
        ("seeds", {"start": 3, "stop": 3, "num": 1}, (3,)),
        ("seeds", {"start": 2**62 + 1, "stop": 2**62 + 3, "num": 3}, tuple(2**62 + i for i in (1, 2, 3))),
        ("widths", {"start": 2**63 - 1, "stop": 1, "num": 2, "scale": "log"}, (2**63 - 1, 1)),
    ],
)
def test_a_range_is_its_values_evenly_on_the_scale(
    field: str, table: dict[str, Any], expected: tuple[float, ...]
) -> None:
    assert getattr(make_spec({field: table}), field) == expected


@pytest.mark.parametrize(
    ("field", "table", "words"),
    [
        ("depths", {"start": 1, "stop": 4, "num": 9}, "differ rounded to whole numbers: a smaller num"),
        ("depths", {"start": 0, "stop": 4, "num": 2}, "whole start and stop of at least 1"),
        ("widths", {"start": 1.0, "stop": 4, "num": 2}, "whole start and stop"),
        ("widths", {"start": 1, "stop": 2**63, "num": 2}, "below 2^63"),
        (
            "seeds",
            {"start": 0, "stop": 4, "num": 2, "scale": "log"},
            "of at least 1 and below 2^63 on a log scale",
        ),
        ("seeds", {"start": 0, "stop": 4, "num": 2, "scale": "logarithmic"}, "'linear' or 'log'"),
        ("seeds", {"start": 0, "stop": 4, "nmu": 2}, "did you mean 'num'"),
        ("seeds", {"stop": 4, "num": 2}, "whole start and stop"),
        ("seeds", {"start": 0, "stop": 10**9, "num": MOST_VALUES + 1}, f"at most {MOST_VALUES}"),
        ("learning_rates", {"start": 0.1, "stop": 1.0}, "a range with num, or a spec with draw"),
        ("learning_rates", {"start": 0.1, "stop": 0.1, "num": 2}, "differ within 12 digits"),
        ("schemes", {"start": 0, "stop": 4, "num": 2}, "a list of 'small'"),
    ],
)
def test_a_range_that_is_none_is_refused(field: str, table: dict[str, Any], words: str) -> None:
    sentence = refusal({field: table})
    assert sentence.startswith(f"{field}: got ")
    assert words in sentence


# --- draws ------------------------------------------------------------------------------------


def rates_and_depths(**draw: Any) -> list[tuple[float, int]]:
    spec = make_spec({
        **ONE, "learning_rates": BETWEEN, "depths": {"start": 1, "stop": 4}, "draw": draw,
    })  # fmt: skip
    assert again(spec) == spec
    return [(point.learning_rate, point.architecture.depth) for point in spec.points()]


def test_draws_are_the_same_whoever_draws_and_differ_by_seed_and_method() -> None:
    assert rates_and_depths(num=4) == [
        (7.80477981758, 2), (0.0210171745201, 3), (0.385171877671, 4), (0.175119340747, 1),
    ]  # fmt: skip
    assert rates_and_depths(num=4, seed=1) != rates_and_depths(num=4)
    assert rates_and_depths(num=4, method="latin_hypercube") != rates_and_depths(num=4)


def test_more_draws_of_sobol_contain_the_fewer_and_no_number_of_them_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few, more = rates_and_depths(num=5), rates_and_depths(num=50)
    assert more[:5] == few
    assert len(few) == 5


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube"])
def test_draws_cover_the_ranges_evenly_with_both_ends(method: str) -> None:
    drawn = rates_and_depths(num=256, method=method)
    depths = [depth for _, depth in drawn]
    assert [depths.count(depth) for depth in (1, 2, 3, 4)] == [64] * 4
    decades = np.log10([rate for rate, _ in drawn])
    assert np.histogram(decades, 4, (-2, 1))[0].tolist() == [64] * 4
    assert all(float(f"{rate:.12g}") == rate for rate, _ in drawn)


def test_whole_numbers_on_a_log_scale_have_their_share_of_it() -> None:
    widths = {"start": 1, "stop": 100, "scale": "log"}
    drawn = make_spec({**ONE, "widths": widths, "draw": {"num": 1024}}).rows
    assert drawn is not None
    assert {min(drawn.width), max(drawn.width)} == {1, 100}
    share = np.log(10.5 / 0.5) / np.log(100.5 / 0.5)
    assert np.mean(np.array(drawn.width) <= 10) == pytest.approx(share, abs=2 / 1024)


def test_lists_are_crossed_with_the_draws_and_what_is_drawn_twice_is_one_run() -> None:
    spec = make_spec({**ONE, "learning_rates": BETWEEN, "seeds": [5, 3], "draw": {"num": 8}})
    points = spec.points()
    assert len(points) == spec.count == 16
    assert [point.seed for point in points[:4]] == [5, 3, 5, 3]
    seeds = make_spec({**ONE, "seeds": {"start": 0, "stop": 2}, "draw": {"num": 64}})
    assert sorted(point.seed for point in seeds.points()) == [0, 1, 2]
    assert seeds.count == 64


def test_draws_of_rates_differ_in_float32() -> None:
    near = {"start": 1.0, "stop": 1.001, "scale": "linear"}
    spec = make_spec({**ONE, "learning_rates": near, "draw": {"num": 512}, "dtype": "float32"})
    assert 90 < len(spec.points()) <= 101


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"draw": {"num": 4}}, "a range without num of depths, widths, learning_rates, seeds"),
        ({"draw": {"num": 4}, "learning_rates": {**BETWEEN, "num": 3}}, "a range without num"),
        ({"draw": {"num": 0}, "learning_rates": BETWEEN}, "whole num of at least 1"),
        ({"draw": {}, "learning_rates": BETWEEN}, "whole num of at least 1"),
        ({"draw": {"num": 4, "method": "sobl"}, "learning_rates": BETWEEN}, "did you mean 'sobol'"),
        ({"draw": {"num": 4, "seed": -1}, "learning_rates": BETWEEN}, "whole seed of at least 0"),
        ({"draw": {"num": 4, "sed": 1}, "learning_rates": BETWEEN}, "did you mean 'seed'"),
        ({"draw": "sobol", "learning_rates": BETWEEN}, "a table with method, num and seed"),
        ({"draw": {"num": 4}, "learning_rates": BETWEEN, "points": FOUR}, "make a union"),
        ({"draw": {"num": 4}, "seeds": {"start": 4, "stop": 1}}, "a start below its stop"),
    ],
)
def test_a_draw_that_makes_no_sense_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(fields)


# --- points -----------------------------------------------------------------------------------


def test_a_row_is_a_run_and_what_has_no_column_is_taken_from_the_fields() -> None:
    spec = make_spec({"points": FOUR, "widths": [3, 4], "steps": 9})
    assert again(spec) == spec
    assert spec.points() == [
        Point(Architecture(depth, width), scheme, rate, seed, 9)  # type: ignore[arg-type]
        for depth, scheme, rate, seed in ((1, "he", 0.1, 0), (2, "small", 1.0, 7))
        for width in (3, 4)
    ]
    assert make_spec({"points": FOUR}).points()[0] == Point(Architecture(1, 16), "he", 0.1, 0, 200)


@pytest.mark.parametrize("column", ["depth", "learning_rate", "seed", "scheme"])
def test_what_a_list_of_points_has_no_default_for_is_asked_for(column: str) -> None:
    fewer = {name: values for name, values in FOUR.items() if name != column}
    assert f"no column {column}, expected one, or the field {column}s" in refusal({"points": fewer})
    assert make_spec({"points": fewer, f"{column}s": FOUR[column]}).count == 4


def test_an_axis_is_either_a_column_or_a_field() -> None:
    assert refusal({"points": FOUR, "depths": [3]}).startswith("depths: got values here and in the column")
    assert refusal({"points": {**FOUR, "steps": [3, 4]}, "steps": 3}).startswith("steps: got values here")


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (5, "the path of a CSV file"),
        ({}, "one of the columns"),
        ({**FOUR, "depht": [1, 2]}, "did you mean 'depth'"),
        ({**FOUR, "depth": [1]}, "1 of depth, 2 of scheme"),
        ({**FOUR, "depth": [1, "2"]}, "got '2' as value 2 of the column depth, expected a whole number"),
        ({**FOUR, "scheme": ["he", "hee"]}, "did you mean 'he'"),
        ({**FOUR, "depth": 1}, "a list of values"),
        ({**FOUR, "learning_rate": [1e-60, 1e-3], "dtype": ["float32", "float64"]}, "is 0.0 in float32"),
        (
            {**FOUR, "learning_rate": [1, 1 + 1e-9], "dtype": ["float32"] * 2},
            "got 1.0 and 1.000000001, which are equal in float32",
        ),
    ],
)
def test_columns_that_are_no_runs_are_refused(points: Any, words: str) -> None:
    assert words in refusal({"points": points})


def test_rates_are_held_against_the_dtype_of_their_own_runs() -> None:
    dtypes = {"depth": [1, 2], "dtype": ["float64", "float32"]}
    others = {"seeds": [0], "schemes": ["he"]}
    assert "1e-60, which is 0.0" in refusal({**others, "points": dtypes, "learning_rates": [1e-60, 0.1]})
    assert make_spec({**others, "points": {**dtypes, "learning_rate": [1e-60, 0.1]}}).count == 2


def test_a_file_has_a_line_a_run_and_other_columns_of_an_export_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_bytes(
        b"\xef\xbb\xbfseed, depth,final_cost,learning_rate,cost_0,scheme,key,steps\r\n"
        b"7,2,,0.1,0.7,he,abc,5\r\n\r\n0,1.0,0.3,1e-3,0.7,small,abd,6\r\n"
    )
    assert make_spec({"points": str(file)}).points() == [
        Point(Architecture(2, 16), "he", 0.1, 7, 5), Point(Architecture(1, 16), "small", 0.001, 0, 6),
    ]  # fmt: skip


def test_every_column_that_export_writes_is_known() -> None:
    assert {*COLUMNS, *OUTCOMES} >= {*EXPORTED}


def test_the_path_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "points.csv").write_text(ROWS + "1,0.1,0,he\n")
    spec = tmp_path / "a" / "spec.toml"
    for text in ("points = 'points.csv'", "[[union]]\npoints = 'points.csv'"):
        spec.write_text(text)
        assert make_spec(read_fields(spec)).count == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no column that says what a run is"),
        (ROWS, "got no line of a run"),
        (ROWS.replace("depth", "dpeth") + "1,0.1,0,he", "line 1: got the column 'dpeth'"),
        (ROWS.replace("seed", "depth") + "1,0.1,0,he", "line 1: got the column 'depth' twice"),
        ("key\nabc", "no column that says what a run is"),
        (ROWS + "1,0.1,0,he\n\n1,0.1,0", "line 4: got 3 cells, expected 4"),
        (ROWS + "1,0.1,0,he\n1,x,0,he", "line 3, column learning_rate: got 'x', expected a positive number"),
        (ROWS + "1,nan,0,he", "line 2, column learning_rate: got 'nan'"),
        (ROWS + "0,0.1,0,he", "line 2, column depth: got '0', expected a whole number of at least 1"),
        (ROWS + "1.5,0.1,0,he", "line 2, column depth: got '1.5'"),
        (ROWS + f"{2**63},0.1,0,he", "line 2, column depth: got '92233720"),
        (ROWS + "1,0.1,,he", "line 2, column seed: got ''"),
        (ROWS + "1,0.1,0,He", "line 2, column scheme: got 'He', expected 'small', 'he' or"),
        (ROWS + '1,0.1,0,"h\ne"\n1,0.1,0', "line 4: got 3 cells"),
        ("\0,\n1,2", "line 1"),
        ("", "line 1: got no column"),
        (ROWS + '1,0.1,0,"he\n', "line 2: unexpected end of data"),
    ],
)
def test_a_file_that_holds_no_points_is_refused_with_the_line(
    content: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "points.csv"
    file.write_text(content)
    sentence = refusal({"points": str(file)})
    assert sentence.startswith("points: ")
    assert "points.csv" in sentence
    assert words in sentence


def test_a_file_that_is_no_text_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    file.write_bytes(b"\xff\xfe")
    for path, why in (
        (file, "not UTF-8 text"),
        (tmp_path, "no regular file"),
        (tmp_path / "no.csv", "No such"),
    ):
        with pytest.raises(
            SpecError, match=rf"points: cannot read '.*' \({why}.*; give the path of a CSV file"
        ):
            make_spec({"points": str(path)})


def test_runs_of_one_architecture_share_it(tmp_path: Path) -> None:
    file = tmp_path / "points.csv"
    with file.open("w", newline="") as text:
        table = csv.writer(text)
        table.writerow(FOUR)
        table.writerows((1, 0.1, seed, "he") for seed in range(5_000))
    points = make_spec({"points": str(file)}).points()
    assert len(points) == 5_000
    assert len({id(point.architecture) for point in points}) == 1


# --- unions -----------------------------------------------------------------------------------


def test_a_union_is_its_tables_each_run_once_and_what_they_lack_is_common() -> None:
    spec = make_spec({
        **ONE, "steps": 5,
        "union": [{"depths": [1, 2]}, {"depths": [2], "steps": 9}, {"seeds": [0, 1]}, {"points": FOUR}],
    })  # fmt: skip
    assert again(spec) == spec
    small = [Point(Architecture(depth, 3), "he", 0.1, 0, 5) for depth in (1, 2)]
    of_file = [Point(Architecture(1, 3), "he", 0.1, 0, 5), Point(Architecture(2, 3), "small", 1.0, 7, 5)]
    longer, seed = dataclasses.replace(small[1], steps=9), dataclasses.replace(small[1], seed=1)
    assert spec.points() == [*small, longer, seed, of_file[1]]
    assert spec.count == 7


def test_dtypes_and_draws_are_of_each_table() -> None:
    spec = make_spec({
        **ONE, "learning_rates": BETWEEN,
        "union": [{"draw": {"num": 3}}, {"learning_rates": [0.5], "dtype": "float32"}],
    })  # fmt: skip
    assert [point.architecture.dtype for point in spec.points()] == [*["float64"] * 3, "float32"]
    assert set(spec.all_values("dtype")) == {"float32", "float64"}
    assert refusal({"union": [{}, {"learning_rates": [1e-60], "dtype": "float32"}]}).startswith(
        "union 2: learning_rates: got 1e-60"
    )


@pytest.mark.parametrize(
    ("union", "words"),
    [
        ([], "union: got [], expected tables"),
        ({"depths": [1]}, "union: got {'depths': [1]}, expected tables"),
        ([1], "union: got 1, expected tables"),
        ([{}, {"depht": [1]}], "union 2: 'depht': no such field (did you mean 'depths'?)"),
        ([{"name": "other"}], "union 1: 'name': no such field"),
        ([{"union": [{}]}], "union 1: 'union': no such field"),
        ([{}, {"depths": [1, 1]}], "union 2: depths: got 1 more than once"),
        ([{"points": "absent.csv"}], "union 1: points: cannot read 'absent.csv'"),
    ],
)
def test_a_union_that_makes_no_sense_is_refused(union: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec({"union": union})
    assert words in str(caught.value)


def test_what_a_list_of_points_needs_is_known_before_they_are_listed() -> None:
    many = {"start": 0, "stop": MOST_VALUES - 1, "num": MOST_VALUES}
    both = make_spec({**ONE, "union": [{"seeds": many}, {"steps": 10**12}]})
    with pytest.raises(SpecError, match=r"steps: the cost curve of 1000000000000 steps of each of 100001"):
        check_memory(both, 64, 1437, 2)
    deep = make_spec({"points": {**FOUR, "depth": [10**9, 1]}})
    with pytest.raises(SpecError, match=r"depths: a network of depth 1000000000 and width 16"):
        check_memory(deep, 64, 1437, 2)
    assert refusal({"union": [{}, {"seeds": many, "points": {"depth": [1] * 200}, "schemes": ["he"],
        "learning_rates": [0.1]}]}).startswith("seeds: got 20000144 runs in all")  # fmt: skip
