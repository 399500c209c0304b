"""Wrong implementations: mistakes that people make. Each must be caught and its function blamed; those with
bad manners alone, where the check is strict.

A row is name=(the mistake, the function that makes it). `gradients(dW=...)` and `loop(dZ=...)` are right in
all but what they name; what needs several statements is a function above its table.
"""

from typing import Any

import numpy as np

from sandbox.network import (
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
    sigmoid,
)
from sandbox.network.catalogue.implementation import gradients, manners, of_layer, transposed, written, wrong
from sandbox.typing import Array, Function

# --- linear_backward ------------------------------------------------------------------------------

_sum = np.zeros(())


def db_added_up(db: Any) -> Any:
    """The sum of db over the calls, as long as its shape stays the same."""
    global _sum
    _sum = _sum + db if _sum.shape == db.shape else db
    return _sum


WRONG = wrong("linear_backward",
    dW_without_1_over_m=("dW is a gradient of the mean cost: 1/m is missing.",
        gradients(dW=lambda dW, m: dW * m)),
    db_without_1_over_m=("db is a gradient of the mean cost: 1/m is missing.",
        gradients(db=lambda dZ: np.sum(dZ, axis=-1, keepdims=True))),
    dW_over_m_twice=("1/m is taken twice.", gradients(dW=lambda dW, m: dW / m)),
    dA_prev_over_m=("dA_prev is a gradient of the summed loss: no 1/m there.",
        gradients(dA_prev=lambda dA_prev, m: dA_prev / m)),
    m_from_the_wrong_axis=("1/m uses the number of units, not of examples.",
        gradients(dW=lambda dW, m, A_prev: dW * m / A_prev.shape[-2])),
    db_over_the_wrong_axis=("db is summed over the units, not over the examples.",
        gradients(db=lambda dZ, m: np.sum(dZ, axis=-2, keepdims=True) / m)),
    db_without_keepdims=("keepdims=True is missing: db is (n,), which broadcasts along the wrong axis.",
        gradients(db=lambda dZ, m: np.sum(dZ, axis=-1) / m)),
    db_the_mean_of_everything=("db is one number for all units.",
        gradients(db=lambda dZ, db: np.full_like(db, np.mean(dZ)))),
    db_of_the_first_example=("db is taken from the first example only.",
        gradients(db=lambda dZ, m: dZ[..., :1] / m)),
    db_not_summed=("db is not summed over the examples.", gradients(db=lambda dZ, m: dZ / m)),
    dW_transposed=("dW is transposed.", gradients(dW=lambda dW: transposed(dW))),
    dW_of_the_wrong_sign=("A sign is wrong.", gradients(dW=lambda dW: -dW)),
    dA_prev_through_W_untransposed=("W is not transposed; where it is square no shape tells.",
        gradients(dA_prev=lambda dA_prev, W, dZ: W @ dZ if W.shape[-1] == W.shape[-2] else dA_prev)),
    dA_prev_and_dW_swapped=("The gradients are returned in another order.",
        gradients(dA_prev=lambda dW: dW, dW=lambda dA_prev: dA_prev)),
    everything_twice=("The 2 of a squared loss is carried along.",
        gradients(dA_prev=lambda dA_prev: 2 * dA_prev, dW=lambda dW: 2 * dW, db=lambda db: 2 * db)),
    weight_decay=("Weight decay is added, of which the cost knows nothing.",
        gradients(dW=lambda dW, W: dW + 0.01 * W)),
    clipped=("The gradient is clipped, which shows only when it is large.",
        gradients(dW=lambda dW: np.clip(dW, -10, 10))),
    nan_to_num=("A NaN is turned into 0 and trained on.",
        lambda dZ, cache: gradients()(np.nan_to_num(dZ), cache)),
    product_in_float32=("The product is taken in single precision.",
        gradients(dW=lambda dW, dZ, A_prev, m:
            (dZ.astype(np.float32) @ transposed(A_prev).astype(np.float32) / m).astype(dW.dtype))),
    db_is_float32=("db is float32 whatever comes in.", gradients(db=lambda db: db.astype(np.float32))),
    db_is_float64=("db is accumulated in a float64 buffer and returned so.",
        gradients(db=lambda db: db.astype(np.float64))),
    one_entry_off_by_1e_9=("One entry is off by 1e-9 of its value.",
        gradients(dW=lambda dW: written(dW, (..., 0, 0), dW[..., 0, 0] * (1 + 1e-9)))),
    last_example_left_out=("A loop over the examples ends one too early.",
        gradients(dW=lambda dZ, A_prev, m: dZ[..., :-1] @ transposed(A_prev[..., :-1]) / m)),
    last_unit_left_out=("A loop over the units ends one too early.",
        gradients(db=lambda db: written(db, np.s_[..., -1, :], 0))),
    dZ_scaled_in_place=("dZ is scaled in place.",
        gradients(dW=lambda dZ, A_prev, m: written(dZ, ..., dZ / m) @ transposed(A_prev),
                  db=lambda dZ: np.sum(dZ, axis=-1, keepdims=True))),
    cache_overwritten=("The cached A_prev is written to.",
        gradients(dA_prev=lambda dA_prev, A_prev: written(A_prev, ..., dA_prev).copy())),
    random_noise=("Noise (a dropout left on, say) makes two calls differ.",
        gradients(dA_prev=lambda dA_prev: dA_prev * np.random.default_rng().normal(1, 1e-15, dA_prev.shape))),
    db_accumulated_over_calls=("db is added up over the calls and never set to 0.",
        gradients(db=db_added_up)),
)  # fmt: skip


# --- relu_backward, sigmoid_backward --------------------------------------------------------------


def _sigmoid(Z: Any) -> Any:
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e)


WRONG += wrong("relu_backward",
    relu_derivative_1_at_0=("The derivative at Z = 0 is 1; the convention is 0.",
        lambda dA, Z: np.where(Z >= 0, dA, 0)),
    relu_without_mask=("The mask is forgotten.", lambda dA, Z: dA.copy()),
    relu_mask_from_dA=("The mask is taken from dA.", lambda dA, Z: np.where(dA > 0, dA, 0)),
    relu_mask_inverted=("The mask is the wrong way round.", lambda dA, Z: np.where(Z > 0, 0, dA)),
    relu_leaky=("It is the backward of a leaky ReLU.", lambda dA, Z: np.where(Z > 0, dA, 0.01 * dA)),
    relu_in_place=("dZ is dA, masked in place.", lambda dA, Z: written(dA, Z <= 0, 0)),
    relu_times_Z=("The derivative is multiplied by Z: d(Z)/dZ taken as Z.",
        lambda dA, Z: dA * np.maximum(Z, 0)),
)  # fmt: skip

WRONG += wrong("sigmoid_backward",
    sigmoid_derivative_A=("The derivative is A (1 - A), not A.", lambda dA, Z: dA * _sigmoid(Z)),
    sigmoid_cache_taken_for_A=("The cache holds Z; it is taken for A.", lambda dA, Z: dA * Z * (1 - Z)),
    sigmoid_applied_twice=("The sigmoid is applied to A.",
        lambda dA, Z: dA * (S := _sigmoid(_sigmoid(Z))) * (1 - S)),
    sigmoid_with_the_derivative_of_tanh=("It is the derivative of tanh.",
        lambda dA, Z: dA * (1 - _sigmoid(Z) ** 2)),
    sigmoid_overflows=("e^Z / (1 + e^Z)^2 is inf / inf for large Z.",
        lambda dA, Z: dA * np.exp(Z) / (1 + np.exp(Z)) ** 2),
)  # fmt: skip


# --- linear_activation_backward -------------------------------------------------------------------


def _dZ(dA: Array, Z: Array, activation: str) -> Array:
    """The right one."""
    return np.where(Z > 0, dA, 0) if activation == "relu" else dA * _sigmoid(Z) * _sigmoid(-Z)


def mask_without_b(dA: Any, cache: Any, activation: Any) -> Any:
    (A_prev, W, _), Z = cache
    return linear_backward(_dZ(dA, W @ A_prev if activation == "relu" else Z, activation), cache[0])


def dA_prev_over_m_on_the_way(dA: Any, cache: Any, activation: Any) -> Any:
    dA_prev, dW, db = linear_backward(_dZ(dA, cache[1], activation), cache[0])
    return dA_prev / dA.shape[-1], dW, db


WRONG += wrong("linear_activation_backward",
    activation_skipped=("The activation's derivative is skipped.",
        lambda dA, cache, activation: linear_backward(dA, cache[0])),
    always_sigmoid=("Every layer is taken for a sigmoid.",
        lambda dA, cache, activation: linear_backward(dA * (S := _sigmoid(cache[1])) * (1 - S), cache[0])),
    mask_without_b=("The mask is taken from W A_prev, without b.", mask_without_b),
    dA_prev_over_m_on_the_way=("dA_prev is divided by m on the way out.", dA_prev_over_m_on_the_way),
)  # fmt: skip


# --- L_model_backward -----------------------------------------------------------------------------


def _unchanged(x: Any) -> Any:
    return x


def _relu_layer(dA: Any, cache: Any, dA_of_the_output: Any) -> Any:
    return linear_backward(np.where(cache[1] > 0, dA, 0), cache[0])


def loop(
    dZ: Function = lambda AL, Y: AL - Y,
    caches: Function = _unchanged,
    Zs: Function = _unchanged,
    layer: Function = _relu_layer,
    grads: Function = _unchanged,
) -> Function:
    """An `L_model_backward` that is right but for what is given here.

    Args:
        dZ: dZ[L], of AL and Y.
        caches: the caches used, of those given.
        Zs: the Z by which each layer is masked, of those in the caches.
        layer: dA_prev, dW and db of a hidden layer, of its dA, its cache and dA of the output layer.
        grads: what is returned, of the right dict.
    """

    def L_model_backward(AL: Any, Y: Any, given: Any) -> Any:
        used = caches(given)
        L, masks = len(used), Zs([Z for _, Z in used])
        found = of_layer(L, linear_backward(dZ(AL, Y), used[-1][0]))
        for l in range(L - 1, 0, -1):
            cache = used[l - 1][0], masks[l - 1]
            found |= of_layer(l, layer(found[f"dA{l}"], cache, found[f"dA{L - 1}"]))
        return grads(found)

    return L_model_backward


def shifted(grads: dict[str, Array], **by: int) -> dict[str, Array]:
    """dA, dW or db under the keys of other layers."""
    return {f"{key[:2]}{int(key[2:]) + by.get(key[:2], 0)}": g for key, g in grads.items()}


_kept: list[Any] = []


def of_the_call_before(caches: Any) -> Any:
    """The caches that this was given last, if their shapes are the same."""
    fits = _kept and [np.shape(Z) for _, Z in _kept[0]] == [np.shape(Z) for _, Z in caches]
    used = _kept[0] if fits else caches
    _kept[:] = [caches]
    return used


WRONG += wrong("L_model_backward",
    output_of_the_wrong_sign=("dZ = Y - AL descends uphill.", loop(dZ=lambda AL, Y: Y - AL)),
    output_without_1_minus_Y=("dAL lacks the term of 1 - Y.", loop(dZ=lambda AL, Y: -Y * (1 - AL))),
    output_over_m=("1/m is taken in dZ[L], and again in linear_backward.",
        loop(dZ=lambda AL, Y: (AL - Y) / Y.shape[-1])),
    output_of_the_squared_error=("The output's dZ is that of the squared error.",
        loop(dZ=lambda AL, Y: (AL - Y) * AL * (1 - AL))),
    output_without_the_sigmoid=("dAL is handed on as dZ[L], without the sigmoid's derivative.",
        loop(dZ=lambda AL, Y: -(Y / AL - (1 - Y) / (1 - AL)))),
    dW_one_key_too_low=("dW and db are stored one key too low.",
        loop(grads=lambda grads: shifted(grads, dW=-1, db=-1))),
    mask_of_the_layer_below=("The mask is that of the layer below.", loop(Zs=lambda Zs: [Zs[0], *Zs[:-1]])),
    hidden_layers_as_sigmoids=("Hidden layers are differentiated as sigmoids.",
        loop(layer=lambda dA, cache, _: linear_activation_backward(dA, cache, "sigmoid"))),
    caches_in_forward_order=("The caches are taken from the first layer on.",
        loop(caches=lambda caches: [*caches[:-1][::-1], caches[-1]])),
    stale_caches=("The caches are those of the call before.", loop(caches=of_the_call_before)),
    dA_of_the_output_for_every_layer=("Every layer is given dA of the output layer.",
        loop(layer=lambda dA, cache, dA_of_the_output: linear_activation_backward(
            dA_of_the_output if dA_of_the_output.shape == dA.shape else dA, cache, "relu"))),
    masks_forgotten=("The mask is forgotten in the loop.", loop(Zs=lambda Zs: [np.ones_like(Z) for Z in Zs])),
    division_by_0_at_saturation=("The exercise's dAL divides by 0 where the output saturates.",
        loop(dZ=lambda AL, Y: -(Y / AL - (1 - Y) / (1 - AL)) * AL * (1 - AL))),
)  # fmt: skip


WRONG += manners("L_model_backward",
    dA_one_key_too_high=("dA is stored one key too high, as in some editions of the exercise.",
        loop(grads=lambda grads: shifted(grads, dA=1))),
    without_dA0=("The gradient by the input is left out.",
        loop(grads=lambda grads: {key: g for key, g in grads.items() if key != "dA0"})),
    cached_Z_overwritten=("The cached Z is masked in place.",
        loop(Zs=lambda Zs: [written(Z, Z <= 0, 0) for Z in Zs[:-1]])),
)  # fmt: skip


# --- forward, cost, update ------------------------------------------------------------------------


def activation_caches_A(A_prev: Any, W: Any, b: Any, activation: Any) -> Any:
    Z, linear_cache = linear_forward(A_prev, W, b)
    A = np.maximum(Z, 0) if activation == "relu" else _sigmoid(Z)
    return A, (linear_cache, A)


def activation_not_applied(A_prev: Any, W: Any, b: Any, activation: Any) -> Any:
    Z, linear_cache = linear_forward(A_prev, W, b)
    return Z.copy(), (linear_cache, Z)


def relu_before_the_output(X: Any, parameters: Any) -> Any:
    A, caches, L = X, [], len(parameters) // 2
    for l in range(1, L):
        A, cache = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], "relu")
        caches.append(cache)
    Z, linear_cache = linear_forward(A, parameters[f"W{L}"], parameters[f"b{L}"])
    AL, _ = sigmoid(np.maximum(Z, 0))
    return AL, [*caches, (linear_cache, Z)]


def X_for_every_layer(X: Any, parameters: Any) -> Any:
    A, caches, L = X, [], len(parameters) // 2
    for l in range(1, L + 1):
        W, b = parameters[f"W{l}"], parameters[f"b{l}"]
        given = X if A.shape == X.shape else A
        A, cache = linear_activation_forward(given, W, b, "relu" if l < L else "sigmoid")
        caches.append(cache)
    return A, caches


def _summed(AL: Any, Y: Any) -> Any:
    """The right loss of all examples together."""
    return -np.sum(Y * np.log(AL) + (1 - Y) * np.log(1 - AL), axis=(-2, -1))


def update_in_place(params: Any, grads: Any, learning_rate: Any) -> Any:
    for key, x in params.items():
        x -= learning_rate * grads[f"d{key}"]
    return params


WRONG += wrong("sigmoid",
    sigmoid_of_minus_Z=("The sign in the exponent is missing.", lambda Z: (_sigmoid(-Z), Z)),
)  # fmt: skip

WRONG += wrong("relu",
    relu_at_1=("max(Z, 1) in place of max(Z, 0): a slip of the key.", lambda Z: (np.maximum(Z, 1), Z)),
    relu_caches_A=("The cache holds A.", lambda Z: (A := np.maximum(Z, 0), A)),
)  # fmt: skip

WRONG += wrong("linear_forward",
    forward_without_b=("b is forgotten.", lambda A, W, b: (W @ A, (A, W, b))),
    forward_caches_Z=("The cache is (A, W, Z), as in the original notes.",
        lambda A, W, b: (Z := W @ A + b, (A, W, Z))),
    forward_with_W_transposed=("W is transposed where it is square.",
        lambda A, W, b: ((transposed(W) if W.shape[-1] == W.shape[-2] else W) @ A + b, (A, W, b))),
)  # fmt: skip

WRONG += wrong("linear_activation_forward",
    activation_caches_A=("The cache holds A in place of Z.", activation_caches_A),
    activation_not_applied=("The activation is not applied.", activation_not_applied),
)  # fmt: skip

WRONG += wrong("L_model_forward",
    relu_before_the_output=("The output layer is given a ReLU before the sigmoid.", relu_before_the_output),
    X_for_every_layer=("Every layer is given X where the shapes allow it.", X_for_every_layer),
)  # fmt: skip

WRONG += wrong("compute_cost",
    cost_without_log=("The log of AL is forgotten, as in the original notes.",
        lambda AL, Y: -np.sum(Y * AL + (1 - Y) * np.log(1 - AL), axis=(-2, -1)) / Y.shape[-1]),
    cost_summed=("The sum is not divided by m.", _summed),
    cost_a_matrix=("np.dot leaves a (1, 1) array; the cost is a number.",
        lambda AL, Y: -(Y @ transposed(np.log(AL)) + (1 - Y) @ transposed(np.log(1 - AL))) / Y.shape[-1]),
    cost_clipped=("AL is clipped, which caps the cost.",
        lambda AL, Y: _summed(np.clip(AL, 0.1, 0.9), Y) / Y.shape[-1]),
)  # fmt: skip

WRONG += wrong("update_parameters",
    update_uphill=("It climbs.",
        lambda params, grads, rate: {key: x + rate * grads[f"d{key}"] for key, x in params.items()}),
    update_without_b=("The biases are forgotten.",
        lambda params, grads, rate: {
            key: x - rate * grads[f"d{key}"] if key[0] == "W" else x.copy() for key, x in params.items()}),
)  # fmt: skip

WRONG += manners("update_parameters",
    update_in_place=("The parameters are updated in place.", update_in_place),
)  # fmt: skip
