"""What to run: a validated, frozen description of a sweep."""

import itertools
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from experiments.points import Architecture, Point
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Scheme

AXES = ("activations", "costs", "depths", "widths", "schemes", "learning_rates", "seeds")
"""The fields of which every combination is a point, the fastest last."""

Count = Annotated[int, Field(strict=True, gt=0)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _entry_of(table: Mapping[str, object]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in table:
            raise ValueError(f"expected one of {', '.join(table)}")
        return name

    return AfterValidator(check)


Activation = Annotated[str, _entry_of(ACTIVATIONS)]
Cost = Annotated[str, _entry_of(COSTS)]


class SpecError(ValueError):
    """A spec that cannot be run; the message says which argument, what was given and what is expected."""


class Spec(BaseModel):
    """A sweep: every scheme x depth x width x learning rate x seed is one run.

    `depths` counts the layers with parameters (a depth-2 network has one hidden layer); `widths` is the
    number of units of every hidden layer. `learning_rates` is a list, or a table {start, stop, num}
    for `num` values from `start` to `stop`, evenly spaced on a log scale. `data` is "digits" or the path
    of an HDF5 file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")] = "main"
    data: str = "digits"
    depths: tuple[Count, ...] = (1, 2, 4, 8)
    widths: tuple[Count, ...] = (16,)
    learning_rates: tuple[Rate, ...] = Field(
        default={"start": 1e-3, "stop": 10.0, "num": 9}, validate_default=True
    )
    seeds: tuple[Seed, ...] = (0, 1)
    schemes: tuple[Scheme, ...] = ("small", "he")
    activations: tuple[Activation, ...] = ("relu",)
    costs: tuple[Cost, ...] = ("cross_entropy",)
    steps: Count = 200
    dtype: Literal["float64", "float32"] = "float64"
    train_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.8
    split_seed: Seed = 0

    @field_validator("learning_rates", mode="before")
    @classmethod
    def _expand_range(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if set(value) != {"start", "stop", "num"}:
            raise ValueError("expected a list or a table with start, stop and num")
        start, stop, num = value["start"], value["stop"], value["num"]
        numbers = all(isinstance(v, int | float) and 0 < v < np.inf for v in (start, stop))
        if not numbers or not isinstance(num, int) or num < 1:
            raise ValueError("expected positive, finite start and stop and a whole num >= 1")
        # 12 digits, so that 0.1 is 0.1 in tables and figures
        return [float(f"{rate:.12g}") for rate in np.geomspace(start, stop, num)]

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        for field in AXES:
            values = getattr(self, field)
            if not values:
                raise ValueError(f"{field}: got an empty list, expected at least one value")
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: got {list(values)}, expected every value once; remove repeats")
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
    def count(self) -> int:
        """The number of points."""
        return math.prod(len(getattr(self, field)) for field in AXES)

    @property
    def groups(self) -> list[tuple[Scheme, int, int]]:
        """(scheme, depth, width) of each group: the runs that train together as one stack."""
        return [(s, d, w) for s in self.schemes for d in self.depths for w in self.widths]

    @property
    def runs_per_group(self) -> int:
        return len(self.learning_rates) * len(self.seeds)

    def canonical(self) -> str:
        """The spec as JSON with every default written out; equal specs give equal text."""
        return self.model_dump_json()


def make_spec(fields: Mapping[str, Any]) -> Spec:
    """The Spec of these fields; SpecError when one is unknown or out of range."""
    try:
        return Spec.model_validate(dict(fields))
    except ValidationError as error:
        raise SpecError(_sentence(error)) from None


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a TOML file, not yet validated; SpecError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SpecError(f"spec file: cannot read {path} ({reason}); give the path of a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"spec file: {path} is not valid TOML: {error}; correct that line.") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{where}: no such field; expected one of {', '.join(Spec.model_fields)}."
    expected = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    expected = expected.replace("String should match pattern", "expected text that matches")
    if not where:
        return f"{expected}."
    return f"{where}: got {str(first['input'])[:80]!r}, {expected}; change {where.split('.')[0]}."
