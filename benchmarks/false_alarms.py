"""Random right cases of `check_model`: how often does the check raise a false alarm, and how near is it?

    python benchmarks/false_alarms.py [N] [--seed S] [--processes P] [--only SEED]

Case i is fully determined by the integer S + i; 10 successive ones share their sizes and dtype, so that JAX
traces them once. Depth is 1 to 64, widths 1 to 256, m 1 to 2,000; most sizes are small and one in ten
of each is drawn from its whole range (a large case takes 100 times as long). Contracts are not asked: they
do not depend on the case. Checked are, by turns, `sandbox.network`, whose float64 results often equal the
reference's bit for bit, and the same with sums taken one by one in a random order. z is
|computed - reference| / sigma, the largest of an output; "of the
limit" is the larger of that and of the tensor's ratio, each over its threshold.
Exits with 1 after a false alarm.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

import sandbox
from sandbox.network.cases import drawn_network

DECADES = (-3, 3)  # of z, in the histogram
PER_DECADE = 3
SHARED = 10  # cases of the same sizes


@dataclass(frozen=True)
class Outcome:
    """One case: `z` and `of_limit` of each output that was compared, and the outputs that failed."""

    seed: int
    z: tuple[float, ...]
    of_limit: tuple[float, ...]
    not_compared: int
    alarms: tuple[str, ...]


def architecture(seed: int) -> tuple[list[int], int, Any]:
    """n_0, ..., n_L, then m and the dtype."""
    rng = np.random.default_rng([seed, 1])

    def size(largest: int) -> int:
        return int(math.exp(rng.uniform(0, math.log(largest + 1))))

    def limit(usual: int, largest: int) -> int:
        return largest if rng.random() < 0.1 else usual

    L, width, m = size(limit(8, 64)), limit(16, 256), size(limit(64, 2000))
    dtype = np.dtype(rng.choice(["float64", "float32"])).type
    return [*(size(width) for _ in range(L)), 1], m, dtype


def draw(seed: int) -> tuple[dict[str, Any], Any, Any]:
    """Parameters, X and Y of the case with this seed."""
    dims, m, dtype = architecture(seed // SHARED)
    rng = np.random.default_rng([seed, 3])  # not the stream from which the network is drawn
    scheme = rng.choice(["small", "he", "inverse_sqrt"])
    scale = 10 ** rng.uniform(-3, 3)
    parameters, X, Y = drawn_network(
        dims, m, seed=seed, scheme=scheme, dtype=np.dtype(dtype).name, dead_unit=False
    )
    parameters = {key: (scale * x).astype(dtype) for key, x in parameters.items()}
    L = len(dims) - 1
    if rng.random() < 0.2:  # a saturated sigmoid
        parameters[f"W{L}"] *= dtype(10 ** rng.uniform(1, 5))
    if rng.random() < 0.2:  # exact zeros in Z
        l = int(rng.integers(1, L + 1))
        rows = rng.random(dims[l]) < 0.5
        parameters[f"W{l}"][rows], parameters[f"b{l}"][rows] = 0, 0
    if rng.random() < 0.2:
        X[:, rng.random(m) < 0.5] = 0
    return parameters, X, Y


def one_by_one(seed: int) -> dict[str, Any]:
    """linear_forward and linear_backward with recursive summation in a random order."""
    rng = np.random.default_rng([seed, 2])

    def product(x: Any, y: Any) -> Any:
        total = np.zeros((x.shape[0], y.shape[1]), np.result_type(x, y))
        for j in rng.permutation(x.shape[1]):
            total += x[:, j : j + 1] * y[j : j + 1]
        return total

    def linear_forward(A: Any, W: Any, b: Any) -> Any:
        return product(W, A) + b, (A, W, b)

    def linear_backward(dZ: Any, cache: Any) -> Any:
        A_prev, W, _ = cache
        m = dZ.shape[1]
        return product(W.T, dZ), product(dZ, A_prev.T) / m, product(dZ, np.ones((m, 1), dZ.dtype)) / m

    return {"linear_forward": linear_forward, "linear_backward": linear_backward}


def check(seed: int) -> sandbox.Report:
    functions = one_by_one(seed) if seed % 2 else None
    return sandbox.check_model(*draw(seed), functions=functions, contracts=False)


def run(seed: int) -> Outcome:
    """The check of one case."""
    with threadpool_limits(1), np.errstate(all="ignore"):
        rows = check(seed).outputs
    compared = [row for row in rows if math.isfinite(row.threshold) and row.verdict != "not compared"]
    return Outcome(
        seed,
        tuple(row.sigma_error for row in compared),
        tuple(
            max(row.sigma_error / row.threshold, row.tensor_error / row.tensor_threshold) for row in compared
        ),
        len(rows) - len(compared),
        tuple(
            f"{row.scope} layer {row.layer} {row.output}: {row.finding}"
            for row in rows
            if row.verdict == "FAIL"
        ),
    )


def histogram(values: list[float]) -> str:
    """Counts in bins of equal width in log z; the first and the last bin are open."""
    bins: Counter[int] = Counter()
    low, high = DECADES[0] * PER_DECADE, DECADES[1] * PER_DECADE
    zeros = sum(z == 0 for z in values)
    for z in values:
        if z > 0:
            bins[high if math.isinf(z) else min(max(math.floor(math.log10(z) * PER_DECADE), low), high)] += 1
    longest = max([*bins.values(), 1])
    lines = [f"{'0':>10} {zeros:10d}"]
    for b in range(min(bins, default=0), max(bins, default=-1) + 1):
        bar = "#" * math.ceil(60 * bins[b] / longest)
        lines.append(f"{10 ** (b / PER_DECADE):10.3g} {bins[b]:10d} {bar}")
    return "\n".join(lines)


def campaign(seeds: range, processes: int) -> list[Outcome]:
    """All cases; false alarms are printed as they come."""
    outcomes: list[Outcome] = []
    # JAX starts threads, which a forked process would not have.
    # JAX keeps its traces without bound: a process is replaced after 50 chunks.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=50) as pool:
        cases = pool.imap_unordered(run, seeds, chunksize=SHARED)
        for outcome in track(cases, "cases", len(seeds), console=Console(stderr=True), transient=True):
            outcomes.append(outcome)
            for alarm in outcome.alarms:
                print(f"FALSE ALARM --only {outcome.seed}: {alarm}", flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="SEED", help="run this case and print its report")
    options = parser.parse_args()
    if options.only is not None:
        with np.errstate(all="ignore"):
            print(check(options.only))
        return
    began = time.perf_counter()
    outcomes = campaign(range(options.seed, options.seed + options.cases), options.processes)
    seconds = time.perf_counter() - began
    z = [value for outcome in outcomes for value in outcome.z]
    alarms = [outcome.seed for outcome in outcomes if outcome.alarms]
    print(f"{len(outcomes)} cases in {seconds:.0f} s, {len(outcomes) / seconds:.2f} cases/s")
    print(f"{len(z)} outputs compared, {sum(outcome.not_compared for outcome in outcomes)} not compared")
    print(f"{len(alarms)} cases with a false alarm {alarms[:20]}")
    for what, field in (("largest z", "z"), ("largest of the limit", "of_limit")):
        value, seed = max(
            ((max(getattr(outcome, field), default=0.0), outcome.seed) for outcome in outcomes),
            default=(0.0, -1),
        )
        print(f"{what}: {value:.3g} (--only {seed})")
    print("z of the outputs, from each bin's lower border:")
    print(histogram(z))
    if alarms:
        sys.exit(1)


if __name__ == "__main__":
    main()
