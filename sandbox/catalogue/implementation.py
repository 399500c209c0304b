"""One entry of the catalogue, and how entries are collected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Implementation:
    """A function in place of one of the exercise's.

    Attributes:
        name: what it does, or does wrong.
        replaces: the exercise's name for it.
        function: the replacement.
        wrong: whether it must be caught; then `replaces` is what must be blamed.
        mistake: what people get wrong here, in a sentence; "" for a right one.
    """

    name: str
    replaces: str
    function: Function
    wrong: bool
    mistake: str = ""


def collected(
    catalogue: list[Implementation], *, wrong: bool
) -> Callable[..., Callable[[Function], Function]]:
    """A decorator that enters a function into the catalogue under its own name."""

    def enter(replaces: str, mistake: str = "") -> Callable[[Function], Function]:
        def entered(function: Function) -> Function:
            catalogue.append(Implementation(function.__name__, replaces, function, wrong, mistake))
            return function

        return entered

    return enter
