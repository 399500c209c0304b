"""How answers are printed: in lines, and in tables that are lines, too."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.table import Table

WIDE = 10_000  # columns: more than a table has
SHORT = 8  # characters of a hash


def print_all(parts: Iterable[RenderableType]) -> None:
    """As wide as it is: nothing is cut off, and a narrow terminal goes on in the next line."""
    console = Console(highlight=False, markup=False, width=WIDE)
    for part in parts:
        with console.capture() as captured:
            console.print(part, soft_wrap=not isinstance(part, Table))
        for line in captured.get().splitlines():
            print(line.rstrip())


def table_of(headings: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def value_of(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def moment(iso: str) -> str:
    """A moment in UTC, as a person writes it."""
    return iso.removesuffix("+00:00").replace("T", " ")


def runs_of(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def in_time(seconds: float) -> str:
    """Seconds as "2.6 s", "1 h 3 min", "2 d 4 h"."""
    for unit, smaller, size in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            small = {"h": 3600, "min": 60, "s": 1}[smaller]
            return f"{whole:.0f} {unit} {rest // small:.0f} {smaller}"
    return f"{seconds:.3g} s"
