"""How long a store of many runs takes to write, to survey, to combine, to open, to show and to export.

    python benchmarks/store.py            # a hundred thousand runs
    python benchmarks/store.py 1000000

The runs are simulated: nothing is trained, but every file is one that the store believes, written and read by
the code of a sweep. Beside each time stands a floor: the plain reading or writing of as many bytes.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.answers.summary import Summary, frame, summary
from experiments.dataset import load, load_together, write_dataset
from experiments.export import to_csv
from experiments.group import Trained
from experiments.points import Architecture, Origin, Point
from experiments.provenance import environment
from experiments.spec import Spec, make_spec
from experiments.store import Store
from experiments.verification import Verification
from sandbox.typing import Scheme

GROUP = 50  # runs in a file: of 5 s, each of 0.1 s
N_0, STEPS = 64, 100
SEEDS, RATES, DEPTHS = 10, 100, (1, 2, 4, 8)
SCHEMES: tuple[Scheme, ...] = "small", "he"
TIMES = ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:05+00:00")
ORIGIN = Origin(data="d" * 64, code="c" * 64)


def spec_of(runs: int) -> Spec:
    """Of about so many runs."""
    widths = max(round(runs / (SEEDS * RATES * len(DEPTHS) * len(SCHEMES))), 1)
    return make_spec({
        "name": "large", "depths": DEPTHS, "widths": range(8, 8 + widths), "seeds": range(SEEDS),
        "learning_rates": {"start": 1e-3, "stop": 10.0, "num": RATES}, "steps": STEPS, "schemes": SCHEMES,
    })  # fmt: skip


def simulated(points: list[Point], rng: np.random.Generator) -> Trained:
    """What training might have made of these points: costs that fall; large rates have diverged."""
    runs, depth = len(points), points[0].architecture.depth
    rates = np.array([point.learning_rate for point in points])
    diverged_at = np.where(rates > 3 / depth, rng.integers(1, STEPS, runs), -1)
    step = np.arange(STEPS + 1)
    curve = 0.7 * np.exp(-rates[:, None] * step / 100) + 0.01 * rng.random((runs, STEPS + 1))
    gone = diverged_at >= 0
    curve[gone[:, None] & (step >= diverged_at[:, None])] = np.nan
    accuracy = np.where(gone, np.nan, rng.random((2, runs)))
    norms = rng.random((2, runs, depth))
    norms[1, gone] = np.nan
    a = points[0].architecture
    units = [N_0, *[a.width] * (a.depth - 1), 1]
    shapes = {
        f"{s}{l}": (0, units[l], units[l - 1] if s == "W" else 1) for l in range(1, depth + 1) for s in "Wb"
    }
    return Trained(
        cost_curve=curve, diverged_at=diverged_at, stalled_at=np.full(runs, -1), train_accuracy=accuracy[0],
        test_accuracy=accuracy[1], seconds=np.full(runs, 0.1), gradient_norm_start=norms[0],
        gradient_norm_end=norms[1], kept=np.empty(0, np.int64),
        parameters={key: np.empty(shape) for key, shape in shapes.items()},
    )  # fmt: skip


def groups(points: list[Point]) -> Iterator[list[Point]]:
    """Of one architecture each."""
    alike: dict[Architecture, list[Point]] = {}
    for point in points:
        alike.setdefault(point.architecture, []).append(point)
    for some in alike.values():
        for start in range(0, len(some), GROUP):
            yield some[start : start + GROUP]


def filled(store: Store, points: list[Point]) -> None:
    """With all runs and their verdicts."""
    rng, about = np.random.default_rng(0), environment()
    with store.working():
        for some in groups(points):
            store.write(some, simulated(some, rng), ORIGIN, about, TIMES)
        for verdict in verdicts(points):
            store.write_verification(verdict, ORIGIN)


def verdicts(points: list[Point]) -> list[Verification]:
    return [
        Verification(
            a, moment, SCHEMES, np.ones((a.depth, 3)), "checker", TIMES[1], 4, np.full((a.depth, 3), 1e-14)
        )
        for a in dict.fromkeys(point.architecture for point in points)
        for moment in ("start", "end")
    ]  # fmt: skip


def copied(folder: Path, size: int) -> None:
    """The floor: as many bytes written in one go, flushed and read again."""
    block = np.random.default_rng(0).bytes(2**24)
    with (folder / "floor").open("wb+") as file:
        for _ in range(size // len(block) + 1):
            file.write(block)
        file.flush()
        file.seek(0)
        while file.read(2**24):
            pass


def shown(name: str, folder: Path) -> Summary:
    """What `show` says."""
    runs, layers, verified = load_together(name, folder, ("", "layers", "verification"), curves=False)
    return summary(frame(runs), layers, verified)


def measured(work: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock and of the processor, and GB of memory that this process had at most so far."""
    began, busy = time.perf_counter(), time.process_time()
    kept = work()
    seconds = {"seconds": time.perf_counter() - began, "processor": time.process_time() - busy}
    del kept
    return {**seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=int, nargs="?", default=100_000)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = times(spec_of(arguments.runs), Path(folder))
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    table = Table("", "seconds", "of the processor", "GB of memory so far")
    for name, each in found["times"].items():
        table.add_row(name, f"{each['seconds']:.3g}", f"{each['processor']:.3g}", f"{each['memory']:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"{found['runs']} runs of {STEPS} steps in {found['files']} files of {found['bytes'] / 1e9:.3g} GB; "
        f"the combined file {found['combined'] / 1e9:.3g} GB"
    )


def times(spec: Spec, folder: Path) -> dict[str, Any]:
    """Of each thing that is done with the store."""
    store, found = Store(folder), {}
    found["list the points"] = measured(spec.points)
    points = spec.points()
    found["write the groups"] = measured(lambda: filled(store, points))
    files = list(store.runs.rglob("*.h5"))
    found["survey the groups"] = measured(lambda: store.read(points, ORIGIN))
    about = {"spec": spec.canonical(), "data_source": "simulated", "data_preprocessing": "none"}
    found["combine them"] = measured(
        lambda: write_dataset(store, spec.name, points, ORIGIN, verdicts(points), about)
    )
    combined = (folder / f"{spec.name}.h5").stat().st_size
    found["the floor: write and read as many bytes"] = measured(lambda: copied(folder, combined))
    found["open"] = measured(lambda: load(spec.name, folder))
    found["show"] = measured(lambda: shown(spec.name, folder))
    found["export"] = measured(lambda: to_csv(load(spec.name, folder), folder / "large.csv"))
    return {
        "runs": len(points), "files": len(files), "bytes": sum(file.stat().st_size for file in files),
        "combined": combined, "times": found,
    }  # fmt: skip


if __name__ == "__main__":
    main()
