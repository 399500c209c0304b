"""What a check found: one row for each output, as a table, as plain data, as a truth value."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["pass", "FAIL", "not compared"]


@dataclass(frozen=True)
class Row:
    """One output of one function, compared with the mirror.

    Attributes:
        function: the tested function.
        scope: "local" (its inputs are those that the tested code really used) or "end to end"
            (from X and the parameters).
        layer: l = 1..L.
        output: "dA_prev", "dW", "db", or a key of the dict of gradients.
        shape, dtype: of the tested output.
        sigma_error: the largest |computed - reference| / sigma over the entries.
        threshold: what `sigma_error` must not exceed.
        tensor_error: ||computed - reference|| / ||sigma||, the same for the output as a whole.
        tensor_threshold: what `tensor_error` must not exceed.
        relative_error: max |computed - reference| / max |reference|.
        overflowed: entries that the tested dtype cannot hold, which are not compared.
        verdict: "pass", "FAIL", or "not compared" (all entries overflow).
        finding: what is wrong, in words; empty for a pass.
    """

    function: str
    scope: str
    layer: int
    output: str
    shape: tuple[int, ...]
    dtype: str
    sigma_error: float
    threshold: float
    tensor_error: float
    tensor_threshold: float
    relative_error: float
    overflowed: int
    verdict: Verdict
    finding: str


@dataclass(frozen=True)
class Report:
    """The rows of a check. True if no row failed.

    Attributes:
        rows: in the order of the backward pass, local checks first.
        kinks: decisions (Z > 0) that rounding may turn, either branch of which is a right answer.
        unknown_primitives: operations of the mirror for which a rounding error of u was assumed.
    """

    rows: tuple[Row, ...]
    kinks: int = 0
    unknown_primitives: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return all(row.verdict != "FAIL" for row in self.rows)

    def failures(self) -> tuple[Row, ...]:
        """The rows that failed, local ones first: the first is where to look."""
        return tuple(row for row in self.rows if row.verdict == "FAIL")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for `json.dumps` (infinite and NaN errors become strings)."""
        rows = [
            {k: str(v) if isinstance(v, float) and not abs(v) < float("inf") else v for k, v in row.items()}
            for row in (asdict(row) | {"shape": list(row.shape)} for row in self.rows)
        ]
        return {
            "ok": bool(self),
            "kinks": self.kinks,
            "unknown_primitives": list(self.unknown_primitives),
            "rows": rows,
        }

    def summary(self) -> str:
        """One or two sentences: how many outputs, how large an error, what to look at first."""
        counts = Counter(row.verdict for row in self.rows)
        compared = [row for row in self.rows if row.verdict != "not compared"]
        worst = max((row.sigma_error for row in compared), default=0.0)
        text = f"{counts['pass']} of {len(self.rows)} outputs agree with the mirror"
        if not counts["FAIL"]:
            text += f"; the largest error is {worst:.2g} sigma (sigma: what rounding alone explains)."
        else:
            first = self.failures()[0]
            text += (
                f"; {counts['FAIL']} do not. Look first at {first.function}, layer {first.layer}, "
                f"{first.output}: {first.finding}"
            )
        if counts["not compared"]:
            text += f" {counts['not compared']} overflow in this dtype and were not compared."
        if self.kinks:
            text += f" {self.kinks} entries of Z are within rounding of a kink."
        if self.unknown_primitives:
            text += f" Rounding assumed to be u for: {', '.join(self.unknown_primitives)}."
        return text

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("function", "scope", "layer", "output", "shape", "dtype"):
            table.add_column(heading)
        for heading in ("error/sigma", "allowed", "relative error"):
            table.add_column(heading, justify="right")
        table.add_column("verdict")
        for row in self.rows:
            table.add_row(
                row.function, row.scope, str(row.layer), row.output, "x".join(map(str, row.shape)), row.dtype,
                f"{row.sigma_error:.3g}", f"{row.threshold:.1f}", f"{row.relative_error:.1e}",
                Text(row.verdict, "green" if row.verdict == "pass" else "bold red"),
            )  # fmt: skip
        return Group(table, Text(""), Text(self.summary()))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120, color_system=None)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
