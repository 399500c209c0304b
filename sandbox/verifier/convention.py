"""How a user's operation is called: its forward and backward as equations of the array inputs alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import numpy as np

from sandbox.noise import trace, widened
from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.circular import own_rules
from sandbox.verifier.equation import Equation, dtype_of
from sandbox.verifier.loading import raised_at
from sandbox.verifier.nested import Path, as_key, copied, mapped
from sandbox.verifier.rows import Verdict

if TYPE_CHECKING:
    from sandbox.verifier.operation import Operation


@dataclass(frozen=True)
class Slot:
    """Stands for an array among the inputs, or for a number of Python (of type `number`) that is
    differentiated. `path` leads to it: the place of the input, then keys and indices."""

    name: str
    path: Path
    index: int
    number: type | None = None


@dataclass(frozen=True)
class Template:
    """The inputs with slots for their arrays; equal if their keys are."""

    key: Value
    inputs: Inputs = field(compare=False)


@dataclass(frozen=True)
class Convention:
    """An operation with some of its inputs fixed.

    Attributes:
        slots: of the template, in order.
        names: of the slots that are differentiated.
    """

    operation: Operation
    template: Template
    slots: tuple[Slot, ...]
    names: tuple[str, ...]

    @property
    def array_names(self) -> tuple[str, ...]:
        return tuple(slot.name for slot in self.slots)

    @property
    def differentiated(self) -> tuple[int, ...]:
        """Which of the arrays are."""
        return tuple(slot.index for slot in self.slots if slot.name in self.names)

    @property
    def gradients(self) -> tuple[str, ...]:
        return tuple(f"d{self.array_names[j]}" for j in self.differentiated)

    @property
    def count(self) -> int:
        """The number of outputs, and so of cotangents."""
        return len(self.operation.outputs)

    def whole(self, *given: Value) -> Inputs:
        """All inputs, from the arrays; what is no array is a copy (a generator of random numbers, say)."""

        def filled(path: Path, x: Value) -> Value:
            return given[x.index] if isinstance(x, Slot) else copied(x)

        return tuple(mapped(filled, self.template.inputs))

    def called(self, *given: Value) -> Inputs:
        """The same for the tested functions, to which a number of Python is handed as one."""
        numbers = (
            x if slot.number is None else _number(x, slot.number)
            for x, slot in zip(given, self.slots, strict=True)
        )
        return self.whole(*numbers)

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
        alone = self.operation.alone  # which may have a cache, or none
        if values is None and (self.count == 1 and (alone or not cached)):
            return (result,)
        if values is not None and len(values) in (self.count + cached, self.count + cached - alone):
            return tuple(values[: self.count])
        parts = ", ".join(self.operation.outputs + ("cache",) * cached)
        got = f"a {type(result).__name__}" if values is None else f"{len(values)} values"
        hint = ', or Operation(convention="inputs")' if cached else ""
        raise ValueError(f"it returned {got}, expected ({parts}){hint}.")

    def pack_backward(self, *inputs: Value) -> Inputs:
        cotangents, given = inputs[: self.count], inputs[self.count :]
        if self.operation.convention == "inputs":
            return (*cotangents, *self.called(*given))
        return (*cotangents, self.operation.forward(*copied(self.called(*given)))[-1])

    def unpack_gradients(self, result: Value) -> Inputs:
        """From a dict; or an array or a tuple, of the differentiated inputs or of all that are given, each
        in the form of its input; or of all arrays, one by one.

        Raises:
            ValueError: one is missing.
        """
        slots = [self.slots[j] for j in self.differentiated]
        values = self._by_place(result, self._places)
        if values is not None:
            return tuple(_within(values, slot, result) for slot in slots)
        if isinstance(result, tuple | list) and len(result) == len(slots):
            return tuple(result)
        expected = ", ".join(f"d{self.operation.inputs[i]}" for i in self._places)
        count = len(result) if isinstance(result, tuple | list) else 1
        raise ValueError(
            f"it returned {count} gradients, expected {expected}; Operation(differentiable=...) names others."
        )

    @property
    def _places(self) -> list[int]:
        """Of the inputs of which something is differentiated."""
        return sorted({self.slots[j].path[0] for j in self.differentiated})

    def _by_place(self, result: Value, places: Sequence[int]) -> dict[int, Value] | None:
        """What the result holds for each of these inputs; None if it cannot be told."""
        names, given = self.operation.inputs, self.template.inputs
        if isinstance(result, Mapping):
            flat = {i: result for i in places if isinstance(given[i], dict)}  # with the keys of its only dict
            return flat | {i: result[k] for i in places for k in (names[i], f"d{names[i]}") if k in result}
        sequence = isinstance(result, tuple | list)
        if len(places) == 1 and (not sequence or _is_like(result, given[places[0]])):
            return {places[0]: result}
        if sequence and len(result) == len(places):
            return dict(zip(places, result, strict=True))
        return dict(enumerate(result)) if sequence and len(given) <= len(result) <= len(names) else None

    def numbers_returned(self, result: Value) -> tuple[str, ...]:
        """The numbers of Python that are not differentiated and for which a backward returned a gradient; of
        whole numbers, which are counts as a rule, one that is not 0."""
        every = range(len(self.template.inputs))
        values = (self._by_place(result, self._places) or {}) | (self._by_place(result, every) or {})
        found: list[str] = []

        def look(path: Path, x: Value) -> None:
            if type(x) not in (float, int):
                return
            slot = Slot(input_name(self.operation, path), path, -1)
            with contextlib.suppress(ValueError):
                gradient = _within(values, slot, result)
                if gradient is not None and (type(x) is float or np.any(gradient)):
                    found.append(slot.name)

        mapped(look, self.template.inputs)
        return tuple(found)

    def left_out(self, *inputs: Value) -> Iterator[tuple[str, Inputs]]:
        """What comes of one cotangent of several being forgotten."""
        for i, output in enumerate(self.operation.outputs if self.count > 1 else ()):
            without = (*inputs[:i], np.zeros_like(inputs[i]), *inputs[i + 1 :])
            yield f"It is what comes out with d{output} = 0: is d{output} left out?", without


def _number(x: Value, kind: type) -> Value:
    number = x.item()
    return int(number) if kind is int and isinstance(number, float) and number.is_integer() else number


def input_name(operation: Operation, path: Path) -> str:
    """As one writes it: params['W1']."""
    return operation.inputs[path[0]] + "".join(f"[{key!r}]" for key in path[1:])


def _is_like(result: Sequence[Value], x: Value) -> bool:
    """Whether a list of gradients is that of an input that is a list, and not a tuple that holds it."""
    nested = len(result) == 1 and isinstance(result[0], tuple | list | Mapping)
    return isinstance(x, tuple | list) and len(result) == len(x) and not nested


def _within(values: Mapping[int, Value], slot: Slot, result: Value) -> Value:
    """What the result holds for a slot.

    Raises:
        ValueError: nothing.
    """
    place, *keys = slot.path
    missing = f"without d{slot.name}."
    if place not in values:
        raise ValueError(f"it returned the keys {', '.join(map(str, result))}, {missing}")
    value = values[place]
    for key in keys:
        if isinstance(value, Mapping):
            held = ", ".join(map(str, value))
            found = [value[k] for k in (key, f"d{key}") if k in value]
            if not found:
                raise ValueError(f"it returned the keys {held}, {missing}")
            value = found[0]
        elif isinstance(value, tuple | list) and isinstance(key, int) and key < len(value):
            value = value[key]
        elif value is not None:
            raise ValueError(
                f"it returned a {type(value).__name__} of another form than {slot.name}, {missing}"
            )
    return value


@dataclass(frozen=True)
class Bound:
    """An operation at given inputs: its equations, the arrays among the inputs, the shapes of the outputs."""

    convention: Convention
    forward: Equation
    backward: Equation
    given: tuple[Array, ...]
    shapes: list[tuple[int, ...]]


_OWN_RULES = (
    "the mirror's gradient follows from a rule of its own, that of {}, and not from what it computes: is it "
    "the backward that is to be checked? Write the mirror in jax.numpy, without custom_vjp and custom_jvp."
)


def bound(operation: Operation, inputs: Inputs, names: tuple[str, ...]) -> Bound:
    """`names`: of the arrays and numbers of Python that are differentiated.

    Raises:
        ValueError: the mirror cannot be evaluated, or not be differentiated, or gives something else.
    """
    slots: list[Slot] = []
    values: list[Value] = []

    def taken(path: Path, x: Value) -> Value:
        name, array = input_name(operation, path), isinstance(x, np.ndarray | np.generic)
        if not array and name not in names:
            return x
        slots.append(Slot(name, path, len(slots), None if array else type(x)))
        values.append(x)
        return slots[-1]

    template = mapped(taken, inputs)
    dtype = dtype_of(tuple(x for x, slot in zip(values, slots, strict=True) if slot.number is None))
    given = tuple(
        np.asarray(x, None if slot.number is None else dtype) for x, slot in zip(values, slots, strict=True)
    )
    convention = Convention(operation, Template(as_key(template), template), tuple(slots), names)
    try:
        forward, backward = _equations(convention)
    except TypeError:  # a constant that cannot be hashed, a generator of random numbers for instance
        forward, backward = _equations.__wrapped__(convention)
    shapes = shapes_of_outputs(operation, forward, backward, given)
    rules = ", ".join(dict.fromkeys(own_rules(trace(forward.reference, *given)[0].jaxpr)))
    backward = replace(backward, unjudged=_OWN_RULES.format(rules)) if rules else backward
    return Bound(convention, forward, backward, given, shapes)


@lru_cache(maxsize=256)
def _equations(c: Convention) -> tuple[Equation, Equation]:
    o = c.operation
    forward = Equation(
        _named(o, o.forward, "forward"), c.mirrored, c.array_names, o.outputs, c.called, c.unpack_outputs,
        aliased=Verdict.NOTE,
    )  # fmt: skip
    backward = Equation(
        _named(o, o.backward, "backward"), c.vjp, (*(f"d{out}" for out in o.outputs), *c.array_names),
        c.gradients, c.pack_backward, c.unpack_gradients, cotangents=c.count, aliased=Verdict.NOTE,
        forward=forward, factors=c.factors, differentiated=c.differentiated, mistakes=c.left_out,
    )  # fmt: skip
    return forward, backward


def _named(operation: Operation, function: Function | None, part: str) -> str:
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
    if operation.alone:
        return [tuple(result.shape) for result in results]
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
