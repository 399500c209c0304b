"""Checks at the boundary of the passes: one clear sentence for each kind of malformed input, a TypeError or a
ValueError that names the argument (with its layer where there is one), what came, what was expected and what
to do.

The training loop pays for them: in the usual case, matrices of one float dtype and no stack, types and shapes
are compared, with few calls, and nothing else is done.
"""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from sandbox.typing import Array, ArrayLike, Cache, LinearCache

Layer = tuple[Any, Any]


def as_numbers(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers; pass a float64 or float32 array."
        )
    return array


def as_floats(name: str, value: ArrayLike) -> Array:
    """Whole numbers as float64: -Z of an unsigned or boolean Z would be another number."""
    array = as_numbers(name, value)
    return array if array.dtype.kind == "f" else array.astype(float)


def as_matrix(name: str, value: ArrayLike, *, reshape: str = "(-1, 1) for one column") -> Array:
    """Numbers with two axes or more, (..., rows, columns); `reshape`: what is likely due where it has one."""
    array = as_numbers(name, value)
    if array.ndim < 2:
        raise ValueError(
            f"{name} has shape {array.shape}, expected a matrix (rows, columns) or a stack of them "
            f"(..., rows, columns); reshape it, e.g. with .reshape{reshape}."
        )
    return array


def check_name(what: str, name: str, known: Collection[str]) -> None:
    if not isinstance(name, str) or name not in known:
        *others, last = map(repr, known)
        raise ValueError(f"{what} is {name!r}, expected {', '.join(others) + ' or ' * bool(others)}{last}.")


def check_batch(name: str, array: Array) -> None:
    if array.shape[-1] == 0:  # gradients divide by m
        raise ValueError(
            f"{name} has shape {array.shape}, a batch of 0 examples; expected at least one column "
            "(examples are columns)."
        )


def check_stacks(**arrays: Array) -> None:
    """The leading (stack) axes of all must broadcast together."""
    try:
        np.broadcast_shapes(*(array.shape[:-2] for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(
            f"the leading (stack) axes of {shapes} do not broadcast together; "
            "give every array the same stack axes, or none."
        ) from None


def check_shape(name: str, array: Array, other_name: str, shape: tuple[int, ...], **others: Array) -> None:
    """The array must have these (rows, columns), and a stack that goes with the others'."""
    if array.shape[-2:] != shape[-2:]:
        raise ValueError(
            f"{name} has shape {array.shape}, expected (..., {shape[-2]}, {shape[-1]}), "
            f"the shape of {other_name}."
        )
    check_stacks(**{name: array}, **others)


def unpack(name: str, cache: Any, parts: str) -> tuple[Any, ...]:
    """`cache` as the tuple whose parts are named in `parts`, e.g. "(A_prev, W, b)"."""
    if not isinstance(cache, tuple | list):
        raise TypeError(f"{name} is a {type(cache).__name__}, expected the tuple {parts}.")
    if len(cache) != (count := parts.count(",") + 1):
        raise ValueError(
            f"{name} has {len(cache)} parts, expected {count}: {parts}; pass the cache that the "
            "forward function returned."
        )
    return tuple(cache)


# --- one layer ----------------------------------------------------------------------------------------------


def as_linear(
    A: ArrayLike, W: ArrayLike, b: ArrayLike, names: tuple[str, str, str] = ("A", "W", "b")
) -> LinearCache:
    """Matrices for which W A + b is defined, stacks included; A in floats where all three are whole."""
    name_A, name_W, name_b = names
    A, W, b = as_matrix(name_A, A), as_matrix(name_W, W), as_matrix(name_b, b)
    check_batch(name_A, A)
    if W.shape[-1] != A.shape[-2]:
        raise ValueError(
            f"{name_W} has shape {W.shape} and {name_A} has shape {A.shape}: {name_W} expects "
            f"{W.shape[-1]} rows in {name_A}, got {A.shape[-2]}. Examples are columns: "
            f"{name_W} is (n_l, n_prev), {name_A} is (n_prev, m)."
        )
    if b.shape[-2:] != (W.shape[-2], 1):
        raise ValueError(
            f"{name_b} has shape {b.shape}, expected (..., {W.shape[-2]}, 1) to go with {name_W} of "
            f"shape {W.shape}: one bias for each row of {name_W}, as a column."
        )
    check_stacks(**{name_A: A, name_W: W, name_b: b})
    return A if "f" in (A.dtype.kind, W.dtype.kind, b.dtype.kind) else A.astype(float), W, b


def as_linear_cache(cache: Any, name: str, dZ: Array, where: str = "cache") -> LinearCache:
    """(A_prev, W, b), after checking that the array of that name, dZ say, has the shape of W A_prev + b."""
    A_prev, W, b = unpack(where, cache, "(A_prev, W, b)")
    A_prev, W, b = as_linear(A_prev, W, b, (f"{where} A_prev", f"{where} W", f"{where} b"))
    of = f"W A_prev + b with W {W.shape} and A_prev {A_prev.shape}"
    check_shape(name, dZ, of, (W.shape[-2], A_prev.shape[-1]), A_prev=A_prev, W=W)
    return A_prev, W, b


def as_cotangent(dA: ArrayLike, Z: ArrayLike) -> tuple[Array, Array]:
    """dA and the activation cache Z, of any one shape, but for stacks."""
    dA, Z = as_floats("dA", dA), as_floats("cache (Z)", Z)
    if dA.shape[-2:] != Z.shape[-2:]:
        raise ValueError(
            f"dA has shape {dA.shape} and the cache (Z) has shape {Z.shape}; expected the same: "
            "dA is the gradient by A = g(Z)."
        )
    check_stacks(**{"dA": dA, "the cache (Z)": Z})
    return np.broadcast_to(dA, np.broadcast_shapes(dA.shape, Z.shape)), Z


# --- the network --------------------------------------------------------------------------------------------


def check_layer_dims(layer_dims: Sequence[int]) -> tuple[int, ...]:
    """(n_0, ..., n_L): at least two positive whole numbers."""
    try:
        dims = tuple(layer_dims)
    except TypeError:
        raise TypeError(
            f"layer_dims is {layer_dims!r}, expected a sequence of layer sizes such as [64, 32, 1]."
        ) from None
    if len(dims) < 2:
        raise ValueError(
            f"layer_dims is {list(dims)}, expected at least the input size and one layer, e.g. [64, 1]."
        )
    for index, size in enumerate(dims):
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"layer_dims[{index}] is {size!r}, expected a positive whole number of units.")
        if size < 1:
            raise ValueError(f"layer_dims[{index}] is {size}, expected at least 1 unit.")
    return tuple(int(size) for size in dims)


@functools.lru_cache
def _keys(L: int) -> frozenset[str]:
    return frozenset(f"{kind}{l}" for l in range(1, L + 1) for kind in "Wb")


def check_parameters(parameters: Mapping[str, Any], *, name: str = "parameters") -> None:
    """The keys must be W1, b1, ..., WL, bL."""
    if not isinstance(parameters, (dict, Mapping)):  # the former is quick to ask
        raise TypeError(f"{name} is a {type(parameters).__name__}, expected a dict W1, b1, ..., WL, bL.")
    if parameters and parameters.keys() == _keys(len(parameters) // 2):
        return
    expected = _keys(sum(isinstance(key, str) and key.startswith("W") for key in parameters))
    missing, unknown = sorted(expected - set(parameters)), sorted(map(str, set(parameters) - expected))
    raise ValueError(
        f"{name} has the keys {_listed(parameters)}, expected W1, b1, ..., WL, bL and nothing else"
        + (f"; missing: {_listed(missing)}" if missing else "")
        + (f"; unknown: {_listed(unknown)}" if unknown else "")
        + "."
    )


def _listed(keys: Any) -> str:
    """Keys for a message; a long list is cut so that the message stays one or two lines."""
    names = [str(key) for key in keys]
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "") or "none"


def as_network(X: Any, parameters: Mapping[str, Any]) -> tuple[Array, list[Layer]]:
    """X and (W[l], b[l]) for l = 1..L, of a network with one output unit."""
    check_parameters(parameters)
    usual = type(X) is np.ndarray and X.ndim == 2 and X.size > 0 and X.dtype.kind == "f"
    n, layers = len(X) if usual else 0, []
    for l in range(1, len(parameters) // 2 + 1):
        W, b = parameters[f"W{l}"], parameters[f"b{l}"]
        layers.append((W, b))
        if usual and type(W) is type(b) is np.ndarray and W.dtype is b.dtype is X.dtype:
            n_prev, n = n, b.size
            usual = W.shape == (n, n_prev) and b.shape == (n, 1)
        else:
            usual = False
    return (X, layers) if usual and n == 1 else _as_network(X, layers)


def _as_network(X: Any, layers: list[Layer]) -> tuple[Array, list[Layer]]:
    A, name_A, caches = X, "X", []
    for l, (W, b) in enumerate(layers, start=1):
        names = name_A, f"parameters['W{l}'] (layer {l})", f"parameters['b{l}'] (layer {l})"
        A, W, b = as_linear(A, W, b, names)
        caches.append((A, W, b))
        shape = np.broadcast_shapes((*A.shape[:-2], 1, A.shape[-1]), (*W.shape[:-1], 1), b.shape)
        A, name_A = np.broadcast_to(0.0, shape), f"A{l}, the output of layer {l},"
    if A.shape[-2] != 1:
        raise ValueError(
            f"parameters['W{l}'] (layer {l}, the output) has shape {W.shape}, "
            "expected one row: the output layer has one unit."
        )
    return caches[0][0], [(W, b) for _, W, b in caches]


def check_caches(caches: Any, AL: Array | None = None) -> Sequence[Cache]:
    """The caches of `L_model_forward` as ((A_prev, W, b), Z) for each layer, whose shapes fit within a layer,
    from layer to layer, and AL, if it is given."""
    if not isinstance(caches, (list, tuple)):
        raise TypeError(
            f"caches is a {type(caches).__name__}, expected the list that L_model_forward returned."
        )
    if not caches:
        raise ValueError("caches is empty, expected one cache for each layer from L_model_forward.")
    return caches if _are_usual_caches(caches, AL) else _as_caches(caches, AL)


def _are_usual_caches(caches: Any, AL: Array | None) -> bool:
    shape = None
    try:
        for (A_prev, W, b), Z in caches:
            if not (type(A_prev) is type(W) is type(b) is type(Z) is np.ndarray and A_prev.ndim == 2):
                return False
            if not (A_prev.dtype is W.dtype is b.dtype is Z.dtype and Z.dtype.kind == "f"):
                return False
            (n_prev, m), n = A_prev.shape, b.size
            if W.shape != (n, n_prev) or b.shape != (n, 1) or Z.shape != (n, m) or m == 0:
                return False
            if shape is not None and A_prev.shape != shape:
                return False
            shape = Z.shape
    except (TypeError, ValueError):
        return False
    return AL is None or AL.shape == shape


def _as_caches(caches: Sequence[Any], AL: Array | None) -> Sequence[Cache]:
    checked: list[Cache] = []
    for l, cache in enumerate(caches, start=1):
        where = f"caches[{l - 1}] (layer {l})"
        linear_cache, Z = unpack(where, cache, "(linear_cache, activation_cache)")
        Z = as_floats(f"{where} Z", Z)
        A_prev, W, b = as_linear_cache(linear_cache, f"{where} Z", Z, where)
        if checked and A_prev.shape[-2:] != (shape := checked[-1][1].shape)[-2:]:
            raise ValueError(
                f"{where} A_prev has shape {A_prev.shape}, expected {shape}, the shape of "
                f"layer {l - 1}'s Z; pass the caches in the order of the layers."
            )
        checked.append(((A_prev, W, b), Z))
    if AL is not None:
        check_shape("AL", AL, f"{where} Z", Z.shape, Z=Z)
    return checked


def as_outputs(AL: Any, Y: Any, name: str = "AL") -> tuple[Array, Array]:
    """AL (or Z[L]) and the targets Y as (..., 1, m), Y in [0, 1] and in AL's dtype, lest it promote it."""
    usual = type(AL) is type(Y) is np.ndarray and AL.dtype is Y.dtype and AL.dtype.kind == "f"
    if not (usual and Y.shape == AL.shape == (1, AL.size) and AL.size > 0):
        AL = as_matrix(name, as_floats(name, AL))
        Y = as_matrix("Y", Y, reshape="(1, -1), a column for each example")
        check_batch("Y", Y)
        if AL.shape[-2] != 1:
            raise ValueError(
                f"{name} has shape {AL.shape}, expected (..., 1, m): the output layer has one unit."
            )
        check_shape("Y", Y, name, AL.shape, **{name: AL})
        Y = Y.astype(AL.dtype, copy=False)
    low, high = Y.item(Y.argmin()), Y.item(Y.argmax())  # of few numbers much faster than min and max
    if not (low >= 0 and high <= 1):  # so that NaN fails too
        raise ValueError(
            f"Y holds values from {low} to {high}, expected targets in [0, 1] without NaN; "
            "encode the two classes as 0 and 1."
        )
    return AL, Y


def check_probabilities(AL: Array) -> None:
    if AL.min() < 0 or AL.max() > 1:  # NaN passes: the cost of a diverged network is NaN
        raise ValueError(
            f"AL holds values from {AL.min()} to {AL.max()}, expected probabilities in [0, 1]; "
            "pass the output of the sigmoid."
        )


def as_step(
    params: Mapping[str, Any], grads: Mapping[str, Any], learning_rate: ArrayLike
) -> list[tuple[Array, Array, Array]]:
    """For each key theta, dtheta and the learning rate (or one for each network), in theta's dtype."""
    check_parameters(params, name="params")
    if not isinstance(grads, (dict, Mapping)):
        raise TypeError(
            f"grads is a {type(grads).__name__}, expected the dict that L_model_backward returned."
        )
    rate = as_floats("learning_rate", learning_rate)
    if not (math.isfinite(rate) if rate.ndim == 0 else np.isfinite(rate).all()):
        raise ValueError(f"learning_rate is {learning_rate!r}, expected finite numbers.")
    step, alpha = [], rate
    for key, theta in params.items():
        dtheta: Any = grads.get(f"d{key}")
        usual = type(theta) is type(dtheta) is np.ndarray and theta.dtype is dtheta.dtype
        if usual and theta.shape == dtheta.shape and rate.ndim == 0 and theta.dtype.kind == "f":
            if alpha.dtype is not theta.dtype:
                alpha = rate.astype(theta.dtype)
            step.append((theta, dtheta, alpha))
        else:
            step.append(_as_step(key, theta, grads, rate))
    return step


def _as_step(
    key: str, theta: ArrayLike, grads: Mapping[str, ArrayLike], rate: Array
) -> tuple[Array, Array, Array]:
    if f"d{key}" not in grads:
        raise ValueError(
            f"grads has no 'd{key}' (layer {key[1:]}), expected dW and db of every layer in params."
        )
    name = f"params['{key}'] (layer {key[1:]})"
    theta, dtheta = as_floats(name, as_matrix(name, theta)), as_matrix(f"grads['d{key}']", grads[f"d{key}"])
    if theta.shape != dtheta.shape:
        raise ValueError(
            f"grads['d{key}'] has shape {dtheta.shape}, expected {theta.shape}, the shape of {name}."
        )
    if rate.ndim and rate.shape != theta.shape[:-2]:
        raise ValueError(
            f"learning_rate has shape {rate.shape}, expected a number or the stack's shape "
            f"{theta.shape[:-2]}, one for each network in params['{key}']."
        )
    alpha = rate.astype(theta.dtype)
    return theta, dtheta.astype(theta.dtype, copy=False), alpha[..., None, None] if rate.ndim else alpha
