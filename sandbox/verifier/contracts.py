"""What a caller may rely on beyond the values: one row for each contract of a tested function.

Every call is made on copies, and an exception in the tested code is a finding with its place.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

import jax
import numpy as np

from sandbox.noise import Measured, Noise, Precision, arithmetic, is_float, is_narrow
from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.equation import Equation, dtype_of
from sandbox.verifier.loading import raised_at
from sandbox.verifier.local import compare_outputs, measured
from sandbox.verifier.nested import copied, difference
from sandbox.verifier.progress import told
from sandbox.verifier.recording import named_argument
from sandbox.verifier.rows import Contract, ContractRow, Matter, Verdict
from sandbox.verifier.smaller import smaller
from sandbox.verifier.warned import own_warnings, quiet

EXAMPLES = 16  # contracts hold or fail on few examples
_ENDS = {Contract.RUNS, Contract.VALUES}  # where they fail, the others would for the same reason


class _BrokenError(Exception):
    """A contract that is not kept; the message says how. Some are worth a note or a remark only.

    `values_right`: the numbers agree, and something else (the dtype) does not.
    """

    def __init__(self, message: str, *, worth: Verdict = Verdict.FAIL, values_right: bool = False) -> None:
        super().__init__(message)
        self.worth, self.values_right = worth, values_right


def check_contracts(
    equation: Equation, function: Function, inputs: Inputs, *, stacks: bool | None, right: bool = True
) -> list[ContractRow]:
    """One row for each contract.

    Args:
        inputs: flat, as the equation has them.
        stacks: whether stacks of matrices must be taken; False: a function that takes single
            networks only gets a note; None: the function is not one of matrices.
        right: whether the values agreed with the mirror. If not, they are not compared in other
            circumstances too.
    """
    few = _by_examples(equation, inputs, lambda x: np.ascontiguousarray(x[..., :EXAMPLES]))
    given = _Subject(equation, function, few)
    # What a call does is seen at the inputs as they are; values are compared many times over.
    few = smaller(equation, few, lambda cut: _Subject(equation, function, cut).is_right()) if right else few
    subject = _Subject(equation, function, few)
    if any(output.overflow for output in subject.expected.outputs):
        finding = "the numbers overflow in this dtype; ask with smaller ones."
        return [ContractRow(equation.function, Contract.ANY, Verdict.NOT_COMPARED, finding)]
    rows: list[ContractRow] = []
    for contract, name, ask in told(_asked(subject, stacks, right), equation.function):
        verdict, finding, matter = Verdict.PASS, "", equation.matter
        try:
            ask(given if contract in _ALWAYS else subject)
        except _BrokenError as broken:
            verdict, finding = broken.worth, str(broken)
            matter = Matter.MANNER if broken.worth is Verdict.REMARK else matter
        except (Exception, SystemExit) as error:  # whatever the tested code raises
            at = f"with {subject.shapes} " if contract is Contract.RUNS else ""
            verdict, finding = Verdict.FAIL, f"{at}it raised {raised_at(error)}."
        said = [row.finding for row in rows if row.finding]
        if finding in said or (verdict is Verdict.REMARK and said and contract not in _ALWAYS):
            continue  # the same once more
        rows.append(ContractRow(equation.function, contract, verdict, finding, name, matter=matter))
        if contract in _ENDS and verdict is Verdict.FAIL:
            break
    return rows


@dataclass(frozen=True)
class _Subject:
    """A function at its inputs."""

    equation: Equation
    function: Function
    inputs: Inputs

    @cached_property
    def expected(self) -> Noise:
        return measured(self.equation, self.inputs)

    @property
    def shapes(self) -> str:
        given = zip(self.equation.inputs, self.inputs, strict=True)
        return ", ".join(f"{name} of shape {x.shape}" for name, x in given if isinstance(x, np.ndarray))

    def packed(self, inputs: Inputs) -> Inputs:
        """Copies of the inputs, as the function's arguments."""
        return copied(self.equation.pack(*inputs))

    def run(self, arguments: Inputs) -> Value:
        with quiet():
            return self.function(*arguments)

    def call(self, inputs: Inputs) -> Value:
        return self.run(self.packed(inputs))

    def agree(self, result: Value, expected: Noise, inputs: Inputs, when: str) -> None:
        for row in compare_outputs(self.equation, result, expected, inputs, worth=False):
            if row.verdict is Verdict.FAIL:
                words = f"{when}, {row.output}: {' '.join(filter(None, (row.pattern, row.finding)))}"
                raise _BrokenError(words, values_right=row.values_right)

    def check(self, inputs: Inputs, when: str) -> None:
        self.agree(self.call(inputs), measured(self.equation, inputs), inputs, when)

    def outputs(self, result: Value) -> Value:
        """Those in a result; all of it, if it has another structure, which has a row of its own."""
        try:
            return self.equation.unpack(result)
        except (TypeError, ValueError):
            return result

    def named_output(self, where: str) -> str:
        """A place in the outputs, by their names."""
        return re.sub(r"^result\[(\d+)\]", lambda i: self.equation.outputs[int(i[1])], where)

    def is_right(self) -> bool:
        try:
            self.check(self.inputs, "")
        except (Exception, SystemExit):
            return False
        return True

    def warning(self, inputs: Inputs) -> str:
        arguments = self.packed(inputs)
        with own_warnings() as caught, np.errstate(all="warn", under="ignore"):
            self.function(*arguments)
        return caught[0] if caught else ""


# --- what holds whatever the values are -----------------------------------------------------------


def _unchanged(s: _Subject) -> None:
    arguments = s.packed(s.inputs)
    before = copied(arguments)
    arrays = [(x, x.copy()) for x in _arrays(arguments)]
    first = copied(s.run(arguments))
    if not (where := named_argument(s.function, difference(before, arguments))):
        return
    in_place = any(difference(x, was) for x, was in arrays)
    if in_place and s.equation.matter is Matter.GRADIENT and difference(first, s.run(arguments)):
        raise _BrokenError(
            f"{where} was changed in place, and a second call with it gives another result; work on a copy."
        )
    if in_place:
        raise _BrokenError(f"{where} was changed in place; work on a copy.", worth=Verdict.REMARK)
    raise _BrokenError(
        f"{where} is another array afterwards: the caller's own dict or list was changed; start from a copy "
        "of it, dict(params) for instance.",
        worth=Verdict.REMARK,
    )


def _new(s: _Subject) -> None:
    arguments = s.packed(s.inputs)
    result = s.run(arguments)
    given = _arrays(arguments)
    try:
        outputs = s.equation.unpack(result)
    except (TypeError, ValueError):
        return  # the result's structure has a row of its own
    for name, output in zip(s.equation.outputs, outputs, strict=True):
        shared = isinstance(output, np.ndarray) and any(np.may_share_memory(output, x) for x in given)
        if shared and name not in s.equation.may_alias:
            words = f"{name} shares memory with an input: to change one changes the other."
            raise _BrokenError(words, worth=s.equation.aliased)


def _deterministic(s: _Subject) -> None:
    result = s.call(s.inputs)
    first, kept = s.outputs(result), copied(result)
    before = copied(first)
    with contextlib.suppress(Exception):  # which it may refuse: one-hot rows, say, have a sum of 1
        s.call(tuple(x * x.dtype.type(0.5) if _is_float(x) else x for x in s.inputs))
    if where := s.named_output(difference(before, first, "result")):
        raise _BrokenError(
            f"{where} of one call is changed by the next: is it an array or a dict that is kept and used "
            "again? Make a new one in each call.",
            worth=Verdict.REMARK,
        )
    again = s.call(s.inputs)
    if where := s.named_output(difference(before, s.outputs(again), "result")):
        raise _BrokenError(
            f"{where} differs between two calls with the same inputs (and another call between them): "
            "is something random, or kept from an earlier call?"
        )
    if difference(kept, again):
        raise _BrokenError(
            "what it keeps for the backward differs between two calls with the same inputs, and its outputs "
            "do not: a running average, or a count?",
            worth=Verdict.REMARK,
        )


def _silent(s: _Subject) -> None:
    if warning := s.warning(s.inputs):
        raise _BrokenError(f"it warned: {warning}.", worth=Verdict.REMARK)


# --- the values in other circumstances ------------------------------------------------------------


def _values(s: _Subject) -> None:
    s.check(s.inputs, f"with {s.shapes}")


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


_LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "Fortran-ordered": lambda x: (
        np.asfortranarray(x) if x.ndim else x
    ),  # of a number it makes an array of one
    "read-only": _read_only,
}


def _layouts(s: _Subject) -> None:
    for name, layout in _LAYOUTS.items():
        arguments = jax.tree.map(
            lambda x, layout=layout: layout(x) if isinstance(x, np.ndarray) else x, s.packed(s.inputs)
        )
        try:
            result = s.run(arguments)
        except Exception as error:
            worth = Verdict.REMARK if "read-only" in str(error) else Verdict.FAIL  # it writes to its input
            raise _BrokenError(f"with {name} inputs it raised {raised_at(error)}.", worth=worth) from None
        s.agree(result, s.expected, s.inputs, f"with {name} inputs")


def _other_dtype(s: _Subject) -> None:
    dtype = np.dtype(np.float32 if dtype_of(s.inputs) == np.float64 else np.float64)
    with np.errstate(over="ignore"):
        inputs = tuple(x.astype(dtype) if _is_float(x) else x for x in s.inputs)
    try:
        s.check(inputs, f"with {dtype} inputs")
    except _BrokenError as broken:
        if not broken.values_right:
            raise
        # What was asked is right; the other dtype may never be used.
        advice = (
            "np.zeros(shape) and numbers such as np.sqrt(2) are float64: write dtype=x.dtype, float(...)."
        )
        raise _BrokenError(f"{broken} {advice}", worth=Verdict.NOTE) from None


def _linear(s: _Subject) -> None:
    # Powers of 2 scale every rounding error with the result; a dtype of few exponents takes smaller ones.
    dtype, count = dtype_of(s.inputs), s.equation.cotangents
    limits, far = (
        Precision.of(arithmetic(dtype)),
        2.0 ** min(40, round(np.log2(Precision.of(dtype).largest)) // 3),
    )
    for factor in (far, 1 / far, -1.0):
        scaled = [x * x.dtype.type(factor) for x in s.inputs[:count]]
        if any(np.any(y / y.dtype.type(factor) != x) for x, y in zip(s.inputs, scaled, strict=False)):
            continue  # which lost digits
        inputs = (*scaled, *s.inputs[count:])
        expected = replace(s.expected, outputs=tuple(_scaled(o, factor, limits) for o in s.expected.outputs))
        s.agree(s.call(inputs), expected, inputs, f"with {factor:g} times the cotangent")


def _scaled(output: Measured, factor: float, limits: Precision) -> Measured:
    g, sigma = output.reference * factor, output.sigma * abs(factor) + limits.underflow
    beyond = np.abs(g) > limits.largest / 8  # what leads to it may overflow
    overflow = output.overflow or bool(beyond.any())
    return replace(output, reference=g, sigma=np.where(beyond, np.inf, sigma), overflow=overflow)


def _not_finite(s: _Subject) -> None:
    """Where a gradient depends on the cotangent, one of NaN or infinity must come through. Where a mask
    makes it 0, both the 0 of np.where and the NaN of a multiplication are right."""
    count = s.equation.cotangents
    for value in (np.nan, np.inf):
        try:
            result = s.call((*(np.full_like(x, value) for x in s.inputs[:count]), *s.inputs[count:]))
            outputs = s.equation.unpack(result)
        except Exception:
            continue  # to refuse it, in whatever way, is not to hide it
        for name, output, right in zip(s.equation.outputs, outputs, s.expected.outputs, strict=True):
            if np.any(np.isfinite(np.asarray(output, np.float64)) & (right.reference != 0)):
                raise _BrokenError(f"a cotangent of {value} gives finite numbers in {name}, which hides it.")


def _one(s: _Subject, axes: str, what: Contract) -> None:
    inputs = []
    for x, meaning in zip(s.inputs, s.equation.axes, strict=True):
        row, column = tuple(meaning)
        x = x[..., :1, :] if row in axes else x
        inputs.append(np.ascontiguousarray(x[..., :1] if column in axes else x))
    single = _Subject(s.equation, s.function, tuple(inputs))
    single.check(single.inputs, f"with {what}")
    _unchanged(single)
    _new(single)


def _elsewhere(s: _Subject, name: str, make: Callable[..., Inputs]) -> None:
    inputs = make(*s.inputs)
    s.check(inputs, f"with {name}")
    if warning := s.warning(inputs):
        finding = f"with {name} the values are right, and it warned: {warning}."
        raise _BrokenError(finding, worth=Verdict.NOTE)


def _stacks(s: _Subject, must: bool) -> None:
    reverse = _by_examples(s.equation, s.inputs, lambda x: np.flip(x, -1))
    stacked = tuple(np.stack(pair) for pair in zip(s.inputs, reverse, strict=True))
    try:
        s.check(stacked, "with a stack of 2 networks")
    except (Exception, SystemExit):
        if must:
            raise
        finding = "it takes one network at a time, not a stack of them (which only a sweep needs)."
        raise _BrokenError(finding, worth=Verdict.NOTE) from None


# --- which are asked ------------------------------------------------------------------------------

_Ask = Callable[[_Subject], None]
_ALWAYS: dict[Contract, _Ask] = {
    Contract.RUNS: lambda s: s.call(s.inputs),
    Contract.UNCHANGED: _unchanged,
    Contract.NEW: _new,
    Contract.DETERMINISTIC: _deterministic,
    Contract.SILENT: _silent,
}
_OF_RIGHT_VALUES: dict[Contract, _Ask] = {
    Contract.VALUES: _values,
    Contract.LAYOUTS: _layouts,
    Contract.OTHER_DTYPE: _other_dtype,
}
_OF_BACKWARDS: dict[Contract, _Ask] = {Contract.LINEAR: _linear, Contract.NOT_FINITE: _not_finite}


def _asked(s: _Subject, stacks: bool | None, right: bool) -> Iterator[tuple[Contract, str, _Ask]]:
    """The contracts that this function is asked for, with the name of the inputs if they are its own."""
    yield from ((contract, "", ask) for contract, ask in _ALWAYS.items())
    if not right:
        return
    of_values = _OF_RIGHT_VALUES | (_OF_BACKWARDS if s.equation.cotangents else {})
    dtype = dtype_of(s.inputs)
    if is_narrow(dtype) or not (s.equation.axes or dtype.itemsize > 4):  # a kernel is written for its dtype
        del of_values[Contract.OTHER_DTYPE]
    yield from ((contract, "", ask) for contract, ask in of_values.items())
    for contract, axes in _single(s.equation.axes):
        yield contract, "", partial(_one, axes=axes, what=contract)
    for name, make in s.equation.elsewhere.items():
        yield Contract.ELSEWHERE, name, partial(_elsewhere, name=name, make=make)
    if stacks is not None:
        yield Contract.STACKS, "", partial(_stacks, must=stacks)


def _single(axes: tuple[str, ...]) -> Iterator[tuple[Contract, str]]:
    """Of which meanings of axes one is taken: the units of one layer are the inputs of the next."""
    letters, one_layer = "".join(axes), axes.count("np") <= 1
    if "m" in letters:
        yield Contract.ONE_EXAMPLE, "m"
    if "n" in letters:
        yield Contract.ONE_UNIT, "n" if one_layer else "np"
        if one_layer and "p" in letters:
            yield Contract.ONE_INPUT, "p"


def _arrays(nested: Value) -> list[Array]:
    return [x for x in jax.tree.leaves(nested) if isinstance(x, np.ndarray)]


def _is_float(x: Value) -> bool:
    return isinstance(x, np.ndarray) and is_float(x.dtype)


def _by_examples(equation: Equation, inputs: Inputs, change: Callable[[Array], Array]) -> Inputs:
    """The inputs, with those changed of which the last axis is known to be that of the examples."""
    axes = equation.axes or ("",) * len(inputs)
    return tuple(change(x) if a.endswith("m") else x for x, a in zip(inputs, axes, strict=True))
