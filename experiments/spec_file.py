"""The fields of a spec from a TOML file."""

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from experiments.sentences import shown
from experiments.spec import SpecError

LARGEST_FILE = 10**6  # bytes


# A hundred names joined by dots, as no key of a spec is: for these tomllib takes a time of the third power.
_DOTTED = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+){100}""")


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a TOML file, not yet validated; SpecError when it cannot be read."""
    text = _text(path)
    try:
        if _DOTTED.search(text):
            raise RecursionError
        return _beside(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(
            f"spec file: {shown(str(path))} is not valid TOML: {error}; correct that line."
        ) from None
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        what = "values nested too deeply" if deep else "a number of too many digits"
        raise SpecError(
            f"spec file: {shown(str(path))} holds {what}, expected the fields of a spec."
        ) from None


def _beside(path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with the path of the functions, which is relative to the file's own folder."""
    functions = fields.get("functions")
    return fields | {"functions": str(path.parent / functions)} if isinstance(functions, str) else fields


def _text(path: Path) -> str:
    """What is in a regular file. What never ends, as /dev/zero, or never begins, as a pipe, is not read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            reason = "no regular file"
        elif len(content := _start(path)) > LARGEST_FILE:
            reason = f"larger than {LARGEST_FILE} bytes"
        else:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
    except (OSError, ValueError) as error:  # a path with a zero character is a ValueError
        reason = getattr(error, "strerror", None) or "no path of a file"
    raise SpecError(f"spec file: cannot read {shown(str(path))} ({reason}); give the path of a TOML file.")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)
