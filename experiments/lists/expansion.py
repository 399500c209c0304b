"""The ways to write a list of runs, as lists: ranges as their values, draws and files as columns of runs."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments.lists.kinds import COLUMNS, FIELDS, SpecError, refused
from experiments.lists.points_file import read_points
from experiments.lists.ranges import DIGITS, LOWEST, Range, drawn, read_draw, read_range, spaced
from experiments.sentences import nearest, shown

ASKED = ("depth", "learning_rate", "seed", "scheme")
"""The columns for which a list of runs gets no default."""

_FIELD_OF = {field: column for column, field in FIELDS.items()}


def expanded(
    given: Mapping[str, Any], common: Mapping[str, Any], show: Callable[[object], str] = shown
) -> dict[str, Any]:
    """The fields of a list of runs, in which the axes are lists or single values and `points` columns.

    Args:
        given: its own fields. common: those of the whole spec, which hold where it has none.

    Raises:
        SpecError: a range, a draw or a file is not what it should be, or one axis has values from two.
    """
    fields = {**common, **given}
    ranges = {
        field: read_range(field, fields[field], show)
        for field in LOWEST
        if isinstance(fields.get(field), Mapping)
    }
    for field, of in ranges.items():
        if of.num is not None:
            fields[field] = spaced(of, show)
    open_ranges = [of for of in ranges.values() if of.num is None]
    if (draw := fields.pop("draw", None)) is not None:
        return _with_draws(fields, draw, open_ranges, show)
    if fields.get("points") is not None:
        columns = _columns(fields["points"], show)
        return _with_columns(fields, given, columns)
    if open_ranges:
        field = open_ranges[0].field
        raise refused(
            field, fields[field], "expected a range with num, or a spec with draw, which draws from it", show
        )
    return fields


def _with_draws(
    fields: dict[str, Any], draw: Any, ranges: list[Range], show: Callable[[object], str]
) -> dict[str, Any]:
    how = read_draw(draw, show)
    if fields.get("points") is not None:
        raise refused("draw", draw, "expected either draw or points; of both, make a union", show)
    if not ranges:
        raise refused(
            "draw", draw, f"expected a range without num of {', '.join(LOWEST)}, from which is drawn", show
        )
    found = drawn(how, ranges, DIGITS["float32" if fields.get("dtype") == "float32" else "float64"])
    left = {field: value for field, value in fields.items() if field not in found}
    return {**left, "points": {_FIELD_OF[field]: column for field, column in found.items()}}


def _columns(points: Any, show: Callable[[object], str]) -> dict[str, Any]:
    if isinstance(points, str):
        return dict(read_points(points))
    if not isinstance(points, Mapping):
        raise refused(
            "points", points, "expected the path of a CSV file, in quotes, or a table of columns", show
        )
    for name in points:
        if name not in COLUMNS:
            raise SpecError(
                f"points: got the column {show(name)}, expected one of {', '.join(COLUMNS)}"
                f"{nearest(name, COLUMNS)}; change its name."
            )
    if not points:
        raise refused("points", points, f"expected one of the columns {', '.join(COLUMNS)}", show)
    return dict(points)


def _with_columns(
    fields: dict[str, Any], given: Mapping[str, Any], columns: dict[str, Any]
) -> dict[str, Any]:
    for column, field in FIELDS.items():
        if column in columns and field in given:
            raise SpecError(
                f"{field}: got values here and in the column {column} of points, expected one of both; "
                f"remove {field}, or the column."
            )
        if column in ASKED and column not in columns and field not in fields:
            raise SpecError(
                f"points: got no column {column}, expected one, or the field {field}; add either."
            )
    inside = {FIELDS[column] for column in columns}
    return {**{k: v for k, v in fields.items() if k not in inside}, "points": columns}
