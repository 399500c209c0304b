"""Claims about revisions: the code that trains, and the code that checks, by its own bytes."""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from experiments.own import Own
from experiments.provenance import CHECKING, TRAINING, checker_revision, code_revision, revision_of
from sandbox.reading.snapshot import Snapshot

WHAT_A_WORKER_IMPORTS = """
import sys
import experiments.group
for name, module in sys.modules.items():
    if name.startswith(("experiments", "sandbox")):
        print(module.__file__)
"""
WITHOUT_NUMBERS = {"__init__.py", "points.py", "typing.py"}


def test_a_run_is_made_by_no_source_that_its_revision_leaves_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHAT_A_WORKER_IMPORTS], capture_output=True, text=True, check=True
    )
    names = {name for names in TRAINING.values() for name in names}
    assert {Path(line).name for line in done.stdout.splitlines()} - WITHOUT_NUMBERS == names


def test_a_check_is_made_by_no_room_that_its_revision_leaves_out() -> None:
    rooms = {path.parent.name for path in Path(sandbox.__file__).parent.rglob("*.py")}
    assert rooms - {"catalogue", "reading", "sandbox"} == {package.split(".")[-1] for package in CHECKING}


@pytest.mark.parametrize(
    ("revision", "changed"),
    [
        (code_revision, "passes.py"),
        (checker_revision, "compare.py"),
        (checker_revision, "verification.py"),
    ],
)
def test_a_revision_changes_with_a_byte_of_a_source(
    revision: object, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = importlib.resources.files

    def folder(package: str) -> Path:
        copy = tmp_path / package
        if not copy.exists():
            shutil.copytree(str(files(package)), copy)
        return copy

    now = revision.__wrapped__  # type: ignore[attr-defined]  # not the one that is remembered
    before = now()
    monkeypatch.setattr(importlib.resources, "files", folder)
    assert now() == before
    (path,) = tmp_path.rglob(changed)
    path.write_bytes(path.read_bytes() + b"\n")
    assert now() != before
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "sandbox" / "network" / "new.py").touch()
    assert (now() == before) == (revision is code_revision)


@pytest.mark.parametrize("changed", ["sandbox.network/complete.py", "experiments/own_step.py"])
def test_where_functions_of_the_users_train_what_calls_them_is_a_part_of_the_revision(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, file = changed.split("/")
    files, own = importlib.resources.files, Own("mine.py", Snapshot(Path("mine.py"), ()), ())
    for name in ("sandbox", "experiments"):
        shutil.copytree(str(files(name)), tmp_path / name)
    before = revision_of(own)
    assert before != revision_of(None) == code_revision()
    monkeypatch.setattr(importlib.resources, "files", lambda name: tmp_path / name)
    assert revision_of(own) == before
    source = tmp_path.joinpath(*package.split("."), file)
    source.write_bytes(source.read_bytes() + b"#")
    assert revision_of(own) != before
