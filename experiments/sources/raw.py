"""Examples as a file or a library has them, before classes, split and scale."""

from dataclasses import dataclass

import numpy as np

from experiments.machine import available_memory, in_words
from sandbox.typing import Array

COPIES = 5  # of the examples in float64, on the way from the file to both parts


class DataError(ValueError):
    """A data set that cannot be used; the message says which part of it, what was found, what is expected."""


@dataclass(frozen=True)
class Raw:
    """Examples, one a row.

    Attributes:
        X: (m, n) finite numbers, or images (m, h, w, c) of 0..255.
        labels: (m,) numbers or text.
        name: of the labels, in words.
        source: where they are from, in words.
        train: where the file has a split of its own: so many of the first examples are for training.
    """

    X: Array
    labels: Array
    name: str
    source: str
    train: int | None = None

    @property
    def are_images(self) -> bool:
        return self.train is not None


def check_size(what: str, numbers: int) -> None:
    """DataError when so many numbers, on their way to both parts, are more than memory holds; `what` says
    what they are."""
    needed = 8 * COPIES * numbers
    if needed > (available := available_memory()):
        raise DataError(
            f"{what}, for which {in_words(needed)} of memory are needed, and {in_words(available)} are free; "
            "give fewer examples or features."
        )


def check_finite(X: Array, name: str) -> None:
    """DataError where an example, a row of X, is not finite."""
    bad = ~np.isfinite(X.reshape(len(X), -1)).all(axis=1)
    if bad.any():
        raise DataError(
            f"data: {name} holds NaN or infinity in {bad.sum()} of {len(X)} examples, the first of them "
            f"number {bad.argmax() + 1}; expected finite numbers. Remove those examples."
        )
