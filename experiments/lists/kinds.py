"""What each value of a run's point may be: its type, its limits, and these in words."""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from experiments.sentences import nearest, shown
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Scheme

LARGEST = 2**63 - 1  # of the integers in a file
MOST_VALUES = 10**5  # of a range, or of draws


class SpecError(ValueError):
    """A spec that cannot be run; the message says which argument, what was given and what is expected."""


def _key_of(table: Mapping[str, object]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in table:
            raise ValueError(f"expected one of {', '.join(map(repr, table))}{nearest(name, table)}")
        return name

    return AfterValidator(check)


Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Activation = Annotated[str, _key_of(ACTIVATIONS)]
Cost = Annotated[str, _key_of(COSTS)]
Dtype: TypeAlias = Literal["float64", "float32"]

COLUMNS = {
    "activation": (Activation, "one of " + ", ".join(map(repr, ACTIVATIONS))),
    "cost": (Cost, "one of " + ", ".join(map(repr, COSTS))),
    "depth": (Count, "a whole number of at least 1 and below 2^63"),
    "width": (Count, "a whole number of at least 1 and below 2^63"),
    "dtype": (Dtype, "'float64' or 'float32'"),
    "scheme": (Scheme, "'small', 'he' or 'inverse_sqrt'"),
    "learning_rate": (Rate, "a positive number"),
    "seed": (Whole, "a whole number of at least 0 and below 2^63"),
    "steps": (Count, "a whole number of at least 1 and below 2^63"),
}
"""What a run is, by the columns of a table of runs: the type, and it in words. In the order in which the runs
of a spec follow each other, the fastest last."""

FIELDS = {column: column if column in ("dtype", "steps") else f"{column}s" for column in COLUMNS}
"""The field of a spec for each column."""


def refused(field: str, got: object, expected: str, show: Callable[[object], str] = shown) -> SpecError:
    """The error of a field of which this was given."""
    return SpecError(f"{field}: got {show(got)}, {expected}; change {field}.")


def is_positive(value: object) -> bool:
    """Whether it is a number above 0 that a float holds."""
    return type(value) in (int, float) and 0 < value <= sys.float_info.max  # type: ignore[operator]
