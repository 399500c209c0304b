"""A failing case of an operation as Python code, to be pasted where its functions are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax
import numpy as np

from sandbox.typing import Inputs
from sandbox.verifier.literal import assignments, file_of, read_as_python
from sandbox.verifier.report import Report
from sandbox.verifier.rows import OutputRow, Row

if TYPE_CHECKING:
    from sandbox.verifier.operation import Operation

MOST = 1000  # numbers that are written down


def as_python(operation: Operation, inputs: Inputs, cotangents: Inputs, report: Report) -> str:
    """The inputs, and a call of the function at fault; of a contract, or of a layer, the check once more. Of
    inputs that are too many for a page nothing."""
    if sum(map(np.size, jax.tree.leaves((inputs, cotangents)))) > MOST:
        return ""
    row, given = report.findings[0].row, dict(zip(operation.inputs, inputs, strict=False))
    names = ", ".join(given)
    if not isinstance(row, OutputRow) or operation.rest:
        check = f"print(sandbox.check(operation, {names}))  # the Operation {operation.name}"
        return "\n".join(["import numpy as np", "import sandbox", "", *assignments(given.items()), "", check])
    douts = {f"d{output}": x for output, x in zip(operation.outputs, cotangents, strict=True)}
    backward = row.output not in operation.outputs
    made = given | (douts if backward else {})
    call = list(
        _of_backward(operation, ", ".join(douts), names) if backward else _of_forward(operation, names)
    )
    imports = ["import numpy as np", *_imports(operation)]
    if any("operation." in line for line in call):
        imports.append(f"# operation: the Operation {operation.name}")
    return "\n".join([*imports, "", *assignments(made.items()), "", *call, *_expected(row)])


def _imports(operation: Operation) -> Iterator[str]:
    """Of functions that a module has; those of a script or a notebook are there. Of a file, from wherever it
    lies, that is no module."""
    functions = [operation.forward] if operation.alone else [operation.forward, operation.backward]
    named = [function for function in dict.fromkeys(functions) if _is_named(function)]
    if files := dict.fromkeys(filter(None, map(file_of, named))):
        yield from read_as_python(next(iter(files)))
    for function in named:
        module = getattr(function, "__module__", None) or "__main__"
        if module != "__main__" and not file_of(function):
            yield f"from {module} import {function.__name__}"


def _is_named(function: object) -> bool:
    """Whether it is itself what is called by its name."""
    own = not hasattr(function, "__wrapped__")
    return own and getattr(function, "__qualname__", "<lambda>").isidentifier()


def _name(operation: Operation, part: str) -> str:
    function = getattr(operation, part)
    if not _is_named(function):
        return f"operation.{part}"
    return f"mine.{function.__name__}" if file_of(function) else str(function.__name__)


def _of_forward(operation: Operation, names: str) -> Iterator[str]:
    yield f"print({_name(operation, 'forward')}({names}))"


def _of_backward(operation: Operation, douts: str, names: str) -> Iterator[str]:
    cached = operation.convention == "cache"
    if cached:
        yield f"*_, cache = {_name(operation, 'forward')}({names})"
    yield f"print({_name(operation, 'backward')}({douts}, {'cache' if cached else names}))"


def _expected(row: Row) -> Iterator[str]:
    for entry in row.worst:
        index = "".join(f"[{i}]" for i in entry.index)
        yield f"# {row.output}{index} is {entry.computed:.9g}, expected {entry.reference:.9g}"
    if not row.worst:
        yield f"# {row.output}: {row.finding}"
