"""The local check: one function at the inputs that it really received, against its equation."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sandbox.comparison import compare
from sandbox.differences import directional
from sandbox.equations import Equation, Inputs
from sandbox.hooks import copied
from sandbox.noise import Noise, measure
from sandbox.report import Oracle, Report, Row, Scope
from sandbox.typing import Array

_KEPT = 64 << 20  # bytes of answers


class _Answers(OrderedDict[Any, Noise]):
    """The last answers, as many as fit into `_KEPT` bytes."""

    bytes = 0

    def add(self, key: Any, noise: Noise) -> None:
        self[key] = noise
        self.bytes += _size(noise)
        while len(self) > 1 and self.bytes > _KEPT:
            self.bytes -= _size(self.popitem(last=False)[1])


_measured = _Answers()


def measured(equation: Equation, inputs: Inputs) -> Noise:
    """Reference and sigma of the equation's outputs at these inputs.

    Stacks are broadcast first, so that no gradient is summed over them. The same function is
    often asked for at the same inputs (a layer, alone and as a part of the network): the last few
    answers are kept.
    """
    arrays = [np.asarray(x) for x in inputs]
    if equation.axes:  # whose inputs are real numbers, whatever a wrong function handed on
        arrays = [a if a.dtype.kind == "f" else a.astype(np.float64) for a in arrays]
        stack = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
        arrays = [np.broadcast_to(a, stack + a.shape[-2:]) for a in arrays]
    dtype = dtype_of(inputs)
    key = (equation.reference, str(dtype), tuple((a.shape, str(a.dtype), _digest(a)) for a in arrays))
    if key in _measured:
        _measured.move_to_end(key)
    else:
        _measured.add(key, measure(equation.reference, *arrays, dtype=dtype))
    noise = _measured[key]
    if equation.picks:
        return replace(noise, outputs=tuple(noise.outputs[i] for i in equation.picks))
    return noise


def _digest(array: Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data).digest() if array.size else b""


def _size(noise: Noise) -> int:
    return sum(output.reference.nbytes + output.sigma.nbytes for output in noise.outputs)


def dtype_of(inputs: Inputs) -> Any:
    """The dtype that the outputs should have: the widest of the inputs' float dtypes."""
    floats = [x.dtype for x in map(np.asarray, inputs) if x.dtype.kind == "f"]
    return np.result_type(*floats) if floats else np.dtype(np.float64)


def compare_outputs(
    equation: Equation,
    result: Any,
    noise: Noise,
    inputs: Inputs,
    *,
    scope: Scope = "local",
    layer: int | None = None,
    mistakes: Callable[[int], Iterator[tuple[str, Any]]] | None = None,
) -> list[Row]:
    """A row for each output in the result of a call; one row alone if the result has another structure.

    `mistakes(k)` yields explanations for output k, by default those of the equation.
    """
    try:
        outputs = equation.unpack(result)
    except (TypeError, ValueError) as error:
        return [Row(equation.function, scope, layer, "result", "FAIL", str(error))]
    explain = mistakes or partial(_mistakes, equation, inputs)
    if equation.axes:
        # A cache holds an array as it was given, which the reference broadcast to the stack.
        outputs = tuple(
            _broadcast(output, expected.reference.shape) if "cache" in name else output
            for name, output, expected in zip(equation.outputs, outputs, noise.outputs, strict=True)
        )
    return [
        compare(
            equation.function, scope, layer, name, output, expected, dtype_of(inputs),
            inputs=equation.named(inputs), mistakes=partial(explain, k),
        )
        for k, (name, output, expected) in enumerate(
            zip(equation.outputs, outputs, noise.outputs, strict=True))
    ]  # fmt: skip


def _broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(array, shape) if np.shape(array) == shape[-np.ndim(array) :] else array


def _mistakes(equation: Equation, inputs: Inputs, k: int) -> Iterator[tuple[str, Array]]:
    right = measured(equation, inputs).outputs
    for i, name in enumerate(equation.outputs):
        if i != k and "cache" in equation.outputs[k] + name:
            yield (
                f"It is what {name} should be: is the other cached, or changed in place?",
                right[i].reference,
            )
        elif i != k:
            yield f"It is what {name} should be: are two outputs swapped?", right[i].reference
    for text, wrong in equation.mistakes(*inputs):
        yield text, measured(equation, wrong).outputs[k].reference


def check_local(
    equation: Equation,
    inputs: Inputs,
    result: Any,
    *,
    layer: int | None = None,
    forward: Callable[..., Any] | None = None,
) -> Report:
    """Rows of one call. With `forward`, the tested forward function, a wrong gradient is put to the
    third oracle, which says whether the backward or the mirror is wrong."""
    try:
        noise = measured(equation, inputs)
    except (TypeError, ValueError):  # what it was handed does not fit its equation: another's fault
        finding = "the mirror does not take what this function was handed."
        return Report((Row(equation.function, "local", layer, "result", "not compared", finding),))
    rows = compare_outputs(equation, result, noise, inputs, layer=layer)
    primal = equation.forward
    if forward is not None and primal is not None:

        def function(*arguments: Any) -> Inputs:
            return primal.unpack(forward(*primal.pack(*arguments)))

        for k, row in enumerate(rows):
            if row.verdict == "FAIL" and row.shape == noise.outputs[k].reference.shape:
                computed = np.asarray(equation.unpack(result)[k], np.float64)
                if not equation.axes and _jumps_where_wrong(equation, inputs, k, computed):
                    rows[k] = replace(row, pattern=_JUMP)
                else:
                    rows[k] = replace(row, at_fault=who_is_wrong(equation, function, inputs, k, computed))
    return Report(tuple(rows), noise.kinks, noise.unknown)


_JUMP = (
    "The wrong entries are those where the mirror's gradient jumps: at a kink (abs at 0) or a tie (of a "
    "maximum) of these very inputs. If yours is right there too, write the mirror with the same choice, or "
    "give inputs without ties."
)


def _jumps_where_wrong(equation: Equation, inputs: Inputs, k: int, computed: Array) -> bool:
    """Whether the reference is another one at inputs that differ by next to nothing, in all entries that
    are wrong."""
    rng, count = np.random.default_rng(0), equation.cotangents
    expected = measured(equation, inputs).outputs[k]
    wrong = np.abs(computed - expected.reference) > 100 * expected.sigma
    jumps = np.zeros(wrong.shape, bool)
    for _ in range(4):
        near = tuple(
            x + 1e-6 * np.maximum(np.abs(x), 1e-3) * rng.standard_normal(np.shape(x))
            if i >= count and np.asarray(x).dtype.kind == "f"
            else x
            for i, x in enumerate(inputs)
        )
        moved = np.abs(measured(equation, near).outputs[k].reference - expected.reference)
        jumps |= moved > 1e-3 * np.abs(computed - expected.reference)
    return bool(wrong.any() and np.all(jumps[wrong]))


def _has_kink(function: Callable[[Any], Any], x: Array, v: Array, gap: float) -> bool:
    """Whether the slopes on either side differ: at a kink a numerical derivative is neither. In several
    directions, because along v the kinks of two entries may cancel."""
    h = 1e-6 * max(float(np.max(np.abs(x), initial=0.0)), 1.0)
    rng = np.random.default_rng(0)
    for signs in (1.0, *rng.choice([-1.0, 1.0], (3, *np.shape(v)))):
        minus, here, plus = (float(np.real(function(x + t * signs * v))) for t in (-h, 0.0, h))
        if abs((plus - here) - (here - minus)) / h > gap / 8:
            return True
    return False


def who_is_wrong(
    equation: Equation, forward: Callable[..., Inputs], inputs: Inputs, k: int, computed: Array
) -> Oracle:
    """ "backward" or "mirror": with which of them the forward, differentiated numerically, disagrees;
    "undecided" if it agrees with neither, "" if its derivative is too uncertain to tell. A backward
    without cotangents is that of the sum of the first output.

    The direction is that of their difference, along which they differ most.
    """
    count = equation.cotangents
    cotangents = [np.asarray(x, np.float64) for x in inputs[:count]] or [np.ones(())]
    arguments = [np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else x for x in inputs[count:]]
    j = equation.differentiated[k]
    factor = equation.factors[k](*inputs) if k in equation.factors else 1.0
    reference = measured(equation, inputs).outputs[k].reference / factor
    apart = computed / factor - reference
    gap = float(np.linalg.norm(apart))
    if not np.isfinite(gap) or gap == 0:
        return "backward" if np.isfinite(reference).all() else ""
    v = apart / gap

    def along(x: Any) -> Any:
        outputs = forward(*copied((*arguments[:j], x, *arguments[j + 1 :])))
        return sum(np.sum(d * out) for d, out in zip(cotangents, outputs, strict=False))

    def agrees(gradient: Array) -> bool:
        """Along v, and in a few random directions: a third gradient may agree with one of the two along v."""
        rng, off = np.random.default_rng(0), [abs(derivative.value - float(np.sum(gradient * v))) / gap]
        for _ in range(3):
            r = rng.standard_normal(np.shape(v))
            r /= np.linalg.norm(r)
            other = directional(along, arguments[j], r)
            unsure = 4 * other.error * np.sqrt(r.size) / gap
            off.append(abs(other.value - float(np.sum(gradient * r))) * np.sqrt(r.size) / gap - unsure)
        return max(off) < 1 / 4

    try:
        with np.errstate(all="ignore"):
            derivative = directional(along, arguments[j], v)
            if not derivative.error < gap / 8 or _has_kink(along, arguments[j], v, gap):
                return ""
            if agrees(reference):
                return "backward"
            return "mirror" if agrees(computed / factor) else "undecided"
    except Exception:  # a forward that does not run has a finding of its own
        return ""
