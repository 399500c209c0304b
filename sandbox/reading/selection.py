"""Which statements of a file are run: its definitions, and what they need.

The last lines of a file often train, read `input()`, open windows or exit. They define nothing that a check
wants, and are not run at all: so nothing has to be stopped, no file of theirs is written, and a check at each
save is quick.
"""

import ast
import symtable
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sandbox.reading.parsing import Statement

_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass,
)  # fmt: skip
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_BLOCKS = (ast.If, ast.Try, ast.With)
_CALLS = (ast.Call, ast.Await, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Selection:
    """Statements to be run, in their order, and those that are left out."""

    run: tuple[Statement, ...]
    left_out: tuple[Statement, ...]


def selected(statements: Sequence[Statement], wanted: Iterable[str]) -> Selection:
    """Definitions, constants, and what binds or changes a name that they use or that is wanted. In a file of
    operations, which may be made in any way and have any name, all that binds a name.

    Args:
        wanted: names that the check looks for.
    """
    nodes = [statement.node for statement in statements]
    of_operations = any("operation" in name.lower() for node in nodes for name in _identifiers(node))
    run = {i for i, node in enumerate(nodes) if _defines(node) or (of_operations and _bound(node))}
    needed = set(wanted).union(*(_used(nodes[i]) for i in run))
    imported = {name for node in nodes if isinstance(node, ast.Import) for name in _bound(node)}
    offered = {i: _bound(node) | (_changed(node) - imported) for i, node in enumerate(nodes) if i not in run}
    while more := {i for i, names in offered.items() if names & needed}:
        run |= more
        needed = needed.union(*(_used(nodes[i]) for i in more))
        offered = {i: names for i, names in offered.items() if i not in more}
    return Selection(
        tuple(s for i, s in enumerate(statements) if i in run),
        tuple(statements[i] for i in offered if not _is_idle(nodes[i])),
    )


def undefined(node: ast.stmt, defined: Iterable[str]) -> list[str]:
    """The names that a definition takes from its module, which has these."""
    return sorted(_of_functions(_table(node)) - {*defined})


# --- what a statement is ------------------------------------------------------------------------------------


def _defines(node: ast.stmt) -> bool:
    """A definition, a constant, what makes a folder importable; and blocks of nothing else."""
    if isinstance(node, _BLOCKS):
        tests: list[ast.expr] = [node.test] if isinstance(node, ast.If) else []
        tests += [item.context_expr for item in getattr(node, "items", [])]
        return not any(map(_calls, tests)) and all(map(_defines, _body(node)))
    if isinstance(node, _ASSIGNMENTS):
        return not _calls(node)
    return isinstance(node, _DEFINITIONS) or ast.unparse(node).startswith("sys.path.")


def _body(node: ast.If | ast.Try | ast.With) -> list[ast.stmt]:
    parts = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
    handlers = [handler.body for handler in getattr(node, "handlers", [])]
    return [statement for part in (*parts, *handlers) for statement in part]


def _calls(node: ast.AST) -> bool:
    return any(isinstance(child, _CALLS) for child in ast.walk(node))


def _is_idle(node: ast.stmt) -> bool:
    """A text by itself; what is for the file that is run as a script."""
    of_script = isinstance(node, ast.If) and "__name__" in _identifiers(node.test)
    return of_script or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


# --- the names of a statement -------------------------------------------------------------------------------


def _identifiers(node: ast.AST) -> set[str]:
    names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    names |= {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}
    return names | {child.name for child in ast.walk(node) if isinstance(child, ast.alias)}


def _table(node: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(node), "<a statement>", "exec")


def _bound(node: ast.stmt) -> set[str]:
    return {s.get_name() for s in _table(node).get_symbols() if s.is_assigned() or s.is_imported()}


def _used(node: ast.stmt) -> set[str]:
    table = _table(node)
    return _of_functions(table) | {s.get_name() for s in table.get_symbols() if s.is_referenced()}


def _of_functions(table: symtable.SymbolTable) -> set[str]:
    """What the functions and classes in it take from the module."""
    names: set[str] = set()
    for child in table.get_children():
        names |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
        names |= _of_functions(child)
    return names


def _changed(node: ast.stmt) -> set[str]:
    """Names of which an item or an attribute is set, or a method called."""
    names: set[str] = set()
    for child in ast.walk(node):
        part = child.func if isinstance(child, ast.Call) else child
        called = isinstance(child, ast.Call) and isinstance(part, ast.Attribute)
        if called or (isinstance(part, ast.Attribute | ast.Subscript) and isinstance(part.ctx, ast.Store)):
            while isinstance(part, ast.Attribute | ast.Subscript):
                part = part.value
            names |= {part.id} if isinstance(part, ast.Name) else set()
    return names
