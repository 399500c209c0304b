"""JAX's primitives: which are exact, how large the rounding error of the others is, and their NumPy forms.

NumPy evaluates the common ones, because compiling each of them for each new shape would take most of
the time. A leading axis of samples is in front of an operand's own axes, or is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sandbox.typing import Array

EXACT = {  # data movement, comparisons and choices
    "abs", "and", "argmax", "argmin", "bitcast_convert_type", "broadcast_in_dim", "ceil", "clamp", "clz",
    "complex", "concatenate", "conj", "convert_element_type", "copy", "copy_p", "cummax", "cummin",
    "dynamic_slice", "dynamic_update_slice", "empty", "empty2", "eq", "expand_dims", "floor", "gather",
    "imag", "iota", "is_finite", "le_to", "lt_to", "max", "min", "ne", "neg", "nextafter", "not",
    "optimization_barrier", "or", "pad", "platform_index", "population_count", "random_bits",
    "random_fold_in", "random_seed", "random_unwrap", "random_wrap", "real", "reduce_and", "reduce_max",
    "reduce_min", "reduce_or", "reduce_precision", "reduce_window_max", "reduce_window_min", "reduce_xor",
    "rem", "reshape", "rev", "round", "scatter", "scatter-max", "scatter-min", "select_and_gather_add",
    "select_n", "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "slice", "sort",
    "split", "squeeze", "stack", "stop_gradient", "threefry2x32", "tile", "top_k", "transpose", "unstack",
    "xor",
}  # fmt: skip
ROUNDED = {  # standard deviation in units of u |y|; NumPy, SciPy and XLA document or show a few ulps
    "add": 1.0, "sub": 1.0, "mul": 1.0, "div": 1.0, "add_any": 1.0, "square": 1.0, "sqrt": 1.0, "rsqrt": 2.0,
    "cbrt": 2.0, "exp": 2.0, "exp2": 2.0, "expm1": 2.0, "log": 2.0, "log1p": 2.0, "logistic": 4.0,
    "tanh": 4.0, "sin": 4.0, "cos": 4.0, "tan": 4.0, "asin": 4.0, "acos": 4.0, "atan": 4.0, "atan2": 4.0,
    "sinh": 4.0, "cosh": 4.0, "asinh": 4.0, "acosh": 4.0, "atanh": 4.0, "erf": 4.0, "erfc": 8.0,
    "erf_inv": 8.0, "lgamma": 8.0, "digamma": 8.0, "pow": 4.0, "integer_pow": 4.0,
}  # fmt: skip
DECISIONS = {"floor", "ceil", "round", "sign", "eq", "ne"}  # which rounding may turn, as a comparison
COMPARISONS: dict[str, Callable[..., Any]] = {
    "gt": np.greater, "lt": np.less, "ge": np.greater_equal, "le": np.less_equal,
}  # fmt: skip
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "add_any": np.add,
    "neg": np.negative, "abs": np.abs, "max": np.maximum, "min": np.minimum, "exp": np.exp, "log": np.log,
    "log1p": np.log1p, "expm1": np.expm1, "exp2": np.exp2, "sqrt": np.sqrt, "cbrt": np.cbrt,
    "square": np.square, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power, "sign": np.sign,
    "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite, "nextafter": np.nextafter,
    "eq": np.equal, "ne": np.not_equal, "rsqrt": lambda x: 1 / np.sqrt(x),
    "copy": lambda x: x, "stop_gradient": lambda x: x,
}  # fmt: skip


def moved(name: str, values: list[Any], ndims: list[int], params: Any) -> Any:
    """Data movement and the like behind the axis of samples, if there is one; None: not one of these."""
    x = np.asarray(values[0]) if values else np.asarray(0)
    lead = x.shape[:1] if values and x.ndim > ndims[0] else ()
    shift = len(lead)
    if name == "transpose":
        return x.transpose((*range(shift), *(p + shift for p in params["permutation"])))
    if name == "reshape":
        if params["dimensions"] is not None:
            x = x.transpose((*range(shift), *(d + shift for d in params["dimensions"])))
        return x.reshape(lead + tuple(params["new_sizes"]))
    if name == "squeeze":
        return np.squeeze(x, tuple(d + shift for d in params["dimensions"]))
    if name == "expand_dims":
        return np.expand_dims(x, tuple(d + shift for d in params["dimensions"]))
    if name == "broadcast_in_dim":
        shape = [1] * len(params["shape"])
        for axis, size in zip(params["broadcast_dimensions"], x.shape[shift:], strict=True):
            shape[axis] = size
        return np.broadcast_to(x.reshape(lead + tuple(shape)), lead + tuple(params["shape"]))
    if name == "convert_element_type":
        real = x.real if np.dtype(params["new_dtype"]).kind != "c" else x
        return real.astype(params["new_dtype"])
    if name == "slice":
        strides = params["strides"] or (1,) * ndims[0]
        limits = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
        return x[(slice(None),) * shift + tuple(slice(*limit) for limit in limits)]
    if name == "rev":
        return np.flip(x, tuple(d + shift for d in params["dimensions"]))
    if name in ("reduce_max", "reduce_min"):
        axes = tuple(a + shift for a in params["axes"])
        return x.max(axis=axes) if name == "reduce_max" else x.min(axis=axes)
    if name == "logistic":
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, e) / (1 + e)
    if name == "integer_pow":
        return x ** params["y"]
    if name in ("and", "or", "xor", "not") and x.dtype.kind == "b" and not any(
        np.ndim(v) > n for v, n in zip(values, ndims, strict=True)
    ):  # fmt: skip
        return getattr(np, f"logical_{name}")(*values)
    return None


def matrices(x: Array, ndim: int, batch: Any, contract: Any, *, last: bool) -> Array:
    """x as ([samples,] batch, free, k), or ([samples,] batch, k, free)."""
    shift = x.ndim - ndim
    free = [a for a in range(ndim) if a not in batch and a not in contract]
    order = (*batch, *free, *contract) if last else (*batch, *contract, *free)
    sizes = [int(np.prod([x.shape[a + shift] for a in axes])) for axes in (batch, free, contract)]
    shape = (sizes[0], sizes[1], sizes[2]) if last else (sizes[0], sizes[2], sizes[1])
    return x.transpose((*range(shift), *(a + shift for a in order))).reshape(x.shape[:shift] + shape)


def patches(
    x: Array, w: Array, x_ndim: int, w_ndim: int, params: Any
) -> tuple[Array, Array, tuple[int, ...]]:
    """A convolution as a product of matrices (im2col).

    Returns:
        x as ([samples,] groups, N x out, k), w as ([samples,] groups, k, O / groups), and the shape
        (N, *out) of the windows.
    """
    numbers = params["dimension_numbers"]
    x, w = _by_spec(x, x_ndim, numbers.lhs_spec), _by_spec(w, w_ndim, numbers.rhs_spec)
    spatial = len(params["window_strides"])
    groups = params["feature_group_count"]
    if params["batch_group_count"] > 1:  # groups of examples are groups of features
        groups = params["batch_group_count"]
        lead, (N, C), space = x.shape[: -2 - spatial], x.shape[-2 - spatial : -spatial], x.shape[-spatial:]
        x = x.reshape(*lead, groups, N // groups, C, *space)
        x = np.moveaxis(x, len(lead), len(lead) + 1).reshape(*lead, N // groups, groups * C, *space)
    x = _dilated(x, params["lhs_dilation"], params["padding"])
    w = _dilated(w, params["rhs_dilation"], [(0, 0)] * spatial)
    axes = tuple(range(-spatial, 0))
    windows = sliding_window_view(x, w.shape[-spatial:], axis=axes)  # ([samples,] N, C, *out, *kernel)
    step = tuple(slice(None, None, s) for s in params["window_strides"])
    windows = _indexed(windows, *step, *(slice(None),) * spatial)
    lead = windows.shape[: -2 - 2 * spatial]
    N, C, *rest = windows.shape[len(lead) :]
    out, kernel = rest[:spatial], rest[spatial:]
    windows = windows.reshape(*lead, N, groups, C // groups, *out, *kernel)
    n = len(lead)
    order = (
        *range(n),
        n + 1,
        n,
        *range(n + 3, n + 3 + spatial),
        n + 2,
        *range(n + 3 + spatial, n + 3 + 2 * spatial),
    )
    k = (C // groups) * int(np.prod(kernel))
    left = windows.transpose(order).reshape(*lead, groups, N * int(np.prod(out)), k)
    w_lead = w.shape[: -2 - spatial]
    right = w.reshape(*w_lead, groups, w.shape[len(w_lead)] // groups, k)
    return left, np.swapaxes(right, -1, -2), (N, *out)


def unpatched(y: Array, window_shape: tuple[int, ...], params: Any) -> Array:
    """The product of `patches`, ([samples,] groups, N x out, O / groups), in the layout of the result."""
    lead = y.shape[:-3]
    groups, features = y.shape[-3], y.shape[-1]
    n, spatial = len(lead), len(window_shape) - 1
    y = y.reshape(*lead, groups, *window_shape, features)
    y = y.transpose((*range(n), n + 1, n, n + 2 + spatial, *range(n + 2, n + 2 + spatial)))
    y = y.reshape(*lead, window_shape[0], groups * features, *window_shape[1:])
    inverse = np.argsort(params["dimension_numbers"].out_spec)
    return y.transpose((*range(n), *(n + int(a) for a in inverse)))


def _by_spec(x: Array, ndim: int, spec: Any) -> Array:
    """Axes in the order (batch or out feature, feature, *spatial)."""
    shift = x.ndim - ndim
    return x.transpose((*range(shift), *(shift + a for a in spec)))


def _indexed(x: Array, *last: slice) -> Array:
    """A view of x, indexed along its last axes."""
    index: Any = (..., *last)
    view: Array = x[index]
    return view


def _dilated(x: Array, dilation: Any, padding: Any) -> Array:
    """Zeros between the entries of the last axes, then around them (a negative padding crops)."""
    spatial = len(dilation)
    sizes = [(n - 1) * d + 1 if n else 0 for n, d in zip(x.shape[-spatial:], dilation, strict=True)]
    spread = np.zeros((*x.shape[:-spatial], *sizes), x.dtype)
    _indexed(spread, *(slice(None, None, d) for d in dilation))[...] = x
    around = [(0, 0)] * (x.ndim - spatial) + [(max(a, 0), max(b, 0)) for a, b in padding]
    padded = np.pad(spread, around)
    crop = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(
        padding, padded.shape[-spatial:], strict=True))  # fmt: skip
    return _indexed(padded, *crop)
