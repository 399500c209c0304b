"""The step of training once more, in memory that is allocated once: the passes' second implementation.

The passes are the text to read; this is the same mathematics for thousands of steps, verified as a
replacement (`sandbox.network.replacement`). What is different:

- The bias is the last column of W, and A has a last row of ones: Z = [W b] [A; 1] needs no pass for the bias,
  and [dW db] = (1/m) dZ [A; 1]^T none for its gradient.
- All parameters of a network are one vector theta, of which W[l] and b[l] are views: the update is one line.
- A[l] takes the place of Z[l], and dZ[l] that of A[l], which by then has served; dA is one array for all
  layers. dA[0] = dX is not computed.
- Examples stand in blocks, so that every product is a small one: for those OpenBLAS has kernels that do not
  copy the matrices first, which saves a quarter to a third of the time.
- Y holds labels 0 and 1 (see `costs`).

Networks do not touch each other: each product is of one network, each network's arrays begin at a multiple of
64 bytes, and so its numbers have the same bits wherever it stands and whatever stands beside it.

What overflows or underflows on the way is the caller's to silence, with `np.errstate`.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sandbox.network.activations import ACTIVATIONS
from sandbox.network.costs import COSTS
from sandbox.network.memory import aligned
from sandbox.typing import Array, Parameters

SMALL = 10**6
"""Multiplications up to which OpenBLAS multiplies without copying (its kernels for AVX-512)."""
SMALL_GRADIENT = 1152
"""Entries of dW up to which it does so for dZ A^T."""
SHORTEST = 100
"""Examples in a block; of shorter ones the sum over blocks takes what the products save."""


@dataclass(frozen=True)
class Batch:
    """Examples in blocks of one size, the last filled up with copies of the last example, which count
    nothing: their dZ[L] is set to 0. (What is no example might overflow where none does.)

    Attributes:
        X: [X; 1], (blocks, n_0 + 1, size). signs: 1 - 2 Y, (blocks, 1, size).
        m: the number of examples.
    """

    X: Array
    signs: Array
    m: int


def batch(X: Array, Y: Array, size: int) -> Batch:
    """X (n_0, m) and labels Y (1, m), of one dtype, in blocks of so many examples."""
    m = X.shape[1]
    blocks = -(-m // size)
    X_in_blocks = aligned((1, blocks, len(X) + 1, size), X.dtype)[0]
    signs = aligned((1, blocks, 1, size), X.dtype)[0]
    examples = np.minimum(np.arange(blocks * size), m - 1).reshape(blocks, size)
    X_in_blocks[:, :-1] = np.moveaxis(X[:, examples], 0, 1)
    X_in_blocks[:, -1] = 1
    signs[:] = 1 - 2 * np.moveaxis(Y[:, examples], 0, 1)
    return Batch(X_in_blocks, signs, m)


def block_size(dims: Sequence[int], m: int) -> int:
    """The examples in a block, of m, such that as many layers' products are small as can be."""
    largest = [SMALL // (n * (n_prev + 1)) for n_prev, n in itertools.pairwise(dims)]
    size = min((size for size in largest if size >= SHORTEST), default=m)
    return -(-m // -(-m // size))


def is_possible(activation: str, cost: str) -> bool:
    """Whether both can be computed in place."""
    return None not in (ACTIVATIONS[activation].in_place, COSTS[cost].in_place)


class Workspace:
    """Networks of one architecture, on one batch, and all that a step of training writes.

    Attributes, by layer l, first axis always the networks:
        W: [W[l] b[l]], (networks, n_l, n_{l-1} + 1). dW: [dW[l] db[l]], of the mean cost.
        A: [A[l]; 1], (networks, blocks, n_l + 1, size) for l = 1..L-1; A[0] is the batch's [X; 1].
        Z: (networks, blocks, n_l, size), the place of Z[l], then A[l], then dZ[l].
        dA: (networks, blocks, n_l, size) for l = 1..L-1, of the summed loss; one place for all layers.
    """

    def __init__(
        self, dims: Sequence[int], batch: Batch, networks: int = 1, *,
        activation: str = "relu", cost: str = "cross_entropy",
    ) -> None:  # fmt: skip
        """Args:
        dims: (n_0, n_1, ..., n_L) with n_L = 1.
        activation, cost: of those that can be computed in place (`is_possible`).
        """
        self.networks, self.L, self.batch = networks, len(dims) - 1, batch
        self._allocate_parameters(dims)
        self._allocate_activations(dims)
        g, J = ACTIVATIONS[activation].in_place, COSTS[cost].in_place
        if g is None or J is None:
            raise ValueError(
                f"activation is {activation!r} and cost is {cost!r}, expected those computed in place; use "
                "the passes."
            )
        kernels = {Z.shape: g(Z.shape, Z.dtype) for l, Z in self.Z.items() if l < self.L}
        self._g = {l: kernels[self.Z[l].shape] for l in self.dA}
        self._J = J(batch.signs, batch.m, networks)

    def _allocate_parameters(self, dims: Sequence[int]) -> None:
        shapes = {l: (n, n_prev + 1) for l, (n_prev, n) in enumerate(itertools.pairwise(dims), start=1)}
        size = sum(map(math.prod, shapes.values()))
        self.theta, self.dtheta, self._updated = (
            aligned((self.networks, size), self.batch.X.dtype) for _ in range(3)
        )
        self.W, self.dW = _layers(self.theta, shapes), _layers(self.dtheta, shapes)

    def _allocate_activations(self, dims: Sequence[int]) -> None:
        blocks, _, size = self.batch.X.shape

        def stack(rows: int, columns: int = size) -> Array:
            return aligned((self.networks, blocks, rows, columns), self.batch.X.dtype)

        hidden = range(1, self.L)
        self.A = {0: self.batch.X} | {l: stack(dims[l] + 1) for l in hidden}
        self.Z = {l: self.A[l][:, :, :-1] for l in hidden} | {self.L: stack(1)}
        self._filling = self.Z[self.L][:, -1, :, size - (blocks * size - self.batch.m) :]
        widest = stack(max(dims[1:]))
        self.dA = {l: widest[:, :, : dims[l]] for l in hidden}
        for l in hidden:
            self.A[l][:, :, -1] = 1
        self._as_factors(stack)

    def _as_factors(self, stack: Callable[[int, int], Array]) -> None:
        """W, W^T, A^T and dW of each block as the products take them: views, made once."""
        self._W = {l: W[:, None] for l, W in self.W.items()}
        self._W_T = {l: W[:, None, :, :-1].mT for l, W in self.W.items()}
        self._dW = {l: stack(*dW.shape[1:]) for l, dW in self.dW.items()}
        self._A_T_dW = {
            l: [(self.A[l - 1][..., some, :].mT, dW[..., some]) for some in _columns(dW)]
            for l, dW in self._dW.items()
        }

    # --- one layer --------------------------------------------------------------------------

    def linear_forward(self, l: int) -> None:
        """Z[l] = [W[l] b[l]] [A[l-1]; 1]."""
        np.matmul(self._W[l], self.A[l - 1], out=self.Z[l])

    def activation_forward(self, l: int) -> None:
        """A[l] = g(Z[l])."""
        self._g[l].forward(self.Z[l])

    def linear_backward(self, l: int) -> None:
        """m [dW[l] db[l]] = dZ[l] [A[l-1]; 1]^T,  dA[l-1] = W[l]^T dZ[l]."""
        dZ, W_T = self.Z[l], self._W_T[l]
        for A_prev_T, dW in self._A_T_dW[l]:
            np.matmul(dZ, A_prev_T, out=dW)
        np.add.reduce(self._dW[l], axis=1, out=self.dW[l])
        if l == self.L > 1:  # of one unit
            np.multiply(W_T, dZ, out=self.dA[l - 1])
        elif l > 1:
            np.matmul(W_T, dZ, out=self.dA[l - 1])

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
        self._filling[:] = 0
        for l in range(self.L, 1, -1):
            self.linear_backward(l)
            self.activation_backward(l - 1)
        self.linear_backward(1)
        np.divide(self.dtheta, self.batch.m, out=self.dtheta)

    def update(self, learning_rates: Array) -> Array:
        """theta - learning_rate dtheta; and whether a bit of it changed, (networks,).

        Args:
            learning_rates: (networks,), of the workspace's dtype.
        """
        np.multiply(self.dtheta, learning_rates[:, None], out=self._updated)
        np.subtract(self.theta, self._updated, out=self._updated)
        changed: Array = (_bits(self._updated) != _bits(self.theta)).any(axis=-1)
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

    def positive(self) -> Array:
        """Whether Z[L] > 0, that is AL > 1/2, after `forward`; (networks, m)."""
        return np.asarray(self.of_examples(self.Z[self.L])[:, 0] > 0)

    def of_examples(self, in_blocks: Array) -> Array:
        """A copy of an array of (networks, blocks, n, size) as (networks, n, m)."""
        networks, _, n, _ = in_blocks.shape
        side_by_side: Array = np.moveaxis(in_blocks, 1, 2).reshape(networks, n, -1)
        return side_by_side[..., : self.batch.m].copy()


def _layers(theta: Array, shapes: Mapping[int, tuple[int, int]]) -> dict[int, Array]:
    """The views of theta (networks, size) that are the layers' [W[l] b[l]]."""
    ends = itertools.pairwise(itertools.accumulate(map(math.prod, shapes.values()), initial=0))
    places = zip(shapes.items(), ends, strict=True)
    return {l: theta[:, start:end].reshape(-1, *shape) for (l, shape), (start, end) in places}


def _columns(dW: Array) -> Iterator[slice]:
    """Its columns, in parts that are small products each where there are but a few."""
    *_, n, columns = dW.shape
    count = -(-columns * n // SMALL_GRADIENT)
    width = -(-columns // count) if count <= 4 else columns
    return (slice(start, start + width) for start in range(0, columns, width))


def _split(layers: Mapping[int, Array], d: str) -> Parameters:
    return {
        f"{d}{name}{l}": part.copy()
        for l, W in layers.items()
        for name, part in (("W", W[..., :-1]), ("b", W[..., -1:]))
    }


def _bits(theta: Array) -> Array:
    return np.asarray(theta.view(np.dtype(f"u{theta.itemsize}")))
