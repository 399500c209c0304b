"""What a check found: one row for each output and each contract; as a table, as data, as a page."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Scope = Literal["local", "wiring", "contract", "end to end"]
Verdict = Literal["pass", "FAIL", "note", "not compared"]
Oracle = Literal["", "backward", "mirror", "forward", "undecided"]

_CALLERS: dict[str, tuple[str, ...]] = {
    "sigmoid": ("linear_activation_forward",), "relu": ("linear_activation_forward",),
    "linear_forward": ("linear_activation_forward",), "linear_activation_forward": ("L_model_forward",),
    "L_model_forward": ("L_model_backward",),  # end to end
    "sigmoid_backward": ("linear_activation_backward",), "relu_backward": ("linear_activation_backward",),
    "linear_backward": ("linear_activation_backward", "L_model_backward"),
    "linear_activation_backward": ("L_model_backward",),
    "L_model_backward": (), "compute_cost": (), "update_parameters": (),
}  # fmt: skip

DETERMINISTIC = "no memory of earlier calls, no randomness"  # without which no other row means much
UNKNOWN = float("nan")  # the numbers of a row that compares none


@dataclass(frozen=True)
class Entry:
    """One wrong entry: `ratio` is computed / reference, `z` is |computed - reference| / sigma."""

    index: tuple[int, ...]
    computed: float
    reference: float
    ratio: float
    z: float


@dataclass(frozen=True)
class Row:
    """One output of one function compared with the mirror, or one contract that the function kept.

    Attributes:
        function: the tested function.
        scope: "local" (the inputs that the tested code really used went into the mirror of this one
            function), "wiring" (what was handed from function to function), "contract" (mutation,
            aliases, warnings and the like), or "end to end" (from X and the parameters alone).
        layer: l = 1..L, or None where there is no layer.
        output: "dA_prev", "dW", "Z", ..., a key of the dict of gradients, or the contract's name.
        verdict: "pass"; "FAIL"; "note" (worth knowing, no failure); "not compared".
        finding: what is wrong, in words; empty for a pass.
        shape, dtype: of the tested output.
        sigma_error: the largest |computed - reference| / sigma over the entries; NaN where no
            numbers are compared.
        threshold: what `sigma_error` must not exceed.
        tensor_error: ||computed - reference|| / ||sigma||, the same for the output as a whole.
        tensor_threshold: what `tensor_error` must not exceed.
        relative_error: max |computed - reference| / max |reference|.
        overflowed: entries that the tested dtype cannot hold, which are not compared.
        worst: the entries furthest off, worst first.
        pattern: the mistake that explains the difference, where one is recognised.
        at_fault: "backward", "mirror" or "forward", where the third oracle could say; "undecided"
            where it was asked and could not.
    """

    function: str
    scope: Scope
    layer: int | None
    output: str
    verdict: Verdict
    finding: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    sigma_error: float = UNKNOWN
    threshold: float = UNKNOWN
    tensor_error: float = UNKNOWN
    tensor_threshold: float = UNKNOWN
    relative_error: float = UNKNOWN
    overflowed: int = 0
    worst: tuple[Entry, ...] = ()
    pattern: str = ""
    at_fault: Oracle = ""

    @property
    def values_right(self) -> bool:
        """Whether the numbers agree, whatever else fails."""
        return self.sigma_error <= self.threshold and self.tensor_error <= self.tensor_threshold

    @property
    def place(self) -> str:
        """Function, layer and output, as one reads it."""
        where = f", layer {self.layer}" if self.layer is not None else ""
        return f"{self.function}{where}, {self.output}"


@dataclass(frozen=True)
class Report:
    """The rows of a check. True if no row failed and some output was compared.

    Attributes:
        rows: inner functions before those that call them, so that the first failure names the culprit.
        kinks: decisions (Z > 0) that rounding may turn, either branch of which is a right answer.
        unknown_primitives: operations of the mirror of which a backward stable algorithm was assumed.
        example: the first failing inputs of several, or the smallest that were found where inputs were drawn.
        cases: how many cases were drawn; the rows are those of one with the largest error.
        tested: which functions are the user's, in words.
    """

    rows: tuple[Row, ...]
    kinks: int = 0
    unknown_primitives: tuple[str, ...] = ()
    example: str = ""
    cases: int = 1
    tested: str = ""

    def __bool__(self) -> bool:
        return not self.failures() and any(r.verdict == "pass" for r in self.rows if r.scope != "contract")

    def failures(self) -> tuple[Row, ...]:
        """The rows that failed. The first is where to look; others may follow from it."""
        return tuple(row for row in self.rows if row.verdict == "FAIL")

    def largest_error(self) -> float:
        """In sigma, of all outputs that were compared."""
        errors = [r.sigma_error for r in self.rows if r.verdict != "not compared"]
        return max((error for error in errors if error == error), default=0.0)

    def notes(self) -> tuple[Row, ...]:
        """What is worth knowing and is no failure."""
        return tuple(row for row in self.rows if row.verdict == "note")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for `json.dumps`: a number that JSON cannot hold is null (NaN: nothing was
        compared) or the string "inf" or "-inf"."""
        return {
            "ok": bool(self),
            "summary": self.summary(),
            "kinks": self.kinks,
            "unknown_primitives": list(self.unknown_primitives),
            "example": self.example,
            "cases": self.cases,
            "tested": self.tested,
            "rows": [_plain(asdict(row)) for row in self.rows],
        }

    def summary(self) -> str:
        """A few sentences: how many outputs agree, how large the errors are, what to look at first."""
        values = Counter(row.verdict for row in self.rows if row.scope != "contract")
        contracts = Counter(row.verdict for row in self.rows if row.scope == "contract")
        kept = f", {contracts['pass']} contracts kept" if contracts else ""
        total = values["pass"] + values["FAIL"] + values["not compared"]
        text = f"{values['pass']} of {total} outputs agree with the mirror{kept}"
        failures = self.failures()
        if failures:
            first, others = self._look_first()
            text += f"; {_counted(failures)} failed.\nLook first at {_explained(first)}"
            also = [f"{r.output} ({r.pattern or r.finding})" for r in others]
            text += f"\nAlso: {'; '.join(also[:3])}{'; ...' if also[3:] else ''}" if also else ""
            functions = dict.fromkeys(r.function for r in failures if r.function != first.function)
            follow = [name for name in functions if name in self._callers(first)]
            if follow:
                text += (
                    f"\nFailures in {', '.join(follow)} may follow from it: correct this one, check again."
                )
            beside = [name for name in functions if name not in follow]
            for row in (next(r for r in failures if r.function == name) for name in beside):
                text += f"\nBesides: {_explained(row)}"
        else:
            text += f"; the largest error is {self.largest_error():.2g} sigma "
            text += "(sigma: what rounding alone explains)."
        if self.tested:
            text += f"\n{self.tested}"
        if self.example:
            text += f"\nFailing inputs: {self.example}"
        if self.cases > 1:
            text += f"\n{self.cases} random cases passed; the table is of one with the largest error."
        uncompared = [row for row in self.rows if row.verdict == "not compared"]
        if uncompared:
            text += f"\n{_counted(uncompared)} not compared. {uncompared[0].place}: {uncompared[0].finding}"
        if self.kinks:
            decisions = "1 decision is" if self.kinks == 1 else f"{self.kinks} decisions are"
            text += f"\n{decisions} within rounding of a kink: either branch is accepted there."
        if self.unknown_primitives:
            names = ", ".join(self.unknown_primitives)
            text += f"\nOf these operations of the mirror a backward stable algorithm was assumed: {names}."
        return text

    def _lines(self) -> list[tuple[str, ...]]:
        """The table: a line for each output that failed, and one for all rows of a function that passed."""
        lines: list[tuple[str, ...]] = []
        for rows in _grouped(self.rows):
            row = rows[0]
            errors = [r.sigma_error for r in rows if r.sigma_error == r.sigma_error]
            relative = [r.relative_error for r in rows if r.relative_error == r.relative_error]
            thresholds = [r.threshold for r in rows if r.threshold == r.threshold]
            lines.append(
                (
                    row.function,
                    row.scope,
                    _layers(r.layer for r in rows),
                    _outputs(rows),
                    "x".join(map(str, row.shape)) if len(rows) == 1 else "",
                    row.dtype,
                    f"{max(errors):.3g}" if errors else "",
                    f"{max(thresholds):.1f}" if thresholds else "",
                    f"{max(relative):.1e}" if relative else "",
                    row.verdict,
                )
            )
        return lines

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.table import Table
        from rich.text import Text

        shown = [h for h in HEADINGS if options.max_width >= WIDE or h not in ONLY_WIDE]
        table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
        for heading in shown:
            table.add_column(heading, justify=_justified(heading), no_wrap=heading == "function")
        for line in self._lines():
            cells = dict(zip(HEADINGS, line, strict=True))
            table.add_row(*(Text(cells[h], _STYLES.get(cells[h], "")) for h in shown))
        yield table
        if self.failures() and self._look_first()[0].worst:
            yield Text("")
            yield _entries(self._look_first()[0])
        for note in self._noted():
            yield Text(f"\n{note}", "yellow")
        first, *others = self.summary().split("\n")
        yield Text(f"\n{first}", "bold red" if self.failures() else "green")
        yield from map(Text, others)

    def _look_first(self) -> tuple[Row, list[Row]]:
        """The failure to look at first, in the lowest layer in which that output fails (the output layer
        has but one unit), and one row for each other way in which the function fails."""
        failures = [row for row in self.failures() if row.function == self.failures()[0].function]
        alike = [
            r for r in failures
            if (r.scope, _of_any_layer(r)) == (failures[0].scope, _of_any_layer(failures[0]))
        ]  # fmt: skip
        first = min(alike, key=lambda row: row.layer or 0)
        others: dict[str, Row] = {}
        for row in failures:
            if row not in alike and (row.pattern or row.finding) not in (first.pattern, first.finding):
                others.setdefault(row.pattern or row.finding, row)
        return first, list(others.values())

    def _callers(self, row: Row) -> set[str]:
        """The functions that call the one at fault, and so on: what they return is wrong for its sake."""
        if row.function not in _CALLERS:  # of an operation the backward is given the forward's cache
            forward = row.function == self.rows[0].function and row.scope != "contract"
            return {r.function for r in self.rows} if forward else set()
        callers = set(_CALLERS[row.function])
        while more := {c for name in callers for c in _CALLERS[name]} - callers:
            callers |= more
        return callers

    def _noted(self) -> list[str]:
        """The notes, those of one kind in one line."""
        kinds: dict[str, list[Row]] = {}
        for row in self.notes():
            kinds.setdefault(row.output, []).append(row)
        return [
            f"note: {output}: {', '.join(dict.fromkeys(row.function for row in rows))}"
            + (f"; {rows[0].function}: {rows[0].finding}" if len(rows) > 1 else f": {rows[0].finding}")
            for output, rows in kinds.items()
        ]

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120, color_system=None)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())

    def _repr_html_(self) -> str:
        """For notebooks, which are read from the top: what to look at first, then the table."""
        from html import escape

        colours = {"pass": "green", "FAIL": "crimson", "note": "darkorange", "not compared": "gray"}
        head = "".join(f"<th>{escape(h)}</th>" for h in HEADINGS)
        body = "".join(
            "<tr>"
            + "".join(f"<td>{escape(cell)}</td>" for cell in line[:-1])
            + f'<td style="color:{colours[line[-1]]}"><b>{escape(line[-1])}</b></td></tr>'
            for line in self._lines()
        )
        text = [*self.summary().split("\n"), *self._noted()]
        paragraphs = "".join(f'<p style="white-space:normal">{escape(line)}</p>' for line in text)
        worst = self._look_first()[0].worst if self.failures() else ()
        entries = (
            "<table><tr>"
            + "".join(f"<th>{heading}</th>" for heading in ENTRY_HEADINGS)
            + "</tr>"
            + "".join(
                "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in _cells(entry)) + "</tr>" for entry in worst
            )
            + "</table>"
            if worst
            else ""
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div style="white-space:nowrap">{paragraphs}{entries}{table}</div>'


HEADINGS = (
    "function", "check", "layer", "output", "shape", "dtype", "error/sigma", "allowed", "relative error",
    "verdict",
)  # fmt: skip
WIDE = 105  # columns of a terminal that has room for all of them
ONLY_WIDE = ("shape", "dtype", "allowed", "relative error")
ENTRY_HEADINGS = ("entry", "computed", "reference", "ratio", "error/sigma")
_STYLES = {"pass": "green", "FAIL": "bold red", "note": "yellow", "not compared": "dim"}


def _justified(heading: str) -> Literal["left", "right"]:
    return "right" if heading in ("error/sigma", "allowed", "relative error") else "left"


def random_first(rows: Sequence[Row]) -> list[Row]:
    """The rows of a function that does not give the same twice begin with that."""
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        first.setdefault(row.function, i)

    def order(i: int) -> tuple[int, bool]:
        told = rows[i].output == DETERMINISTIC and rows[i].verdict == "FAIL"
        return (first[rows[i].function], False) if told else (i, True)

    return [rows[i] for i in sorted(range(len(rows)), key=order)]


def merged(reports: Iterable[Report]) -> Report:
    """One report of all the rows."""
    reports = tuple(reports)
    return Report(
        tuple(row for report in reports for row in report.rows),
        sum(report.kinks for report in reports),
        tuple(sorted({name for report in reports for name in report.unknown_primitives})),
    )


def _explained(row: Row) -> str:
    fault = {
        "backward": " The forward, differenced numerically, agrees with the mirror: the backward is wrong.",
        "mirror": " The forward, differenced numerically, agrees with the backward: the mirror is wrong, or "
        "both of the others are, alike.",
        "forward": " The backward agrees with the mirror, and the forward does not: the forward is wrong.",
        "undecided": " The forward, differenced numerically, agrees with neither backward nor mirror.",
    }
    pattern = f" {row.pattern}" if row.pattern else ""
    return f"{row.place}: {row.finding}{pattern}{fault.get(row.at_fault, '')}"


def _grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one function, scope and dtype that passed stand together; of others, those of one output."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        alone = row.verdict in ("FAIL", "note")
        key = (row.function, row.scope, row.verdict, row.dtype, _of_any_layer(row) if alone else "")
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _of_any_layer(row: Row) -> str:
    """The output's name without its layer: dW{l} for the key dW3, and dA{l-1} for what layer l hands down."""
    name = row.output.rstrip("0123456789")
    if row.layer is None or name == row.output:
        return row.output
    return f"{name}{{l}}" if row.output == f"{name}{row.layer}" else f"{name}{{l-1}}"


def _outputs(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.output for row in rows))
    if len(names) > 1 and rows[0].verdict in ("FAIL", "note"):
        return _of_any_layer(rows[0])
    if len(names) == 1 or (len(names) <= 3 and len(", ".join(names)) <= 16):
        return ", ".join(names)
    return f"{len(names)} {'kept' if rows[0].scope == 'contract' else 'outputs'}"


def _counted(rows: Sequence[Row]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


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


def _entries(row: Row) -> Any:
    from rich.table import Table

    title = f"worst entries: {row.place}"
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for heading in ENTRY_HEADINGS:
        table.add_column(heading, justify="right")
    for entry in row.worst:
        table.add_row(*_cells(entry))
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value != value:
        return None
    return str(value) if isinstance(value, float) and abs(value) == float("inf") else value
