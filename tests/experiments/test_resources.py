"""Claims about what a sweep takes: what is refused before it is begun, and what is estimated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import resources
from experiments.machine import available_memory, free_disk, in_words
from experiments.resources import check_disk, check_memory, estimate
from experiments.spec import SpecError, make_spec

N_0, M = 64, 1437
TEN_THOUSAND = {
    "depths": [4], "widths": [16], "steps": 50, "schemes": ["he"], "seeds": range(100),
    "learning_rates": {"start": 1e-3, "stop": 1, "num": 100},
}  # fmt: skip


def refusal(fields: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as caught:
        check_memory(make_spec(fields), N_0, M, 2)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "begin"),
    [
        ({"depths": [1, 10**9]}, "depths: a network of depth 1000000000 and width 16 needs about 3"),
        ({"widths": [10**5]}, "widths: a network of depth 8 and width 100000 needs about"),
        (
            {"steps": 10**12},
            "steps: the cost curve of 1000000000000 steps of each of 144 runs needs about 1.15 PB",
        ),
        ({"depths": [10**5], "seeds": range(10**5)}, "depths: the gradients' size at 100000 layers"),
        ({"depths": [2**63 - 1], "widths": [2**63 - 1], "steps": 2**63 - 1}, "widths: a network of depth"),
    ],
)
def test_what_no_machine_holds_is_refused_with_the_numbers(fields: dict[str, Any], begin: str) -> None:
    sentence = refusal(fields)
    assert sentence.startswith(begin)
    assert f"this machine has {in_words(available_memory())[:2]}" in sentence
    assert "; choose " in sentence


def test_ten_thousand_small_runs_take_little_memory_and_some_minutes() -> None:
    spec = make_spec(TEN_THOUSAND)
    check_memory(spec, N_0, M, 2)
    found = estimate(spec.points(), N_0, M, 2)
    assert found.points == 10_000
    assert found.memory < 1.2e9
    assert 10_000 * 51 * 8 < found.disk < 1e8
    assert 60 < found.seconds < 600
    assert 3 < estimate(spec.points(), N_0, M, 1).seconds / estimate(spec.points(), N_0, M, 4).seconds < 4.1


def test_nothing_left_to_do_takes_nothing() -> None:
    assert estimate([], N_0, M, 2) == resources.Estimate(0, 0.0, 0, 0)


def test_final_parameters_take_room_of_their_own() -> None:
    points = make_spec(TEN_THOUSAND).points()
    with_them = estimate(points, N_0, M, 2, keep_parameters=True)
    assert with_them.disk - estimate(points, N_0, M, 2).disk > 9_000 * 8 * (16 * 65 + 2 * 16 * 17 + 17)


def test_a_disk_too_small_for_what_is_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "free_disk", lambda folder: 10**6)
    points = make_spec(TEN_THOUSAND).points()
    with pytest.raises(
        SpecError, match=r"10000 runs to train need about 14\.5 MB .* has 1 MB free; make room"
    ):
        check_disk(estimate(points, N_0, M, 2), tmp_path)
    check_disk(estimate(points[:100], N_0, M, 2), tmp_path)


def test_disk_is_looked_up_where_the_folder_will_be(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") == pytest.approx(free_disk(tmp_path), rel=0.1)


def test_a_limit_of_the_process_counts() -> None:
    limit = 3 * 10**9
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
        "from experiments.machine import available_memory as left\n"
        "import psutil; print(left(), psutil.Process().memory_info().vms)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    left, taken = map(float, done.stdout.split())
    assert 0 < left <= limit
    assert left + taken == pytest.approx(limit, rel=0.1)


def test_sizes_are_said_in_units_of_a_thousand() -> None:
    assert [in_words(size) for size in (0, 999, 1000, 2.1e12, 3e18)] == [
        "0 bytes", "999 bytes", "1 kB", "2.1 TB", "3e+03 PB",
    ]  # fmt: skip
