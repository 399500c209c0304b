"""Where in the user's files an error was raised."""

import textwrap
import traceback
from pathlib import Path

_OURS = Path(__file__).parents[1]


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
