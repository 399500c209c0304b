"""The code of a file and of what it imports from beside it, as it was at one moment: to be run later, and in
other processes, whatever has become of the files."""

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from sandbox.reading.block import Block
from sandbox.reading.project import Place

_OURS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Neighbour:
    """A module from beside a file: its name as it is imported, where it lies, and what is in it."""

    name: str
    path: str
    content: bytes

    @property
    def folder(self) -> str | None:
        """Of a package."""
        path = Path(self.path)
        return str(path.parent) if path.name == "__init__.py" else None


@dataclass(frozen=True)
class Snapshot:
    """What is read of a file: of a notebook or a note its Python, and nothing else."""

    path: Path
    blocks: tuple[Block, ...]
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """Of the file and of its neighbours, by name: the same wherever the files lie."""
        of_file = "\n\n".join(block.text.strip() for block in self.blocks)
        return {self.path.name: of_file} | {
            neighbour.name: neighbour.content.decode(errors="replace") for neighbour in self.neighbours
        }


def neighbours(nodes: Iterable[ast.stmt], place: Place) -> tuple[Neighbour, ...]:
    """The modules that these statements import, anywhere in them, from the place's folders; and those that
    they import in turn."""
    found: dict[str, Neighbour] = {}
    waiting = list(_prefixes(place.package)) + list(_imported(nodes, place.package))
    while waiting:
        name = waiting.pop()
        if name not in found and (neighbour := _find(name, place.roots)):
            found[name] = neighbour
            package = name if neighbour.folder else name.rpartition(".")[0]
            with suppress(SyntaxError, ValueError):
                waiting += _imported(ast.parse(neighbour.content).body, package)
    return tuple(found[name] for name in sorted(found))


def _imported(nodes: Iterable[ast.stmt], package: str) -> Iterator[str]:
    for node in (child for statement in nodes for child in ast.walk(statement)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _prefixes(alias.name)
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # beyond the uppermost package
                module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield from _prefixes(module)
                yield from (f"{module}.{alias.name}" for alias in node.names)


def _prefixes(name: str) -> Iterator[str]:
    """a, a.b and a.b.c of a.b.c."""
    parts = name.split(".") if name else []
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _find(name: str, roots: Sequence[str]) -> Neighbour | None:
    inside = Path(*name.split("."))
    for root in roots:
        for path in (Path(root, inside, "__init__.py"), Path(root, inside).with_suffix(".py")):
            if path.is_file() and _OURS not in path.resolve().parents:
                with suppress(OSError):
                    return Neighbour(name, str(path), path.read_bytes())
    return None


# --- imported as they were ----------------------------------------------------------------------------------


@contextmanager
def importable(neighbours: Sequence[Neighbour]) -> Iterator[None]:
    """While this lasts they are imported as they were, and anew; what was imported by their names before is
    there again afterwards."""
    finder = _Finder(neighbours)
    before = {n.name: sys.modules.pop(n.name) for n in neighbours if n.name in sys.modules}
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.modules.update(before)


class _Finder(MetaPathFinder):
    """Asked before the folders are looked through."""

    def __init__(self, neighbours: Sequence[Neighbour]) -> None:
        self.neighbours = {neighbour.name: neighbour for neighbour in neighbours}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if (found := self.neighbours.get(name)) is None:
            return None
        return importlib.util.spec_from_file_location(
            name, found.path, loader=_Loader(found),
            submodule_search_locations=[found.folder] if found.folder else None,
        )  # fmt: skip


class _Loader(SourceFileLoader):
    """Runs the content that was taken, and leaves no compiled file."""

    def __init__(self, neighbour: Neighbour) -> None:
        super().__init__(neighbour.name, neighbour.path)
        self.neighbour = neighbour

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.neighbour.content, self.neighbour.path, "exec", dont_inherit=True)
