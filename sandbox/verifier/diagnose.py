"""From a mismatch to the mistake behind it, in plain words, where one is recognised.

A candidate explanation is an array that the mistake would have produced; it is given when the
computed output is that array and is not the reference. Nothing is decided here: the verdict stands
before, and an output without a recognised pattern has failed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from sandbox.noise import Measured
from sandbox.typing import Array, Dtype, Value

Candidates = Callable[[], Iterator[tuple[str, Value]]]
"""Called when an output is wrong: yields (explanation, what the mistake would have produced)."""

_SLACK = 4.0  # a candidate carries rounding errors of its own


_Explanation = Callable[["_Mismatch"], str]


@dataclass(frozen=True)
class _Mismatch:
    """An output c and what it should be, g.

    Attributes:
        tight: what agrees with the reference to this is right. near: a candidate need only be so.
        inputs: by name, what the function was given.
    """

    c: Array
    g: Array
    tight: Array
    near: Array
    precision: float
    dtype: Dtype
    inputs: Mapping[str, Value]


def pattern(
    computed: Array, expected: Measured, threshold: float, inputs: Mapping[str, Value], candidates: Candidates
) -> str:
    """The mistake that explains `computed`, or "".

    Args:
        threshold: the allowed |computed - reference| / sigma.
        inputs: by name, what the function was given.
        candidates: explanations that belong to this function.
    """
    c, g = computed.astype(np.float64), expected.reference
    if not np.isfinite(c).all():
        return _not_finite(c) if np.isfinite(g).all() else ""
    with np.errstate(all="ignore"):
        precision = 1e-3 if computed.dtype.itemsize < 8 else 1e-7
        tight = threshold * expected.sigma
        near = _SLACK * tight + precision * _magnitude(g) / 100
        x = _Mismatch(c, g, tight, near, precision, computed.dtype, inputs)
        text = _recognised(x, _OF_ANY_SHAPE) or _candidate(x, candidates)
        return text or (_recognised(x, _OF_THE_SAME_SHAPE) if c.shape == g.shape else "")


def _recognised(x: _Mismatch, explanations: Sequence[_Explanation]) -> str:
    return next((text for explain in explanations if (text := explain(x))), "")


def _not_finite(c: Array) -> str:
    bad = np.argwhere(~np.isfinite(c))
    index = [int(i) for i in bad[0]]
    return f"{len(bad)} of {c.size} entries are NaN or infinite, the first at {index}."


def _candidate(x: _Mismatch, candidates: Candidates) -> str:
    for text, candidate in candidates():
        y = np.asarray(candidate, dtype=np.float64)
        close = x.precision * max(_magnitude(y), np.finfo(float).tiny)
        different = y.shape != x.g.shape or np.any(np.abs(y - x.g) > close)
        if y.shape == x.c.shape and different and np.all(np.abs(x.c - y) <= close):
            return text
    return ""


# --- sums and shapes ------------------------------------------------------------------------------

_AXES = {-1: "last axis", -2: "axis before the last"}


def _wrong_axis(x: _Mismatch) -> str:
    """The reference is a sum (or mean) of an input over one axis, and computed is that over another."""
    for name, value in x.inputs.items():
        given = np.asarray(value)
        if given.ndim < 2 or min(given.shape[-2:]) < 2 or given.dtype.kind != "f":
            continue
        if np.isfinite(given).all() and (text := _summed_over_another(x, name, given)):
            return text
    return ""


def _summed_over_another(x: _Mismatch, name: str, given: Array) -> str:
    sums = {axis: np.sum(given, axis=axis, dtype=np.float64).ravel() for axis in _AXES}
    factors = {axis: _factor(x.g.ravel(), total) for axis, total in sums.items()}
    for right, wrong in ((-1, -2), (-2, -1)):
        if factors[right] and not factors[wrong] and _factor(x.c.ravel(), sums[wrong]):
            return (
                f"It is a sum of {name} over the {_AXES[wrong]}, where one over the {_AXES[right]} "
                "is due: is the axis wrong?"
            )
    return ""


def _factor(c: Array, x: Array) -> float:
    """k with c = k x, or 0."""
    if c.shape != x.shape or not np.any(x):
        return 0.0
    k = float(np.vdot(c, x) / np.vdot(x, x))
    return k if _close(c, k * x) else 0.0


def _transposed(x: _Mismatch) -> str:
    if x.c.ndim > 1 and max(x.c.shape[-2:]) > 1 and not _is(x, x.c) and _is(x, np.swapaxes(x.c, -1, -2)):
        return "It is the transpose of the reference."
    return ""


def _reshaped(x: _Mismatch) -> str:
    if x.c.shape != x.g.shape and x.c.size == x.g.size and _is(x, x.c.reshape(x.g.shape)):
        return "The values are right and the shape is not: is keepdims=True (or a reshape) missing?"
    return ""


_REDUCTIONS: dict[str, Callable[..., Value]] = {"sum": np.sum, "mean": np.mean}


def _not_summed(x: _Mismatch) -> str:
    """Of another size, and of a reference that is not 0, which any sum of zeros is."""
    if x.c.size == x.g.size or not np.any(x.g):
        return ""
    for axis, (name, reduce), keepdims in product(range(x.c.ndim), _REDUCTIONS.items(), (True, False)):
        if _is(x, np.asarray(reduce(x.c, axis=axis, keepdims=keepdims))):
            return f"Its {name} over axis {axis} is the reference: is the {name} missing?"
    for axis, (name, reduce) in product(range(x.g.ndim), _REDUCTIONS.items()):
        smaller = np.asarray(reduce(x.g, axis=axis))
        if x.c.size == smaller.size and _close(x.c.ravel(), smaller.ravel()):
            return f"It is the {name} of the reference over axis {axis}: is one {name} too many taken?"
    return ""


# --- proportions ----------------------------------------------------------------------------------


def _proportions(x: _Mismatch) -> str:
    """computed = r times reference, with the same r everywhere."""
    if x.c.shape != x.g.shape or not np.any(x.g):
        return ""
    if not np.any(x.c):
        return "All entries are 0: was the gradient never written?"
    r = _ratio(x)
    if r == 0 or abs(r - 1) < 1e-3:
        return ""
    if abs(abs(r) - 1) < 1e-3:
        return "It is exactly minus the reference: a sign is wrong."
    sign = " and the sign is wrong" if r < 0 else ""
    sizes = (_of_size(abs(r), k, what, sign) for k, what in _sizes(x.inputs))
    return next(filter(None, sizes), "") or _of_two(abs(r), sign)


def _ratio(x: _Mismatch) -> float:
    """r with c = r g, or 0."""
    r = float(np.vdot(x.c, x.g) / np.vdot(x.g, x.g))
    return r if np.all(np.abs(x.c - r * x.g) <= max(abs(r), 1.0) * x.near) else 0.0


def _of_size(r: float, k: int, what: str, sign: str) -> str:
    if abs(r - k) < 1e-3 * k:
        return (
            f"It is exactly {what} = {k} times the reference in all entries{sign}: is the 1/{what} missing?"
        )
    if abs(r * k - 1) < 1e-3:
        known = f"the reference divided by {what} = {k} in all entries{sign}"
        return f"It is {known}: is there one 1/{what} too many?"
    if abs(r * k * k - 1) < 1e-3:
        return f"It is the reference divided by {what}^2 = {k * k}{sign}: is 1/{what} taken twice more?"
    return ""


def _of_two(r: float, sign: str) -> str:
    for factor, hint in ((2.0, "a factor 2 too many"), (0.5, "a factor 2 missing")):
        if abs(r - factor) < 1e-3 * factor:
            return f"It is {factor:g} times the reference in all entries{sign}: {hint}?"
    return ""


def _other_factor(x: _Mismatch) -> str:
    if x.c.size < 2 or not np.any(x.g) or not (r := _ratio(x)) or abs(r - 1) < 1e-3:
        return ""
    return f"It is {r:.6g} times the reference in all entries: is a factor missing or doubled?"


def _sizes(inputs: Mapping[str, Value]) -> list[tuple[int, str]]:
    """The numbers that a factor is often made of: the number of examples m, then the sizes of axes."""
    sizes = [(int(inputs["m"]), "m")] if np.ndim(inputs.get("m", ())) == 0 else []
    for name, value in inputs.items():
        sizes += [
            (n, f"{name}.shape[{axis}]") for axis, n in enumerate(np.shape(value)) if n > 1 and name != "m"
        ]
    first: dict[int, str] = {}
    for k, what in sizes:
        if k > 2 or (k == 2 and what == "m"):
            first.setdefault(k, what)
    return list(first.items())


# --- what is added, how exact it is, and where it is wrong ----------------------------------------


def _added_input(x: _Mismatch) -> str:
    """computed = reference + a constant times an input: weight decay, a forgotten b, and the like."""
    difference = x.c - x.g
    if x.c.size < 2 or not np.any(difference):
        return ""
    for name, value in x.inputs.items():
        given = np.asarray(value)
        fits = given.ndim == x.c.ndim and all(
            n in (1, k) for n, k in zip(given.shape, x.c.shape, strict=True)
        )
        if fits and given.dtype.kind == "f" and np.any(given):
            added = np.broadcast_to(given, x.c.shape)
            if text := _plus(x, difference, name, added):
                return text
    return ""


def _plus(x: _Mismatch, difference: Array, name: str, added: Array) -> str:
    k = float(np.vdot(difference, added) / np.vdot(added, added))
    if not np.any(np.abs(k * added) > 10 * x.near) or np.any(np.abs(difference - k * added) > x.near):
        return ""
    if abs(k + 1) < 1e-3:
        return f"It is the reference without {name}: is {name} left out?"
    return f"It is the reference plus {k:.6g} times {name}."


def _in_single_precision(x: _Mismatch) -> str:
    """float64 that is right to single precision only."""
    error = float(np.max(np.abs(x.c - x.g)))
    if x.dtype.itemsize == 8 and 2e-9 * _magnitude(x.g) < error < 1e-6 * _magnitude(x.g):
        return (
            "It agrees to 6 to 9 digits only: is something computed in float32, or rounded, or is a small "
            "number (an epsilon) added?"
        )
    return ""


def _location(x: _Mismatch) -> str:
    """Where the wrong entries lie, if they are few or share an index."""
    wrong = np.abs(x.c - x.g) > x.tight
    where = np.argwhere(wrong)
    if not len(where) or len(where) == x.c.size:
        return ""
    zero = " There the output is 0." if not np.any(x.c[wrong]) else ""
    if len(where) > 1:
        for axis in range(x.c.ndim):
            indices = np.unique(where[:, axis])
            if len(indices) == 1 and x.c.shape[axis] > 1:
                return f"All wrong entries have index {indices[0]} along axis {axis}.{zero}"
    if np.all(x.g[wrong] == 0):
        return "The wrong entries are those where the reference is exactly 0: is a mask missing or wrong?"
    if zero:
        return "The wrong entries are 0: a mask, a clip or an unwritten entry?"
    return _clipped(x, wrong) or f"{len(where)} of {x.c.size} entries are wrong, the others right."


def _clipped(x: _Mismatch, wrong: Array) -> str:
    sizes = np.unique(np.abs(x.c[wrong]))
    if np.count_nonzero(wrong) > 1 and len(sizes) == 1 and np.all(np.abs(x.g[wrong]) > sizes[0]):
        return f"The wrong entries are all {sizes[0]:g} in magnitude: is it clipped?"
    return ""


_OF_ANY_SHAPE: list[_Explanation] = [_wrong_axis, _transposed, _reshaped, _not_summed, _proportions]
_OF_THE_SAME_SHAPE: list[_Explanation] = [_added_input, _other_factor, _in_single_precision, _location]


def _is(x: _Mismatch, a: Array) -> bool:
    return a.shape == x.g.shape and bool(np.all(np.abs(a - x.g) <= x.near))


def _close(a: Array, b: Array) -> bool:
    return bool(np.all(np.abs(a - b) <= 1e-5 * max(_magnitude(b), np.finfo(float).tiny)))


def _magnitude(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))
