"""Nested arguments: what their dicts, lists and tuples hold, copies, and the first difference of two."""

import copy
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from types import ModuleType
from typing import TypeVar

import numpy as np

from sandbox.noise import is_float
from sandbox.typing import Value

_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_T = TypeVar("_T")
Path = tuple[Value, ...]
"""The keys and indices that lead to what a nested value holds."""


def mapped(function: Callable[[Path, Value], Value], value: Value, path: Path = ()) -> Value:
    """The same with function(path, leaf) for each leaf of its dicts, lists and tuples."""
    if isinstance(value, dict):
        return {key: mapped(function, item, (*path, key)) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = (mapped(function, item, (*path, i)) for i, item in enumerate(value))
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return function(path, value)


def as_key(value: Value) -> Value:
    """Equal for equal nested values of the same types (2, 2.0 and True are equal, and are told apart), and
    hashable if the leaves are."""
    if isinstance(value, dict):
        return dict, tuple((key, as_key(item)) for key, item in value.items())
    if isinstance(value, tuple | list):
        return type(value), tuple(map(as_key, value))
    return type(value), value


def copied(value: _T) -> _T:
    """A deep copy. Where something cannot be copied (a graph of another library, an open file), the arrays
    in tuples, lists and dicts are copied, and all other objects are the same, lest their ties be cut."""
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever an object of the user's says
        arrays_copied: _T = _with_arrays_copied(value)
        return arrays_copied


def _with_arrays_copied(value: Value) -> Value:
    return mapped(lambda _, x: x.copy() if isinstance(x, np.ndarray) else x, value)


def difference(before: object, after: object, where: str = "argument") -> str:
    """The first place at which two nested values differ in bits or structure, in words; "" for none."""
    seen: set[tuple[int, int]] = set()  # pairs of objects, which may hold each other

    def first(where: str, before: object, after: object) -> str:
        pair = id(before), id(after)
        if pair in seen or isinstance(before, ModuleType):
            return ""
        seen.add(pair)
        parts = _parts(before, after, where)
        return parts if isinstance(parts, str) else next(filter(None, starmap(first, parts)), "")

    return first(where, before, after)


def _parts(before: object, after: object, where: str) -> Iterator[tuple[str, object, object]] | str:
    """The pairs of what two values hold; or, of what holds nothing, the difference in words."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        if before.keys() != after.keys():
            return f"the keys of {where}"
        return ((f"{where}[{key!r}]", before[key], after[key]) for key in before)
    if isinstance(before, tuple | list) and isinstance(after, tuple | list):
        if len(before) != len(after):
            return f"the length of {where}"
        return ((f"{where}[{i}]", b, a) for i, (b, a) in enumerate(zip(before, after, strict=True)))
    if isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        b, a = np.asarray(before), np.asarray(after)
        return "" if b.dtype == a.dtype and np.array_equal(b, a, equal_nan=is_float(b.dtype)) else where
    if hasattr(before, "__dict__") and type(before) is type(after) and not callable(before):
        return iter([(where, vars(before), vars(after))])
    # Of other objects a copy need not be equal.
    return where if isinstance(before, _PLAIN) and before != after and before == before else ""
