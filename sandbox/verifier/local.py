"""The local check: one function at the inputs that it really received, against its equation."""

import hashlib
import math
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sandbox.noise import K, Measured, Noise, arithmetic, half_unit, is_narrow, measure
from sandbox.typing import Array, Dtype, Function, Inputs, Value
from sandbox.verifier.compare import Explanation, agrees, compare, threshold, wrong_by
from sandbox.verifier.diagnose import pattern
from sandbox.verifier.equation import Equation, broadcast, dtype_of
from sandbox.verifier.kinks import at_a_jump
from sandbox.verifier.oracle import who_is_wrong
from sandbox.verifier.rows import Cause, Fault, Matter, OutputRow, Scope, Verdict

_KEPT = 64 << 20  # bytes of answers
_TOGETHER = 1 << 23  # bytes of the samples of what is measured as one stack
_MET = 1 << 12  # answers without their outputs


@dataclass(frozen=True)
class Compared:
    """The rows of a call; `kinks` and `unknown` as in the Noise of its equation."""

    rows: tuple[OutputRow, ...]
    kinks: int = 0
    unknown: tuple[str, ...] = ()


Judge = Callable[[int, Array], Explanation]
"""Asked about an output k that is wrong and of the right shape: who is, and perhaps why."""
Candidates = Callable[[int], Iterator[tuple[str, Value]]]


class _Answers:
    """The last answers, as many as fit into `_KEPT` bytes, and of more of them all but the outputs; for
    several threads."""

    def __init__(self) -> None:
        self.lock, self.kept, self.bytes = threading.Lock(), OrderedDict[Value, Noise](), 0
        self.met = OrderedDict[Value, Noise]()

    def without_outputs(self, key: Value, make: Callable[[], Noise]) -> Noise:
        with self.lock:
            if key in self.met:
                return self.met[key]
        return self.get(key, make)

    def __contains__(self, key: Value) -> bool:
        with self.lock:
            return key in self.kept

    def get(self, key: Value, make: Callable[[], Noise]) -> Noise:
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        noise = make()
        self.keep(key, noise)
        return noise

    def keep(self, key: Value, noise: Noise) -> None:
        with self.lock:
            self.bytes += 0 if key in self.kept else _size(noise)
            self.kept[key], self.met[key] = noise, replace(noise, outputs=())
            while len(self.met) > _MET:
                self.met.popitem(last=False)
            while len(self.kept) > 1 and self.bytes > _KEPT:
                self.bytes -= _size(self.kept.popitem(last=False)[1])


_answers = _Answers()
_samples: ContextVar[int] = ContextVar("samples", default=K)


@contextmanager
def sampled(count: int) -> Iterator[None]:
    """What is measured within, is with so many samples: with half of them in half the time, and the least
    error that is caught is about twice as large. A right output fails as rarely as ever, since the threshold
    knows the degrees of freedom of sigma."""
    token = _samples.set(count)
    try:
        yield
    finally:
        _samples.reset(token)


def measured(equation: Equation, inputs: Inputs) -> Noise:
    """Reference and sigma of the equation's outputs at these inputs.

    The same function is often asked for at the same inputs (a layer, alone and as a part of the network):
    the last few answers are kept.
    """
    return _evaluated(equation, inputs, _samples.get())


def measure_together(asked: Iterable[tuple[Equation, Inputs]]) -> None:
    """The answers to several questions of the network's layers, for `measured` to find: those of one function
    at inputs of the same shapes are evaluated as a stack, in which there is less to do for each."""
    alike: defaultdict[Value, dict[Value, list[Array]]] = defaultdict(dict)
    for equation, inputs in asked:
        key, _ = _question(equation, inputs, _samples.get())
        reference, dtype, _, given = key
        if equation.axes and key not in _answers:
            shapes = tuple(shape for shape, *_ in given)
            alike[reference, dtype, shapes][key] = broadcast(equation, inputs)
    for (reference, dtype, shapes), of_one in alike.items():
        count = max(_TOGETHER // (8 * _samples.get() * max(sum(map(math.prod, shapes)), 1)), 1)
        each = list(of_one.items())
        for first in range(0, len(each), count):
            _measure_stack(reference, np.dtype(dtype), dict(each[first : first + count]))


def _measure_stack(reference: Function, dtype: Dtype, asked: Mapping[Value, list[Array]]) -> None:
    """Where a number overflows or is near a kink, it is not told for which of them: then each is measured by
    itself when it is asked for."""
    if len(asked) < 2:
        return
    stacked = (np.stack(arrays) for arrays in zip(*asked.values(), strict=True))
    noise = measure(reference, *stacked, dtype=arithmetic(dtype), samples=_samples.get())
    if noise.kinks or any(output.overflow for output in noise.outputs):
        return
    for i, key in enumerate(asked):
        outputs = (replace(of, reference=of.reference[i], sigma=of.sigma[i]) for of in noise.outputs)
        _answers.keep(key, replace(noise, outputs=tuple(outputs)))


def references(equation: Equation, inputs: Inputs) -> tuple[Array, ...]:
    """The reference of every output, without its noise, which takes most of the time."""
    return tuple(output.reference for output in _evaluated(equation, inputs, samples=1).outputs)


def met(equation: Equation, inputs: Inputs) -> Noise:
    """What `measured` gives, of which the outputs may be lacking: the kinks and the unknown primitives."""
    return _answers.without_outputs(*_question(equation, inputs, _samples.get()))


def _question(equation: Equation, inputs: Inputs, samples: int) -> tuple[Value, Callable[[], Noise]]:
    """What tells it from others, and what answers it."""
    arrays, dtype = broadcast(equation, inputs), dtype_of(inputs)
    given = tuple((a.shape, str(a.dtype), _digest(a)) for a in arrays)
    key = equation.reference, str(dtype), samples, given
    return key, partial(measure, equation.reference, *arrays, dtype=arithmetic(dtype), samples=samples)


def _evaluated(equation: Equation, inputs: Inputs, samples: int) -> Noise:
    noise = _answers.get(*_question(equation, inputs, samples))
    if equation.picks is not None:
        return replace(noise, outputs=tuple(noise.outputs[i] for i in equation.picks))
    return noise


def _in_steps(equation: Equation, inputs: Inputs, k: int) -> Measured:
    """Output k of a computation that rounds each result to the 16 bit of its inputs."""
    return measure(equation.reference, *broadcast(equation, inputs), dtype=dtype_of(inputs)).outputs[k]


_IN_STEPS = (
    "It is not what float32 gives, rounded once to {}. Code that rounds to it in between may be this far "
    "off, which is not judged yet: compute in float32 and round at the end, or check it with float32 inputs."
)


def _digest(array: Array) -> bytes:
    plain = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # because bfloat16 is no buffer
    return hashlib.blake2b(plain.data).digest() if array.size else b""


def _size(noise: Noise) -> int:
    return sum(output.reference.nbytes + output.sigma.nbytes for output in noise.outputs)


def compare_outputs(
    equation: Equation, result: Value, noise: Noise, inputs: Inputs, *, scope: Scope = Scope.LOCAL,
    layer: int | None = None, candidates: Candidates | None = None,
    judge: Judge = lambda k, computed: Explanation(), worth: bool = True,
) -> list[OutputRow]:  # fmt: skip
    """A row for each output in the result of a call; one row alone if the result has another structure.

    `candidates(k)` yields explanations for output k, by default those of the equation. `worth`: whether a
    pass is to say what it is worth.
    """
    try:
        outputs = equation.unpack(result)
    except (TypeError, ValueError) as error:
        row = OutputRow(equation.function, scope, layer, "result", Verdict.FAIL, str(error), Cause.STRUCTURE)
        return [row]

    def explain(k: int, computed: Array, expected: Measured) -> Explanation:
        judged = judge(k, computed) if computed.shape == expected.reference.shape else Explanation()
        excuse = _excuse(equation, inputs, k, computed)
        if judged.pattern:
            return replace(judged, excuse=excuse)
        limit = threshold(expected.reference.size, expected.samples)
        named = equation.named(inputs) | _made(equation, inputs)
        expected = replace(expected, sigma=expected.sigma + half_unit(computed) / limit)
        of_k = partial(candidates or partial(_candidates, equation, inputs), k)
        gradient = equation.matter is Matter.GRADIENT
        words = pattern(computed, expected, limit, named, of_k, gradient=gradient)
        return replace(judged, pattern=words, excuse=excuse)

    return [
        compare(
            partial(_row, equation, scope, layer, name),
            _in_shape(equation, name, output, of), of, dtype_of(inputs), partial(explain, k), worth,
        )
        for k, (name, output, of) in enumerate(zip(equation.outputs, outputs, noise.outputs, strict=True))
    ]  # fmt: skip


def _excuse(equation: Equation, inputs: Inputs, k: int, computed: Array) -> str:
    dtype = dtype_of(inputs)
    if not is_narrow(dtype) or not agrees(computed, _in_steps(equation, inputs, k)):
        return ""
    return _IN_STEPS.format(dtype)


def _row(
    equation: Equation, scope: Scope, layer: int | None, name: str, verdict: Verdict, finding: str = "",
    **numbers: Value,
) -> OutputRow:  # fmt: skip
    """Of one output; where the reference cannot judge, none that agrees with it is a pass."""
    if verdict is Verdict.PASS and equation.unjudged:
        verdict, finding = Verdict.NOT_JUDGED, equation.unjudged
    return OutputRow(
        equation.function, scope, layer, name, verdict, finding, matter=equation.matter, **numbers
    )  # fmt: skip


def _made(equation: Equation, inputs: Inputs) -> dict[str, Array]:
    """By name, what an operation makes of the inputs of this backward, of which a gradient is often made."""
    forward = equation.forward
    if forward is None or equation.axes:
        return {}
    return dict(zip(forward.outputs, references(forward, inputs[equation.cotangents :]), strict=True))


def _in_shape(equation: Equation, name: str, output: Value, expected: Measured) -> Value:
    """A cache holds an array as it was given, which the reference broadcast to the stack."""
    shape = expected.reference.shape
    if equation.axes and name in equation.may_alias and np.shape(output) == shape[-np.ndim(output) :]:
        return np.broadcast_to(output, shape)
    return output


def _candidates(equation: Equation, inputs: Inputs, k: int) -> Iterator[tuple[str, Value]]:
    name, right = equation.outputs[k], measured(equation, inputs).outputs
    for text, answers in equation.answers(*inputs):
        if name in answers:
            yield text, answers[name]
    for i, other in enumerate(equation.outputs):
        cached = not {name, other}.isdisjoint(equation.may_alias)
        asked = "is the other cached, or changed in place?" if cached else "is one returned for the other?"
        if i != k:
            yield f"It is what {other} should be: {asked}", right[i].reference
    for text, wrong in (*equation.mistakes(*inputs), *_mistakes_of_any(equation, inputs)):
        yield text, references(equation, wrong)[k]
    if (diagonal := _diagonal(equation, inputs, k)) is not None:
        yield _DIAGONAL, diagonal


_FEW = 16  # entries, for each of which the reference is asked
_DIAGONAL = (
    "It is what comes out if each output is differentiated by the input at its own place alone: does an "
    "input move the other outputs too, as in a softmax?"
)


def _diagonal(equation: Equation, inputs: Inputs, k: int) -> Array | None:
    """dout times the diagonal of the Jacobian, of an operation of few entries that keeps the shape."""
    dout = np.asarray(inputs[0])
    if equation.axes or equation.cotangents != 1 or not 1 < dout.size <= _FEW:
        return None
    if np.shape(inputs[1 + equation.differentiated[k]]) != dout.shape:
        return None
    found = np.zeros(dout.shape)
    for i in np.ndindex(dout.shape):
        one = np.zeros_like(dout)
        one[i] = 1
        found[i] = references(equation, (one, *inputs[1:]))[k][i]
    return np.asarray(found * dout)


def _mistakes_of_any(equation: Equation, inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """As the mistakes of an equation: a cotangent that is left out, a matrix that is not transposed."""
    count = equation.cotangents
    if count:
        ones, names = tuple(map(np.ones_like, inputs[:count])), " and ".join(equation.inputs[:count])
        words = f"It is what comes out with 1 in place of {names}: is {names} left out?"
        yield words, (*ones, *inputs[count:])
    for i, (name, x) in enumerate(zip(equation.inputs, inputs, strict=True)):
        shape = np.shape(x)
        if i >= count and len(shape) > 1 and shape[-1] == shape[-2] > 1:
            words = f"It is what comes out with {name} transposed: is it transposed where it should not be, "
            yield words + "or not where it should?", (*inputs[:i], np.swapaxes(x, -1, -2), *inputs[i + 1 :])
        if i >= count and len(shape) > 2 and not equation.axes:
            words = f"It is what comes out with {name} reversed along its last two axes: is a flip missing, "
            yield words + "or one too many?", (*inputs[:i], np.flip(x, (-2, -1)), *inputs[i + 1 :])


def check_local(
    equation: Equation, inputs: Inputs, result: Value, *, layer: int | None = None,
    forward: Function | None = None, at_fault: Fault = Fault.UNASKED,
) -> Compared:  # fmt: skip
    """Rows of one call. With `forward`, the tested forward function, a wrong gradient is put to the
    third oracle, which says whether the backward or the mirror is wrong; `at_fault`: who is, where that is
    known before."""
    try:
        noise = measured(equation, inputs)
    except (TypeError, ValueError):  # what it was handed does not fit its equation: another's fault
        finding = "the mirror does not take what this function was handed."
        row = OutputRow(equation.function, Scope.LOCAL, layer, "result", Verdict.NOT_COMPARED, finding)
        return Compared((row,))
    primal = equation.forward

    def judge(k: int, computed: Array) -> Explanation:
        if forward is None or primal is None:
            return Explanation(at_fault=at_fault)
        expected = noise.outputs[k]
        error = wrong_by(computed, expected)
        if not equation.axes and (jump := at_a_jump(equation, inputs, k, error, expected)):
            return Explanation(jump)  # where a numerical derivative is neither
        wrong = who_is_wrong(
            equation, lambda *x: primal.unpack(forward(*primal.pack(*x))), inputs, k, computed,
            expected.reference,
        )  # fmt: skip
        return Explanation(at_fault=wrong)

    rows = compare_outputs(equation, result, noise, inputs, layer=layer, judge=judge)
    return Compared(tuple(rows), noise.kinks, noise.unknown)
