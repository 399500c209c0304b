"""Claims about everything that can be asked: each case ends in a result or in one clear sentence."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from experiments.resources import check_memory, estimate
from experiments.spec import KNOWN, Spec, SpecError, make_spec
from experiments.spec_file import read_fields

FEW = pytest.mark.parametrize(
    "cases", [pytest.param(60, id="some"), pytest.param(700, marks=pytest.mark.slow, id="many")]
)
FIELDS = KNOWN

# --- what may be asked ------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["digits", "main", "relu", "he", "float32", "5", "a/b", "..", "/dev/zero", "\x1b[31m\n", ""]
    ),
    st.integers(100, 5000).map(lambda length: "x" * length),
)
wholes = st.one_of(
    st.integers(-2, 20), st.integers(), st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 10**400, -(10**400)])
)
numbers = st.one_of(wholes, st.floats(), st.floats(1e-3, 10), st.booleans())
dates = st.sampled_from([date(2020, 1, 1), time(1, 2), datetime(2020, 1, 1, 1, 2)])
scalars = st.one_of(numbers, texts, dates)
scales = st.sampled_from(["log", "linear", "lin"])
ranges = st.fixed_dictionaries(
    {}, optional={"start": numbers, "stop": numbers, "num": numbers, "step": numbers, "scale": scales}
) | st.fixed_dictionaries(
    {"start": st.floats(1e-3, 1), "stop": st.floats(1, 10)}, optional={"num": wholes, "scale": scales}
)
whole_ranges = st.fixed_dictionaries(
    {"start": st.integers(1, 3), "stop": st.integers(3, 9) | wholes, "num": st.integers(1, 4)},
    optional={"scale": scales},
)
draws = st.fixed_dictionaries(
    {"num": st.integers(1, 9)},
    optional={"method": st.sampled_from(["sobol", "latin_hypercube"]), "seed": wholes},
)
columns = st.integers(1, 3).flatmap(
    lambda length: st.fixed_dictionaries(
        {
            "depth": st.lists(st.integers(1, 5), min_size=length, max_size=length),
            "learning_rate": st.lists(st.floats(1e-3, 10), min_size=length, max_size=length),
            "seed": st.lists(st.integers(0, 5), min_size=length, max_size=length),
        },
        optional={
            "scheme": st.lists(st.sampled_from(["small", "he"]), min_size=length, max_size=length),
            "dtype": st.lists(st.sampled_from(["float32", "float64"]), min_size=length, max_size=length),
            "steps": st.lists(st.integers(1, 9) | scalars, min_size=length, max_size=length),
        },
    )
)
nested = st.recursive(
    scalars | st.just([]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
good = {
    "name": st.sampled_from(["main", "a.b", "_-"]),
    "data": st.just("digits"),
    "depths": st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True) | whole_ranges,
    "widths": st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True) | whole_ranges,
    "learning_rates": st.lists(st.floats(1e-3, 10) | st.integers(1, 3), min_size=1, max_size=3) | ranges,
    "seeds": st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True) | whole_ranges,
    "schemes": st.lists(st.sampled_from(["small", "he", "inverse_sqrt"]), min_size=1, unique=True),
    "activations": st.lists(st.sampled_from(["relu", "tanh"]), min_size=1, unique=True),
    "costs": st.lists(st.sampled_from(["cross_entropy", "mean_squared_error"]), min_size=1, unique=True),
    "steps": st.integers(1, 100),
    "dtype": st.sampled_from(["float64", "float32"]),
    "train_fraction": st.floats(0.2, 0.9),
    "split_seed": st.integers(0, 9),
    "target": st.sampled_from(["label", "a b"]),
    "positive": st.lists(st.integers(0, 3) | st.floats(0, 1) | st.just("yes"), max_size=3),
    "standardise": st.booleans(),
    "data_parameters": st.dictionaries(
        st.sampled_from(["noise", "n_samples"]), st.integers(0, 9), max_size=2
    ),
}


LISTS = ("depths", "widths", "learning_rates", "seeds", "schemes", "activations", "costs", "steps", "dtype")
grids = st.fixed_dictionaries({}, optional={field: good[field] for field in LISTS})
lists_of_points = st.fixed_dictionaries(
    {"points": columns},
    optional={field: good[field] for field in ("widths", "activations", "schemes", "depths")},
)
between = st.fixed_dictionaries({"start": st.floats(0.01, 1), "stop": st.floats(2, 3)})
with_draws = st.fixed_dictionaries(
    {"draw": draws, "learning_rates": between},
    optional={field: good[field] for field in ("depths", "widths", "seeds", "dtype")},
)  # fmt: skip
listings = grids | lists_of_points | with_draws


@st.composite
def fields(draw: st.DrawFn) -> dict[Any, Any]:
    """Mostly good ones, and up to two of anything."""
    some: dict[Any, Any] = draw(listings | st.fixed_dictionaries({}, optional=dict(good)))
    if draw(st.integers(0, 2)) == 0:
        some["union"] = draw(st.lists(listings, max_size=3))
    bad = st.sampled_from(FIELDS) | st.sampled_from(["depth", "learning_rate", "Name"]) | texts
    anything = nested | st.lists(scalars, max_size=4)
    return some | draw(st.just({}) | st.dictionaries(bad, anything, max_size=2))


def toml(value: Any) -> str:
    """In TOML, so far as it can be written there."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{toml(key)} = {toml(entry)}' for key, entry in value.items())}}}"
    return value.isoformat() if isinstance(value, date | time) else str(value)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """TOML, with or without a few characters too many or too few."""
    text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in draw(fields()).items())
    if draw(st.booleans()):
        at, more = (
            draw(st.integers(0, len(text))),
            draw(st.sampled_from(["", "[", "'", '"""', "\0", "=", "\n"])),
        )
        text = text[:at] + more + text[at + draw(st.integers(0, 3)) :]
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xff"])) + text.encode()


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """Arguments of the verbs that make a sweep; nothing is trained."""
    command = [draw(st.sampled_from(["sweep", "run"])), "--dry-run"]
    words = scalars.map(str).filter(lambda text: "\0" not in text)
    for option in draw(st.lists(st.sampled_from(OPTIONS) | words, max_size=3)):
        value = draw(words | st.sampled_from(["1", "2", "0.1", "he", "tanh", "float32", "0", "-1", "nan"]))
        command += [f"--{option}={value}"]
    if draw(st.integers(0, 3)) == 0:
        command += ["--", draw(words | st.sampled_from(NO_SPECS))]
    return command


OPTIONS = [
    "name", "data", "target", "positive", "data-parameter",
    "train-fraction", "split-seed", "depth", "width", "learning-rate", "seed", "scheme",
    "activation", "cost", "steps", "dtype", "points", "results", "jobs", "depths",
]  # fmt: skip
NO_SPECS = [
    "/dev/zero",
    "/dev/null",
    "/",
    ".",
    "absent.toml",
    "folder.toml",
    "pipe.toml",
    "big.toml",
    "\x1b.toml",
]


# --- what may be said -------------------------------------------------------------------------


def is_clear(sentence: str) -> bool:
    """One line that a terminal shows as it is, not too long, which names the field or file at fault."""
    named = sentence.partition(":")[0]
    return sentence.isprintable() and len(sentence) < 800 and 0 < len(named) < 250 and sentence[-1] == "."


T = TypeVar("T")


def result_or_sentence(make: Callable[[], T]) -> T | None:
    """What is made, or nothing if that is refused clearly."""
    sentence = None
    try:
        return make()
    except SpecError as error:
        sentence = str(error)
    assert is_clear(sentence), sentence
    return None


def fuzz(strategy: st.SearchStrategy[Any], cases: int, check: Callable[[Any], None]) -> None:
    slow_to_draw = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=cases, deadline=None, suppress_health_check=slow_to_draw)(given(strategy)(check))()


def small_enough(spec: Spec) -> bool:
    check_memory(spec, 64, 1437, 2)
    return True


@FEW
def test_fields_are_a_spec_or_a_sentence(cases: int) -> None:
    def check(fields: dict[Any, Any]) -> None:
        spec = result_or_sentence(lambda: make_spec(fields))
        if spec is None:
            return
        assert Spec.model_validate_json(spec.canonical()) == spec == make_spec(spec.model_dump())
        if spec.count < 10**4 and result_or_sentence(lambda: small_enough(spec)):
            points = spec.points()
            assert len(set(points)) == len(points) == estimate(points, 64, 1437, 2).points
            is_grid = spec.rows is None and not spec.union
            assert len(points) == spec.count if is_grid else 0 < len(points) <= spec.count

    fuzz(fields(), cases, check)


@FEW
def test_a_file_is_a_spec_or_a_sentence(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        result_or_sentence(lambda: make_spec(read_fields(path)))

    fuzz(files() | st.binary(max_size=50), cases, check)


cells = st.sampled_from(["2", "0.1", "he", "", "-1", "nan", "x\n", '"', "9" * 5000, "2.0", " 3 ", "1e400"])
tables = st.lists(
    st.lists(
        st.sampled_from(["depth", "learning_rate", "seed", "scheme", "key", "dpeth", ""]) | cells, max_size=5
    ).map(",".join)
).map("\n".join)
heads = st.sampled_from(["depth,learning_rate,seed,scheme\n", "depth\n", "learning_rate,seed\n"])
good_row = st.builds(
    "{},{!r},{},{}".format, st.integers(1, 9), st.floats(1e-9, 9), st.integers(0, 9), st.just("he")
)
rows = st.lists(good_row | good_row | st.lists(cells, min_size=1, max_size=4).map(",".join), max_size=3).map(
    "\n".join
)


@FEW
def test_a_table_of_points_is_a_spec_or_a_sentence(cases: int, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        result_or_sentence(lambda: make_spec({"points": str(path)}))

    texts_of_tables = tables | st.builds(str.__add__, heads, rows)
    fuzz(texts_of_tables.map(str.encode) | st.binary(max_size=50), cases, check)


@pytest.fixture
def odd_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with things that are no files of specs, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "big.toml").write_bytes(b"#" * 10**7)
    os.mkfifo(tmp_path / "pipe.toml")
    return tmp_path


def ends_well(exit_code: int, stdout: str, stderr: str) -> bool:
    """With a result, or with an error of at most two lines, none of which is Python's."""
    if exit_code == 0:
        return "runs " in stdout
    lines = stderr.splitlines()
    return exit_code == 2 and len(lines) in (1, 2) and all(line.isprintable() for line in lines)


@FEW
@pytest.mark.usefixtures("odd_files")
def test_results_that_are_not_there_are_said_in_a_sentence(cases: int) -> None:
    def check(command: list[str]) -> None:
        result = CliRunner().invoke(app, command)
        assert ends_well(result.exit_code, result.stdout, result.stderr), (result, result.output)

    names = texts.filter(lambda text: "\0" not in text) | st.sampled_from(
        [*NO_SPECS, "absent.h5", "folder.toml"]
    )
    results = names.map(lambda name: [f"--results={name}"])
    verbs = st.sampled_from([["figures"], ["export"], ["export", "--csv=-"]])
    fuzz(
        st.builds(lambda verb, where, name: [*verb, *where, "--", name], verbs, results, names), cases, check
    )


@FEW
@pytest.mark.usefixtures("odd_files")
def test_a_command_line_is_a_plan_or_a_sentence(cases: int) -> None:
    def check(command: list[str]) -> None:
        with warnings.catch_warnings():  # which the command says in its own way
            result = CliRunner().invoke(app, command)
        assert ends_well(result.exit_code, result.stdout, result.stderr), (result, result.output)

    fuzz(commands(), cases, check)


NASTY = [
    ["--depth=1000000000"],
    ["--width=100000"],
    ["--steps=9223372036854775807"],
    ["--jobs=1000000000"],
    *[[name] for name in NO_SPECS],
    ["huge.toml"],
    ["ranges.toml"],
    ["dots.toml"],
    ["--data=/dev/zero"],
    ["--data=shape.h5"],
    ["--results=/dev/null"],
]


IN_LITTLE_MEMORY = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_AS, (4 * 10**9, 4 * 10**9))
runpy.run_module("experiments", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", NASTY, ids=" ".join)
def test_the_nastiest_take_little_memory(arguments: list[str], odd_files: Path) -> None:
    import h5py

    (odd_files / "huge.toml").write_text(
        f"depths = [{', '.join(map(str, range(1, 140_000)))}]\nseeds = [1, 2]"
    )
    (odd_files / "ranges.toml").write_text("learning_rates = {start = 1, stop = 2, num = 1000000000000}")
    (odd_files / "dots.toml").write_text("a." * 400_000 + "a = 1")
    with h5py.File(odd_files / "shape.h5", "w") as file:
        file.create_dataset("X", (10**6, 10**6), "f4", chunks=(10, 10))
        file.create_dataset("y", (10**6,), "f4", chunks=(10,))
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, "sweep", "--dry-run", *arguments],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert ends_well(done.returncode, done.stdout, done.stderr), done.stderr
