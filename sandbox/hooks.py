"""Which functions are tested, and what each of them really received and returned.

During a check the exercise's names, in the tested functions' own modules and in `sandbox.network`,
are bound to recorders, so that a call from one function to another is seen with its arguments as
they were. Inside a replacement its own name means the original: a replacement may call what it
replaces. Checks of one process exclude each other while the names are bound.
"""

from __future__ import annotations

import copy
import difflib
import functools
import importlib.util
import inspect
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sandbox import network
from sandbox.equations import FUNCTIONS

Function = Callable[..., Any]
_ARITY = {name: len(inspect.signature(getattr(network, name)).parameters) for name in FUNCTIONS}
_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic)
_LOCK = threading.RLock()


@dataclass
class Call:
    """One call: arguments as they were before it, result as it was after it.

    Attributes:
        mutated: what of the arguments the call changed, in words; "" for nothing.
        error: "" or the exception and its place, in words.
        line: "" or the line of the called function at which it was raised, by itself or by what it called.
        parent: the call during which this one was made.
        layer: filled in by the check.
    """

    function: str
    arguments: tuple[Any, ...]
    parent: Call | None
    result: Any = None
    mutated: str = ""
    error: str = ""
    line: str = ""
    finished: bool = False
    layer: int | None = None
    children: list[Call] = field(default_factory=list)


def resolve(functions: Mapping[str, Function] | ModuleType | str | Path | None) -> dict[str, Function]:
    """The tested functions by the exercise's names.

    Args:
        functions: a mapping; a module or the path of a Python file, whose functions of these names
            are taken; None for those of `sandbox.network`.

    Raises:
        TypeError, ValueError: no such names, or unknown ones; the file cannot be read or run.
    """
    if functions is None:
        return {name: getattr(network, name) for name in FUNCTIONS}
    if isinstance(functions, str | Path):
        functions = load_file(Path(functions))
    if isinstance(functions, ModuleType):
        found = {n: vars(functions)[n] for n in FUNCTIONS if callable(vars(functions).get(n))}
        if not found:
            meant = [m for n in vars(functions) for m in difflib.get_close_matches(n, FUNCTIONS, 1, 0.8)]
            hint = f" (did you mean {meant[0]}?)" if meant else ""
            raise ValueError(
                f"functions: module {functions.__name__!r} defines none of the functions that can be "
                f"checked, linear_backward, L_model_backward, ...{hint}; nor a sandbox.Operation whose name "
                "begins with neither 'wrong' nor '_'."
            )
        return found
    if not isinstance(functions, Mapping):
        raise TypeError(
            f"functions is a {type(functions).__name__}, expected a mapping such as "
            "{'linear_backward': my_function}, a module, or the path of a Python file."
        )
    for name, function in functions.items():
        if name not in FUNCTIONS:
            raise ValueError(f"functions has the name {name!r}, expected one of: {', '.join(FUNCTIONS)}.")
        if not callable(function):
            raise TypeError(f"functions[{name!r}] is a {type(function).__name__}, expected a function.")
    if not functions:
        raise ValueError("functions is empty, expected at least one function to check.")
    return dict(functions)


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own; its folder becomes importable, as that of a script is.

    Raises:
        ValueError: it is not a Python file, or running it raises or exits.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.exists():
        raise ValueError(f"{path} does not exist; give the path of a Python file.")
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file; give the path of a .py file.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    known = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # where dataclasses, for one, look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"running {path} raised {place(error)}; correct the file and check again."
        ) from error
    finally:
        if known is not None:
            sys.modules[path.stem] = known
    return module


def place(error: BaseException) -> str:
    """An exception and the last line of the user's code that it passed, in words."""
    frames = _users(error)
    where = "" if isinstance(error, SyntaxError) else _where(frames[-1:])  # whose text names the place
    text = textwrap.shorten(
        str(error) or (frames[-1].line if frames else None) or "", 200, placeholder=" ..."
    )
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def _users(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines of the user's code that an exception passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    return [f for f in frames if Path(f.filename).parent != Path(__file__).parent]


def _where(frames: list[traceback.FrameSummary]) -> str:
    return "".join(f" ({Path(f.filename).name}, line {f.lineno}, in {f.name})" for f in frames)


class Recorder:
    """Binds the tested functions under their names and keeps the calls, in the order they began."""

    def __init__(self, tested: Mapping[str, Function]) -> None:
        self.tested = dict(tested)
        self.calls: list[Call] = []
        self._stack: list[Call] = []
        self._inside: set[str] = set()

    @contextmanager
    def bound(self) -> Iterator[dict[str, Function]]:
        """While this lasts the names are bound; gives the whole set of functions to call."""
        namespaces = [vars(network)]
        for function in self.tested.values():
            own = getattr(inspect.unwrap(function), "__globals__", None)
            if own is not None and all(own is not n for n in namespaces):
                namespaces.append(own)
        with _LOCK:
            saved = [(n, {k: n[k] for k in FUNCTIONS if callable(n.get(k))}) for n in namespaces]
            try:
                for namespace, originals in saved:
                    for name, original in originals.items():
                        target = self.tested.get(name, original)
                        namespace[name] = self._recording(name, target, original)
                yield {
                    name: self._recording(name, self.tested.get(name, original), original)
                    for name, original in saved[0][1].items()
                }
            finally:
                for namespace, originals in saved:
                    namespace.update(originals)

    def _recording(self, name: str, target: Function, original: Function) -> Function:
        @functools.wraps(target)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            if name in self._inside:
                return original(*args, **kwargs)
            # Further arguments, of a function of the user's own signature, are passed on and not looked at.
            arguments = _positional(target, args, kwargs)[: _ARITY[name]]
            return self._call(name, functools.partial(target, *args, **kwargs), arguments)

        return recorded

    def _call(self, name: str, function: Function, arguments: tuple[Any, ...]) -> Any:
        """Call `function`, which has its arguments, and keep what it got and gave."""
        parent = self._stack[-1] if self._stack else None
        call = Call(name, copied(arguments), parent)
        self.calls.append(call)
        if parent is not None:
            parent.children.append(call)
        self._stack.append(call)
        self._inside.add(name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the contracts ask for them
                result = function()
            call.result, call.finished = copied(result), True
            return result
        except (Exception, SystemExit) as error:
            call.error, call.line = place(error), _where(_users(error)[:1])
            raise
        finally:
            self._inside.discard(name)
            self._stack.pop()
            call.mutated = difference(call.arguments, arguments)


def _positional(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the signature, so that recorded calls read alike."""
    if not kwargs:
        return args
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError:  # the call will say so
        return args
    return (*bound.args, *bound.kwargs.values())


def copied(value: Any) -> Any:
    """A deep copy. Where something cannot be copied (a graph of another library, an open file), the arrays
    in tuples, lists and dicts are copied, and all other objects are the same, lest their ties be cut."""
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever an object of the user's says
        return _with_arrays_copied(value)


def _with_arrays_copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: _with_arrays_copied(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = map(_with_arrays_copied, value)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def difference(before: Any, after: Any, where: str = "argument") -> str:
    """The first place at which two nested values differ in bits or structure, in words; "" for none."""
    return _difference(before, after, where, set())


def _difference(before: Any, after: Any, where: str, seen: set[tuple[int, int]]) -> str:
    """`seen`: the pairs of objects looked at, which may hold each other."""
    pair = id(before), id(after)
    if pair in seen or isinstance(before, ModuleType):
        return ""
    seen.add(pair)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        if before.keys() != after.keys():
            return f"the keys of {where}"
        pairs = [(f"{where}[{key!r}]", before[key], after[key]) for key in before]
    elif isinstance(before, tuple | list) and isinstance(after, tuple | list):
        if len(before) != len(after):
            return f"the length of {where}"
        pairs = [(f"{where}[{i}]", b, a) for i, (b, a) in enumerate(zip(before, after, strict=True))]
    elif isinstance(before, np.ndarray) or isinstance(after, np.ndarray):
        b, a = np.asarray(before), np.asarray(after)
        floats = b.dtype.kind == "f"
        same = b.shape == a.shape and b.dtype == a.dtype and np.array_equal(b, a, equal_nan=floats)
        return "" if same else where
    elif hasattr(before, "__dict__") and type(before) is type(after) and not callable(before):
        return _difference(vars(before), vars(after), where, seen)
    else:
        # Of other objects a copy need not be equal.
        plain = isinstance(before, _PLAIN)
        return where if plain and before != after and before == before else ""
    return next((d for name, b, a in pairs if (d := _difference(b, a, name, seen))), "")
