"""Where the examples come from and what is made of them: the fields of a spec that fix the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Label: TypeAlias = str | int | float

SETS = ("digits", "breast_cancer", "wine", "iris", "moons", "circles", "classification")
"""The data sets that have a name; the last three are drawn."""

TRAIN_FRACTION, SPLIT_SEED = 0.8, 0  # where nothing else is asked for


@dataclass(frozen=True)
class Source:
    """What fixes the examples.

    Attributes:
        data: the name of a data set, or the path of a file.
        target: the column of the labels, where the file is a table.
        positive, negative: the labels of the classes 1 and 0; where one is left out, all others.
        standardise: whether each feature gets the mean 0 and the deviation 1 of the training examples; None:
            tables are, images are not.
        train_fraction: of the examples, for training; the others test. None: 0.8, unless the file says which.
        split_seed: of the choice of these; None: 0, unless the file says which.
        parameters: of a data set that is drawn (moons, circles, classification).
    """

    data: str = "digits"
    target: str | None = None
    positive: tuple[Label, ...] = ()
    negative: tuple[Label, ...] = ()
    standardise: bool | None = None
    train_fraction: float | None = None
    split_seed: int | None = None
    parameters: Mapping[str, int | float] = field(default_factory=dict)


def named_set(data: str) -> str | None:
    """The name of the data set that is meant, in capitals or not, with '-' or '_'; None for a path."""
    name = data.casefold().replace("-", "_")
    return name if name in SETS else None
