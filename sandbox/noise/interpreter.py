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
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TypeAlias, cast

import jax
import numpy as np
from jax.extend import core

from sandbox.noise import primitives
from sandbox.noise.precision import Precision
from sandbox.noise.primitives import COMPARISONS, DECISIONS, EXACT, ROUNDED, SHORT
from sandbox.noise.sums import of_products, of_sum
from sandbox.typing import Array

SEED = 20_240_229
ENLARGED = 8.0
SPARE = 100  # steps that a sample of a loop may take after the reference has ended


@dataclass(frozen=True, slots=True)
class Sampled:
    """A value with noise: `array` has an axis of samples in front of its own; sample 0 is the reference."""

    array: Array


Value: TypeAlias = Array | Sampled


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
    the number of decisions that rounding may turn, whether a number is beyond the tested dtype."""

    precision: Precision
    samples: int
    bits: np.random.SFC64 = field(default_factory=lambda: np.random.SFC64(SEED))
    unknown: set[str] = field(default_factory=set)
    kinks: int = 0
    overflow: bool = False

    def batched(self, value: Value) -> Array:
        if isinstance(value, Sampled):
            return value.array
        return np.broadcast_to(value, (self.samples + 1, *value.shape))

    def of_input(self, value: Array) -> Value:
        if value.dtype.kind != "f":
            return value
        # Numbers that are equal stay equal: the ties of a maximum, say.
        ordered = np.sort(value.astype(self.precision.dtype, copy=False), axis=None)
        tied = bool(np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)))
        return self.perturbed(value, self.precision.floor(value), tied=tied)

    def rounded(self, name: str, result: Value, *operands: Value) -> Value:
        """The result of an elementwise primitive, with its rounding."""
        y = reference(result)
        deviation = ROUNDED.get(name, 1.0) * self.precision.floor(y)
        if not isinstance(result, Sampled) and y.dtype.kind == "f" and name in SHORT:
            deviation = np.where(self.precision.is_short(y), 0.0, deviation)
        return self.perturbed(result, deviation, key=reference(operands[0]) if len(operands) == 1 else None)

    def perturbed(
        self, value: Value, deviation: Array, tied: bool = False, key: Array | None = None
    ) -> Value:
        """`value` with uniform errors of the given standard deviation in all samples but the reference;
        an infinite one stands for an overflow. If tied, equal numbers err alike; they do so in any case if
        some that are neighbours are equal. The numbers in question are those of the key, if there is one, the
        operand of a function of one: a sigmoid is 1 for many Z, from each of which it errs by something else.
        """
        array, exact = raw(value), reference(value)
        if array.dtype.kind == "c":
            parts = (sampled_like(part, value) for part in (array.real, array.imag))
            real, imaginary = (self.perturbed(part, deviation, tied=tied) for part in parts)
            return sampled_like(raw(real) + 1j * raw(imaginary), real, imaginary)
        if array.dtype.kind != "f":
            return value
        safe = self.precision.holds(array) and bool(np.isfinite(deviation).all())
        if safe and not np.any(deviation):
            return value
        key = exact if key is None or key.dtype.kind != "f" else key
        key = key.astype(self.precision.dtype, copy=False)
        tied = tied or _has_neighbours_equal(key)
        y = np.empty((self.samples + 1, *exact.shape))
        y[0] = exact
        width = deviation if safe else np.nan_to_num(deviation, nan=0.0, posinf=0.0)
        np.multiply(self.uniform(key, tied), width * (np.sqrt(12) / 2**16), out=y[1:])
        y[1:] += array[1:] if isinstance(value, Sampled) else array
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

    def overflown(self, array: Array, certain: Array, samples: Array) -> None:
        """Makes samples infinite that are beyond the largest number, or certain to have been on the way; then
        of either sign by turns, because which partial sum overflows depends on the order of the terms."""
        largest = self.precision.largest
        if np.any((np.abs(array) > largest) | certain):
            self.overflow = True
            by_turns = np.resize((np.inf, -np.inf), len(samples)).reshape(-1, *(1,) * (samples.ndim - 1))
            infinite = np.where(certain, by_turns, np.copysign(np.inf, samples))
            samples[...] = np.where((np.abs(samples) > largest) | certain, infinite, samples)

    def uniform(self, stored: Array, tied: bool) -> Array:
        """Integers in [-2^15, 2^15) for the samples of `stored`; if tied, equal ones for equal numbers.
        Over a width of w the variance is w^2 / 12."""
        values, which = np.unique(stored, return_inverse=True) if tied else (stored, None)
        # 16 bits each, which take a fifth of the time of `random`, are enough for the size of an error.
        count = self.samples * values.size
        words = self.bits.random_raw(-(-count // 4)).view(np.int16)[:count]
        noise = words.reshape(self.samples, *values.shape)
        return noise if which is None else noise[:, which.reshape(stored.shape)]

    def counted(self, decisions: Value) -> Value:
        """The same; counted are those that differ between the samples."""
        if isinstance(decisions, Sampled):
            self.kinks += int(np.count_nonzero((decisions.array[1:] != decisions.array[:1]).any(axis=0)))
        return decisions


def _has_neighbours_equal(y: Array) -> bool:
    """Whether numbers beside each other, in the last axis or the first, are equal in the tested dtype:
    examples that have become the same, say. Then equal numbers are rounded alike."""
    y = np.atleast_1d(y)
    neighbours = (y[..., 1:], y[..., :-1]), (y[1:], y[:-1])
    return any(bool(np.any((after == before) & (after != 0))) for after, before in neighbours)


@lru_cache(maxsize=2048)
def program(jaxpr: core.Jaxpr) -> list[tuple[core.JaxprEqn, list[core.Var]]]:
    """The equations that the results depend on (of a VJP the primal is often not needed), each with the
    variables that are not used after it."""
    needed = {v for v in jaxpr.outvars if isinstance(v, core.Var)}
    steps = []
    for eqn in reversed(jaxpr.eqns):
        if needed.isdisjoint(eqn.outvars):
            continue
        operands = {v for v in eqn.invars if isinstance(v, core.Var)}
        steps.append((eqn, [*(operands - needed), *(v for v in eqn.outvars if v not in needed)]))
        needed |= operands
    return steps[::-1]


def form(var: core.Var) -> jax.core.ShapedArray:
    return cast(jax.core.ShapedArray, var.aval)


def run(state: Evaluation, closed: core.ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
    """The results of a jaxpr."""
    jaxpr = closed.jaxpr
    env: dict[core.Var, Value] = dict(
        zip(jaxpr.constvars, map(primitives.as_array, closed.consts), strict=True)
    )
    env.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: core.Var | core.Literal) -> Value:
        return np.asarray(atom.val) if isinstance(atom, core.Literal) else env[atom]

    for eqn, done_with in program(jaxpr):
        results = evaluated(state, eqn, [read(v) for v in eqn.invars])
        env.update(zip(eqn.outvars, results, strict=True))
        for var in done_with:
            del env[var]
    return [read(v) for v in jaxpr.outvars]


def evaluated(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    name = eqn.primitive.name
    if name in CONTROL:
        return CONTROL[name](state, eqn, values)
    if name in RULES:
        return [RULES[name](state, eqn, values)]
    # A call: of jit, of a checkpoint, of a function with its own derivative.
    inner = next((eqn.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in eqn.params), None)
    if inner is None or name in ("reduce", "reduce_window"):
        return by_jax(state, eqn, values)
    return run(state, core.ClosedJaxpr(inner, ()) if isinstance(inner, core.Jaxpr) else inner, values)


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
        return state.summed(result, of_sum(reference(values[0]), params["axes"], state.precision.of_sums))
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
    deviation = of_products(reference(x), reference(y), state.precision.of_sums)
    return state.summed(result, shaped(deviation))


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
        state.perturbed(v, longest * state.precision.floor(x)) if isinstance(x, np.ndarray) else v
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
        results = run(state, body, [*consts, *carry, *here])
        carry = results[: p["num_carry"]]
        ys.append(results[p["num_carry"] :])
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
    p, spare = eqn.params, SPARE
    first, second = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    carry = values[second:]
    while True:
        [going] = run(state, p["cond_jaxpr"], [*values[:first], *carry])
        spare -= not reference(going)
        if not np.any(raw(going)) or not spare:
            return carry
        results = run(state, p["body_jaxpr"], [*values[first:second], *carry])
        carry = [_chosen(state, going, options) for options in zip(carry, results, strict=True)]


def conditional(state: Evaluation, eqn: core.JaxprEqn, values: list[Value]) -> list[Value]:
    branches = eqn.params["branches"]
    index = behind(lambda i, lead: np.clip(i.astype(int), 0, len(branches) - 1), values[0])
    which = np.unique(raw(index))
    if len(which) == 1:
        return run(state, branches[which[0]], values[1:])
    state.kinks += 1
    results = [run(state, branch, values[1:]) for branch in branches]
    return [_chosen(state, index, options) for options in zip(*results, strict=True)]


def _chosen(state: Evaluation, index: Value, options: Sequence[Value]) -> Value:
    """For each sample the option of its index."""
    which = raw(index).astype(int)
    if which.min() == which.max():
        return options[int(which.flat[0])]
    stacked = np.stack([state.batched(option) for option in options])
    return Sampled(stacked[which, np.arange(state.samples + 1)])


CONTROL = {"scan": scan, "while": while_loop, "cond": conditional}
