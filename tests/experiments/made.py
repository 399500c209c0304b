"""Made-up results of sweeps: what storing is tested with, and no training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from experiments.dataset import write_dataset
from experiments.group import Trained
from experiments.points import Architecture, Origin, Point, key
from experiments.store import Store
from experiments.verification import Moment, Verification
from sandbox.typing import Array

ORIGIN = Origin(data="d" * 64, code="c" * 64)
ENVIRONMENT = {"packages": "{}", "python": "3", "git_revision": "r", "blas": "b", "machine": "m"}
TIMES = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00")
SMALL = Architecture(2, 3)
N_0 = 4


def points(
    architecture: Architecture = SMALL, *, seeds: int = 3, steps: int = 5, rates: Sequence[float] = (0.1, 1.0)
) -> list[Point]:
    return [Point(architecture, "he", rate, seed, steps) for rate in rates for seed in range(seeds)]


def trained(
    of: Sequence[Point],
    *,
    kept: Sequence[int] = (),
    diverged: Sequence[int] = (),
    stalled: Sequence[int] = (),
) -> Trained:
    """Results whose numbers follow from each point alone, and tell it from all others."""
    architecture, steps = of[0].architecture, of[0].steps
    units = [N_0, *[architecture.width] * (architecture.depth - 1), 1]
    numbers = [np.random.default_rng(int(key(point, ORIGIN), 16)) for point in of]

    def draw(*shape: int) -> Array:
        return np.stack([each.random(shape) for each in numbers])

    gone = np.isin(np.arange(len(of)), diverged)
    diverged_at = np.where(gone, steps // 2, -1)
    lost = gone[:, None] & (np.arange(steps + 1) >= diverged_at[:, None])
    parameters = {
        f"{symbol}{l}": draw(units[l], units[l - 1] if symbol == "W" else 1).astype(architecture.dtype)
        for l in range(1, architecture.depth + 1)
        for symbol in "Wb"
    }
    return Trained(
        cost_curve=np.where(lost, np.nan, draw(steps + 1)),
        diverged_at=diverged_at,
        stalled_at=np.where(np.isin(np.arange(len(of)), stalled), steps - 1, -1),
        train_accuracy=np.where(gone, np.nan, draw()),
        test_accuracy=np.where(gone, np.nan, draw()),
        seconds=draw(),
        gradient_norm_start=draw(architecture.depth),
        gradient_norm_end=np.where(gone[:, None], np.nan, draw(architecture.depth)),
        kept=np.array(kept, np.int64),
        parameters={name: value[list(kept)] for name, value in parameters.items()},
    )


def put(
    store: Store, of: Sequence[Point], origin: Origin = ORIGIN, *, kept: Sequence[int] = (),
    diverged: Sequence[int] = (), stalled: Sequence[int] = (), environment: dict[str, str] = ENVIRONMENT,
) -> Path:  # fmt: skip
    """Store made-up results of these points as one group."""
    made = trained(of, kept=kept, diverged=diverged, stalled=stalled)
    return store.write(of, made, origin, environment, TIMES)


def verdict(architecture: Architecture = SMALL, moment: Moment = "start") -> Verification:
    sigma_error = np.arange(3.0 * architecture.depth).reshape(architecture.depth, 3)
    return Verification(
        architecture, moment, ("he", "small"), sigma_error, "checker", TIMES[1], 4, sigma_error / 2**52
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that holds results, and its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


class Told(list[str]):
    """A store's sentences, and the store."""

    def __init__(self, results: Path) -> None:
        self.store = Store(results, self.append)


def assert_same(found: Trained, expected: Trained) -> None:
    for field in fields(Trained):
        if field.name != "parameters":
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))
    assert found.parameters.keys() == expected.parameters.keys()
    for name, value in expected.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value, strict=True)


def read_back(store: Store, of: list[Point]) -> Trained:
    found = store.read(of, ORIGIN)
    return store.trained([found.runs[point] for point in of])


def combine(
    store: Store, of: Sequence[Point], name: str = "main", *, data: str = "digits", origin: Origin = ORIGIN
) -> Path:
    """Write the file of a name: of stored runs, with verdicts on all of them."""
    architectures = dict.fromkeys(point.architecture for point in of)
    moments: tuple[Moment, ...] = ("start", "end")
    verdicts = [verdict(each, moment) for each in architectures for moment in moments]
    about = {
        "spec": json.dumps({"name": name, "data": data}), "data_source": "made up",
        "data_preprocessing": "none",
    }  # fmt: skip
    return write_dataset(store, name, of, origin, verdicts, about)
