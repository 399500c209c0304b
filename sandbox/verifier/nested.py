"""Nested arguments: what their dicts, lists and tuples hold, copies, and the first difference of two."""

import copy
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import starmap
from types import ModuleType
from typing import TypeVar

import numpy as np

from sandbox.noise import is_float
from sandbox.typing import Array, Value

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


def copied(value: _T, memo: dict[int, Value] | None = None) -> _T:
    """A deep copy; of what is in `memo`, by its id, the copy there. Where something cannot be copied (a graph
    of another library, an open file), the arrays in tuples, lists and dicts are copied, and all other objects
    are the same, lest their ties be cut."""
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # whatever an object of the user's says
        arrays_copied: _T = _with_arrays_copied(value)
        return arrays_copied


def _with_arrays_copied(value: Value) -> Value:
    return mapped(lambda _, x: x.copy() if isinstance(x, np.ndarray) else x, value)


class Copies:
    """Deep copies of one value after the other, which share the arrays that have not changed in between."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[weakref.ref[Array], Array]] = {}

    def of(self, value: _T) -> _T:
        arrays = {id(array): array for array in _arrays(value)}
        memo: dict[int, Value] = {}
        for i, array in arrays.items():
            known, last = self._last.get(i, (None, array))
            if known is not None and known() is array and _same_bits(array, last):
                memo[i] = last
        result = copied(value, memo)
        self._last |= {i: (weakref.ref(array), memo[i]) for i, array in arrays.items() if i in memo}
        return result


def _arrays(value: Value) -> Iterator[Array]:
    """Those in tuples, lists and dicts."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is np.ndarray:
            yield item
        elif isinstance(item, Mapping | tuple | list) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, Mapping) else item


def _same_bits(a: Array, b: Array) -> bool:
    """Of arrays of numbers of one word."""
    if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind not in "fiub" or a.itemsize > 8:
        return False
    word = f"u{a.itemsize}"
    return bool(np.array_equal(a.view(word), b.view(word)))


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
