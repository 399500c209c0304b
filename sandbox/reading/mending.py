"""What an editor of text did to code: typographic quotes, "…", tabs beside spaces; and magics."""

import ast
import re
from dataclasses import dataclass
from functools import partial

from sandbox.reading.block import Block

_DOUBLE, _SINGLE = "“”„‟", "‘’‚‛"
_STRINGS = (
    r""" "{3}(?:\\.|[^\\])*?"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """
)
_TOKENS = re.compile(
    rf"""
    (?P<kept>\#[^\n]* | {_STRINGS})
    | (?P<triple>["{_DOUBLE}]{{3}} (?P<in_triple>[^"{_DOUBLE}]*) ["{_DOUBLE}]{{3}})
    | (?P<double>["{_DOUBLE}] (?P<in_double>[^"{_DOUBLE}\n]*) ["{_DOUBLE}])
    | (?P<single>['{_SINGLE}] (?P<in_single>[^'{_SINGLE}\n]*) ['{_SINGLE}])
    | (?P<dots>…)
    """,
    re.VERBOSE | re.DOTALL,
)  # fmt: skip
_STRAIGHT = {"triple": '"""', "double": '"', "single": "'"}
_MAGIC = re.compile(
    r"^([ \t]*)(?:[\w, \t]+=[ \t]*)?(?:%[A-Za-z]|!|\?).*$|^([ \t]*)[\w.]+\?{1,2}[ \t]*$", re.M
)
_WHOLE_CELL = re.compile(r"\s*%%(\w+)")
_OF_PYTHON = {"time", "timeit", "capture", "prun"}  # magics of a whole cell whose other lines are Python


@dataclass(frozen=True)
class Mended:
    """`text` with the lines where they were; `dots`: those in which a "…" stood in place of code."""

    text: str
    remarks: tuple[str, ...] = ()
    dots: frozenset[int] = frozenset()


def mended(block: Block) -> Mended:
    """Quotes, "…" and magics; nothing in strings and comments."""
    if (whole := _WHOLE_CELL.match(block.text)) and whole[1] not in _OF_PYTHON:
        return Mended("", (f"{block.where(1)}: the cell is one of %%{whole[1]} and is left out.",))
    text, magics = _without_magics(block.text)
    text, quotes, dots = _straight(text)
    remarks = []
    if magics:
        remarks.append(f"{block.where(*magics)}: magics are left out.")
    if quotes:
        remarks.append(f"{block.where(*quotes)}: typographic quotes are read as straight ones.")
    return Mended(text, tuple(remarks), frozenset(dots))


def with_dots(block: Block) -> Mended:
    """Only the "…": whatever else is not Python is an error in a file that Python itself is to read."""
    text, quotes, dots = _straight(block.text)
    return Mended(block.text if quotes else text, (), frozenset(dots))


def _without_magics(text: str) -> tuple[str, list[int]]:
    lines: list[int] = []

    def replaced(match: re.Match[str]) -> str:
        lines.append(_line(match))
        return f"{match[1] or match[2] or ''}pass"  # so that a block of nothing else is one

    return _MAGIC.sub(replaced, text), lines


def _straight(text: str) -> tuple[str, list[int], list[int]]:
    """The text, the lines of typographic quotes and those of dots."""
    quotes: list[int] = []
    dots: list[int] = []

    def replaced(match: re.Match[str]) -> str:
        kind = str(match.lastgroup and next(k for k in ("kept", "dots", *_STRAIGHT) if match[k]))
        if kind == "kept":
            return match[0]
        (dots if kind == "dots" else quotes).append(_line(match))
        return "..." if kind == "dots" else f"{_STRAIGHT[kind]}{match[f'in_{kind}']}{_STRAIGHT[kind]}"

    return _TOKENS.sub(replaced, text), quotes, dots


def _line(match: re.Match[str]) -> int:
    return match.string.count("\n", 0, match.start()) + 1


# --- tabs -------------------------------------------------------------------------------------------------


def parsed(text: str, block: Block) -> tuple[ast.Module, list[str]]:
    """Python, in which a tab counts as 4 where Python itself does not take it; and what to say of that.

    Raises:
        SyntaxError: it is none, in either reading.
    """
    try:
        return _tree(text), []
    except SyntaxError as error:
        tabbed = [n for n, line in enumerate(text.split("\n"), 1) if "\t" in _indent(line)]
        four, eight = (_read(partial(_expanded, text, width)) for width in (4, 8)) if tabbed else (None, None)
        if four is None and eight is None:
            raise error
    if four is None or eight is None:
        width, other = (8, 4) if four is None else (4, 8)
        return four or eight or ast.Module([], []), [
            f"{block.where(*tabbed)}: a tab counts as {width}; read as {other} it does not parse."
        ]
    if ast.dump(four) == ast.dump(eight):
        return four, [f"{block.where(*tabbed)}: tabs beside spaces; a tab counts as 4."]
    return four, list(_both(four, eight, text.split("\n"), block))


def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (ValueError, RecursionError) as error:  # bytes of value 0; brackets in brackets
        raise SyntaxError(str(error)) from None


def _read(text: partial[str]) -> ast.Module | None:
    try:
        return _tree(text())
    except SyntaxError:
        return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _expanded(text: str, width: int) -> str:
    return "\n".join(_indent(line).expandtabs(width) + line.lstrip() for line in text.split("\n"))


def _both(four: ast.Module, eight: ast.Module, lines: list[str], block: Block) -> list[str]:
    """The lines that belong to another statement where a tab counts as 8, with both readings."""
    heads, others = _heads(four), _heads(eight)
    said = []
    for line in [n for n in heads if others.get(n) != heads[n]]:
        first, second = (_quoted(of.get(line, 0), lines) for of in (heads, others))
        said.append(
            f"{block.where(line)}: {lines[line - 1].strip()!r} belongs to {first} where a tab counts as 4, "
            f"and to {second} where it counts as 8; it is read as 4."
        )
    return said


def _quoted(line: int, lines: list[str]) -> str:
    return f"{lines[line - 1].strip()!r} (line {line})" if line else "no other line"


def _heads(tree: ast.AST, head: int = 0) -> dict[int, int]:
    """For the line of each statement that of the statement to which it belongs."""
    heads: dict[int, int] = {}
    for child in ast.iter_child_nodes(tree):
        inner = head
        if isinstance(child, ast.stmt):
            heads[child.lineno], inner = head, child.lineno
        heads |= _heads(child, inner)
    return heads
