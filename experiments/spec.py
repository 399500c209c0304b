"""What to run: a validated, frozen description of a sweep."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from experiments.lists.expansion import expanded
from experiments.lists.kinds import (
    COLUMNS,
    FIELDS,
    LARGEST,
    Activation,
    Cost,
    Count,
    Dtype,
    Rate,
    Whole,
    refused,
)
from experiments.lists.kinds import SpecError as SpecError
from experiments.lists.ranges import Range, spaced
from experiments.points import Architecture, Point
from experiments.sentences import nearest, shown
from experiments.source import SETS, Source
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Scheme

AXES = tuple(field for field in FIELDS.values() if field not in ("dtype", "steps"))
"""The fields of which every combination is a run, the fastest last."""

MOST_POINTS = 10**7
LARGEST_SPLIT_SEED = 2**32 - 1  # scikit-learn's
LONGEST_NAME = 150  # of the 255 bytes of a file's name, which has endings and, while it is written, more
RESERVED = ("runs", "set-aside", "figures")  # folders beside the results
DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)))

_WHOLE = "whole numbers of at least {} and below 2^63, each once, or a range {{start, stop, num}}"
EXPECTED = {
    "name": f"up to {LONGEST_NAME} letters, digits, '.', '_' and '-', the first one a letter, digit or '_'",
    "data": f"one of {', '.join(map(repr, SETS))}, or the path of a file, in quotes",
    "depths": "a list of " + _WHOLE.format(1),
    "widths": "a list of " + _WHOLE.format(1),
    "learning_rates": "a list of positive numbers, each once, or a range {start, stop, num}",
    "seeds": "a list of " + _WHOLE.format(0),
    "schemes": "a list of 'small', 'he' or 'inverse_sqrt', each once",
    "activations": f"a list of {', '.join(map(repr, ACTIVATIONS))}, each once",
    "costs": f"a list of {', '.join(map(repr, COSTS))}, each once",
    "steps": "a whole number of at least 1 and below 2^63",
    "dtype": "'float64' or 'float32'",
    "points": "the path of a CSV file, in quotes, or a table of columns",
    "union": "tables of fields, of which each lists runs",
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
    """Whatever holds values in an order."""
    return tuple(values) if isinstance(values, list | range) else values


T = TypeVar("T")
Some = Annotated[tuple[T, ...], FailFast(), Field(min_length=1), BeforeValidator(_as_tuple)]
Column = Annotated[tuple[T, ...], FailFast(), BeforeValidator(_as_tuple)]
Text = Annotated[str, AfterValidator(_usable_text)]
Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)] | Annotated[float, Field(allow_inf_nan=False)]
Labels = Annotated[tuple[Text | Number, ...], BeforeValidator(_as_tuple)]
Name = Annotated[
    str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=LONGEST_NAME), AfterValidator(_usable_name)
]


class Columns(BaseModel):
    """What runs are, row by row; of what is fixed elsewhere there is no column."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    activation: Column[Activation] = ()
    cost: Column[Cost] = ()
    depth: Column[Count] = ()
    width: Column[Count] = ()
    dtype: Column[Dtype] = ()
    scheme: Column[Scheme] = ()
    learning_rate: Column[Rate] = ()
    seed: Column[Whole] = ()
    steps: Column[Count] = ()

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {column: len(values) for column, values in self if values}
        if len(set(lengths.values())) != 1:
            found = ", ".join(f"{length} of {column}" for column, length in lengths.items()) or "none"
            raise ValueError(
                f"points: got columns of values: {found}; expected as many in each; change points."
            )
        return self

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {column: values for column, values in write(self).items() if values}


class Listing(BaseModel):
    """Runs: every row of `rows`, with every combination of the values of the other fields.

    `depths` counts the layers with parameters (a depth-2 network has one hidden layer); `widths` is the
    number of units of every hidden layer and `activations` are theirs (the output layer's is the sigmoid).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    depths: Some[Count] = (1, 2, 4, 8)
    widths: Some[Count] = (16,)
    learning_rates: Some[Rate] = spaced(Range("learning_rates", 1e-3, 10.0, 9, True))
    seeds: Some[Whole] = (0, 1)
    schemes: Some[Scheme] = ("small", "he")
    activations: Some[Activation] = ("relu",)
    costs: Some[Cost] = ("cross_entropy",)
    steps: Count = 200
    dtype: Dtype = "float64"
    rows: Columns | None = Field(default=None, alias="points")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        for field in AXES:
            found = getattr(self, field)
            if len(set(found)) < len(found):
                raise ValueError(
                    f"{field}: got {shown(_repeated(found))} more than once, expected every value once; "
                    "remove the repeats."
                )
        if "float32" in self.values("dtype"):
            _check_in_float32(self._rates_in("float32"))
        return self

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = self._unused()
        found = {field: found for field, found in write(self).items() if field not in unused}
        return {"points" if field == "rows" else field: found for field, found in found.items()}

    def _unused(self) -> set[str]:
        """The fields that say nothing about the runs."""
        return {FIELDS[column] for column in self._columns} if self.rows else {"rows"}

    @property
    def _columns(self) -> dict[str, tuple[Any, ...]]:
        return {column: found for column, found in self.rows or () if found}

    def values(self, column: str) -> tuple[Any, ...]:
        """All values that the runs have of what a column of their table holds."""
        if column in self._columns:
            return self._columns[column]
        found = getattr(self, FIELDS[column])
        return found if isinstance(found, tuple) else (found,)

    def _rates_in(self, dtype: str) -> set[float]:
        """The learning rates of the runs of this dtype."""
        columns = self._columns
        if not {"learning_rate", "dtype"} <= columns.keys():
            return set(self.values("learning_rate"))
        pairs = zip(columns["learning_rate"], columns["dtype"], strict=True)
        return {rate for rate, of in pairs if of == dtype}

    @property
    def sizes(self) -> dict[str, int]:
        """By field, how many values are combined with those of the others; the rows are combined as one."""
        columns = self._columns
        sizes = {field: len(self.values(column)) for column, field in FIELDS.items() if column not in columns}
        return {**sizes, "points": len(next(iter(columns.values())))} if columns else sizes

    def listed(self) -> Iterator[Point]:
        """The runs, in the order as written, the seed varies fastest."""
        columns = self._columns
        axes = {column: self.values(column) for column in COLUMNS}
        made: dict[tuple[Any, ...], Architecture] = {}
        for row in zip(*columns.values(), strict=True) if columns else [()]:
            fixed = {column: (value,) for column, value in zip(columns, row, strict=True)}
            for values in itertools.product(*({**axes, **fixed}.values())):
                activation, cost, depth, width, dtype, *of_run = values
                architecture = depth, width, activation, cost, dtype
                if architecture not in made:
                    made[architecture] = Architecture(*architecture)
                yield Point(made[architecture], *of_run)


class Spec(Listing):
    """A sweep: where the examples come from, and a list of runs.

    `union` are several lists, which then are the runs, each once. The fields of the data are those of
    `Source`.
    """

    name: Name = "main"
    data: Text = "digits"
    functions: Text | None = None
    target: Text | None = None
    positive: Labels = ()
    negative: Labels = ()
    standardise: bool | None = None
    data_parameters: dict[Text, Number] = {}
    train_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_seed: Annotated[int, Field(ge=0, le=LARGEST_SPLIT_SEED)] | None = None
    union: Annotated[tuple[Listing, ...], BeforeValidator(_as_tuple)] = ()

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if self.count > MOST_POINTS:
            raise ValueError(
                f"{self.longest}: got {self.count} runs in all, expected at most {MOST_POINTS}; "
                "make several sweeps of them."
            )
        return self

    def _unused(self) -> set[str]:
        return {*FIELDS.values(), "rows"} if self.union else super()._unused() | {"union"}

    @property
    def parts(self) -> tuple[Listing, ...]:
        """The lists of runs of which this is made."""
        return self.union or (self,)

    def all_values(self, column: str) -> tuple[Any, ...]:
        """All values that the runs have of what a column of their table holds, each once."""
        return tuple(dict.fromkeys(found for part in self.parts for found in part.values(column)))

    def points(self) -> list[Point]:
        """All runs, each once, in the order as written: part after part, and the seed varies fastest."""
        return list(dict.fromkeys(point for part in self.parts for point in part.listed()))

    @property
    def source(self) -> Source:
        """Where the examples come from."""
        return Source(
            self.data, self.target, self.positive, self.negative, self.standardise, self.train_fraction,
            self.split_seed, self.data_parameters,
        )  # fmt: skip

    @property
    def count(self) -> int:
        """The number of points, found without listing them; too large by those that are listed twice."""
        return sum(math.prod(part.sizes.values()) for part in self.parts)

    @property
    def longest(self) -> str:
        """The field with the most values, which makes the list long."""
        largest = max(self.parts, key=lambda part: math.prod(part.sizes.values())).sizes
        return max(largest, key=largest.__getitem__)

    def canonical(self) -> str:
        """The spec as JSON with every default written out; equal specs give equal text."""
        return self.model_dump_json()


KNOWN = (*(field.alias or name for name, field in Spec.model_fields.items()), "draw")
"""The fields of a spec as it is given."""

LISTED = (*FIELDS.values(), "points", "draw")
"""Those of a list of runs."""


def _repeated(values: Sequence[object]) -> object:
    return next(value for value, times in Counter(values).items() if times > 1)


def _check_in_float32(rates: Iterable[float]) -> None:
    """Rates that are 0, infinite or one and the same in float32 would not be what their labels say."""
    rates = sorted(rates)
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(rates, np.float32)
    for rate, value in zip(rates, rounded.tolist(), strict=True):
        if not 0 < value < math.inf:
            raise ValueError(
                f"learning_rates: got {rate}, which is {value} in float32, expected a rate that float32 "
                "holds; change it or the dtype."
            )
    for (rate, value), (larger, same) in itertools.pairwise(zip(rates, rounded.tolist(), strict=True)):
        if value == same:
            raise ValueError(
                f"learning_rates: got {rate} and {larger}, which are equal in float32, expected every rate "
                "once; change them or the dtype."
            )


# --- from fields --------------------------------------------------------------------------------------


def make_spec(fields: Mapping[str, Any], show: Callable[[object], str] = shown) -> Spec:
    """The Spec of these fields; SpecError when one is unknown or out of range, with the value as `show` has
    it. Where they have a `union`, they are what its tables have in common."""
    if not isinstance(fields, Mapping):
        raise SpecError(f"fields: got {shown(fields)}, expected a mapping from fields to their values.")
    _check_known(fields, KNOWN)
    fields = {field: _plain(value) for field, value in fields.items()}
    if "union" not in fields:
        return _validated(Spec, expanded(fields, {}, show), show)
    common = {field: value for field, value in fields.items() if field in LISTED}
    others = {field: value for field, value in fields.items() if field not in LISTED}
    if not isinstance(fields["union"], list | tuple) or not fields["union"]:
        raise refused("union", fields["union"], f"expected {EXPECTED['union']}", show)
    parts = [_part(i, table, common, show) for i, table in enumerate(fields["union"], 1)]
    return _validated(Spec, {**others, "union": parts}, show)


def _part(number: int, table: Any, common: Mapping[str, Any], show: Callable[[object], str]) -> Listing:
    """A table of the union."""
    if not isinstance(table, Mapping):
        raise refused("union", table, f"expected {EXPECTED['union']}", show)
    try:
        _check_known(table, LISTED)
        own = {field: _plain(value) for field, value in table.items()}
        return _validated(Listing, expanded(own, common, show), show)
    except SpecError as error:
        raise SpecError(f"union {number}: {error}") from None


def _check_known(fields: Mapping[Any, Any], known: Sequence[str]) -> None:
    for field in fields:
        if field not in known:
            raise SpecError(
                f"{shown(field)}: no such field{nearest(field, known)}; expected one of {', '.join(known)}."
            )


L = TypeVar("L", bound=Listing)


def _validated(kind: type[L], fields: Mapping[str, Any], show: Callable[[object], str]) -> L:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise SpecError(_sentence(error, fields, show)) from None


def _plain(value: Any) -> Any:
    """Arrays and numbers of NumPy as Python's own; of a table, those in its entries."""
    if isinstance(value, Mapping):
        return {key: _plain_list(entry) for key, entry in value.items()}
    return _plain_list(value)


def _plain_list(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [entry.item() if isinstance(entry, np.generic) else entry for entry in value]
    return value


def _sentence(error: ValidationError, fields: Mapping[str, Any], show: Callable[[object], str]) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if first["loc"] in ((), ("points",)):
        return message
    field, *place = first["loc"]
    if field == "points":
        return _sentence_of_column(str(place[0]), place[1:], first, show)
    where = f" as value {place[0] + 1} of the list" if place and isinstance(place[0], int) else ""
    expected = _expected(first, EXPECTED[str(field)])
    got = first["input"] if where else fields[str(field)]
    return f"{field}: got {show(got)}{where}, {expected}; change {field}."


def _sentence_of_column(
    column: str, place: Sequence[int | str], first: ErrorDetails, show: Callable[[object], str]
) -> str:
    where = f"value {int(place[0]) + 1} of " if place else ""
    expected = _expected(first, COLUMNS[column][1] if place else "a list of values")
    return f"points: got {show(first['input'])} as {where}the column {column}, {expected}; change points."


def _expected(first: ErrorDetails, words: str) -> str:
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        words += nearest(first["input"], re.findall(r"'(\w+)'", first["ctx"]["expected"]))
    return f"expected {words}"
