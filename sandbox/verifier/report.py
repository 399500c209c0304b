"""What a check found: the rows, the findings that they amount to, and both as plain data."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING

from sandbox.typing import Value
from sandbox.verifier import rendering
from sandbox.verifier.blame import Finding, Links, findings
from sandbox.verifier.rows import ContractRow, OutputRow, Row, Verdict

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


@dataclass(frozen=True)
class Report:
    """The rows of a check. True if no row failed and some output was compared.

    Attributes:
        rows: inner functions before those that call them, so that the first failure names the culprit.
        kinks: decisions (Z > 0) that rounding may turn, either branch of which is a right answer.
        unknown_primitives: operations of the mirror of which a backward stable algorithm was assumed.
        example: the first failing inputs of several, or the smallest that were found where inputs were drawn.
        cases: how many cases were drawn; the rows are those of one with the largest error.
        tested: which functions are the user's, in words.
        links: which functions were seen to depend on which.
        title: of what it is.
        parts: of a report on several things, that of each by its title.
        errors: what could not be checked, and why.
    """

    rows: tuple[Row, ...]
    kinks: int = 0
    unknown_primitives: tuple[str, ...] = ()
    example: str = ""
    cases: int = 1
    tested: str = ""
    links: Links = field(default=Links(), repr=False)
    title: str = ""
    parts: Mapping[str, Report] = field(default_factory=dict, repr=False)
    errors: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        if self.parts or self.errors:
            return not self.errors and all(self.parts.values())
        return not self.failures() and any(row.verdict is Verdict.PASS for row in self.outputs)

    @property
    def outputs(self) -> tuple[OutputRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, OutputRow))

    @property
    def contracts(self) -> tuple[ContractRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, ContractRow))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What to look at first, and what else is wrong and does not follow from it."""
        return findings(self.rows, self.links)

    def failures(self) -> tuple[Row, ...]:
        """The rows that failed. The first is where to look; others may follow from it."""
        return tuple(row for row in self.rows if row.verdict is Verdict.FAIL)

    def notes(self) -> tuple[Row, ...]:
        """What is worth knowing and is no failure."""
        return tuple(row for row in self.rows if row.verdict is Verdict.NOTE)

    def largest_error(self) -> float:
        """In sigma, of all outputs that were compared."""
        errors = [row.sigma_error for row in self.outputs if row.verdict is not Verdict.NOT_COMPARED]
        return max((error for error in errors if error == error), default=0.0)

    def to_dict(self) -> dict[str, Value]:
        """Plain data, ready for `json.dumps`: a number that JSON cannot hold is null (NaN: nothing was
        compared) or the string "inf" or "-inf"."""
        as_they_are = ("kinks", "unknown_primitives", "example", "cases", "tested")
        fields = {name: _plain(getattr(self, name)) for name in as_they_are}
        rows = [_row(row) for row in self.rows]
        return {"ok": bool(self), "summary": self.summary(), **fields, "rows": rows}

    def headline(self) -> str:
        """The first failure in a line."""
        first = next(iter(self.failures()), None)
        return f"{first.place}: {first.finding}" if first else "nothing compared"

    def summary(self) -> str:
        """A few sentences: how many outputs agree, how large the errors are, what to look at first."""
        return rendering.summary(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return rendering.to_terminal(self, options.max_width)

    def __str__(self) -> str:
        from rich.console import Console

        page = io.StringIO()
        Console(file=page, width=120, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in page.getvalue().splitlines())

    def _repr_html_(self) -> str:
        return rendering.to_html(self)


def merged(reports: Iterable[Report]) -> Report:
    """One report of all the rows."""
    reports = tuple(reports)
    return Report(
        tuple(row for report in reports for row in report.rows),
        sum(report.kinks for report in reports),
        tuple(sorted({name for report in reports for name in report.unknown_primitives})),
        links=reduce(or_, (report.links for report in reports), Links()),
    )


def collected(parts: Mapping[str, Report], errors: Iterable[str]) -> Report:
    """The report of several things; of a single one without errors, its own."""
    errors = tuple(errors)
    titled = {title: replace(part, title=title) for title, part in parts.items()}
    if len(titled) == 1 and not errors:
        return next(iter(titled.values()))
    return replace(merged(titled.values()), parts=titled, errors=errors)


def _row(row: Row) -> dict[str, object]:
    """The fields of a row; of a contract under the names that those of an output have."""
    fields = {key: _plain(value) for key, value in asdict(row).items()}
    return fields | {"scope": row.scope, "output": row.output}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
