"""Random cases drawn by Hypothesis; a failing one is shrunk, shown and kept for replay."""

from __future__ import annotations

import keyword
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox.report import Report

CASES = 25
"""Random cases, where nothing else is said."""
SHRINKING = 5.0  # seconds
LARGE = 4  # entries, in which a mistake shows its pattern
FURTHER = 10  # random cases among which a large failing one is looked for


class _FailingError(Exception):
    pass


def smallest_failure(
    strategy: Any,
    check: Callable[[Any], Report],
    *,
    name: str,
    describe: Callable[[Any], str],
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
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import HypothesisException
    from hypothesis.strategies import SearchStrategy

    if not isinstance(strategy, SearchStrategy):
        raise TypeError(
            f"{name}: examples is a {type(strategy).__name__}, expected a sequence of tuples of inputs or a "
            "Hypothesis strategy that draws such tuples."
        )
    cases = CASES if cases is None else cases
    if not isinstance(cases, int) or cases < 1:
        raise ValueError(f"cases is {cases!r}, expected a whole number of at least 1.")
    reports: list[Report] = []
    failing: dict[str, tuple[Any, Report]] = {}
    began: list[float] = []

    def case(drawn: Any) -> None:
        words = describe(drawn)
        late = began and time.monotonic() - began[0] > SHRINKING
        if words in failing:
            failing[words] = failing.pop(words)  # the last is the smallest
        elif not late:
            report = check(drawn)
            reports.append(report)
            if report.failures():  # a case of which nothing can be compared is not one
                failing[words] = drawn, report
                began.append(time.monotonic())
        if words in failing:
            raise _FailingError

    def looked_at(drawn: Any) -> None:
        if time.monotonic() - began[0] < 2 * SHRINKING:
            report = check(drawn)
            if report.failures():
                failing.setdefault(describe(drawn), (drawn, report))

    def run(test: Callable[[Any], None], **options: Any) -> None:
        test.__name__ = test.__qualname__ = _identifier(f"gradcheck_{name}")  # the key of the database
        settings(
            deadline=None, print_blob=False, report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck), **options,
        )(given(strategy)(test))()  # fmt: skip

    try:
        run(case, max_examples=cases)
    except _FailingError:
        smallest, report = list(failing.values())[-1]
        if all(_size(found) < (True, LARGE) for _, found in failing.values()):
            run(looked_at, max_examples=FURTHER, phases=[Phase.generate], database=None)
        _, shown = max(failing.values(), key=lambda found: _size(found[1]))
        first = report.failures()[0]
        words = describe(smallest)
        if shown is not report:
            words = f"{words.rstrip('.')}. There {first.output}: {first.finding}"
        return replace(shown, example=words)
    except HypothesisException as error:
        raise ValueError(f"{name}: no case could be drawn from examples: {error}") from error
    return replace(max(reports, key=Report.largest_error), cases=len(reports))


def _size(report: Report) -> tuple[bool, int]:
    """First what fails in its values, then by the number of entries up to `LARGE` in each axis."""
    row = report.failures()[0]
    return row.scope != "contract", math.prod(min(n, LARGE) for n in row.shape)


def _identifier(name: str) -> str:
    name = re.sub(r"\W", "_", name)
    return f"{name}_" if keyword.iskeyword(name) else name
