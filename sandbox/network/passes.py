"""The exercise's functions: each validates at the boundary, then calls a kernel that is nothing but the
mathematics and trusts. For shapes, and whose gradient it is, see `sandbox.network`.

Kernels find each other by their names here and activations in their table, at the time of the call: so a
check sees every call, and puts another function in a kernel's place.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from sandbox.network import validation
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Array, ArrayLike, Cache, Gradients, LinearCache, Parameters, RandomState, Scheme

# --- parameters -----------------------------------------------------------------------------


def initialize_parameters(n_x: int, n_h: int, n_y: int, *, rng: RandomState = None) -> Parameters:
    """Parameters of a 2-layer network, W ~ 0.01 N(0, 1) and b = 0 in float64.

    Args:
        n_x, n_h, n_y: units of the input, the hidden layer and the output.
        rng: None draws from NumPy's global state (call `np.random.seed` before, as the exercise
            does); an int seeds a new Generator; a Generator or RandomState is used as it is.

    Returns:
        W1 (n_h, n_x), b1 (n_h, 1), W2 (n_y, n_h), b2 (n_y, 1).
    """
    return initialize_parameters_deep((n_x, n_h, n_y), rng=rng)


def initialize_parameters_deep(
    layer_dims: Sequence[int],
    *,
    rng: RandomState = None,
    scheme: Scheme = "small",
    dtype: Any = np.float64,
) -> Parameters:
    """Parameters of an L-layer network, W[l] ~ scale N(0, 1) and b[l] = 0.

    Args:
        layer_dims: (n_0, n_1, ..., n_L).
        rng: as in `initialize_parameters`.
        scheme: the scale. "small" is 0.01, the exercise's; "he" is sqrt(2 / n_{l-1}) (He et al.,
            2015, arXiv:1502.01852, eq. 10); "inverse_sqrt" is 1 / sqrt(n_{l-1}) (LeCun et al.,
            *Efficient BackProp*, 1998, section 4.6).
        dtype: drawn in float64, then rounded to this, so that float32 starts at the same point.

    Returns:
        W{l} (n_l, n_{l-1}) and b{l} (n_l, 1) for l = 1..L.
    """
    dims = validation.check_layer_dims(layer_dims)
    validation.check_name("scheme", scheme, get_args(Scheme))
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype is {np.dtype(dtype)}, expected a float type such as float64 or float32.")
    standard_normal = _standard_normal(rng)
    parameters: Parameters = {}
    for l, (n_prev, n) in enumerate(itertools.pairwise(dims), start=1):
        scale = {"small": 0.01, "he": np.sqrt(2 / n_prev), "inverse_sqrt": 1 / np.sqrt(n_prev)}[scheme]
        parameters[f"W{l}"] = (standard_normal((n, n_prev)) * scale).astype(dtype)
        parameters[f"b{l}"] = np.zeros((n, 1), dtype)
    return parameters


def _standard_normal(rng: RandomState) -> Any:
    if rng is None:
        return np.random.standard_normal
    if isinstance(rng, np.random.Generator | np.random.RandomState):
        return rng.standard_normal
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        return np.random.default_rng(rng).standard_normal
    raise TypeError(
        f"rng is a {type(rng).__name__}, expected None (NumPy's global state), a whole number, "
        "a numpy.random.Generator or a numpy.random.RandomState."
    )


# --- activations ----------------------------------------------------------------------------


def relu(Z: ArrayLike) -> tuple[Array, Array]:
    """A = max(0, Z), of any shape, and the activation cache Z."""
    return ACTIVATIONS["relu"].forward(validation.as_floats("Z", Z))


def relu_backward(dA: ArrayLike, cache: Array) -> Array:
    """dZ = dA where Z > 0, else 0 (at Z = 0 by convention); Z is the activation cache, dA has its shape."""
    return ACTIVATIONS["relu"].backward(*validation.as_cotangent(dA, cache))


def sigmoid(Z: ArrayLike) -> tuple[Array, Array]:
    """A = 1 / (1 + e^-Z), of any shape, and the activation cache Z.

    The relative error stays at a few units in the last place down to the smallest normal number, and no
    finite Z raises a warning.
    """
    return ACTIVATIONS["sigmoid"].forward(validation.as_floats("Z", Z))


def sigmoid_backward(dA: ArrayLike, cache: Array) -> Array:
    """dZ = dA * A (1 - A) with A = sigmoid(Z); Z is the activation cache, dA has its shape."""
    return ACTIVATIONS["sigmoid"].backward(*validation.as_cotangent(dA, cache))


# --- one layer ------------------------------------------------------------------------------


def linear_forward(A: ArrayLike, W: ArrayLike, b: ArrayLike) -> tuple[Array, LinearCache]:
    """Z = W A + b of shape (..., n_l, m), and the linear cache (A, W, b), the arrays themselves.

    Args:
        A: (..., n_prev, m). W: (..., n_l, n_prev). b: (..., n_l, 1).
    """
    return _linear_forward(*validation.as_linear(A, W, b))


def _linear_forward(A: Array, W: Array, b: Array) -> tuple[Array, LinearCache]:
    return W @ A + b, (A, W, b)


def linear_backward(dZ: ArrayLike, cache: LinearCache) -> tuple[Array, Array, Array]:
    """dA_prev = W^T dZ,  dW = (1/m) dZ A_prev^T,  db = (1/m) sum_i dZ_i.

    dZ and dA_prev are gradients of the summed loss m J, dW and db of the mean cost J.

    Args:
        dZ: (..., n_l, m).
        cache: (A_prev, W, b) from `linear_forward`.

    Returns:
        dA_prev (..., n_prev, m), dW (..., n_l, n_prev), db (..., n_l, 1).
    """
    dZ = validation.as_matrix("dZ", dZ)
    return _linear_backward(dZ, validation.as_linear_cache(cache, "dZ", dZ))


def _linear_backward(dZ: Array, cache: LinearCache) -> tuple[Array, Array, Array]:
    A_prev, W, _ = cache
    m = A_prev.shape[-1]
    dA_prev = W.mT @ dZ
    dW = dZ @ A_prev.mT / m
    db = dZ.sum(axis=-1, keepdims=True) / m
    return dA_prev, dW, db


def linear_activation_forward(
    A_prev: ArrayLike, W: ArrayLike, b: ArrayLike, activation: str
) -> tuple[Array, Cache]:
    """A = g(W A_prev + b) of shape (..., n_l, m) with g = `activation`, "relu" or "sigmoid"; and the cache
    ((A_prev, W, b), Z)."""
    validation.check_name("activation", activation, ACTIVATIONS)
    return _linear_activation_forward(*validation.as_linear(A_prev, W, b), activation)


def _linear_activation_forward(A_prev: Array, W: Array, b: Array, activation: str) -> tuple[Array, Cache]:
    Z, linear_cache = _linear_forward(A_prev, W, b)
    A, activation_cache = ACTIVATIONS[activation].forward(Z)
    return A, (linear_cache, activation_cache)


def linear_activation_backward(dA: ArrayLike, cache: Cache, activation: str) -> tuple[Array, Array, Array]:
    """dZ = dA * g'(Z) with g = `activation`, then `linear_backward`.

    Args:
        dA: (..., n_l, m), gradient of the summed loss.
        cache: ((A_prev, W, b), Z) from `linear_activation_forward`.

    Returns:
        dA_prev (of the summed loss), dW and db (of the mean cost), as `linear_backward`.
    """
    validation.check_name("activation", activation, ACTIVATIONS)
    linear_cache, Z = validation.unpack("cache", cache, "(linear_cache, activation_cache)")
    dA, Z = validation.as_cotangent(dA, Z)
    linear_cache = validation.as_linear_cache(linear_cache, "dA", dA)
    return _linear_activation_backward(dA, (linear_cache, Z), activation)


def _linear_activation_backward(dA: Array, cache: Cache, activation: str) -> tuple[Array, Array, Array]:
    linear_cache, Z = cache
    dZ = ACTIVATIONS[activation].backward(dA, Z)
    return _linear_backward(dZ, linear_cache)


# --- the network ----------------------------------------------------------------------------


def L_model_forward(
    X: ArrayLike, parameters: Mapping[str, ArrayLike], *, activation: str = "relu"
) -> tuple[Array, list[Cache]]:
    """A[l] = g(W[l] A[l-1] + b[l]) for l = 1..L-1 with g = `activation`, AL = sigmoid(W[L] A[L-1] + b[L]).

    Args:
        X: (..., n_0, m).
        parameters: W1, b1, ..., WL, bL.

    Returns:
        AL (..., 1, m) and the L caches ((A[l-1], W[l], b[l]), Z[l]).
    """
    validation.check_name("activation", activation, ACTIVATIONS)
    A, (*hidden, output) = validation.as_network(X, parameters)
    caches = []
    for W, b in hidden:
        A, cache = _linear_activation_forward(A, W, b, activation)
        caches.append(cache)
    AL, cache = _linear_activation_forward(A, *output, "sigmoid")
    return AL, [*caches, cache]


def compute_cost(AL: ArrayLike, Y: ArrayLike, *, cost: str = "cross_entropy") -> Any:
    """J = -(1/m) sum_i ( y_i log a_i + (1 - y_i) log(1 - a_i) ), with 0 log 0 = 0, or another `cost`.

    Args:
        AL: (..., 1, m), probabilities in [0, 1]. Y: (..., 1, m), targets in [0, 1].

    Returns:
        A scalar of AL's dtype (an array of the stack's shape for a stack); infinite where an
        example with y > 0 has a = 0 or one with y < 1 has a = 1.
    """
    validation.check_name("cost", cost, COSTS)
    AL, Y = validation.as_outputs(AL, Y)
    validation.check_probabilities(AL)
    return COSTS[cost].forward(AL, Y)


def compute_cost_from_logits(ZL: ArrayLike, Y: ArrayLike, *, cost: str = "cross_entropy") -> Any:
    """J of AL = sigmoid(ZL), in ZL's dtype; the cross-entropy is finite for every finite ZL.

    Args:
        ZL: (..., 1, m), the output layer's Z. Y: (..., 1, m), targets in [0, 1].
    """
    validation.check_name("cost", cost, COSTS)
    ZL, Y = validation.as_outputs(ZL, Y, "ZL")
    if (from_logits := COSTS[cost].from_logits) is not None:
        return from_logits(ZL, Y)
    AL, _ = ACTIVATIONS["sigmoid"].forward(ZL)
    return COSTS[cost].forward(AL, Y)


def L_model_backward(
    AL: ArrayLike,
    Y: ArrayLike,
    caches: Sequence[Cache],
    *,
    activation: str = "relu",
    cost: str = "cross_entropy",
) -> Gradients:
    """dAL = -(Y / AL - (1 - Y) / (1 - AL)), or that of another `cost`; then backwards, layer by layer.

    Where AL is the sigmoid of the cached Z[L], the cross-entropy's step through the sigmoid is taken in
    one, exactly and at any |Z|; elsewhere (an AL of one's own) by the formula above.

    Args:
        AL, Y: (..., 1, m). caches: from `L_model_forward`, with the same `activation`.

    Returns:
        dA{l} for l = 0..L-1 (the gradient of the summed loss by A[l], A[0] = X), dW{l} and db{l}
        for l = 1..L (of the mean cost).
    """
    validation.check_name("activation", activation, ACTIVATIONS)
    validation.check_name("cost", cost, COSTS)
    AL, Y = validation.as_outputs(AL, Y)
    caches, L = validation.check_caches(caches, AL), len(caches)

    grads: Gradients = {}
    grads[f"dA{L - 1}"], grads[f"dW{L}"], grads[f"db{L}"] = _output_backward(AL, Y, caches[-1], cost)
    for l in range(L - 1, 0, -1):
        gradients = _linear_activation_backward(grads[f"dA{l}"], caches[l - 1], activation)
        grads[f"dA{l - 1}"], grads[f"dW{l}"], grads[f"db{l}"] = gradients
    return grads


def _output_backward(AL: Array, Y: Array, cache: Cache, cost: str) -> tuple[Array, Array, Array]:
    linear_cache, ZL = cache
    if (through_sigmoid := COSTS[cost].through_sigmoid) is not None:
        return _linear_backward(through_sigmoid(AL, Y, ZL), linear_cache)
    return _linear_activation_backward(COSTS[cost].backward(AL, Y), cache, "sigmoid")


def update_parameters(
    params: Mapping[str, ArrayLike], grads: Mapping[str, ArrayLike], learning_rate: ArrayLike
) -> Parameters:
    """W[l] - learning_rate dW[l] and b[l] - learning_rate db[l], in a new dict.

    Args:
        params: W1, b1, ..., WL, bL; left as they are.
        grads: dW{l} and db{l} for every layer; other keys (dA{l}) are not used.
        learning_rate: a finite number, or one for each network of a stack, of the stack's shape.
    """
    step = zip(params, validation.as_step(params, grads, learning_rate), strict=True)
    return {key: theta - alpha * dtheta for key, (theta, dtheta, alpha) in step}
