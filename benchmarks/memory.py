"""Memory and time of large checks, beside those of the operation itself.

    python benchmarks/memory.py

* A network of 64 layers, 256 wide, 64 examples, float32: `sandbox.check`; beside it the forward and backward
  pass.
* One layer, W (256, 256) and 4096 examples, float32: `sandbox.check_linear_backward`, and the same layer as
  an operation of one's own, `sandbox.check_operation`; beside them its forward and backward.

Each runs in a process of its own, after a small one of the same kind, which imports and compiles. The peak is
that of the process's resident memory; "above" is by how much it rose above that of the small one.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

DEPTH, WIDTH, EXAMPLES, MANY = 64, 256, 64, 4096
Work = Callable[[], object]


def passes_of_network(depth: int, width: int, examples: int) -> Work:
    from sandbox import L_model_backward, L_model_forward
    from sandbox.network.cases import drawn_network

    theta, X, Y = drawn_network([width] * depth + [1], examples, seed=0, dtype="float32")

    def both() -> object:
        AL, caches = L_model_forward(X, theta)
        return L_model_backward(AL, Y, caches)

    return both


def check_of_network(depth: int, width: int, examples: int) -> Work:
    from sandbox import check

    return lambda: check(depth=depth, width=width, examples=examples, dtype="float32")


def layer(width: int, examples: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    shapes = (width, examples), (width, examples), (width, width), (width, 1)
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def passes_of_layer(depth: int, width: int, examples: int) -> Work:
    from sandbox import linear_backward, linear_forward

    dZ, A, W, b = layer(width, examples)
    return lambda: linear_backward(dZ, linear_forward(A, W, b)[1])


def check_of_layer(depth: int, width: int, examples: int) -> Work:
    from sandbox import check_linear_backward

    dZ, *cache = layer(width, examples)
    return lambda: check_linear_backward(dZ, tuple(cache))


def check_of_operation(depth: int, width: int, examples: int) -> Work:
    from sandbox import Operation, check_operation

    def forward(A: Any, W: Any, b: Any) -> Any:
        return W @ A + b, (A, W)

    def backward(dZ: Any, cache: Any) -> Any:
        A, W = cache
        return W.T @ dZ, dZ @ A.T, dZ.sum(axis=1, keepdims=True)

    operation = Operation(forward, backward, lambda A, W, b: W @ A + b, name="layer")
    return lambda: check_operation(operation, *layer(width, examples)[1:])


CASES = {
    "network": (passes_of_network, check_of_network),
    "one layer": (passes_of_layer, check_of_layer),
    "one layer, as an operation": (passes_of_layer, check_of_operation),
}


def peak() -> float:
    """In MiB; macOS counts in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measured(case: str, which: int) -> dict[str, float]:
    make = CASES[case][which]
    make(2, 8, 8)()
    before, work = peak(), make(DEPTH, WIDTH, EXAMPLES if case == "network" else MANY)
    start = time.perf_counter()
    if not isinstance(work(), tuple | dict) and not work():
        sys.exit(f"benchmarks/memory.py: the check of {case} failed, there is nothing to measure.")
    return {"seconds": time.perf_counter() - start, "peak": peak(), "above": peak() - before}


def in_a_process(case: str, which: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", case, "--which", str(which)]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    result: dict[str, float] = json.loads(out)
    return result


def main() -> None:
    table = Table(title=f"{DEPTH} layers of {WIDTH} and {EXAMPLES} examples; one layer with {MANY}; float32")
    for column in ("what", "seconds", "peak MiB", "above MiB", "seconds of the passes", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for case in CASES:
        passes, check = (in_a_process(case, which) for which in (0, 1))
        table.add_row(
            f"check of {case}", f"{check['seconds']:.1f}", f"{check['peak']:.0f}", f"{check['above']:.0f}",
            f"{passes['seconds']:.3f}", f"{check['seconds'] / passes['seconds']:.0f}",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Memory and time of large checks.")
    parser.add_argument("--case", choices=CASES, help="of one process: what it measures")
    parser.add_argument("--which", type=int, default=1, help="0: the passes, 1: the check")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(given.case, given.which)))
    else:
        main()
