"""What a tested function should return: its equation in JAX, and how its arguments are laid out.

An `Equation` takes the same flat tuple of inputs whether the function is forward or backward, so that local
checks, contracts and the third oracle are written once, for the network and for users' operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sandbox.noise import arithmetic, is_float
from sandbox.typing import Array, Dtype, Function, Inputs, Value
from sandbox.verifier.rows import Matter, Verdict

Mistakes = Callable[..., Iterator[tuple[str, Inputs]]]
Answers = Callable[..., Iterator[tuple[str, Mapping[str, Value]]]]


@dataclass(frozen=True, eq=False)
class Equation:
    """A function of arrays and its reference.

    Attributes:
        function: the name under which it is reported.
        reference: in JAX, of the flat inputs; returns the outputs in order.
        inputs, outputs: their names.
        picks: which of the reference's outputs these are; None for all. So one evaluation serves several.
        pack: the flat inputs as the tested function's arguments.
        unpack: the tested function's result as outputs in order; raises TypeError or ValueError.
        cotangents: how many of the first inputs are cotangents: the outputs are linear in them.
        axes: for each input the meaning of its last two axes ("n" and "p": units, "m": examples), or
            () if unknown: by these a single example or unit is taken.
        may_alias: the outputs that may be inputs themselves, as what a cache holds.
        aliased: what it is worth if another output shares memory with an input.
        mistakes: (explanation, inputs) with which the reference gives what a mistake gives.
        answers: (explanation, what a mistake gives, by the outputs' names), where there are no such inputs.
        forward: of a backward, the equation that it differentiates, by its inputs after the cotangents.
        factors: of a backward, the factor of each output by convention (1/m in dW), from the inputs.
        differentiated: of a backward, for each output which of the forward's inputs it is the derivative by
            (-1: none of them).
        matter: what its outputs are; by default gradients where there are cotangents.
        unjudged: why outputs that agree with the reference may be wrong all the same, in words.
        elsewhere: by a name, inputs made from the given ones at which the contracts ask for the values too.
    """

    function: str
    reference: Function
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pack: Callable[..., Inputs] = lambda *inputs: inputs
    unpack: Callable[[Value], Inputs] = lambda result: (result,)
    cotangents: int = 0
    axes: tuple[str, ...] = ()
    may_alias: tuple[str, ...] = ()
    aliased: Verdict = Verdict.REMARK
    mistakes: Mistakes = lambda *inputs: iter(())
    answers: Answers = lambda *inputs: iter(())
    forward: Equation | None = None
    factors: Mapping[int, Callable[..., float]] = field(default_factory=dict)
    differentiated: tuple[int, ...] = ()
    picks: tuple[int, ...] | None = None
    elsewhere: Mapping[str, Callable[..., Inputs]] = field(default_factory=dict)
    matter: Matter = Matter.VALUE
    unjudged: str = ""

    def __post_init__(self) -> None:
        if self.cotangents:
            object.__setattr__(self, "matter", Matter.GRADIENT)

    def named(self, inputs: Inputs) -> dict[str, Array | int]:
        """The inputs by name, with m, the number of examples, where the axes tell it."""
        named: dict[str, Array | int] = {
            n: x for n, x in zip(self.inputs, inputs, strict=True) if isinstance(x, np.ndarray)
        }
        if self.axes and self.axes[0][-1] == "m":
            named["m"] = np.shape(inputs[0])[-1]
        return named

    def part(self, function: str, outputs: Mapping[int, str]) -> Equation:
        """Some of the outputs, already picked from the result, under names of another function."""
        return replace(
            self, function=function, outputs=tuple(outputs.values()), picks=tuple(outputs), may_alias=(),
            unpack=lambda result: result,
        )  # fmt: skip


def broadcast(equation: Equation, inputs: Inputs) -> list[Array]:
    """The inputs as arrays; those of a stack in its shape, so that no gradient is summed over it."""
    arrays = [np.asarray(x) for x in inputs]
    if equation.axes:  # whose inputs are real numbers, whatever a wrong function handed on
        arrays = [a if a.dtype.kind == "f" else a.astype(np.float64) for a in arrays]
        stack = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        arrays = [np.broadcast_to(a, stack + a.shape[-2:]) for a in arrays]
    return arrays


def dtype_of(inputs: Inputs) -> Dtype:
    """The dtype that the outputs should have: the widest of the inputs' float dtypes, or one that holds them
    all."""
    floats = {x.dtype for x in map(np.asarray, inputs) if is_float(x.dtype)}
    if len(floats) > 1:
        floats = set(map(arithmetic, floats))
    return np.result_type(*floats) if floats else np.dtype(np.float64)
