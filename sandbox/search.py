"""Random cases drawn by Hypothesis; a failing one is shrunk, shown and kept for replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox.report import Report

CASES = 25
"""Random cases, where nothing else is said."""


class _FailingError(Exception):
    def __init__(self, report: Report) -> None:
        super().__init__(report.summary())
        self.report = report


def smallest_failure(
    strategy: Any,
    check: Callable[[Any], Report],
    *,
    name: str,
    describe: Callable[[Any], str],
    cases: int,
) -> Report:
    """The report of the last case if all pass, with the number of cases; else that of the smallest
    failing case.

    Args:
        strategy: a Hypothesis strategy for the cases.
        name: under which Hypothesis keeps failing cases, in its directory .hypothesis.
        describe: a case in words.

    Raises:
        TypeError: `strategy` is not a Hypothesis strategy. What `check` raises.
    """
    from hypothesis import HealthCheck, given, settings
    from hypothesis.strategies import SearchStrategy

    if not isinstance(strategy, SearchStrategy):
        raise TypeError(
            f"{name}: examples is a {type(strategy).__name__}, expected a sequence of tuples of inputs or a "
            "Hypothesis strategy that draws such tuples."
        )
    reports: list[Report] = []
    failing: list[tuple[Any, Report]] = []

    def case(drawn: Any) -> None:
        report = check(drawn)
        reports.append(report)
        if report.failures():  # a case of which nothing can be compared is not one
            failing.append((drawn, report))
            raise _FailingError(report)

    case.__name__ = case.__qualname__ = f"gradcheck_{name}"  # the key of Hypothesis's database
    run = settings(
        max_examples=cases, deadline=None, print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(given(strategy)(case))  # fmt: skip
    try:
        run()
    except _FailingError:
        smallest, report = failing[-1]  # Hypothesis ends with the smallest
        return replace(report, example=describe(smallest))
    return replace(max(reports, key=Report.largest_error), cases=len(reports))
