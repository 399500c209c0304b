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
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult


WIDTH = 100  # columns, where there is no terminal to say


@dataclass(frozen=True, repr=False)
class Report:
    """The rows of a check. True if all that was asked for is right and some output was compared: what is
    wrong with manners alone is a remark, unless the check is strict.

    Attributes:
        rows: inner functions before those that call them, so that the first failure names the culprit.
        kinks: decisions (Z > 0) that rounding may turn, either branch of which is a right answer.
        unknown_primitives: operations of the mirror of which a backward stable algorithm was assumed.
        example: of several cases the failing one that is shown, as code to paste into Python.
        remarks: on what was read, mended or left out, and how the case was found.
        cases: how many cases were drawn; the rows are those of one with the largest error, or of a failing
            one.
        elsewhere: the functions that fail in other cases than the one that is shown.
        tested: what was not checked, in words.
        yours: the functions that are the user's, where others of the sandbox's own stand beside them.
        stood_in: the functions at fault, in whose place the sandbox's own were taken to judge the others.
        strict: whether manners, and what is too coarse to tell, fail.
        links: which functions were seen to depend on which.
        title: of what it is.
        parts: of a report on several things, that of each by its title.
        errors: what could not be checked, and why.
    """

    rows: tuple[Row, ...]
    kinks: int = 0
    unknown_primitives: tuple[str, ...] = ()
    example: str = ""
    remarks: tuple[str, ...] = ()
    cases: int = 1
    elsewhere: tuple[str, ...] = ()
    tested: str = ""
    yours: tuple[str, ...] = ()
    stood_in: tuple[str, ...] = ()
    strict: bool = False
    links: Links = field(default=Links(), repr=False)
    title: str = ""
    parts: Mapping[str, Report] = field(default_factory=dict, repr=False)
    errors: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        if self.parts or self.errors:
            return not self.errors and all(self.parts.values())
        verdicts = {row.verdict for row in self.outputs}
        unknown = verdicts & {Verdict.NOT_JUDGED, Verdict.NOT_WRITTEN}
        return not self.failures() and not unknown and not verdicts.isdisjoint({Verdict.PASS, Verdict.COARSE})

    @property
    def outputs(self) -> tuple[OutputRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, OutputRow))

    @property
    def contracts(self) -> tuple[ContractRow, ...]:
        return tuple(row for row in self.rows if isinstance(row, ContractRow))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What to look at first, and what else is wrong and does not follow from it."""
        return findings(self.failures(), self.links)

    def failures(self) -> tuple[Row, ...]:
        """The rows that failed. The first is where to look; others may follow from it."""
        fail = {Verdict.FAIL, Verdict.REMARK, Verdict.COARSE} if self.strict else {Verdict.FAIL}
        return tuple(row for row in self.rows if row.verdict in fail)

    def manners(self) -> tuple[Row, ...]:
        """Remarks on how functions treat their callers, which make no result wrong."""
        return tuple(row for row in self.rows if row.verdict is Verdict.REMARK)

    def notes(self) -> tuple[Row, ...]:
        """What is worth knowing and is no failure."""
        return tuple(row for row in self.rows if row.verdict is Verdict.NOTE)

    def largest_error(self) -> float:
        """In sigma, of all outputs that were compared."""
        errors = [row.sigma_error for row in self.outputs if row.verdict is not Verdict.NOT_COMPARED]
        return max((error for error in errors if error == error), default=0.0)

    def to_dict(self) -> dict[str, Value]:
        """Plain data, ready for `json.dumps`; of several things that of each under "parts". A number that
        JSON cannot hold is null (NaN: nothing was compared) or the string "inf" or "-inf"."""
        as_they_are = (
            "strict", "kinks", "unknown_primitives", "example", "remarks", "cases", "elsewhere", "tested",
            "yours", "stood_in",
        )  # fmt: skip
        fields = {name: _plain(getattr(self, name)) for name in as_they_are}
        said = {"ok": bool(self), "verdict": self.headline(), "summary": self.summary()}
        if self.parts or self.errors:
            parts = {title: part.to_dict() for title, part in self.parts.items()}
            return said | {"errors": list(self.errors), "parts": parts}
        return said | fields | {"rows": [_row(row) for row in self.rows]}

    def headline(self) -> str:
        """The verdict in a line: are the gradients right, and of which functions?"""
        return rendering.verdict(self)

    def summary(self) -> str:
        """The verdict, and each mistake in words."""
        return rendering.summary(self)

    def table(self) -> str:
        """Every row, or one for all of a function that passed."""
        return _printed(rendering.table(self, WIDTH))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return rendering.to_terminal(self)

    def __str__(self) -> str:
        return _printed(self)

    def __repr__(self) -> str:
        return f"<Report: {rendering.summary(self)}>"

    def _repr_html_(self) -> str:
        return rendering.to_html(self)


def _printed(page: RenderableType) -> str:
    from rich.console import Console

    sheet = io.StringIO()
    Console(file=sheet, width=WIDTH, color_system=None).print(page)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines())


def strictly(report: Report) -> Report:
    """The same, where manners, and what is too coarse to tell, fail."""
    parts = {title: strictly(part) for title, part in report.parts.items()}
    return replace(report, strict=True, parts=parts)


def merged(reports: Iterable[Report]) -> Report:
    """One report of all the rows."""
    reports = tuple(reports)
    return Report(
        tuple(row for report in reports for row in report.rows),
        sum(report.kinks for report in reports),
        tuple(sorted({name for report in reports for name in report.unknown_primitives})),
        links=reduce(or_, (report.links for report in reports), Links()),
        remarks=tuple(dict.fromkeys(remark for report in reports for remark in report.remarks)),
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
