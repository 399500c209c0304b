"""Time to check every gradient of a network: this checker, gradcheck and check_grads side by side.

    python benchmarks/speed.py [--fraction F]

The network: 8 layers, 32 wide, 256 examples, He initialisation, float64, hand-written backward. Checked are
dA0 .. dA7, dW1 .. dW8 and db1 .. db8, by

* `sandbox.check_model` in this process, first call (with JAX's compilation) and repeated;
* `autodiff-sandbox check` from the shell, with start and imports (the same sizes, its own random data);
* `torch.autograd.gradcheck` in full mode (fast_mode=False), defaults otherwise, on a
  `torch.autograd.Function` with the cost J as forward and the hand-written gradients as backward. A zero
  added to each A[l] makes dA[l] one of its gradients: 2 forward passes for each number in A0 .. A7 and
  the parameters. A second row has X and the parameters only, that is without dA1 .. dA7;
* `jax.test_util.check_grads`, order 1, "rev", for context: it tests one random direction.

--fraction F (0 < F <= 1) runs gradcheck on whole operands with at least that share of the numbers, and
extrapolates in proportion to their number; the table says so. Without it gradcheck runs in full. A small F
exaggerates gradcheck's time, because its fixed costs are extrapolated too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import sandbox
from sandbox.network import mirror

try:
    import torch
except ImportError:
    sys.exit("benchmarks/speed.py needs PyTorch: pip install -e '.[bench]'")

DEPTH, WIDTH, EXAMPLES = 8, 32, 256
REPEATS = 9
TARGET_RATIO, TARGET_SHELL = 100, 2.0

_rng = np.random.default_rng(0)
X = _rng.standard_normal((WIDTH, EXAMPLES))
Y = _rng.integers(0, 2, (1, EXAMPLES)).astype(float)
PARAMETERS = sandbox.initialize_parameters_deep([WIDTH] * DEPTH + [1], rng=_rng, scheme="he")
ZEROS = {f"A{l}": np.zeros((WIDTH, EXAMPLES)) for l in range(DEPTH)}
OPERANDS = PARAMETERS | ZEROS  # by which the peers differentiate
WITHOUT_INNER = ["A0", *PARAMETERS]


def backward() -> dict[str, Any]:
    """The hand-written gradients by all operands, of the mean cost."""
    AL, caches = sandbox.L_model_forward(X, PARAMETERS)
    grads = sandbox.L_model_backward(AL, Y, caches)
    return {key: grads[f"d{key}"] / (EXAMPLES if key[0] == "A" else 1) for key in OPERANDS}


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def gradcheck(keys: list[str]) -> tuple[float, bool]:
    """Time and verdict of gradcheck by the operands of these names; the others are constants."""
    constants = {key: torch.from_numpy(value) for key, value in OPERANDS.items()}
    x, y, count = torch.from_numpy(X), torch.from_numpy(Y), sum(OPERANDS[key].size for key in keys)

    def cost(*operands: Any) -> Any:
        theta = constants | dict(zip(keys, operands, strict=True))
        # A constant zero is not added: the peer does no more work than it must.
        A = x + theta["A0"] if "A0" in keys else x
        for l in range(1, DEPTH):
            A = torch.relu(theta[f"W{l}"] @ A + theta[f"b{l}"])
            if f"A{l}" in keys:
                A = A + theta[f"A{l}"]
        ZL = theta[f"W{DEPTH}"] @ A + theta[f"b{DEPTH}"]
        return torch.nn.functional.binary_cross_entropy_with_logits(ZL, y)

    class HandWritten(torch.autograd.Function):
        passes = 0

        @staticmethod
        def forward(context: Any, *operands: Any) -> Any:
            HandWritten.passes += 1
            if HandWritten.passes % 1000 == 0:
                progress.update(task, completed=HandWritten.passes)
            return cost(*operands)

        @staticmethod
        def backward(context: Any, cotangent: Any) -> Any:
            grads = backward()
            return tuple(cotangent * torch.from_numpy(grads[key]) for key in keys)

    tensors = [torch.from_numpy(OPERANDS[key].copy()).requires_grad_() for key in keys]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"gradcheck of {count} numbers", total=2 * count)
        return seconds(
            lambda: bool(torch.autograd.gradcheck(HandWritten.apply, tensors, raise_exception=False))
        )


def extrapolated(keys: list[str], fraction: float) -> tuple[float, bool, str]:
    """Time (of all operands), verdict and a note."""
    total = sum(OPERANDS[key].size for key in keys)
    chosen: list[str] = []
    for key in sorted(keys, key=lambda key: OPERANDS[key].size):
        if sum(OPERANDS[k].size for k in chosen) < fraction * total:
            chosen.append(key)
    tested = sum(OPERANDS[key].size for key in chosen)
    elapsed, verdict = gradcheck(chosen)
    if tested == total:
        return elapsed, verdict, f"run in full, {total} numbers"
    note = f"EXTRAPOLATED from {tested} of {total} numbers, {elapsed:.1f} s"
    return elapsed * total / tested, verdict, note


def jax_check_grads() -> bool:
    keys = list(OPERANDS)

    def cost(*operands: Any) -> Any:
        theta = dict(zip(keys, operands, strict=True))
        zeros = {key: theta.pop(key) for key in ZEROS}
        return mirror.cross_entropy_from_logits(mirror.L_model_forward(X, theta, zeros, mirror.relu), Y)

    hand_written = jax.custom_vjp(cost)
    hand_written.defvjp(
        lambda *operands: (cost(*operands), None),
        lambda _, cotangent: tuple(cotangent * jnp.asarray(g) for g in backward().values()),
    )
    with jax.enable_x64(True):
        try:
            check_grads(hand_written, tuple(OPERANDS.values()), order=1, modes=["rev"])  # type: ignore[no-untyped-call]
        except AssertionError:
            return False
    return True


def from_the_shell() -> bool:
    beside = Path(sys.executable).with_name("autodiff-sandbox")
    command = str(beside) if beside.exists() else shutil.which("autodiff-sandbox") or "autodiff-sandbox"
    arguments = f"check --depth {DEPTH} --width {WIDTH} --examples {EXAMPLES}".split()
    return subprocess.run([command, *arguments], stdout=subprocess.DEVNULL, check=False).returncode == 0


def main(fraction: float) -> None:
    def ours(seed: int = 0) -> bool:
        # Other examples each time: answers for the same inputs are kept, and would come at once.
        other = np.random.default_rng(seed).standard_normal(X.shape) if seed else X
        return bool(sandbox.check_model(PARAMETERS, other, Y))

    sandbox.check_model  # noqa: B018  imports the checker, and JAX
    first, first_verdict = seconds(ours)
    repeated = float(np.median([seconds(partial(ours, seed))[0] for seed in range(1, REPEATS + 1)]))
    if not from_the_shell():  # which also leaves the files in the system's cache
        sys.exit("benchmarks/speed.py: 'autodiff-sandbox check' failed, there is nothing to time.")
    shells = [seconds(from_the_shell) for _ in range(3)]
    shell = float(np.median([elapsed for elapsed, _ in shells]))
    all_outputs, all_verdict, all_note = extrapolated(list(OPERANDS), fraction)
    some_outputs, some_verdict, some_note = extrapolated(WITHOUT_INNER, fraction)
    one_direction, jax_verdict = seconds(jax_check_grads)

    table = Table("checker", "outputs", "accepts", title=f"{DEPTH} layers, {WIDTH} wide, {EXAMPLES} examples")
    for column in ("seconds", "over ours, repeated", "over ours, shell"):
        table.add_column(column, justify="right")
    table.add_column("note")
    everything = "all dA, dW, db"
    for name, outputs, verdict, elapsed, note in (
        ("ours, first call", everything, first_verdict, first, "in process, after import"),
        ("ours, repeated", everything, first_verdict, repeated, f"median of {REPEATS}, new inputs each"),
        ("ours, shell", everything, shells[0][1], shell, "median of 3, with imports"),
        ("gradcheck, full mode", everything, all_verdict, all_outputs, all_note),
        ("gradcheck, full mode", "dA0, all dW, db", some_verdict, some_outputs, some_note),
        ("jax check_grads", "one direction", jax_verdict, one_direction, "first call"),
    ):
        table.add_row(
            name, outputs, "yes" if verdict else "NO", f"{elapsed:.3g}",
            f"{elapsed / repeated:.1f}", f"{elapsed / shell:.1f}", note,
        )  # fmt: skip
    # As wide as its contents when written to a file.
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    for what, value, holds in (
        (f"gradcheck over ours, in process, >= {TARGET_RATIO}", f"{all_outputs / repeated:.0f}",
         all_outputs >= TARGET_RATIO * repeated),
        (f"gradcheck over ours, from the shell, >= {TARGET_RATIO}", f"{all_outputs / shell:.0f}",
         all_outputs >= TARGET_RATIO * shell),
        (f"from the shell, < {TARGET_SHELL:g} s", f"{shell:.2f} s", shell < TARGET_SHELL),
    ):  # fmt: skip
        print(f"{what}: {value}, {'yes' if holds else 'NO'}")
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads, jax {jax.__version__}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time to check every gradient of a network.")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the numbers that gradcheck perturbs")
    chosen_fraction = parser.parse_args().fraction
    if not 0 < chosen_fraction <= 1:
        parser.error("--fraction is a number in (0, 1]")
    main(chosen_fraction)
