"""Results as a table for other programs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from experiments.files import explained, replaced

if TYPE_CHECKING:
    import pandas
    import xarray

COLUMNS = (
    "depth", "width", "learning_rate", "seed", "scheme", "activation", "cost", "dtype", "steps", "final_cost",
    "train_accuracy", "test_accuracy", "diverged_at", "stalled_at", "seconds", "key",
)  # fmt: skip
AT_ONCE = 2**24  # bytes of numbers in memory besides the dataset, about


def to_csv(dataset: xarray.Dataset, file: Path | TextIO, *, curves: bool = False) -> None:
    """Write a row a run, in the order of the spec: what it is, what became of it, and its key.

    Numbers have all their digits, so that they read back as they were; NaN is an empty cell, as after
    divergence.

    Args:
        dataset: of `experiments.dataset.load`.
        file: a path, which is replaced when the table is whole; or an open text file.
        curves: whether the cost before each step and after the last follows, as columns cost_0, cost_1, ...;
            the dataset has them then.

    Raises:
        StoreError: the file cannot be written.
    """
    if not isinstance(file, Path):
        _write(dataset, file, curves)
        return
    with explained("write", file, "csv"), replaced(file) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        _write(dataset, text, curves)
        text.detach()


def _write(dataset: xarray.Dataset, file: TextIO, curves: bool) -> None:
    columns = len(COLUMNS) + (dataset.sizes["step"] if curves else 0)
    at_once = max(AT_ONCE // (8 * columns), 1)
    for start in range(0, dataset.sizes["run"], at_once):
        some = dataset.isel(run=slice(start, start + at_once))
        rows = table(some)
        if curves:
            rows = rows.join(some["cost_curve"].to_pandas().add_prefix("cost_"))
        rows.to_csv(file, index=False, header=start == 0, lineterminator="\n")


def table(dataset: xarray.Dataset) -> pandas.DataFrame:
    """A row a run, with COLUMNS."""
    return dataset.drop_dims("step", errors="ignore").to_dataframe()[list(COLUMNS)]
