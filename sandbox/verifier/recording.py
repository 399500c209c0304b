"""What each tested function really received and returned, and which call it was made from.

During a check the names of a family of functions, in the family's own modules and in those of the tested
functions, are bound to dispatchers, so that a call from one function to another is seen with its arguments
as they were. A dispatcher asks who is checking in its own thread: all other threads, and all code after the
check, get the function itself. Inside a replacement its own name means the original: a replacement may call
what it replaces.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CellType, MethodType
from typing import TypeAlias

from sandbox.typing import Function, Inputs, Value
from sandbox.verifier.loading import first_line, raised_at
from sandbox.verifier.nested import Copies, difference
from sandbox.verifier.warned import own_warnings, surely

Place: TypeAlias = tuple[dict[Value, Value] | CellType, Value, str]
"""A namespace, a key in it, and the name of the family's function that is called by it; or the cell of a
closure. An object's own namespace need not have the key, which then is that of a method."""


@dataclass(frozen=True)
class Family:
    """Functions that call each other by their names.

    Attributes:
        functions: the originals, inner ones before those that call them.
        places: where the originals find each other.
    """

    functions: Mapping[str, Function]
    places: tuple[Place, ...]


@dataclass(eq=False)
class Call:
    """One call: arguments as they were before it, result as it was after it.

    Attributes:
        parent: the call during which this one was made.
        mutated: what of the arguments the call changed, in words; "" for nothing.
        options: its keyword-only arguments, of those that the original takes.
        error: "" or the exception and its place, in words.
        line: "" or the line of the called function at which it was raised, by itself or by what it called.
        layer: filled in by the check.
        fed_by: the calls whose results the check itself handed to this one.
    """

    function: str
    arguments: Inputs
    parent: Call | None
    options: Mapping[str, Value] = field(default_factory=dict)
    result: Value = None
    mutated: str = ""
    error: str = ""
    line: str = ""
    finished: bool = False
    layer: int | None = None
    children: list[Call] = field(default_factory=list)
    fed_by: tuple[Call, ...] = ()

    @property
    def inside(self) -> set[str]:
        """The functions that have begun and not returned."""
        return {self.function} | (self.parent.inside if self.parent else set())


class Recorder:
    """The calls of one check, in the order in which they began."""

    def __init__(self, tested: Mapping[str, Function], family: Family) -> None:
        self.tested, self.family = tested, family
        self.calls: list[Call] = []
        self._current: Call | None = None
        self._copies = Copies()  # the same weights go through many calls

    @contextmanager
    def bound(self) -> Iterator[dict[str, Function]]:
        """While this lasts calls of this thread are recorded; gives the whole set of functions to call."""
        bound: list[Place] = []
        with _recording(self):
            try:
                for place in (*self.family.places, *self._places_of_the_tested()):
                    bound.append(place)
                    _bind(place, self.tested.get(place[2]))
                functions = self.family.functions.items()
                yield {name: functools.partial(self.call, name, f) for name, f in functions}
            finally:
                surely(functools.partial(_unbind_all, bound))

    def calling(self, name: str, function: Function) -> Function:
        """The tested function of this name, whose calls of others are recorded; while the names are bound."""

        @functools.wraps(function)
        def called(*args: Value, **kwargs: Value) -> Value:
            self._current, before = Call(name, (), self._current), self._current
            try:
                with _recording(self):
                    return function(*args, **kwargs)
            finally:
                self._current = before

        return called

    def _places_of_the_tested(self) -> Iterator[Place]:
        """Where the tested functions find those of the family: in their modules, under their names, under
        others, and in dicts; in what they close over; as methods of one object."""
        yield from self._places_in_modules()
        functions = {name: inspect.unwrap(f) for name, f in self.tested.items()}
        names = {id(f): name for name, f in functions.items()}
        for name, function in functions.items():
            for cell in getattr(function, "__closure__", None) or ():
                if (known := names.get(id(_held(cell, "")))) is not None:
                    yield cell, "", known
            if isinstance(function, MethodType) and hasattr(function.__self__, "__dict__"):
                yield vars(function.__self__), function.__name__, name

    def _places_in_modules(self) -> Iterator[Place]:
        own = [getattr(inspect.unwrap(f), "__globals__", {}) for f in self.tested.values()]
        known = {id(namespace) for namespace, _, _ in self.family.places}
        for module in {id(n): n for n in own if id(n) not in known}.values():
            named = {n: module[n] for n in self.family.functions if callable(module.get(n))}
            known_as = (*self.family.functions.items(), *self.tested.items(), *named.items())
            names = {id(f): name for name, f in known_as}
            tables = [value for value in list(module.values()) if type(value) is dict]
            for namespace in (module, *tables):
                held = [(key, names[id(f)]) for key, f in list(namespace.items()) if id(f) in names]
                yield from ((namespace, key, name) for key, name in held)

    def call(self, name: str, original: Function, *args: Value, **kwargs: Value) -> Value:
        """Call what is tested under this name, or else the original, and keep what it got and gave."""
        if self._current is not None and name in self._current.inside:
            return original(*args, **kwargs)
        target = self.tested.get(name, original)
        # Further arguments, of a function of the user's own signature, are passed on and not looked at.
        arity, keywords = _signature(self.family.functions[name])
        arguments = _positional(target, args, kwargs)[:arity]
        options = {key: value for key, value in kwargs.items() if key in keywords}
        call = Call(name, self._copies.of(arguments), self._current, options)
        self.calls.append(call)
        if call.parent is not None:
            call.parent.children.append(call)
        self._current = call
        try:
            with own_warnings():  # the contracts ask for them
                result = target(*args, **kwargs)
            call.result, call.finished = self._copies.of(result), True
            return result
        except (Exception, SystemExit) as error:
            call.error, call.line = raised_at(error), first_line(error)
            raise
        finally:
            self._current = call.parent
            call.mutated = named_argument(target, difference(call.arguments, arguments))


@functools.lru_cache(maxsize=256)
def _signature(function: Function) -> tuple[int, frozenset[str]]:
    """The number of positional arguments, and the names of those by keyword only."""
    parameters = inspect.signature(function).parameters.values()
    keywords = frozenset(p.name for p in parameters if p.kind == p.KEYWORD_ONLY)
    return len(parameters) - len(keywords), keywords


def _positional(function: Function, args: Inputs, kwargs: dict[str, Value]) -> Inputs:
    """The arguments in the order of the signature, so that recorded calls read alike."""
    if not kwargs:
        return args
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # the call will say so; or a function without a signature
        return args
    return (*bound.args, *bound.kwargs.values())


def named_argument(function: Function, where: str) -> str:
    """A place in the arguments, argument[0]['W1'] for instance, by the name that the function has for it."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return where
    found = re.match(r"argument\[(\d+)\]", where)
    if not found or int(found[1]) >= len(names):
        return where
    return names[int(found[1])] + where[found.end() :]


def stand_in(own: Function, theirs: Function) -> Function:
    """`own`, called as `theirs` is: by the names of its arguments, and with more of them, which are left
    out."""
    arity, keywords = _signature(own)

    @functools.wraps(theirs)
    def function(*args: Value, **kwargs: Value) -> Value:
        options = {key: value for key, value in kwargs.items() if key in keywords}
        return own(*_positional(theirs, args, kwargs)[:arity], **options)

    return function


# --- dispatchers ----------------------------------------------------------------------------------

_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
_lock = threading.RLock()
_bound: dict[tuple[int, Value], tuple[Function | None, int]] = {}
"""By namespace and key: the original, and how many checks have bound it."""


@contextmanager
def _recording(recorder: Recorder | None) -> Iterator[None]:
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


unrecorded = _recording(None)
"""Decorates a check: what it does by itself is no call of the tested code of another check that runs it."""


def _held(namespace: dict[Value, Value] | CellType, key: Value) -> Value:
    """None where there is nothing: in an empty cell, or in an object that has a method of this name."""
    if not isinstance(namespace, CellType):
        return namespace.get(key)
    try:
        return namespace.cell_contents
    except ValueError:
        return None


def _hold(namespace: dict[Value, Value] | CellType, key: Value, function: Function | None) -> None:
    if isinstance(namespace, CellType):
        namespace.cell_contents = function
    elif function is None:
        namespace.pop(key, None)
    else:
        namespace[key] = function


def _bind(place: Place, method: Function | None) -> None:
    namespace, key, name = place
    with _lock:
        original, count = _bound.get((id(namespace), key), (_held(namespace, key), 0))
        _bound[id(namespace), key] = original, count + 1
        function = original or method
        if not count and function is not None:
            _hold(namespace, key, _dispatcher(name, function))


def _unbind(place: Place) -> None:
    namespace, key, _ = place
    with _lock:
        if (id(namespace), key) in _bound:
            original, count = _bound.pop((id(namespace), key))
            if count > 1:
                _bound[id(namespace), key] = original, count - 1
            else:
                _hold(namespace, key, original)


def _unbind_all(places: list[Place]) -> None:
    while places:
        _unbind(places[-1])
        places.pop()


def _dispatcher(name: str, original: Function) -> Function:
    @functools.wraps(original)
    def dispatched(*args: Value, **kwargs: Value) -> Value:
        recorder = _recorder.get()
        if recorder is None:
            return original(*args, **kwargs)
        return recorder.call(name, original, *args, **kwargs)

    return dispatched
