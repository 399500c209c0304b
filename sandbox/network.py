"""The hand-written passes of an L-layer network: the system under test.

    [LINEAR -> RELU] x (L-1) -> LINEAR -> SIGMOID, with the cross-entropy cost

Notation. Examples are columns: X = A[0] is (n_0, m), W[l] is (n_l, n_{l-1}), b[l] is (n_l, 1),
Z[l] and A[l] are (n_l, m), Y and AL = A[L] are (1, m). Depth L counts the layers with parameters.

Whose gradient? **dA and dZ are gradients of the summed loss, sum_i L_i = m J; dW and db are
gradients of the mean cost J.** The factor 1/m enters once, in `linear_backward`.

Stacks. Every function also takes stacks of networks: leading axes before the last two, broadcast
as NumPy does. Every network of a stack gets gradients of its own.

The dtype that comes in goes out. Functions and caches follow the exercise "Building your deep
neural network: step by step"; the derivation is chapter 6.5 of Goodfellow, Bengio and Courville,
*Deep Learning* (2016).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from sandbox.typing import (
    Activation,
    Array,
    ArrayLike,
    Cache,
    Gradients,
    LinearCache,
    Parameters,
    RandomState,
    Scheme,
)
from sandbox.validation import (
    as_matrix,
    as_targets,
    check_caches,
    check_layer_dims,
    check_linear,
    check_parameters,
    check_same_matrix,
    check_stacks,
    unpack,
)

# --- parameters -----------------------------------------------------------------------------


def initialize_parameters(n_x: int, n_h: int, n_y: int, *, rng: RandomState = None) -> Parameters:
    """Parameters of a 2-layer network: W ~ 0.01 N(0, 1), b = 0, in float64.

    Args:
        n_x, n_h, n_y: units of the input, the hidden layer and the output.
        rng: None draws from NumPy's global state (call `np.random.seed` before, as the exercise
            does); an int seeds a new Generator; a Generator or RandomState is used as it is.

    Returns:
        W1 (n_h, n_x), b1 (n_h, 1), W2 (n_y, n_h), b2 (n_y, 1).

    Raises:
        TypeError, ValueError: a size is not a positive whole number, or `rng` is something else.
    """
    return initialize_parameters_deep((n_x, n_h, n_y), rng=rng)


def initialize_parameters_deep(
    layer_dims: Sequence[int],
    *,
    rng: RandomState = None,
    scheme: Scheme = "small",
    dtype: Any = np.float64,
) -> Parameters:
    """Parameters of an L-layer network: W[l] ~ scale N(0, 1), b[l] = 0.

    Args:
        layer_dims: (n_0, n_1, ..., n_L).
        rng: as in `initialize_parameters`.
        scheme: the scale. "small" is 0.01, the exercise's; "he" is sqrt(2 / n_{l-1}) (He et al.,
            2015, arXiv:1502.01852, eq. 10); "inverse_sqrt" is 1 / sqrt(n_{l-1}) (LeCun et al.,
            *Efficient BackProp*, 1998, section 4.6).
        dtype: drawn in float64, then rounded to this, so that float32 starts at the same point.

    Returns:
        W{l} (n_l, n_{l-1}) and b{l} (n_l, 1) for l = 1..L.

    Raises:
        TypeError, ValueError: an argument is not of the kinds above.
    """
    dims = check_layer_dims(layer_dims)
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}, expected one of {', '.join(map(repr, get_args(Scheme)))}.")
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


# --- activations: g and, beside it, dZ = dA * g'(Z) --------------------------------------------


def sigmoid(Z: ArrayLike) -> tuple[Array, Array]:
    """A = 1 / (1 + e^-Z), of any shape, and the activation cache Z.

    Computed from e^-|Z| <= 1, which cannot overflow: the relative error stays at a few units in
    the last place down to the smallest normal number, and no finite Z raises a warning.
    """
    Z = _as_real("Z", Z)
    # Underflow of e^-|Z| to 0 is the correctly rounded answer, even under np.errstate(all="raise").
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(Z))
        return np.where(Z >= 0, 1, e) / (1 + e), Z


def sigmoid_backward(dA: ArrayLike, cache: Array) -> Array:
    """dZ = dA * A (1 - A) with A = sigmoid(Z); Z is the activation cache, dA has its shape.

    1 - A is taken as sigmoid(-Z), which keeps its digits where A rounds to 1.

    Raises:
        ValueError: the shapes of dA and Z differ.
    """
    dA, Z = _as_cotangent(dA, cache)
    with np.errstate(under="ignore"):
        dZ: Array = dA * (sigmoid(Z)[0] * sigmoid(-Z)[0])
    return dZ


def relu(Z: ArrayLike) -> tuple[Array, Array]:
    """A = max(0, Z), of any shape, and the activation cache Z."""
    Z = _as_real("Z", Z)
    return np.maximum(Z, 0), Z


def relu_backward(dA: ArrayLike, cache: Array) -> Array:
    """dZ = dA where Z > 0, else 0; Z is the activation cache, dA has its shape.

    At Z = 0 every value in [0, 1] is a subgradient; the convention is 0.

    Raises:
        ValueError: the shapes of dA and Z differ.
    """
    dA, Z = _as_cotangent(dA, cache)
    return np.where(Z > 0, dA, 0)


def _activation(activation: str) -> tuple[Any, Any]:
    """The pair (forward, backward), looked up at the time of the call."""
    if activation == "relu":
        return relu, relu_backward
    if activation == "sigmoid":
        return sigmoid, sigmoid_backward
    raise ValueError(f"activation is {activation!r}, expected 'relu' or 'sigmoid'.")


# --- one layer ------------------------------------------------------------------------------


def linear_forward(A: ArrayLike, W: ArrayLike, b: ArrayLike) -> tuple[Array, LinearCache]:
    """Z = W A + b.

    Args:
        A: (..., n_prev, m). W: (..., n_l, n_prev). b: (..., n_l, 1).

    Returns:
        Z (..., n_l, m) and the linear cache (A, W, b), the arrays themselves.

    Raises:
        TypeError, ValueError: not numeric, or the shapes do not fit.
    """
    A, W, b = as_matrix("A", A), as_matrix("W", W), as_matrix("b", b)
    check_linear(A, W, b)
    return W @ A + b, (A, W, b)


def linear_backward(dZ: ArrayLike, cache: LinearCache) -> tuple[Array, Array, Array]:
    """dA_prev = W^T dZ,  dW = (1/m) dZ A_prev^T,  db = (1/m) sum_i dZ_i.

    dZ and dA_prev are gradients of the summed loss m J, dW and db of the mean cost J.

    Args:
        dZ: (..., n_l, m).
        cache: (A_prev, W, b) from `linear_forward`.

    Returns:
        dA_prev (..., n_prev, m), dW (..., n_l, n_prev), db (..., n_l, 1).

    Raises:
        TypeError, ValueError: not numeric, or the shapes do not fit.
    """
    A_prev, W, b = unpack("cache", cache, "(A_prev, W, b)")
    dZ, A_prev = as_matrix("dZ", dZ), as_matrix("cache A_prev", A_prev)
    W, b = as_matrix("cache W", W), as_matrix("cache b", b)
    check_linear(A_prev, W, b, names=("cache A_prev", "cache W", "cache b"))
    m = A_prev.shape[-1]
    if dZ.shape[-2:] != (W.shape[-2], m):
        raise ValueError(
            f"dZ has shape {dZ.shape}, expected (..., {W.shape[-2]}, {m}): one row for each of the "
            f"{W.shape[-2]} units of W {W.shape}, one column for each example of A_prev {A_prev.shape}."
        )
    check_stacks(dZ=dZ, A_prev=A_prev, W=W)
    dA_prev = np.swapaxes(W, -1, -2) @ dZ
    dW = dZ @ np.swapaxes(A_prev, -1, -2) / m
    db = np.sum(dZ, axis=-1, keepdims=True) / m
    return dA_prev, dW, db


def linear_activation_forward(
    A_prev: ArrayLike, W: ArrayLike, b: ArrayLike, activation: Activation
) -> tuple[Array, Cache]:
    """A = g(W A_prev + b) with g = `activation`, "relu" or "sigmoid".

    Returns:
        A (..., n_l, m) and the cache ((A_prev, W, b), Z).

    Raises:
        TypeError, ValueError: as `linear_forward`, or another activation.
    """
    g, _ = _activation(activation)
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = g(Z)
    return A, (linear_cache, activation_cache)


def linear_activation_backward(
    dA: ArrayLike, cache: Cache, activation: Activation
) -> tuple[Array, Array, Array]:
    """dZ = dA * g'(Z), then `linear_backward`.

    Args:
        dA: (..., n_l, m), gradient of the summed loss.
        cache: ((A_prev, W, b), Z) from `linear_activation_forward`.
        activation: "relu" or "sigmoid".

    Returns:
        dA_prev (of the summed loss), dW and db (of the mean cost), as `linear_backward`.

    Raises:
        TypeError, ValueError: as `linear_backward`, or another activation.
    """
    _, g_backward = _activation(activation)
    linear_cache, Z = unpack("cache", cache, "(linear_cache, activation_cache)")
    return linear_backward(g_backward(dA, Z), linear_cache)


# --- the network ----------------------------------------------------------------------------


def L_model_forward(X: ArrayLike, parameters: Mapping[str, ArrayLike]) -> tuple[Array, list[Cache]]:
    """A[l] = relu(W[l] A[l-1] + b[l]) for l = 1..L-1, then AL = sigmoid(W[L] A[L-1] + b[L]).

    Args:
        X: (..., n_0, m).
        parameters: W1, b1, ..., WL, bL.

    Returns:
        AL (..., 1, m) and the L caches ((A[l-1], W[l], b[l]), Z[l]).

    Raises:
        TypeError, ValueError: a key is missing or unknown, or shapes do not fit; the layer is named.
    """
    X, L = as_matrix("X", X), check_parameters(parameters)
    check_linear(
        X,
        np.asarray(parameters["W1"]),
        np.asarray(parameters["b1"]),
        names=("X", "parameters['W1'] (layer 1)", "parameters['b1'] (layer 1)"),
    )
    if np.shape(parameters[f"W{L}"])[-2] != 1:
        raise ValueError(
            f"parameters['W{L}'] (layer {L}, the output) has shape {np.shape(parameters[f'W{L}'])}, "
            "expected one row: the output layer has one unit."
        )
    A, caches = X, []
    for l in range(1, L):
        A, cache = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], "relu")
        caches.append(cache)
    AL, cache = linear_activation_forward(A, parameters[f"W{L}"], parameters[f"b{L}"], "sigmoid")
    caches.append(cache)
    return AL, caches


def compute_cost(AL: ArrayLike, Y: ArrayLike) -> Any:
    """J = -(1/m) sum_i ( y_i log a_i + (1 - y_i) log(1 - a_i) ), with 0 log 0 = 0.

    Args:
        AL: (..., 1, m), probabilities in [0, 1]. Y: (..., 1, m), targets in [0, 1].

    Returns:
        A scalar of AL's dtype (an array of the stack's shape for a stack); infinite where an
        example with y > 0 has a = 0 or one with y < 1 has a = 1.

    Raises:
        TypeError, ValueError: not numeric, shapes differ, AL or Y outside [0, 1].
    """
    AL = as_matrix("AL", AL)
    Y = as_targets(Y, AL)
    if AL.min() < 0 or AL.max() > 1:  # NaN passes: the cost of a diverged network is NaN
        raise ValueError(
            f"AL holds values from {AL.min()} to {AL.max()}, expected probabilities in [0, 1]; "
            "pass the output of the sigmoid."
        )
    m = AL.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_likelihood = np.where(Y > 0, Y * np.log(AL), 0) + np.where(Y < 1, (1 - Y) * np.log1p(-AL), 0)
    return -np.sum(log_likelihood, axis=(-2, -1)) / m


def compute_cost_from_logits(ZL: ArrayLike, Y: ArrayLike) -> Any:
    """J = (1/m) sum_i ( softplus(z_i) - y_i z_i ), the cross-entropy of sigmoid(ZL), finite for every
    finite ZL.

    With softplus(z) = max(z, 0) + log(1 + e^-|z|) nothing overflows, and for y = 1 the large terms
    max(z, 0) and y z cancel exactly.

    Args:
        ZL: (..., 1, m), the output layer's Z. Y: (..., 1, m), targets in [0, 1].

    Returns:
        A scalar of ZL's dtype (an array of the stack's shape for a stack).

    Raises:
        TypeError, ValueError: not numeric, shapes differ, Y outside [0, 1].
    """
    ZL = as_matrix("ZL", ZL)
    Y = as_targets(Y, ZL, name="ZL")
    m = ZL.shape[-1]
    with np.errstate(under="ignore"):
        loss = (np.maximum(ZL, 0) - Y * ZL) + np.log1p(np.exp(-np.abs(ZL)))
    return np.sum(loss, axis=(-2, -1)) / m


def L_model_backward(AL: ArrayLike, Y: ArrayLike, caches: Sequence[Cache]) -> Gradients:
    """dAL = -(Y / AL - (1 - Y) / (1 - AL)), then backwards through SIGMOID and the RELU layers.

    Where AL is the sigmoid of the cached Z[L], the step through the sigmoid is taken in one, exactly
    and at any |Z|; elsewhere (an AL of one's own) by the formula above.

    Args:
        AL, Y: (..., 1, m). caches: from `L_model_forward`.

    Returns:
        dA{l} for l = 0..L-1 (the gradient of the summed loss by A[l], A[0] = X), dW{l} and db{l}
        for l = 1..L (of the mean cost).

    Raises:
        TypeError, ValueError: not numeric, or shapes do not fit.
    """
    AL = as_matrix("AL", AL)
    Y = as_targets(Y, AL)
    caches = check_caches(caches)
    L = len(caches)
    linear_cache, ZL = caches[-1]
    check_same_matrix("AL", AL, f"caches[{L - 1}] Z (layer {L})", ZL)

    grads: Gradients = {}
    gradients = linear_backward(_output_dZ(AL, Y, ZL), linear_cache)
    grads[f"dA{L - 1}"], grads[f"dW{L}"], grads[f"db{L}"] = gradients
    for l in range(L - 1, 0, -1):
        gradients = linear_activation_backward(grads[f"dA{l}"], caches[l - 1], "relu")
        grads[f"dA{l - 1}"], grads[f"dW{l}"], grads[f"db{l}"] = gradients
    return grads


def _output_dZ(AL: Array, Y: Array, ZL: Array) -> Array:
    """dZ[L] = dAL * g'(Z[L]), of the summed loss.

    With AL = sigmoid(Z) this is AL - Y = (1 - Y) sigmoid(Z) - Y sigmoid(-Z); the latter form has no
    cancellation. "Is the sigmoid" allows for another implementation's rounding, (1 + tanh(Z/2)) / 2 say.
    """
    S, S_complement = sigmoid(ZL)[0], sigmoid(-ZL)[0]
    dZ = (1 - Y) * S - Y * S_complement
    own = np.abs(AL - S) > 8 * np.finfo(S.dtype).eps
    if own.any():
        a = np.where(own, AL, 0.5)  # 0.5 stands in where the formula is not used, lest it divide by 0
        dAL = -(Y / a - (1 - Y) / (1 - a))
        dZ = np.where(own, sigmoid_backward(dAL, np.broadcast_to(ZL, dAL.shape)), dZ)
    return np.asarray(dZ, dtype=AL.dtype if AL.dtype.kind == "f" else None)


def update_parameters(
    params: Mapping[str, ArrayLike], grads: Mapping[str, ArrayLike], learning_rate: ArrayLike
) -> Parameters:
    """W[l] - learning_rate dW[l] and b[l] - learning_rate db[l], in a new dict.

    Args:
        params: W1, b1, ..., WL, bL; left as they are.
        grads: dW{l} and db{l} for every layer; other keys (dA{l}) are not used.
        learning_rate: a number, or one for each network of a stack, of the stack's shape.

    Raises:
        TypeError, ValueError: a gradient is missing or has another shape; a learning rate is not
            finite or has another shape than the stack.
    """
    L = check_parameters(params, name="params")
    rate = _as_real("learning_rate", learning_rate)
    if not np.isfinite(rate).all():
        raise ValueError(f"learning_rate is {learning_rate!r}, expected finite numbers.")
    updated: Parameters = {}
    for key in (f"{kind}{l}" for l in range(1, L + 1) for kind in "Wb"):
        if f"d{key}" not in grads:
            raise ValueError(
                f"grads has no 'd{key}' (layer {key[1:]}), expected dW and db of every layer in params."
            )
        theta, dtheta = np.asarray(params[key]), as_matrix(f"grads['d{key}']", grads[f"d{key}"])
        if theta.shape != dtheta.shape:
            raise ValueError(
                f"grads['d{key}'] has shape {dtheta.shape}, expected {theta.shape}, the shape of "
                f"params['{key}'] (layer {key[1:]})."
            )
        if rate.ndim and rate.shape != theta.shape[:-2]:
            raise ValueError(
                f"learning_rate has shape {rate.shape}, expected a number or the stack's shape "
                f"{theta.shape[:-2]}, one for each network in params['{key}']."
            )
        dtype = theta.dtype if theta.dtype.kind == "f" else np.result_type(theta, dtheta, float)
        alpha = rate.astype(dtype)[..., np.newaxis, np.newaxis] if rate.ndim else rate.astype(dtype)
        updated[key] = (theta - alpha * dtheta).astype(dtype, copy=False)
    return updated


# --- boundary of the elementwise functions, which take any shape -------------------------------


def _as_real(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers.")
    # Whole numbers are taken as float64: -Z of an unsigned or boolean Z would be another number.
    return array if array.dtype.kind == "f" else array.astype(float)


def _as_cotangent(dA: ArrayLike, cache: Array) -> tuple[Array, Array]:
    dA, Z = _as_real("dA", dA), _as_real("cache (Z)", cache)
    if dA.shape[-2:] != Z.shape[-2:]:
        raise ValueError(
            f"dA has shape {dA.shape} and the cache (Z) has shape {Z.shape}; expected the same: "
            "dA is the gradient by A = g(Z)."
        )
    return dA, Z
