"""The step of training once more, in memory that is allocated once: the passes' second implementation.

The passes are the text to read; this is the same mathematics for thousands of steps, verified as a
replacement (`sandbox.network.replacement`). What is different:

- The bias is the last column of W, and A has a last row of ones: Z = [W b] [A; 1] needs no pass for the bias,
  and [dW db] = (1/m) dZ [A; 1]^T none for its gradient.
- All parameters of a network are one vector theta, of which W[l] and b[l] are views: the update is one line.
- A[l] takes the place of Z[l], and dZ[l] that of A[l], which by then has served; dA is one array for all
  layers. dA[0] = dX is not computed.
- Y holds labels 0 and 1 (see `costs`).

Networks do not touch each other: each product is of one network, each network's arrays begin at a multiple of
64 bytes, and so its numbers have the same bits wherever it stands and whatever stands beside it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.typing import Array, Dtype, Parameters

ALIGNMENT = 64
"""Bytes: a line of the cache, and the widest register."""


def aligned(shape: Sequence[int], dtype: Dtype) -> Array:
    """Zeros, whose entries along the first axis each begin at a multiple of `ALIGNMENT` bytes."""
    networks, *each = shape
    inner = np.empty(each, dtype)
    stride = -(-max(inner.nbytes, 1) // ALIGNMENT) * ALIGNMENT
    memory = np.zeros(networks * stride + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return np.ndarray(tuple(shape), dtype, memory, offset, (stride, *inner.strides))


def with_ones(X: Array) -> Array:
    """[X; 1] of shape (n_0 + 1, m), as the workspace reads it."""
    extended = aligned((1, len(X) + 1, X.shape[1]), X.dtype)[0]
    extended[:-1], extended[-1] = X, 1
    return extended


def is_possible(activation: str, cost: str) -> bool:
    """Whether both can be computed in place."""
    return None not in (ACTIVATIONS[activation].in_place, COSTS[cost].in_place)


class Workspace:
    """Networks of one architecture, on one set of examples, and all that a step of training writes.

    Attributes, by layer l, first axis always the networks:
        W: [W[l] b[l]], (networks, n_l, n_{l-1} + 1). dW: [dW[l] db[l]], of the mean cost.
        A: [A[l]; 1], (networks, n_l + 1, m) for l = 1..L-1; A[0] is [X; 1], (n_0 + 1, m).
        Z: (networks, n_l, m), the place of Z[l], then A[l], then dZ[l].
        dA: (networks, n_l, m) for l = 1..L-1, of the summed loss, until the layer below has its own.
    """

    def __init__(
        self, dims: Sequence[int], X: Array, Y: Array, networks: int = 1, *,
        activation: str = "relu", cost: str = "cross_entropy",
    ) -> None:  # fmt: skip
        """Args:
        dims: (n_0, n_1, ..., n_L) with n_L = 1.
        X: [X; 1], (n_0 + 1, m), of `with_ones`. Y: (1, m), labels 0 and 1, of X's dtype.
        activation, cost: of those that can be computed in place (`is_possible`).
        """
        g, J = ACTIVATIONS[activation].in_place, COSTS[cost].in_place
        if g is None or J is None:
            raise ValueError(
                f"activation is {activation!r} and cost is {cost!r}, expected those that are computed in "
                "place; use the passes."
            )
        if X.ctypes.data % ALIGNMENT:  # the products' bits may depend on where it begins
            X = with_ones(X[:-1])
        self.dims, self.networks, self.L, self.m = tuple(dims), networks, len(dims) - 1, X.shape[1]
        dtype = X.dtype
        shapes = {l: (n, n_prev + 1) for l, (n_prev, n) in enumerate(itertools.pairwise(dims), start=1)}
        self.theta, self.dtheta, self._updated = (
            aligned((networks, sum(map(math.prod, shapes.values()))), dtype) for _ in range(3)
        )
        self.W, self.dW = _layers(self.theta, shapes), _layers(self.dtheta, shapes)
        self.A = {0: X} | {l: aligned((networks, dims[l] + 1, self.m), dtype) for l in range(1, self.L)}
        self.Z = {l: self.A[l][:, :-1] for l in range(1, self.L)}
        self.Z[self.L] = aligned((networks, 1, self.m), dtype)
        widest = aligned((networks, max(dims[1:]), self.m), dtype)
        self.dA = {l: widest[:, : dims[l]] for l in range(1, self.L)}
        for l in self.dA:
            self.A[l][:, -1] = 1
        kernels = {Z.shape: g(Z.shape, dtype) for l, Z in self.Z.items() if l < self.L}
        self._g = {l: kernels[self.Z[l].shape] for l in self.dA}
        self._J = J(Y, networks)

    # --- one layer --------------------------------------------------------------------------

    def linear_forward(self, l: int) -> None:
        """Z[l] = [W[l] b[l]] [A[l-1]; 1]."""
        np.matmul(self.W[l], self.A[l - 1], out=self.Z[l])

    def activation_forward(self, l: int) -> None:
        """A[l] = g(Z[l])."""
        self._g[l].forward(self.Z[l])

    def linear_backward(self, l: int) -> None:
        """m [dW[l] db[l]] = dZ[l] [A[l-1]; 1]^T,  dA[l-1] = W[l]^T dZ[l]."""
        dZ = self.Z[l]
        np.matmul(dZ, self.A[l - 1].mT, out=self.dW[l])
        if l > 1:
            np.matmul(self.W[l][:, :, :-1].mT, dZ, out=self.dA[l - 1])

    def activation_backward(self, l: int) -> None:
        """dZ[l] = dA[l] * g'(Z[l])."""
        self._g[l].backward(self.dA[l], self.Z[l])

    # --- the network ------------------------------------------------------------------------

    def forward(self) -> Array:
        """Everything up to Z[L], and the cost J of each network, (networks,)."""
        for l in range(1, self.L):
            self.linear_forward(l)
            self.activation_forward(l)
        self.linear_forward(self.L)
        return self._J.forward(self.Z[self.L])

    def backward(self) -> None:
        """dW and db of all layers, after `forward`, once."""
        self._J.backward(self.Z[self.L])
        for l in range(self.L, 1, -1):
            self.linear_backward(l)
            self.activation_backward(l - 1)
        self.linear_backward(1)
        np.divide(self.dtheta, self.m, out=self.dtheta)

    def update(self, learning_rates: Array) -> Array:
        """theta - learning_rate dtheta; whether a bit of it changed, (networks,).

        Args:
            learning_rates: (networks,), of the workspace's dtype.
        """
        np.multiply(self.dtheta, learning_rates[:, None], out=self._updated)
        np.subtract(self.theta, self._updated, out=self._updated)
        changed = (_bits(self._updated) != _bits(self.theta)).any(axis=-1)
        np.copyto(self.theta, self._updated)
        return changed

    # --- in and out -------------------------------------------------------------------------

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take these W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1)."""
        for l, W in self.W.items():
            W[..., :-1], W[..., -1:] = parameters[f"W{l}"], parameters[f"b{l}"]

    def parameters(self) -> Parameters:
        """Copies of W{l} and b{l}, (networks, ...)."""
        return _split(self.W, "")

    def gradients(self) -> Parameters:
        """Copies of dW{l} and db{l}, (networks, ...)."""
        return _split(self.dW, "d")


def _layers(theta: Array, shapes: Mapping[int, tuple[int, int]]) -> dict[int, Array]:
    """The views of theta (networks, size) that are the layers' [W[l] b[l]]."""
    ends = itertools.pairwise(itertools.accumulate(map(math.prod, shapes.values()), initial=0))
    places = zip(shapes.items(), ends, strict=True)
    return {l: theta[:, start:end].reshape(-1, *shape) for (l, shape), (start, end) in places}


def _split(layers: Mapping[int, Array], d: str) -> Parameters:
    return {
        f"{d}{name}{l}": part.copy()
        for l, W in layers.items()
        for name, part in (("W", W[..., :-1]), ("b", W[..., -1:]))
    }


def _bits(theta: Array) -> Array:
    return theta.view(np.dtype(f"u{theta.itemsize}"))
