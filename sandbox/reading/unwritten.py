"""Functions that are not written yet."""

import ast
import builtins
import difflib
import inspect
import textwrap
from collections.abc import Collection, Iterator

from sandbox.reading.parsing import EMPTY
from sandbox.reading.selection import undefined
from sandbox.typing import Function

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def why_unwritten(node: Definition, names: Collection[str]) -> str:
    """Why a function is not written yet, or "".

    Args:
        names: those that its module has.
    """
    body = [child for child in node.body if not _is_text(child)]
    if all(isinstance(child, ast.Pass) for child in body):
        return EMPTY
    if dots := [child.lineno for child in _inside(node) if isinstance(child, ast.stmt) and _is_dots(child)]:
        return f'"..." in line {dots[0]} stands for what is missing.'
    if any(isinstance(child, ast.Raise) and "NotImplementedError" in ast.unparse(child) for child in body):
        return "it raises NotImplementedError."
    if missing := undefined(node, {*names, *dir(builtins), node.name}):
        it = "it" if len(missing) == 1 else "them"
        return f"{_listed(missing)} used, and nothing defines {it}{_meant(missing[0], node)}."
    return _nothing_returned(node)


def _meant(name: str, node: Definition) -> str:
    """What may be behind a name that nothing defines."""
    if name == "np":
        return " (import numpy as np?)"
    local = {x.id for x in _inside(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
    local |= {x.arg for x in ast.walk(node.args) if isinstance(x, ast.arg)}
    close = [other for other in local if other.lower() == name.lower()]
    close += difflib.get_close_matches(name, local, 1, 0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def why_function(function: Function) -> str:
    """The same of a function whose source can be found; else ""."""
    function = inspect.unwrap(function)
    try:
        [node] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
        names = {*function.__globals__, *function.__code__.co_freevars}
    except (OSError, TypeError, ValueError, SyntaxError, AttributeError):
        return ""
    return (
        why_unwritten(node, names) if isinstance(node, Definition) and node.name == function.__name__ else ""
    )


def _nothing_returned(node: Definition) -> str:
    returned = [child.value for child in _inside(node) if isinstance(child, ast.Return) and child.value]
    if all(_is_none(value) for value in returned) and not any(_yields(child) for child in _inside(node)):
        return "it returns nothing."
    names = {x.id for value in returned for x in ast.walk(value) if isinstance(x, ast.Name)}
    bound: dict[str, list[bool]] = {}
    for child in _inside(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            bound.setdefault(child.id, []).append(False)
        if isinstance(child, ast.Assign) and _is_none(child.value):
            for target in child.targets:
                bound.setdefault(ast.unparse(target), []).append(True)
    # A binding to None is counted twice: as None, and as the name that is bound.
    still = [name for name, kinds in bound.items() if name in names and 2 * sum(kinds) == len(kinds)]
    still += [name for name in _left_none(node) if name in names and name not in still]
    return f"{_listed(still)} still None." if still else ""


def _left_none(node: Definition) -> list[str]:
    """The names whose last binding, outside of any branch, is to None, as a template leaves them."""
    last: dict[str, bool] = {}
    for child in _inside(node):
        if isinstance(child, ast.Assign):
            none = _is_none(child.value) and child in node.body
            last |= {
                x.id: none for target in child.targets for x in ast.walk(target) if isinstance(x, ast.Name)
            }
    return [name for name, none in last.items() if none]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, but for that of functions in it."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, Definition | ast.Lambda | ast.ClassDef):
            yield from _inside(child)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is not ...


def _is_dots(node: ast.stmt) -> bool:
    """A statement `...`, or `dW = ...`, `return ...`."""
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.Return) else None
    return isinstance(value, ast.Constant) and value.value is ...


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _yields(node: ast.AST) -> bool:
    return isinstance(node, ast.Yield | ast.YieldFrom)
