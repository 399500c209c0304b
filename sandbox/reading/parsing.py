"""From a block to its statements; what does not parse is named, and the rest goes on."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sandbox.reading.block import Block
from sandbox.reading.mending import Mended, mended, parsed, with_dots

_GOES_ON = re.compile(r"[\s)\]}#]|(?:else|elif|except|finally)\b")  # the statement before
_BEGINS = re.compile(r"@|(?:async\s+)?def\b|class\b")
_DEFINITION = re.compile(r"(?:@.*\n|\s)*(?:async\s+)?def\s+(\w+)")
EMPTY = "its body is empty."
_MISSING = 'the "…" in {} stands for what is missing.'


@dataclass(frozen=True)
class Statement:
    """A statement at the left margin."""

    node: ast.stmt
    block: Block

    @property
    def where(self) -> str:
        return self.block.where(self.node.lineno)


@dataclass(frozen=True)
class Parsed:
    """Statements; what was mended; functions that are not to be had, and why."""

    statements: tuple[Statement, ...]
    remarks: tuple[str, ...] = ()
    unwritten: Mapping[str, str] = field(default_factory=dict)


def parse(block: Block, *, python: bool) -> Parsed:
    """Read a block.

    Args:
        python: whether Python itself is to read the file. Then it is mended no further than a function that
            is not written yet asks for.

    Raises:
        SyntaxError: a block of Python has another mistake.
    """
    try:
        return Parsed(tuple(Statement(node, block) for node in ast.parse(block.text).body))
    except (SyntaxError, ValueError, RecursionError):
        text = (with_dots if python else mended)(block)
    try:
        tree, tabs = parsed(text.text, block) if not python else (ast.parse(text.text), [])
    except SyntaxError:
        return _piecewise(text, block, python)
    return Parsed(
        tuple(Statement(node, block) for node in tree.body),
        (*text.remarks, *tabs),
        _dotted(tree, text.dots, block),
    )


def _dotted(tree: ast.Module, dots: frozenset[int], block: Block) -> dict[str, str]:
    """The functions in which a "…" stands for code."""
    return {
        node.name: _MISSING.format(block.where(*lines))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and (lines := [n for n in dots if node.lineno <= n <= (node.end_lineno or n)])
    }


def _piecewise(text: Mended, block: Block, python: bool) -> Parsed:
    """Statement by statement: what does not parse is left out and named."""
    whole = Parsed((), text.remarks)
    for piece in _pieces(text.text):
        whole = joined(whole, _of_piece(piece, text.dots, block, python))
    return whole


def joined(one: Parsed, other: Parsed) -> Parsed:
    """One after the other: the last definition of a function counts."""
    defined = {getattr(statement.node, "name", "") for statement in other.statements}
    before = {name: why for name, why in one.unwritten.items() if name not in defined}
    return Parsed(
        one.statements + other.statements, one.remarks + other.remarks, {**before, **other.unwritten}
    )


def _of_piece(piece: str, dots: frozenset[int], block: Block, python: bool) -> Parsed:
    try:
        tree, tabs = parsed(piece, block)
    except SyntaxError as error:
        defined, intended = _DEFINITION.match(piece), _intended(piece, dots, block)
        if python and not (defined and intended):
            raise
        why = f"{block.where(error.lineno or 1)} does not parse: {error.msg}"
        if defined:
            return Parsed((), unwritten={defined[1]: intended or f"{why}."})
        return Parsed((), (f"{why}; it is left out.",))
    statements = tuple(Statement(node, block) for node in tree.body)
    return Parsed(statements, tuple(tabs), _dotted(tree, dots, block))


def _intended(piece: str, dots: frozenset[int], block: Block) -> str:
    """Why a function that does not parse is one that is not written yet, or ""."""
    lines = piece.split("\n")
    if inside := [n for n in dots if n <= len(lines) and lines[n - 1]]:
        return _MISSING.format(block.where(*inside))
    lines = [line for line in lines if not line.lstrip().startswith("#")]  # its body, if it is empty
    try:
        ast.parse("\n".join(lines).rstrip() + " pass")
    except SyntaxError:
        return ""
    return EMPTY


def _pieces(text: str) -> Iterator[str]:
    """Statements at the left margin, each with empty lines before it, so that lines keep their numbers."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if line and not _GOES_ON.match(line)]
    starts = [n for i, n in enumerate(starts) if not i or not lines[starts[i - 1]].startswith("@")]
    ends = [*starts[1:], len(lines)]
    first = 0
    while first < len(starts):
        last = _last(lines, starts, ends, first)
        yield "\n" * starts[first] + "\n".join(lines[starts[first] : ends[last]])
        first = last + 1


def _last(lines: list[str], starts: list[int], ends: list[int], first: int) -> int:
    """The piece with which one ends: a text or a list of several lines may have some at the left margin. But
    a definition begins a statement of its own."""
    for last in range(first, len(starts)):
        if last > first and _BEGINS.match(lines[starts[last]]):
            break
        try:
            ast.parse("\n".join(lines[starts[first] : ends[last]]))
        except TabError:
            return first
        except (SyntaxError, ValueError, RecursionError):
            continue
        return last
    return first
