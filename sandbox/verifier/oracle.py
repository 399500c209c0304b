"""The third oracle: the hand-written forward, differentiated without automatic differentiation, says whether
the backward or the mirror is wrong.

d/dt <dout, F(x + t v)> at t = 0, for real x, v and a cotangent dout, in two ways:

* the complex step Im <dout, F(x + i h v)> / h, which has no cancellation (Squire and Trapp,
  *Using complex variables to estimate derivatives of real functions*, SIAM Review 1998), where F
  takes complex numbers and is analytic;
* central differences with Richardson's extrapolation (Ridders, *Accurate computation of F'(x)*,
  1982), which need only F. They also tell whether the complex step can be believed: np.abs or
  np.maximum take complex numbers and are not analytic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sandbox.noise import is_float
from sandbox.typing import Array, Inputs, Value
from sandbox.verifier.equation import Equation
from sandbox.verifier.nested import copied
from sandbox.verifier.rows import Fault
from sandbox.verifier.warned import quiet

_ROWS = 12  # of Richardson's table
_SHRINK = 2.0  # factor from one step to the next: from 1/20 of the argument's size to 1/40000, near a pole
_STEP = 1e-30  # of the complex step: h^2 vanishes beside 1

Function = Callable[[Array], Value]


@dataclass(frozen=True)
class Derivative:
    """A directional derivative and a bound on its error, estimated from the extrapolation."""

    value: float
    error: float


def directional(function: Function, x: Array, v: Array, step: float | None = None) -> Derivative:
    """d/dt function(x + t v) at t = 0 of a real-valued function of an array.

    Args:
        function: may raise for complex arguments; then central differences are taken.
        x, v: of one shape; computed in float64.
        step: the largest step, by default 0.05 of the size of x in units of that of v.
    """
    x, v = np.asarray(x, np.float64), np.asarray(v, np.float64)
    if not step:
        size = float(np.sqrt(np.mean(x**2))) if x.size else 1.0
        step = 0.05 * max(size, 1e-3) / (_largest(v) or 1.0)
    by_differences = _richardson(function, x, v, step)
    with quiet():
        try:
            shifted = np.asarray(function(x + 1j * _STEP * v))
        except Exception:  # not for complex numbers, in whatever way the function says so
            return by_differences
    value = float(shifted.imag) / _STEP if shifted.dtype.kind == "c" else float("nan")
    if not abs(value - by_differences.value) <= 10 * by_differences.error:
        return by_differences
    return Derivative(value, 64 * np.finfo(float).eps * abs(value) + np.finfo(float).tiny)


def _richardson(function: Function, x: Array, v: Array, h: float) -> Derivative:
    """Ridders' table: each column removes the next even power of h; the best entry is the one whose
    neighbours differ least."""
    table = np.zeros((_ROWS, _ROWS))
    size = _largest(x) / (_largest(v) or 1.0)
    best = Derivative(float("nan"), float("inf"))
    with np.errstate(all="ignore"):
        for i in range(_ROWS):
            plus, minus = (float(np.real(function(x + t * v))) for t in (h, -h))
            table[i, 0] = (plus - minus) / (2 * h)
            # A few roundings of the function and of its arguments x +- h v (which its slope carries on); the
            # extrapolation amplifies them by less than prod_j (s^2j + 1) / (s^2j - 1) < 3 with s = 2.
            moved = max(abs(plus), abs(minus)) + abs(table[i, 0]) * size
            best = _extrapolated(table, i, 8 * np.finfo(float).eps * moved / h, best)
            h /= _SHRINK
    return best


def _extrapolated(table: Array, i: int, cancellation: float, best: Derivative) -> Derivative:
    """Fills row i of the table from its first entry; the best entry so far."""
    for j in range(1, i + 1):
        factor = _SHRINK ** (2 * j)
        table[i, j] = (table[i, j - 1] * factor - table[i - 1, j - 1]) / (factor - 1)
        spread = max(abs(table[i, j] - table[i, j - 1]), abs(table[i, j] - table[i - 1, j - 1]))
        if spread + cancellation < best.error:
            best = Derivative(float(table[i, j]), float(spread + cancellation))
    return best


def _largest(x: Array) -> float:
    return float(np.max(np.abs(x), initial=0.0))


# --- who is wrong ---------------------------------------------------------------------------------


def who_is_wrong(
    equation: Equation, forward: Callable[..., Inputs], inputs: Inputs, k: int, computed: Array, exact: Array
) -> Fault:
    """BACKWARD or MIRROR: with which of them the forward, differentiated numerically, disagrees;
    UNDECIDED if it agrees with neither, UNASKED if its derivative is too uncertain to tell. A backward
    without cotangents is that of the sum of the first output.

    Args:
        k, computed, exact: which output, what the backward gave, and the mirror's.
    """
    factor = equation.factors[k](*inputs) if k in equation.factors else 1.0
    computed, exact = computed.astype(np.float64) / factor, exact / factor
    gap = float(np.linalg.norm(computed - exact))
    if not np.isfinite(gap) or gap == 0:
        return Fault.BACKWARD if np.isfinite(exact).all() else Fault.UNASKED
    along, x = _along(equation, forward, inputs, equation.differentiated[k])
    v = (computed - exact) / gap  # along which the two differ most
    try:
        with np.errstate(all="ignore"):
            derivative = directional(along, x, v)
            if not derivative.error < gap / 8 or _has_kink(along, x, v, gap):
                return Fault.UNASKED
            for gradient, wrong in ((exact, Fault.BACKWARD), (computed, Fault.MIRROR)):
                if _agrees(along, x, v, derivative, gap, gradient):
                    return wrong
            everywhere = np.full(x.shape, x.size**-0.5)
            if _has_kink(along, x, everywhere, gap * x.size**-0.5):  # at another entry
                return Fault.UNASKED
    except Exception:  # a forward that does not run has a finding of its own
        return Fault.UNASKED
    return Fault.UNDECIDED


def _along(
    equation: Equation, forward: Callable[..., Inputs], inputs: Inputs, j: int
) -> tuple[Function, Array]:
    """<dout, forward> as a function of the forward's input j alone, and the value of that input."""
    count = equation.cotangents
    cotangents = [np.asarray(x, np.float64) for x in inputs[:count]] or [np.ones(())]
    arguments = [np.asarray(x, np.float64) if is_float(np.asarray(x).dtype) else x for x in inputs[count:]]

    def along(x: Array) -> Value:
        outputs = forward(*copied((*arguments[:j], x, *arguments[j + 1 :])))
        return sum(np.sum(d * out) for d, out in zip(cotangents, outputs, strict=False))

    return along, arguments[j]


def _agrees(
    along: Function, x: Array, v: Array, derivative: Derivative, gap: float, gradient: Array
) -> bool:  # fmt: skip
    """Along v, and in a few random directions: a third gradient may agree with one of the two along v."""
    rng, off = np.random.default_rng(0), [abs(derivative.value - float(np.sum(gradient * v))) / gap]
    for _ in range(3):
        r = rng.standard_normal(np.shape(v))
        r /= np.linalg.norm(r)
        other = directional(along, x, r)
        unsure = 4 * other.error * np.sqrt(r.size) / gap
        off.append(abs(other.value - float(np.sum(gradient * r))) * np.sqrt(r.size) / gap - unsure)
    return max(off) < 1 / 4


def _has_kink(function: Function, x: Array, v: Array, gap: float) -> bool:
    """Whether the slopes on either side differ: at a kink a numerical derivative is neither. In several
    directions, because along v the kinks of two entries may cancel."""
    h = 1e-6 * max(_largest(x), 1.0)
    rng = np.random.default_rng(0)
    for signs in (1.0, *rng.choice([-1.0, 1.0], (3, *np.shape(v)))):
        minus, here, plus = (float(np.real(function(x + t * signs * v))) for t in (-h, 0.0, h))
        if abs((plus - here) - (here - minus)) / h > gap / 8:
            return True
    return False
