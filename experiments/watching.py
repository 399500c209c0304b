"""`check --watch`: a check at each save, and what changed since the last."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from experiments.stopping import Stopped
from sandbox.verifier.report import Report
from sandbox.verifier.rows import Verdict

_STATES = {
    Verdict.NOT_WRITTEN: "not written yet",
    Verdict.NOT_JUDGED: "not judged",
    Verdict.PASS: "right",
}
_ENDINGS = (".py", ".ipynb", ".md", ".markdown")


def watch(paths: Sequence[Path], check: Callable[[], Report | None], show: Callable[[str], None]) -> None:
    """Check now and at each save, until Ctrl-C.

    Args:
        check: shows what it finds; None if it could not be checked.
        show: prints a line.
    """
    before: Report | None = None
    with contextlib.suppress(KeyboardInterrupt, Stopped):
        for number, _ in enumerate(_saves(paths)):
            show(f"\n--- {time.strftime('%H:%M:%S')}" if number else f"Watching {', '.join(map(str, paths))}")
            after = check()
            for line in changes(before, after) if before is not None and after is not None else ():
                show(line)
            before = before if after is None else after


def _saves(paths: Sequence[Path]) -> Iterator[None]:
    """Once at first, then at each save. The folders are watched: editors put another file in the place of
    one, and helpers beside it count. The times of the files are looked at too, for what happened before the
    watch began, and for file systems that tell of nothing."""
    from watchfiles import watch as changed

    times = _times(paths)
    yield
    folders = {path if path.is_dir() else path.resolve().parent for path in paths}
    for events in changed(
        *folders, recursive=any(path.is_dir() for path in paths), debounce=100, rust_timeout=200,
        yield_on_timeout=True, watch_filter=lambda change, file: file.endswith(_ENDINGS),
    ):  # fmt: skip
        now = _times(paths)
        if events or now != times:
            times = now
            yield


def _times(paths: Sequence[Path]) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]


def states(report: Report) -> dict[str, str]:
    """Of each function: right, wrong, not written yet, not judged. Nothing of one that may only follow."""
    found: dict[str, str] = {}
    for title, part in (report.parts or {"": report}).items():
        blamed = {finding.row.function for finding in part.findings}
        following = {row.function for row in part.failures()} - blamed
        for row in part.rows:
            name = f"{title}: {row.function}" if title else row.function
            if row.function in blamed:
                found[name] = "wrong"
            elif row.verdict in _STATES and row.function not in following:
                found.setdefault(name, _STATES[row.verdict])
    return found


def changes(before: Report, after: Report) -> list[str]:
    """The functions whose state is another: "linear_backward: not written yet -> right"."""
    was, now = states(before), states(after)
    lines = [
        f"{name}: {was[name]} -> {state}" for name, state in now.items() if was.get(name, state) != state
    ]
    same = before.to_dict() == after.to_dict()
    return lines or ["Nothing changed." if same else "What is said of the functions changed."]
