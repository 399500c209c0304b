"""Who is to blame: rows and recorded calls in, ordered findings out. Nothing else decides it.

Rows of inner functions come before those of their callers, so that the first failure names the culprit. What
may follow from it was seen: a call knows the call that it was made from, and those whose results it was fed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sandbox.verifier.recording import Call
from sandbox.verifier.rows import (
    Cause,
    Contract,
    ContractRow,
    Fault,
    Matter,
    OutputRow,
    Row,
    Scope,
    Verdict,
    of_any_layer,
)

Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Links:
    """What was seen of the functions that depend on each other, as pairs (inner, outer): the outer function
    called the inner one, or was fed with its result, which is wrong only if the inner one's values are."""

    called: Pairs = frozenset()
    fed: Pairs = frozenset()

    def __or__(self, other: Links) -> Links:
        return Links(self.called | other.called, self.fed | other.fed)

    def following(self, row: Row) -> set[str]:
        """The functions whose results may be wrong because of what `row` found."""
        pairs = self.called if isinstance(row, ContractRow) else self.called | self.fed
        functions = {row.function}
        while more := {outer for inner, outer in pairs if inner in functions} - functions:
            functions |= more
        return functions - {row.function}


def links(calls: Iterable[Call]) -> Links:
    calls = tuple(calls)
    return Links(
        frozenset((call.function, call.parent.function) for call in calls if call.parent is not None),
        frozenset((inner.function, call.function) for call in calls for inner in call.fed_by),
    )


@dataclass(frozen=True)
class Finding:
    """One mistake.

    Attributes:
        row: the failure to look at, in the lowest layer in which that output fails (the output layer has but
            one unit).
        rows: all failures that it explains, of this function.
        follow: the functions that fail too and may do so because of it.
    """

    row: Row
    rows: tuple[Row, ...]
    follow: tuple[str, ...] = ()


def culprits(rows: Iterable[Row], seen: Links) -> tuple[str, ...]:
    """The functions that fail, but for those that depend on another one that fails."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.function, row)
    excused = {name for row in first.values() for name in seen.following(row)}
    return tuple(name for name in first if name not in excused) or tuple(first)[:1]


def handed_on_last(failures: Sequence[Row]) -> Sequence[Row]:
    """What raised may have been handed something wrong: it counts where nothing else fails."""
    return [row for row in failures if not _raised(row)] or failures


def findings(failures: Sequence[Row], seen: Links) -> tuple[Finding, ...]:
    """Each independent mistake; inner functions first. Those without words of a function are one."""
    names = culprits(failures, seen)
    dependent = {row.function for row in failures} - set(names)
    found = [Finding(rows[0], rows) for name in names for rows in _mistakes(name, failures)]
    for i, finding in enumerate(found):
        follow = dependent & seen.following(finding.row)
        found[i] = Finding(finding.row, finding.rows, tuple(sorted(follow)))
        dependent -= follow
    return tuple(found)


def _mistakes(function: str, failures: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    """The failures of a function by what explains them, those of the lowest layer first. An output that
    fails end to end, or in a contract, has failed before in itself; and what fails in itself for one reason
    may do so for another elsewhere, of which the first tells."""
    own = [row for row in failures if row.function == function]
    if _random(own[0]):  # and so whatever else is wrong
        yield tuple(own)
        return
    if any(isinstance(row, OutputRow) for row in own):  # which it may not survive in other shapes
        own = [row for row in own if not (isinstance(row, ContractRow) and row.contract is Contract.RUNS)]
    kinds: dict[tuple[Scope, str], list[Row]] = {}
    for row in own:
        kinds.setdefault((row.scope, of_any_layer(row)), []).append(row)
    mistakes: dict[str, list[Row]] = {}
    seen: set[str] = set()
    for (scope, output), rows in kinds.items():
        repeated = scope is Scope.END_TO_END and own[0].scope is not scope
        if output in seen or repeated:
            continue
        seen.add(output)
        rows = sorted(rows, key=lambda row: (row.layer is None, row.layer))
        for row in rows:
            words = _words(row) if _is_of_its_own(row) else _words(rows[0])
            mistakes.setdefault(words, []).append(row)
    yield from map(tuple, mistakes.values())


def _is_of_its_own(row: Row) -> bool:
    """Whether an output may fail in this layer for another reason than in the first. One that is told by
    numbers is the same: it is 32 / 8 times where there are 8 units, 32 times where there is one."""
    missing = isinstance(row, OutputRow) and row.cause is Cause.MISSING
    return missing or not re.search(r"\d", row.pattern or "0")


def _words(row: Row) -> str:
    """What two failures of one mistake have in common."""
    return row.pattern or (row.contract if isinstance(row, ContractRow) else "")


def _raised(row: Row) -> bool:
    return isinstance(row, OutputRow) and row.cause is Cause.EXCEPTION


def ordered(rows: Mapping[str, Sequence[Row]]) -> tuple[Row, ...]:
    """All rows, those of inner functions first, and end to end after all. The rows of a function that does
    not give the same twice begin with that."""
    every = [row for of_one in rows.values() for row in of_one]
    return random_first(sorted(every, key=lambda row: row.scope is Scope.END_TO_END))


def random_first(rows: Sequence[Row]) -> tuple[Row, ...]:
    functions = [row.function for row in rows]

    def place(i: int) -> tuple[int, bool]:
        return (functions.index(rows[i].function), False) if _random(rows[i]) else (i, True)

    return tuple(rows[i] for i in sorted(range(len(rows)), key=place))


def _random(row: Row) -> bool:
    of_second_call = isinstance(row, ContractRow) and row.contract is Contract.DETERMINISTIC
    return of_second_call and row.verdict is Verdict.FAIL


def of_forward(backward: Iterable[OutputRow]) -> Fault:
    """Two of forward, backward and mirror against one, where the forward's values are not the mirror's: from
    the rows of the backward."""
    faults = {row.at_fault for row in backward if row.verdict is Verdict.FAIL}
    return Fault.MIRROR if Fault.MIRROR in faults else Fault.UNASKED if faults else Fault.FORWARD


def mutations(calls: Iterable[Call]) -> Iterator[ContractRow]:
    for call in calls:
        if call.mutated:
            finding = f"{call.mutated} was changed in place; work on a copy."
            yield ContractRow(call.function, Contract.UNCHANGED, Verdict.REMARK, finding, layer=call.layer)


def harmful(row: ContractRow, harmed: Row) -> ContractRow:
    """A manner by which the result of another function became wrong."""
    finding = f"{row.finding} By this {harmed.place} is wrong."
    return replace(row, verdict=Verdict.FAIL, finding=finding, matter=harmed.matter)


def exceptions(
    calls: Iterable[Call], misfit: Callable[[Call], str], matter: Callable[[str], Matter]
) -> Iterator[OutputRow]:
    """Whose fault each exception is: of the innermost function that raised, unless the original does not
    take these arguments either (`misfit` says why, or ""); then of the one that called it so. Those that
    called the function at fault did not finish. `matter`: what a function's results are."""
    for call in calls:
        if not call.error or any(child.error for child in call.children):
            continue
        finding, fault = f"it raised {call.error}.", call
        while fault.parent is not None and (reason := misfit(fault)):
            name = f"{fault.function} (layer {fault.layer})" if fault.layer is not None else fault.function
            fault = fault.parent
            finding = f"what it hands to {name} does not fit{fault.line}: {reason}."
        yield _not_run(fault, finding, matter(fault.function))
        while (fault := fault.parent) is not None:  # type: ignore[assignment]
            yield _not_run(fault, f"it did not finish: {call.error}.", matter(fault.function))


def _not_run(call: Call, finding: str, matter: Matter) -> OutputRow:
    return OutputRow(
        call.function,
        Scope.LOCAL,
        call.layer,
        "result",
        Verdict.FAIL,
        finding,
        Cause.EXCEPTION,
        matter=matter,
    )
