"""The same equations in JAX, differentiated by `jax.vjp` and `jax.grad` and by nothing written by hand.

The functions take and return what their namesakes in `sandbox.network` do, without caches: a
backward takes the point at which to differentiate. They are pure, and are meant to be traced in
float64 (`sandbox.noise.trace` does so, and leaves the user's JAX configuration as it was).

Whose gradient? As in `sandbox.network`: dA is the gradient of the summed loss m J, dW and db are
gradients of the mean cost J. JAX differentiates one function, so one of the two takes the factor m.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sandbox.typing import Activation

sigmoid = jax.nn.sigmoid
relu = jax.nn.relu  # its derivative at 0 is 0, as is the convention here; that of jnp.maximum is 1/2


def linear_forward(A: Any, W: Any, b: Any) -> Any:
    """Z = W A + b."""
    return W @ A + b


def linear_activation_forward(A_prev: Any, W: Any, b: Any, activation: Activation) -> Any:
    """A = g(W A_prev + b)."""
    g = {"relu": relu, "sigmoid": sigmoid}[activation]
    return g(linear_forward(A_prev, W, b))


def _mean_parameters(pulled_back: Any, m: int) -> Any:
    """dA stays the gradient of m J; dW and db become those of J."""
    dA_prev, dW, db = pulled_back
    return dA_prev, dW / m, db / m


def linear_backward(dZ: Any, A_prev: Any, W: Any, b: Any) -> Any:
    """dA_prev, dW, db: the VJP of `linear_forward` at (A_prev, W, b) with the cotangent dZ."""
    _, pull_back = jax.vjp(linear_forward, A_prev, W, b)
    return _mean_parameters(pull_back(dZ), A_prev.shape[-1])


def activation_backward(dA: Any, Z: Any, activation: Activation) -> Any:
    """dZ: the VJP of g at Z with the cotangent dA."""
    _, pull_back = jax.vjp({"relu": relu, "sigmoid": sigmoid}[activation], Z)
    return pull_back(dA)[0]


def linear_activation_backward(dA: Any, A_prev: Any, W: Any, b: Any, Z: Any, activation: Activation) -> Any:
    """dA_prev, dW, db: the VJP of g at the cached Z, then that of `linear_forward`."""
    return linear_backward(activation_backward(dA, Z, activation), A_prev, W, b)


def softplus(Z: Any) -> Any:
    """log(1 + e^Z) = max(Z, 0) + log(1 + e^-|Z|).

    Both pieces ask the same question, Z > 0, so that the derivative is sigmoid(Z) at Z = 0 too.
    """
    positive = Z > 0
    return jnp.where(positive, Z, 0) + jnp.log1p(jnp.exp(jnp.where(positive, -Z, Z)))


def compute_cost_from_logits(ZL: Any, Y: Any) -> Any:
    """J = (1/m) sum_i ( softplus(z_i) - y_i z_i ), the cross-entropy of sigmoid(ZL)."""
    return jnp.sum(softplus(ZL) - Y * ZL, axis=(-2, -1)) / ZL.shape[-1]


def output_backward(Y: Any, A_prev: Any, W: Any, b: Any, ZL: Any) -> Any:
    """dA_prev, dW, db of the output layer: the gradient of m J by the cached Z[L], then the VJP of
    `linear_forward`."""
    dZ = jax.grad(lambda Z: Z.shape[-1] * jnp.sum(compute_cost_from_logits(Z, Y)))(ZL)
    return linear_backward(dZ, A_prev, W, b)


def L_model_forward(X: Any, parameters: dict[str, Any], displacements: dict[str, Any]) -> Any:
    """Z[L], the logits; `displacements` holds a zero for each A{l}, by which to differentiate."""
    L = len(parameters) // 2
    A = X + displacements["A0"]
    for l in range(1, L):
        A = linear_activation_forward(A, parameters[f"W{l}"], parameters[f"b{l}"], "relu")
        A = A + displacements[f"A{l}"]
    return linear_forward(A, parameters[f"W{L}"], parameters[f"b{L}"])


def L_model_backward(X: Any, Y: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """dA{l} for l = 0..L-1 (of m J), dW{l} and db{l} for l = 1..L (of J), from X and the parameters."""
    L, m = len(parameters) // 2, X.shape[-1]
    stack = jnp.broadcast_shapes(X.shape[:-2], *(theta.shape[:-2] for theta in parameters.values()))
    units = [X.shape[-2]] + [parameters[f"b{l}"].shape[-2] for l in range(1, L)]
    zeros = {f"A{l}": jnp.zeros((*stack, n, m), X.dtype) for l, n in enumerate(units)}

    def cost(parameters: dict[str, Any], displacements: dict[str, Any]) -> Any:
        # The networks of a stack do not interact: the gradient of the sum is each one's own.
        return jnp.sum(compute_cost_from_logits(L_model_forward(X, parameters, displacements), Y))

    dparameters, dA = jax.grad(cost, argnums=(0, 1))(parameters, zeros)
    return {f"d{key}": m * value for key, value in dA.items()} | {
        f"d{key}": value for key, value in dparameters.items()
    }
