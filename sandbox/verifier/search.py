"""Random cases drawn by Hypothesis; a failing one is shrunk, shown and kept for replay."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sandbox.typing import Value
from sandbox.verifier.loading import raised_at
from sandbox.verifier.progress import parts
from sandbox.verifier.report import Report
from sandbox.verifier.rows import OutputRow
from sandbox.verifier.warned import own_warnings

CASES = 25
"""Random cases, where nothing else is said."""
SHRINKING = 5.0  # seconds, and as many for a large one
LARGE = 4  # entries, in which a mistake shows its pattern
FURTHER = 10  # random cases among which a large failing one is looked for


class _FailingError(Exception):
    pass


class _EndError(BaseException):
    """Ends Hypothesis, which goes on after any Exception."""


@dataclass
class _Search:
    """What has been seen: `reports` of all cases, and the `failing` ones by their keys, the last of which is
    the smallest.

    Attributes:
        ends: when to stop, once a case has failed. took: seconds, the last failing case.
        stopped: whether the time was up before Hypothesis was done.
        raised: what `check` raised.
    """

    check: Callable[[Value], Report]
    key: Callable[[Value], str]
    reports: list[Report] = field(default_factory=list)
    failing: dict[str, tuple[Value, Report]] = field(default_factory=dict)
    ends: float = math.inf
    took: float = 0.0
    stopped: bool = False
    raised: Exception | None = None

    def smaller(self, drawn: Value) -> None:
        """A case, which Hypothesis makes smaller as long as it fails."""
        key = self.key(drawn)
        if key in self.failing:
            self.failing[key] = self.failing.pop(key)
        else:
            report = self.checked(drawn)
            self.reports.append(report)
            if report.failures():  # a case of which nothing can be compared is not one
                self.failing[key] = drawn, report
                self.ends = min(self.ends, time.monotonic() + SHRINKING)
        if key in self.failing:
            raise _FailingError  # in one place: where it is raised is what tells Hypothesis failures apart

    def larger(self, drawn: Value) -> None:
        """A further case, of any size."""
        if (report := self.checked(drawn)).failures():
            self.failing.setdefault(self.key(drawn), (drawn, report))

    def checked(self, drawn: Value) -> Report:
        """No check begins that would end too late, if it took as long as the last one that failed."""
        self.in_time(self.took)
        began = time.monotonic()
        try:
            report = self.check(drawn)
        except Exception as error:
            self.raised = error
            raise _EndError from error
        if report.failures():
            self.took = time.monotonic() - began
        return report

    def in_time(self, needed: float = 0.0) -> None:
        if time.monotonic() + needed > self.ends:
            self.stopped = True
            raise _EndError


def smallest_failure(
    strategy: Value, check: Callable[[Value], Report], *, name: str, key: Callable[[Value], str],
    example: Callable[[Value, Report], str], cases: int | None,
) -> Report:  # fmt: skip
    """If all cases pass, the report of one with the largest error, with their number. Else the report of the
    smallest failing case that is large enough to show the mistake's pattern (smaller ones have many
    explanations).

    Args:
        strategy: a Hypothesis strategy for the cases.
        name: under which Hypothesis keeps failing cases, in its directory .hypothesis.
        key: a case as text, by which it is known again.
        example: a case as code that shows what fails.
        cases: how many at most; None: `CASES`.

    Raises:
        TypeError, ValueError: `strategy` is not a Hypothesis strategy, or cannot be drawn from; `cases` is
            not a positive number. What `check` raises.
    """
    from hypothesis.strategies import SearchStrategy

    if not isinstance(strategy, SearchStrategy):
        raise TypeError(
            f"{name}: examples is a {type(strategy).__name__}, expected a sequence of tuples of inputs or a "
            "Hypothesis strategy that draws such tuples."
        )
    cases = CASES if cases is None else cases
    if not isinstance(cases, int) or cases < 1:
        raise ValueError(f"cases is {cases!r}, expected a whole number of at least 1.")
    with parts(cases) as begin:

        def told(case: Value) -> Report:
            begin(f"{name}, random cases")
            return check(case)

        return _searched(strategy, _Search(told, key), name, cases, example)


def _searched(
    strategy: Value, search: _Search, name: str, cases: int, example: Callable[[Value, Report], str]
) -> Report:
    _draw(strategy, search, search.smaller, name, max_examples=cases)
    if not search.failing:
        return replace(max(search.reports, key=Report.largest_error), cases=len(search.reports))
    remarks: tuple[str, ...] = ()
    if search.stopped:
        remarks = (f"A smaller case may fail too: the search for one ended after {SHRINKING:g} s.",)
    if max(_telling(report) for _, report in search.failing.values()) < (True, True, True):
        search.ends = time.monotonic() + SHRINKING
        _draw(strategy, search, search.larger, name, max_examples=FURTHER, database=None)
    # Of those that tell as much the last one found, which is the smallest.
    case, shown = max(reversed(search.failing.values()), key=lambda failing: _telling(failing[1]))
    failing = {finding.row.function for _, found in search.failing.values() for finding in found.findings}
    return replace(
        shown, example=example(case, shown), remarks=(*shown.remarks, *remarks), cases=len(search.reports),
        elsewhere=tuple(failing - {row.function for row in shown.failures()}),
    )  # fmt: skip


def _draw(
    strategy: Value, search: _Search, test: Callable[[Value], None], name: str, **options: Value
) -> None:
    """Hypothesis draws cases for `test` until it is done, the time is up, or none can be drawn or checked.
    What it says to its own users (seeds, notes, health checks) is not for ours."""
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis.errors import HypothesisException
    from hypothesis.strategies import DrawFn, composite

    @composite
    def in_time(draw: DrawFn) -> Value:
        search.in_time()  # here too: a strategy may reject all that it draws
        return draw(strategy)

    def named(drawn: Value) -> None:
        test(drawn)

    # An identifier, which no keyword begins like: the key of the database.
    named.__name__ = named.__qualname__ = re.sub(r"\W", "_", f"gradcheck_{name}")
    quietly = settings(
        deadline=None, print_blob=False, report_multiple_bugs=False, verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck), phases=(Phase.reuse, Phase.generate, Phase.shrink),
        **options,
    )  # fmt: skip
    try:
        with own_warnings():
            quietly(given(in_time())(named))()
    except _FailingError:
        return
    except _EndError:
        if search.raised is not None:
            raise search.raised from None
    except HypothesisException as error:
        if not search.failing:
            raise ValueError(f"{name}: no case could be drawn from examples: {_why(error)}") from None
    except Exception as error:
        raise ValueError(f"{name}: drawing from examples raised {raised_at(error)}") from None


def _why(error: Exception) -> str:
    from hypothesis.errors import Flaky, InvalidArgument, Unsatisfiable

    if isinstance(error, Unsatisfiable):
        return "none that it drew satisfied its filters and assumptions; draw what satisfies them."
    if isinstance(error, Flaky):
        return (
            "it draws something else when asked for the same again; let it depend on draw(...) alone, not on "
            "other random numbers or on the calls before."
        )
    if isinstance(error, InvalidArgument):
        return str(error)
    return f"{type(error).__name__}."


def _telling(report: Report) -> tuple[bool, bool, bool]:
    """How much a failing case tells: whether values fail, in how many entries, and whether a mistake is
    recognised."""
    row = report.findings[0].row
    shape = row.shape if isinstance(row, OutputRow) else ()
    return isinstance(row, OutputRow), math.prod(shape) >= LARGE, bool(row.pattern)
