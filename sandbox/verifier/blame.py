"""Who is to blame: rows and recorded calls in, ordered findings out. Nothing else decides it.

Rows of inner functions come before those of their callers, so that the first failure names the culprit. What
may follow from it was seen: a call knows the call that it was made from, and those whose results it was fed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.verifier.recording import Call
from sandbox.verifier.rows import (
    Cause,
    Contract,
    ContractRow,
    Fault,
    OutputRow,
    Row,
    Scope,
    Verdict,
    explanation,
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
    """What one function does wrong.

    Attributes:
        row: the failure to look at first, in the lowest layer in which that output fails (the output layer
            has but one unit).
        also: one row for each other way in which the function fails.
        follow: the functions that fail too and may do so because of it.
    """

    row: Row
    also: tuple[Row, ...] = ()
    follow: tuple[str, ...] = ()


def findings(rows: Sequence[Row], seen: Links) -> tuple[Finding, ...]:
    """What to look at first; then what does not follow from it, a function each."""
    failures: dict[str, list[Row]] = {}
    for row in rows:
        if row.verdict is Verdict.FAIL:
            failures.setdefault(row.function, []).append(row)
    if not failures:
        return ()
    _, *others = failures
    first, also = _first(next(iter(failures.values())))
    following = seen.following(first)
    follow = tuple(name for name in others if name in following)
    beside = (Finding(failures[name][0]) for name in others if name not in following)
    return Finding(first, also, follow), *beside


def _first(failures: list[Row]) -> tuple[Row, tuple[Row, ...]]:
    """Of one function: the failure to look at, and one row for each other way in which it fails."""
    kind = failures[0].scope, of_any_layer(failures[0])
    alike = [row for row in failures if (row.scope, of_any_layer(row)) == kind]
    first = min(alike, key=lambda row: row.layer or 0)
    others: dict[str, Row] = {}
    for row in failures:
        if row not in alike and explanation(row) not in (explanation(first), first.finding):
            others.setdefault(explanation(row), row)
    return first, tuple(others.values())


def ordered(rows: Mapping[str, Sequence[Row]], last: Sequence[Row] = ()) -> tuple[Row, ...]:
    """All rows, those of inner functions first, `last` after them, and end to end after all. The rows of a
    function that does not give the same twice begin with that."""
    every = [*(row for of_one in rows.values() for row in of_one), *last]
    return random_first(sorted(every, key=lambda row: row.scope is Scope.END_TO_END))


def random_first(rows: Sequence[Row]) -> tuple[Row, ...]:
    functions = [row.function for row in rows]

    def place(i: int) -> tuple[int, bool]:
        row = rows[i]
        contract = row.contract if isinstance(row, ContractRow) else None
        random = contract is Contract.DETERMINISTIC and row.verdict is Verdict.FAIL
        return (functions.index(row.function), False) if random else (i, True)

    return tuple(rows[i] for i in sorted(range(len(rows)), key=place))


def of_forward(backward: Iterable[OutputRow]) -> Fault:
    """Two of forward, backward and mirror against one, where the forward's values are not the mirror's: from
    the rows of the backward."""
    faults = {row.at_fault for row in backward if row.verdict is Verdict.FAIL}
    return Fault.MIRROR if Fault.MIRROR in faults else Fault.UNDECIDED if faults else Fault.FORWARD


def mutations(calls: Iterable[Call]) -> Iterator[ContractRow]:
    for call in calls:
        if call.mutated:
            finding = f"{call.mutated} was changed in place; work on a copy."
            yield ContractRow(call.function, Contract.UNCHANGED, Verdict.FAIL, finding, layer=call.layer)


def exceptions(calls: Iterable[Call], misfit: Callable[[Call], str]) -> Iterator[OutputRow]:
    """Whose fault each exception is: of the innermost function that raised, unless the original does not
    take these arguments either (`misfit` says why, or ""); then of the one that called it so. Those that
    called the function at fault did not finish."""
    for call in calls:
        if not call.error or any(child.error for child in call.children):
            continue
        finding, fault = f"it raised {call.error}.", call
        while fault.parent is not None and (reason := misfit(fault)):
            name = f"{fault.function} (layer {fault.layer})" if fault.layer is not None else fault.function
            fault = fault.parent
            finding = f"what it hands to {name} does not fit{fault.line}: {reason}."
        yield _not_run(fault, finding)
        while (fault := fault.parent) is not None:  # type: ignore[assignment]
            yield _not_run(fault, f"it did not finish: {call.error}.")


def _not_run(call: Call, finding: str) -> OutputRow:
    return OutputRow(call.function, Scope.LOCAL, call.layer, "result", Verdict.FAIL, finding, Cause.EXCEPTION)
