"""Running statements one by one: what they print is held back, and what takes long is stopped."""

import __future__

import ast
import contextlib
import ctypes
import io
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TextIO

from sandbox.reading.parsing import Statement
from sandbox.verifier.loading import raised_at
from sandbox.verifier.warned import own_warnings, surely

LIMIT = 5.0
"""Seconds that a statement may take. An import of what is installed may take any time."""


class _TooLongError(BaseException):
    """Not an Exception, which the user's code might catch."""


@dataclass(frozen=True)
class Failure:
    """A statement that could not be run, and why."""

    statement: Statement
    why: str


@dataclass(frozen=True)
class Ran:
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]


def run(statements: Sequence[Statement], module: ModuleType, roots: Sequence[str]) -> Ran:
    """Run statements in a module, with the project's folders importable. One that fails is passed over."""
    failures: list[Failure] = []
    flags = 0
    with held_back(), own_warnings() as warnings:
        for statement in statements:
            flags |= _future(statement.node)
            if why := _failure(statement, module, flags, _limit(statement.node, roots)):
                failures.append(Failure(statement, why))
    return Ran(tuple(failures), tuple(dict.fromkeys(warnings)))


def _failure(statement: Statement, module: ModuleType, flags: int, limit: float | None) -> str:
    tree = ast.Module([statement.node], [])
    try:
        code = compile(tree, statement.block.filename, "exec", flags, dont_inherit=True)
        with _without_windows():
            _within(limit, lambda: exec(code, vars(module)))
    except _TooLongError:
        return f"it takes longer than {limit:g} s"
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        return f"it raised {raised_at(error)}".rstrip(".")
    return ""


def _future(node: ast.stmt) -> int:
    """The compiler's flags for what is imported from __future__, for this and all further statements."""
    if not isinstance(node, ast.ImportFrom) or node.module != "__future__":
        return 0
    features = [getattr(__future__, alias.name, None) for alias in node.names]
    return sum(feature.compiler_flag for feature in features if feature)


def _limit(node: ast.stmt, roots: Sequence[str]) -> float | None:
    """A neighbour's import may train, too; that of a large package takes its time."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = ["" if node.level else str(node.module)]
    else:
        return LIMIT
    tops = [name.partition(".")[0] for name in names]
    beside = [Path(root, top + end).exists() for root in roots for top in tops for end in ("", ".py")]
    return LIMIT if any(beside) else None


def _within(seconds: float | None, work: Callable[[], None]) -> None:
    """Raises `_TooLongError` in this thread when the time is over, and again until it leaves. A call into C
    is waited for."""
    if seconds is None:
        return work()
    left, mine = threading.Event(), ctypes.c_ulong(threading.get_ident())

    def watch() -> None:
        wait = seconds
        while not left.wait(wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(mine, ctypes.py_object(_TooLongError))
            wait = 0.1

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        watcher.start()
        work()
    finally:
        # Here, not in a function, at whose beginning the next might come. One that is pending is not cleared
        # with NULL: CPython goes on to look for it, for ever where calls are traced.
        ended = False
        while not ended:
            try:
                left.set()
                watcher.join()
                for _ in range(2):  # where one that is still to come does
                    pass
                ended = True
            except _TooLongError:
                pass


# --- what is held back -------------------------------------------------------------------------------------


_holding: ContextVar[bool] = ContextVar("holding", default=False)
_lock = threading.RLock()
_streams = contextlib.ExitStack()
_held: list[object] = []  # one for each that holds back, in several threads or nested


class _Held(io.StringIO):
    """Takes what is written while this thread's output is held back; other threads' goes where it went."""

    def __init__(self, others: TextIO) -> None:
        super().__init__()
        self.others = others

    def write(self, text: str) -> int:
        return len(text) if _holding.get() else self.others.write(text)

    def flush(self) -> None:
        if not _holding.get():
            self.others.flush()

    def isatty(self) -> bool:
        return not _holding.get() and self.others.isatty()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Nothing that this thread prints is shown, and `input()` finds the end of the file."""
    token, mine = _holding.set(True), object()
    try:
        _hold(mine)
        yield
    finally:
        surely(lambda: _let_go(mine))
        _holding.reset(token)


def _hold(mine: object) -> None:
    """The first puts the streams' stand-ins in place, for all threads."""
    with _lock:
        if not _held:
            _streams.enter_context(contextlib.redirect_stdout(_Held(sys.stdout)))
            _streams.enter_context(contextlib.redirect_stderr(_Held(sys.stderr)))
            _streams.callback(setattr, sys, "stdin", sys.stdin)
            sys.stdin = io.StringIO()
        _held.append(mine)


def _let_go(mine: object) -> None:
    """The last takes them away."""
    with _lock:
        _held[:] = [other for other in _held if other is not mine]
        if not _held:
            _streams.close()


@contextlib.contextmanager
def _without_windows() -> Iterator[None]:
    """`plt.show()` does nothing, if it is there; the backend that was chosen stays as it is."""
    names = vars(sys.modules.get("matplotlib.pyplot", ModuleType("none")))
    show = names.get("show")
    names["show"] = lambda *args, **options: None
    try:
        yield
    finally:
        names["show"] = show
