"""The table of costs: J, one number for each network, and the gradient dAL of the *summed* loss m J.

Another cost is an entry here, and its J once more in `mirror`. The functions trust their arguments, AL
(or Z[L]) and Y of shape (..., 1, m).

Some also compute in place, for the step in preallocated memory (`workspace`), where Y holds labels 0 and 1.
With the signs s = 1 - 2 Y and t = s Z, positive where an example is on the wrong side, both labels have one
formula: a_i - y_i = s_i sigmoid(t_i), with the digits that a subtraction would lose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sandbox.network.activations import ACTIVATIONS, sigmoid_and_complement
from sandbox.network.memory import aligned
from sandbox.typing import Array


class InPlace(Protocol):
    """A cost of labels that allocates little when it is called, for stacks (networks, blocks, 1, size).

    signs: s, (blocks, 1, size), of which the first m count in J.
    """

    def __init__(self, signs: Array, m: int, networks: int) -> None: ...

    def forward(self, ZL: Array) -> Array:
        """J of each network, of AL = sigmoid(ZL); shape (networks,)."""

    def backward(self, ZL: Array) -> None:
        """dZ[L] of the ZL that `forward` had, in its place."""


@dataclass(frozen=True)
class Cost:
    """forward(AL, Y) -> J and backward(AL, Y) -> dAL.

    Attributes:
        through_sigmoid: (AL, Y, ZL) -> dZ[L] in one exact step, for a cost whose dAL is infinite where the
            sigmoid saturates; None: dAL * g'(Z[L]).
        from_logits: (ZL, Y) -> J of AL = sigmoid(ZL), for a cost that loses digits there; None: by AL.
        in_place: the cost and its dZ[L] in preallocated memory; None: networks of it train with the plain
            passes.
    """

    name: str
    forward: Callable[[Array, Array], Any]
    backward: Callable[[Array, Array], Array]
    through_sigmoid: Callable[[Array, Array, Array], Array] | None = None
    from_logits: Callable[[Array, Array], Any] | None = None
    in_place: type[InPlace] | None = None


class _OfLabels:
    """What the costs in place share: the signs s, and arrays for t = s Z and what is made of it."""

    def __init__(self, signs: Array, m: int, networks: int) -> None:
        self._m = m
        self._t, self._E, self._S, self._scratch, self._signs, self._ones = (
            aligned((networks, *signs.shape), signs.dtype) for _ in range(6)
        )
        self._signs[:], self._ones[:] = signs, 1

    def _summed(self, losses: Array) -> Array:
        """Over the examples of each network."""
        each = losses.reshape(len(losses), -1)[:, : self._m]
        return np.asarray(np.add.reduce(each, axis=-1))


@np.errstate(divide="ignore", invalid="ignore")
def cross_entropy(AL: Array, Y: Array) -> Any:
    """J = -(1/m) sum_i ( y_i log a_i + (1 - y_i) log(1 - a_i) ), with 0 log 0 = 0."""
    log_likelihood = np.where(Y > 0, Y * np.log(AL), 0) + np.where(Y < 1, (1 - Y) * np.log1p(-AL), 0)
    return -log_likelihood.sum(axis=(-2, -1)) / AL.shape[-1]


def cross_entropy_backward(AL: Array, Y: Array) -> Array:
    """dAL = -(Y / AL - (1 - Y) / (1 - AL))."""
    dAL: Array = -(Y / AL - (1 - Y) / (1 - AL))
    return dAL


def cross_entropy_through_sigmoid(AL: Array, Y: Array, ZL: Array) -> Array:
    """dZ[L] = AL - Y = (1 - Y) sigmoid(Z) - Y sigmoid(-Z) where AL is the sigmoid of Z; else dAL * g'(Z).

    The long form has no cancellation. "Is the sigmoid" allows for another implementation's rounding,
    (1 + tanh(Z/2)) / 2 say.
    """
    S, S_complement = sigmoid_and_complement(ZL)
    dZ = (1 - Y) * S - Y * S_complement
    own = np.abs(AL - S) > 8 * np.finfo(S.dtype).eps
    if own.any():
        # 0.5 stands in where the formula is not used, lest it divide by 0.
        dAL = cross_entropy_backward(np.where(own, AL, 0.5), Y)
        dZ = np.where(own, ACTIVATIONS["sigmoid"].backward(dAL, np.broadcast_to(ZL, dAL.shape)), dZ)
    return np.asarray(dZ, AL.dtype)


@np.errstate(under="ignore")
def cross_entropy_from_logits(ZL: Array, Y: Array) -> Any:
    """J = (1/m) sum_i ( softplus(z_i) - y_i z_i ), finite for every finite ZL.

    With softplus(z) = max(z, 0) + log(1 + e^-|z|) nothing overflows, and for y = 1 the large terms
    max(z, 0) and y z cancel exactly.
    """
    loss = (np.maximum(ZL, 0) - Y * ZL) + np.log1p(np.exp(-np.abs(ZL)))
    return loss.sum(axis=(-2, -1)) / ZL.shape[-1]


class CrossEntropyInPlace(_OfLabels):
    """J = (1/m) sum_i log(1 + e^t_i), then dZ[L] = AL - Y = s S with S = sigmoid(t) = E / (1 + E), E = e^t.

    E stops short of overflow, where log(1 + e^t) = t and S = 1.
    """

    def __init__(self, signs: Array, m: int, networks: int) -> None:
        super().__init__(signs, m, networks)
        self._bounded, self._bound = (aligned(self._t.shape, self._t.dtype) for _ in range(2))
        self._bound[:] = 0.9 * np.log(np.finfo(self._t.dtype).max)

    def forward(self, ZL: Array) -> Array:
        np.multiply(ZL, self._signs, out=self._t)
        np.minimum(self._t, self._bound, out=self._bounded)
        np.exp(self._bounded, out=self._E)
        losses, beyond = self._scratch, self._t
        np.log1p(self._E, out=losses)
        np.subtract(self._t, self._bounded, out=beyond)
        np.add(losses, beyond, out=losses)
        return self._summed(losses) / self._m

    def backward(self, ZL: Array) -> None:
        np.add(self._E, self._ones, out=self._scratch)
        np.divide(self._E, self._scratch, out=self._S)
        np.multiply(self._signs, self._S, out=ZL)


def mean_squared_error(AL: Array, Y: Array) -> Any:
    """J = (1/2m) sum_i (a_i - y_i)^2."""
    return ((AL - Y) ** 2).sum(axis=(-2, -1)) / (2 * AL.shape[-1])


def mean_squared_error_backward(AL: Array, Y: Array) -> Array:
    """dAL = AL - Y."""
    return AL - Y


class MeanSquaredErrorInPlace(_OfLabels):
    """J = (1/2m) sum_i S_i^2 with S = sigmoid(t), then dZ[L] = s S^2 sigmoid(-t)."""

    def forward(self, ZL: Array) -> Array:
        np.multiply(ZL, self._signs, out=self._t)
        # Not np.negative: that of NumPy 2.4 takes neighbours in memory where each number is 64 bytes on.
        self._sigmoid_of_minus(np.multiply(self._t, -1, out=self._scratch), self._S)
        np.multiply(self._S, self._S, out=self._S)
        return self._summed(self._S) / (2 * self._m)

    def backward(self, ZL: Array) -> None:
        complement = self._scratch
        self._sigmoid_of_minus(self._t, complement)
        np.multiply(self._S, complement, out=self._S)
        np.multiply(self._signs, self._S, out=ZL)

    def _sigmoid_of_minus(self, t: Array, out: Array) -> None:
        """1 / (1 + e^t), where overflow of e^t to infinity gives the right 0."""
        np.exp(t, out=self._E)
        np.add(self._E, self._ones, out=self._E)
        np.divide(self._ones, self._E, out=out)


COSTS = {
    cost.name: cost
    for cost in (
        Cost("cross_entropy", cross_entropy, cross_entropy_backward,
             cross_entropy_through_sigmoid, cross_entropy_from_logits, CrossEntropyInPlace),
        Cost("mean_squared_error", mean_squared_error, mean_squared_error_backward,
             in_place=MeanSquaredErrorInPlace),
    )
}  # fmt: skip
