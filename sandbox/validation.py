"""Checks at the boundary of the passes: one clear sentence for each kind of malformed input.

Every message names the argument (with its layer where there is one), what came, what was
expected and what to do. A check costs a microsecond or two, because the training loop pays it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sandbox.typing import Array, ArrayLike


def as_matrix(name: str, value: ArrayLike, *, reshape: str = "(-1, 1) for one column") -> Array:
    """`value` as a real array with at least two axes, (..., rows, columns); `reshape`: what is likely due
    where it has one.

    Raises:
        TypeError: not numeric.
        ValueError: fewer than two axes.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers; pass a float64 or float32 array."
        )
    if array.ndim < 2:
        raise ValueError(
            f"{name} has shape {array.shape}, expected a matrix (rows, columns) or a stack of them "
            f"(..., rows, columns); reshape it, e.g. with .reshape{reshape}."
        )
    return array


def check_batch(name: str, array: Array) -> None:
    """Raise ValueError unless there is at least one example (column): gradients divide by m."""
    if array.shape[-1] == 0:
        raise ValueError(
            f"{name} has shape {array.shape}, a batch of 0 examples; expected at least one column "
            "(examples are columns)."
        )


def check_stacks(**arrays: Array) -> None:
    """Raise ValueError unless the leading (stack) axes of all the arrays broadcast together."""
    if all(array.ndim == 2 for array in arrays.values()):
        return
    try:
        np.broadcast_shapes(*(array.shape[:-2] for array in arrays.values()))
    except ValueError:
        raise ValueError(
            f"the leading (stack) axes of {_shapes(**arrays)} do not broadcast together; "
            "give every array the same stack axes, or none."
        ) from None


def check_linear(A: Array, W: Array, b: Array, *, names: tuple[str, str, str] = ("A", "W", "b")) -> None:
    """Raise ValueError unless W A + b is defined, stacks included."""
    name_A, name_W, name_b = names
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


def check_same_matrix(name: str, array: Array, other_name: str, other: Array) -> None:
    """Raise ValueError unless both have the same (rows, columns) and compatible stacks."""
    if array.shape[-2:] != other.shape[-2:]:
        raise ValueError(
            f"{name} has shape {array.shape}, expected (..., {other.shape[-2]}, {other.shape[-1]}), "
            f"the shape of {other_name}."
        )
    check_stacks(**{name: array, other_name: other})


def as_targets(Y: ArrayLike, AL: Array, *, name: str = "AL") -> Array:
    """The targets Y as (..., 1, m) in [0, 1], in the dtype of AL so that they do not promote it."""
    Y = as_matrix("Y", Y, reshape="(1, -1), a column for each example")
    check_batch("Y", Y)
    if AL.shape[-2] != 1:
        raise ValueError(f"{name} has shape {AL.shape}, expected (..., 1, m): the output layer has one unit.")
    check_same_matrix("Y", Y, name, AL)
    # Written so that NaN fails too.
    if not (Y.min() >= 0 and Y.max() <= 1):
        raise ValueError(
            f"Y holds values from {Y.min()} to {Y.max()}, expected targets in [0, 1] without NaN; "
            "encode the two classes as 0 and 1."
        )
    return Y.astype(AL.dtype if AL.dtype.kind == "f" else float, copy=False)


def unpack(name: str, cache: Any, parts: str) -> tuple[Any, ...]:
    """`cache` as the tuple whose parts are named in `parts`, e.g. "(A_prev, W, b)".

    Raises:
        TypeError: not a tuple or list.
        ValueError: another number of parts.
    """
    count = parts.count(",") + 1
    if not isinstance(cache, tuple | list):
        raise TypeError(f"{name} is a {type(cache).__name__}, expected the tuple {parts}.")
    if len(cache) != count:
        raise ValueError(
            f"{name} has {len(cache)} parts, expected {count}: {parts}; pass the cache that the "
            "forward function returned."
        )
    return tuple(cache)


def check_parameters(parameters: Mapping[str, Any], *, name: str = "parameters") -> int:
    """The depth L of a parameter dict, after checking that its keys are W1, b1, ..., WL, bL and its
    shapes chain from layer to layer.

    Raises:
        TypeError: not a mapping, or an entry is not numeric.
        ValueError: a key is missing or unknown, or two layers do not fit together.
    """
    if not isinstance(parameters, Mapping):
        raise TypeError(f"{name} is a {type(parameters).__name__}, expected a dict W1, b1, ..., WL, bL.")
    L = sum(isinstance(key, str) and key.startswith("W") for key in parameters)
    expected = {f"{kind}{layer}" for layer in range(1, L + 1) for kind in "Wb"}
    missing = sorted(expected - set(parameters))
    unknown = sorted(map(str, set(parameters) - expected))
    if missing or unknown or L == 0:
        raise ValueError(
            f"{name} has the keys {_listed(parameters)}, expected W1, b1, ..., WL, bL and nothing else"
            + (f"; missing: {_listed(missing)}" if missing else "")
            + (f"; unknown: {_listed(unknown)}" if unknown else "")
            + "."
        )
    previous: Array | None = None
    for layer in range(1, L + 1):
        W = as_matrix(f"{name}['W{layer}'] (layer {layer})", parameters[f"W{layer}"])
        b = as_matrix(f"{name}['b{layer}'] (layer {layer})", parameters[f"b{layer}"])
        if previous is not None and W.shape[-1] != previous.shape[-2]:
            raise ValueError(
                f"{name}['W{layer}'] (layer {layer}) has shape {W.shape}, expected (..., n_{layer}, "
                f"{previous.shape[-2]}): layer {layer - 1} has {previous.shape[-2]} units."
            )
        if b.shape[-2:] != (W.shape[-2], 1):
            raise ValueError(
                f"{name}['b{layer}'] (layer {layer}) has shape {b.shape}, expected "
                f"(..., {W.shape[-2]}, 1) to go with {name}['W{layer}'] of shape {W.shape}."
            )
        check_stacks(**{f"W{layer}": W, f"b{layer}": b})
        previous = W
    return L


def check_caches(caches: Any) -> list[tuple[tuple[Array, Array, Array], Array]]:
    """The caches of `L_model_forward` as ((A_prev, W, b), Z) for each layer, after checking that the
    shapes fit within a layer and from layer to layer.

    Raises:
        TypeError, ValueError: the layer at fault is named.
    """
    if not isinstance(caches, list | tuple):
        raise TypeError(
            f"caches is a {type(caches).__name__}, expected the list that L_model_forward returned."
        )
    if not caches:
        raise ValueError("caches is empty, expected one cache for each layer from L_model_forward.")
    checked = []
    previous: Array | None = None
    for layer, cache in enumerate(caches, start=1):
        where = f"caches[{layer - 1}] (layer {layer})"
        linear_cache, Z = unpack(where, cache, "(linear_cache, activation_cache)")
        A_prev, W, b = (
            as_matrix(f"{where} {part}", value)
            for part, value in zip(
                ("A_prev", "W", "b"),
                unpack(f"{where} linear_cache", linear_cache, "(A_prev, W, b)"),
                strict=True,
            )
        )
        Z = as_matrix(f"{where} Z", Z)
        check_linear(A_prev, W, b, names=(f"{where} A_prev", f"{where} W", f"{where} b"))
        if Z.shape[-2:] != (W.shape[-2], A_prev.shape[-1]):
            raise ValueError(
                f"{where} Z has shape {Z.shape}, expected (..., {W.shape[-2]}, {A_prev.shape[-1]}), "
                f"the shape of W A_prev + b with W {W.shape} and A_prev {A_prev.shape}."
            )
        if previous is not None and A_prev.shape[-2:] != previous.shape[-2:]:
            raise ValueError(
                f"{where} A_prev has shape {A_prev.shape}, expected {previous.shape}, the shape of "
                f"layer {layer - 1}'s Z; pass the caches in the order of the layers."
            )
        checked.append(((A_prev, W, b), Z))
        previous = Z
    return checked


def check_layer_dims(layer_dims: Sequence[int], *, name: str = "layer_dims") -> tuple[int, ...]:
    """`layer_dims` as (n_0, ..., n_L): at least two positive whole numbers."""
    try:
        dims = tuple(layer_dims)
    except TypeError:
        raise TypeError(
            f"{name} is {layer_dims!r}, expected a sequence of layer sizes such as [64, 32, 1]."
        ) from None
    if len(dims) < 2:
        raise ValueError(
            f"{name} is {list(dims)}, expected at least the input size and one layer, e.g. [64, 1]."
        )
    for index, size in enumerate(dims):
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"{name}[{index}] is {size!r}, expected a positive whole number of units.")
        if size < 1:
            raise ValueError(f"{name}[{index}] is {size}, expected at least 1 unit.")
    return tuple(int(size) for size in dims)


def _shapes(**arrays: Array) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())


def _listed(keys: Any) -> str:
    """Keys for a message; a long list is cut so that the message stays one or two lines."""
    names = [str(key) for key in keys]
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "") or "none"
