"""Claims about `check --watch`: a check at each save, and what changed."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.watching import changes
from sandbox import check

RIGHT = "import numpy as np\ndef relu_backward(dA, Z):\n    return np.where(Z > 0, dA, 0)\n"
UNWRITTEN = "import numpy as np\ndef relu_backward(dA, Z):\n    pass\n"
WRONG = RIGHT.replace("0)", "1)")


class Watched:
    """The command on a file, and its lines as they come."""

    def __init__(self, file: Path) -> None:
        command = "from experiments.entry import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "check", "--watch", str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=file.parent,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line)

    def until(self, text: str) -> float:
        """Waits for a line with this text; the seconds that took."""
        began, seen = time.monotonic(), ""
        while text not in seen:
            assert time.monotonic() - began < 60, seen
            seen += self.lines.get(timeout=60)
        return time.monotonic() - began


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "mine.py").write_text(UNWRITTEN)
    watched = Watched(tmp_path / "mine.py")
    yield watched
    watched.process.kill()
    watched.process.wait()
    watched.reader.join()


@pytest.mark.slow
def test_each_save_is_checked_until_ctrl_c(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    watched.until("not written")
    file.write_text("def relu_backward(dA, Z:\n")
    watched.until("does not parse")
    other = tmp_path / "mine.py.new"
    other.write_text(RIGHT)
    other.replace(file)  # as editors save
    assert watched.until("relu_backward: not written yet -> right") < 10
    file.write_text(WRONG)
    watched.until("relu_backward: right -> wrong")
    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(timeout=30) == 0
    assert "Traceback" not in "".join(watched.lines.queue)


def test_what_changed_is_said_of_each_function(tmp_path: Path) -> None:
    reports = []
    for text in (UNWRITTEN, RIGHT, WRONG):
        (tmp_path / "mine.py").write_text(text)
        reports.append(check(tmp_path / "mine.py"))
    unwritten, right, wrong = reports
    assert changes(right, right) == ["Nothing changed."]
    assert changes(wrong, replace(wrong, remarks=("...",))) == ["What is said of the functions changed."]
    assert changes(unwritten, right) == ["relu_backward: not written yet -> right"]
    assert changes(right, wrong) == ["relu_backward: right -> wrong"]
    assert changes(wrong, right) == ["relu_backward: wrong -> right"]
    assert changes(right, right) == ["Nothing changed."]


def test_there_must_be_something_to_watch() -> None:
    result = CliRunner().invoke(app, ["check", "--watch"])
    assert result.exit_code == 2
    assert result.stderr == "Error: --watch: give the path of a file, and no --json.\n"
