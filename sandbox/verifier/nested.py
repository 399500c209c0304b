"""Copies of nested arguments, and the first difference of two."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from types import ModuleType

import numpy as np

from sandbox.typing import Array, Value

_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_Pair = tuple[str, Value, Value]


def copied(value: Value) -> Value:
    """A deep copy. Where something cannot be copied (a graph of another library, an open file), the arrays
    in tuples, lists and dicts are copied, and all other objects are the same, lest their ties be cut."""
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever an object of the user's says
        return _with_arrays_copied(value)


def _with_arrays_copied(value: Value) -> Value:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: _with_arrays_copied(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = map(_with_arrays_copied, value)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def difference(before: Value, after: Value, where: str = "argument") -> str:
    """The first place at which two nested values differ in bits or structure, in words; "" for none."""
    return _difference(before, after, where, set())


def _difference(before: Value, after: Value, where: str, seen: set[tuple[int, int]]) -> str:
    """`seen`: the pairs of objects looked at, which may hold each other."""
    pair = id(before), id(after)
    if pair in seen or isinstance(before, ModuleType):
        return ""
    seen.add(pair)
    parts = _parts(before, after, where)
    if isinstance(parts, str):
        return parts
    return next((found for name, b, a in parts if (found := _difference(b, a, name, seen))), "")


def _parts(before: Value, after: Value, where: str) -> Iterator[_Pair] | str:
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
        return "" if _same(np.asarray(before), np.asarray(after)) else where
    if hasattr(before, "__dict__") and type(before) is type(after) and not callable(before):
        return iter([(where, vars(before), vars(after))])
    # Of other objects a copy need not be equal.
    return where if isinstance(before, _PLAIN) and before != after and before == before else ""


def _same(b: Array, a: Array) -> bool:
    floats = b.dtype.kind == "f"
    return b.shape == a.shape and b.dtype == a.dtype and np.array_equal(b, a, equal_nan=floats)
