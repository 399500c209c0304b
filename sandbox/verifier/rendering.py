"""A report as a terminal, a notebook and a line of text show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

from sandbox.verifier.blame import Finding
from sandbox.verifier.rows import (
    Entry,
    Fault,
    OutputRow,
    Row,
    Scope,
    Verdict,
    explanation,
    of_any_layer,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sandbox.verifier.report import Report

HEADINGS = (
    "function", "check", "layer", "output", "shape", "dtype", "error/sigma", "allowed", "relative error",
    "verdict",
)  # fmt: skip
WIDE = 105  # columns of a terminal that has room for all of them
ONLY_WIDE = ("shape", "dtype", "allowed", "relative error")
NUMBERS = ("error/sigma", "allowed", "relative error")
ENTRY_HEADINGS = ("entry", "computed", "reference", "ratio", "error/sigma")
_STYLES = {"pass": "green", "FAIL": "bold red", "note": "yellow", "not compared": "dim"}
_COLOURS = {"pass": "green", "FAIL": "crimson", "note": "darkorange", "not compared": "gray"}
_FAULTS = {
    Fault.BACKWARD: " The forward, differenced numerically, agrees with the mirror: the backward is wrong.",
    Fault.MIRROR: " The forward, differenced numerically, agrees with the backward: the mirror is wrong, or "
    "both of the others are, alike.",
    Fault.FORWARD: " The backward agrees with the mirror, and the forward does not: the forward is wrong.",
    Fault.UNDECIDED: " The forward, differenced numerically, agrees with neither backward nor mirror.",
    Fault.UNASKED: "",
}


# --- sentences ------------------------------------------------------------------------------------


def summary(report: Report) -> str:
    """A few sentences: how many outputs agree, how large the errors are, what to look at first."""
    if report.parts or report.errors:
        return of_parts(report)
    return "\n".join(_sentences(report))


def of_parts(report: Report) -> str:
    failed = [name for name, part in report.parts.items() if not part]
    if not failed:
        return "all passed" if not report.errors else f"{len(report.errors)} could not be checked"
    return f"{len(failed)} of {len(report.parts)} failed: {', '.join(failed)}"


def _sentences(report: Report) -> Iterator[str]:
    yield _counts(report)
    yield from _findings(report.findings)
    if report.tested:
        yield report.tested
    if report.example:
        yield f"Failing inputs: {report.example}"
    if report.cases > 1:
        yield f"{report.cases} random cases passed; the table is of one with the largest error."
    if uncompared := [row for row in report.rows if row.verdict is Verdict.NOT_COMPARED]:
        first = uncompared[0]
        yield f"{_counted(uncompared)} not compared. {first.place}: {first.finding}"
    if report.kinks:
        decisions = "1 decision is" if report.kinks == 1 else f"{report.kinks} decisions are"
        yield f"{decisions} within rounding of a kink: either branch is accepted there."
    if report.unknown_primitives:
        names = ", ".join(report.unknown_primitives)
        yield f"Of these operations of the mirror a backward stable algorithm was assumed: {names}."


def _counts(report: Report) -> str:
    values = Counter(row.verdict for row in report.outputs)
    kept = Counter(row.verdict for row in report.contracts)
    contracts = f", {kept[Verdict.PASS]} contracts kept" if kept else ""
    total = values[Verdict.PASS] + values[Verdict.FAIL] + values[Verdict.NOT_COMPARED]
    text = f"{values[Verdict.PASS]} of {total} outputs agree with the mirror{contracts}"
    if failures := report.failures():
        return f"{text}; {_counted(failures)} failed."
    largest = f"{report.largest_error():.2g} sigma (sigma: what rounding alone explains)"
    return f"{text}; the largest error is {largest}."


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for i, finding in enumerate(findings):
        yield f"{'Besides:' if i else 'Look first at'} {_explained(finding.row)}"
        if finding.also:
            also = [f"{row.output} ({explanation(row)})" for row in finding.also]
            yield f"Also: {'; '.join(also[:3])}{'; ...' if also[3:] else ''}"
        if finding.follow:
            functions = ", ".join(finding.follow)
            yield f"Failures in {functions} may follow from it: correct this one, check again."


def _explained(row: Row) -> str:
    pattern = f" {row.pattern}" if row.pattern else ""
    return f"{row.place}: {row.finding}{pattern}{_FAULTS[row.at_fault]}"


def _noted(report: Report) -> list[str]:
    """The notes, those of one kind in one line."""
    kinds: dict[str, list[Row]] = {}
    for row in report.notes():
        kinds.setdefault(row.output, []).append(row)
    return [
        f"note: {output}: {', '.join(dict.fromkeys(row.function for row in rows))}"
        + (f"; {rows[0].function}: {rows[0].finding}" if len(rows) > 1 else f": {rows[0].finding}")
        for output, rows in kinds.items()
    ]


def _counted(rows: Sequence[Row]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


# --- the table ------------------------------------------------------------------------------------


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line for each output that failed, and one for all rows of a function that passed: rows of one
    function, scope and dtype that passed stand together; of others, those of one output."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alone = row.verdict in (Verdict.FAIL, Verdict.NOTE)
        dtype = row.dtype if isinstance(row, OutputRow) else ""
        key = (row.function, row.scope, row.verdict, dtype, of_any_layer(row) if alone else "")
        groups.setdefault(key, []).append(row)
    return [_line(group) for group in groups.values()]


def _line(rows: Sequence[Row]) -> tuple[str, ...]:
    outputs = [row for row in rows if isinstance(row, OutputRow)]
    shape = "x".join(map(str, outputs[0].shape)) if len(outputs) == len(rows) == 1 else ""
    return (
        rows[0].function,
        rows[0].scope,
        _layers(row.layer for row in rows),
        _outputs(rows),
        shape,
        outputs[0].dtype if outputs else "",
        _largest((row.sigma_error for row in outputs), ".3g"),
        _largest((row.threshold for row in outputs), ".1f"),
        _largest((row.relative_error for row in outputs), ".1e"),
        rows[0].verdict,
    )


def _largest(numbers: Iterable[float], form: str) -> str:
    known = [number for number in numbers if number == number]
    return f"{max(known):{form}}" if known else ""


def _outputs(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.output for row in rows))
    if len(names) > 1 and rows[0].verdict in (Verdict.FAIL, Verdict.NOTE):
        return of_any_layer(rows[0])
    if len(names) == 1 or (len(names) <= 3 and len(", ".join(names)) <= 16):
        return ", ".join(names)
    return f"{len(names)} {'kept' if rows[0].scope is Scope.CONTRACT else 'outputs'}"


def _layers(layers: Iterable[int | None]) -> str:
    numbers = sorted({layer for layer in layers if layer is not None})
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def _cells(entry: Entry) -> tuple[str, ...]:
    return (
        str(list(entry.index)), f"{entry.computed:.9g}", f"{entry.reference:.9g}",
        f"{entry.ratio:.6g}" if entry.reference else "", f"{entry.z:.3g}",
    )  # fmt: skip


def _worst(report: Report) -> tuple[Entry, ...]:
    """Of the failure to look at first."""
    return report.findings[0].row.worst if report.findings else ()


# --- pages ----------------------------------------------------------------------------------------


def to_terminal(report: Report, width: int) -> Iterator[RenderableType]:
    """The table, then what to look at first, at the end, where a terminal shows it."""
    from rich.rule import Rule
    from rich.text import Text

    if report.parts or report.errors:
        for name, part in report.parts.items():
            yield Rule(name, align="left")
            yield part
        yield Rule(of_parts(report))
        return
    yield _rows_table(report, width)
    if worst := _worst(report):
        yield Text("")
        yield _entries_table(f"worst entries: {report.findings[0].row.place}", worst)
    yield from (Text(f"\n{note}", "yellow") for note in _noted(report))
    first, *others = summary(report).split("\n")
    yield Text(f"\n{first}", "bold red" if report.failures() else "green")
    yield from map(Text, others)


def _rows_table(report: Report, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    shown = [h for h in HEADINGS if width >= WIDE or h not in ONLY_WIDE]
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for heading in shown:
        justify: Literal["left", "right"] = "right" if heading in NUMBERS else "left"
        table.add_column(heading, justify=justify, no_wrap=heading == "function")
    for line in _lines(report.rows):
        cells = dict(zip(HEADINGS, line, strict=True))
        table.add_row(*(Text(cells[h], _STYLES.get(cells[h], "")) for h in shown))
    return table


def _entries_table(title: str, worst: Sequence[Entry]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for heading in ENTRY_HEADINGS:
        table.add_column(heading, justify="right")
    for entry in worst:
        table.add_row(*_cells(entry))
    return table


def to_html(report: Report) -> str:
    """For notebooks, which are read from the top: what to look at first, then the table."""
    if report.parts or report.errors:
        parts = "".join(f"<h4>{escape(name)}</h4>{to_html(part)}" for name, part in report.parts.items())
        return (
            f"<p>{escape(of_parts(report))}</p>{''.join(f'<p>{escape(e)}</p>' for e in report.errors)}{parts}"
        )
    text = [*summary(report).split("\n"), *_noted(report)]
    paragraphs = "".join(f'<p style="white-space:normal">{escape(line)}</p>' for line in text)
    worst = [[_html_cell(cell) for cell in _cells(entry)] for entry in _worst(report)]
    entries = _html_table(ENTRY_HEADINGS, worst) if worst else ""
    table = _html_table(
        HEADINGS, [[*map(_html_cell, line[:-1]), _verdict(line[-1])] for line in _lines(report.rows)]
    )
    return f'<div style="white-space:nowrap">{paragraphs}{entries}{table}</div>'


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _verdict(verdict: str) -> str:
    return f'<td style="color:{_COLOURS[verdict]}"><b>{escape(verdict)}</b></td>'
