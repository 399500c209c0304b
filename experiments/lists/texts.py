"""Text that a user gave in a file."""

import stat
from pathlib import Path

from experiments.lists.kinds import SpecError
from experiments.sentences import shown


def read_text(path: Path, what: str, kind: str, largest: int) -> str:
    """What is in a regular file. What never ends, as /dev/zero, or never begins, as a pipe, is not read.

    Args:
        what: the file is, as the sentence begins. kind: of file that is expected there.
        largest: bytes.

    Raises:
        SpecError: it cannot be read, or is larger, or no UTF-8.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            reason = "no regular file"
        elif len(content := _start(path, largest)) > largest:
            reason = f"larger than {largest} bytes"
        else:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
    except (OSError, ValueError) as error:  # a path with a zero character is a ValueError
        reason = getattr(error, "strerror", None) or "no path of a file"
    raise SpecError(f"{what}: cannot read {shown(str(path))} ({reason}); give the path of a {kind} file.")


def _start(path: Path, largest: int) -> bytes:
    with path.open("rb") as file:
        return file.read(largest + 1)
