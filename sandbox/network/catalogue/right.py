"""Right implementations, written differently: none may raise a false alarm.

Some take stacks of networks; some are in the exercise's style, for one network, which gets a note.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from sandbox.network import linear_activation_backward, linear_backward
from sandbox.network.catalogue.implementation import Implementation, collected, layer_gradients, transposed
from sandbox.typing import Array

_RIGHT: list[Implementation] = []
right = collected(_RIGHT, wrong=False)


@right("linear_backward")
def in_the_exercises_style(dZ: Any, cache: Any) -> Any:
    A_prev, W, _ = cache
    m = A_prev.shape[1]
    dW = 1.0 / m * np.dot(dZ, A_prev.T)
    db = 1.0 / m * np.sum(dZ, axis=1, keepdims=True)
    return np.dot(W.T, dZ), dW, db


@right("linear_backward")
def by_einsum(dZ: Any, cache: Any) -> Any:
    A_prev, W, _ = cache
    m = dZ.shape[-1]
    dW = np.einsum("...im,...jm->...ij", dZ, A_prev) / m
    return np.einsum("...ij,...im->...jm", W, dZ), dW, np.einsum("...im->...i", dZ)[..., None] / m


@right("linear_backward")
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


@right("linear_backward")
def examples_in_reverse_order(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ[..., ::-1], (cache[0][..., ::-1], *cache[1:]))
    return dA_prev[..., ::-1], dW, db


@right("linear_backward")
def in_blocks_of_examples(dZ: Any, cache: Any) -> Any:
    A_prev, W, _ = cache
    m = dZ.shape[-1]
    blocks = [slice(i, i + 3) for i in range(0, m, 3)]
    dW = sum(dZ[..., s] @ transposed(A_prev[..., s]) for s in blocks) / m
    db = sum(np.sum(dZ[..., s], axis=-1, keepdims=True) for s in blocks) / m
    return np.concatenate([transposed(W) @ dZ[..., s] for s in blocks], axis=-1), dW, db


@right("linear_backward")
def accumulated_in_float64(dZ: Any, cache: Any) -> Any:
    gradients = layer_gradients(dZ.astype(np.float64), tuple(x.astype(np.float64) for x in cache))
    return tuple(g.astype(dZ.dtype) for g in gradients)


@right("linear_backward")
def db_as_a_product_with_ones(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    m = dZ.shape[-1]
    return dA_prev, dW, dZ @ np.full((m, 1), 1 / m, dZ.dtype)


@right("linear_backward")
def db_as_a_mean(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, np.mean(dZ, axis=-1, keepdims=True)


@right("linear_backward")
def dZ_scaled_first_on_a_copy(dZ: Any, cache: Any) -> Any:
    scaled = dZ / dZ.shape[-1]
    return transposed(cache[1]) @ dZ, scaled @ transposed(cache[0]), np.sum(scaled, axis=-1, keepdims=True)


@right("linear_backward")
def fortran_ordered_and_read_only(dZ: Any, cache: Any) -> Any:
    gradients = tuple(np.asfortranarray(g) for g in layer_gradients(dZ, cache))
    for g in gradients:
        g.flags.writeable = False
    return gradients


@right("linear_backward")
def dW_as_the_transpose_of_A_dZ(dZ: Any, cache: Any) -> Any:
    dA_prev, _, db = layer_gradients(dZ, cache)
    return [dA_prev, transposed(cache[0] @ transposed(dZ)) * (1 / dZ.shape[-1]), db]


@right("relu_backward")
def relu_masked_by_multiplication(dA: Any, Z: Any) -> Any:
    return dA * (Z > 0)


@right("relu_backward")
def relu_copied_and_masked(dA: Any, Z: Any) -> Any:
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


@right("relu_backward")
def relu_by_heaviside(dA: Any, Z: Any) -> Any:
    return dA * np.heaviside(Z, np.zeros((), Z.dtype))


@right("sigmoid_backward")
def sigmoid_in_the_exercises_style(dA: Any, Z: Any) -> Any:
    s = 1 / (1 + np.exp(-Z))
    return dA * s * (1 - s)


@right("sigmoid_backward")
def sigmoid_from_the_exponential(dA: Any, Z: Any) -> Any:
    e = np.exp(-np.abs(Z))
    return dA * e / (1 + e) ** 2


@right("sigmoid_backward")
def sigmoid_by_cosh(dA: Any, Z: Any) -> Any:
    return (
        dA / (2 * np.cosh(np.clip(Z, -80, 80) / 2)) ** 2
        if dA.dtype != np.float64
        else dA * expit(Z) * expit(-Z)
    )


@right("linear_activation_backward")
def activation_inlined(dA: Any, cache: Any, activation: Any) -> Any:
    linear_cache, Z = cache
    dZ = dA * (Z > 0) if activation == "relu" else dA * expit(Z) * expit(-Z)
    return layer_gradients(dZ, linear_cache)


@right("L_model_backward")
def output_fused(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Array] = {}
    dZ = AL - Y
    for l in range(len(caches), 0, -1):
        dA_prev, dW, db = linear_backward(dZ, caches[l - 1][0])
        grads |= {f"dA{l - 1}": dA_prev, f"dW{l}": dW, f"db{l}": db}
        if l > 1:
            dZ = np.where(caches[l - 2][1] > 0, dA_prev, 0)
    return grads


@right("L_model_backward")
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


@right("L_model_backward")
def with_more_keys(AL: Any, Y: Any, caches: Any) -> Any:
    grads: dict[str, Array] = {"dZ_output": AL - Y}
    L = len(caches)
    dA, dW, db = linear_backward(AL - Y, caches[-1][0])
    grads |= {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for l in range(L - 1, 0, -1):
        dA, dW, db = linear_activation_backward(dA, caches[l - 1], "relu")
        grads |= {f"dA{l - 1}": dA, f"dW{l}": dW, f"db{l}": db}
    return grads


@right("sigmoid")
def sigmoid_by_scipy(Z: Any) -> Any:
    return expit(Z), Z


@right("sigmoid")
def sigmoid_naive(Z: Any) -> Any:
    return 1 / (1 + np.exp(-Z)), Z


@right("relu")
def relu_by_multiplication(Z: Any) -> Any:
    return Z * (Z > 0), Z


@right("relu")
def relu_by_the_absolute_value(Z: Any) -> Any:
    return (np.abs(Z) + Z) / 2, Z


@right("linear_forward")
def forward_by_einsum(A: Any, W: Any, b: Any) -> Any:
    return np.einsum("...ij,...jm->...im", W, A) + b, (A, W, b)


@right("linear_forward")
def forward_with_b_in_the_product(A: Any, W: Any, b: Any) -> Any:
    ones = np.ones((*A.shape[:-2], 1, A.shape[-1]), A.dtype)
    return np.concatenate([W, b], axis=-1) @ np.concatenate([A, ones], axis=-2), (A, W, b)


@right("compute_cost")
def cost_in_the_exercises_style(AL: Any, Y: Any) -> Any:
    m = Y.shape[1]
    return np.squeeze(-(np.dot(Y, np.log(AL).T) + np.dot(1 - Y, np.log(1 - AL).T)) / m)


@right("update_parameters")
def update_on_copies(params: Any, grads: Any, learning_rate: Any) -> Any:
    updated = {key: np.array(x, copy=True) for key, x in params.items()}
    for key, x in updated.items():
        x -= learning_rate * grads[f"d{key}"]
    return updated


RIGHT = tuple(_RIGHT)
