"""Claims about README and docs: what they show is what the command prints."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sources.bundled import DRAWN

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "file", "columns"), [("README.md", "my_backprop.py", 92), ("docs/report.md", "two.py", 100)]
)
def test_a_page_shows_what_the_command_prints(
    page: str, file: str, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / page).read_text()
    source = re.search(rf"```python\n(# {file}\n.*?)```", text, re.S)
    shown = re.search(rf"autodiff-sandbox check {file}\n```\n\n```\n(.*?)```", text, re.S)
    assert source
    assert shown
    (tmp_path / file).write_text(source[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(columns))
    printed = CliRunner().invoke(app, ["check", file])
    assert printed.exit_code == 1
    assert without_numbers(printed.output) == without_numbers(shown[1])


@pytest.mark.slow
def test_the_page_on_sweeps_shows_what_a_sweep_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/sweeps.md").read_text()
    spec = re.search(r"```toml\n(# rates.toml\n.*?)```", text, re.S)
    assert spec
    (tmp_path / "rates.toml").write_text(spec[1])
    monkeypatch.chdir(tmp_path)

    def is_shown(command: str, *, lines: int | None = None, more: str = "") -> None:
        shown = re.search(rf"autodiff-sandbox {re.escape(command)}\n```\n\n```\n(.*?)```", text, re.S)
        assert shown, command
        printed = CliRunner().invoke(app, [*command.split(), *more.split()])
        assert printed.exit_code == 0, printed.output
        first = "".join(printed.stdout.splitlines(keepends=True)[:lines])
        assert without_numbers(first) == without_numbers(shown[1])

    is_shown("sweep rates.toml --dry-run", more="--jobs 2")
    swept = CliRunner().invoke(app, ["sweep", "rates.toml", "--jobs", "1"])
    assert swept.exit_code == 0
    said = re.search(r"^sweep   0%.*", text, re.M)
    assert said
    assert without_numbers(said[0]) == without_numbers(swept.stderr.splitlines()[0])
    made = re.search(r"^results  results/rates.h5.*", text, re.M)
    assert made
    assert without_numbers(made[0]) == without_numbers(swept.stdout)
    is_shown("sweep rates.toml --depth 8 --depth 2 --depth 4 --dry-run", more="--jobs 2")
    is_shown("export rates --csv -", lines=2)
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, {"__name__": "page"})
    assert (tmp_path / "results/few.h5").exists()

    text = (ROOT / "docs/answers.md").read_text()
    shown = CliRunner().invoke(app, ["show", "rates"]).stdout
    tables = re.compile("^Best of each depth.*?^ended early", re.S | re.M)
    assert without_numbers(tables.findall(shown)[0]) == without_numbers(tables.findall(text)[0])
    page: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, page)


@pytest.mark.slow
def test_the_page_on_functions_shows_what_a_sweep_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, readme = (ROOT / "docs/functions.md").read_text(), (ROOT / "README.md").read_text()
    monkeypatch.chdir(tmp_path)

    def put(page: str, language: str, file: str) -> None:
        source = re.search(rf"```{language}\n(# {file}\n.*?)```", page, re.S)
        assert source, file
        (tmp_path / file).write_text(source[1])

    commands = re.findall(r"```sh\nautodiff-sandbox (.*?)\n```\n\n```\n(.*?)```", text, re.S)
    put(text, "toml", "mine.toml")
    put(text, "python", "raises.py")
    for number, (command, shown) in enumerate(commands):
        put(readme if number == 0 else text, "python", "my_backprop.py")
        jobs = "--jobs 2" if "--dry-run" in command else "--jobs 1"
        printed = CliRunner().invoke(app, [*command.split(), *jobs.split()])
        assert printed.exit_code == (1 if number == 0 else 2 if "raises.py" in command else 0), printed.output
        assert without_progress(printed.stderr + printed.stdout) == without_progress(shown)
    attributes = text.rpartition("```python\n")[2].partition("```")[0]
    exec(attributes, {"__name__": "page"})


def without_progress(text: str) -> list[str]:
    """Of which there are more lines where it is slow."""
    return without_numbers("\n".join(line for line in text.splitlines() if not line.startswith("sweep ")))


@pytest.mark.slow
def test_the_page_on_specs_shows_what_its_commands_print(tmp_path: Path) -> None:
    text = (ROOT / "docs/specs.md").read_text()
    for name, content in re.findall(r"```toml\n# (\w+\.toml)\n(.*?)```", text, re.S):
        (tmp_path / name).write_text(content)
    blocks = re.findall(r"```sh\n(.*?)```\n\n```\n(.*?)```", text, re.S)
    assert len(blocks) == 6
    for commands, shown in blocks:
        program = f'autodiff-sandbox() {{ "{sys.executable}" -m experiments "$@"; }}\nset -e\n{commands}'
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert without_estimates(done.stdout) == without_estimates(shown)


def without_estimates(text: str) -> list[str]:
    """Nor is a plan the same on every machine, but for its runs."""
    plan = ("groups ", "time ", "memory ", "disk ")
    return without_numbers("\n".join(line for line in text.splitlines() if not line.startswith(plan)))


def without_numbers(text: str) -> list[str]:
    """Which depend on the BLAS in their last digits, and with them the spaces of a table."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "KEY", text)  # which changes with the code that trains
    words = re.sub(r"-?\d[\d.]*(e[-+]\d+)?", "N", text).split()
    return [word for word in words if word.strip("N.,;[]")]


PAGE_ON_CLUSTERS = (ROOT / "docs/cluster.md").read_text()


def test_the_scripts_of_the_page_on_clusters_can_be_read_as_what_they_are() -> None:
    scripts = {
        kind: re.findall(rf"```{kind}\n(.*?)```", PAGE_ON_CLUSTERS, re.S) for kind in ("sh", "python", "yaml")
    }
    assert all(scripts.values())
    for script in scripts["sh"]:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for script in scripts["python"]:
        compile(script, "script", "exec")
    for script in scripts["yaml"]:
        for document in yaml.safe_load_all(script):
            assert {"apiVersion", "kind", "metadata", "spec"} == document.keys()


@pytest.mark.slow
def test_the_script_for_nodes_waits_for_a_scheduler_that_is_slow_to_start(tmp_path: Path) -> None:
    """With stand-ins of what it calls, since there are no nodes: the sweep asks once, and gives up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    found = re.search(r"```sh\n(#!/bin/bash\n# on_nodes.sh.*?)```", PAGE_ON_CLUSTERS, re.S)
    assert found
    script = found[1].replace("8786", port).replace("$(hostname -f)", "127.0.0.1")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "activate").write_text(f"PATH={folder}:$PATH")
    listen = f"import socket; s = socket.create_server(('127.0.0.1', {port})); [s.accept() for _ in range(2)]"
    asks = f': >"/dev/tcp/127.0.0.1/{port}" && echo swept "$@"'
    for name, does in {
        "dask": f'sleep 2; exec {sys.executable} -c "{listen}"', "ssh": "true", "autodiff-sandbox": asks,
    }.items():  # fmt: skip
        (folder / name).write_text(f"#!/bin/bash\n{does}\n")
        (folder / name).chmod(0o755)
    run = ["bash", "-c", script.replace("/path/to/.venv", str(tmp_path)), "on_nodes.sh", "big.toml"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"swept sweep big.toml --dask tcp://127.0.0.1:{port}\n", done.stderr
    (folder / "dask").write_text("#!/bin/bash\necho no room >&2; exit 1\n")
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "no room\n")


def test_the_page_on_clusters_gives_options_that_there_are() -> None:
    for verb in ("sweep", "combine"):
        known = set(re.findall(r"--[a-z-]+", CliRunner().invoke(app, [verb, "--help"]).output))
        lines = re.findall(rf"autodiff-sandbox,? {verb}\b(.*)", PAGE_ON_CLUSTERS)
        given = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
        assert given
        assert given <= known


def test_the_page_on_data_shows_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/data.md").read_text()
    table = re.search(r"`patients.csv`:\n\n```\n(.*?)```", text, re.S)
    assert table
    header, *rows = table[1].splitlines(keepends=True)
    rows = (rows * 40)[:120]
    monkeypatch.chdir(tmp_path)
    Path("patients.csv").write_text("".join([header, *rows]))
    Path("holes.csv").write_text("".join([header, *rows[:3], "55.0,,worse\n", *rows[4:]]))
    refused = re.findall(r"^\$ autodiff-sandbox (.*)\n(Error: .*\n)", text, re.M)
    assert len(refused) == 3
    for command, sentence in refused:
        assert CliRunner().invoke(app, command.split()).stderr == sentence


def test_the_page_on_data_has_every_parameter_with_its_default() -> None:
    text = (ROOT / "docs/data.md").read_text()
    for name, parameters in DRAWN.items():
        said = ", ".join(f"{parameter} {of.default:g}" for parameter, of in parameters.items())
        assert f"| `{name}` | {said} |" in text
