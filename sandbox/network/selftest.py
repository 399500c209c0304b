"""The checker's own test: wrong implementations are caught and rightly blamed, right ones pass.

Each implementation of `sandbox.network.catalogue` takes its functions' place in the network, which is then
checked as a user's would be, on networks with some Z exactly 0 whose output saturates more and more, until
something is found. The workspace's step, a second implementation of training, is among the right ones: for
every activation and cost that can be computed in place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sandbox.network.activations import ACTIVATIONS
from sandbox.network.cases import Network, drawn_network
from sandbox.network.catalogue import RIGHT, WRONG, Implementation
from sandbox.network.costs import COSTS
from sandbox.network.model_check import check_model
from sandbox.network.model_equations import Kind
from sandbox.network.replacement import check_replacement, workspace_functions
from sandbox.network.workspace import is_possible
from sandbox.verifier.report import Report, strictly
from sandbox.verifier.rows import FAR, Matter, Row

KINDS: Mapping[str, Kind] = {
    f"workspace_{activation}_{cost}": Kind(activation, cost)
    for activation in ACTIVATIONS for cost in COSTS if is_possible(activation, cost)
}  # fmt: skip
WORKSPACES = tuple(
    Implementation(name, "L_model_backward", workspace_functions(kind)["L_model_backward"], wrong=False)
    for name, kind in KINDS.items()
)
CATALOGUE = (*WRONG, *RIGHT, *WORKSPACES)


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


def run_selftest(implementations: Iterable[Implementation] = CATALOGUE) -> SelfTest:
    """Check each implementation as a user's code would be checked."""
    return SelfTest(tuple(map(_outcome, implementations)))


def _outcome(implementation: Implementation) -> Outcome:
    passed = True
    for report in _reports(implementation):
        passed, strict = passed and bool(report), strictly(report)
        if strict.failures():
            break
    first = next(iter(strict.failures()), None)
    errors = [row.sigma_error for row in strict.outputs if row.function == implementation.replaces]
    return Outcome(implementation, first, passed, max((e for e in errors if e == e), default=0.0))


def _reports(implementation: Implementation) -> Iterator[Report]:
    if kind := KINDS.get(implementation.name):
        yield from _reports_on_workspace(kind)
        return
    functions = {implementation.replaces: implementation.function}
    for output_scale, dtype in ((1.0, "float64"), (10.0, "float64"), (1e3, "float64"), (1.0, "float32")):
        yield check_model(*_network(output_scale, dtype), functions=functions)


def _reports_on_workspace(kind: Kind) -> Iterator[Report]:
    """All of the step at once; that it makes no dA0 is no bad manner of it."""
    for output_scale, dtype in ((1.0, "float64"), (10.0, "float64"), (1.0, "float32")):
        network = _network(output_scale, dtype)
        report = check_replacement(*network, activation=kind.activation, cost=kind.cost, contracts=True)
        yield replace(report, rows=tuple(row for row in report.rows if row.output != "dA0"))


def _network(output_scale: float, dtype: str) -> Network:
    return drawn_network([5, 5, 5, 1], 12, seed=0, dtype=dtype, output_scale=output_scale)
