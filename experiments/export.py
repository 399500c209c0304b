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
AT_ONCE = 1000  # rows in memory besides the dataset


def to_csv(dataset: xarray.Dataset, file: Path | TextIO, *, curves: bool = False) -> None:
    """Write a row a run, in the order of the spec: what it is, what became of it, and its key.

    Numbers have all their digits, so that they read back as they were; NaN is an empty cell, as after
    divergence.

    Args:
        dataset: of `experiments.dataset.load`.
        file: a path, which is replaced when the table is whole; or an open text file.
        curves: whether the cost before each step and after the last follows, as columns cost_0, cost_1, ...

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
    for start in range(0, dataset.sizes["run"], AT_ONCE):
        rows = _table(dataset.isel(run=slice(start, start + AT_ONCE)), curves)
        rows.to_csv(file, index=False, header=start == 0, lineterminator="\n")


def _table(dataset: xarray.Dataset, curves: bool) -> pandas.DataFrame:
    table = dataset.drop_dims("step").to_dataframe()[list(COLUMNS)]
    if curves:
        return table.join(dataset["cost_curve"].to_pandas().add_prefix("cost_"))
    return table
