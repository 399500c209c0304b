"""What others ask for: the reference and sigma of every output of a function.

An output as a whole has a rounding of u max |g|, over each matrix of a stack: 1 - A where A is near 1, or
(1 + tanh(Z/2)) / 2 for a sigmoid near 0, are right in this sense only, and are right. To it comes the
smallest normal number, because XLA, which evaluates the mirror's rarer operations, flushes subnormals too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import numpy as np
import numpy.typing as npt
from jax.extend import core
from jax.tree_util import PyTreeDef

from sandbox.noise.draws import NUMBERS
from sandbox.noise.interpreter import Evaluation, Sampled, Value, form, inner, program, reference, results
from sandbox.noise.precision import Precision, is_float
from sandbox.typing import Array

K = 32
MEMORY = 1 << 27  # bytes that the samples of one evaluation may take, if a few do
PIECE = 1 << 16  # deviations that are squared at a time: they stay in the cache


@dataclass(frozen=True)
class Measured:
    """One output: `reference` in float64, `sigma` of its shape (not finite where the tested dtype
    overflows); `overflow`: some number on the way to the outputs is beyond the tested dtype; `samples`: the
    degrees of freedom of sigma."""

    reference: Array
    sigma: Array
    overflow: bool
    samples: int = K


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
    chunk, parts = _at_a_time(closed.jaxpr, samples)
    state = Evaluation(Precision.of(dtype), samples, 0, parts)
    references: dict[int, Array] = {}
    totals: dict[int, Array] = {}
    with np.errstate(all="ignore"), jax.enable_x64(True):
        if parts:  # their errors are drawn in their order, though each is made when it is needed
            for i, x in enumerate(inputs):
                state.of_input(i, x)
        for done in range(0, samples, chunk):
            state.samples = min(chunk, samples - done)
            given = [partial(state.of_input, i, x) for i, x in enumerate(inputs)]
            for i, value in results(state, closed, given if parts else [make() for make in given]):
                references.setdefault(i, np.array(reference(value)))
                totals[i] = np.hypot(totals.get(i, 0.0), _norm(value))
        deviations = (totals.pop(i) / np.sqrt(samples) for i in range(len(references)))
        outputs = tuple(
            Measured(
                references[i], _sigma(references[i], deviation, state.precision), state.overflow, samples
            )
            for i, deviation in enumerate(deviations)
        )
    return Noise(outputs, tuple(sorted(state.unknown)), state.kinks)


def _at_a_time(jaxpr: core.Jaxpr, samples: int) -> tuple[int, bool]:
    """How many samples fit into `MEMORY` beside the reference: all, or a multiple of `NUMBERS`; and whether
    to make the inputs only when they are needed, and the samples in parts."""
    held, given = max(_footprint(jaxpr), 1), sum(8 * form(v).size for v in jaxpr.invars)
    if MEMORY // (held + given) > samples:
        return samples, False
    fitting = MEMORY // held - 1
    return samples if fitting >= samples else max(fitting // NUMBERS, 1) * NUMBERS, True


@lru_cache(maxsize=2048)
def _footprint(jaxpr: core.Jaxpr) -> int:
    """The bytes of the values of one sample that are held at a time, at most."""
    held: dict[core.Var, int] = {}
    total = most = 0
    for eqn, done_with in program(jaxpr):
        for var in (*eqn.invars, *eqn.outvars):
            if isinstance(var, core.Var) and var not in held:
                held[var] = form(var).size * getattr(form(var).dtype, "itemsize", 8)
                total += held[var]
        most = max(most, total + max(map(_footprint, inner(eqn)), default=0))
        total -= sum(held.pop(var) for var in done_with)
    return most


def _sigma(g: Array, deviation: Array, precision: Precision) -> Array:
    """With the rounding of the largest finite entry of each matrix of a stack, or of a smaller array."""
    axes = tuple(range(max(g.ndim - 2, 0), g.ndim))
    largest = np.max(np.abs(g), axis=axes, keepdims=True, where=np.isfinite(g), initial=0.0)
    return np.asarray(np.hypot(deviation, precision.u * largest) + precision.underflow)


def _norm(value: Value) -> Array:
    """The root of the sum of squared deviations from the reference, over the samples."""
    if not isinstance(value, Sampled):
        return np.zeros(value.shape)
    shape = value.array.shape[1:]
    if value.array.size <= PIECE or not shape:
        return _norm_of_piece(value.array)
    axis = int(np.argmax(shape))
    count = min(-(-value.array.size // PIECE), shape[axis])
    pieces = np.array_split(value.array, count, axis=1 + axis)
    return np.concatenate([_norm_of_piece(piece) for piece in pieces], axis=axis)


def _norm_of_piece(array: Array) -> Array:
    samples = array if array.dtype.kind in "fc" else array.astype(float)
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
