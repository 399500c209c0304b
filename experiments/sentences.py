"""Words about what was given: short, on one line, without a character that a terminal would obey."""

import difflib
import re
import reprlib
from collections.abc import Iterable

LONGEST = 200


class _InToml(reprlib.Repr):
    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()


_PYTHON, _TOML = reprlib.Repr(), _InToml()
for _notation in (_PYTHON, _TOML):
    _notation.maxstring = _notation.maxother = LONGEST


def shown(value: object) -> str:
    """The value in Python's notation, on one line of at most 200 characters, whatever it is."""
    return _written(value, _PYTHON)


def as_in_toml(value: object) -> str:
    """The same with true and false as TOML has them, which is otherwise close to Python."""
    return _written(value, _TOML)


def _written(value: object, notation: reprlib.Repr) -> str:
    try:
        text = " ".join(notation.repr(value).split())
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def escaped(text: str) -> str:
    """The text, on one line, with the characters that cannot be seen as Python writes them."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(name: object, names: Iterable[str]) -> str:
    """ " (did you mean 'depths'?)" for the name of these that looks most like it, "" where none does."""
    found = most_like(name, names)
    return f" (did you mean {found!r}?)" if found else ""


def most_like(name: object, names: Iterable[str]) -> str | None:
    """The name of these that looks most like it, capital or not, or of whose words it has the initials."""
    asked = name[:40].casefold() if isinstance(name, str) else ""
    known = {each.casefold(): each for each in names}
    for folded, each in known.items():
        words = re.split("[-_]", folded)
        if len(words) > 1 and asked == "".join(word[:1] for word in words):
            return each
    found = difflib.get_close_matches(asked, known, n=1)
    return known[found[0]] if found else None


def is_number(text: str) -> bool:
    """Whether the text is one, as Python reads it."""
    try:
        float(text)
    except ValueError:
        return False
    return True
