"""Claims about the house itself: short functions, flat code, precise types, rooms of one subject each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandbox
from sandbox.network.functions import FUNCTIONS

ROOT = Path(sandbox.__file__).parent
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try)
DEEP = 3


def sources(room: str) -> list[str]:
    return [path.read_text() for path in sorted((ROOT / room).rglob("*.py"))]


def lengths(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1


def nested(node: ast.AST, depth: int = 0) -> set[int]:
    """The lines inside of three blocks of a function."""
    lines: set[int] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and depth >= DEEP:
            lines |= set(range(child.lineno, (child.end_lineno or child.lineno) + 1))
        of_function = isinstance(child, ast.FunctionDef | ast.ClassDef)
        lines |= nested(child, 0 if of_function else depth + isinstance(child, BLOCKS))
    return lines


@pytest.mark.parametrize("room", ["verifier", "noise", "reading"])
def test_functions_are_short_and_flat(room: str) -> None:
    found = [length for source in sources(room) for length in lengths(source)]
    assert sum(length < 18 for length in found) >= 0.9 * len(found)
    assert max(found) <= 60
    deep = sum(len(nested(ast.parse(source))) for source in sources(room))
    assert deep <= 0.03 * sum(source.count("\n") for source in sources(room))


@pytest.mark.parametrize("room", ["verifier", "noise", "reading"])
def test_types_are_precise(room: str) -> None:
    text = "".join(sources(room))
    assert 1000 * len(re.findall(r"\bAny\b", text)) <= 17 * text.count("\n")


@pytest.mark.parametrize("room", ["verifier", "noise", "reading"])
def test_a_room_below_the_network_names_none_of_its_functions(room: str) -> None:
    named = {name for name in FUNCTIONS if re.search(rf"\b{name}\b", "".join(sources(room)))}
    assert named <= {"sigmoid", "relu"}, "which are words of the field, too"
