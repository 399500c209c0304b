"""The project of a file: what it may import."""

import ast
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.reading.parsing import Statement

_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", ".git")
_UP = 4  # folders in which a mark of a project is looked for


@dataclass(frozen=True)
class Place:
    """The name of a file as a module, and the folders from which it imports."""

    module: str
    roots: tuple[str, ...]

    @property
    def package(self) -> str:
        return self.module.rpartition(".")[0]


def place_of(path: Path, statements: Sequence[Statement], folder: Path | None) -> Place:
    """Its own folder, as that of a script is; that above its package; and the project's.

    Args:
        folder: the one that is checked, if it is one.
    """
    path = path.resolve()
    depth = max(_packages(path), _level(statements))
    top = path.parents[min(depth, len(path.parents) - 1)]
    marked = [p for p in path.parents[:_UP] if any((p / mark).exists() for mark in _MARKS)]
    further = [project / part for project in marked[:1] for part in ("", "src")]
    roots = [path.parent, top, *([folder.resolve()] if folder else []), *further]
    parts = path.relative_to(top).with_suffix("").parts
    return Place(".".join(parts), tuple(dict.fromkeys(str(root) for root in roots if root.is_dir())))


def _packages(path: Path) -> int:
    """How many folders of packages a file is in."""
    inside = [(parent / "__init__.py").exists() for parent in path.parents]
    return inside.index(False) if False in inside else len(inside) - 1


def _level(statements: Sequence[Statement]) -> int:
    """How far up its relative imports go: from .layers import relu is 1."""
    nodes = [node for statement in statements for node in ast.walk(statement.node)]
    return max((node.level for node in nodes if isinstance(node, ast.ImportFrom)), default=0)


_importable: list[str] = []  # the folders of the last file
_known: set[str] = set()  # modules that were imported before it


def only_importable(roots: Sequence[str]) -> None:
    """Makes folders importable, and forgets those of the file before with the modules that came from them: of
    two helpers of one name each file gets its own, and of one that was changed the new one."""
    sys.path[:] = [entry for entry in sys.path if entry not in _importable]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        beside = file.startswith(tuple(f"{root}{os.sep}" for root in _importable))
        if beside and name not in _known and "site-packages" not in file:
            del sys.modules[name]
    _importable[:] = [root for root in roots if root not in sys.path]
    _known.clear()
    _known.update(sys.modules)
    sys.path[:0] = _importable
