"""sigma: how far rounding alone moves the result of a JAX function, measured on its jaxpr.

Monte Carlo arithmetic (Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002, 1997; Verificarlo, Denis
et al. 2016). The function is traced to a jaxpr and evaluated once in float64 (the reference, g)
and K times more with a uniform random error after each arithmetic primitive, of the size that rounding
in the tested dtype has. The root mean square of the K deviations from g is sigma, per component.

What one primitive contributes, as a standard deviation, with u the unit roundoff (2^-24 for
float32, 2^-53 for float64):

* An input: u |x|, because code is as good as one can ask for if it gives what belongs to inputs that round
  to the same numbers (backward stability; Higham, *Accuracy and Stability of Numerical Algorithms*, 2002,
  section 1.5). A textbook formula for the gradient of a batch normalisation, say, is no better than that.
* + - * / sqrt: u |y|; elementary functions: a few u |y| (libraries are not correctly rounded). Nothing
  where numbers that depend on no input give a short one exactly, as (n - 1) / 2 does.
* Sums, products of matrices and convolutions: see `sandbox.sums`. Equal numbers in an elementwise
  operation are rounded alike; in a function of one operand, equal operands.
* Data movement, comparisons, max and select: nothing.
* Of a primitive that is not known a backward stable algorithm is assumed (as those of linear algebra and
  Fourier transforms are): the result is that of operands which are each off by u sqrt(k) |x|, with k the
  length of their longest axis, and is rounded once more.
* Complex numbers: the real and the imaginary part err by as much as the modulus would.
* Below the smallest normal number the absolute error is up to that number, because many kernels flush
  subnormal numbers to 0; above the largest number the sample becomes infinite, as the tested computation
  does.

An output as a whole has a rounding of u max |g|, over each matrix of a stack: 1 - A where A is near 1, or
(1 + tanh(Z/2)) / 2 for a sigmoid near 0, are right in this sense only, and are right. To it comes the
smallest normal number, because XLA, which evaluates the mirror's rarer operations, flushes subnormals too.

A comparison is decided with the deviation of its operands enlarged T = 8 times, in each sample:
whichever way rounding may turn it, some samples turn it so, and sigma covers both branches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend import core

from sandbox.primitives import (
    COMPARISONS,
    DECISIONS,
    EXACT,
    NUMPY,
    ROUNDED,
    matrices,
    moved,
    patches,
    unpatched,
)
from sandbox.sums import Precision, nearly_equal, of_products, of_running_sum, of_sum
from sandbox.typing import Array

K = 32
SEED = 20_240_229
ENLARGED = 8.0
SPARE = 100  # steps that a sample of a loop may take after the reference has ended
ACCUMULATED = {
    "cumsum", "cumprod", "cumlogsumexp", "reduce_prod", "reduce_window_sum", "scatter-add",
    "select_and_scatter_add",
}  # fmt: skip
SHORT = {"add", "sub", "mul", "div", "integer_pow", "square", "sqrt"}  # whose short results are exact
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


@lru_cache(maxsize=512)
def _traced(function: Callable[..., Any], structure: Any, shapes: tuple[Any, ...]) -> Any:
    def flat(*leaves: Any) -> Any:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    with jax.enable_x64(True):
        return jax.make_jaxpr(flat)(*(jax.ShapeDtypeStruct(*s) for s in shapes))  # type: ignore[no-untyped-call]


@lru_cache(maxsize=2048)
def _program(jaxpr: Any) -> list[tuple[Any, list[Any]]]:
    """The equations that the results depend on (of a VJP the primal is often not needed), each with the
    variables that are not used after it."""
    needed = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
    program = []
    for eqn in reversed(jaxpr.eqns):
        if needed.isdisjoint(eqn.outvars):
            continue
        operands = {v for v in eqn.invars if isinstance(v, core.Var)}
        unused = [v for v in eqn.outvars if v not in needed]
        program.append((eqn, [*(operands - needed), *unused]))
        needed |= operands
    return program[::-1]


def widened(array: Array) -> Array:
    """In double precision; whole numbers too, because JAX divides those of 8 bits in float32."""
    wide: dict[str, Any] = {"f": np.float64, "i": np.int64, "u": np.int64}
    return array.astype(wide.get(array.dtype.kind, array.dtype))


def trace(function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[Array]]:
    """The jaxpr of `function` in double precision, and the flattened arguments to evaluate it at.

    Traces are kept by function and shapes: pass a module-level function to profit from it.
    """
    leaves, structure = jax.tree.flatten(arguments)
    arrays = [widened(np.asarray(leaf)) for leaf in leaves]
    shapes = tuple((array.shape, array.dtype.name) for array in arrays)
    return _traced(function, structure, shapes), arrays


def measure(function: Callable[..., Any], *arguments: Any, dtype: Any, samples: int = K) -> Noise:
    """Reference and sigma of every output of `function(*arguments)` for a computation in `dtype`.

    Args:
        function: written in JAX; its result's leaves are the outputs.
        arguments: taken as rounded to `dtype`.
        dtype: of the tested computation, float32 or float64.
        samples: K, the degrees of freedom of sigma.
    """
    closed, arrays = trace(function, *arguments)
    size = sum(8 * v.aval.size for eqn, _ in _program(closed.jaxpr) for v in eqn.outvars)
    chunk = int(np.clip(MEMORY // max(size, 1) - 1, 8, samples))
    evaluator = _Evaluator(np.dtype(dtype))
    references: list[Array] = []
    deviations: list[Array] = []
    done = 0
    with np.errstate(all="ignore"), jax.enable_x64(True):
        while done < samples:
            evaluator.samples = min(chunk, samples - done)
            inputs = [evaluator.of_input(a) for a in arrays]
            values = evaluator.run(closed.jaxpr, closed.consts, inputs)
            sampled = [
                np.ndim(v) > var.aval.ndim for v, var in zip(values, closed.jaxpr.outvars, strict=True)
            ]
            if not done:
                references = [np.array(v[0] if s else v) for v, s in zip(values, sampled, strict=True)]
                deviations = [np.zeros(g.shape) for g in references]
            deviations = [
                np.hypot(total, _norm(v[1:] - v[:1])) if s else total
                for total, v, s in zip(deviations, values, sampled, strict=True)
            ]
            done += evaluator.samples
        outputs = tuple(
            Measured(
                g,
                np.hypot(total / np.sqrt(samples), evaluator.precision.u * _largest(g))
                + evaluator.precision.underflow,
                evaluator.overflow,
            )
            for g, total in zip(references, deviations, strict=True)
        )
    return Noise(outputs, tuple(sorted(evaluator.unknown)), evaluator.kinks)


class _Evaluator:
    """Evaluates a jaxpr with a leading axis of samples; sample 0 is the unperturbed reference.

    A value without noise has no such axis. NumPy evaluates the common primitives, because compiling
    each of them for each new shape would take most of the time; JAX evaluates all others.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.precision = Precision.of(dtype)
        self.samples = K
        self.bits = np.random.SFC64(SEED)
        self.unknown: set[str] = set()
        self.kinks = 0
        self.overflow = False

    def batch(self, value: Any, ndim: int) -> Array:
        array = np.asarray(value)
        if array.ndim > ndim:
            return array
        return np.asarray(np.broadcast_to(array, (self.samples + 1, *array.shape)))

    def of_input(self, value: Array) -> Array:
        if value.dtype.kind != "f":
            return value
        # Numbers that are equal stay equal: the ties of a maximum, say.
        ordered = np.sort(value.astype(self.dtype, copy=False), axis=None)
        tied = bool(np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)))
        return self.perturbed(value, value.ndim, self.precision.floor(value), tied=tied)

    def perturbed(
        self,
        value: Array,
        ndim: int,
        deviation: Array,
        *,
        tied: bool = False,
        operand: Array | None = None,
    ) -> Array:
        """`value` with uniform errors of the given standard deviation in all samples but the reference;
        an infinite one stands for an overflow. If tied, equal numbers err alike; they do so in any case if
        some that are neighbours are equal. Of a function of one operand, equal operands do: a sigmoid is 1
        for many Z, from each of which it errs by something else."""
        if value.dtype.kind == "c":
            parts = (value.real, value.imag)
            real, imaginary = (self.perturbed(x, ndim, deviation, tied=tied) for x in parts)
            return np.asarray(real + 1j * imaginary)
        largest = self.precision.largest
        safe = value.size == 0 or (value.max() <= largest and value.min() >= -largest)
        safe = safe and bool(np.isfinite(deviation).all())
        if safe and not np.any(deviation):
            return value
        batched = self.batch(value, ndim)
        stored = batched[0].astype(self.dtype, copy=False)
        key = stored if operand is None else operand.astype(self.dtype, copy=False)
        tied = tied or _has_neighbours_equal(key)
        noise = self.uniform(key, tied)
        deviation = deviation * (np.sqrt(12) / 2**16)  # the variance over a width of w is w^2 / 12
        y = np.empty(batched.shape)
        y[0] = batched[0]
        np.multiply(noise, deviation if safe else np.nan_to_num(deviation, nan=0.0, posinf=0.0), out=y[1:])
        y[1:] += batched[1:]
        if tied:  # numbers that differ by less than a rounding become one and the same
            y[1:] += np.where(np.isfinite(stored), stored - batched[0], 0.0)
        if safe:
            return y
        if np.any((np.abs(value) > largest) | np.isinf(deviation)):
            self.overflow = True
            beyond = (np.abs(y[1:]) > largest) | np.isinf(deviation)
            y[1:] = np.where(beyond, np.copysign(np.inf, y[1:]), y[1:])
        return y

    def uniform(self, stored: Array, tied: bool) -> Array:
        """Integers in [-2^15, 2^15) for the samples of `stored`; if tied, equal ones for equal numbers."""
        values, which = np.unique(stored, return_inverse=True) if tied else (stored, None)
        # 16 bits each, which take a fifth of the time of `random`, are enough for the size of an error.
        count = self.samples * values.size
        words = self.bits.random_raw(-(-count // 4)).view(np.int16)
        noise = words[:count].reshape(self.samples, *values.shape)
        return noise if which is None else np.asarray(noise[:, which.reshape(stored.shape)])

    def reference(self, value: Any, ndim: int) -> Array:
        value = np.asarray(value)
        return np.asarray(value[0]) if value.ndim > ndim else value

    def enlarged(self, value: Array, ndim: int) -> Array:
        """The samples with T times their deviation from the reference."""
        if value.ndim == ndim:
            return value
        return np.asarray(value[:1] + ENLARGED * np.nan_to_num(value - value[:1], nan=0.0))

    def run(self, jaxpr: Any, consts: Any, arguments: Any) -> list[Any]:
        env: dict[Any, Any] = {}

        def read(atom: Any) -> Any:
            return np.asarray(atom.val) if isinstance(atom, core.Literal) else env[atom]

        env.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        env.update(zip(jaxpr.invars, arguments, strict=True))
        for eqn, done_with in _program(jaxpr):
            results = self.evaluate(eqn, [read(v) for v in eqn.invars])
            env.update(zip(eqn.outvars, results, strict=True))
            for var in done_with:
                del env[var]
        return [read(v) for v in jaxpr.outvars]

    def evaluate(self, eqn: Any, values: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            inner = params.get(key)
            if inner is not None and name not in ("scan", "while", "cond", "reduce", "reduce_window"):
                closed = inner if hasattr(inner, "consts") else None
                return self.run(inner.jaxpr if closed else inner, closed.consts if closed else (), values)
        ndims = [v.aval.ndim for v in eqn.invars]
        if name in ("scan", "while", "cond"):
            return {"scan": self.scan, "while": self.loop, "cond": self.cond}[name](values, ndims, eqn)
        ndim = eqn.outvars[0].aval.ndim
        if name == "select_n" and len(values) == 3:
            which, no, yes = self.aligned([np.asarray(v) for v in values], ndims, ndims[1])
            return [np.where(which, yes, no)]
        if name in COMPARISONS:
            # Align before comparing: the operands of a comparison have one shape, or are scalars.
            x, y = (self.enlarged(np.asarray(v), n) for v, n in zip(values, ndims, strict=True))
            x, y = self.aligned([x, y], ndims, ndim)
            return [self.decided("eq", COMPARISONS[name](x, y), ndim)]
        if name == "dot_general":
            return [self.dot_general(values, ndims, params, ndim)]
        if name == "conv_general_dilated":
            return [self.convolution(values, ndims, params, ndim)]
        if name == "reduce_sum":
            return [self.reduce_sum(np.asarray(values[0]), ndims[0], params["axes"])]
        if name in ACCUMULATED:
            return [self.accumulated(eqn, values, ndims)]
        if name in NUMPY and not (name == "div" and np.asarray(values[0]).dtype.kind in "iu"):
            operands = self.aligned([np.asarray(v) for v in values], ndims, ndim)
            result = NUMPY[name](*operands)
        else:
            by_numpy = moved(name, values, ndims, params)
            known = name in EXACT or name in ROUNDED
            if by_numpy is not None:
                results = [by_numpy]
            else:
                results = self.by_jax(eqn, values if known else self.backward_stable(values, ndims), ndims)
            if name in EXACT:
                return [self.decided(name, r, v.aval.ndim) for r, v in zip(results, eqn.outvars, strict=True)]
            if not known:
                self.unknown.add(name)
            operand = self.only_operand(values, ndims, eqn) if name in ROUNDED else None
            return [
                self.rounded(name, r, v.aval.ndim, operand) for r, v in zip(results, eqn.outvars, strict=True)
            ]
        if name in EXACT or result.dtype.kind not in "fc":
            return [self.decided(name, result, ndim)]
        if name in ("add", "sub", "add_any") and any(not np.any(v) for v in operands):
            return [result]  # x + 0 is exact
        if name in ("exp", "mul", "div"):
            # A result that underflows to 0 was not 0.
            exact = [self.reference(v, ndim) for v in operands]
            underflow = (self.reference(result, ndim) == 0) & np.all(
                np.broadcast_arrays(*((v != 0) & np.isfinite(v) | (name == "exp") for v in exact)), axis=0
            )
            result = self.perturbed(result, ndim, np.where(underflow, self.precision.underflow, 0.0))
        return [self.rounded(name, result, ndim, self.only_operand(values, ndims, eqn))]

    def only_operand(self, values: list[Any], ndims: list[int], eqn: Any) -> Array | None:
        """The operand of an elementwise function of one."""
        if len(values) != 1 or eqn.invars[0].aval.shape != eqn.outvars[0].aval.shape:
            return None
        x = self.reference(values[0], ndims[0])
        return x if x.dtype.kind == "f" else None

    def rounded(self, name: str, result: Array, ndim: int, operand: Array | None = None) -> Array:
        if result.dtype.kind not in "fc":
            return result
        y = self.reference(result, ndim)
        deviation = ROUNDED.get(name, 1.0) * self.precision.floor(y)
        if result.ndim == ndim and result.dtype.kind == "f" and name in SHORT:
            deviation = np.where(self.precision.is_short(y), 0.0, deviation)
        return self.perturbed(result, ndim, deviation, operand=operand)

    def decided(self, name: str, result: Array, ndim: int) -> Array:
        """The result; counted are the decisions that differ between the samples."""
        if name in DECISIONS and result.ndim > ndim:
            self.kinks += int(np.count_nonzero((result[1:] != result[:1]).any(axis=0)))
        return result

    def backward_stable(self, values: list[Any], ndims: list[int]) -> list[Any]:
        """Operands that are each off by u sqrt(k) |x|, k the length of the longest axis of all."""
        arrays = [np.asarray(v) for v in values]
        longest = max(
            [1, *(size for x, n in zip(arrays, ndims, strict=True) for size in x.shape[x.ndim - n :])]
        )
        return [
            self.perturbed(x, n, np.sqrt(longest) * self.precision.floor(self.reference(x, n)))
            if x.dtype.kind in "fc"
            else x
            for x, n in zip(arrays, ndims, strict=True)
        ]

    def aligned(self, values: list[Array], ndims: list[int], ndim: int) -> list[Array]:
        """A sampled scalar or smaller operand gets axes so that the samples stay in front."""
        return [
            v if v.ndim == n or n == ndim else v.reshape(v.shape[0], *(1,) * (ndim - n), *v.shape[1:])
            for v, n in zip(values, ndims, strict=True)
        ]

    def by_jax(self, eqn: Any, values: list[Any], ndims: list[int]) -> list[Any]:
        """Any other primitive, by JAX itself, vectorised over the samples."""
        sampled = [np.ndim(v) > n for v, n in zip(values, ndims, strict=True)]

        def bind(*operands: Any) -> Any:
            return eqn.primitive.bind(*operands, **eqn.params)

        if not any(sampled):
            results = bind(*values)
        else:
            try:
                results = jax.vmap(bind, in_axes=[0 if s else None for s in sampled])(*values)
            except NotImplementedError:  # a primitive that JAX cannot vectorise
                each = [
                    bind(*(v[i] if s else v for v, s in zip(values, sampled, strict=True)))
                    for i in range(self.samples + 1)
                ]
                results = jax.tree.map(lambda *xs: np.stack(xs), *each)
        return [np.asarray(r) for r in (results if eqn.primitive.multiple_results else [results])]

    def reduce_sum(self, x: Array, ndim: int, axes: tuple[int, ...]) -> Array:
        shift = x.ndim - ndim
        y = np.sum(x, axis=tuple(a + shift for a in axes))
        terms = np.moveaxis(self.reference(x, ndim), axes, range(len(axes)))
        terms = terms.reshape(int(np.prod(terms.shape[: len(axes)])), *terms.shape[len(axes) :])
        if y.dtype.kind not in "fc" or len(terms) == 0:
            return np.asarray(y)
        deviation = of_sum(_real(terms), self.precision)
        return self.perturbed(np.asarray(y), ndim - len(axes), deviation)

    def dot_general(self, values: list[Any], ndims: list[int], params: Any, ndim: int) -> Array:
        (contract_x, contract_y), (batch_x, batch_y) = params["dimension_numbers"]
        x = matrices(np.asarray(values[0]), ndims[0], batch_x, contract_x, last=True)
        y = matrices(np.asarray(values[1]), ndims[1], batch_y, contract_y, last=False)
        batch = tuple(np.shape(values[0])[np.ndim(values[0]) - ndims[0] + a] for a in batch_x)
        used = ((*batch_x, *contract_x), (*batch_y, *contract_y))
        free = tuple(
            np.shape(v)[np.ndim(v) - n + a]
            for v, n, taken in zip(values, ndims, used, strict=True)
            for a in range(n)
            if a not in taken
        )
        product = x @ y
        if product.dtype.kind not in "fc":
            return np.asarray(product.reshape(product.shape[: product.ndim - 3] + batch + free))
        deviation = of_products(_real(self.reference(x, 3)), _real(self.reference(y, 3)), self.precision)
        product = product.reshape(product.shape[: product.ndim - 3] + batch + free)
        return self.perturbed(product, ndim, deviation.reshape(batch + free))

    def convolution(self, values: list[Any], ndims: list[int], params: Any, ndim: int) -> Array:
        x, w, windows = patches(np.asarray(values[0]), np.asarray(values[1]), ndims[0], ndims[1], params)
        deviation = of_products(_real(self.reference(x, 3)), _real(self.reference(w, 3)), self.precision)
        return self.perturbed(unpatched(x @ w, windows, params), ndim, unpatched(deviation, windows, params))

    def accumulated(self, eqn: Any, values: list[Any], ndims: list[int]) -> Array:
        """Running sums and products, and sums whose terms an index chooses."""
        name, params = eqn.primitive.name, eqn.params
        result = self.by_jax(eqn, values, ndims)[0]
        ndim = eqn.outvars[0].aval.ndim
        if result.dtype.kind != "f":
            return np.asarray(result)
        y = self.reference(result, ndim)
        exact = [self.reference(v, n) for v, n in zip(values, ndims, strict=True)]
        if name in ("cumprod", "reduce_prod", "cumlogsumexp"):
            k = exact[0].size if name == "reduce_prod" else exact[0].shape[params["axis"]]
            relative = np.abs(y) if name != "cumlogsumexp" else 1 + 2 * np.abs(y)
            deviation = np.sqrt(k) * relative
        elif name == "cumsum":  # entry j has made the roundings of the partial sums up to j
            axis, order = params["axis"], slice(None, None, -1 if params["reverse"] else 1)
            terms, partials = np.moveaxis(exact[0], axis, 0)[order], np.moveaxis(y, axis, 0)[order]
            deviation = of_running_sum(terms, partials, self.precision.u)
            deviation = np.moveaxis(deviation[order], 0, axis)
        else:
            # All partial sums are at most sum_j |t_j|; there are as many as terms. (What a pooling selects by
            # is not a term.)
            terms = exact[-1] if name == "scatter-add" else exact[0]
            floats = [v.dtype.kind == "f" for v in exact]
            if name == "select_and_scatter_add":
                floats[1] = False
            [bound] = self.by_jax(
                eqn, [np.abs(v) if f else v for v, f in zip(exact, floats, strict=True)], ndims
            )
            [count] = self.by_jax(
                eqn, [np.ones_like(v) if f else v for v, f in zip(exact, floats, strict=True)], ndims
            )
            alike = float(np.max(nearly_equal(terms.reshape(-1, 1), self.precision.u), initial=1.0))
            deviation = np.sqrt(np.maximum(count - 1, 0) * np.clip(count, 1, alike)) * bound
        return self.perturbed(
            result, ndim, self.precision.u * deviation + np.where(y != 0, self.precision.underflow, 0.0)
        )

    # --- control flow ---------------------------------------------------------------------------

    def closed(self, jaxpr: Any, values: Any) -> list[Any]:
        return self.run(jaxpr.jaxpr, jaxpr.consts, list(values))

    def scan(self, values: list[Any], ndims: list[int], eqn: Any) -> list[Any]:
        params, body = eqn.params, eqn.params["jaxpr"]
        first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, xs = values[:first], list(values[first:second]), values[second:]
        stacked = [np.ndim(x) > n for x, n in zip(xs, ndims[second:], strict=True)]
        ys: list[list[Any]] = []
        steps = range(params["length"])
        for i in reversed(steps) if params["reverse"] else steps:
            here = [np.asarray(x)[:, i] if s else np.asarray(x)[i] for x, s in zip(xs, stacked, strict=True)]
            results = self.closed(body, [*consts, *carry, *here])
            carry = results[: second - first]
            ys.append(results[second - first :])
        if params["reverse"]:
            ys.reverse()
        outputs = []
        for j, var in enumerate(eqn.outvars[second - first :]):
            ndim = var.aval.ndim - 1
            column = [np.asarray(y[j]) for y in ys]
            if not column:
                outputs.append(np.zeros(var.aval.shape, var.aval.dtype))
            elif any(y.ndim > ndim for y in column):
                outputs.append(np.stack([self.batch(y, ndim) for y in column], axis=1))
            else:
                outputs.append(np.stack(column))
        return [*carry, *outputs]

    def loop(self, values: list[Any], ndims: list[int], eqn: Any) -> list[Any]:
        """A while loop: every sample goes on until its own condition fails, at most SPARE steps longer
        than the reference."""
        params = eqn.params
        first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        carry, carry_ndims = list(values[second:]), ndims[second:]
        spare = SPARE
        while True:
            [going] = self.closed(params["cond_jaxpr"], [*values[:first], *carry])
            going = np.asarray(going)
            spare -= not self.reference(going, 0)
            if not going.any() or not spare:
                return carry
            results = self.closed(params["body_jaxpr"], [*values[first:second], *carry])
            if not going.all():
                results = [
                    self.chosen(going, [old, new], n)
                    for old, new, n in zip(carry, results, carry_ndims, strict=True)
                ]
            carry = results

    def cond(self, values: list[Any], ndims: list[int], eqn: Any) -> list[Any]:
        branches = eqn.params["branches"]
        index = np.clip(np.asarray(values[0]).astype(int), 0, len(branches) - 1)
        if index.ndim == 0 or np.all(index == index[0]):
            return self.closed(branches[int(index.flat[0])], values[1:])
        self.kinks += 1
        results = [self.closed(branch, values[1:]) for branch in branches]
        return [
            self.chosen(index, list(options), var.aval.ndim)
            for options, var in zip(zip(*results, strict=True), eqn.outvars, strict=True)
        ]

    def chosen(self, index: Array, options: list[Any], ndim: int) -> Array:
        """For each sample the option of its index."""
        stacked = np.stack([self.batch(option, ndim) for option in options])
        return np.asarray(stacked[index.astype(int), np.arange(self.samples + 1)])


def _largest(g: Array) -> Array:
    """The largest finite magnitude of each matrix of a stack, or of all of a smaller array."""
    axes = tuple(range(max(g.ndim - 2, 0), g.ndim))
    return np.asarray(np.max(np.abs(g), axis=axes, keepdims=True, where=np.isfinite(g), initial=0.0))


def _real(terms: Array) -> Array:
    """Of complex terms the moduli, whose sum errs no less."""
    return np.abs(terms) if terms.dtype.kind == "c" else terms


def _has_neighbours_equal(y: Array) -> bool:
    """Whether numbers beside each other, in the last axis or the first, are equal in the tested dtype:
    examples that have become the same, say. Then equal numbers are rounded alike."""
    return y.size > 1 and any(
        bool(np.any((after == before) & (after != 0)))
        for after, before in ((y[..., 1:], y[..., :-1]), (y[1:], y[:-1]))
    )


def _norm(deviations: Array) -> Array:
    """The root of the sum of squares over the samples."""
    deviations = _real(deviations)
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
