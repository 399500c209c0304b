"""A file of the user's, as a module; and what is to be said of it."""

import ast
import importlib
import sys
import threading
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from types import ModuleType

from sandbox.reading.block import Block
from sandbox.reading.note import blocks_of_note
from sandbox.reading.notebook import blocks_of_notebook
from sandbox.reading.parsing import Parsed, Statement, joined, parse
from sandbox.reading.project import Place, only_importable, place_of
from sandbox.reading.running import Ran, held_back, run
from sandbox.reading.selection import selected, undefined
from sandbox.reading.snapshot import Snapshot, importable, neighbours
from sandbox.reading.unwritten import Definition, why_unwritten
from sandbox.typing import Value

NOTES = (".md", ".markdown")
NOTEBOOK = ".ipynb"
_SHOWN = 3  # statements that failed


@dataclass(frozen=True)
class Source:
    """What a file defines.

    Attributes:
        module: its names.
        remarks: what was mended, what was left out, what it warned of.
        unwritten: functions that are not written yet, or not to be had, and why.
    """

    module: ModuleType
    remarks: tuple[str, ...]
    unwritten: Mapping[str, str]


def read(what: Path | Snapshot, stand_ins: Mapping[str, Value], folder: Path | None = None) -> Source:
    """Read a Python file, a notebook or a note, and run its definitions.

    Args:
        what: a path; or what was read of a file at some moment, with the modules from beside it.
        stand_ins: what the caller looks for, and has for a name that nothing in the file defines.
        folder: of the project, if that is what is checked.

    Raises:
        ValueError: it is none of these, or a Python file that does not parse.
    """
    if _reading.get():
        raise ValueError("check is called in the file that is being checked, which it may go on to be.")
    it = what if isinstance(what, Snapshot) else Snapshot(what, tuple(_blocks(what)))
    path, parsed = it.path, _parsed(it.path, it.blocks)
    place = place_of(path, parsed.statements, folder)
    selection = selected(parsed.statements, stand_ins)
    with _alone(), importable(it.neighbours):
        module, ran = _run(selection.run, path, place)
    _supply(module, parsed, stand_ins)
    remarks = (*parsed.remarks, *_failed(ran), *_left_out(selection.left_out), *_warned(ran))
    return Source(module, remarks, _unwritten(parsed, ran, module))


def snapshot(path: Path) -> Snapshot:
    """What `read` reads of a file, as it is now.

    Raises:
        ValueError: as `read`.
    """
    blocks = tuple(_blocks(path))
    statements = _parsed(path, blocks).statements
    found = neighbours((s.node for s in statements), place_of(path, statements, None))
    return Snapshot(path, blocks, found)


def load_file(path: Path, stand_ins: Mapping[str, Value]) -> ModuleType:
    """The module of a file of which all that is looked for is written.

    Raises:
        ValueError: some of it is not. What `read` raises.
    """
    source = read(path, stand_ins)
    for name in stand_ins:
        if why := source.unwritten.get(name):
            raise ValueError(f"{path}: {name} is not written yet: {why} sandbox.check checks the rest.")
    return source.module


def being_read() -> bool:
    """Whether this is asked by a file that is being read."""
    return _reading.get()


# --- what is in it ------------------------------------------------------------------------------------------


def _parsed(path: Path, blocks: Sequence[Block]) -> Parsed:
    python = path.suffix not in (*NOTES, NOTEBOOK)
    try:
        return reduce(joined, (parse(block, python=python) for block in blocks), Parsed(()))
    except SyntaxError as error:
        where = f"{error.msg} ({path.name}, line {error.lineno})"
        raise ValueError(f"{path} does not parse: {where}; correct the file and check again.") from None


def _blocks(path: Path) -> Sequence[Block]:
    if not path.exists():
        raise ValueError(f"{path} does not exist; give the path of a file or a folder.")
    if not path.is_file() or path.suffix not in (".py", NOTEBOOK, *NOTES):
        raise ValueError(
            f"{path} is not a Python file; give the path of a .py file, of a notebook (.ipynb) or of a note "
            "(.md)."
        )
    text = _text(path)
    if path.suffix == NOTEBOOK:
        return list(blocks_of_notebook(text, path))
    if path.suffix == ".py":
        return [Block(text, str(path))]
    if blocks := list(blocks_of_note(text, path)):
        return blocks
    raise ValueError(f"{path} has no Python in it; begin its fences with ```python.")


def _text(path: Path) -> str:
    """In the encoding that a Python file names, else in UTF-8."""
    try:
        with tokenize.open(path) if path.suffix == ".py" else path.open(encoding="utf-8-sig") as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}; save it as UTF-8.") from None


# --- running it ---------------------------------------------------------------------------------------------

_reading: ContextVar[bool] = ContextVar("reading", default=False)
_lock = threading.RLock()


@contextmanager
def _alone() -> Iterator[None]:
    """One file at a time: what is importable and where is printed are matters of the process."""
    token = _reading.set(True)
    try:
        with _lock:
            yield
    finally:
        _reading.reset(token)


def _run(statements: Sequence[Statement], path: Path, place: Place) -> tuple[ModuleType, Ran]:
    only_importable(place.roots)
    if place.package:
        with held_back(), suppress(Exception, SystemExit):  # which the file's own import would say
            importlib.import_module(place.package)
    module = ModuleType(place.module)
    vars(module).update(__file__=str(path.resolve()), __package__=place.package)
    vars(module).update(get_ipython=_Shell, display=lambda *values, **options: None)
    known = sys.modules.get(place.module)
    sys.modules[place.module] = module  # where dataclasses, for one, look for it
    try:
        return module, run(statements, module, place.roots)
    finally:
        if known is not None:
            sys.modules[place.module] = known


def _supply(module: ModuleType, parsed: Parsed, stand_ins: Mapping[str, Value]) -> None:
    """Gives the functions what they call and nothing in the file defines."""
    nodes = [s.node for s in parsed.statements if isinstance(s.node, Definition)]
    missing = {name for node in nodes for name in undefined(node, vars(module))}
    vars(module).update({name: stand_ins[name] for name in missing & stand_ins.keys()})


class _Shell:
    """What `get_ipython()` gives where there is none: anything may be called, and does nothing."""

    def __getattr__(self, name: str) -> Value:
        return lambda *arguments, **options: None


# --- what to say of it --------------------------------------------------------------------------------------


def _unwritten(parsed: Parsed, ran: Ran, module: ModuleType) -> dict[str, str]:
    """By name: it does not parse, its definition raises, or it is not written yet."""
    nodes = [statement.node for statement in parsed.statements]
    defined = {node.name: node for node in nodes if isinstance(node, Definition)}
    inner = (child for node in nodes for child in ast.walk(node))
    names = {*vars(module), *(n for child in inner if isinstance(child, ast.Global) for n in child.names)}
    found = {name: why_unwritten(node, names) for name, node in defined.items()}
    failed = {f.statement.node.name: f.why for f in ran.failures if isinstance(f.statement.node, Definition)}
    whys = {**found, **{name: f"its definition could not be run: {why}." for name, why in failed.items()}}
    return {name: why for name, why in {**whys, **parsed.unwritten}.items() if why}


def _failed(ran: Ran) -> Iterator[str]:
    for failure in ran.failures[:_SHOWN]:
        yield f"{failure.statement.where} is left out: {failure.why}."
    if further := ran.failures[_SHOWN:]:
        yield f"{len(further)} more statements are left out that raise."


def _left_out(statements: Sequence[Statement]) -> Iterator[str]:
    """The lines in one sentence, or the cells."""
    if not statements:
        return
    first = statements[0].block
    nodes = [statement.node for statement in statements]
    lines = [n for node in nodes for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)]
    cells = dict.fromkeys(statement.block.title for statement in statements)
    where = ", ".join(cells) if first.title else first.where(*lines)
    yield f"Only definitions were run, and what they need: not {where}."


def _warned(ran: Ran) -> Iterator[str]:
    yield from map(partial(str.format, "While it was run it warned: {}."), ran.warnings)
