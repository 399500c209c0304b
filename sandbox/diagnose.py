"""From a mismatch to the mistake behind it, in plain words, where one is recognised.

A candidate explanation is an array that the mistake would have produced; it is given when the
computed output is that array and is not the reference. Nothing is decided here: the verdict stands
before, and an output without a recognised pattern has failed all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sandbox.typing import Array

Mistakes = Callable[[], Iterator[tuple[str, Any]]]
"""Called when an output is wrong: yields (explanation, what the mistake would have produced)."""

_SLACK = 4.0  # a candidate carries rounding errors of its own


def pattern(
    computed: Array,
    reference: Array,
    sigma: Array,
    threshold: float,
    inputs: Mapping[str, Any],
    mistakes: Mistakes | None = None,
) -> str:
    """The mistake that explains `computed`, or "".

    Args:
        computed, reference, sigma: the output, what it should be, and its noise.
        threshold: the allowed |computed - reference| / sigma.
        inputs: by name, what the function was given.
        mistakes: explanations that belong to this function.
    """
    c = computed.astype(np.float64)
    if not np.isfinite(c).all():
        if np.isfinite(reference).all():
            bad = np.argwhere(~np.isfinite(c))
            return f"{len(bad)} of {c.size} entries are NaN or infinite, the first at {_index(bad[0])}."
        return ""
    with np.errstate(all="ignore"):
        # What agrees with the reference to `tight` is right; a candidate need only be near.
        precision = 1e-3 if computed.dtype.itemsize < 8 else 1e-7
        tight = threshold * sigma
        near = _SLACK * tight + precision * _magnitude(reference) / 100
        for explain in (_wrong_axis, _shapes, _proportions):
            if text := explain(c, reference, near, inputs):
                return text
        if mistakes is not None:
            for text, candidate in mistakes():
                candidate = np.asarray(candidate, dtype=np.float64)
                close = precision * max(_magnitude(candidate), np.finfo(float).tiny)
                different = candidate.shape != reference.shape or np.any(
                    np.abs(candidate - reference) > close
                )
                if candidate.shape == c.shape and different and np.all(np.abs(c - candidate) <= close):
                    return text
        if c.shape != reference.shape:
            return ""
        for explain in (_added_input, _other_factor):
            if text := explain(c, reference, near, inputs):
                return text
        return _precision(c, reference, computed.dtype) or _location(c, reference, tight)


def _wrong_axis(c: Array, g: Array, tolerance: Array, inputs: Mapping[str, Any]) -> str:
    """The reference is a sum (or mean) of an input over one axis, and computed is that over another."""
    for name, value in inputs.items():
        x = np.asarray(value)
        if x.ndim < 2 or min(x.shape[-2:]) < 2 or x.dtype.kind != "f" or not np.isfinite(x).all():
            continue
        sums = {axis: np.sum(x, axis=axis, dtype=np.float64).ravel() for axis in (-1, -2)}
        factors = {axis: _factor(g.ravel(), total) for axis, total in sums.items()}
        for right, wrong in ((-1, -2), (-2, -1)):
            if factors[right] and not factors[wrong] and _factor(c.ravel(), sums[wrong]):
                names = {-1: "last axis", -2: "axis before the last"}
                return (
                    f"It is a sum of {name} over the {names[wrong]}, where one over the {names[right]} "
                    "is due: is the axis wrong?"
                )
    return ""


def _factor(c: Array, x: Array) -> float:
    """k with c = k x, or 0."""
    if c.shape != x.shape or not np.any(x):
        return 0.0
    k = float(np.vdot(c, x) / np.vdot(x, x))
    return k if _close(c, k * x) else 0.0


def _shapes(c: Array, g: Array, tolerance: Array, _: Mapping[str, Any]) -> str:
    def same(a: Array) -> bool:
        return a.shape == g.shape and bool(np.all(np.abs(a - g) <= tolerance))

    if c.ndim > 1 and max(c.shape[-2:]) > 1 and not same(c) and same(np.swapaxes(c, -1, -2)):
        return "It is the transpose of the reference."
    if c.shape == g.shape:
        return ""
    if c.size == g.size:
        if same(c.reshape(g.shape)):
            return "The values are right and the shape is not: is keepdims=True (or a reshape) missing?"
        return ""
    if not np.any(g):
        return ""  # which any sum of zeros is
    for axis in range(c.ndim):
        for name, reduce in (("sum", np.sum), ("mean", np.mean)):
            for keepdims in (True, False):
                if same(np.asarray(reduce(c, axis=axis, keepdims=keepdims))):
                    return f"Its {name} over axis {axis} is the reference: is the {name} missing?"
    for axis in range(g.ndim):
        for name, reduce in (("sum", np.sum), ("mean", np.mean)):
            smaller = np.asarray(reduce(g, axis=axis, keepdims=False))
            if c.size == smaller.size and _close(c.ravel(), smaller.ravel()):
                return f"It is the {name} of the reference over axis {axis}: is one {name} too many taken?"
    return ""


def _proportions(c: Array, g: Array, tolerance: Array, inputs: Mapping[str, Any]) -> str:
    """computed = r times reference, with the same r everywhere."""
    if c.shape != g.shape or not np.any(g):
        return ""
    if not np.any(c):
        return "All entries are 0: was the gradient never written?"
    r = float(np.vdot(c, g) / np.vdot(g, g))
    if r == 0 or not np.all(np.abs(c - r * g) <= max(abs(r), 1.0) * tolerance):
        return ""
    if abs(r - 1) < 1e-3:
        return ""
    scales = [(abs(r), "")] + ([(abs(r), " and the sign is wrong")] if r < 0 else [])
    sign = scales[-1][1]
    size = abs(r)
    if abs(size - 1) < 1e-3:
        return "It is exactly minus the reference: a sign is wrong."
    for k, what in _sizes(inputs):
        if abs(size - k) < 1e-3 * k:
            return (
                f"It is exactly {what} = {k} times the reference in all entries{sign}: "
                f"is the 1/{what} missing?"
            )
        if abs(size * k - 1) < 1e-3:
            return (
                f"It is the reference divided by {what} = {k} in all entries{sign}: "
                f"is there one 1/{what} too many?"
            )
        if abs(size * k * k - 1) < 1e-3:
            return f"It is the reference divided by {what}^2 = {k * k}{sign}: is 1/{what} taken twice more?"
    for factor, hint in ((2.0, "a factor 2 too many"), (0.5, "a factor 2 missing")):
        if abs(size - factor) < 1e-3 * factor:
            return f"It is {factor:g} times the reference in all entries{sign}: {hint}?"
    return ""


def _other_factor(c: Array, g: Array, tolerance: Array, _: Mapping[str, Any]) -> str:
    if c.size < 2 or not np.any(g):
        return ""
    r = float(np.vdot(c, g) / np.vdot(g, g))
    if abs(r - 1) < 1e-3 or not np.all(np.abs(c - r * g) <= max(abs(r), 1.0) * tolerance):
        return ""
    return f"It is {r:.6g} times the reference in all entries: is a factor missing or doubled?"


def _precision(c: Array, g: Array, dtype: Any) -> str:
    """float64 that is right to single precision only."""
    error = float(np.max(np.abs(c - g)))
    if dtype.itemsize == 8 and 2e-9 * _magnitude(g) < error < 1e-6 * _magnitude(g):
        return (
            "It agrees to 6 to 9 digits only: is something computed in float32, or rounded, or is a small "
            "number (an epsilon) added?"
        )
    return ""


def _sizes(inputs: Mapping[str, Any]) -> list[tuple[int, str]]:
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


def _added_input(c: Array, g: Array, tolerance: Array, inputs: Mapping[str, Any]) -> str:
    """computed = reference + a constant times an input: weight decay, a forgotten b, and the like."""
    difference = c - g
    for name, value in inputs.items():
        x = np.asarray(value)
        fits = x.ndim == c.ndim and all(n in (1, k) for n, k in zip(x.shape, c.shape, strict=True))
        if not fits or c.size < 2 or x.dtype.kind != "f" or not np.any(x) or not np.any(difference):
            continue
        x = np.broadcast_to(x, c.shape)
        k = float(np.vdot(difference, x) / np.vdot(x, x))
        unexplained = np.abs(difference - k * x)
        if np.any(np.abs(k * x) > 10 * tolerance) and np.all(unexplained <= tolerance):
            if abs(k + 1) < 1e-3:
                return f"It is the reference without {name}: is {name} left out?"
            return f"It is the reference plus {k:.6g} times {name}."
    return ""


def _location(c: Array, g: Array, tight: Array) -> str:
    """Where the wrong entries lie, if they are few or share an index."""
    wrong = np.abs(c - g) > tight
    where = np.argwhere(wrong)
    if not len(where) or len(where) == c.size:
        return ""
    zero = " There the output is 0." if not np.any(c[wrong]) else ""
    if len(where) > 1:
        for axis in range(c.ndim):
            indices = np.unique(where[:, axis])
            if len(indices) == 1 and c.shape[axis] > 1:
                return f"All wrong entries have index {indices[0]} along axis {axis}.{zero}"
    if np.all(g[wrong] == 0):
        return "The wrong entries are those where the reference is exactly 0: is a mask missing or wrong?"
    if zero:
        return "The wrong entries are 0: a mask, a clip or an unwritten entry?"
    clipped = np.unique(np.abs(c[wrong]))
    if len(where) > 1 and len(clipped) == 1 and np.all(np.abs(g[wrong]) > clipped[0]):
        return f"The wrong entries are all {clipped[0]:g} in magnitude: is it clipped?"
    return f"{len(where)} of {c.size} entries are wrong, the others right."


def _close(a: Array, b: Array) -> bool:
    return bool(np.all(np.abs(a - b) <= 1e-5 * max(_magnitude(b), np.finfo(float).tiny)))


def _magnitude(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def _index(row: Array) -> list[int]:
    return [int(i) for i in row]
