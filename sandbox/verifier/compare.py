"""One output against its reference, in units of sigma, and the threshold with its derivation.

Threshold. Under the hypothesis that only rounding separates a component c_i from the reference g_i,
c_i - g_i has mean 0 and a standard deviation of at most sigma_i, and its estimate from K samples
makes z_i = |c_i - g_i| / sigma_i at most a Student t variable with K degrees of freedom. An output
of N components fails when some z_i exceeds the quantile of t_K at ALPHA / N (Bonferroni), or when
||c - g|| / ||sigma|| exceeds that at ALPHA: a ratio of quadratic forms whose tail is heaviest when
all components err together, and then it is |t_K|. So an output that is right fails with a
probability below 2 ALPHA, whatever its size. Roundings have a root mean square of about 0.4 u, the
samples of u, which leaves a margin for roundings that are not independent.

An output of 16 bit (float16, bfloat16) is what float32 gives, rounded once more: sigma is that of float32 at
the inputs widened exactly, and half a unit in the last place of c_i in its own dtype is taken off |c_i - g_i|
first, which a correct rounding never exceeds, whatever its distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy.special import stdtrit

from sandbox.noise import K, Measured, Precision, half_unit, is_float, is_narrow
from sandbox.typing import Array, Dtype
from sandbox.verifier.rows import UNKNOWN, Entry, Fault, OutputRow, Verdict, sigmas

ALPHA = 1e-9  # the largest probability that one right output fails either test
WORST = 3  # entries shown
COARSE = 1e-2  # of a whole output: a check that would pass such an error says nothing
_NOT_FINITE = (
    "If yours is right, mend the mirror: jnp.where(x > 0, jnp.sqrt(x), 0), for instance, has a gradient of "
    "NaN where x <= 0, and with jnp.sqrt(jnp.where(x > 0, x, 1)) in it, it has not."
)


@dataclass(frozen=True)
class Explanation:
    """What is behind a failure, as far as it is known: the mistake in words, and who is wrong; or, `excuse`,
    why it may be none."""

    pattern: str = ""
    at_fault: Fault = Fault.UNASKED
    excuse: str = ""


Explain = Callable[[Array, Measured], Explanation]
"""Asked about an output whose values or shape are wrong, and its reference."""


@dataclass(frozen=True)
class _Errors:
    z: Array
    sigma_error: float
    tensor_error: float
    relative_error: float
    overflowed: int


@lru_cache(maxsize=1024)
def threshold(components: int, samples: int = K) -> float:
    """The largest |computed - reference| / sigma allowed in an output of so many components, with sigma from
    so many samples."""
    return float(-stdtrit(samples, ALPHA / (2 * max(components, 1))))


def compare(
    row: Callable[..., OutputRow], given: object, expected: Measured, dtype: Dtype, explain: Explain,
    worth: bool = True,
) -> OutputRow:  # fmt: skip
    """What becomes of `row`, which lacks the verdict: `given` against the reference and sigma of `expected`.

    `dtype` is what the output should have; a number of Python has none, and takes on that of what it meets.
    `explain` is asked only about a failure. `worth`: whether a pass is to say what it is worth.
    """
    g, computed = expected.reference, _as_array(given)
    row = partial(
        row, shape=computed.shape, dtype=str(computed.dtype),
        threshold=threshold(g.size, expected.samples), tensor_threshold=threshold(1, expected.samples),
    )  # fmt: skip
    incomparable = partial(row, Verdict.FAIL, sigma_error=np.inf, tensor_error=np.inf, relative_error=np.inf)
    if given is None:
        return incomparable(f"it is None, expected an array of shape {g.shape}.")
    if computed.dtype.kind not in "fiub" and not is_float(computed.dtype):
        return incomparable(f"its dtype is {computed.dtype}, expected real numbers.")
    if computed.shape != g.shape:
        finding = f"its shape is {computed.shape}, expected {g.shape}."
        return incomparable(finding, pattern=explain(computed, expected).pattern)
    comparable = _comparable(computed, expected)
    if not expected.overflow and (finding := _undefined(computed, g, comparable)):
        return incomparable(finding, pattern=_NOT_FINITE)
    same = type(given) in (float, int) or computed.dtype == dtype
    errors = _errors(computed, expected, comparable)
    row = partial(
        row, sigma_error=errors.sigma_error, tensor_error=errors.tensor_error,
        relative_error=errors.relative_error, overflowed=errors.overflowed,
    )  # fmt: skip
    other_dtype = "" if same else f"its dtype is {computed.dtype}, expected {dtype}"
    if other_dtype and _rounded_only(row(Verdict.PASS), computed.dtype, dtype):
        right = row(Verdict.PASS).values_right
        return row(Verdict.FAIL, f"{other_dtype}{'' if right else '; to that precision it is right'}.")
    return _judged(row, computed, expected, errors, other_dtype, explain, worth)


def _rounded_only(passed: OutputRow, given: Dtype, due: Dtype) -> bool:
    """Whether what is wrong beside the dtype is the rounding to it: to first order sigma goes as the unit
    roundoff does."""
    if not is_float(given):
        return False
    coarser = Precision.of(given).u / Precision.of(due).u
    entries, tensor = passed.threshold * coarser, passed.tensor_threshold * coarser
    return passed.sigma_error <= entries and passed.tensor_error <= tensor


def _judged(
    row: Callable[..., OutputRow], computed: Array, expected: Measured, errors: _Errors, other_dtype: str,
    explain: Explain, worth: bool,
) -> OutputRow:  # fmt: skip
    """Values first, then the dtype, then whether anything was compared at all."""
    passed = row(Verdict.PASS)
    if not passed.values_right:
        worst, explained = _worst(computed, expected.reference, errors.z), explain(computed, expected)
        finding = _not_finite(worst[0], computed) or _further_off(errors.z, passed.threshold, worst[0])
        if explained.excuse and not other_dtype:
            return row(
                Verdict.NOT_JUDGED, f"{finding} {explained.excuse}", worst=worst, pattern=explained.pattern
            )
        return row(
            Verdict.FAIL, f"{other_dtype}; {finding}" if other_dtype else finding, worst=worst,
            pattern=explained.pattern, at_fault=explained.at_fault,
        )  # fmt: skip
    if other_dtype:
        return row(Verdict.FAIL, f"{other_dtype}.")
    if not errors.z.size:
        return row(Verdict.NOT_COMPARED, "it has no entries.")
    if errors.overflowed == errors.z.size:
        finite = np.isfinite(expected.reference).any()
        reason = "all entries overflow in this dtype." if finite else "the reference is not finite."
        return row(Verdict.NOT_COMPARED, reason)
    if not worth:
        return passed
    whole, entry = _caught(computed, expected, passed)
    if whole > COARSE:
        beyond = "rounding, or underflow, is larger than the whole of it."
        finding = f"an error of {whole:.1g} of the whole would have passed, too." if whole < 1 else beyond
        return row(Verdict.COARSE, finding, caught=whole, caught_entry=entry)
    return row(Verdict.PASS, caught=whole, caught_entry=entry)


def _caught(computed: Array, expected: Measured, passed: OutputRow) -> tuple[float, float]:
    """What a pass is worth: the smallest d for which (1 + d) g would have failed, in its worst entry or as a
    whole; and the smallest of one entry alone, of the middle one of those that are not 0. In 16 bit, with
    the half unit in the last place that is allowed."""
    g, sigma = np.abs(expected.reference), expected.sigma
    known = np.isfinite(sigma) & np.isfinite(g) & (g > 0)
    if not known.any():
        return UNKNOWN, UNKNOWN
    h = half_unit(computed)
    if not known.all():
        h, g, sigma = np.broadcast_to(h, g.shape)[known], g[known], sigma[known]
    with np.errstate(all="ignore"):
        each = (passed.threshold * sigma + h) / g
        unit = g.max()
        allowed = (passed.tensor_threshold * sigma + h) / unit
        whole = min(float(each.min()), float(np.linalg.norm(allowed) / np.linalg.norm(g / unit)))
    return whole, float(np.median(each))


def wrong_by(computed: Array, expected: Measured) -> Array:
    """computed - reference in the entries that are further off than rounding explains, 0 in the others."""
    g, z = expected.reference, _errors(computed, expected, _comparable(computed, expected)).z
    error = computed.astype(np.float64) - g
    error -= np.sign(error) * np.minimum(np.abs(error), half_unit(computed))
    return np.where(z > threshold(g.size, expected.samples), error, 0.0)


def agrees(computed: Array, expected: Measured) -> bool:
    errors = _errors(computed, expected, _comparable(computed, expected))
    each, whole = threshold(computed.size, expected.samples), threshold(1, expected.samples)
    return errors.sigma_error <= each and errors.tensor_error <= whole


def _not_finite(first: Entry, computed: Array) -> str:
    count = np.count_nonzero(~np.isfinite(computed))
    if np.isfinite(first.computed):
        return ""
    are = "is" if count == 1 else "are"
    what = f"{first.computed:g}, expected {first.reference:.6g}."
    return f"{count} of {_entries(computed)} {are} NaN or infinite; entry {first.index} is {what}"


def _further_off(z: Array, limit: float, first: Entry) -> str:
    wrong = z > limit
    count = int(np.count_nonzero(wrong))
    computed, reference = told_apart(first.computed, first.reference)
    if z.size == 1:
        return f"it is {computed}, expected {reference}, {sigmas(first.z)} off."
    return (
        f"{count or 'no'} of {_entries(z)} {'is' if count == 1 else 'are'} further off than rounding "
        f"explains{_all_at(wrong)}; entry {first.index} is {computed}, expected {reference}, "
        f"{sigmas(first.z)} off."
    )


def _entries(x: Array) -> str:
    return f"{x.size} {'entry' if x.size == 1 else 'entries'}"


def _all_at(wrong: Array) -> str:
    """The index that several wrong entries share, in words."""
    where = np.argwhere(wrong)
    for axis in range(wrong.ndim if len(where) > 1 else 0):
        if wrong.shape[axis] > 1 and len(np.unique(where[:, axis])) == 1:
            return f", all with index {where[0, axis]} along axis {axis}"
    return ""


def told_apart(computed: float, reference: float) -> tuple[str, str]:
    """Both numbers to 6 digits, or to as many as it takes to see that they differ."""
    forms = (".6g", *(f"#.{digits}g" for digits in range(7, 18)))
    shown = ((format(computed, form), format(reference, form)) for form in forms)
    return next((pair for pair in shown if pair[0] != pair[1]), (repr(computed), repr(reference)))


def _comparable(computed: Array, expected: Measured) -> Array:
    """The entries that have a reference: after an overflow, which later number it spoils (inf - inf, 0 inf)
    depends on the order of operations."""
    known = np.isfinite(expected.sigma) & np.isfinite(expected.reference)
    known &= ~_overflown(computed, expected)
    return known & np.isfinite(computed) if expected.overflow else known


def _overflown(computed: Array, expected: Measured) -> Array:
    """The entries that are infinite because a narrow dtype holds nothing as large."""
    if not is_narrow(computed.dtype):
        return np.zeros((), bool)
    g, largest = expected.reference, Precision.of(computed.dtype).largest
    beyond = largest + half_unit(np.asarray(largest, computed.dtype))
    infinite = computed.astype(np.float64) == np.copysign(np.inf, g)
    limit = threshold(g.size, expected.samples)
    return np.asarray(infinite & (np.abs(g) + limit * expected.sigma >= beyond))


def _undefined(computed: Array, g: Array, comparable: Array) -> str:
    """Where the reference is not finite and the output is something else, in words; "" for nowhere."""
    if comparable.all():
        return ""
    same = (computed == g) | np.isnan(computed.astype(np.float64)) & np.isnan(g)
    unknown = np.argwhere(~np.isfinite(g) & ~same)
    if not len(unknown):
        return ""
    index = tuple(int(i) for i in unknown[0])
    return (
        f"{len(unknown)} of {g.size} entries cannot be judged: entry {index} is "
        f"{float(computed[index]):.6g}, and the mirror's {g[index]}."
    )


def _errors(computed: Array, expected: Measured, comparable: Array) -> _Errors:
    """z of each entry; the largest z, that of the whole tensor, and the largest relative error."""
    g, overflowed = expected.reference, int(comparable.size - np.count_nonzero(comparable))
    with np.errstate(all="ignore"):
        error = np.abs(np.where(comparable, computed.astype(np.float64, copy=False) - g, 0.0))
        if is_narrow(computed.dtype):
            error = np.maximum(error - half_unit(computed), 0.0)
        if not error.any():  # many agree to the bit
            return _Errors(error, 0.0, 0.0, 0.0, overflowed)
        error = np.where(np.isnan(error), np.inf, error)
        scale = np.where(comparable, expected.sigma, 0.0)
        z = np.where(error > 0, error / scale, 0.0)
        # Relative to the largest entries, so that the squares neither overflow nor underflow.
        unit = float(np.max(scale)) or 1.0
        tensor_error = float(np.linalg.norm(error / unit) / (np.linalg.norm(scale / unit) or 1.0))
        largest = float(np.max(np.abs(g), where=comparable, initial=0.0))
        return _Errors(z, float(np.max(z)), tensor_error, float(np.max(error) / largest), overflowed)


def _as_array(value: object) -> Array:
    try:
        return np.asarray(value)
    except Exception:  # rows of different lengths, say, or a tensor that cannot be an array
        return np.asarray(None)


def _worst(computed: Array, g: Array, z: Array) -> tuple[Entry, ...]:
    largest = np.argsort(-z, axis=None, kind="stable")[:WORST]
    indices = [tuple(int(j) for j in np.unravel_index(i, z.shape)) for i in largest if z.flat[i] > 0]
    pairs = [(i, float(computed[i]), float(g[i])) for i in indices]
    return tuple(Entry(i, c, r, c / r if r else float("nan"), float(z[i])) for i, c, r in pairs)
