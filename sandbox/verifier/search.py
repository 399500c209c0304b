"""Random cases drawn by Hypothesis; a failing one is shrunk, shown and kept for replay."""

from __future__ import annotations

import keyword
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sandbox.typing import Value
from sandbox.verifier.report import Report
from sandbox.verifier.rows import OutputRow

CASES = 25
"""Random cases, where nothing else is said."""
SHRINKING = 5.0  # seconds
LARGE = 4  # entries, in which a mistake shows its pattern
FURTHER = 10  # random cases among which a large failing one is looked for


class _FailingError(Exception):
    pass


@dataclass
class _Search:
    """What has been seen: `reports` of all cases, and the `failing` ones by their words, the last of which is
    the smallest; `began`: when the first failed."""

    check: Callable[[Value], Report]
    describe: Callable[[Value], str]
    reports: list[Report] = field(default_factory=list)
    failing: dict[str, tuple[Value, Report]] = field(default_factory=dict)
    began: float = math.inf

    def case(self, drawn: Value) -> None:
        words = self.describe(drawn)
        if words in self.failing:
            self.failing[words] = self.failing.pop(words)
        elif time.monotonic() - self.began <= SHRINKING:
            report = self.check(drawn)
            self.reports.append(report)
            if report.failures():  # a case of which nothing can be compared is not one
                self.failing[words] = drawn, report
                self.began = min(self.began, time.monotonic())
        if words in self.failing:
            raise _FailingError

    def looked_at(self, drawn: Value) -> None:
        if time.monotonic() - self.began < 2 * SHRINKING:
            report = self.check(drawn)
            if report.failures():
                self.failing.setdefault(self.describe(drawn), (drawn, report))


def smallest_failure(
    strategy: Value,
    check: Callable[[Value], Report],
    *,
    name: str,
    describe: Callable[[Value], str],
    cases: int | None,
) -> Report:
    """If all cases pass, the report of one with the largest error, with their number. Else the report of a
    failing case that is large enough to show the mistake's pattern (small ones have many explanations),
    with the smallest failing case in words.

    Args:
        strategy: a Hypothesis strategy for the cases.
        name: under which Hypothesis keeps failing cases, in its directory .hypothesis.
        describe: a case in words.
        cases: how many at most; None: `CASES`.

    Raises:
        TypeError, ValueError: `strategy` is not a Hypothesis strategy, or cannot be drawn from; `cases` is
            not a positive number. What `check` raises.
    """
    from hypothesis import Phase
    from hypothesis.errors import HypothesisException

    cases = CASES if cases is None else cases
    _check_arguments(strategy, name, cases)
    search = _Search(check, describe)
    try:
        _draw(strategy, search.case, name, max_examples=cases)
    except _FailingError:
        smallest = list(search.failing.values())[-1]
        if all(_size(found) < (True, LARGE) for _, found in search.failing.values()):
            generate = [Phase.generate]
            _draw(strategy, search.looked_at, name, max_examples=FURTHER, phases=generate, database=None)
        return _shown(search, *smallest)
    except HypothesisException as error:
        raise ValueError(f"{name}: no case could be drawn from examples: {error}") from error
    return replace(max(search.reports, key=Report.largest_error), cases=len(search.reports))


def _check_arguments(strategy: Value, name: str, cases: Value) -> None:
    from hypothesis.strategies import SearchStrategy

    if not isinstance(strategy, SearchStrategy):
        raise TypeError(
            f"{name}: examples is a {type(strategy).__name__}, expected a sequence of tuples of inputs or a "
            "Hypothesis strategy that draws such tuples."
        )
    if not isinstance(cases, int) or cases < 1:
        raise ValueError(f"cases is {cases!r}, expected a whole number of at least 1.")


def _draw(strategy: Value, test: Callable[[Value], None], name: str, **options: Value) -> None:
    from hypothesis import HealthCheck, given, settings

    def named(drawn: Value) -> None:
        test(drawn)

    named.__name__ = named.__qualname__ = _identifier(f"gradcheck_{name}")  # the key of the database
    settings(
        deadline=None, print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), **options,
    )(given(strategy)(named))()  # fmt: skip


def _shown(search: _Search, smallest: Value, report: Report) -> Report:
    """A failing case that is large enough, with the smallest in words."""
    _, shown = max(search.failing.values(), key=lambda found: _size(found[1]))
    words = search.describe(smallest)
    if shown is not report:
        first = report.failures()[0]
        words = f"{words.rstrip('.')}. There {first.output}: {first.finding}"
    return replace(shown, example=words)


def _size(report: Report) -> tuple[bool, int]:
    """First what fails in its values, then by the number of entries up to `LARGE` in each axis."""
    row = report.failures()[0]
    shape = row.shape if isinstance(row, OutputRow) else ()
    return isinstance(row, OutputRow), math.prod(min(n, LARGE) for n in shape)


def _identifier(name: str) -> str:
    name = re.sub(r"\W", "_", name)
    return f"{name}_" if keyword.iskeyword(name) else name
