"""The fields of a spec from a TOML file."""

import re
import tomllib
from pathlib import Path
from typing import Any

from experiments.lists.kinds import SpecError
from experiments.lists.texts import read_text
from experiments.sentences import shown
from experiments.source import named_set

LARGEST_FILE = 10**6  # bytes
FILES = ("data", "points", "functions")
"""The fields that are paths relative to the spec's file."""


# A hundred names joined by dots, as no key of a spec is: for these tomllib takes a time of the third power.
_DOTTED = re.compile(r"""(?:\.[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+){100}""")


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a TOML file, not yet validated; SpecError when it cannot be read."""
    text = read_text(path, "spec file", "TOML", LARGEST_FILE)
    try:
        if _DOTTED.search(text):
            raise RecursionError
        return _placed(tomllib.loads(text), path)
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


def _placed(fields: dict[str, Any], file: Path) -> dict[str, Any]:
    """The same with the paths of other files relative to the folder of this one."""
    placed: dict[str, Any] = {
        name: beside(file, path)
        for name in FILES
        if isinstance(path := fields.get(name), str) and not (name == "data" and named_set(path))
    }
    union = fields.get("union")
    if isinstance(union, list):
        placed["union"] = [_placed(part, file) if isinstance(part, dict) else part for part in union]
    return fields | placed


def beside(file: Path, path: str) -> str:
    """The path of a file that `file` names, relative to the folder in which `file` lies."""
    return str(file.parent / path)
