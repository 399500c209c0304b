"""Lists of runs: a CSV file, as `export` writes it, as the columns that say what the runs are."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from experiments.lists.kinds import COLUMNS, SpecError
from experiments.lists.texts import read_text
from experiments.sentences import nearest, shown

LARGEST_FILE = 10**8  # bytes
OUTCOMES = (
    "run", "final_cost", "train_accuracy", "test_accuracy", "diverged_at", "stalled_at", "seconds", "key",
)  # fmt: skip
"""Columns of `export` that say what became of a run; they are passed over, as are those of its curve."""
_OF_CURVE = re.compile(r"cost_\d+")


def read_points(file: str) -> dict[str, tuple[Any, ...]]:
    """The columns of this file that say what runs are, each with a value for each run.

    Raises:
        SpecError: it cannot be read, or a column or a cell is not what it should be.
    """
    about = f"points: {shown(file)}"
    reader = csv.reader(
        io.StringIO(read_text(Path(file), "points", "CSV", LARGEST_FILE), newline=""), strict=True
    )
    try:
        cells, lines = _cells(reader, about)
    except csv.Error as error:
        raise SpecError(
            f"{about}, line {reader.line_num}: {error}, expected CSV; change that line."
        ) from None
    if not lines:
        raise SpecError(f"{about}: got no line of a run, expected names of columns and a line for each run.")
    return {name: _values(name, of_column, lines, about) for name, of_column in cells.items()}


def _cells(reader: Any, about: str) -> tuple[dict[str, list[str]], list[int]]:
    """Of each column that says what a run is, its cells; and the line of each row."""
    names = _checked_names(next(filter(None, reader), []), f"{about}, line {reader.line_num or 1}")
    cells: dict[str, list[str]] = {name: [] for name in names if name in COLUMNS}
    places = [(names.index(name), of_column) for name, of_column in cells.items()]
    lines = []
    for row in filter(None, reader):  # without empty lines
        if len(row) != len(names):
            raise SpecError(
                f"{about}, line {reader.line_num}: got {len(row)} cells, expected {len(names)}, as many as "
                "there are columns; change that line."
            )
        lines.append(reader.line_num)
        for i, of_column in places:
            of_column.append(row[i])
    return cells, lines


def _checked_names(names: list[str], where: str) -> list[str]:
    names = [name.strip() for name in names]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise SpecError(f"{where}: got the column {shown(name)} twice, expected each once; remove one.")
        if name not in (*COLUMNS, *OUTCOMES) and not _OF_CURVE.fullmatch(name):
            raise SpecError(
                f"{where}: got the column {shown(name)}, expected those that `export` writes: "
                f"{', '.join(COLUMNS)}{nearest(name, COLUMNS)}; change its name, or remove it."
            )
    if not COLUMNS.keys() & set(names):
        raise SpecError(f"{where}: got no column that says what a run is, expected {', '.join(COLUMNS)}.")
    return names


def _values(column: str, cells: list[str], lines: Sequence[int], about: str) -> tuple[Any, ...]:
    """The cells of a column as values."""
    kind, words = COLUMNS[column]
    try:
        values: tuple[Any, ...] = TypeAdapter(_tuple_of(kind)).validate_python([c.strip() for c in cells])
    except ValidationError as error:
        row = int(error.errors(include_url=False)[0]["loc"][0])
        like = nearest(cells[row], re.findall(r"'(\w+)'", words))
        raise SpecError(
            f"{about}, line {lines[row]}, column {column}: got {shown(cells[row])}, expected {words}{like}; "
            "change that cell."
        ) from None
    return values


def _tuple_of(kind: Any) -> Any:
    return tuple[kind, ...]
