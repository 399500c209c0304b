"""Values, and the functions of a file, as Python code that makes them again."""

import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sandbox.typing import Array, Value

_BY_DEFAULT = ("float64", "int64", "bool")  # the dtypes that np.array finds by itself


def assignments(named: Iterable[tuple[str, Value]]) -> list[str]:
    """A line `name = value` for each, or several for an array of several rows."""
    return [line for name, value in named for line in _assigned(name, value)]


def _assigned(name: str, value: Value) -> list[str]:
    first, *others = literal(value).split("\n")
    return [f"{name} = {first}", *(f"{' ' * 4}{line.strip()}" for line in others if line.strip())]


def literal(value: Value) -> str:
    """Of an array, or of what holds some, in dicts, lists and tuples."""
    if isinstance(value, np.ndarray | np.generic):
        return _array(np.asarray(value))
    if type(value) is dict:
        return "{" + ", ".join(f"{key!r}: {literal(x)}" for key, x in value.items()) + "}"
    if type(value) in (list, tuple):
        ends, one = ("[]", "") if type(value) is list else ("()", "," * (len(value) == 1))
        return f"{ends[0]}{', '.join(map(literal, value))}{one}{ends[1]}"
    return repr(value)


def _array(x: Array) -> str:
    dtype = "" if x.dtype.name in _BY_DEFAULT else f', dtype="{x.dtype}"'
    if not x.size:
        return f"np.zeros({x.shape}{dtype})"
    with np.printoptions(threshold=sys.maxsize, floatmode="unique", nanstr="np.nan", infstr="np.inf"):
        return f"np.array({np.array2string(x, separator=', ', max_line_width=76)}{dtype})"


def file_of(function: object) -> str:
    """The path, as it is found from here, of the file of a function that is in no module that is imported."""
    names = getattr(inspect.unwrap(function), "__globals__", {}) if callable(function) else {}
    path = Path(str(names.get("__file__", "")))
    if names.get("__spec__") is not None or not path.name:
        return ""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def read_as_python(path: str) -> list[str]:
    """Code that reads the definitions of such a file."""
    return [
        "from pathlib import Path", "from sandbox.reading.loading import read", "",
        f"mine = read(Path({path!r}), {{}}).module",
    ]  # fmt: skip
