"""Words about what was given: short, on one line, without a character that a terminal would obey."""

import difflib
import reprlib
from collections.abc import Iterable

LONGEST = 200

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = LONGEST


def shown(value: object) -> str:
    """The value in Python's notation, on one line of at most 200 characters, whatever it is."""
    try:
        text = " ".join(_REPR.repr(value).split())
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def escaped(text: str) -> str:
    """The text, on one line, with the characters that cannot be seen as Python writes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(name: object, names: Iterable[str]) -> str:
    """ " (did you mean 'depths'?)" for the name of these that looks most like it, "" where none does."""
    found = difflib.get_close_matches(str(name)[:40], names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""
