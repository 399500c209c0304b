"""The checker's own test: wrong implementations are caught and rightly blamed, right ones pass.

Each implementation of `sandbox.network.catalogue` takes its functions' place in the network, which is then
checked as a user's would be, on networks with some Z exactly 0 whose output saturates more and more, until
something is found.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.network.cases import drawn_network
from sandbox.network.catalogue import RIGHT, WRONG, Implementation
from sandbox.network.model_check import check_model
from sandbox.verifier.report import strictly
from sandbox.verifier.rows import FAR, Matter, Row


@dataclass(frozen=True)
class Outcome:
    """What the check said of one implementation.

    Attributes:
        implementation: from the catalogue.
        first: the first row that failed in a strict check, None if none did.
        passed: whether a check that is not strict passed.
        z: the largest error / sigma in the rows of the replaced function.
    """

    implementation: Implementation
    first: Row | None
    passed: bool
    z: float

    @property
    def blamed_right(self) -> bool:
        """Whether the first failure names the wrong function."""
        return self.first is not None and self.first.function == self.implementation.replaces

    @property
    def said_right(self) -> bool:
        """Whether it was called what it is: a wrong gradient or value, or a manner, which passes where the
        check is not strict."""
        matter = self.implementation.matter
        passes = matter is Matter.MANNER
        return self.first is None or (self.first.matter is matter and self.passed is passes)

    def __bool__(self) -> bool:
        return self.blamed_right and self.said_right if self.implementation.wrong else self.first is None


@dataclass(frozen=True)
class SelfTest:
    """True if every wrong implementation was caught and rightly blamed and no right one failed."""

    outcomes: tuple[Outcome, ...]

    def __bool__(self) -> bool:
        return all(self.outcomes)

    def summary(self) -> str:
        """The counts."""
        wrong = [o for o in self.outcomes if o.implementation.wrong]
        right = [o for o in self.outcomes if not o.implementation.wrong]
        manners = sum(o.passed and o.implementation.matter is Matter.MANNER for o in wrong)
        return (
            f"{sum(o.first is not None for o in wrong)} of {len(wrong)} wrong implementations caught, "
            f"{sum(map(bool, wrong))} rightly blamed; {sum(not o for o in right)} false alarms on "
            f"{len(right)} right ones. Where a check is not strict, {manners} pass, with bad manners alone."
        )

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
        for heading in (
            "implementation",
            "is wrong in",
            "verdict",
            "blamed",
            "output or contract",
            "error/sigma",
        ):
            justify: Literal["left", "right"] = "right" if heading == "error/sigma" else "left"
            table.add_column(heading, justify=justify, no_wrap=heading == "blamed")
        for outcome in self.outcomes:
            wrong, first = outcome.implementation.wrong, outcome.first
            caught = first is not None
            verdict = ("caught" if caught else "MISSED") if wrong else ("FALSE ALARM" if caught else "passed")
            blamed = first.function if first else ""
            if wrong and caught and not outcome.blamed_right:
                blamed += f", NOT {outcome.implementation.replaces}"
            table.add_row(
                outcome.implementation.name.replace("_", " "),  # which can be wrapped
                outcome.implementation.matter if wrong else "",
                Text(verdict, "green" if caught == wrong else "bold red"),
                Text(blamed, "green" if outcome else "bold red"),
                first.output if first else "",
                f"{outcome.z:.3g}" if outcome.z <= FAR else "> 1e6",
            )
        yield table
        yield Text(f"\n{self.summary()}", "green" if self else "bold red")


def run_selftest(implementations: Iterable[Implementation] = (*WRONG, *RIGHT)) -> SelfTest:
    """Check each implementation as a user's code would be checked."""
    return SelfTest(tuple(map(_outcome, implementations)))


def _outcome(implementation: Implementation) -> Outcome:
    functions, passed = {implementation.replaces: implementation.function}, True
    for output_scale, dtype in ((1.0, "float64"), (10.0, "float64"), (1e3, "float64"), (1.0, "float32")):
        network = drawn_network([5, 5, 5, 1], 12, seed=0, dtype=dtype, output_scale=output_scale)
        report = check_model(*network, functions=functions)
        passed = passed and bool(report)
        report = strictly(report)
        if report.failures():
            break
    first = next(iter(report.failures()), None)
    errors = [row.sigma_error for row in report.outputs if row.function == implementation.replaces]
    return Outcome(implementation, first, passed, max((e for e in errors if e == e), default=0.0))
