"""The catalogue's implementations by their names, for tests that need a known mistake."""

from __future__ import annotations

from sandbox.network.catalogue import RIGHT, WRONG, Implementation
from sandbox.typing import Function
from sandbox.verifier.rows import Row

_BY_NAME = {implementation.name: implementation for implementation in (*WRONG, *RIGHT)}


def entry(name: str) -> Implementation:
    """The catalogue's implementation of this name."""
    return _BY_NAME[name]


def planted(name: str) -> dict[str, Function]:
    """The functions to check with this implementation in its place."""
    return {entry(name).replaces: entry(name).function}


def explanation(row: Row) -> str:
    """The mistake, where one is recognised, else what is wrong."""
    return row.pattern or row.finding
