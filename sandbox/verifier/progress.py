"""How far a check is, for whoever asked to be told.

with shown(lambda done, total, what: print(f"{done:.1f} of {total}: {what}")):
    sandbox.check("my_backprop.py")
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias, TypeVar

Show: TypeAlias = Callable[[float, int, str], None]
"""Told what is done, of how many parts, and what is begun, in words. What is done never falls, and is at most
the total, which stays the same during one check."""

_T = TypeVar("_T")


class Begin(Protocol):
    def __call__(self, what: str, weight: int = 1) -> None: ...


class _Level:
    """Parts of a check, or of a part of one; `current` is the weight of the one that has begun."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.current = max(total, 1), 0, 0

    def begin(self, weight: int) -> None:
        self.done = min(self.done + self.current, self.total)
        self.current = min(weight, self.total - self.done)


class _Progress:
    def __init__(self, show: Show) -> None:
        self.show = show
        self.levels: list[_Level] = []
        self.most = 0.0  # something may be judged once more

    def tell(self, what: str) -> None:
        fraction = 0.0
        for level in reversed(self.levels):
            fraction = (level.done + level.current * fraction) / level.total
        self.most = max(self.most, fraction)
        self.show(self.most * self.levels[0].total, self.levels[0].total, what)


_progress: ContextVar[_Progress | None] = ContextVar("progress", default=None)


@contextmanager
def shown(show: Show) -> Iterator[None]:
    """While this lasts, checks of this thread tell how far they are."""
    token = _progress.set(_Progress(show))
    try:
        yield
    finally:
        _progress.reset(token)


@contextmanager
def parts(total: int) -> Iterator[Begin]:
    """A check, or a part of one, of so many parts; what to call when one is begun, with its weight."""
    progress = _progress.get()
    if progress is None:
        yield lambda what, weight=1: None
        return
    level = _Level(total)

    def begin(what: str, weight: int = 1) -> None:
        level.begin(weight)
        progress.tell(what)

    progress.levels.append(level)
    try:
        yield begin
    finally:
        progress.levels.pop()


def told(items: Iterable[_T], what: str) -> Iterator[_T]:
    """The items, each a part under the same name."""
    items = list(items)
    with parts(len(items)) as begin:
        for item in items:
            begin(what)
            yield item
