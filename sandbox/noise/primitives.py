"""JAX's primitives as tables: which are exact, how far rounding moves the result of the others, NumPy forms.

What one primitive contributes, as a standard deviation, with u the unit roundoff:

* + - * / sqrt: u |y|; elementary functions: a few u |y| (libraries are not correctly rounded). Nothing
  where numbers that depend on no input give a short one exactly, as (n - 1) / 2 does.
* Sums, products of matrices and convolutions: see `sandbox.noise.sums`.
* Data movement, comparisons, max and select: nothing.
* Of a primitive in none of the tables a backward stable algorithm is assumed (as those of linear algebra
  and Fourier transforms are): the result is that of operands which are each off by u sqrt(k) |x|, with k
  the length of their longest axis, and is rounded once more.

NumPy evaluates the common ones, because compiling each of them for each new shape would take most of
the time. `lead` is the number of axes, 0 or 1, that stand in front of an operand's own for the samples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from types import EllipsisType
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from numpy.lib.stride_tricks import sliding_window_view

from sandbox.noise.sums import nearly_equal, of_running_sum
from sandbox.typing import Array

Params: TypeAlias = Mapping[str, Any]  # of an equation of a jaxpr; JAX documents them with each primitive
Axes: TypeAlias = Sequence[int]

EXACT = {  # data movement, comparisons and choices
    "abs", "and", "argmax", "argmin", "bitcast_convert_type", "broadcast_in_dim", "ceil", "clamp", "clz",
    "complex", "concatenate", "conj", "convert_element_type", "copy", "cummax", "cummin", "dynamic_slice",
    "dynamic_update_slice", "empty", "empty2", "eq", "floor", "gather", "imag", "iota", "is_finite", "le_to",
    "lt_to", "max", "min", "ne", "neg", "nextafter", "not", "optimization_barrier", "or", "pad",
    "platform_index", "population_count", "random_bits", "random_clone", "random_fold_in", "random_seed",
    "random_split", "random_unwrap", "random_wrap", "real", "reduce_and", "reduce_max", "reduce_min",
    "reduce_or", "reduce_precision", "reduce_window_max", "reduce_window_min", "reduce_xor", "rem", "reshape",
    "rev", "round", "scatter", "scatter-max", "scatter-min", "select_and_gather_add", "select_n",
    "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "slice", "sort", "split",
    "squeeze", "stack", "stop_gradient", "threefry2x32", "tile", "top_k", "transpose", "unstack", "xor",
}  # fmt: skip
ROUNDED = {  # standard deviation in units of u |y|; NumPy, SciPy and XLA document or show a few ulps
    "add": 1.0, "sub": 1.0, "mul": 1.0, "div": 1.0, "add_any": 1.0, "square": 1.0, "sqrt": 1.0, "rsqrt": 2.0,
    "cbrt": 2.0, "exp": 2.0, "exp2": 2.0, "expm1": 2.0, "log": 2.0, "log1p": 2.0, "logistic": 4.0,
    "tanh": 4.0, "sin": 4.0, "cos": 4.0, "tan": 4.0, "asin": 4.0, "acos": 4.0, "atan": 4.0, "atan2": 4.0,
    "sinh": 4.0, "cosh": 4.0, "asinh": 4.0, "acosh": 4.0, "atanh": 4.0, "erf": 4.0, "erfc": 8.0,
    "erf_inv": 8.0, "lgamma": 8.0, "digamma": 8.0, "pow": 4.0, "integer_pow": 4.0,
}  # fmt: skip
SHORT = {"add", "sub", "mul", "div", "integer_pow", "square", "sqrt"}  # whose short results are exact
COMPARISONS = {"gt", "lt", "ge", "le"}
DECISIONS = COMPARISONS | {"floor", "ceil", "round", "sign", "eq", "ne"}  # which rounding may turn


def _logistic(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "add_any": np.add, "neg": np.negative,
    "div": lambda x, y: (x - np.fmod(x, y)) // y if x.dtype.kind in "iu" else x / y,  # integers: towards 0
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "exp2": np.exp2, "pow": np.power,
    "sqrt": np.sqrt, "square": np.square, "cbrt": np.cbrt, "rsqrt": lambda x: np.asarray(1 / np.sqrt(x)),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "atan2": np.arctan2, "abs": np.abs, "max": np.maximum, "min": np.minimum,
    "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "nextafter": np.nextafter, "is_finite": np.isfinite,
    "eq": np.equal, "ne": np.not_equal, "gt": np.greater, "lt": np.less, "ge": np.greater_equal,
    "le": np.less_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "not": np.bitwise_not, "copy": lambda x: x, "stop_gradient": lambda x: x, "logistic": _logistic,
    "select_n": lambda i, *x: np.where(i, x[1], x[0]) if len(x) == 2 else np.asarray(np.choose(i, x)),
}  # fmt: skip


def _axes(lead: int, axes: Axes) -> tuple[int, ...]:
    return tuple(lead + a for a in axes)


def _last(slices: Iterable[slice]) -> tuple[EllipsisType | slice, ...]:
    """The index of a view along the last axes."""
    return (..., *slices)


def _transposed(x: Array, lead: int, order: Axes | None) -> Array:
    return x if order is None else x.transpose((*range(lead), *_axes(lead, order)))


def _reshaped(x: Array, lead: int, p: Params) -> Array:
    return _transposed(x, lead, p["dimensions"]).reshape((*x.shape[:lead], *p["new_sizes"]))


def _broadcast(x: Array, lead: int, p: Params) -> Array:
    shape = np.ones(len(p["shape"]), int)
    shape[list(p["broadcast_dimensions"])] = x.shape[lead:]
    return np.broadcast_to(x.reshape((*x.shape[:lead], *shape)), (*x.shape[:lead], *p["shape"]))


def _converted(x: Array, lead: int, p: Params) -> Array:
    return (x if np.dtype(p["new_dtype"]).kind == "c" else x.real).astype(p["new_dtype"])


# Data movement, and what else takes one operand and parameters.
OF_ONE: dict[str, Callable[[Array, int, Params], Array]] = {
    "transpose": lambda x, lead, p: _transposed(x, lead, p["permutation"]),
    "reshape": _reshaped,
    "broadcast_in_dim": _broadcast,
    "squeeze": lambda x, lead, p: np.squeeze(x, _axes(lead, p["dimensions"])),
    "rev": lambda x, lead, p: np.flip(x, _axes(lead, p["dimensions"])),
    "slice": lambda x, lead, p: x[
        _last(map(slice, p["start_indices"], p["limit_indices"], p["strides"] or repeat(1)))
    ],
    "convert_element_type": _converted,
    "reduce_max": lambda x, lead, p: np.asarray(x.max(axis=_axes(lead, p["axes"]))),
    "reduce_min": lambda x, lead, p: np.asarray(x.min(axis=_axes(lead, p["axes"]))),
    "reduce_sum": lambda x, lead, p: np.asarray(x.sum(axis=_axes(lead, p["axes"]))),
    "integer_pow": lambda x, lead, p: np.asarray(x ** p["y"]),
}


def bind(eqn: core.JaxprEqn, operands: Sequence[Array]) -> list[Array]:
    """The results of an equation by JAX itself."""
    results = eqn.primitive.bind(*operands, **eqn.params)  # type: ignore[no-untyped-call]
    return list(results) if eqn.primitive.multiple_results else [results]


def as_array(x: jax.typing.ArrayLike) -> Array:
    """In NumPy; but keys of random numbers, which NumPy has no type for, stay JAX's."""
    is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.extended)
    return cast(Array, x) if is_key else np.asarray(x)


def _indexed_sum(eqn: core.JaxprEqn, y: Array, operands: Sequence[Array], u: float) -> Array:
    """All partial sums are at most sum_j |t_j|; there are as many as terms."""
    which = SUMMANDS[eqn.primitive.name]
    sizes = [np.abs(x).astype(x.dtype) if i in which else x for i, x in enumerate(operands)]
    ones = [np.ones_like(x) if i in which else x for i, x in enumerate(operands)]
    bound, count = (np.abs(as_array(bind(eqn, terms)[0])) for terms in (sizes, ones))
    alike = np.max(nearly_equal(operands[which[-1]].reshape(-1, 1), u), initial=1.0)
    return np.asarray(np.sqrt(np.maximum(count - 1, 0) * np.clip(count, 1, alike)) * bound)


# Which operands are summands, the terms last (what a pooling selects by is not one).
SUMMANDS = {"reduce_window_sum": (0,), "scatter-add": (0, 2), "select_and_scatter_add": (0,)}
# The deviation, in units of u, of what is made of many operands, from the result y and the operands.
ACCUMULATED: dict[str, Callable[[core.JaxprEqn, Array, Sequence[Array], float], Array]] = {
    "cumsum": lambda eqn, y, x, u: of_running_sum(x[0], y, eqn.params["axis"], eqn.params["reverse"], u),
    "cumprod": lambda eqn, y, x, u: np.sqrt(x[0].shape[eqn.params["axis"]]) * np.abs(y),
    "cumlogsumexp": lambda eqn, y, x, u: np.sqrt(x[0].shape[eqn.params["axis"]]) * (1 + 2 * np.abs(y)),
    "reduce_prod": lambda eqn, y, x, u: np.sqrt(x[0].size) * np.abs(y),
    **dict.fromkeys(SUMMANDS, _indexed_sum),
}


def matrices(x: Array, lead: int, batch: Axes, contract: Axes, *, last: bool) -> Array:
    """x as ([samples,] batch, free, k), or ([samples,] batch, k, free)."""
    free = [a for a in range(x.ndim - lead) if a not in batch and a not in contract]
    groups = (batch, free, contract) if last else (batch, contract, free)
    shape = [int(np.prod([x.shape[lead + a] for a in axes])) for axes in groups]
    return _transposed(x, lead, [a for axes in groups for a in axes]).reshape(*x.shape[:lead], *shape)


def patches(x: Array, w: Array, p: Params) -> tuple[Array, Array, tuple[int, ...]]:
    """A convolution as a product of matrices (im2col).

    Returns:
        x as ([samples,] groups, N x out, k), w as ([samples,] groups, k, O / groups), and the shape
        (N, *out) of the windows.
    """
    numbers, s, groups = p["dimension_numbers"], len(p["window_strides"]), p["feature_group_count"]
    x = _transposed(x, x.ndim - s - 2, numbers.lhs_spec)
    w = _transposed(w, w.ndim - s - 2, numbers.rhs_spec)
    if p["batch_group_count"] > 1:  # groups of examples are groups of features
        groups = p["batch_group_count"]
        x = _examples_as_features(x, groups, s)
    x = _dilated(x, p["lhs_dilation"], p["padding"])
    w = _dilated(w, p["rhs_dilation"], [(0, 0)] * s)
    windows = sliding_window_view(x, w.shape[-s:], axis=tuple(range(-s, 0)))
    windows = windows[_last([*(slice(None, None, d) for d in p["window_strides"]), *[slice(None)] * s])]
    *lead, N, C = windows.shape[: -2 * s]
    out, kernel = windows.shape[-2 * s : -s], windows.shape[-s:]
    windows = windows.reshape(*lead, N, groups, C // groups, *out, *kernel)
    # Now the axes become groups, N, out, C / groups, kernel.
    windows = np.moveaxis(windows, (-2 * s - 2, -2 * s - 1), (-2 * s - 3, -s - 1))
    k = C // groups * int(np.prod(kernel))
    right = w.reshape(*w.shape[: -2 - s], groups, w.shape[-2 - s] // groups, k)
    left = windows.reshape(*lead, groups, N * int(np.prod(out)), k)
    return left, np.swapaxes(right, -1, -2), (N, *out)


def unpatched(y: Array, window_shape: tuple[int, ...], p: Params) -> Array:
    """The product of `patches`, ([samples,] groups, N x out, O / groups), in the layout of the result."""
    *lead, groups, _, features = y.shape
    (N, *out), s = window_shape, len(window_shape) - 1
    y = np.moveaxis(y.reshape(*lead, groups, N, *out, features), (-s - 3, -1), (-s - 2, -s - 1))
    y = y.reshape(*lead, N, groups * features, *out)
    return _transposed(y, len(lead), np.argsort(p["dimension_numbers"].out_spec).tolist())


def _examples_as_features(x: Array, groups: int, s: int) -> Array:
    """([samples,] N, C, *space) as ([samples,] N / groups, groups x C, *space), of s axes of space."""
    *lead, N, C = x.shape[:-s]
    x = np.swapaxes(x.reshape(*lead, groups, N // groups, C, *x.shape[-s:]), -s - 3, -s - 2)
    return x.reshape(*lead, N // groups, groups * C, *x.shape[-s:])


def _dilated(x: Array, dilation: Axes, padding: Sequence[tuple[int, int]]) -> Array:
    """Zeros between the entries of the last axes, then around them (a negative padding crops)."""
    s = len(dilation)
    sizes = [(n - 1) * d + 1 if n else 0 for n, d in zip(x.shape[-s:], dilation, strict=True)]
    spread = np.zeros((*x.shape[:-s], *sizes), x.dtype)
    spread[_last(slice(None, None, d) for d in dilation)] = x
    padded = np.pad(spread, [(0, 0)] * (x.ndim - s) + [(max(a, 0), max(b, 0)) for a, b in padding])
    return padded[_last(slice(max(-a, 0), min(b, 0) or None) for a, b in padding)]
