"""From a mismatch to the mistake behind it, in plain words, where one is recognised.

A candidate explanation is an array that the mistake would have produced; it is given when the
computed output is that array and is not the reference. Nothing is decided here: the verdict stands
before, and an output without a recognised pattern has failed all the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from sandbox.noise import Measured
from sandbox.typing import Array, Dtype

Candidates = Callable[[], Iterator[tuple[str, object]]]
"""Called when an output is wrong: yields (explanation, what the mistake would have produced)."""

_SLACK = 4.0  # a candidate carries rounding errors of its own


@dataclass(frozen=True)
class _Mismatch:
    """An output c and what it should be, g.

    Attributes:
        tight: what agrees with the reference to this is right. near: a candidate need only be so.
        inputs: by name, what the function was given. gradient: whether it is one.
    """

    c: Array
    g: Array
    tight: Array
    near: Array
    precision: float
    dtype: Dtype
    inputs: Mapping[str, Array | int]
    gradient: bool

    @property
    def eps(self) -> float:
        """Of whole numbers and booleans, which are exact, that of double precision."""
        return float(np.finfo(self.dtype if self.dtype.kind == "f" else np.float64).eps)

    @property
    def rounding(self) -> float:
        """What rounding may do to a number of this output's size, relative to it."""
        size = _magnitude(self.g)
        relative = _magnitude(self.tight) / size if size else 0.0
        return _SLACK * relative + 256 * self.eps

    def right(self, a: Array) -> bool:
        return a.shape == self.g.shape and bool(np.all(np.abs(a - self.g) <= self.near))

    @property
    def negligible(self) -> bool:
        """Whether c is nothing beside g: then c - g is -g, whatever c is."""
        return bool(np.all(np.abs(self.c) <= self.near))

    def floats(self) -> Iterator[tuple[str, Array]]:
        """The inputs that are arrays of floats."""
        arrays = ((name, np.asarray(value)) for name, value in self.inputs.items())
        return ((name, array) for name, array in arrays if array.dtype.kind == "f")


def pattern(
    computed: Array,
    expected: Measured,
    threshold: float,
    inputs: Mapping[str, Array | int],
    candidates: Candidates,
    *,
    gradient: bool,
) -> str:
    """The mistake that explains `computed`, or "".

    Args:
        threshold: the allowed |computed - reference| / sigma.
        inputs: by name, what the function was given.
        candidates: explanations that belong to this function.
        gradient: whether `computed` should be a gradient.
    """
    c, g = computed.astype(np.float64), expected.reference
    if not np.isfinite(c).all():
        return ""
    with np.errstate(all="ignore"):
        precision = 1e-3 if computed.dtype.itemsize < 8 else 1e-7
        tight = threshold * expected.sigma
        near = _SLACK * tight + precision * _magnitude(g) / 100
        x = _Mismatch(c, g, tight, near, precision, computed.dtype, inputs, gradient)
        of_same_shape = _OF_THE_SAME_SHAPE if c.shape == g.shape else ()
        explanations = (*_OF_ANY_SHAPE, partial(_candidate, candidates=candidates), *of_same_shape)
        return next((text for explain in explanations if (text := explain(x))), "")


def _candidate(x: _Mismatch, candidates: Candidates) -> str:
    """Explained by what gives the output to rounding, and is far closer to it than the reference is."""
    for text, candidate in candidates():
        y = np.asarray(candidate, dtype=np.float64)
        if y.shape != x.c.shape or not np.isfinite(y).all():
            continue
        off = _magnitude(x.c - y)
        close = off <= min(x.precision, x.rounding) * max(_magnitude(y), np.finfo(float).tiny)
        if close and (y.shape != x.g.shape or off < 1e-3 * _magnitude(x.c - x.g)):
            return text
    return ""


# --- sums and shapes ------------------------------------------------------------------------------

_AXES = {-1: "last axis", -2: "axis before the last"}
_REDUCTIONS: dict[str, Callable[..., Array]] = {"sum": np.sum, "mean": np.mean}


def _wrong_axis(x: _Mismatch) -> str:
    """The reference is a sum (or mean) of an input over one axis, and computed is that over another."""
    for name, given in x.floats():
        if given.ndim < 2 or min(given.shape[-2:]) < 2 or not np.isfinite(given).all():
            continue
        sums = {axis: np.sum(given, axis=axis, dtype=np.float64).ravel() for axis in _AXES}
        for right, wrong in ((-1, -2), (-2, -1)):
            due = _factor(x.g.ravel(), sums[right]) and not _factor(x.g.ravel(), sums[wrong])
            if due and _factor(x.c.ravel(), sums[wrong]):
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
    if x.c.ndim > 1 and max(x.c.shape[-2:]) > 1 and not x.right(x.c) and x.right(np.swapaxes(x.c, -1, -2)):
        return "It is the transpose of the reference."
    return ""


def _reversed(x: _Mismatch) -> str:
    axes = [(i,) for i in range(x.c.ndim)] + ([(x.c.ndim - 2, x.c.ndim - 1)] if x.c.ndim > 1 else [])
    for over in axes if x.c.shape == x.g.shape and not x.right(x.c) else ():
        if x.right(np.flip(x.c, over)):
            which = " and ".join(f"axis {i}" for i in over)
            return f"It is the reference, reversed along {which}: is a flip missing, or one too many?"
    return ""


def _reshaped(x: _Mismatch) -> str:
    if x.c.shape != x.g.shape and x.c.size == x.g.size and x.right(x.c.reshape(x.g.shape)):
        return "The values are right and the shape is not: is keepdims=True (or a reshape) missing?"
    return ""


def _not_summed(x: _Mismatch) -> str:
    """Of another size, and of a reference that is not 0, which any sum of zeros is."""
    if x.c.size == x.g.size or not np.any(x.g):
        return ""
    for axis, (name, reduce), keepdims in product(
        (*range(x.c.ndim), None), _REDUCTIONS.items(), (True, False)
    ):
        if x.right(np.asarray(reduce(x.c, axis=axis, keepdims=keepdims))):
            over = "all entries" if axis is None else f"axis {axis}"
            return f"Its {name} over {over} is the reference: is the {name} missing?"
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
    if np.linalg.norm(x.g) <= np.linalg.norm(x.tight) / 2:
        return (
            "The reference is 0 but for rounding: do the terms of this gradient cancel, and is one left out?"
        )
    if not np.any(x.c):
        return "All entries are 0: is it never written, or does all of it cancel?"
    if _magnitude(x.c) <= 64 * x.eps * _magnitude(x.g) and not _is_like(x):
        return (
            f"It is 0 but for rounding, at most {_magnitude(x.c):.1g}: does a sum cancel, of deviations from "
            "their own mean or of 1 minus the sum of a softmax?"
        )
    r = _ratio(x)
    if r == 0 or abs(r - 1) <= x.rounding:
        return ""
    if _is_times(x, -1):
        return "It is exactly minus the reference: a sign is wrong."
    sign = " and the sign is wrong" if r < 0 else ""
    lengths = _lengths(x.inputs)
    return (
        _known_factor(x, r, lengths)
        or _other_size(abs(r), x, sign)
        or _known_factor(x, r, {k: what for k, what in _sizes(x).items() if k not in lengths})
    )


def _known_factor(x: _Mismatch, r: float, sizes: Mapping[int, str]) -> str:
    known = _known_factors(sizes, " and the sign is wrong" if r < 0 else "")
    return next((text for factor, text in known if _is_times(x, np.sign(r) * factor)), "")


def _other_size(r: float, x: _Mismatch, sign: str) -> str:
    """r is the length of one axis over that of another."""
    for (p, due), (q, taken) in product(_lengths(x.inputs).items(), repeat=2):
        if p != q and abs(r - p / q) <= x.rounding * r:
            return (
                f"It is exactly {p} / {q} times the reference in all entries{sign}: is it divided by "
                f"{taken} = {q} where {due} = {p} is due?"
            )
    return ""


def _ratio(x: _Mismatch) -> float:
    """r with c = r g, or 0."""
    r = _projection(x)
    return r if _is_times(x, r) else 0.0


def _is_like(x: _Mismatch) -> bool:
    """Whether c is a multiple of g, roughly, as what is left by rounding is not."""
    off = np.linalg.norm(x.c - _projection(x) * x.g)
    return x.c.size > 2 and bool(off <= 0.1 * np.linalg.norm(x.c))


def _projection(x: _Mismatch) -> float:
    return float(np.vdot(x.c, x.g) / np.vdot(x.g, x.g))


def _is_times(x: _Mismatch, r: float) -> bool:
    return bool(np.all(np.abs(x.c - r * x.g) <= abs(r) * x.near + x.eps * np.abs(x.c)))


def _known_factors(sizes: Mapping[int, str], sign: str) -> Iterator[tuple[float, str]]:
    everywhere = f"in all entries{sign}"
    for k, what in sizes.items():
        size = f"{what} = {k}"
        yield k, f"It is exactly {size} times the reference {everywhere}: is the 1/{what} missing?"
        yield 1 / k, f"It is the reference divided by {size} {everywhere}: is there one 1/{what} too many?"
        square = f"{what}^2 = {k * k}{sign}"
        yield 1 / k**2, f"It is the reference divided by {square}: is 1/{what} taken twice more?"
    yield 2, f"It is 2 times the reference {everywhere}: a factor 2 too many?"
    yield 0.5, f"It is 0.5 times the reference {everywhere}: a factor 2 missing?"


def _sizes(x: _Mismatch) -> dict[int, str]:
    """The numbers that a factor is often made of: the lengths; and how many entries there are in all, or for
    each entry of the output."""
    sizes: dict[int, str] = {}
    for name, given in x.inputs.items():
        each, rest = divmod(np.size(given), x.c.size)
        if x.c.size > 1 and not rest:
            sizes.setdefault(each, f"({name}.size / {x.c.size})")
        sizes.setdefault(np.size(given), f"{name}.size")
    return {k: what for k, what in sizes.items() if k > 2} | _lengths(x.inputs)


def _lengths(inputs: Mapping[str, Array | int]) -> dict[int, str]:
    """The number of examples m, then the lengths of axes."""
    lengths = {int(inputs["m"]): "m"} if np.ndim(inputs.get("m", ())) == 0 else {}
    for name, value in inputs.items():
        for axis, n in enumerate(np.shape(value)):
            if n > 2:
                lengths.setdefault(n, f"{name}.shape[{axis}]")
    return {k: what for k, what in lengths.items() if k > 1}


def _times_input(x: _Mismatch) -> str:
    """An input is a factor of one of the two, and not of the other."""
    for name, given in x.floats():
        if given.ndim > x.c.ndim or given.size == 0 or np.all(np.abs(given) == 1):
            continue
        try:
            factor = np.broadcast_to(given.astype(np.float64), x.c.shape)
        except ValueError:  # of another shape
            continue
        if np.all(np.abs(x.c * factor - x.g) <= x.near) and not x.right(x.c):
            return f"Times {name} it is the reference: is {name} left out?"
        if np.all(np.abs(x.c - factor * x.g) <= x.near * np.maximum(np.abs(factor), 1)):
            return f"It is the reference times {name}: is {name} one time too many in it?"
    return ""


def _other_factor(x: _Mismatch) -> str:
    if x.c.size < 2 or not np.any(x.g) or not (r := _ratio(x)) or abs(r - 1) <= x.rounding:
        return ""
    if abs(r - 1) >= 1e-3:
        digits = min(6, int(-np.log10(x.eps)))
        return f"It is {r:.{digits}g} times the reference in all entries: is a factor missing or doubled?"
    if np.any(np.abs(x.c - r * x.g) > x.tight + 0.01 * np.abs((r - 1) * x.g)):
        return ""
    return f"It is {r:.16g} times the reference in all entries: is a constant in it not exact?"


# --- what is added, how exact it is, and where it is wrong ----------------------------------------


def _added_input(x: _Mismatch) -> str:
    """computed = reference + a constant times an input: weight decay, a forgotten b, and the like."""
    difference = x.c - x.g
    if x.c.size < 2 or not np.any(difference) or x.negligible:
        return ""
    for name, given in x.floats():
        fits = given.ndim == x.c.ndim and all(
            n in (1, k) for n, k in zip(given.shape, x.c.shape, strict=True)
        )
        if not fits or not np.any(given):
            continue
        added = np.broadcast_to(given, x.c.shape)
        k = float(np.vdot(difference, added) / np.vdot(added, added))
        if np.any(np.abs(k * added) > 10 * x.near) and np.all(np.abs(difference - k * added) <= x.near):
            if abs(abs(k) - 1) >= 1e-3:
                return f"It is the reference plus {k:.6g} times {name}."
            if k < 0:
                return f"It is the reference without {name}: is {name} left out?"
            return f"It is the reference plus {name}: is {name} added once more than is due?"
    return ""


def _averaged(x: _Mismatch) -> str:
    """computed is a sum or mean of the reference, repeated."""
    for axis, (name, reduce) in product((None, *range(x.c.ndim)), _REDUCTIONS.items()):
        reduced = np.asarray(reduce(x.g, axis=axis, keepdims=True))
        if x.c.size > reduced.size and np.any(reduced) and _close(x.c, np.broadcast_to(reduced, x.c.shape)):
            over = "all entries" if axis is None else f"axis {axis}"
            return f"It is the {name} of the reference over {over}, repeated: is one {name} too many taken?"
    return ""


def _along_an_axis(x: _Mismatch) -> str:
    """computed - reference is constant along an axis, or a constant and a multiple of an input: the terms by
    which a mean and a variance enter a gradient."""
    difference = x.c - x.g
    if not x.gradient or x.negligible or not np.any(np.abs(difference) > 10 * x.near):
        return ""
    for axis in (i for i, n in enumerate(x.c.shape) if n > 2):
        if np.all(np.abs(difference - difference.mean(axis, keepdims=True)) <= x.near):
            return (
                f"It differs from the reference by a number that is the same along axis {axis}: is the "
                "gradient through a mean or a sum over that axis left out or wrong?"
            )
        for name, given in x.floats():
            if given.shape == x.c.shape and x.c.shape[axis] > 3 and _is_affine(difference, given, axis, x):
                return (
                    f"It differs from the reference, along axis {axis}, by a number and a multiple of "
                    f"{name}: is the gradient through a mean, a variance or a sum over that axis left out "
                    "or wrong?"
                )
    return ""


def _is_affine(difference: Array, given: Array, axis: int, x: _Mismatch) -> bool:
    """difference = a + b given, with an a and a b for each place beside the axis."""
    centred, of_given = (d - d.mean(axis, keepdims=True) for d in (difference, given.astype(np.float64)))
    squares = np.sum(of_given**2, axis=axis, keepdims=True)
    slope = np.sum(centred * of_given, axis=axis, keepdims=True) / np.where(squares > 0, squares, 1.0)
    return bool(np.all(np.abs(centred - slope * of_given) <= x.near))


def _small_number_added(x: _Mismatch) -> str:
    """The error is k / q, or k / q of the reference, with q an input or its variance: what an epsilon does to
    first order."""
    error = x.c - x.g
    if not np.any(error) or np.any(np.abs(error) > 0.02 * _magnitude(x.g)):
        return ""
    for name, q in _arguments(x):
        for whose, scale in (("", 1.0 / q), (" of itself", x.g / q)):
            if k := _proportional(error, scale, x):
                return (
                    f"It is off by {k:.1g} / {name}{whose}: is a small number (an epsilon) added to {name}, "
                    "in a logarithm, a root or a denominator?"
                )
    return ""


def _arguments(x: _Mismatch) -> Iterator[tuple[str, Array]]:
    """What may be in a logarithm, a root or a denominator, as far as it is not 0 and varies."""
    for name, given in x.floats():
        wide = given.astype(np.float64)
        named = {name: wide, f"(1 - {name})": 1 - wide, f"{name}^2": wide**2}
        named |= {
            f"the variance of {name} along axis {i}": wide.var(i, keepdims=True) for i in range(wide.ndim)
        }
        for words, q in named.items():
            fits = q.ndim == x.c.ndim and all(n in (1, k) for n, k in zip(q.shape, x.c.shape, strict=True))
            if fits and q.size > 2 and _magnitude(q) > 2 * float(np.min(np.abs(q))) > 0:
                yield words, np.broadcast_to(q, x.c.shape)


def _proportional(error: Array, scale: Array, x: _Mismatch) -> float:
    """|k| with error = k scale, to the first order in k and but for rounding; 0 for none."""
    sure = (np.abs(error) > 50 * x.tight) & (scale != 0)
    if np.count_nonzero(sure) < 3:
        return 0.0
    k = float(np.median(error[sure] / scale[sure]))
    fits = np.abs(error - k * scale) <= 0.02 * np.abs(k * scale) + x.tight
    return abs(k) if np.all(fits) else 0.0


def _in_less_precision(x: _Mismatch) -> str:
    """Most entries agree to some digits."""
    error, size = float(np.max(np.abs(x.c - x.g))), _magnitude(x.g)
    if 2 * np.count_nonzero(np.abs(x.c - x.g) > x.tight) < x.c.size or not 0 < error < 1e-4 * size:
        return ""
    if x.dtype.itemsize == 8 and 2e-9 * size < error < 1e-6 * size:
        return (
            "It agrees to 6 to 9 digits only: is something computed in float32, or rounded, or is a small "
            "number (an epsilon) added?"
        )
    digits = int(-np.log10(error / size))
    return f"It agrees to {digits} digits: is a small number (an epsilon) added, or a small term left out?"


def _location(x: _Mismatch) -> str:
    """What the wrong entries have in common."""
    wrong = np.abs(x.c - x.g) > x.tight
    where = np.argwhere(wrong)
    sizes = np.unique(np.abs(x.c[wrong]))
    if len(where) > 1 and len(sizes) == 1 and 0 < sizes[0] < np.min(np.abs(x.g[wrong])):
        return f"The wrong entries are all {sizes[0]:g} in magnitude: is it clipped?"
    if not len(where) or len(where) == x.c.size:
        return ""
    if np.all(x.g[wrong] == 0):
        return "The wrong entries are those where the reference is exactly 0: is a mask missing or wrong?"
    if not np.any(x.c[wrong]):
        return "The wrong entries are 0: a mask, a clip or an unwritten entry?"
    if np.all(np.abs(x.c[wrong] + x.g[wrong]) <= x.near[wrong]):
        has = "has" if len(where) == 1 else "have"
        return f"{len(where)} of {x.c.size} entries {has} the wrong sign, the others are right."
    return ""


_OF_ANY_SHAPE = (_wrong_axis, _transposed, _reversed, _reshaped, _not_summed, _proportions)
_OF_THE_SAME_SHAPE = (
    _added_input, _times_input, _other_factor, _averaged, _small_number_added, _along_an_axis,
    _in_less_precision, _location,
)  # fmt: skip


def _close(a: Array, b: Array) -> bool:
    return bool(np.all(np.abs(a - b) <= 1e-5 * max(_magnitude(b), np.finfo(float).tiny)))


def _magnitude(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))
