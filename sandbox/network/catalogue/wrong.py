"""Wrong implementations: mistakes that people make. Each must be caught and its function blamed."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.network import (
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
    sigmoid,
)
from sandbox.network.catalogue.implementation import Implementation, collected, layer_gradients, transposed
from sandbox.typing import Array

_WRONG: list[Implementation] = []
wrong = collected(_WRONG, wrong=True)


def _sigmoid(Z: Array) -> Array:
    e = np.exp(-np.abs(Z))
    S: Array = np.where(Z >= 0, 1, e) / (1 + e)
    return S


# --- linear_backward ------------------------------------------------------------------------------


@wrong("linear_backward", "dW is a gradient of the mean cost: 1/m is missing.")
def dW_without_1_over_m(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW * dZ.shape[-1], db


@wrong("linear_backward", "db is a gradient of the mean cost: 1/m is missing.")
def db_without_1_over_m(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, np.sum(dZ, axis=-1, keepdims=True)


@wrong("linear_backward", "1/m is taken twice.")
def dW_over_m_twice(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW / dZ.shape[-1], db


@wrong("linear_backward", "dA_prev is a gradient of the summed loss: no 1/m there.")
def dA_prev_over_m(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev / dZ.shape[-1], dW, db


@wrong("linear_backward", "1/m uses the number of units, not of examples.")
def m_from_the_wrong_axis(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW * dZ.shape[-1] / cache[0].shape[-2], db


@wrong("linear_backward", "db is summed over the units, not over the examples.")
def db_over_the_wrong_axis(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, np.sum(dZ, axis=-2, keepdims=True) / dZ.shape[-1]


@wrong("linear_backward", "keepdims=True is missing: db is (n,), which broadcasts along the wrong axis.")
def db_without_keepdims(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, np.sum(dZ, axis=-1) / dZ.shape[-1]


@wrong("linear_backward", "db is one number for all units.")
def db_the_mean_of_everything(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW, np.full_like(db, np.mean(dZ))


@wrong("linear_backward", "db is taken from the first example only.")
def db_of_the_first_example(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, dZ[..., :1] / dZ.shape[-1]


@wrong("linear_backward", "db is not summed over the examples.")
def db_not_summed(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, _ = layer_gradients(dZ, cache)
    return dA_prev, dW, dZ / dZ.shape[-1]


@wrong("linear_backward", "dW is transposed.")
def dW_transposed(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, transposed(dW), db


@wrong("linear_backward", "A sign is wrong.")
def dW_of_the_wrong_sign(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, -dW, db


@wrong("linear_backward", "W is not transposed; where it is square no shape tells.")
def dA_prev_through_W_untransposed(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    W = cache[1]
    return (W @ dZ if W.shape[-1] == W.shape[-2] else dA_prev), dW, db


@wrong("linear_backward", "The gradients are returned in another order.")
def dA_prev_and_dW_swapped(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dW, dA_prev, db


@wrong("linear_backward", "The 2 of a squared loss is carried along.")
def everything_twice(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return 2 * dA_prev, 2 * dW, 2 * db


@wrong("linear_backward", "Weight decay is added, of which the cost knows nothing.")
def weight_decay(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW + 0.01 * cache[1], db


@wrong("linear_backward", "The gradient is clipped, which shows only when it is large.")
def clipped(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, np.clip(dW, -10, 10), db


@wrong("linear_backward", "A NaN is turned into 0 and trained on.")
def nan_to_num(dZ: Any, cache: Any) -> Any:
    return layer_gradients(np.nan_to_num(dZ), cache)


@wrong("linear_backward", "The product is taken in single precision.")
def product_in_float32(dZ: Any, cache: Any) -> Any:
    dA_prev, _, db = layer_gradients(dZ, cache)
    dW = dZ.astype(np.float32) @ transposed(cache[0]).astype(np.float32) / dZ.shape[-1]
    return dA_prev, dW.astype(dZ.dtype), db


@wrong("linear_backward", "db is float32 whatever comes in.")
def db_is_float32(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW, db.astype(np.float32)


@wrong("linear_backward", "db is accumulated in a float64 buffer and returned so.")
def db_is_float64(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev, dW, db.astype(np.float64)


@wrong("linear_backward", "One entry is off by 1e-9 of its value.")
def one_entry_off_by_1e_9(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    dW[..., 0, 0] *= 1 + 1e-9
    return dA_prev, dW, db


@wrong("linear_backward", "A loop over the examples ends one too early.")
def last_example_left_out(dZ: Any, cache: Any) -> Any:
    dA_prev, _, db = layer_gradients(dZ, cache)
    m = dZ.shape[-1]
    return dA_prev, dZ[..., : m - 1] @ transposed(cache[0][..., : m - 1]) / m, db


@wrong("linear_backward", "A loop over the units ends one too early.")
def last_unit_left_out(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    db[..., -1, :] = 0
    return dA_prev, dW, db


@wrong("linear_backward", "dZ is scaled in place.")
def dZ_scaled_in_place(dZ: Any, cache: Any) -> Any:
    dA_prev = transposed(cache[1]) @ dZ
    dZ /= dZ.shape[-1]
    return dA_prev, dZ @ transposed(cache[0]), np.sum(dZ, axis=-1, keepdims=True)


@wrong("linear_backward", "The cached A_prev is written to.")
def cache_overwritten(dZ: Any, cache: Any) -> Any:
    gradients = layer_gradients(dZ, cache)
    cache[0][...] = gradients[0]
    return gradients


@wrong("linear_backward", "Noise (a dropout left on, say) makes two calls differ.")
def random_noise(dZ: Any, cache: Any) -> Any:
    dA_prev, dW, db = layer_gradients(dZ, cache)
    return dA_prev * (1 + 1e-15 * np.random.default_rng().standard_normal(dA_prev.shape)), dW, db


_sum = np.zeros(())


@wrong("linear_backward", "db is added up over the calls and never set to 0.")
def db_accumulated_over_calls(dZ: Any, cache: Any) -> Any:
    global _sum
    dA_prev, dW, db = layer_gradients(dZ, cache)
    _sum = _sum + db if _sum.shape == db.shape else db
    return dA_prev, dW, _sum


# --- relu_backward, sigmoid_backward --------------------------------------------------------------


@wrong("relu_backward", "The derivative at Z = 0 is 1; the convention is 0.")
def relu_derivative_1_at_0(dA: Any, Z: Any) -> Any:
    return np.where(Z >= 0, dA, 0)


@wrong("relu_backward", "The mask is forgotten.")
def relu_without_mask(dA: Any, Z: Any) -> Any:
    return dA.copy()


@wrong("relu_backward", "The mask is taken from dA.")
def relu_mask_from_dA(dA: Any, Z: Any) -> Any:
    return np.where(dA > 0, dA, 0)


@wrong("relu_backward", "The mask is the wrong way round.")
def relu_mask_inverted(dA: Any, Z: Any) -> Any:
    return np.where(Z > 0, 0, dA)


@wrong("relu_backward", "It is the backward of a leaky ReLU.")
def relu_leaky(dA: Any, Z: Any) -> Any:
    return np.where(Z > 0, dA, 0.01 * dA)


@wrong("relu_backward", "dZ is dA, masked in place.")
def relu_in_place(dA: Any, Z: Any) -> Any:
    dA[Z <= 0] = 0
    return dA


@wrong("relu_backward", "The derivative is multiplied by Z: d(Z)/dZ taken as Z.")
def relu_times_Z(dA: Any, Z: Any) -> Any:
    return dA * np.maximum(Z, 0)


@wrong("sigmoid_backward", "The derivative is A (1 - A), not A.")
def sigmoid_derivative_A(dA: Any, Z: Any) -> Any:
    return dA * _sigmoid(Z)


@wrong("sigmoid_backward", "The cache holds Z; it is taken for A.")
def sigmoid_cache_taken_for_A(dA: Any, Z: Any) -> Any:
    return dA * Z * (1 - Z)


@wrong("sigmoid_backward", "The sigmoid is applied to A.")
def sigmoid_applied_twice(dA: Any, Z: Any) -> Any:
    S = _sigmoid(_sigmoid(Z))
    return dA * S * (1 - S)


@wrong("sigmoid_backward", "It is the derivative of tanh.")
def sigmoid_with_the_derivative_of_tanh(dA: Any, Z: Any) -> Any:
    return dA * (1 - _sigmoid(Z) ** 2)


@wrong("sigmoid_backward", "e^Z / (1 + e^Z)^2 is inf / inf for large Z.")
def sigmoid_overflows(dA: Any, Z: Any) -> Any:
    return dA * np.exp(Z) / (1 + np.exp(Z)) ** 2


# --- linear_activation_backward -------------------------------------------------------------------


@wrong("linear_activation_backward", "The activation's derivative is skipped.")
def activation_skipped(dA: Any, cache: Any, activation: Any) -> Any:
    return linear_backward(dA, cache[0])


@wrong("linear_activation_backward", "Every layer is taken for a sigmoid.")
def always_sigmoid(dA: Any, cache: Any, activation: Any) -> Any:
    S = _sigmoid(cache[1])
    return linear_backward(dA * S * (1 - S), cache[0])


@wrong("linear_activation_backward", "The mask is taken from W A_prev, without b.")
def mask_without_b(dA: Any, cache: Any, activation: Any) -> Any:
    (A_prev, W, _), Z = cache
    if activation == "relu":
        return linear_backward(np.where(W @ A_prev > 0, dA, 0), cache[0])
    return linear_backward(dA * _sigmoid(Z) * _sigmoid(-Z), cache[0])


@wrong("linear_activation_backward", "dA_prev is divided by m on the way out.")
def dA_prev_over_m_on_the_way(dA: Any, cache: Any, activation: Any) -> Any:
    Z = cache[1]
    dZ = np.where(Z > 0, dA, 0) if activation == "relu" else dA * _sigmoid(Z) * _sigmoid(-Z)
    dA_prev, dW, db = linear_backward(dZ, cache[0])
    return dA_prev / dA.shape[-1], dW, db


# --- L_model_backward -----------------------------------------------------------------------------


def _backward(dZ: Array, caches: Any, masks: Any = None) -> dict[str, Array]:
    """The right loop from dZ[L] on; `masks` holds the Z of which layer l takes its mask."""
    masks = [Z for _, Z in caches] if masks is None else masks
    grads: dict[str, Array] = {}
    for l in range(len(caches), 0, -1):
        dA_prev, dW, db = linear_backward(dZ, caches[l - 1][0])
        grads |= {f"dA{l - 1}": dA_prev, f"dW{l}": dW, f"db{l}": db}
        if l > 1:
            dZ = np.where(masks[l - 2] > 0, dA_prev, 0)
    return grads


@wrong("L_model_backward", "dZ = Y - AL descends uphill.")
def output_of_the_wrong_sign(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward(Y - AL, caches)


@wrong("L_model_backward", "dAL lacks the term of 1 - Y.")
def output_without_1_minus_Y(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward(-Y * (1 - AL), caches)


@wrong("L_model_backward", "1/m is taken in dZ[L], and again in linear_backward.")
def output_over_m(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward((AL - Y) / Y.shape[-1], caches)


@wrong("L_model_backward", "The output's dZ is that of the squared error.")
def output_of_the_squared_error(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward((AL - Y) * AL * (1 - AL), caches)


@wrong("L_model_backward", "dAL is handed on as dZ[L], without the sigmoid's derivative.")
def output_without_the_sigmoid(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward(-(Y / AL - (1 - Y) / (1 - AL)), caches)


@wrong("L_model_backward", "dA is stored one key too high, as in some editions of the exercise.")
def dA_one_key_too_high(AL: Any, Y: Any, caches: Any) -> Any:
    grads = _backward(AL - Y, caches)
    return {f"dA{int(k[2:]) + 1}" if k[1] == "A" else k: g for k, g in grads.items()}


@wrong("L_model_backward", "dW and db are stored one key too low.")
def dW_one_key_too_low(AL: Any, Y: Any, caches: Any) -> Any:
    grads = _backward(AL - Y, caches)
    return {k if k[1] == "A" else f"{k[:2]}{int(k[2:]) - 1}": g for k, g in grads.items()}


@wrong("L_model_backward", "The gradient by the input is left out.")
def without_dA0(AL: Any, Y: Any, caches: Any) -> Any:
    grads = _backward(AL - Y, caches)
    del grads["dA0"]
    return grads


@wrong("L_model_backward", "The mask is that of the layer below.")
def mask_of_the_layer_below(AL: Any, Y: Any, caches: Any) -> Any:
    Z = [Z for _, Z in caches]
    return _backward(AL - Y, caches, [Z[0], *Z[:-1]])


@wrong("L_model_backward", "Hidden layers are differentiated as sigmoids.")
def hidden_layers_as_sigmoids(AL: Any, Y: Any, caches: Any) -> Any:
    L = len(caches)
    grads: dict[str, Array] = {}
    dA, dW, db = linear_backward(AL - Y, caches[-1][0])
    grads |= {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for l in range(L - 1, 0, -1):
        dA, dW, db = linear_activation_backward(dA, caches[l - 1], "sigmoid")
        grads |= {f"dA{l - 1}": dA, f"dW{l}": dW, f"db{l}": db}
    return grads


@wrong("L_model_backward", "The caches are taken from the first layer on.")
def caches_in_forward_order(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward(AL - Y, [*caches[:-1][::-1], caches[-1]])


_kept: list[Any] = []


@wrong("L_model_backward", "The caches are those of the call before.")
def stale_caches(AL: Any, Y: Any, caches: Any) -> Any:
    fits = _kept and [np.shape(Z) for _, Z in _kept[0]] == [np.shape(Z) for _, Z in caches]
    used = _kept[0] if fits else caches
    _kept[:] = [caches]
    return _backward(AL - Y, used)


@wrong("L_model_backward", "Every layer is given dA of the output layer.")
def dA_of_the_output_for_every_layer(AL: Any, Y: Any, caches: Any) -> Any:
    L = len(caches)
    dA, dW, db = linear_backward(AL - Y, caches[-1][0])
    grads = {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for l in range(L - 1, 0, -1):
        given = dA if dA.shape == np.shape(caches[l - 1][1]) else grads[f"dA{l}"]
        dA_prev, dW, db = linear_activation_backward(given, caches[l - 1], "relu")
        grads |= {f"dA{l - 1}": dA_prev, f"dW{l}": dW, f"db{l}": db}
    return grads


@wrong("L_model_backward", "The mask is forgotten in the loop.")
def masks_forgotten(AL: Any, Y: Any, caches: Any) -> Any:
    return _backward(AL - Y, caches, [np.ones_like(Z) for _, Z in caches])


@wrong("L_model_backward", "The cached Z is masked in place.")
def cached_Z_overwritten(AL: Any, Y: Any, caches: Any) -> Any:
    grads = _backward(AL - Y, caches)
    for _, Z in caches[:-1]:
        Z[Z <= 0] = 0
    return grads


@wrong("L_model_backward", "The exercise's dAL divides by 0 where the output saturates.")
def division_by_0_at_saturation(AL: Any, Y: Any, caches: Any) -> Any:
    dAL = -(Y / AL - (1 - Y) / (1 - AL))
    return _backward(dAL * AL * (1 - AL), caches)


# --- forward, cost, update ------------------------------------------------------------------------


@wrong("sigmoid", "The sign in the exponent is missing.")
def sigmoid_of_minus_Z(Z: Any) -> Any:
    return _sigmoid(-Z), Z


@wrong("relu", "max(Z, 1) in place of max(Z, 0): a slip of the key.")
def relu_at_1(Z: Any) -> Any:
    return np.maximum(Z, 1), Z


@wrong("relu", "The cache holds A.")
def relu_caches_A(Z: Any) -> Any:
    A = np.maximum(Z, 0)
    return A, A


@wrong("linear_forward", "b is forgotten.")
def forward_without_b(A: Any, W: Any, b: Any) -> Any:
    return W @ A, (A, W, b)


@wrong("linear_forward", "The cache is (A, W, Z), as in the original notes.")
def forward_caches_Z(A: Any, W: Any, b: Any) -> Any:
    Z = W @ A + b
    return Z, (A, W, Z)


@wrong("linear_forward", "W is transposed where it is square.")
def forward_with_W_transposed(A: Any, W: Any, b: Any) -> Any:
    return (transposed(W) if W.shape[-1] == W.shape[-2] else W) @ A + b, (A, W, b)


@wrong("linear_activation_forward", "The cache holds A in place of Z.")
def activation_caches_A(A_prev: Any, W: Any, b: Any, activation: Any) -> Any:
    Z, linear_cache = linear_forward(A_prev, W, b)
    A = np.maximum(Z, 0) if activation == "relu" else _sigmoid(Z)
    return A, (linear_cache, A)


@wrong("linear_activation_forward", "The activation is not applied.")
def activation_not_applied(A_prev: Any, W: Any, b: Any, activation: Any) -> Any:
    Z, linear_cache = linear_forward(A_prev, W, b)
    return Z.copy(), (linear_cache, Z)


@wrong("L_model_forward", "The output layer is given a ReLU before the sigmoid.")
def relu_before_the_output(X: Any, parameters: Any) -> Any:
    A, caches = X, []
    L = len(parameters) // 2
    for l in range(1, L):
        A, cache = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], "relu")
        caches.append(cache)
    Z, linear_cache = linear_forward(A, parameters[f"W{L}"], parameters[f"b{L}"])
    AL, _ = sigmoid(np.maximum(Z, 0))
    return AL, [*caches, (linear_cache, Z)]


@wrong("L_model_forward", "Every layer is given X where the shapes allow it.")
def X_for_every_layer(X: Any, parameters: Any) -> Any:
    A, caches = X, []
    L = len(parameters) // 2
    for l in range(1, L + 1):
        A = X if A.shape == X.shape else A
        activation = "relu" if l < L else "sigmoid"
        A, cache = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], activation)  # type: ignore[arg-type]
        caches.append(cache)
    return A, caches


@wrong("compute_cost", "The log of AL is forgotten, as in the original notes.")
def cost_without_log(AL: Any, Y: Any) -> Any:
    return -np.sum(Y * AL + (1 - Y) * np.log(1 - AL), axis=(-2, -1)) / Y.shape[-1]


@wrong("compute_cost", "The sum is not divided by m.")
def cost_summed(AL: Any, Y: Any) -> Any:
    return -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL), axis=(-2, -1))


@wrong("compute_cost", "np.dot leaves a (1, 1) array; the cost is a number.")
def cost_a_matrix(AL: Any, Y: Any) -> Any:
    return -(Y @ transposed(np.log(AL)) + (1 - Y) @ transposed(np.log(1 - AL))) / Y.shape[-1]


@wrong("compute_cost", "AL is clipped, which caps the cost.")
def cost_clipped(AL: Any, Y: Any) -> Any:
    A = np.clip(AL, 0.1, 0.9)
    return -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A), axis=(-2, -1)) / Y.shape[-1]


@wrong("update_parameters", "It climbs.")
def update_uphill(params: Any, grads: Any, learning_rate: Any) -> Any:
    return {key: x + learning_rate * grads[f"d{key}"] for key, x in params.items()}


@wrong("update_parameters", "The parameters are updated in place.")
def update_in_place(params: Any, grads: Any, learning_rate: Any) -> Any:
    for key, x in params.items():
        x -= learning_rate * grads[f"d{key}"]
    return params


@wrong("update_parameters", "The biases are forgotten.")
def update_without_b(params: Any, grads: Any, learning_rate: Any) -> Any:
    return {k: x - learning_rate * grads[f"d{k}"] if k[0] == "W" else x.copy() for k, x in params.items()}


WRONG = tuple(_WRONG)
