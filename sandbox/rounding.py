"""sigma: how far rounding alone moves the result of a JAX function, measured on its jaxpr.

Monte Carlo arithmetic (Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002, 1997; Verificarlo, Denis
et al. 2016). The function is traced to a jaxpr and evaluated once in float64 (the reference, g)
and K times more with a random error after each arithmetic primitive, of the size that rounding in
the tested dtype has. The root mean square of the K deviations from g is sigma, per component.

What one primitive contributes, as a standard deviation, with u the unit roundoff (2^-24 for
float32, 2^-53 for float64):

* + - * / sqrt: u |y|; elementary functions: a few u |y| (libraries are not correctly rounded).
* A sum of k terms t_j with the partial sums S_j, added one by one: u sqrt(sum_j S_j^2), plus
  u sqrt(sum_j t_j^2) for the products of a dot product. This is the first-order error of recursive
  summation (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 4.2) with
  independent roundings (Higham and Mary 2019); pairwise and blocked sums err less. The design's
  u sqrt(log2(k+1) sum t_j^2) is smaller than the rounding of the final addition alone when the terms
  have one sign, so it is not used. The partial sums are taken in blocks, in the order of the data:
  with l = k/B terms in block b, sum_j S_j^2 ~ l (S_{b-1}^2 + S_{b-1} S_b + S_b^2) / 3 + l sum t_j^2 / 6.
* Data movement, comparisons, max and select: nothing.
* Below the smallest normal number the absolute error is up to that number, because many kernels flush
  subnormal numbers to 0; above the largest number the sample becomes infinite, as the tested computation
  does.

A comparison is decided with the deviation of its operands enlarged T = 8 times, in each sample:
whichever way rounding may turn it, some samples turn it so, and sigma covers both branches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.extend import core

from sandbox.typing import Array

K = 32
SEED = 20_240_229
ENLARGED = 8.0
BLOCKS = 16
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
    """`outputs` in the order of the function's flattened result; `unknown` names the primitives for
    which a rounding error of u was assumed; `kinks` counts the decisions that rounding may turn."""

    outputs: tuple[Measured, ...]
    unknown: tuple[str, ...]
    kinks: int


@lru_cache(maxsize=512)
def _traced(function: Callable[..., Any], structure: Any, shapes: tuple[Any, ...]) -> Any:
    def flat(*leaves: Any) -> Any:
        return jax.tree.leaves(function(*jax.tree.unflatten(structure, leaves)))

    with jax.enable_x64(True):
        return jax.make_jaxpr(flat)(*(jax.ShapeDtypeStruct(*s) for s in shapes))  # type: ignore[no-untyped-call]


def trace(function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[Array]]:
    """The jaxpr of `function` in double precision, and the flattened arguments to evaluate it at.

    Traces are kept by function and shapes: pass a module-level function to profit from it.
    """
    leaves, structure = jax.tree.flatten(arguments)
    arrays = [np.asarray(leaf) for leaf in leaves]
    arrays = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays]
    shapes = tuple((array.shape, array.dtype.name) for array in arrays)
    return _traced(function, structure, shapes), arrays


def measure(function: Callable[..., Any], *arguments: Any, dtype: Any, samples: int = K) -> Noise:
    """Reference and sigma of every output of `function(*arguments)` for a computation in `dtype`.

    Args:
        function: written in JAX; its result's leaves are the outputs.
        arguments: taken as exact.
        dtype: of the tested computation, float32 or float64.
        samples: K, the degrees of freedom of sigma.
    """
    closed, arrays = trace(function, *arguments)
    size = sum(8 * int(np.prod(v.aval.shape)) for eqn in closed.jaxpr.eqns for v in eqn.outvars)
    chunk = int(np.clip(MEMORY // max(size, 1) - 1, 8, samples))
    evaluator = _Evaluator(np.dtype(dtype))
    references: list[Array] = []
    deviations: list[Array] = []
    done = 0
    with np.errstate(all="ignore"), jax.enable_x64(True):
        while done < samples:
            evaluator.samples = min(chunk, samples - done)
            values = evaluator.run(closed.jaxpr, closed.consts, arrays)
            batched = [
                evaluator.batch(v, var.aval.ndim) for v, var in zip(values, closed.jaxpr.outvars, strict=True)
            ]
            if not done:
                references = [np.array(v[0]) for v in batched]
                deviations = [np.zeros(v.shape[1:]) for v in batched]
            # hypot, because the squares of small deviations underflow.
            deviations = [
                np.hypot(total, np.hypot.reduce(v[1:] - v[:1], axis=0))
                for total, v in zip(deviations, batched, strict=True)
            ]
            done += evaluator.samples
        outputs = tuple(
            Measured(g, np.hypot(total / np.sqrt(samples), evaluator.floor(g)), evaluator.overflow)
            for g, total in zip(references, deviations, strict=True)
        )
    return Noise(outputs, tuple(sorted(evaluator.unknown)), evaluator.kinks)


_EXACT = {  # data movement, comparisons and choices
    "abs", "and", "argmax", "argmin", "broadcast_in_dim", "ceil", "clamp", "concatenate", "conj",
    "convert_element_type", "copy", "copy_p", "dynamic_slice", "dynamic_update_slice", "eq", "expand_dims",
    "floor", "gather", "imag", "iota", "is_finite", "max", "min", "ne", "neg", "not", "or", "pad", "real",
    "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reshape", "rev", "round", "select_n", "slice",
    "sort", "split", "squeeze", "stop_gradient", "transpose", "xor",
}  # fmt: skip
_ROUNDED = {  # standard deviation in units of u |y|
    "add": 1.0, "sub": 1.0, "mul": 1.0, "div": 1.0, "add_any": 1.0, "square": 1.0, "sqrt": 1.0, "rsqrt": 2.0,
    "exp": 2.0, "exp2": 2.0, "expm1": 2.0, "log": 2.0, "log1p": 2.0, "logistic": 4.0, "tanh": 4.0, "sin": 4.0,
    "cos": 4.0, "erf": 4.0, "pow": 4.0, "integer_pow": 4.0,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "gt": np.greater, "lt": np.less, "ge": np.greater_equal, "le": np.less_equal,
}  # fmt: skip
_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "add_any": np.add,
    "neg": np.negative, "abs": np.abs, "max": np.maximum, "min": np.minimum, "exp": np.exp, "log": np.log,
    "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "square": np.square, "tanh": np.tanh,
    "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
    "copy": lambda x: x, "stop_gradient": lambda x: x,
}  # fmt: skip


class _Evaluator:
    """Evaluates a jaxpr with a leading axis of samples; sample 0 is the unperturbed reference.

    A value without noise has no such axis. NumPy evaluates the common primitives, because compiling
    each of them for each new shape would take most of the time; JAX evaluates all others.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        limits = np.finfo(dtype)
        self.u = float(limits.eps) / 2
        self.underflow = float(limits.tiny)
        self.largest = float(limits.max)
        self.samples = K
        self.rng = np.random.default_rng(SEED)
        self.unknown: set[str] = set()
        self.kinks = 0
        self.overflow = False

    def batch(self, value: Any, ndim: int) -> Array:
        array = np.asarray(value)
        if array.ndim > ndim:
            return array
        return np.asarray(np.broadcast_to(array, (self.samples + 1, *array.shape)))

    def floor(self, y: Array) -> Array:
        """The rounding of one stored value: u |y|, or what underflow leaves of it."""
        magnitude = np.abs(y)
        return np.asarray(np.minimum(magnitude, self.u * magnitude + self.underflow))

    def perturbed(self, value: Array, ndim: int, deviation: Array) -> Array:
        """`value` with normal errors of the given standard deviation in all samples but the reference;
        an infinite one stands for an overflow."""
        overflow = (np.abs(value) > self.largest) | np.isinf(deviation)
        if not (np.any(deviation) or overflow.any()):
            return value
        y = np.array(self.batch(value, ndim), dtype=np.float64)
        noise = self.rng.standard_normal((self.samples, *y.shape[1:]), dtype=np.float32)
        y[1:] += np.nan_to_num(deviation, nan=0.0, posinf=0.0) * noise
        if overflow.any():
            self.overflow = True
            beyond = (np.abs(y[1:]) > self.largest) | np.isinf(deviation)
            y[1:] = np.where(beyond, np.copysign(np.inf, y[1:]), y[1:])
        return y

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
        last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if isinstance(v, core.Var)}
        keep = {v for v in jaxpr.outvars if isinstance(v, core.Var)}

        def read(atom: Any) -> Any:
            return np.asarray(atom.val) if isinstance(atom, core.Literal) else env[atom]

        env.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        env.update(zip(jaxpr.invars, arguments, strict=True))
        for i, eqn in enumerate(jaxpr.eqns):
            results = self.evaluate(eqn, [read(v) for v in eqn.invars])
            for var, result in zip(eqn.outvars, results, strict=True):
                if var in last or var in keep:
                    env[var] = result
            for var in eqn.invars:
                if isinstance(var, core.Var) and last.get(var) == i and var not in keep:
                    env.pop(var, None)
        return [read(v) for v in jaxpr.outvars]

    def evaluate(self, eqn: Any, values: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
            inner = params.get(key)
            if inner is not None and name not in ("scan", "while", "cond"):
                closed = inner if hasattr(inner, "consts") else None
                return self.run(inner.jaxpr if closed else inner, closed.consts if closed else (), values)
        ndims = [v.aval.ndim for v in eqn.invars]
        ndim = eqn.outvars[0].aval.ndim
        if name in _COMPARISONS:
            # Align before comparing: the operands of a comparison have one shape, or are scalars.
            x, y = (self.enlarged(np.asarray(v), n) for v, n in zip(values, ndims, strict=True))
            x, y = self.aligned([x, y], ndims, ndim)
            decided = _COMPARISONS[name](x, y)
            if decided.ndim > ndim:
                self.kinks += int(np.count_nonzero((decided[1:] != decided[:1]).any(axis=0)))
            return [decided]
        if name == "dot_general":
            return [self.dot_general(values, ndims, params, ndim)]
        if name == "reduce_sum":
            return [self.reduce_sum(np.asarray(values[0]), ndims[0], params["axes"])]
        if name in _NUMPY:
            operands = self.aligned([np.asarray(v) for v in values], ndims, ndim)
            result = _NUMPY[name](*operands)
        else:
            moved = self.moved(name, values, ndims, params)
            results = [moved] if moved is not None else self.by_jax(eqn, values, ndims)
            if name in _EXACT:
                return results
            if name not in _ROUNDED:
                self.unknown.add(name)
            return [self.rounded(name, r, v.aval.ndim) for r, v in zip(results, eqn.outvars, strict=True)]
        if name in _EXACT or result.dtype.kind != "f":
            return [result]
        if name in ("add", "sub", "add_any") and any(not np.any(v) for v in operands):
            return [result]  # x + 0 is exact
        if name in ("exp", "mul", "div"):
            # A result that underflows to 0 was not 0.
            exact = [self.reference(v, ndim) for v in operands]
            underflow = (self.reference(result, ndim) == 0) & np.all(
                np.broadcast_arrays(*((v != 0) & np.isfinite(v) | (name == "exp") for v in exact)), axis=0
            )
            result = self.perturbed(result, ndim, np.where(underflow, self.underflow, 0.0))
        return [self.rounded(name, result, ndim)]

    def rounded(self, name: str, result: Array, ndim: int) -> Array:
        if result.dtype.kind != "f":
            return result
        y = self.reference(result, ndim)
        return self.perturbed(result, ndim, _ROUNDED.get(name, 1.0) * self.floor(y))

    def aligned(self, values: list[Array], ndims: list[int], ndim: int) -> list[Array]:
        """A sampled scalar or smaller operand gets axes so that the samples stay in front."""
        return [
            v if v.ndim == n or n == ndim else v.reshape(v.shape[0], *(1,) * (ndim - n), *v.shape[1:])
            for v, n in zip(values, ndims, strict=True)
        ]

    def moved(self, name: str, values: list[Any], ndims: list[int], params: Any) -> Any:
        """Data movement by NumPy, behind the axis of samples if there is one; None: not one of these."""
        x = np.asarray(values[0]) if values else np.asarray(0)
        lead = x.shape[:1] if values and x.ndim > ndims[0] else ()
        shift = len(lead)
        if name == "transpose":
            return x.transpose((*range(shift), *(p + shift for p in params["permutation"])))
        if name == "reshape":
            return x.reshape(lead + tuple(params["new_sizes"]))
        if name == "squeeze":
            return np.squeeze(x, tuple(d + shift for d in params["dimensions"]))
        if name == "broadcast_in_dim":
            shape = [1] * len(params["shape"])
            for axis, size in zip(params["broadcast_dimensions"], x.shape[shift:], strict=True):
                shape[axis] = size
            return np.broadcast_to(x.reshape(lead + tuple(shape)), lead + tuple(params["shape"]))
        if name == "convert_element_type":
            return x.astype(params["new_dtype"])
        if name == "logistic":
            e = np.exp(-np.abs(x))
            return np.where(x >= 0, 1, e) / (1 + e)
        if name == "integer_pow":
            return x ** params["y"]
        if name == "select_n" and len(values) == 3:
            which, no, yes = self.aligned([np.asarray(v) for v in values], ndims, ndims[1])
            return np.where(which, yes, no)
        return None

    def by_jax(self, eqn: Any, values: list[Any], ndims: list[int]) -> list[Any]:
        """Any other primitive, by JAX itself, vectorised over the samples."""
        sampled = [np.ndim(v) > n for v, n in zip(values, ndims, strict=True)]

        def bind(*operands: Any) -> Any:
            return eqn.primitive.bind(*operands, **eqn.params)

        function = jax.vmap(bind, in_axes=[0 if s else None for s in sampled]) if any(sampled) else bind
        results = function(*values)
        return [np.asarray(r) for r in (results if eqn.primitive.multiple_results else [results])]

    def summation(self, partials: Array, squares: Array, k: int, scale: float) -> Array:
        """The standard deviation of a sum of k terms.

        Args:
            partials: the B block sums, (B, ...). squares: the sum of squares of the terms divided by
                `scale`, which keeps them from overflow and underflow.
        """
        S = np.cumsum(partials, axis=0) / scale
        before = S - partials / scale
        block = k / len(partials)
        variance = block * np.sum(before**2 + before * S + S**2, axis=0) / 3 + block * squares / 6 + squares
        deviation = self.u * np.sqrt(variance) * scale
        # Each of the k terms may underflow. Where even the squares
        # underflow, the rounding of the result is what is left.
        deviation = np.where(squares > 0, deviation + self.underflow * np.sqrt(k), 0.0)
        deviation = np.maximum(deviation, self.floor(np.sum(partials, axis=0)))
        # sum_j |t_j| <= sqrt(k sum_j t_j^2): beyond the largest number a partial sum may overflow.
        return np.where(np.sqrt(k * squares) * scale > self.largest, np.inf, deviation)

    def reduce_sum(self, x: Array, ndim: int, axes: tuple[int, ...]) -> Array:
        shift = x.ndim - ndim
        y = np.sum(x, axis=tuple(a + shift for a in axes))
        terms = np.moveaxis(self.reference(x, ndim), axes, range(len(axes)))
        terms = terms.reshape(-1, *terms.shape[len(axes) :])
        if y.dtype.kind != "f":
            return np.asarray(y)
        if len(terms) == 0:
            return np.asarray(y)
        scale = _scale(terms)
        borders = _borders(len(terms))
        partials = np.add.reduceat(terms, borders[:-1], axis=0)
        deviation = self.summation(partials, np.sum((terms / scale) ** 2, axis=0), len(terms), scale)
        return self.perturbed(np.asarray(y), ndim - len(axes), deviation)

    def dot_general(self, values: list[Any], ndims: list[int], params: Any, ndim: int) -> Array:
        (contract_x, contract_y), (batch_x, batch_y) = params["dimension_numbers"]
        x = _matrices(np.asarray(values[0]), ndims[0], batch_x, contract_x, last=True)
        y = _matrices(np.asarray(values[1]), ndims[1], batch_y, contract_y, last=False)
        batch = tuple(np.shape(values[0])[np.ndim(values[0]) - ndims[0] + a] for a in batch_x)
        used = ((*batch_x, *contract_x), (*batch_y, *contract_y))
        free = tuple(
            np.shape(v)[np.ndim(v) - n + a]
            for v, n, taken in zip(values, ndims, used, strict=True)
            for a in range(n)
            if a not in taken
        )
        product = x @ y
        product = product.reshape(product.shape[: product.ndim - 3] + batch + free)
        x_reference, y_reference = self.reference(x, 3), self.reference(y, 3)
        k = x_reference.shape[-1]
        if k == 0:
            return product
        borders = _borders(k)
        partials = np.stack(
            [x_reference[..., a:b] @ y_reference[..., a:b, :] for a, b in itertools.pairwise(borders)]
        )
        scale_x, scale_y = _scale(x_reference), _scale(y_reference)
        squares = (x_reference / scale_x) ** 2 @ (y_reference / scale_y) ** 2
        # A product that underflows leaves no trace in the squares, but is a rounding error.
        nonzero = (x_reference != 0).astype(float) @ (y_reference != 0).astype(float) > 0
        squares = np.where(nonzero, np.maximum(squares, np.finfo(float).tiny), 0.0)
        deviation = self.summation(partials, squares, k, scale_x * scale_y)
        return self.perturbed(product, ndim, deviation.reshape(batch + free))


def _scale(x: Array) -> float:
    """The largest magnitude in x, by which to divide before squaring."""
    return max(float(np.max(np.abs(x), initial=0.0)), np.finfo(float).tiny)


def _borders(k: int) -> Array:
    """0 = i_0 < ... < i_B = k: the blocks of a sum of k terms."""
    return np.linspace(0, k, min(BLOCKS, k) + 1).astype(int)


def _matrices(x: Array, ndim: int, batch: Any, contract: Any, *, last: bool) -> Array:
    """x as ([samples,] batch, free, k), or ([samples,] batch, k, free)."""
    shift = x.ndim - ndim
    free = [a for a in range(ndim) if a not in batch and a not in contract]
    order = (*batch, *free, *contract) if last else (*batch, *contract, *free)
    sizes = [int(np.prod([x.shape[a + shift] for a in axes])) for axes in (batch, free, contract)]
    shape = (sizes[0], sizes[1], sizes[2]) if last else (sizes[0], sizes[2], sizes[1])
    return x.transpose((*range(shift), *(a + shift for a in order))).reshape(x.shape[:shift] + shape)
