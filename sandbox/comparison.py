"""One output against its reference, in units of sigma, and the threshold with its derivation.

Threshold. Under the hypothesis that only rounding separates a component c_i from the reference g_i,
c_i - g_i has mean 0 and a standard deviation of at most sigma_i, and its estimate from K samples
makes z_i = |c_i - g_i| / sigma_i at most a Student t variable with K degrees of freedom. An output
of N components fails when some z_i exceeds the quantile of t_K at ALPHA / N (Bonferroni), or when
||c - g|| / ||sigma|| exceeds that at ALPHA: a ratio of quadratic forms whose tail is heaviest when
all components err together, and then it is |t_K|. So an output that is right fails with a
probability below 2 ALPHA, whatever its size. Roundings have a root mean square of about 0.4 u, the
samples of u, which leaves a margin for roundings that are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.special import stdtrit

from sandbox.diagnose import Mistakes, pattern
from sandbox.noise import K, Measured
from sandbox.report import Entry, Row, Scope
from sandbox.typing import Array

ALPHA = 1e-9  # the largest probability that one right output fails either test
WORST = 3  # entries shown
INFINITE = float("inf")
_NOT_FINITE = (
    "If yours is right, mend the mirror: jnp.where(x > 0, jnp.sqrt(x), 0), for instance, has a gradient of "
    "NaN where x <= 0, and with jnp.sqrt(jnp.where(x > 0, x, 1)) in it, it has not."
)


@lru_cache(maxsize=1024)
def threshold(components: int) -> float:
    """The largest |computed - reference| / sigma allowed in an output of so many components."""
    return float(-stdtrit(K, ALPHA / (2 * max(components, 1))))


def compare(
    function: str,
    scope: Scope,
    layer: int | None,
    output: str,
    computed: Any,
    expected: Measured,
    dtype: Any,
    *,
    inputs: Mapping[str, Any] | None = None,
    mistakes: Mistakes | None = None,
) -> Row:
    """One row: `computed` against the reference and sigma of `expected`.

    Args:
        dtype: what the output should have; None for any.
        inputs, mistakes: what `sandbox.diagnose.pattern` may explain a difference with.
    """
    if type(computed) in (float, int):
        dtype = None  # a Python number has none, and takes on that of what it meets
    given, computed = computed, _as_array(computed)
    g, sigma = expected.reference, expected.sigma
    limit, tensor_limit = threshold(g.size), threshold(1)
    row = partial(
        Row, function, scope, layer, output, shape=computed.shape, dtype=str(computed.dtype),
        threshold=limit, tensor_threshold=tensor_limit,
    )  # fmt: skip
    incomparable = partial(row, "FAIL", sigma_error=INFINITE, tensor_error=INFINITE, relative_error=INFINITE)
    if given is None:
        return incomparable(f"it is None, expected an array of shape {g.shape}.")
    if computed.dtype.kind not in "fiub":
        return incomparable(f"its dtype is {computed.dtype}, expected real numbers.")
    if computed.shape != g.shape:
        explained = pattern(computed, g, sigma, limit, inputs or {}, mistakes)
        return incomparable(f"its shape is {computed.shape}, expected {g.shape}.", pattern=explained)
    representable = np.isfinite(sigma) & np.isfinite(g)
    if expected.overflow:
        # Which later number an overflow spoils (inf - inf, 0 inf) depends on the order of operations.
        representable &= np.isfinite(computed)
    elif not representable.all():
        same = (computed == g) | np.isnan(computed.astype(np.float64)) & np.isnan(g)
        unknown = np.argwhere(~np.isfinite(g) & ~same)
        if len(unknown):
            index = tuple(int(i) for i in unknown[0])
            finding = (
                f"{len(unknown)} of {g.size} entries cannot be judged: entry {index} is "
                f"{computed[index]:.6g}, and the mirror's {g[index]}."
            )
            return incomparable(finding, pattern=_NOT_FINITE)
    z, sigma_error, tensor_error, relative_error = _errors(computed, g, sigma, representable)
    overflowed = int(g.size - np.count_nonzero(representable))
    compared = partial(
        row, sigma_error=sigma_error, tensor_error=tensor_error, relative_error=relative_error,
        overflowed=overflowed,
    )  # fmt: skip
    other_dtype = "" if dtype is None or computed.dtype == np.dtype(dtype) else (
        f"its dtype is {computed.dtype}, expected {np.dtype(dtype)}"
    )  # fmt: skip
    passed = compared("pass")
    if not passed.values_right:
        worst = _worst(computed, g, z)
        count = int(np.count_nonzero(z > limit))
        entries = f"{g.size} {'entry' if g.size == 1 else 'entries'} {'is' if count == 1 else 'are'}"
        finding = (
            f"{count or 'no'} of {entries} further off than rounding explains; "
            f"entry {worst[0].index} is {worst[0].computed:.6g}, "
            f"expected {worst[0].reference:.6g}, {worst[0].z:.3g} sigma off."
        )
        finding = f"{other_dtype}; {finding}" if other_dtype else finding
        explained = pattern(computed, g, sigma, limit, inputs or {}, mistakes)
        return compared("FAIL", finding, worst=worst, pattern=explained)
    if other_dtype:
        return compared("FAIL", f"{other_dtype}.")
    if not g.size:
        return compared("not compared", "it has no entries.")
    if overflowed == g.size:
        finite = np.isfinite(g).any()
        reason = "all entries overflow in this dtype." if finite else "the reference is not finite."
        return compared("not compared", reason)
    return passed


def _errors(
    computed: Array, g: Array, sigma: Array, representable: Array
) -> tuple[Array, float, float, float]:
    """z of each entry; the largest z, that of the whole tensor, and the largest relative error."""
    with np.errstate(all="ignore"):
        error = np.abs(np.where(representable, computed.astype(np.float64, copy=False) - g, 0.0))
        if not error.any():  # many agree to the bit
            return error, 0.0, 0.0, 0.0
        error = np.where(np.isnan(error), np.inf, error)
        scale = np.where(representable, sigma, 0.0)
        z = np.where(error > 0, error / scale, 0.0)
        # Relative to the largest entries, so that the squares neither overflow nor underflow.
        unit = float(np.max(scale)) or 1.0
        tensor_error = float(np.linalg.norm(error / unit) / (np.linalg.norm(scale / unit) or 1.0))
        largest = float(np.max(np.abs(g), where=representable, initial=0.0))
        return z, float(np.max(z)), tensor_error, float(np.max(error) / largest)


def _as_array(value: Any) -> Array:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # rows of different lengths, say
        return np.asarray(None)


def _worst(computed: Array, g: Array, z: Array) -> tuple[Entry, ...]:
    entries = []
    for i in np.argsort(-z, axis=None, kind="stable")[:WORST]:
        index = tuple(int(j) for j in np.unravel_index(i, z.shape))
        c, r = float(computed[index]), float(g[index])
        if z[index] > 0:
            ratio = c / r if r else float("nan")
            entries.append(Entry(index, c, r, ratio, float(z[index])))
    return tuple(entries)
