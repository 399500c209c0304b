"""Examples from tables, one a row: CSV, TSV and Parquet files."""

import csv
import functools
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from experiments.sentences import is_number, nearest, shown
from experiments.sources.labels import labels_of
from experiments.sources.raw import DataError, Raw, check_size
from sandbox.typing import Array

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SEPARATORS = {".csv": ",", ".tsv": "\t"}
EMPTY = ("", "nan", "na", "n/a", "null", "none", "<na>", "inf", "-inf")
"""Texts, in small letters, where a number is missing or too large."""
LABEL = 2  # numbers that take as much memory as a label, which is an object of Python's
ARROW = 2  # times as much, where pyarrow holds the table too
BLOCK = 2**20
_INDEX = re.compile(r"__index_level_\d+__")  # the numbers of rows, which pandas stores in Parquet files


def read_text(path: Path, target: str | None) -> Raw:
    """The table of a CSV or TSV file: a header, the column `target` of labels, and columns of numbers."""
    separator = SEPARATORS[path.suffix.casefold()]
    try:
        # Lines as they are: a quoted field may hold several.
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns = [name.strip() for name in next(csv.reader(file, delimiter=separator, strict=True), [])]
            _check_header(columns, path.name, separator)
            target = _check_columns(columns, target, path.name)
            lines = _lines(path)
            check_size(
                f"data: {shown(path.name)} has {len(columns)} columns and {lines} lines",
                (len(columns) + LABEL) * lines,
            )
            return _raw(_frame(file, columns, separator, target, path.name), target, path.name)
    except UnicodeDecodeError:
        raise DataError(f"data: {shown(path.name)} is not UTF-8 text; save it as UTF-8.") from None
    except csv.Error as error:
        raise DataError(
            f"data: the header of {shown(path.name)} cannot be read ({error}); expected names of columns."
        ) from None


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(functools.partial(file.read, BLOCK), b""))


def _frame(file: TextIO, columns: list[str], separator: str, target: str, name: str) -> "DataFrame":
    """What follows the header; of the labels and of what is no number, the text."""
    import pandas as pd
    from pandas.errors import ParserError, ParserWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            return pd.read_csv(
                file, sep=separator, header=None, names=columns, index_col=False, dtype={target: str},
                low_memory=False, keep_default_na=False,
            )  # fmt: skip
    except (ParserError, ParserWarning) as error:
        raise DataError(f"data: {shown(name)} {_of_parser(str(error), len(columns))}") from None


def _of_parser(error: str, columns: int) -> str:
    if ragged := re.search(r"in line (\d+), saw (\d+)", error):
        return (
            f"has {ragged[2]} fields in row {ragged[1]}, and {columns} columns in its header; expected as "
            "many. Quote fields that hold a separator."
        )
    if "Length of header" in error:
        return f"has rows of more fields than its header has columns, {columns}; expected as many."
    if "EOF inside string" in error:
        return "has a quotation mark that is not closed; close it."
    return f"is no table ({' '.join(error.split())}); expected a header and rows of as many fields."


def _check_header(columns: Sequence[str], name: str, separator: str) -> None:
    if not any(columns):
        raise DataError(f"data: {shown(name)} has no header; expected names of columns in its first line.")
    others = [other for other in ",;\t" if other != separator and other in columns[0]]
    if len(columns) == 1 and others:
        raise DataError(
            f"data: {shown(name)} has one column, {shown(columns[0])}, expected fields separated by "
            f"{shown(separator)}; here it seems to be {shown(others[0])}."
        )
    if "" in columns:
        raise DataError(
            f"data: column number {columns.index('') + 1} of {shown(name)} has no name; expected one for "
            "each (to_csv of pandas leaves the numbers of the rows out with index=False)."
        )
    if all(map(is_number, columns)):
        raise DataError(
            f"data: {shown(name)} begins with numbers, {shown(', '.join(columns))}; expected a header with "
            "the names of the columns."
        )


def _check_columns(columns: Sequence[str], target: str | None, name: str) -> str:
    """The column of the labels."""
    repeated = [column for column, times in Counter(columns).items() if times > 1]
    if repeated:
        raise DataError(
            f"data: {shown(name)} has more than one column {shown(repeated[0])}; expected every name once."
        )
    if target is None or target not in columns:
        got = f"got {shown(target)}, which is no column of" if target else "not given, for"
        raise DataError(
            f"target: {got} {shown(name)}{nearest(target, columns)}; expected the column of the labels, one "
            f"of {shown(list(columns))}."
        )
    if len(columns) == 1:
        raise DataError(f"data: {shown(name)} has the column {shown(target)} alone; expected features, too.")
    return target


def read_parquet(path: Path, target: str | None) -> Raw:
    """The table of a Parquet file, with the column `target` of labels and columns of numbers."""
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(
            f"data: {shown(path.name)} is a Parquet file, for which pyarrow is needed; "
            "`pip install autodiff-sandbox[parquet]`, or give a CSV file."
        ) from None
    try:
        with ParquetFile(path) as file:
            columns, rows = file.schema_arrow.names, file.metadata.num_rows
            columns = [column for column in columns if not _INDEX.fullmatch(column)]
            target = _check_columns(columns, target, path.name)
            check_size(
                f"data: {shown(path.name)} has {rows} rows and {len(columns)} columns",
                ARROW * (len(columns) + LABEL) * rows,
            )
            table = file.read().select(columns).to_pandas(ignore_metadata=True)
    except DataError:
        raise
    except (ArrowException, OSError, ValueError, TypeError):
        raise DataError(
            f"data: {shown(path.name)} is not a readable Parquet file, or a damaged one; give an intact "
            ".parquet file."
        ) from None
    return _raw(table, target, path.name)


def _raw(frame: "DataFrame", target: str, name: str) -> Raw:
    if not len(frame):
        raise DataError(f"data: {shown(name)} has no rows; expected examples, one a row.")
    of_labels = f"column {shown(target)}"
    labels = labels_of(frame[target].to_numpy(object, na_value=np.nan), len(frame), of_labels)
    X = np.empty((len(frame), frame.shape[1] - 1))
    for number, column in enumerate(column for column in frame.columns if column != target):
        X[:, number] = _numbers(frame[column])
    return Raw(X, labels, of_labels, name)


def _numbers(column: "Series[Any]") -> Array:
    """The column in float64."""
    import pandas as pd

    kind = column.dtype.kind
    try:
        if kind not in "biufO":  # dates, which pandas would count in nanoseconds
            raise TypeError
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"data: column {shown(column.name)} holds {shown(str(column.dtype))}, expected numbers; leave "
            "the column out, or write numbers for it."
        ) from None
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise _not_finite(column, bad)
    return np.asarray(numbers)


def _not_finite(column: "Series[Any]", bad: Array) -> DataError:
    row = int(bad.argmax())
    value = column.iloc[row]
    text = str(value).strip()
    if text.casefold() in EMPTY:
        what, advice = text or "nothing", "remove or fill those rows"
    else:
        what, advice = f"{shown(value)}, no number,", "leave the column out, or write numbers for it"
    return DataError(
        f"data: column {shown(column.name)} holds {what} in row {row + 1} ({bad.sum()} of {len(bad)} rows "
        f"have no finite number there); expected numbers in every column but the target: {advice}."
    )
