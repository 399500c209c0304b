"""Lists of runs: a CSV file, as `export` writes it, as the columns that say what the runs are."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from experiments.kinds import COLUMNS, SpecError
from experiments.sentences import nearest, shown
from experiments.texts import read_text

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
    reader = csv.reader(io.StringIO(read_text(Path(file), "points", "CSV", LARGEST_FILE), newline=""))
    lines: list[int] = []
    cells: list[list[str]] = []
    try:
        for row in reader:
            if row:
                cells.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise SpecError(
            f"{about}, line {reader.line_num}: {error}, expected CSV; change that line."
        ) from None
    if len(cells) < 2:
        raise SpecError(
            f"{about}: got {len(cells)} lines, expected names of columns and a line for each run."
        )
    names = _checked_names(cells.pop(0), f"{about}, line {lines.pop(0)}")
    for line, row in zip(lines, cells, strict=True):
        if len(row) != len(names):
            raise SpecError(
                f"{about}, line {line}: got {len(row)} cells, expected {len(names)}, as many as there are "
                "columns; change that line."
            )
    return {
        name: _values(name, [row[i] for row in cells], lines, about)
        for i, name in enumerate(names)
        if name in COLUMNS
    }


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
