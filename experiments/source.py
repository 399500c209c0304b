"""Where the examples come from and what is made of them: the fields of a spec that fix the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Label: TypeAlias = str | int | float


@dataclass(frozen=True)
class Source:
    """What fixes the examples.

    Attributes:
        data: the name of a data set, or the path of a file.
        target: the column of the labels, where the file is a table.
        positive, negative: the labels of the classes 1 and 0; where `negative` is left out, all others.
        standardise: whether each feature gets the mean 0 and the deviation 1 of the training examples; None:
            tables are, images are not.
        train_fraction: of the examples, for training; the others test.
        split_seed: of the choice of these.
        parameters: of a data set that is drawn (moons, circles, classification).
    """

    data: str = "digits"
    target: str | None = None
    positive: tuple[Label, ...] = ()
    negative: tuple[Label, ...] = ()
    standardise: bool | None = None
    train_fraction: float = 0.8
    split_seed: int = 0
    parameters: Mapping[str, int | float] = field(default_factory=dict)
