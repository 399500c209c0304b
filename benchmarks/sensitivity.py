"""The smallest error in a hand-written gradient that three gradient checkers catch.

    python benchmarks/sensitivity.py [--quick]

One output of `linear_backward` (in one layer of a network, or alone) is multiplied by 1 + e: the whole
tensor, or one typical entry, the one of median magnitude among those that are not 0. Bisection in log e,
12 steps between 1e-16 and 10, finds the smallest e that is caught by

* this checker: `sandbox.check_model` or `sandbox.check_linear_backward`;
* `torch.autograd.gradcheck` at its defaults (eps 1e-6, atol 1e-5, rtol 1e-3);
* `jax.test_util.check_grads` at its defaults (float64: eps 1e-4, atol and rtol 1e-5), order 1, "rev".

All three get the same NumPy code with the same error in it. In the peers it is the backward of a
`torch.autograd.Function` and of a `jax.custom_vjp` whose forward is the cost J by all parameters, or
Z = W A + b by all operands. A planted dA{l} reaches them through the gradients of the layers below l.

Read it with this in mind. Both peers difference the function numerically and take fixed tolerances,
which a user may change; they know nothing of a mirror, while this checker must be given one in JAX.
check_grads tests one random direction (the same in every call). The function of gradcheck is meant for
float64: in float32 it warns, and its step is too small. A checker that rejects the right gradient
(e = 0) has no smallest e. Networks and data are drawn with fixed seeds.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads
from rich.console import Console
from rich.progress import track
from rich.table import Table

import sandbox
from sandbox import network
from sandbox.network import mirror, passes

try:
    import torch
except ImportError:
    sys.exit("benchmarks/sensitivity.py needs PyTorch: pip install -e '.[bench]'")

SMALLEST, LARGEST, STEPS = 1e-16, 10.0, 12
WIDTH, EXAMPLES = 16, 64
OUTPUTS = ("dA_prev", "dW", "db")


@dataclass(frozen=True)
class Plant:
    """An error e in one output of `linear_backward`, in the layer whose weights are `W`."""

    W: Any
    output: str
    entry: tuple[int, ...] | None  # None: the whole tensor
    e: float

    def linear_backward(self, dZ: Any, cache: Any) -> Any:
        gradients = list(ORIGINAL(dZ, cache))
        # Not in the other dtype, in which the contracts call it: that would be another error.
        if cache[1].dtype == self.W.dtype and np.array_equal(cache[1], self.W):
            gradient = gradients[OUTPUTS.index(self.output)]
            where = ... if self.entry is None else self.entry
            gradient[where] *= gradient.dtype.type(1 + self.e)
        return tuple(gradients)


ORIGINAL = passes._linear_backward


@dataclass(frozen=True)
class Subject:
    """A function, its operands, and `backward(cotangent, plant)`, the hand-written gradients by them."""

    name: str
    label: str  # of the output
    plant: Plant
    operands: list[Any]
    in_torch: Callable[..., Any]
    in_jax: Callable[..., Any]
    backward: Callable[[Any, Plant], list[Any]]
    ours: Callable[[Plant], bool]


def typical_entry(gradient: Any) -> tuple[int, ...]:
    """The index of the entry of median magnitude among those that are not 0."""
    order = np.argsort(np.abs(gradient), axis=None)
    order = order[np.count_nonzero(gradient == 0) :]
    return tuple(int(i) for i in np.unravel_index(order[len(order) // 2], gradient.shape))


def one_layer(dtype: Any, output: str, entry: bool) -> Subject:
    rng = np.random.default_rng(1)
    A, W, b, dZ = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((WIDTH, EXAMPLES), (WIDTH, WIDTH), (WIDTH, 1), (WIDTH, EXAMPLES))
    )
    gradient = network.linear_backward(dZ, (A, W, b))[OUTPUTS.index(output)]

    def backward(cotangent: Any, plant: Plant) -> list[Any]:
        # The peers differentiate Z itself: dW and db lose their factor 1/m.
        dA, dW, db = plant.linear_backward(cotangent, (A, W, b))
        return [dA, dW * EXAMPLES, db * EXAMPLES]

    return Subject(
        "linear_backward", output,
        Plant(W, output, typical_entry(gradient) if entry else None, 0.0), [A, W, b],
        lambda A, W, b: W @ A + b, mirror.linear_forward, backward,
        lambda plant: bool(sandbox.check_linear_backward(dZ, (A, W, b), function=plant.linear_backward)),
    )  # fmt: skip


def whole_network(depth: int, dtype: Any, output: str, entry: bool) -> Subject:
    rng = np.random.default_rng(depth)
    X = rng.standard_normal((WIDTH, EXAMPLES)).astype(dtype)
    Y = rng.integers(0, 2, (1, EXAMPLES)).astype(dtype)
    dims = [WIDTH] * depth + [1]
    parameters = sandbox.initialize_parameters_deep(dims, rng=rng, scheme="he", dtype=dtype)
    keys = list(parameters)
    AL, caches = network.L_model_forward(X, parameters)
    # dW in the first layer; db in the middle; dA handed down there by the layer above.
    label, layer = {
        "dW": ("dW1", 1),
        "db": (f"db{depth // 2}", depth // 2),
        "dA_prev": (f"dA{depth // 2}", depth // 2 + 1),
    }[output]
    gradient = network.L_model_backward(AL, Y, caches)[label]

    def L_model_backward(plant: Plant, *arguments: Any) -> Any:
        with mock.patch.object(passes, "_linear_backward", plant.linear_backward):
            return network.L_model_backward(*arguments)

    def backward(cotangent: Any, plant: Plant) -> list[Any]:
        grads = L_model_backward(plant, AL, Y, caches)
        return [cotangent * grads[f"d{key}"] for key in keys]

    def in_torch(*theta: Any) -> Any:
        Z = A = torch.from_numpy(X)
        for W, b in zip(theta[::2], theta[1::2], strict=True):
            Z = W @ A + b
            A = torch.relu(Z)
        return torch.nn.functional.binary_cross_entropy_with_logits(Z, torch.from_numpy(Y))

    def in_jax(*theta: Any) -> Any:
        zeros = {f"A{l}": jnp.zeros((), dtype) for l in range(depth)}
        Z = mirror.L_model_forward(X, dict(zip(keys, theta, strict=True)), zeros, mirror.relu)
        return mirror.cross_entropy_from_logits(Z, Y)

    return Subject(
        f"network of {depth} layers", label,
        Plant(parameters[f"W{layer}"], output, typical_entry(gradient) if entry else None, 0.0),
        [parameters[key] for key in keys], in_torch, in_jax, backward,
        lambda plant: bool(
            sandbox.check_model(parameters, X, Y, functions={"linear_backward": plant.linear_backward})
        ),
    )  # fmt: skip


# --- the three checkers: is the gradient with this error accepted? ------------------------------


def ours(subject: Subject, plant: Plant) -> bool:
    return subject.ours(plant)


def gradcheck(subject: Subject, plant: Plant) -> bool:
    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *operands: Any) -> Any:
            return subject.in_torch(*operands)

        @staticmethod
        def backward(context: Any, cotangent: Any) -> Any:
            return tuple(torch.from_numpy(np.array(g)) for g in subject.backward(cotangent.numpy(), plant))

    operands = [torch.from_numpy(a.copy()).requires_grad_() for a in subject.operands]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that float32 is not what it is meant for
        return bool(torch.autograd.gradcheck(Planted.apply, operands, raise_exception=False))


def jax_check_grads(subject: Subject, plant: Plant) -> bool:
    planted = jax.custom_vjp(lambda *operands: subject.in_jax(*operands))
    planted.defvjp(
        lambda *operands: (subject.in_jax(*operands), None),
        lambda _, cotangent: tuple(map(jnp.asarray, subject.backward(np.asarray(cotangent), plant))),
    )
    with jax.enable_x64(subject.operands[0].dtype == np.float64):
        try:
            check_grads(planted, subject.operands, order=1, modes=["rev"])  # type: ignore[no-untyped-call]
        except AssertionError:
            return False
    return True


def smallest_caught(checker: Callable[[Subject, Plant], bool], subject: Subject) -> float:
    """The smallest e that is caught; NaN if the right gradient is rejected, inf if none is caught."""

    def accepts(e: float) -> bool:
        plant = subject.plant
        return checker(subject, Plant(plant.W, plant.output, plant.entry, e))

    if not accepts(0.0):
        return math.nan
    if accepts(LARGEST):
        return math.inf
    low, high = math.log(SMALLEST), math.log(LARGEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if accepts(math.exp(middle)) else (low, middle)
    return math.exp(high)


# --- the table ------------------------------------------------------------------------------------


def subjects(quick: bool) -> Iterator[Subject]:
    for dtype in (np.float64, np.float32):
        for output in ("dW",) if quick else OUTPUTS:
            for entry in (False, True):
                yield one_layer(dtype, output, entry)
        for depth in (2, 8) if quick else (2, 4, 8):
            for output in ("dW",) if quick else ("dW", "db", "dA_prev"):
                for entry in (False, True):
                    yield whole_network(depth, dtype, output, entry)


def cell(e: float) -> str:
    if math.isnan(e):
        return "rejects right code"
    return f"{e:.1e}" if e < math.inf else f"not at e = {LARGEST:g}"


def factor(mine: float, other: float) -> str:
    """How many times smaller ours is; at least that, if the other did not even catch the largest."""
    if math.isnan(mine + other) or mine == math.inf:
        return "-"
    return f"{other / mine:.1e}" if other < math.inf else f"> {LARGEST / mine:.1e}"


def main(quick: bool) -> None:
    table = Table("code", "dtype", "output", "planted in", title="Smallest relative error caught")
    for column in ("ours", "gradcheck", "check_grads", "gradcheck / ours", "check_grads / ours"):
        table.add_column(column, justify="right")
    start = time.perf_counter()
    for subject in track(list(subjects(quick)), "bisecting", console=Console(stderr=True)):
        mine, by_torch, by_jax = (smallest_caught(c, subject) for c in (ours, gradcheck, jax_check_grads))
        table.add_row(
            subject.name, str(subject.operands[0].dtype), subject.label,
            "one entry" if subject.plant.entry else "whole tensor",
            cell(mine), cell(by_torch), cell(by_jax), factor(mine, by_torch), factor(mine, by_jax),
        )  # fmt: skip
    # As wide as its contents when written to a file.
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    print(
        f"Width {WIDTH}, {EXAMPLES} examples, He initialisation; "
        f"torch {torch.__version__}, jax {jax.__version__}; {time.perf_counter() - start:.0f} s."
    )


if __name__ == "__main__":
    if set(sys.argv[1:]) - {"--quick"}:
        sys.exit("usage: python benchmarks/sensitivity.py [--quick]")
    main("--quick" in sys.argv)
