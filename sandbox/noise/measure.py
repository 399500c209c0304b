"""What others ask for: the reference and sigma of every output of a function.

An output as a whole has a rounding of u max |g|, over each matrix of a stack: 1 - A where A is near 1, or
(1 + tanh(Z/2)) / 2 for a sigmoid near 0, are right in this sense only, and are right. To it comes the
smallest normal number, because XLA, which evaluates the mirror's rarer operations, flushes subnormals too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np
import numpy.typing as npt
from jax.extend import core
from jax.tree_util import PyTreeDef

from sandbox.noise.interpreter import Evaluation, Sampled, Value, form, program, reference, run
from sandbox.noise.precision import Precision, is_float
from sandbox.typing import Array

K = 32
MEMORY = 1 << 30  # bytes that the samples of one evaluation may take


@dataclass(frozen=True)
class Measured:
    """One output: `reference` in float64, `sigma` of its shape (not finite where the tested dtype
    overflows); `overflow`: some number on the way to the outputs is beyond the tested dtype."""

    reference: Array
    sigma: Array
    overflow: bool


@dataclass(frozen=True)
class Noise:
    """`outputs` in the order of the function's flattened result; `unknown` names the primitives of
    which a backward stable algorithm was assumed; `kinks` counts the decisions that rounding may turn."""

    outputs: tuple[Measured, ...]
    unknown: tuple[str, ...]
    kinks: int


def widened(array: Array) -> Array:
    """In double precision; whole numbers too, because JAX divides those of 8 bits in float32."""
    wide: dict[str, type[np.generic]] = {"f": np.float64, "i": np.int64, "u": np.int64}
    return array.astype(np.float64 if is_float(array.dtype) else wide.get(array.dtype.kind, array.dtype))


def trace(function: Callable[..., object], *arguments: object) -> tuple[core.ClosedJaxpr, list[Array]]:
    """The jaxpr of `function` in double precision, and the flattened arguments to evaluate it at.

    Traces are kept by function and shapes: pass a module-level function to profit from it.
    """
    leaves, structure = jax.tree.flatten(arguments)
    arrays = [widened(np.asarray(leaf)) for leaf in leaves]
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)  # type: ignore[no-untyped-call]
    return _traced(function, structure, shapes), arrays


@lru_cache(maxsize=512)
def _traced(
    function: Callable[..., object], structure: PyTreeDef, shapes: tuple[jax.ShapeDtypeStruct, ...]
) -> core.ClosedJaxpr:
    def flat(*leaves: jax.Array) -> list[object]:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    with jax.enable_x64(True):
        return jax.make_jaxpr(flat)(*shapes)


def measure(
    function: Callable[..., object], *arguments: object, dtype: npt.DTypeLike, samples: int = K
) -> Noise:
    """Reference and sigma of every output of `function(*arguments)` for a computation in `dtype`.

    Args:
        function: written in JAX; its result's leaves are the outputs.
        arguments: taken as rounded to `dtype`.
        dtype: of the tested computation, float32 or float64; float16 or bfloat16 for one that rounds to it
            after each operation, and adds up in float32.
        samples: K, the degrees of freedom of sigma.

    Raises:
        ValueError: `dtype` is not a floating-point one. What `function` raises when traced is passed on.
    """
    closed, inputs = trace(function, *arguments)
    state = Evaluation(Precision.of(dtype), samples)
    references: list[Array] = []
    totals = [np.zeros(()) for _ in closed.jaxpr.outvars]
    with np.errstate(all="ignore"), jax.enable_x64(True):
        for state.samples in _chunks(closed.jaxpr, samples):
            values = run(state, closed, [state.of_input(x) for x in inputs])
            references = references or [np.array(reference(v)) for v in values]
            totals = [np.hypot(total, _norm(v)) for total, v in zip(totals, values, strict=True)]
        outputs = tuple(
            Measured(g, _sigma(g, total / np.sqrt(samples), state.precision), state.overflow)
            for g, total in zip(references, totals, strict=True)
        )
    return Noise(outputs, tuple(sorted(state.unknown)), state.kinks)


def _chunks(jaxpr: core.Jaxpr, samples: int) -> Iterator[int]:
    """How many samples to take at a time."""
    size = sum(8 * form(v).size for eqn, _ in program(jaxpr) for v in eqn.outvars)
    chunk = min(max(MEMORY // max(size, 1) - 1, 8), samples)
    return (min(chunk, samples - done) for done in range(0, samples, chunk))


def _sigma(g: Array, deviation: Array, precision: Precision) -> Array:
    """With the rounding of the largest finite entry of each matrix of a stack, or of a smaller array."""
    axes = tuple(range(max(g.ndim - 2, 0), g.ndim))
    largest = np.max(np.abs(g), axis=axes, keepdims=True, where=np.isfinite(g), initial=0.0)
    return np.asarray(np.hypot(deviation, precision.u * largest) + precision.underflow)


def _norm(value: Value) -> Array:
    """The root of the sum of squared deviations from the reference, over the samples."""
    if not isinstance(value, Sampled):
        return np.zeros(value.shape)
    samples = value.array if value.array.dtype.kind in "fc" else value.array.astype(float)
    deviations = samples[1:] - samples[:1]
    if deviations.dtype.kind == "c":
        deviations = np.abs(deviations)
    squares = np.einsum("k...,k...->...", deviations, deviations)
    if squares.min(initial=1.0) > 1e-280 and squares.max(initial=1.0) < np.inf:
        return np.asarray(np.sqrt(squares))
    # Some may have underflowed or overflowed: each component is scaled.
    magnitude = np.abs(deviations)
    largest = magnitude.max(axis=0, initial=0.0)
    if not np.isfinite(largest).all():
        return np.asarray(np.hypot.reduce(deviations, axis=0))
    magnitude /= np.where(largest > 0, largest, 1.0)
    return np.asarray(np.sqrt(np.einsum("k...,k...->...", magnitude, magnitude)) * largest)
