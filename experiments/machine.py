"""What this machine has left."""

import math
import shutil
import sys
from pathlib import Path

import psutil


def available_memory() -> float:
    """Bytes that may still be taken: without swapping, and within this process's own limit (ulimit -v)."""
    left: float = _limit_of_addresses() - psutil.Process().memory_info().vms
    free: float = psutil.virtual_memory().available
    return max(0.0, min(free, left))


def _limit_of_addresses() -> float:
    if sys.platform == "win32":
        return math.inf
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else limit


def free_disk(folder: Path) -> int:
    """Bytes free where the folder is, or will be."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def in_words(size: float) -> str:
    """A number of bytes as "2.1 GB" (10^9 bytes)."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"
