"""Which runs of a table, and in which order: expressions of its columns, and nothing that could do harm."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from experiments.sentences import nearest, shown
from experiments.spec import SpecError

if TYPE_CHECKING:
    import pandas

EXAMPLE = "depth == 8 and scheme == 'he'"
LONGEST = 10_000  # characters
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.UAdd,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr,
    ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
    ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
_MALFORMED = (
    TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NotImplementedError, SyntaxError,
    RecursionError, MemoryError,
)  # fmt: skip


def chosen(table: pandas.DataFrame, where: str) -> pandas.DataFrame:
    """The rows for which the expression holds, as of `pandas.DataFrame.query`: comparisons of columns and
    values, and, or, not, in, arithmetic; no calls, attributes or indices.

    Raises:
        SpecError: it is none, names no column, or is not true or false for each row.
    """
    _check(table, where)
    try:
        holds: Any = table.eval(where.strip(), engine="python")
    except _MALFORMED as error:
        raise _malformed(where, f"which cannot be computed ({_first_line(error)})") from None
    if getattr(holds, "shape", None) != (len(table),) or holds.dtype != bool:
        raise _malformed(where, "which names no column")
    rows: pandas.DataFrame = table.loc[holds]
    return rows


def in_order(table: pandas.DataFrame, column: str) -> pandas.DataFrame:
    """The rows by rising values of a column, by falling ones where a minus is before its name; NaN last.

    Raises:
        SpecError: there is no such column.
    """
    name = column.removeprefix("-")
    _check_column(table, name, "sort")
    return table.sort_values(name, ascending=name == column, kind="stable")


def _check(table: pandas.DataFrame, where: str) -> None:
    if len(where) > LONGEST:
        raise _malformed(where, f"of {len(where)} characters")
    try:
        expression = ast.parse(where.strip(), mode="eval")
        nodes = list(ast.walk(expression))
    except _MALFORMED as error:
        raise _malformed(where, f"which is no expression ({_first_line(error)})") from None
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            raise _malformed(where, f"with {_in_words(node)}")
        if isinstance(node, ast.Name):
            _check_column(table, node.id, "where")
        if isinstance(node, ast.Constant) and not isinstance(node.value, str | int | float):
            raise _malformed(where, f"with {shown(node.value)}")
        if isinstance(node, ast.BinOp):
            _check_arithmetic(where, node)
    for node in nodes:
        _check_truths(table, where, node)
        if isinstance(node, ast.Compare):
            _check_kinds(table, where, node)


def _check_arithmetic(where: str, node: ast.BinOp) -> None:
    """Words are not repeated or joined: a few characters of an expression would ask for all of the memory."""
    for side in (node.left, node.right):
        if isinstance(side, ast.Constant) and isinstance(side.value, str):
            raise _malformed(where, f"with arithmetic of {shown(side.value)}")


def _check_truths(table: pandas.DataFrame, where: str, node: ast.AST) -> None:
    """What stands alone, or is joined by and, or, not, is true or false for each run."""
    joined: list[ast.expr] = []
    if isinstance(node, ast.Expression):
        joined = [node.body]
    elif isinstance(node, ast.BoolOp):
        joined = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        joined = [node.operand]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        joined = [node.left, node.right]
    for each in joined:
        if not _is_truth(table, each):
            raise _malformed(where, f"where {ast.unparse(each)} is not true or false for each run")


def _is_truth(table: pandas.DataFrame, node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return bool(table[node.id].dtype == bool)
    operator = getattr(node, "op", None)
    return isinstance(node, ast.Compare | ast.BoolOp) or isinstance(
        operator, ast.Not | ast.Invert | ast.BitAnd | ast.BitOr
    )


def _check_column(table: pandas.DataFrame, name: str, argument: str) -> None:
    if name not in table.columns:
        raise SpecError(
            f"{argument}: got {shown(name)}, which is no column{nearest(name, table.columns)}; expected one "
            f"of {', '.join(table.columns)}."
        )


def _check_kinds(table: pandas.DataFrame, where: str, comparison: ast.Compare) -> None:
    """Words are compared with words, numbers with numbers."""
    sides = [comparison.left, *comparison.comparators]
    names = [side.id for side in sides if isinstance(side, ast.Name)]
    values = [
        node.value for side in sides if not isinstance(side, ast.Name)
        for node in ast.walk(side) if isinstance(node, ast.Constant)
    ]  # fmt: skip
    for name in names:
        words = table[name].dtype.kind not in "biuf"
        wrong = [value for value in values if isinstance(value, str) != words]
        if wrong:
            kind = "words, in quotes" if words else "numbers"
            raise _malformed(where, f"where {name} is compared with {shown(wrong[0])}, and it holds {kind}")


def _in_words(node: ast.AST) -> str:
    found = {ast.Call: "a call", ast.Attribute: "an attribute", ast.Subscript: "an index"}
    return found.get(type(node), f"{type(node).__name__}, which is not for here")


def _malformed(where: str, why: str) -> SpecError:
    return SpecError(
        f"where: got {shown(where)}, {why}; expected comparisons of columns, as in {EXAMPLE!r}; change where."
    )


def _first_line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return shown(text.split("\n")[0] or type(error).__name__)[1:-1]
