"""The table of activations: g and, beside it, dZ = dA * g'(Z).

Another activation is an entry here, and its g once more in `mirror`. The functions trust their
arguments, float arrays of one shape; dA and dZ are gradients of the summed loss.

Some also compute in place, for the step in preallocated memory (`workspace`): A takes the place of Z, and
dZ that of A.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sandbox.typing import Array, Dtype


class InPlace(Protocol):
    """An activation that allocates nothing when it is called, for arrays of one shape, (networks, ...)."""

    def __init__(self, shape: tuple[int, ...], dtype: Dtype) -> None: ...

    def forward(self, Z: Array) -> None:
        """A = g(Z), in the place of Z."""

    def backward(self, dA: Array, A: Array) -> None:
        """dZ = dA * g'(Z), in the place of A."""


@dataclass(frozen=True)
class Activation:
    """forward(Z) -> A, and Z as the activation cache; backward(dA, Z) -> dZ.

    `in_place`: the same in preallocated memory; None: networks of it train with the plain passes.
    """

    name: str
    forward: Callable[[Array], tuple[Array, Array]]
    backward: Callable[[Array, Array], Array]
    in_place: type[InPlace] | None = None


def relu(Z: Array) -> tuple[Array, Array]:
    """A = max(0, Z)."""
    return np.maximum(Z, 0), Z


def relu_backward(dA: Array, Z: Array) -> Array:
    """dZ = dA where Z > 0, else 0: of the subgradients at Z = 0, all of [0, 1], the convention is 0."""
    return np.where(Z > 0, dA, 0)


class ReLUInPlace:
    """A = max(0, Z), then dZ = dA where A > 0, which is where Z > 0, else 0.

    NumPy's maximum of two arrays is several times faster than that with a number; and the mask in floats is
    faster than choosing by a mask.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Dtype) -> None:
        self._zeros = np.zeros(shape[1:], dtype)
        self._positive = np.empty(shape, bool)

    def forward(self, Z: Array) -> None:
        np.maximum(Z, self._zeros, out=Z)

    def backward(self, dA: Array, A: Array) -> None:
        np.greater(A, 0, out=self._positive)
        np.copyto(A, self._positive)
        np.multiply(dA, A, out=A)


# Underflow of e^-|Z| to 0 is the correctly rounded answer, even under np.errstate(all="raise").
@np.errstate(under="ignore")
def sigmoid(Z: Array) -> tuple[Array, Array]:
    """A = 1 / (1 + e^-Z), from e^-|Z| <= 1, which cannot overflow."""
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e), Z


@np.errstate(under="ignore")
def sigmoid_backward(dA: Array, Z: Array) -> Array:
    """dZ = dA * A (1 - A), where A (1 - A) = e / (1 + e)^2 with e = e^-|Z| keeps the digits of 1 - A."""
    e = np.exp(-np.abs(Z))
    dZ: Array = dA * (e / (1 + e) ** 2)
    return dZ


@np.errstate(under="ignore")
def sigmoid_and_complement(Z: Array) -> tuple[Array, Array]:
    """sigmoid(Z) and 1 - sigmoid(Z) = sigmoid(-Z), which has the digits that 1 - A loses."""
    e, positive = np.exp(-np.abs(Z)), Z >= 0
    return np.where(positive, 1, e) / (1 + e), np.where(positive, e, 1) / (1 + e)


def tanh(Z: Array) -> tuple[Array, Array]:
    """A = tanh(Z)."""
    return np.tanh(Z), Z


@np.errstate(under="ignore")
def tanh_backward(dA: Array, Z: Array) -> Array:
    """dZ = dA (1 - A^2), where 1 - A^2 = 4 e / (1 + e)^2 with e = e^-2|Z| keeps its digits near A = 1."""
    e = np.exp(-2 * np.abs(Z))
    dZ: Array = dA * (4 * e / (1 + e) ** 2)
    return dZ


def identity(Z: Array) -> tuple[Array, Array]:
    """A = Z, in an array of its own: the cache stays as it is if A is changed."""
    return +Z, Z


def identity_backward(dA: Array, Z: Array) -> Array:
    """dZ = dA."""
    return dA


class IdentityInPlace:
    """A = Z, then dZ = dA."""

    def __init__(self, shape: tuple[int, ...], dtype: Dtype) -> None: ...

    def forward(self, Z: Array) -> None: ...

    def backward(self, dA: Array, A: Array) -> None:
        np.copyto(A, dA)


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("relu", relu, relu_backward, ReLUInPlace),
        Activation("sigmoid", sigmoid, sigmoid_backward),
        Activation("tanh", tanh, tanh_backward),
        Activation("identity", identity, identity_backward, IdentityInPlace),
    )
}
