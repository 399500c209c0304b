"""Claims about what is shown of a slow check, and of a sweep."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from experiments import cli
from experiments.progress import Status, shown

CHECK = ["check", "--depth", "8", "--width", "48", "--examples", "64", "--seed", "11"]  # a second


def checked(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, slow: float) -> tuple[Result, str]:
    """The result of a check that counts as slow after so many seconds, and what stderr showed."""
    errors = io.StringIO()

    def console(file: Any = None) -> Console:  # given one for the bar alone
        of_bar = file is not None
        return Console(file=errors if of_bar else sys.stdout, force_terminal=of_bar and terminal, width=100)

    monkeypatch.setattr(cli, "Console", console)
    monkeypatch.setattr(cli, "SLOW", slow)
    return CliRunner().invoke(cli.app, CHECK), errors.getvalue()


def test_a_slow_check_shows_what_it_looks_at_and_the_time_left_and_then_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, shown = checked(monkeypatch, terminal=True, slow=0.05)
    assert result.exit_code == 0
    assert re.search(r"checking [a-z_]+ ", shown)
    assert "%" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)  # the time left
    assert shown.endswith("\x1b[2K")  # the line is erased
    assert "checking" not in result.stdout


@pytest.mark.parametrize(("terminal", "slow"), [(True, 600.0), (False, 0.0)])
def test_a_quick_check_shows_nothing_nor_does_one_in_a_pipe(
    terminal: bool, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, shown = checked(monkeypatch, terminal=terminal, slow=slow)
    assert result.exit_code == 0
    assert shown == ""


# --- a sweep ----------------------------------------------------------------------------------


def sweep_shown(statuses: list[tuple[float, Status]], *, terminal: bool, quiet: bool = False) -> str:
    """What is shown of statuses, each at its time in seconds."""
    shown_to, now = io.StringIO(), [0.0]
    console = Console(file=shown_to, force_terminal=terminal, width=100, color_system=None)
    with shown(console, quiet, lambda: now[0]) as show:
        for now[0], status in statuses:
            show(status)
    return shown_to.getvalue()


def status(part: float, runs_done: int, diverged: int = 0) -> Status:
    return Status(
        runs=40, steps=4000, architectures=2, runs_done=runs_done, steps_done=int(4000 * part),
        diverged=diverged, verified=1, part=part,
    )  # fmt: skip


SWEEP = [
    (0.0, status(0.0, 0)),
    (5.0, status(0.05, 0)),
    (12.0, status(0.1, 0, 3)),
    (13.0, status(0.25, 10, 3)),
]


def test_a_log_has_a_line_every_ten_seconds_and_at_each_group() -> None:
    assert sweep_shown(SWEEP, terminal=False).splitlines() == [
        "sweep   0%  0/40 runs, 0 diverged, 1/2 verified, 0 steps/s, 0/4000 steps",
        "sweep  10%  0/40 runs, 3 diverged, 1/2 verified, 33.3 steps/s, 400/4000 steps, 108 s left",
        "sweep  25%  10/40 runs, 3 diverged, 1/2 verified, 76.9 steps/s, 1000/4000 steps, 39 s left",
    ]


@given(st.floats(0.02, 0.98), st.floats(0.05, 20))
@settings(deadline=None)
def test_the_time_left_falls_as_steps_are_done_also_when_they_take_longer_than_before(
    change: float, slower: float
) -> None:
    """A status a second, at one pace for 100 s and at another from then on; from half a minute later at the
    latest what is left falls by what has passed, but for 1 s of rounding."""
    speeds = [change / 100] * 100 + [(1 - change) / 100 / slower] * int(100 * slower)
    parts = itertools.accumulate(speeds)
    statuses = [(float(t), status(part, 0)) for t, part in enumerate(parts)]
    lines = sweep_shown(statuses, terminal=False).splitlines()
    left = [float(found[1]) for line in lines if (found := re.search(r", (\d+) s left", line))]
    late = left[14:]  # a line every 10 s
    assert all(abs(before - after - 10) <= 1 for before, after in itertools.pairwise(late))


def test_a_terminal_in_which_nothing_can_be_replaced_has_lines_as_a_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert sweep_shown(SWEEP, terminal=True) == sweep_shown(SWEEP, terminal=False)


def test_a_terminal_has_a_bar_that_moves_within_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = sweep_shown(SWEEP, terminal=True)
    assert "━" in shown
    assert "25% 0:00:" in shown
    assert "10/40 runs, 3 diverged, 1/2 verified, 76.9 steps/s, 1000/4000 steps" in shown


# --- in a notebook ----------------------------------------------------------------------------


class Handle:
    """A cell's output, and all that it was."""

    def __init__(self) -> None:
        self.was: list[dict[str, str]] = []

    def update(self, content: dict[str, str], raw: bool) -> None:
        assert raw
        self.was.append(content)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """The output of a cell, of which there is one."""
    handle = Handle()

    def display(content: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert display_id
        assert not handle.was
        handle.update(content, raw)
        return handle

    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return handle


def test_a_notebook_has_a_bar_in_one_output_that_ends_as_the_sweep_does(cell: Handle) -> None:
    now = [0.0]
    with shown(Console(force_jupyter=True), clock=lambda: now[0]) as show:
        for step in range(101):
            now[0] = step / 10
            show(status(step / 100, 4 * step // 10))
    texts = [content["text/plain"] for content in cell.was]
    assert 25 <= len(texts) <= 36, "not each status is a message to who shows the notebook"
    assert texts[0] == "sweep   0%  looking at what is stored"
    assert re.search(r"1\d/40 runs", texts[len(texts) * 4 // 10])
    assert re.search(r"\d s left$", texts[len(texts) // 2])
    assert re.search(r"^sweep 100%  40/40 runs, .* 4000/4000 steps, in 10.0 s$", texts[-1])
    assert re.fullmatch(r'<div><progress value="1.0000" max="1"[^>]*></progress> 100%  40/40 runs, .*</div>',
                        cell.was[-1]["text/html"])  # fmt: skip


def test_what_is_interrupted_in_a_notebook_says_so(cell: Handle) -> None:
    now = [0.0]
    with pytest.raises(KeyboardInterrupt), shown(Console(force_jupyter=True), clock=lambda: now[0]) as show:  # noqa: PT012
        show(status(0.25, 10))
        now[0] = 2.0
        raise KeyboardInterrupt
    assert re.search(r" 25%  10/40 runs, .* steps, stopped after 2.0 s$", cell.was[-1]["text/plain"])


SWEEP_IN_A_CELL = """
import os
import experiments

with open("executed", "a") as file:  # also where another process imports or runs the cell
    print(os.getpid(), file=file)
fields = {{"depths": [2], "schemes": ["he"], "steps": {steps}, "data": {data!r}}}
runs = experiments.run_sweep(fields, jobs=2)
"""


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which kernels run, with a configuration of their own."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return tmp_path


@pytest.mark.slow
def test_a_saved_notebook_has_one_bar_of_a_sweep_as_it_was_at_the_end(images: str, notebooks: Path) -> None:
    (notebooks / "sweep.py").write_text(EXECUTE)
    cell = SWEEP_IN_A_CELL.format(steps=200, data=images)
    done = subprocess.run(
        [sys.executable, "sweep.py"], input=cell, cwd=notebooks, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(done.stdout)
    assert output["output_type"] == "display_data"
    assert re.search(r"^sweep 100%  18/18 runs, .* in \d+\.\d s$", output["data"]["text/plain"])
    assert '<progress value="1.0000"' in output["data"]["text/html"]
    assert len((notebooks / "executed").read_text().splitlines()) == 1
    assert (notebooks / "results/main.h5").exists()


EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(sys.stdin.read())])
NotebookClient(notebook, timeout=100).execute()
print(json.dumps(notebook.cells[0].outputs))
"""


@pytest.mark.slow
def test_an_interrupted_kernel_goes_on_without_the_processes_of_the_sweep(
    images: str, notebooks: Path
) -> None:
    (notebooks / "interrupt.py").write_text(INTERRUPT)
    cell = SWEEP_IN_A_CELL.format(steps=10**6, data=images)
    done = subprocess.run(
        [sys.executable, "interrupt.py"], input=cell, cwd=notebooks, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["error"] == "KeyboardInterrupt"
    assert found["before"] >= 2
    assert found["after"] == []
    assert found["bars"] == 1
    assert re.search(r"stopped after \d+\.\d s$", found["last"])
    assert found["next"] == "ok"
    assert not list((notebooks / "results/.work").glob("*.json"))


INTERRUPT = """
import json, sys, time
from pathlib import Path
import psutil
from jupyter_client.manager import start_new_kernel

def training():
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "multiprocessing.spawn" in " ".join(each.cmdline())]

manager, client = start_new_kernel()
bars = []

def hear(message):
    if message["msg_type"] in ("display_data", "update_display_data"):
        bars.append(message)
        if len(bars) == 20:
            manager.interrupt_kernel()

before = []
def hear_and_count(message):
    if len(bars) == 10:
        before[:] = training()
    hear(message)

reply = client.execute_interactive(sys.stdin.read(), output_hook=hear_and_count, timeout=60)
after = psutil.wait_procs(before, timeout=10)[1]
print(json.dumps({
    "error": reply["content"].get("ename"), "before": len(before), "after": [each.pid for each in after],
    "bars": sum(each["msg_type"] == "display_data" for each in bars),
    "last": bars[-1]["content"]["data"]["text/plain"],
    "next": client.execute_interactive("pass", timeout=60)["content"]["status"],
}))
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quiet_sweep_shows_nothing(terminal: bool) -> None:
    assert sweep_shown(SWEEP, terminal=terminal, quiet=True) == ""
