"""A report as a terminal, a notebook and a line of text show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

from sandbox.typing import Value
from sandbox.verifier.blame import Finding
from sandbox.verifier.rows import Fault, OutputRow, Row, Scope, Verdict, explanation, of_any_layer

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
_COLOURS = {"pass": "green", "FAIL": "crimson", "note": "darkorange", "not compared": "gray"}  # of HTML
_FAULTS = {
    Fault.BACKWARD: "The forward, differenced numerically, agrees with the mirror: the backward is wrong.",
    Fault.MIRROR: "The forward, differenced numerically, agrees with the backward: the mirror is wrong, or "
    "both of the others are, alike.",
    Fault.FORWARD: "The backward agrees with the mirror, and the forward does not: the forward is wrong.",
    Fault.UNDECIDED: "The forward, differenced numerically, agrees with neither backward nor mirror.",
    Fault.UNASKED: "",
}


# --- sentences ------------------------------------------------------------------------------------


def summary(report: Report) -> str:
    """A few sentences: how many outputs agree, how large the errors are, what to look at first."""
    several = report.parts or report.errors
    return "\n".join((of_parts(report), *report.errors) if several else _sentences(report))


def of_parts(report: Report) -> str:
    failed = [name for name, part in report.parts.items() if not part]
    said = [f"{len(failed)} of {len(report.parts)} failed: {', '.join(failed)}"] if failed else []
    said += [f"{len(report.errors)} could not be checked"] if report.errors else []
    return "; ".join(said) or "all passed"


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
        yield f"{_counted(uncompared)} not compared. {uncompared[0].place}: {uncompared[0].finding}"
    if report.kinks:
        decisions = "1 decision is" if report.kinks == 1 else f"{report.kinks} decisions are"
        yield f"{decisions} within rounding of a kink: either branch is accepted there."
    if report.unknown_primitives:
        names = ", ".join(report.unknown_primitives)
        yield f"Of these operations of the mirror a backward stable algorithm was assumed: {names}."


def _counts(report: Report) -> str:
    values, kept = (Counter(r.verdict for r in rows) for rows in (report.outputs, report.contracts))
    contracts = f", {kept[Verdict.PASS]} contracts kept" if kept else ""
    total = values.total() - values[Verdict.NOTE]
    text = f"{values[Verdict.PASS]} of {total} outputs agree with the mirror{contracts}"
    if failures := report.failures():
        return f"{text}; {_counted(failures)} failed."
    largest = f"{report.largest_error():.2g} sigma (sigma: what rounding alone explains)"
    return f"{text}; the largest error is {largest}."


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for i, finding in enumerate(findings):
        row = finding.row
        words = " ".join(filter(None, (row.finding, row.pattern, _FAULTS[row.at_fault])))
        yield f"{'Besides:' if i else 'Look first at'} {row.place}: {words}"
        if finding.also:
            also = [f"{row.output} ({explanation(row)})" for row in finding.also]
            yield f"Also: {'; '.join(also[:3])}{'; ...' if also[3:] else ''}"
        if finding.follow:
            functions = ", ".join(finding.follow)
            yield f"Failures in {functions} may follow from it: correct this one, check again."


def _noted(report: Report) -> Iterator[str]:
    """The notes, those of one kind in one line."""
    kinds: dict[str, list[Row]] = {}
    for row in report.notes():
        kinds.setdefault(row.output, []).append(row)
    for output, rows in kinds.items():
        first = f"; {rows[0].function}" if len(rows) > 1 else ""
        functions = ", ".join(dict.fromkeys(row.function for row in rows))
        yield f"note: {output}: {functions}{first}: {rows[0].finding}"


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
    first, outputs = rows[0], [row for row in rows if isinstance(row, OutputRow)]
    return (
        first.function, first.scope, _layers(row.layer for row in rows), _outputs(rows),
        "x".join(map(str, outputs[0].shape)) if len(outputs) == len(rows) == 1 else "",
        outputs[0].dtype if outputs else "",
        _largest((row.sigma_error for row in outputs), ".3g"),
        _largest((row.threshold for row in outputs), ".1f"),
        _largest((row.relative_error for row in outputs), ".1e"),
        first.verdict,
    )  # fmt: skip


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


def _worst(report: Report) -> list[tuple[str, ...]]:
    """A line for each entry of the failure to look at first."""
    return [
        (
            str(list(e.index)), f"{e.computed:.9g}", f"{e.reference:.9g}",
            f"{e.ratio:.6g}" if e.reference else "", f"{e.z:.3g}",
        )
        for finding in report.findings[:1] for e in finding.row.worst
    ]  # fmt: skip


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
    shown = [i for i, heading in enumerate(HEADINGS) if width >= WIDE or heading not in ONLY_WIDE]
    lines = [[line[i] for i in shown] for line in _lines(report.rows)]
    yield _table([HEADINGS[i] for i in shown], lines, NUMBERS, collapse_padding=True)
    if worst := _worst(report):
        title = f"worst entries: {report.findings[0].row.place}"
        yield Text("")
        yield _table(ENTRY_HEADINGS, worst, ENTRY_HEADINGS, title=title, title_justify="left")
    yield from (Text(f"\n{note}", "yellow") for note in _noted(report))
    first, *others = summary(report).split("\n")
    yield Text(f"\n{first}", "bold red" if report.failures() else "green")
    yield from map(Text, others)


def _table(
    headings: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[str], **options: Value
) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, **options)
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(heading, justify=justify, no_wrap=heading == "function")
    for line in lines:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in line))
    return table


def to_html(report: Report) -> str:
    """For notebooks, which are read from the top: what to look at first, then the table."""
    if report.parts or report.errors:
        text = "".join(f"<p>{escape(line)}</p>" for line in summary(report).split("\n"))
        return text + "".join(f"<h4>{escape(n)}</h4>{to_html(part)}" for n, part in report.parts.items())
    text = "".join(
        f'<p style="white-space:normal">{escape(line)}</p>'
        for line in (*summary(report).split("\n"), *_noted(report))
    )
    worst = _worst(report)
    entries = _html_table(ENTRY_HEADINGS, worst) if worst else ""
    table = _html_table(HEADINGS, _lines(report.rows))
    return f'<div style="white-space:nowrap">{text}{entries}{table}</div>'


def _html_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_html_cell, line))}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(text: str) -> str:
    if text in _COLOURS:
        return f'<td style="color:{_COLOURS[text]}"><b>{escape(text)}</b></td>'
    return f"<td>{escape(text)}</td>"
