"""Right implementations, written differently: none may raise a false alarm.

A row is name=the function. Some take stacks of networks; some are in the exercise's style, for one network,
which gets a note.
"""

from typing import Any

import numpy as np
from scipy.special import expit

from sandbox.network import linear_activation_backward, linear_backward
from sandbox.network.catalogue.implementation import (
    gradients,
    layer_gradients,
    of_layer,
    right,
    transposed,
    written,
)
from sandbox.typing import Array

# --- linear_backward ------------------------------------------------------------------------------


def in_the_exercises_style(dZ: Any, cache: Any) -> Any:
    A_prev, W, _ = cache
    m = A_prev.shape[1]
    dW = 1.0 / m * np.dot(dZ, A_prev.T)
    db = 1.0 / m * np.sum(dZ, axis=1, keepdims=True)
    return np.dot(W.T, dZ), dW, db


def by_a_loop_over_examples(dZ: Any, cache: Any) -> Any:
    A_prev, W, b = cache
    m = dZ.shape[1]
    dA_prev, dW, db = np.empty_like(A_prev), np.zeros_like(W), np.zeros_like(b)
    for i in range(m):
        dz = dZ[:, i : i + 1]
        dA_prev[:, i : i + 1] = W.T @ dz
        dW += dz @ A_prev[:, i : i + 1].T / m
        db += dz / m
    return dA_prev, dW, db


def examples_in_reverse_order(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ[..., ::-1], (cache[0][..., ::-1], *cache[1:]))
    return dA_prev[..., ::-1], dW, db


def blocks(x: Array) -> list[Array]:
    """x in blocks of at most three examples."""
    return [x[..., i : i + 3] for i in range(0, x.shape[-1], 3)]


def fortran_ordered_and_read_only(dZ: Any, cache: Any) -> Any:
    laid_out = tuple(np.asfortranarray(g) for g in layer_gradients(dZ, cache))
    for g in laid_out:
        g.flags.writeable = False
    return laid_out


RIGHT = right("linear_backward",
    in_the_exercises_style=in_the_exercises_style,
    by_einsum=gradients(
        dA_prev=lambda W, dZ: np.einsum("...ij,...im->...jm", W, dZ),
        dW=lambda dZ, A_prev, m: np.einsum("...im,...jm->...ij", dZ, A_prev) / m,
        db=lambda dZ, m: np.einsum("...im->...i", dZ)[..., None] / m),
    by_a_loop_over_examples=by_a_loop_over_examples,
    examples_in_reverse_order=examples_in_reverse_order,
    in_blocks_of_examples=gradients(
        dA_prev=lambda W, dZ: np.concatenate([transposed(W) @ dz for dz in blocks(dZ)], axis=-1),
        dW=lambda dZ, A_prev, m: sum(map(np.matmul, blocks(dZ), map(transposed, blocks(A_prev)))) / m,
        db=lambda dZ, m: sum(np.sum(dz, axis=-1, keepdims=True) for dz in blocks(dZ)) / m),
    accumulated_in_float64=lambda dZ, cache: tuple(
        g.astype(dZ.dtype) for g in layer_gradients(dZ.astype(float), [x.astype(float) for x in cache])),
    db_as_a_product_with_ones=gradients(db=lambda dZ, m: dZ @ np.full((m, 1), 1 / m, dZ.dtype)),
    db_as_a_mean=gradients(db=lambda dZ: np.mean(dZ, axis=-1, keepdims=True)),
    dZ_scaled_first_on_a_copy=gradients(
        dW=lambda dZ, A_prev, m: (dZ / m) @ transposed(A_prev),
        db=lambda dZ, m: np.sum(dZ / m, axis=-1, keepdims=True)),
    fortran_ordered_and_read_only=fortran_ordered_and_read_only,
    dW_as_the_transpose_of_A_dZ=lambda dZ, cache: list(
        gradients(dW=lambda A_prev, dZ, m: transposed(A_prev @ transposed(dZ)) * (1 / m))(dZ, cache)),
)  # fmt: skip


# --- the other backward functions -----------------------------------------------------------------


def output_fused(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Array] = {}
    dZ = AL - Y
    for l in range(len(caches), 0, -1):
        grads |= of_layer(l, linear_backward(dZ, caches[l - 1][0]))
        if l > 1:
            dZ = np.where(caches[l - 2][1] > 0, grads[f"dA{l - 1}"], 0)
    return grads


def all_inline(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Array] = {}
    dZ, m = AL - Y, Y.shape[-1]
    for l in range(len(caches), 0, -1):
        A_prev, W, _ = caches[l - 1][0]
        grads[f"dW{l}"] = dZ @ transposed(A_prev) / m
        grads[f"db{l}"] = dZ.sum(axis=-1, keepdims=True) / m
        grads[f"dA{l - 1}"] = transposed(W) @ dZ
        if l > 1:
            dZ = grads[f"dA{l - 1}"] * (A_prev > 0)  # A_prev > 0 where its Z > 0
    return grads


def with_more_keys(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Array] = {"dZ_output": AL - Y}
    L = len(caches)
    grads |= of_layer(L, linear_backward(AL - Y, caches[-1][0]))
    for l in range(L - 1, 0, -1):
        grads |= of_layer(l, linear_activation_backward(grads[f"dA{l}"], caches[l - 1], "relu"))
    return grads


RIGHT += right("relu_backward",
    relu_masked_by_multiplication=lambda dA, Z: dA * (Z > 0),
    relu_copied_and_masked=lambda dA, Z: written(np.array(dA, copy=True), Z <= 0, 0),
    relu_by_heaviside=lambda dA, Z: dA * np.heaviside(Z, np.zeros((), Z.dtype)),
)  # fmt: skip

RIGHT += right("sigmoid_backward",
    sigmoid_in_the_exercises_style=lambda dA, Z: dA * (s := 1 / (1 + np.exp(-Z))) * (1 - s),
    sigmoid_from_the_exponential=lambda dA, Z: dA * (e := np.exp(-np.abs(Z))) / (1 + e) ** 2,
    sigmoid_by_cosh=lambda dA, Z: (
        dA * expit(Z) * expit(-Z) if dA.dtype == np.float64
        else dA / (2 * np.cosh(np.clip(Z, -80, 80) / 2)) ** 2),
)  # fmt: skip

RIGHT += right("linear_activation_backward",
    activation_inlined=lambda dA, cache, activation: layer_gradients(
        dA * (cache[1] > 0) if activation == "relu" else dA * expit(cache[1]) * expit(-cache[1]), cache[0]),
)  # fmt: skip

RIGHT += right("L_model_backward",
    output_fused=output_fused,
    all_inline=all_inline,
    with_more_keys=with_more_keys,
)  # fmt: skip


# --- forward, cost, update ------------------------------------------------------------------------


def update_on_copies(params: Any, grads: Any, learning_rate: Any) -> Any:
    updated = {key: np.array(x, copy=True) for key, x in params.items()}
    for key, x in updated.items():
        x -= learning_rate * grads[f"d{key}"]
    return updated


RIGHT += right("sigmoid",
    sigmoid_by_scipy=lambda Z: (expit(Z), Z),
    sigmoid_naive=lambda Z: (1 / (1 + np.exp(-Z)), Z),
)  # fmt: skip

RIGHT += right("relu",
    relu_by_multiplication=lambda Z: (Z * (Z > 0), Z),
    relu_by_the_absolute_value=lambda Z: ((np.abs(Z) + Z) / 2, Z),
)  # fmt: skip

RIGHT += right("linear_forward",
    forward_by_einsum=lambda A, W, b: (np.einsum("...ij,...jm->...im", W, A) + b, (A, W, b)),
    forward_with_b_in_the_product=lambda A, W, b: (
        np.concatenate([W, b], axis=-1) @ np.concatenate([A, np.ones_like(A[..., :1, :])], axis=-2),
        (A, W, b)),
)  # fmt: skip

RIGHT += right("compute_cost",
    cost_in_the_exercises_style=lambda AL, Y: np.squeeze(
        -(np.dot(Y, np.log(AL).T) + np.dot(1 - Y, np.log(1 - AL).T)) / Y.shape[1]),
)  # fmt: skip

RIGHT += right("update_parameters", update_on_copies=update_on_copies)
