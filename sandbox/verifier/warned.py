"""What the user's code warns of: caught in one thread, while other threads' warnings go where they went."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import numpy as np

from sandbox.typing import Value

_lock = threading.RLock()
_caught: ContextVar[list[str] | None] = ContextVar("caught", default=None)
_filters = ExitStack()
_catching: list[list[str]] = []  # the texts of all that are, in several threads or nested


@contextmanager
def own_warnings() -> Iterator[list[str]]:
    """The texts of the warnings that this thread gives; other threads' go where they went. Of the
    floating-point unit: as `np.errstate` says."""
    caught: list[str] = []
    token = _caught.set(caught)
    try:
        _catch(caught)
        yield caught
    finally:
        surely(lambda: _release(caught))
        _caught.reset(token)


def _catch(caught: list[str]) -> None:
    """The first that catches warnings turns the filters off, for all threads."""
    with _lock:
        if not _catching:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always")
            warnings.showwarning = functools.partial(_show, warnings.showwarning)
        _catching.append(caught)


def _release(caught: list[str]) -> None:
    """The last restores them."""
    with _lock:
        _catching[:] = [other for other in _catching if other is not caught]
        if not _catching:
            _filters.close()


def _show(others: Callable[..., None], message: Warning | str, *where: Value, **options: Value) -> None:
    caught = _caught.get()
    if caught is None:
        others(message, *where, **options)
    else:
        caught.append(str(message))


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor those of the floating-point unit are shown."""
    with own_warnings(), np.errstate(all="ignore"):
        yield


def surely(undo: Callable[[], None]) -> None:
    """Does it to its end, whatever happens: Ctrl-C waits until all is as it was. It may be done twice."""
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            undo()
            break
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
