"""Claims about sweeps from Python: what the command does, with its words, and light to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import xarray

import experiments
from experiments.progress import Status
from tests.experiments.test_cli import invoke


def fields(data: str) -> dict[str, object]:
    return {
        "name": "few", "data": data, "depths": [1], "widths": [3], "learning_rates": [0.1], "steps": 2,
        "schemes": ["he"],
    }  # fmt: skip


def test_a_sweep_gives_its_runs_however_it_is_described(images: str, tmp_path: Path) -> None:
    told: list[Status] = []
    runs = experiments.run_sweep(fields(images), results=tmp_path, jobs=1, progress=told.append)
    assert runs.sizes == {"run": 2, "step": 3}
    assert (told[-1].runs_done, told[-1].verified) == (2, 1)
    file = tmp_path / "few.toml"
    file.write_text(
        f"data = {images!r}\ndepths = [1]\nwidths = [3]\nlearning_rates = [0.1]\nsteps = 2\nschemes = ['he']"
    )
    for spec in (experiments.make_spec(fields(images)), file, str(file)):
        again = experiments.run_sweep(spec, results=str(tmp_path), jobs=1, progress=False)
        xarray.testing.assert_identical(again, runs)
    xarray.testing.assert_identical(experiments.load("few", tmp_path), runs)
    assert experiments.load(str(tmp_path / "few.h5"), curves=False).sizes == {"run": 2}
    assert experiments.load("few", tmp_path, "layers").sizes == {"run": 2, "layer": 1}


def test_progress_goes_to_stderr(images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiments.run_sweep(fields(images), results=tmp_path, jobs=1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2 runs, 0 diverged, 1/1 verified" in captured.err


@pytest.mark.parametrize(
    ("field", "option"),
    [({"depths": [0]}, ["--depth", 0]), ({"data": "absent.h5"}, ["--data", "absent.h5"])],
)
def test_what_cannot_be_done_is_an_exception_with_the_words_of_the_command(
    field: dict[str, object], option: list[object], tmp_path: Path
) -> None:
    said = invoke("sweep", *option, "--results", tmp_path).stderr
    with pytest.raises((experiments.SpecError, experiments.DataError)) as caught:
        experiments.run_sweep(field, results=tmp_path)
    assert f"Error: {caught.value}\n" == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": 3}, "spec: got 3, expected a Spec, a mapping of its fields, or the path of a TOML file"),
        ({"spec": "absent.toml"}, "spec file: cannot read 'absent.toml'"),
        ({"spec": {}, "progress": 1}, "progress: got 1, expected True, False or a function"),
        ({"spec": {}, "results": None}, "results: got None, expected the path of a folder"),
        ({"spec": {}, "results": "a\0b"}, "results: got 'a\\x00b', expected the path of a folder"),
        ({"spec": {}, "keep_parameters": "no"}, "keep_parameters: got 'no', expected True or False"),
        ({"spec": {}, "jobs": 0}, "jobs: got 0, expected a whole number"),
    ],
)
def test_malformed_arguments_are_named(
    arguments: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(experiments.SpecError) as caught:
        experiments.run_sweep(**arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_results_stay_in_their_folder_when_the_program_goes_to_another(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    runs = experiments.run_sweep(
        fields(images), jobs=1, progress=lambda status: monkeypatch.chdir(tmp_path / "elsewhere")
    )
    assert runs.sizes["run"] == 2
    assert (tmp_path / "results" / "few.h5").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("group", ["nope", 7])
def test_a_group_that_is_not_there_is_told(images: str, tmp_path: Path, group: str) -> None:
    experiments.run_sweep(fields(images), results=tmp_path, jobs=1, progress=False)
    with pytest.raises(experiments.StoreError, match=rf"few.h5 has no group {group!r}; expected ''"):
        experiments.load("few", tmp_path, group)


def test_results_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(experiments.StoreError, match=r"there is no .*absent.h5"):
        experiments.load("absent", tmp_path)


def test_to_import_it_loads_nothing() -> None:
    script = (
        "import sys, experiments; print({m.split('.')[0] for m in sys.modules} & "
        "{'numpy', 'jax', 'xarray', 'rich', 'pydantic'}, sorted(experiments.__all__) == dir(experiments))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set() True\n", done.stderr
