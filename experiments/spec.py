"""What to run: a validated, frozen description of a sweep."""

import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)

from experiments.points import Architecture, Point
from experiments.sentences import nearest, shown
from experiments.source import SETS, Source
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Scheme

AXES = ("activations", "costs", "depths", "widths", "schemes", "learning_rates", "seeds")
"""The fields of which every combination is a point, the fastest last."""

MOST_POINTS, MOST_RATES = 10**7, 10**5
LARGEST = 2**63 - 1  # of the integers in a file
LARGEST_SPLIT_SEED = 2**32 - 1  # scikit-learn's
LONGEST_NAME = 150  # of the 255 bytes of a file's name, which has endings and, while it is written, more
RESERVED = ("runs", "set-aside", "figures")  # folders beside the results
DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)))

_WHOLE = "whole numbers of at least {} and below 2^63, each once"
EXPECTED = {
    "name": f"up to {LONGEST_NAME} letters, digits, '.', '_' and '-', the first one a letter, digit or '_'",
    "data": f"one of {', '.join(map(repr, SETS))}, or the path of a file, in quotes",
    "depths": "a list of " + _WHOLE.format(1),
    "widths": "a list of " + _WHOLE.format(1),
    "learning_rates": "a list of positive numbers, each once, or a table with start, stop and num",
    "seeds": "a list of " + _WHOLE.format(0),
    "schemes": "a list of 'small', 'he' or 'inverse_sqrt', each once",
    "activations": f"a list of {', '.join(map(repr, ACTIVATIONS))}, each once",
    "costs": f"a list of {', '.join(map(repr, COSTS))}, each once",
    "steps": "a whole number of at least 1 and below 2^63",
    "dtype": "'float64' or 'float32'",
    "functions": "the path of a file with functions of the exercise's names, in quotes",
    "target": "the name of the column of the labels, in quotes",
    "positive": "a list of labels, text or finite numbers, those of class 1",
    "negative": "a list of labels, text or finite numbers, those of class 0",
    "standardise": "true or false",
    "data_parameters": "a table of finite numbers, of a data set that is drawn, as {noise = 0.2}",
    "train_fraction": "a number between 0 and 1",
    "split_seed": "a whole number of at least 0 and below 2^32",
}
"""What a value of each field is, in words."""


class SpecError(ValueError):
    """A spec that cannot be run; the message says which argument, what was given and what is expected."""


def _usable_name(name: str) -> str:
    if name.casefold() in RESERVED or name.casefold().split(".")[0] in DEVICES:
        raise ValueError("expected another name: this one has a meaning of its own in a folder")
    if name.casefold().endswith(".h5"):
        raise ValueError("expected a name without the ending .h5")
    return name


def _usable_text(text: str) -> str:
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise ValueError("expected text in UTF-8")
    return text


def _as_tuple(values: Any) -> Any:
    """Whatever holds values in an order; and a table, the learning rates', as its values."""
    if isinstance(values, Mapping):
        return _log_range(values)
    return tuple(values) if isinstance(values, list | range) else values


def _log_range(table: Mapping[str, Any]) -> tuple[float, ...]:
    """`num` rates from `start` to `stop`, of 12 digits, so that 0.1 is 0.1 in tables and figures."""
    if set(table) != {"start", "stop", "num"}:
        raise ValueError("expected a list or a table with start, stop and num")
    start, stop, num = table["start"], table["stop"], table["num"]
    if not (_positive(start) and _positive(stop) and type(num) is int and num >= 1):
        raise ValueError("expected positive, finite start and stop and a whole num of at least 1")
    if num > MOST_RATES:
        raise ValueError(f"expected a num of at most {MOST_RATES}")
    rates = tuple(float(f"{rate:.12g}") for rate in np.geomspace(float(start), float(stop), num))
    if len(set(rates)) < num:
        raise ValueError("expected values that differ within 12 digits: a smaller num or a wider range")
    return rates


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= sys.float_info.max


T = TypeVar("T")
Some = Annotated[tuple[T, ...], FailFast(), Field(min_length=1), BeforeValidator(_as_tuple)]
Whole = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(_usable_text)]
Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)] | Annotated[float, Field(allow_inf_nan=False)]
Labels = Annotated[
    tuple[Text | Number, ...],
    BeforeValidator(lambda labels: tuple(labels) if isinstance(labels, list) else labels),
]
Name = Annotated[
    str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=LONGEST_NAME), AfterValidator(_usable_name)
]


def _key_of(table: Mapping[str, object]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in table:
            raise ValueError(f"expected one of {', '.join(map(repr, table))}{nearest(name, table)}")
        return name

    return AfterValidator(check)


class Spec(BaseModel):
    """A sweep: every activation x cost x depth x width x scheme x learning rate x seed is one run.

    `depths` counts the layers with parameters (a depth-2 network has one hidden layer); `widths` is the
    number of units of every hidden layer and `activations` are theirs (the output layer's is the sigmoid).
    `learning_rates` is a list, or a table {start, stop, num} for `num` values from `start` to `stop`,
    evenly spaced on a log scale. The fields of the data are those of `Source`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name = "main"
    data: Text = "digits"
    depths: Some[Count] = (1, 2, 4, 8)
    widths: Some[Count] = (16,)
    learning_rates: Some[Rate] = _log_range({"start": 1e-3, "stop": 10.0, "num": 9})
    seeds: Some[Whole] = (0, 1)
    schemes: Some[Scheme] = ("small", "he")
    activations: Some[Annotated[str, _key_of(ACTIVATIONS)]] = ("relu",)
    costs: Some[Annotated[str, _key_of(COSTS)]] = ("cross_entropy",)
    steps: Count = 200
    dtype: Literal["float64", "float32"] = "float64"
    functions: str | None = None
    target: Text | None = None
    positive: Labels = ()
    negative: Labels = ()
    standardise: bool | None = None
    data_parameters: dict[Text, Number] = {}
    train_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_seed: Annotated[int, Field(ge=0, le=LARGEST_SPLIT_SEED)] | None = None

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        for field in AXES:
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(
                    f"{field}: got {shown(_repeated(values))} more than once, expected every value once; "
                    "remove the repeats."
                )
        if self.dtype == "float32":
            _check_in_float32(self.learning_rates)
        if self.count > MOST_POINTS:
            longest = max(AXES, key=lambda field: len(getattr(self, field)))
            raise ValueError(
                f"{longest}: got {self.count} runs in all, expected at most {MOST_POINTS}; "
                "make several sweeps of them."
            )
        return self

    @property
    def architectures(self) -> list[Architecture]:
        """Each once, in the order as written: activation, cost, depth, and width varies fastest."""
        axes = itertools.product(self.activations, self.costs, self.depths, self.widths)
        return [Architecture(depth, width, g, cost, self.dtype) for g, cost, depth, width in axes]

    def points(self) -> list[Point]:
        """All runs, in the order as written: architecture, scheme, learning rate, and seed varies fastest."""
        axes = itertools.product(self.architectures, self.schemes, self.learning_rates, self.seeds)
        return [Point(*values, self.steps) for values in axes]

    @property
    def source(self) -> Source:
        """Where the examples come from."""
        return Source(
            self.data, self.target, self.positive, self.negative, self.standardise, self.train_fraction,
            self.split_seed, self.data_parameters,
        )  # fmt: skip

    @property
    def count(self) -> int:
        """The number of points."""
        return math.prod(len(getattr(self, field)) for field in AXES)

    def canonical(self) -> str:
        """The spec as JSON with every default written out; equal specs give equal text."""
        return self.model_dump_json()


def _repeated(values: Sequence[object]) -> object:
    return next(value for value, times in Counter(values).items() if times > 1)


def _check_in_float32(rates: Sequence[float]) -> None:
    """Rates that are 0, infinite or one and the same in float32 would not be what their labels say."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(rates, np.float32)
    for rate, value in zip(rates, rounded.tolist(), strict=True):
        if not 0 < value < math.inf:
            raise ValueError(
                f"learning_rates: got {rate}, which is {value} in float32, expected a rate that float32 "
                "holds; change it or the dtype."
            )
    if len(set(rounded.tolist())) < len(rates):
        raise ValueError(
            "learning_rates: got rates that are equal in float32, expected every rate once; change them or "
            "the dtype."
        )


def make_spec(fields: Mapping[str, Any], show: Callable[[object], str] = shown) -> Spec:
    """The Spec of these fields; SpecError when one is unknown or out of range, with the value as `show` has
    it."""
    if not isinstance(fields, Mapping):
        raise SpecError(f"fields: got {shown(fields)}, expected a mapping from fields to their values.")
    for field in fields:
        if field not in Spec.model_fields:
            raise SpecError(
                f"{shown(field)}: no such field{nearest(field, Spec.model_fields)}; expected one of "
                f"{', '.join(Spec.model_fields)}."
            )
    try:
        return Spec.model_validate({field: _plain(value) for field, value in fields.items()})
    except ValidationError as error:
        raise SpecError(_sentence(error, fields, show)) from None


def _plain(value: Any) -> Any:
    """Arrays and numbers of NumPy as Python's own."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [entry.item() if isinstance(entry, np.generic) else entry for entry in value]
    return value


def _sentence(error: ValidationError, fields: Mapping[str, Any], show: Callable[[object], str]) -> str:
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    field, *place = first["loc"]
    where = f" as value {place[0] + 1} of the list" if place and isinstance(place[0], int) else ""
    expected = f"expected {EXPECTED[str(field)]}"
    if first["type"] == "value_error":
        expected = first["msg"].removeprefix("Value error, ")
    elif first["type"] == "literal_error":
        expected += nearest(first["input"], re.findall(r"'(\w+)'", first["ctx"]["expected"]))
    got = first["input"] if where else fields[str(field)]
    return f"{field}: got {show(got)}{where}, {expected}; change {field}."
