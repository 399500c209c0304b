"""A report as a terminal, a notebook and a line of text show it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

from sandbox.typing import Value
from sandbox.verifier.blame import Finding
from sandbox.verifier.rows import (
    FAR,
    ContractRow,
    Fault,
    Matter,
    OutputRow,
    Row,
    Scope,
    Verdict,
    of_any_layer,
    rounded_up,
    sigmas,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sandbox.verifier.report import Report

HEADINGS = (
    "function", "check", "layer", "output", "shape", "dtype", "error/sigma", "allowed", "caught",
    "of one entry", "verdict",
)  # fmt: skip
WIDE = 105  # columns of a terminal that has room for all of them
ONLY_WIDE = ("shape", "dtype", "allowed", "of one entry")
NUMBERS = ("error/sigma", "allowed", "caught", "of one entry")
ENTRY_HEADINGS = ("entry", "computed", "expected", "ratio", "error/sigma")
_ALONE = (Verdict.FAIL, Verdict.NOTE, Verdict.REMARK, Verdict.COARSE, Verdict.NOT_WRITTEN, Verdict.NOT_JUDGED)
_STYLES: dict[str, str] = {
    Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.REMARK: "yellow", Verdict.COARSE: "yellow",
    Verdict.NOTE: "yellow", Verdict.NOT_WRITTEN: "bold", Verdict.NOT_JUDGED: "bold",
    Verdict.NOT_COMPARED: "dim",
}  # fmt: skip
_COLOURS: dict[str, str] = {  # of HTML
    Verdict.PASS: "green", Verdict.FAIL: "crimson", Verdict.REMARK: "darkorange",
    Verdict.COARSE: "darkorange", Verdict.NOTE: "darkorange", Verdict.NOT_COMPARED: "gray",
}  # fmt: skip
_FAULTS = {
    Fault.BACKWARD: "The forward, differenced numerically, agrees with the mirror: the backward is wrong.",
    Fault.MIRROR: "The forward, differenced numerically, agrees with the backward: the mirror is wrong, or "
    "both of the others are, alike.",
    Fault.FORWARD: "The backward agrees with the mirror, and the forward does not: the forward is wrong.",
    Fault.UNDECIDED: "The forward, differenced numerically, agrees with neither backward nor mirror.",
    Fault.UNASKED: "",
}
_UNKNOWN = {
    Verdict.NOT_WRITTEN: "Not written yet", Verdict.NOT_JUDGED: "{what} not judged",
    Verdict.COARSE: "{what} too coarse to tell",
}  # fmt: skip
_BEGINNINGS = ("it", "its", "with", "what", "the", "each", "all", "no")
_MANNERS = "Manners (no result is wrong by these; --strict, or strict=True, makes them failures):"


# --- the verdict -----------------------------------------------------------------------------------


def verdict(report: Report) -> str:
    """Whether the gradients are right, and of which functions; then the values."""
    if report.parts or report.errors:
        return of_parts(report)
    said = [
        words
        for matter, what in ((Matter.GRADIENT, "Gradients"), (Matter.VALUE, "Values"))
        for words in _of_matter(report, matter, what)
    ]
    if any(row.matter is Matter.MANNER for row in report.failures()):
        said.append("Manners fail.")
    return " ".join(said) or "Nothing was compared."


def _of_matter(report: Report, matter: Matter, what: str) -> Iterator[str]:
    rows = [row for row in report.rows if row.matter is matter and _is_asked(row, report)]
    wrong: dict[str, list[str]] = {}
    for found in report.findings:
        if found.row.matter is matter:
            wrong.setdefault(found.row.function, []).extend(_outputs_of(found))
    if named := [f"{function} ({_listed(outputs)})" for function, outputs in wrong.items()]:
        yield f"{what} WRONG: {', '.join(named)}."
    for verdict, words in _UNKNOWN.items():
        if names := dict.fromkeys(row.function for row in rows if row.verdict is verdict):
            yield f"{words.format(what=what)}: {', '.join(names)}."
    known = {row.function for row in report.failures() if row.matter is matter}
    known |= {*report.elsewhere, *(row.function for row in rows if row.verdict in _UNKNOWN)}
    passed = (row.function for row in rows if isinstance(row, OutputRow) and row.verdict is Verdict.PASS)
    if right := [name for name in dict.fromkeys(passed) if name not in known]:
        here = " in the case shown" if report.cases > 1 and report.failures() else ""
        yield f"{what} right{here}: {_listed(right)}."


def _is_asked(row: Row, report: Report) -> bool:
    return not report.yours or row.function in report.yours or row.verdict is not Verdict.PASS


def _listed(names: Collection[str], most: int = 12) -> str:
    shown = list(names)[:most]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def of_parts(report: Report) -> str:
    failed = [name for name, part in report.parts.items() if not part]
    said = [f"{len(failed)} of {len(report.parts)} failed: {', '.join(failed)}"] if failed else []
    said += [f"{len(report.errors)} could not be checked"] if report.errors else []
    return "; ".join(said) or f"All {len(report.parts)} are right: {_listed(report.parts)}"


# --- sentences ------------------------------------------------------------------------------------


def summary(report: Report) -> str:
    """The verdict, and each mistake in words; what a pass is worth."""
    if report.parts or report.errors:
        return "\n".join((of_parts(report), *report.errors))
    of_findings = (sentence for i in range(len(report.findings)) for sentence in finding(report, i))
    return "\n".join((verdict(report), *_unknown(report), *of_findings, *_after(report)))


def _unknown(report: Report) -> Iterator[str]:
    """What is neither right nor wrong, and why."""
    for row in report.rows:
        if row.verdict in _UNKNOWN:
            yield f"{row.place.removesuffix(', result')}: {row.verdict}: {row.finding}"


def finding(report: Report, i: int) -> Iterator[str]:
    """One mistake: where, what it is, the numbers, who is wrong, and what may follow from it."""
    found = report.findings[i]
    row = found.row
    number = f"{i + 1}. " if len(report.findings) > 1 else ""
    sentences = filter(None, (row.pattern, row.finding, _FAULTS[row.at_fault]))
    yield f"{number}{_place(found)}: {' '.join(map(_capitalised, sentences))}"
    if found.follow:
        yield f"Failures in {', '.join(found.follow)} may follow from it: correct this one, check again."


def _capitalised(sentence: str) -> str:
    """But for one that begins with the name of an argument or output."""
    first, *_ = sentence.split()
    return sentence[0].upper() + sentence[1:] if first in _BEGINNINGS else sentence


def _place(finding: Finding) -> str:
    alike = [row for row in finding.rows if bool(row.pattern) is bool(finding.row.pattern)]
    layers = _layers(row.layer for row in alike)
    where = f", layer{'s' * (not layers.isdecimal())} {layers}" if layers else ""
    return f"{finding.row.function}, {_listed(_outputs_of(finding))}{where}"


def _outputs_of(finding: Finding) -> list[str]:
    """Those that are wrong by one mistake; of a contract that alone."""
    rows = [finding.row] if isinstance(finding.row, ContractRow) else finding.rows
    several = len({row.layer for row in rows}) > 1
    return list(dict.fromkeys(of_any_layer(row) if several else row.output for row in rows))


def _after(report: Report) -> Iterator[str]:
    """What is said after the mistakes."""
    if report.elsewhere:
        yield f"Other cases of the {report.cases} show mistakes in {', '.join(report.elsewhere)}, too."
    others = set(report.yours) - set(report.stood_in)
    if report.stood_in and (others or not report.yours):
        names = ", ".join(report.stood_in)
        yield f"The other functions were judged with the sandbox's own {names}."
    if report.yours:
        yield f"Yours: {', '.join(report.yours)}. The others are the sandbox's own."
    yield from filter(None, (report.tested, *report.remarks))
    yield from _uncompared(report)
    yield from _passed(report)


def _uncompared(report: Report) -> Iterator[str]:
    uncompared = [row for row in report.rows if row.verdict is Verdict.NOT_COMPARED]
    if uncompared:
        count = _counted(len(uncompared), "row")
        yield f"Not compared: {count}. {uncompared[0].place}: {uncompared[0].finding}"
    if report.kinks:
        yield f"Within rounding of a kink: {_counted(report.kinks, 'decision')}; either branch is accepted."
    if report.unknown_primitives:
        names = ", ".join(report.unknown_primitives)
        yield f"Of these operations of the mirror a backward stable algorithm was assumed: {names}."


def _passed(report: Report) -> Iterator[str]:
    """One line for all that passed, and what that is worth."""
    passed = [row for row in report.outputs if row.verdict is Verdict.PASS]
    if not passed:
        return
    kept = sum(row.verdict is Verdict.PASS for row in report.contracts)
    drawn = report.cases > 1 and not report.failures()
    cases = f"{report.cases} random cases; of that with the largest error, " if drawn else ""
    contracts = f" and {_counted(kept, 'contract')}" if kept else ""
    largest = max(row.sigma_error for row in passed)
    outputs = _counted(len(passed), "output")
    yield f"Passed: {cases}{outputs}{contracts}; the largest error is {sigmas(largest)}."
    yield from _worth(passed, of_one_case=drawn)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _worth(passed: Sequence[OutputRow], of_one_case: bool) -> Iterator[str]:
    """The coarsest of the gradients that passed, or of the values where there are none."""
    known = [row for row in passed if row.caught == row.caught]
    gradients = [row for row in known if row.matter is Matter.GRADIENT] or known
    if gradients:
        whole = max(gradients, key=lambda row: row.caught)
        entry = max(row.caught_entry for row in gradients)
        here = "There it would have" if of_one_case else "Would have"
        yield (
            f"{here} caught an error of {rounded_up(whole.caught)} of {whole.output} or any other as a "
            f"whole, of {rounded_up(entry)} in one entry."
        )


def _remarks(report: Report) -> Iterator[str]:
    """The manners, those of one kind in a line; what is noted of outputs, and that other notes are."""
    if not report.strict and (manners := _of_one_kind(report.manners())):
        yield _MANNERS
        yield from manners
    notes = report.notes()
    yield from _of_one_kind([row for row in notes if isinstance(row, OutputRow)])
    if kinds := dict.fromkeys(row.output for row in notes if isinstance(row, ContractRow)):
        yield f"Noted, and no failure (--all, or report.table(), says more): {', '.join(kinds)}."


def _of_one_kind(rows: Sequence[Row]) -> list[str]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.output, []).append(row)
    lines = []
    for output, alike in kinds.items():
        functions = ", ".join(dict.fromkeys(row.function for row in alike))
        first = f" {alike[0].function}:" if "," in functions else ""
        lines.append(f"{alike[0].verdict}: {functions}, {output}:{first} {alike[0].finding}")
    return lines


# --- the table ------------------------------------------------------------------------------------


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line for each output that failed, and one for all rows of a function that passed: rows of one
    function, scope and dtype that passed stand together; of others, those of one output."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alone = row.verdict in _ALONE
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
        _largest((row.sigma_error for row in outputs), _far),
        _largest((row.threshold for row in outputs), "{:.1f}".format),
        _largest((row.caught for row in outputs), rounded_up),
        _largest((row.caught_entry for row in outputs), rounded_up),
        first.verdict,
    )  # fmt: skip


def _largest(numbers: Iterable[float], shown: Callable[[float], str]) -> str:
    known = [number for number in numbers if number == number]
    return shown(max(known)) if known else ""


def _far(z: float) -> str:
    return "> 1e6" if z > FAR else f"{z:.3g}"


def _outputs(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.output for row in rows))
    if len(names) > 1 and rows[0].verdict in _ALONE:
        return of_any_layer(rows[0])
    if len(names) == 1 or (len(names) <= 3 and len(", ".join(names)) <= 16):
        return ", ".join(names)
    return f"{len(names)} {'kept' if rows[0].scope is Scope.CONTRACT else 'outputs'}"


def _layers(layers: Iterable[int | None]) -> str:
    numbers = sorted({layer for layer in layers if layer is not None})
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))


def _worst(finding: Finding) -> list[tuple[str, ...]]:
    """A line for each entry."""
    return [
        (
            str(list(e.index)), f"{e.computed:.9g}", f"{e.reference:.9g}",
            f"{e.ratio:.6g}" if e.reference else "", _far(e.z),
        )
        for e in finding.row.worst
    ]  # fmt: skip


# --- pages ----------------------------------------------------------------------------------------


def to_terminal(report: Report) -> Iterator[RenderableType]:
    """The verdict; each mistake with the worst entries of the first; the case; manners; what passed."""
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.text import Text

    if report.parts or report.errors:
        for name, part in report.parts.items():
            yield Rule(name, align="left")
            yield part
        yield Rule(of_parts(report))
        return
    yield Text(verdict(report), "green" if report else "bold red")
    if unknown := list(_unknown(report)):
        yield Text("\n" + "\n".join(unknown))
    for i, found in enumerate(report.findings):
        yield Text("\n" + "\n".join(finding(report, i)))
        if i == 0 and found.row.worst:
            table = _table(ENTRY_HEADINGS, _worst(found), ENTRY_HEADINGS)
            yield Padding(table, (0, 0, 0, 3))
    if report.example:
        yield Text("\nTo see it in Python:")
        yield Text("\n".join(f"    {line}".rstrip() for line in report.example.splitlines()))
    if remarks := list(_remarks(report)):
        yield Text("\n" + "\n".join(remarks), "yellow")
    yield Text("\n" + "\n".join(_after(report)))


def table(report: Report, width: int) -> RenderableType:
    """All rows: a line for each output that failed, and one for all of a function that passed."""
    from rich.console import Group
    from rich.rule import Rule

    if report.parts:
        named = ((Rule(name, align="left"), table(part, width)) for name, part in report.parts.items())
        return Group(*(item for pair in named for item in pair))
    shown = [i for i, heading in enumerate(HEADINGS) if width >= WIDE or heading not in ONLY_WIDE]
    lines = [[line[i] for i in shown] for line in _lines(report.rows)]
    rows = _table([HEADINGS[i] for i in shown], lines, NUMBERS, collapse_padding=True)
    return Group(rows, *(f"\n{line}" for line in _of_one_kind(report.notes())))


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
    """For notebooks: the same, and the table to unfold."""
    if report.parts or report.errors:
        text = "".join(f"<p>{escape(line)}</p>" for line in summary(report).split("\n"))
        return text + "".join(f"<h4>{escape(n)}</h4>{to_html(part)}" for n, part in report.parts.items())
    entries = "".join(_html_table(ENTRY_HEADINGS, _worst(f)) for f in report.findings[:1] if f.row.worst)
    case = f"<pre>{escape(report.example)}</pre>" if report.example else ""
    rows, sentences = _html_table(HEADINGS, _lines(report.rows)), summary(report).split("\n")
    return (
        f'<div style="white-space:nowrap">{_paragraphs(sentences)}{entries}{case}'
        f"{_paragraphs(_remarks(report))}<details><summary>all rows</summary>{rows}</details></div>"
    )


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f'<p style="white-space:normal">{escape(line)}</p>' for line in lines)


def _html_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_html_cell, line))}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_cell(text: str) -> str:
    if text in _COLOURS:
        return f'<td style="color:{_COLOURS[text]}"><b>{escape(text)}</b></td>'
    return f"<td>{escape(text)}</td>"
