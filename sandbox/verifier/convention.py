"""How a user's operation is called: its forward and backward as equations of the array inputs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import numpy as np

from sandbox.noise import widened
from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.equation import Equation
from sandbox.verifier.loading import raised_at
from sandbox.verifier.nested import copied
from sandbox.verifier.rows import Verdict

if TYPE_CHECKING:
    from sandbox.verifier.operation import Operation

Constant = tuple[int, type, Value]
"""An input that is no array, by its place; with its type, because 2, 2.0 and True are equal."""


@dataclass(frozen=True)
class Convention:
    """An operation with some of its inputs fixed.

    Attributes:
        arrays: the places of the inputs that are arrays. constants: the others.
        names: of the inputs that are differentiated.
    """

    operation: Operation
    arrays: tuple[int, ...]
    constants: tuple[Constant, ...]
    names: tuple[str, ...]

    @property
    def array_names(self) -> tuple[str, ...]:
        return tuple(self.operation.inputs[i] for i in self.arrays)

    @property
    def differentiated(self) -> tuple[int, ...]:
        """Which of the arrays are."""
        return tuple(j for j, name in enumerate(self.array_names) if name in self.names)

    @property
    def gradients(self) -> tuple[str, ...]:
        return tuple(f"d{self.array_names[j]}" for j in self.differentiated)

    @property
    def count(self) -> int:
        """The number of outputs, and so of cotangents."""
        return len(self.operation.outputs)

    def whole(self, *given: Value) -> Inputs:
        """All inputs, from the arrays."""
        inputs = dict(zip(self.arrays, given, strict=True)) | {i: x for i, _, x in self.constants}
        return tuple(inputs[i] for i in range(len(inputs)))

    def mirrored(self, *given: Value) -> Inputs:
        result = self.operation.mirror(*self.whole(*given))
        if result is None or isinstance(result, Mapping):
            raise TypeError(f"it returned a {type(result).__name__}, expected an array or a tuple of arrays")
        return tuple(result) if isinstance(result, tuple | list) else (result,)

    def vjp(self, *inputs: Value) -> Inputs:
        """The mirror's gradients by the differentiated arrays, times the factors of the convention."""
        cotangents, given = inputs[: self.count], inputs[self.count :]

        def function(*xs: Value) -> Inputs:
            filled = dict(enumerate(given)) | dict(zip(self.differentiated, xs, strict=True))
            return self.mirrored(*filled.values())

        _, pull_back = jax.vjp(function, *(given[j] for j in self.differentiated))
        factors = self.factors
        return tuple(
            g * factors[k](*inputs) if k in factors else g for k, g in enumerate(pull_back(cotangents))
        )

    @property
    def factors(self) -> dict[int, Callable[..., float]]:
        return {
            k: lambda *inputs, f=self.operation.factors[g[1:]]: f(*self.whole(*inputs[self.count :]))
            for k, g in enumerate(self.gradients)
            if g[1:] in self.operation.factors
        }

    def unpack_outputs(self, result: Value) -> Inputs:
        cached = self.operation.convention == "cache"
        values = result if isinstance(result, tuple | list) else None
        if values is None and self.count + cached == 1:
            return (result,)
        if values is not None and len(values) == self.count + cached:
            return tuple(values[: self.count])
        parts = ", ".join(self.operation.outputs + ("cache",) * cached)
        got = f"a {type(result).__name__}" if values is None else f"{len(values)} values"
        hint = ', or Operation(convention="inputs")' if cached else ""
        raise ValueError(f"it returned {got}, expected ({parts}){hint}.")

    def pack_backward(self, *inputs: Value) -> Inputs:
        cotangents, given = inputs[: self.count], inputs[self.count :]
        if self.operation.convention == "inputs":
            return (*cotangents, *self.whole(*given))
        return (*cotangents, self.operation.forward(*copied(self.whole(*given)))[-1])

    def unpack_gradients(self, result: Value) -> Inputs:
        """From a dict; or from an array or a tuple, of the differentiated inputs or of all that are given."""
        gradients = self.gradients
        if isinstance(result, Mapping):
            missing = [g for g in gradients if g not in result and g[1:] not in result]
            if missing:
                raise ValueError(f"it returned the keys {', '.join(map(str, result))}, without {missing[0]}.")
            return tuple(result[g] if g in result else result[g[1:]] for g in gradients)
        values = tuple(result) if isinstance(result, tuple | list) else (result,)
        given = len(self.arrays) + len(self.constants)
        if given <= len(values) <= len(self.operation.inputs) and len(values) != len(gradients):
            values = tuple(values[self.arrays[j]] for j in self.differentiated)
        if len(values) != len(gradients):
            raise ValueError(f"it returned {len(values)} gradients, expected {', '.join(gradients)}.")
        return values

    def left_out(self, *inputs: Value) -> Iterator[tuple[str, Inputs]]:
        """What comes of one cotangent of several being forgotten."""
        for i, output in enumerate(self.operation.outputs if self.count > 1 else ()):
            without = (*inputs[:i], np.zeros_like(inputs[i]), *inputs[i + 1 :])
            yield f"It is what comes out with d{output} = 0: is d{output} left out?", without


def equations(
    operation: Operation, inputs: Inputs, names: tuple[str, ...]
) -> tuple[Equation, Equation, tuple[Array, ...]]:
    """Forward and backward, kept, so that their mirrors are traced once; and those of the inputs that are
    arrays. `names`: of the inputs that are differentiated."""
    arrays = tuple(
        i for i, (name, x) in enumerate(zip(operation.inputs, inputs, strict=False))
        if name in names or isinstance(x, np.ndarray | np.generic)
    )  # fmt: skip
    constants = tuple((i, type(x), x) for i, x in enumerate(inputs) if i not in arrays)
    convention = Convention(operation, arrays, constants, names)
    try:
        forward, backward = _equations(convention)
    except TypeError:  # a constant that cannot be hashed, a list for instance
        forward, backward = _equations.__wrapped__(convention)
    return forward, backward, tuple(np.asarray(inputs[i]) for i in arrays)


@lru_cache(maxsize=256)
def _equations(c: Convention) -> tuple[Equation, Equation]:
    o = c.operation
    forward = Equation(
        _named(o, o.forward, "forward"), c.mirrored, c.array_names, o.outputs, c.whole, c.unpack_outputs,
        aliased=Verdict.NOTE,
    )  # fmt: skip
    backward = Equation(
        _named(o, o.backward, "backward"), c.vjp, (*(f"d{out}" for out in o.outputs), *c.array_names),
        c.gradients, c.pack_backward, c.unpack_gradients, cotangents=c.count, aliased=Verdict.NOTE,
        forward=forward, factors=c.factors, differentiated=c.differentiated, mistakes=c.left_out,
    )  # fmt: skip
    return forward, backward


def _named(operation: Operation, function: Function, part: str) -> str:
    names = [getattr(f, "__name__", "<lambda>") for f in (operation.forward, operation.backward)]
    name = getattr(function, "__name__", "<lambda>")
    return f"{operation.name} {part}" if name.startswith("<") or len(set(names)) < 2 else name


def shapes_of_outputs(
    operation: Operation, forward: Equation, backward: Equation, given: tuple[Array, ...]
) -> list[tuple[int, ...]]:
    """From the mirror.

    Raises:
        ValueError: the mirror cannot be evaluated, or not be differentiated, or gives something else.
    """
    wide = [widened(x) for x in given]
    results = _traced(
        forward.reference, wide, f"{operation.name}: the mirror raised",
        "it must take the forward's inputs and use jax.numpy where the forward uses numpy.",
    )  # fmt: skip
    if len(results) != len(operation.outputs):
        raise ValueError(
            f"{operation.name}: the mirror returned {len(results)} outputs, expected "
            f"{len(operation.outputs)}: {', '.join(operation.outputs)}; name them with "
            "Operation(outputs=...), and leave a cache out of the mirror."
        )
    for name, result in zip(operation.outputs, results, strict=True):
        if result.dtype.kind != "f":
            raise ValueError(
                f"{operation.name}: the mirror's {name} has dtype {result.dtype}, expected floats, which JAX "
                "can differentiate; leave it out of outputs and mirror, or do not cast it."
            )
    _traced(
        backward.reference, [*(np.zeros(result.shape) for result in results), *wide],
        f"{operation.name}: JAX cannot differentiate the mirror:",
        "use operations that it can (lax.scan in place of while_loop, real outputs, no casts of the "
        "outputs).",
    )  # fmt: skip
    return [tuple(result.shape) for result in results]


def _traced(function: Function, arrays: list[Array], what: str, remedy: str) -> Inputs:
    try:
        with jax.enable_x64(True):
            return tuple(jax.eval_shape(function, *arrays))
    except Exception as error:
        raise ValueError(f"{what} {raised_at(error)}; {remedy}") from error
