"""Time of a training step with the sandbox's functions, over that of the same mathematics inline.

    python benchmarks/training_loop.py [repeats]

Both run interleaved in this process; the ratio is that of the medians.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import sandbox

CASES = {
    "16-8-1, m = 64": ([16, 8, 1], 64, 0),
    "64-32-32-1, m = 1437": ([64, 32, 32, 1], 1437, 0),
    "8 layers, width 32, m = 256": ([32] * 8 + [1], 256, 0),
    "18 networks 64-16-16-1, m = 1437": ([64, 16, 16, 1], 1437, 18),
}


def with_sandbox(X: Any, Y: Any, parameters: Any, rate: float) -> Any:
    AL, caches = sandbox.L_model_forward(X, parameters)
    cost = sandbox.compute_cost_from_logits(caches[-1][1], Y)
    grads = sandbox.L_model_backward(AL, Y, caches)
    return cost, sandbox.update_parameters(parameters, grads, rate)


@np.errstate(under="ignore")
def inline(X: Any, Y: Any, parameters: Any, rate: float) -> Any:
    """The formulas of the passes with all that they need: the stable sigmoid, silent in every error mode of
    NumPy, the exact dZ[L], the test whether AL is the sigmoid of Z. As in the exercise's functions, which
    hand on AL and the caches, cost and backward each take e^-|Z| anew."""
    L, m = len(parameters) // 2, X.shape[-1]
    A, Z = [X], []
    for l in range(1, L + 1):
        Z.append(parameters[f"W{l}"] @ A[-1] + parameters[f"b{l}"])
        if l < L:
            A.append(np.maximum(Z[-1], 0))
    ZL = Z[-1]
    e = np.exp(-np.abs(ZL))
    AL = np.where(ZL >= 0, 1, e) / (1 + e)

    cost = (np.maximum(ZL, 0) - Y * ZL + np.log1p(np.exp(-np.abs(ZL)))).sum(axis=(-2, -1)) / m

    e, positive = np.exp(-np.abs(ZL)), ZL >= 0
    S, S_complement = np.where(positive, 1, e) / (1 + e), np.where(positive, e, 1) / (1 + e)
    dZ, updated = (1 - Y) * S - Y * S_complement, {}
    if (np.abs(AL - S) > 8 * np.finfo(S.dtype).eps).any():
        raise ValueError("AL is not the sigmoid of Z.")
    for l in range(L, 0, -1):
        dW, db = dZ @ A[l - 1].mT / m, dZ.sum(axis=-1, keepdims=True) / m
        updated[f"W{l}"] = parameters[f"W{l}"] - rate * dW
        updated[f"b{l}"] = parameters[f"b{l}"] - rate * db
        dA = parameters[f"W{l}"].mT @ dZ  # dA0 too, as the exercise's dict has it
        if l > 1:
            dZ = np.where(Z[l - 2] > 0, dA, 0)
    return cost, updated


def main(repeats: int) -> None:
    table = Table("network", "sandbox (us)", "inline (us)", "ratio")
    for name, (dims, m, stack) in CASES.items():
        rng = np.random.default_rng(0)
        X, Y = rng.standard_normal((dims[0], m)), rng.integers(0, 2, (1, m)).astype(float)
        parameters = sandbox.initialize_parameters_deep(dims, rng=rng, scheme="he")
        if stack:
            parameters = {k: np.broadcast_to(v, (stack, *v.shape)).copy() for k, v in parameters.items()}
        seconds: dict[Any, list[float]] = {with_sandbox: [], inline: []}
        for step, times in list(seconds.items()) * repeats:
            start = time.perf_counter()
            step(X, Y, parameters, 0.1)
            times.append(time.perf_counter() - start)
        ours, theirs = (1e6 * float(np.median(times)) for times in seconds.values())
        table.add_row(name, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
