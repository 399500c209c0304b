"""Evaluates a jaxpr with rounding errors: in samples, of which the first is the unperturbed reference.

A value that an error has reached is `Sampled`; one without noise is a plain array. Beside the errors of the
primitives (see `sandbox.noise.primitives`):

* An input errs by u |x|, because code is as good as one can ask for if it gives what belongs to inputs that
  round to the same numbers (backward stability; Higham, *Accuracy and Stability of Numerical Algorithms*,
  2002, section 1.5). A textbook formula for the gradient of a batch normalisation is no better than that.
* Equal numbers in an elementwise operation are rounded alike; in a function of one operand, equal operands.
* Complex numbers: the real and the imaginary part err by as much as the modulus would.
* Below the smallest normal number the absolute error is up to that number, because many kernels flush
  subnormal numbers to 0; above the largest number the sample becomes infinite, as it does in the dtype.
* A comparison is decided with the deviation of its operands enlarged T = 8 times, in each sample:
  whichever way rounding may turn it, some samples turn it so, and sigma covers both branches.

Large values are evaluated with a few samples at a time. What depends on the reference alone is found out once
for each place, that is, each perturbation in each equation of each iteration.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from typing import TypeAlias, TypeVar, cast

import jax
import numpy as np
import numpy.typing as npt
from jax.extend import core

from sandbox.noise import primitives
from sandbox.noise.draws import Draws, Place
from sandbox.noise.precision import Precision
from sandbox.noise.primitives import COMPARISONS, DECISIONS, EXACT, ROUNDED, SHORT
from sandbox.noise.sums import of_products, of_sum
from sandbox.typing import Array

ENLARGED = 8.0
SPARE = 100  # steps that a sample of a loop may take after the reference has ended
PIECE = 1 << 15  # numbers that are perturbed at a time


@dataclass(frozen=True, slots=True)
class Sampled:
    """A value with noise: `array` has an axis of samples in front of its own; sample 0 is the reference."""

    array: Array


Value: TypeAlias = Array | Sampled
_T = TypeVar("_T")


def raw(value: Value) -> Array:
    return value.array if isinstance(value, Sampled) else value


def reference(value: Value) -> Array:
    return value.array[0, ...] if isinstance(value, Sampled) else value


def sampled_like(array: Array, *operands: Value) -> Value:
    """`array`, computed from the arrays of the operands, as a value: with samples if any of them has some."""
    return Sampled(array) if any(isinstance(v, Sampled) for v in operands) else array


def behind(rule: Callable[[Array, int], Array], value: Value) -> Value:
    """`rule` of the array and of the number of axes in front of its own."""
    return Sampled(rule(value.array, 1)) if isinstance(value, Sampled) else rule(value, 0)


def aligned(values: Sequence[Value]) -> list[Array]:
    """Arrays of one shape or scalars, given axes such that they broadcast with the samples in front."""
    ndim = max(reference(v).ndim for v in values)

    def filled(x: Array, lead: int) -> Array:
        return x.reshape(x.shape[:lead] + (1,) * (lead + ndim - x.ndim) + x.shape[lead:])

    return [raw(behind(filled, v)) for v in values]


@dataclass
class Evaluation:
    """Where one evaluation takes its errors from, and what it has met so far: primitives that are not known,
    the decisions that rounding may turn, whether a number is beyond the tested dtype.

    `total` samples, of which `samples` at a time; if in `parts`, what will be asked for again is kept.
    `equation` is the place of the one that is evaluated: its number, and those of the ones around it with the
    turn of a loop; `perturbations` counts those in it.
    """

    precision: Precision
    total: int
    samples: int
    parts: bool = False
    unknown: set[str] = field(default_factory=set)
    overflow: bool = False
    equation: Place = ()
    perturbations: int = 0
    _turned: dict[Place, set[int]] = field(default_factory=dict)
    _known: dict[tuple[Place, str], object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draws = Draws(self.total)

    @property
    def place(self) -> Place:
        return (*self.equation, self.perturbations)

    def enter(self, *equation: int) -> None:
        self.equation, self.perturbations = equation, 0

    def once(self, what: str, make: Callable[[], _T]) -> _T:
        """What depends on the reference alone."""
        if not self.parts:
            return make()
        key = self.place, what
        if key not in self._known:
            self._known[key] = make()
        return cast(_T, self._known[key])

    @property
    def kinks(self) -> int:
        return sum(map(len, self._turned.values()))

    def batched(self, value: Value) -> Array:
        if isinstance(value, Sampled):
            return value.array
        return np.broadcast_to(value, (self.samples + 1, *value.shape))

    def of_input(self, number: int, value: Array) -> Value:
        if value.dtype.kind != "f":
            return value
        self.enter(-1 - number)
        tied = self.once("equal", partial(_has_equal, value, self.precision))
        return self.perturbed(value, self.precision.floor(value), tied=tied)

    def rounded(self, name: str, result: Value, *operands: Value) -> Value:
        """The result of an elementwise primitive, with its rounding."""
        y = reference(result)
        deviation = ROUNDED.get(name, 1.0) * self.precision.floor(y)
        if not isinstance(result, Sampled) and y.dtype.kind == "f" and name in SHORT:
            deviation = np.where(self.precision.is_short(y), 0.0, deviation)
        return self.perturbed(result, deviation, key=reference(operands[0]) if len(operands) == 1 else None)

    def perturbed(
        self, value: Value, deviation: Array, tied: bool = False, key: Array | None = None, own: bool = True
    ) -> Value:
        """`value` with uniform errors of the given standard deviation in all samples but the reference;
        an infinite one stands for an overflow. If tied, equal numbers err alike; they do so in any case if
        some that are neighbours are equal. The numbers in question are those of the key, if there is one, the
        operand of a function of one: a sigmoid is 1 for many Z, from each of which it errs by something else.
        The samples of a value of one's own may be written over.
        """
        self.perturbations += 1
        array, exact = raw(value), reference(value)
        if array.dtype.kind == "c":
            parts = (sampled_like(part, value) for part in (array.real, array.imag))
            real, imaginary = (self.perturbed(part, deviation, tied=tied, own=own) for part in parts)
            return sampled_like(raw(real) + 1j * raw(imaginary), real, imaginary)
        if array.dtype.kind != "f":
            return value
        safe = self.precision.holds(array) and bool(np.isfinite(deviation).all())
        if safe and not np.any(deviation):
            return value
        key = exact if key is None or key.dtype.kind != "f" else key
        key = key.astype(self.precision.dtype, copy=False)
        tied = tied or self.once("neighbours", partial(_has_neighbours_equal, key))
        y = array if own and safe and _may_change(value) else self.separate(value)
        width = deviation if safe else np.nan_to_num(deviation, nan=0.0, posinf=0.0)
        self.add_errors(y[1:], width * (np.sqrt(12) / 2**16), key if tied else None)
        if tied:  # numbers that differ by less than a rounding become one and the same
            stored = exact.astype(self.precision.dtype, copy=False)
            y[1:] += np.where(np.isfinite(stored), stored - exact, 0.0)
        if not safe:
            self.overflown(array, np.isinf(deviation), y[1:])
        return Sampled(y)

    def summed(self, result: Value, deviation: Array) -> Value:
        """A sum that errs by `deviation`, and is stored."""
        if self.precision.of_sums is not self.precision:
            deviation = np.hypot(deviation, self.precision.floor(reference(result)))
        return self.perturbed(result, deviation)

    def separate(self, value: Value) -> Array:
        """The samples in an array of their own, in double precision."""
        y = np.empty((self.samples + 1, *reference(value).shape))
        y[...] = raw(value)
        return y

    def add_errors(self, samples: Array, unit: Array, equal: Array | None) -> None:
        """Adds integers in [-2^15, 2^15) times the unit, equal ones for equal numbers. Over a width of w the
        variance is w^2 / 12."""
        size = math.prod(samples.shape[1:])
        if equal is None:
            integers = self.integers(size).reshape(samples.shape)
        else:
            count, which = self.once("which", partial(_numbered, equal))
            integers = self.integers(count)[:, which]
        step = max(PIECE // max(size, 1), 1)
        for first in range(0, self.samples, step):
            samples[first : first + step] += integers[first : first + step] * unit

    def integers(self, size: int) -> npt.NDArray[np.int16]:
        if self.parts:
            return self.draws.some(self.place, self.samples, size)
        return self.draws.all(size)

    def overflown(self, array: Array, certain: Array, samples: Array) -> None:
        """Makes samples infinite that are beyond the largest number, or certain to have been on the way; then
        of either sign by turns, because which partial sum overflows depends on the order of the terms."""
        largest = self.precision.largest
        if np.any((np.abs(array) > largest) | certain):
            self.overflow = True
            by_turns = np.resize((np.inf, -np.inf), len(samples)).reshape(-1, *(1,) * (samples.ndim - 1))
            infinite = np.where(certain, by_turns, np.copysign(np.inf, samples))
            samples[...] = np.where((np.abs(samples) > largest) | certain, infinite, samples)

    def counted(self, decisions: Value) -> Value:
        """The same; counted are those that differ between the samples."""
        if isinstance(decisions, Sampled):
            self.turned((decisions.array[1:] != decisions.array[:1]).any(axis=0))
        return decisions

    def turned(self, differ: Array) -> None:
        if differ.any():
            self._turned.setdefault(self.equation, set()).update(np.flatnonzero(differ).tolist())


def _may_change(value: Value) -> bool:
    array = raw(value)
    return isinstance(value, Sampled) and array.flags.writeable and array.dtype == np.float64


def _has_equal(value: Array, precision: Precision) -> bool:
    """Whether numbers are equal in the tested dtype, and stay so: the ties of a maximum, say."""
    ordered = np.sort(value.astype(precision.dtype, copy=False), axis=None)
    return bool(np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)))


def _has_neighbours_equal(y: Array) -> bool:
    """Whether numbers beside each other, in the last axis or the first, are equal in the tested dtype:
    examples that have become the same, say. Then equal numbers are rounded alike."""
    y = np.atleast_1d(y)
    neighbours = (y[..., 1:], y[..., :-1]), (y[1:], y[:-1])
    return any(bool(np.any((after == before) & (after != 0))) for after, before in neighbours)


def _numbered(stored: Array) -> tuple[int, Array]:
    """How many different numbers there are, and which of them each one is."""
    values, which = np.unique(stored, return_inverse=True)
    return values.size, which.reshape(stored.shape)


@lru_cache(maxsize=2048)
def program(jaxpr: core.Jaxpr) -> list[tuple[core.JaxprEqn, list[core.Var]]]:
    """The equations that the results depend on (of a VJP the primal is often not needed), each with the
    variables that are not used after it."""
    needed = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
    used: set[core.Var] = set()
    steps = []
    for eqn in reversed(jaxpr.eqns):
        if needed.isdisjoint(eqn.outvars):
            continue
        operands = {v for v in eqn.invars if isinstance(v, core.Var)}
        here = operands.union(eqn.outvars)
        steps.append((eqn, [v for v in here if v not in used]))
        used |= here
        needed |= operands
    return steps[::-1]


def form(var: core.Var) -> jax.core.ShapedArray:
    return cast(jax.core.ShapedArray, var.aval)


def inner(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """The jaxprs that an equation evaluates, or may evaluate."""
    for value in eqn.params.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, core.Jaxpr | core.ClosedJaxpr):
                yield one.jaxpr if isinstance(one, core.ClosedJaxpr) else one


Given: TypeAlias = Value | Callable[[], Value]
"""An argument, or what makes it when it is first needed."""


def results(
    state: Evaluation, closed: core.ClosedJaxpr, arguments: Sequence[Given], turn: int = 0
) -> Iterator[tuple[int, Value]]:
    """The results of a jaxpr with their numbers, each as soon as nothing else needs it."""
    jaxpr, around = closed.jaxpr, (*state.equation, turn)
    env: dict[core.Var, Given] = dict(
        zip(jaxpr.constvars, map(primitives.as_array, closed.consts), strict=True)
    )
    env.update(zip(jaxpr.invars, arguments, strict=True))
    numbers: dict[core.Var, list[int]] = {}
    for i, atom in enumerate(jaxpr.outvars):
        if isinstance(atom, core.Var):
            numbers.setdefault(atom, []).append(i)

    def read(atom: core.Var | core.Literal) -> Value:
        if isinstance(atom, core.Literal):
            return np.asarray(atom.val)
        value = env[atom]
        if callable(value):
            env[atom] = value = value()
        return value

    for n, (eqn, done_with) in enumerate(program(jaxpr)):
        values = [read(v) for v in eqn.invars]
        state.enter(*around, n)
        env.update(zip(eqn.outvars, evaluated(state, eqn, values), strict=True))
        del values
        for var in done_with:
            yield from ((i, read(var)) for i in numbers.pop(var, ()))
            del env[var]
    # What no equation has to do with.
    yield from ((i, read(x)) for i, x in enumerate(jaxpr.outvars) if isinstance(x, core.Literal))
    for var, places in numbers.items():
        yield from ((i, read(var)) for i in places)
        del env[var]
    state.equation = around[:-1]


def run(
    state: Evaluation, closed: core.ClosedJaxpr, arguments: Sequence[Given], turn: int = 0
) -> list[Value]:
    """The results of a jaxpr, in their order."""
    by_number = dict(results(state, closed, arguments, turn))
    return [by_number[i] for i in range(len(by_number))]


def evaluated(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    if name in CONTROL:
        return CONTROL[name](state, eqn, values)
    if name in RULES:
        return [RULES[name](state, eqn, values)]
    # A call: of jit, of a checkpoint, of a function with its own derivative.
    called = next(
        (eqn.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in eqn.params), None
    )
    if called is None or name in ("reduce", "reduce_window"):
        return by_jax(state, eqn, values)
    return run(state, core.ClosedJaxpr(called, ()) if isinstance(called, core.Jaxpr) else called, values)


def elementwise(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> Value:
    name = eqn.primitive.name
    operands = aligned([behind(_enlarged, v) for v in values] if name in COMPARISONS else values)
    result = sampled_like(np.asarray(primitives.ELEMENTWISE[name](*operands)), *values)
    if name in DECISIONS:
        return state.counted(result)
    # x + 0 is exact.
    if name in EXACT or (name in ("add", "sub", "add_any") and not all(np.any(v) for v in operands)):
        return result
    if name in ("exp", "mul", "div"):  # a result that underflows to 0 was not 0
        regular = ((x != 0) & np.isfinite(x) | (name == "exp") for x in map(reference, values))
        lost = reduce(np.logical_and, regular, reference(result) == 0)
        result = state.perturbed(result, np.where(lost, state.precision.underflow, 0.0))
    return state.rounded(name, result, *values)


def _enlarged(x: Array, lead: int) -> Array:
    """The samples with T times their deviation from the reference."""
    return x[:1] + ENLARGED * np.nan_to_num(x - x[:1], nan=0.0) if lead else x


def of_one(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> Value:
    name, params = eqn.primitive.name, eqn.params
    result = behind(lambda x, lead: primitives.OF_ONE[name](x, lead, params), values[0])
    if name in EXACT or raw(result).dtype.kind not in "fc":
        return result
    if name == "reduce_sum":
        terms = reference(values[0])
        of_terms = partial(of_sum, terms, params["axes"], state.precision.of_sums)
        return state.summed(result, state.once("sum", of_terms))
    return state.rounded(name, result, *values)


def dot_general(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> Value:
    (contract_x, contract_y), (batch_x, batch_y) = eqn.params["dimension_numbers"]
    x = behind(lambda a, lead: primitives.matrices(a, lead, batch_x, contract_x, last=True), values[0])
    y = behind(lambda a, lead: primitives.matrices(a, lead, batch_y, contract_y, last=False), values[1])
    return _product(state, x, y, lambda xy: xy.reshape(xy.shape[:-3] + form(eqn.outvars[0]).shape))


def convolution(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> Value:
    left, right, windows = primitives.patches(raw(values[0]), raw(values[1]), eqn.params)
    x, w = sampled_like(left, values[0]), sampled_like(right, values[1])
    return _product(state, x, w, lambda xw: primitives.unpatched(xw, windows, eqn.params))


def _product(state: Evaluation, x: Value, y: Value, shaped: Callable[[Array], Array]) -> Value:
    """x @ y of (batch, n, k) and (batch, k, o), in the shape of the result."""
    result = sampled_like(shaped(raw(x) @ raw(y)), x, y)
    if raw(result).dtype.kind not in "fc":
        return result
    of_factors = partial(of_products, reference(x), reference(y), state.precision.of_sums)
    return state.summed(result, shaped(state.once("sum", of_factors)))


def accumulated(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> Value:
    """Running sums and products, and sums whose terms an index chooses."""
    [result] = _vectorised(eqn, values)
    if raw(result).dtype.kind not in "fc":
        return result
    y, u = reference(result), state.precision.of_sums.u
    deviation = primitives.ACCUMULATED[eqn.primitive.name](eqn, y, [reference(v) for v in values], u)
    return state.summed(result, u * deviation + np.where(y != 0, state.precision.underflow, 0.0))


def by_jax(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    """Any other primitive."""
    name = eqn.primitive.name
    if name in EXACT:
        return [state.counted(r) if name in DECISIONS else r for r in _vectorised(eqn, values)]
    if name in ROUNDED:
        return [state.rounded(name, r, *values) for r in _vectorised(eqn, values)]
    state.unknown.add(name)
    return [state.rounded(name, r) for r in _vectorised(eqn, _backward_stable(state, values))]


def _backward_stable(state: Evaluation, values: list[Value]) -> list[Value]:
    """Operands that are each off by u sqrt(k) |x|, k the length of the longest axis of all."""
    exact = [reference(v) for v in values]
    longest = np.sqrt(max((size for x in exact for size in x.shape), default=1))
    return [
        state.perturbed(v, longest * state.precision.floor(x), own=False) if isinstance(x, np.ndarray) else v
        for v, x in zip(values, exact, strict=True)
    ]


def _vectorised(eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    """The results of an equation by JAX itself, over all samples."""
    arrays, axes = [raw(v) for v in values], [0 if isinstance(v, Sampled) else None for v in values]
    if not any(isinstance(v, Sampled) for v in values):
        return [primitives.as_array(r) for r in primitives.bind(eqn, arrays)]
    try:
        results = jax.vmap(lambda *x: primitives.bind(eqn, x), in_axes=axes)(*arrays)
    except NotImplementedError:  # a primitive that JAX cannot vectorise
        count = max(len(v.array) for v in values if isinstance(v, Sampled))
        each = [[v.array[i] if isinstance(v, Sampled) else v for v in values] for i in range(count)]
        results = [np.stack(r) for r in zip(*(primitives.bind(eqn, x) for x in each), strict=True)]
    return [Sampled(primitives.as_array(r)) for r in results]


RULES = {
    **dict.fromkeys(primitives.ELEMENTWISE, elementwise),
    **dict.fromkeys(primitives.OF_ONE, of_one),
    **dict.fromkeys(primitives.ACCUMULATED, accumulated),
    "dot_general": dot_general,
    "conv_general_dilated": convolution,
}


def scan(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    p, body = eqn.params, eqn.params["jaxpr"]
    first, second = p["num_consts"], p["num_consts"] + p["num_carry"]
    consts, carry, xs = values[:first], values[first:second], values[second:]
    forward = 1 - 2 * p["reverse"]
    ys: list[list[Value]] = []
    for i in range(p["length"])[::forward]:
        here = [Sampled(x.array[:, i]) if isinstance(x, Sampled) else x[i, ...] for x in xs]
        made = run(state, body, [*consts, *carry, *here], turn=i)
        carry = made[: p["num_carry"]]
        ys.append(made[p["num_carry"] :])
    outvars = eqn.outvars[p["num_carry"] :]
    return [*carry, *(_stacked(state, [y[j] for y in ys[::forward]], v) for j, v in enumerate(outvars))]


def _stacked(state: Evaluation, column: list[Value], var: core.Var) -> Value:
    """The results of all steps of a scan, in an axis in front."""
    if not column:
        return np.zeros(form(var).shape, form(var).dtype)
    if any(isinstance(y, Sampled) for y in column):
        return Sampled(np.stack([state.batched(y) for y in column], axis=1))
    return np.stack([raw(y) for y in column])


def while_loop(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    """Every sample goes on until its own condition fails, at most SPARE steps longer than the reference."""
    p, spare, turn = eqn.params, SPARE, 0
    first, second = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    carry = values[second:]
    while True:
        [going] = run(state, p["cond_jaxpr"], [*values[:first], *carry], turn)
        spare -= not reference(going)
        if not np.any(raw(going)) or not spare:
            return carry
        made = run(state, p["body_jaxpr"], [*values[first:second], *carry], turn + 1)
        carry = [_chosen(state, going, options) for options in zip(carry, made, strict=True)]
        turn += 2


def conditional(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    branches = eqn.params["branches"]
    index = behind(lambda i, lead: np.clip(i.astype(int), 0, len(branches) - 1), values[0])
    which = np.unique(raw(index))
    if len(which) == 1:
        return run(state, branches[which[0]], values[1:], int(which[0]))
    state.turned(np.ones(1, bool))
    made = [run(state, branch, values[1:], turn) for turn, branch in enumerate(branches)]
    return [_chosen(state, index, options) for options in zip(*made, strict=True)]


def _chosen(state: Evaluation, index: Value, options: Sequence[Value]) -> Value:
    """For each sample the option of its index."""
    which = raw(index).astype(int)
    if which.min() == which.max():
        return options[int(which.flat[0])]
    stacked = np.stack([state.batched(option) for option in options])
    return Sampled(stacked[which, np.arange(state.samples + 1)])


CONTROL = {"scan": scan, "while": while_loop, "cond": conditional}
