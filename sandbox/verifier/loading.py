"""The user's files: how they are run, and where in them an error was raised."""

import importlib.util
import os
import sys
import textwrap
import traceback
from pathlib import Path
from types import ModuleType

_OURS = Path(__file__).parents[1]


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
    _only_importable(path.resolve().parent)
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # where dataclasses, for one, look for it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        words = f"running {path} raised {raised_at(error)}; correct the file and check again."
        raise ValueError(words) from error
    finally:
        if known is not None:
            sys.modules[path.stem] = known
    return module


_importable: list[str] = []  # the folder of the last file


def _only_importable(folder: Path) -> None:
    """Makes a folder importable, and forgets that of the file before with the modules that came from it: of
    two helpers of one name each file gets its own."""
    for other in _importable:
        sys.path[:] = [entry for entry in sys.path if entry != other]
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(other + os.sep):
                del sys.modules[name]
    _importable[:] = [] if str(folder) in sys.path else [str(folder)]
    sys.path[:0] = _importable


def raised_at(error: BaseException) -> str:
    """An exception and the last line of the user's code that it passed, in words."""
    frames, kind = _users(error)[-1:], type(error).__name__
    where = "" if isinstance(error, SyntaxError) else _where(frames)  # whose text names the place
    said = str(error) or "".join(frame.line or "" for frame in frames)
    text = textwrap.shorten(said, 200, placeholder=" ...")
    return f"{kind}: {text}{where}" if text else f"{kind}{where}"


def first_line(error: BaseException) -> str:
    """The first line of the user's code that an exception passed, in words."""
    return _where(_users(error)[:1])


def _users(error: BaseException) -> list[traceback.FrameSummary]:
    """The lines of the user's code that an exception passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    return [f for f in frames if _OURS not in list(Path(f.filename).parents)[:2]]


def _where(frames: list[traceback.FrameSummary]) -> str:
    return "".join(f" ({Path(f.filename).name}, line {f.lineno}, in {f.name})" for f in frames)
