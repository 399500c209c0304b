"""The same equations in JAX, differentiated by `jax.vjp` and `jax.grad` and by nothing written by hand.

The functions have the names of the passes and of the entries of their tables. They take arrays flat, and
return outputs flat, those of a cache after the others; where the passes take the name of an activation or a
cost, they take the function: g of Z, or `cost` of the logits Z[L] and Y. A backward takes the point at which
to differentiate. They are pure, and are meant to be traced in float64.

Whose gradient? As in the passes: dA is the gradient of the summed loss m J, dW and db are gradients of the
mean cost J. JAX differentiates one function, so one of the two takes the factor m.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Function = Callable[..., Any]

sigmoid = jax.nn.sigmoid
tanh = jnp.tanh
relu = jax.nn.relu  # its derivative at 0 is 0, as is the convention here; that of jnp.maximum is 1/2


def identity(Z: Any) -> Any:
    """A = Z."""
    return Z


def mean_squared_error(AL: Any, Y: Any) -> Any:
    """J = (1/2m) sum_i (a_i - y_i)^2."""
    return jnp.sum((AL - Y) ** 2, axis=(-2, -1)) / (2 * AL.shape[-1])


def cross_entropy(AL: Any, Y: Any) -> Any:
    """J = -(1/m) sum_i ( y_i log a_i + (1 - y_i) log(1 - a_i) ), with 0 log 0 = 0."""
    likelihood = jnp.where(Y > 0, Y * jnp.log(jnp.where(Y > 0, AL, 1)), 0)
    likelihood += jnp.where(Y < 1, (1 - Y) * jnp.log(jnp.where(Y < 1, 1 - AL, 1)), 0)
    return -jnp.sum(likelihood, axis=(-2, -1)) / AL.shape[-1]


def cross_entropy_from_logits(ZL: Any, Y: Any) -> Any:
    """J = (1/m) sum_i ( softplus(z_i) - y_i z_i ), the cross-entropy of sigmoid(ZL)."""
    return jnp.sum(softplus(ZL) - Y * ZL, axis=(-2, -1)) / ZL.shape[-1]


def from_logits(ZL: Any, Y: Any, cost: Function) -> Any:
    """J of AL = sigmoid(Z[L]), for a cost that loses no digits there."""
    return cost(sigmoid(ZL), Y)


def softplus(Z: Any) -> Any:
    """log(1 + e^Z) = max(Z, 0) + log(1 + e^-|Z|).

    Both pieces ask the same question, Z > 0, so that the derivative is sigmoid(Z) at Z = 0 too.
    """
    positive = Z > 0
    return jnp.where(positive, Z, 0) + jnp.log1p(jnp.exp(jnp.where(positive, -Z, Z)))


def linear_forward(A: Any, W: Any, b: Any) -> Any:
    """Z = W A + b."""
    return W @ A + b


def linear_backward(dZ: Any, A_prev: Any, W: Any, b: Any) -> Any:
    """dA_prev, dW, db: the VJP of `linear_forward` at (A_prev, W, b) with the cotangent dZ."""
    _, pull_back = jax.vjp(linear_forward, A_prev, W, b)
    dA_prev, dW, db = pull_back(dZ)
    m = A_prev.shape[-1]
    return dA_prev, dW / m, db / m  # dA_prev stays the gradient of m J; dW and db become those of J


def activation_backward(dA: Any, Z: Any, g: Function) -> Any:
    """dZ: the VJP of g at Z with the cotangent dA."""
    _, pull_back = jax.vjp(g, Z)
    return pull_back(dA)[0]


def linear_activation_forward(A_prev: Any, W: Any, b: Any, g: Function) -> Any:
    """A = g(Z) with Z = W A_prev + b; and what the cache holds: A_prev, W, b, Z."""
    Z = linear_forward(A_prev, W, b)
    return g(Z), A_prev, W, b, Z


def linear_activation_backward(dA: Any, A_prev: Any, W: Any, b: Any, Z: Any, g: Function) -> Any:
    """dA_prev, dW, db: the VJP of g at the cached Z, then that of `linear_forward`."""
    return linear_backward(activation_backward(dA, Z, g), A_prev, W, b)


def output_backward(Y: Any, A_prev: Any, W: Any, b: Any, ZL: Any, cost: Function) -> Any:
    """dA_prev, dW, db of the output layer: the gradient of m J by the cached Z[L], then the VJP of
    `linear_forward`."""
    dZ = jax.grad(lambda Z: Z.shape[-1] * jnp.sum(cost(Z, Y)))(ZL)
    return linear_backward(dZ, A_prev, W, b)


def L_model_forward(X: Any, parameters: dict[str, Any], displacements: dict[str, Any], g: Function) -> Any:
    """Z[L], the logits; `displacements` holds a zero for each A{l}, by which to differentiate."""
    L = len(parameters) // 2
    A = X + displacements["A0"]
    for l in range(1, L):
        A, *_ = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], g)
        A = A + displacements[f"A{l}"]
    return linear_forward(A, parameters[f"W{L}"], parameters[f"b{L}"])


def L_model_forward_with_caches(X: Any, parameters: dict[str, Any], g: Function) -> Any:
    """AL = A[L]; and what the caches hold: A[l-1], W[l], b[l], Z[l] for l = 1..L."""
    L = len(parameters) // 2
    A, caches = X, []
    for l in range(1, L + 1):
        W, b = parameters[f"W{l}"], parameters[f"b{l}"]
        A, *cache = linear_activation_forward(A, W, b, g if l < L else sigmoid)
        caches += cache
    return A, *caches


def L_model_backward(X: Any, Y: Any, parameters: dict[str, Any], g: Function, cost: Function) -> Any:
    """AL; and the dict of dA{l} for l = 0..L-1 (of m J), dW{l} and db{l} for l = 1..L (of J)."""
    L, m = len(parameters) // 2, X.shape[-1]
    stack = jnp.broadcast_shapes(X.shape[:-2], *(theta.shape[:-2] for theta in parameters.values()))
    units = [X.shape[-2]] + [parameters[f"b{l}"].shape[-2] for l in range(1, L)]
    zeros = {f"A{l}": jnp.zeros((*stack, n, m), X.dtype) for l, n in enumerate(units)}

    def J(parameters: dict[str, Any], displacements: dict[str, Any]) -> Any:
        # The networks of a stack do not interact: the gradient of the sum is each one's own.
        ZL = L_model_forward(X, parameters, displacements, g)
        return jnp.sum(cost(ZL, Y)), ZL

    (dparameters, dA), ZL = jax.grad(J, argnums=(0, 1), has_aux=True)(parameters, zeros)
    grads = {f"d{key}": m * value for key, value in dA.items()}
    return sigmoid(ZL), grads | {f"d{key}": value for key, value in dparameters.items()}


def update_parameters(params: dict[str, Any], grads: dict[str, Any], learning_rate: Any) -> Any:
    """The dict of W[l] - learning_rate dW[l] and b[l] - learning_rate db[l]."""
    return {key: theta - learning_rate * grads[f"d{key}"] for key, theta in params.items()}
