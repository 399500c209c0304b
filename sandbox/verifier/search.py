"""Random cases drawn by Hypothesis; a failing one is shrunk, shown and kept for replay."""

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
    failing: dict[str, Report] = field(default_factory=dict)
    began: float = math.inf

    def smaller(self, drawn: Value) -> None:
        """A case, which Hypothesis makes smaller as long as it fails."""
        words = self.describe(drawn)
        if words in self.failing:
            self.failing[words] = self.failing.pop(words)
        elif time.monotonic() - self.began <= SHRINKING:
            report = self.check(drawn)
            self.reports.append(report)
            if report.failures():  # a case of which nothing can be compared is not one
                self.failing[words] = report
                self.began = min(self.began, time.monotonic())
        if words in self.failing:
            raise _FailingError

    def larger(self, drawn: Value) -> None:
        """A further case, of any size."""
        if time.monotonic() - self.began < 2 * SHRINKING and (report := self.check(drawn)).failures():
            self.failing.setdefault(self.describe(drawn), report)


def smallest_failure(
    strategy: Value, check: Callable[[Value], Report], *, name: str, describe: Callable[[Value], str],
    cases: int | None,
) -> Report:  # fmt: skip
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
    from hypothesis.strategies import SearchStrategy

    if not isinstance(strategy, SearchStrategy):
        raise TypeError(
            f"{name}: examples is a {type(strategy).__name__}, expected a sequence of tuples of inputs or a "
            "Hypothesis strategy that draws such tuples."
        )
    cases = CASES if cases is None else cases
    if not isinstance(cases, int) or cases < 1:
        raise ValueError(f"cases is {cases!r}, expected a whole number of at least 1.")
    search = _Search(check, describe)
    try:
        _draw(strategy, search.smaller, name, max_examples=cases)
    except HypothesisException as error:
        raise ValueError(f"{name}: no case could be drawn from examples: {error}") from error
    except _FailingError:
        words, smallest = list(search.failing.items())[-1]
        if max(map(_size, search.failing.values())) < (True, LARGE):
            generate = [Phase.generate]
            _draw(strategy, search.larger, name, max_examples=FURTHER, phases=generate, database=None)
        shown = max(search.failing.values(), key=_size)
        if shown is not smallest:
            first = smallest.failures()[0]
            words = f"{words.rstrip('.')}. There {first.output}: {first.finding}"
        return replace(shown, example=words)
    return replace(max(search.reports, key=Report.largest_error), cases=len(search.reports))


def _draw(strategy: Value, test: Callable[[Value], None], name: str, **options: Value) -> None:
    from hypothesis import HealthCheck, given, settings

    def named(drawn: Value) -> None:
        test(drawn)

    # An identifier, which no keyword begins like: the key of the database.
    named.__name__ = named.__qualname__ = re.sub(r"\W", "_", f"gradcheck_{name}")
    settings(
        deadline=None, print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), **options,
    )(given(strategy)(named))()  # fmt: skip


def _size(report: Report) -> tuple[bool, int]:
    """First what fails in its values, then by the number of entries up to `LARGE` in each axis."""
    row = report.failures()[0]
    shape = row.shape if isinstance(row, OutputRow) else ()
    return isinstance(row, OutputRow), math.prod(min(n, LARGE) for n in shape)
