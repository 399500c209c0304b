"""What a caller may rely on beyond the values: one row for each contract of a tested function.

Every call is made on copies, and an exception in the tested code is a finding with its place.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from sandbox.equations import FUNCTIONS, Equation, Inputs
from sandbox.hooks import copied, difference, place
from sandbox.local import compare_outputs, dtype_of, measured
from sandbox.noise import Measured, Noise
from sandbox.report import DETERMINISTIC, Row
from sandbox.typing import Array

EXAMPLES = 16  # contracts hold or fail on few examples


class _BrokenError(Exception):
    """A contract that is not kept; the message says how. Some are worth a note only.

    `values_right`: the numbers agree, and something else (the dtype) does not.
    """

    def __init__(self, message: str, *, note: bool = False, values_right: bool = False) -> None:
        super().__init__(message)
        self.note, self.values_right = note, values_right


def check_contracts(
    equation: Equation,
    function: Callable[..., Any],
    inputs: Inputs,
    *,
    stacks: bool | None,
    right: bool = True,
) -> list[Row]:
    """One row for each contract.

    Args:
        inputs: flat, as the equation has them.
        stacks: whether stacks of matrices must be taken; False: a function that takes single
            networks only gets a note; None: the function is not one of matrices.
        right: whether the values agreed with the mirror. If not, they are not compared in other
            circumstances too.
    """
    subject = _Subject(equation, function, _first_examples(equation, inputs))
    if any(output.overflow for output in subject.expected().outputs):
        finding = "the numbers overflow in this dtype; ask with smaller ones."
        return [Row(equation.function, "contract", None, "contracts", "not compared", finding)]
    rows = []
    for name, contract in _contracts(subject, stacks, right):
        row = Row(equation.function, "contract", None, name, "pass")
        try:
            contract()
        except _BrokenError as broken:
            row = replace(row, verdict="note" if broken.note else "FAIL", finding=str(broken))
        except (Exception, SystemExit) as error:  # whatever the tested code raises
            row = replace(row, verdict="FAIL", finding=f"it raised {place(error)}.")
        if name == "stacks" and not stacks and row.verdict == "FAIL":
            finding = "it takes one network at a time, not a stack of them (which only a sweep needs)."
            row = replace(row, verdict="note", finding=finding)
        rows.append(row)
        if name in ("runs", "values") and row.verdict == "FAIL":
            break  # the others would fail for the same reason
    return rows


def _contracts(s: _Subject, stacks: bool | None, right: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "runs", s.runs
    yield "inputs unchanged", s.inputs_unchanged
    yield "outputs are new arrays", s.outputs_are_new
    yield DETERMINISTIC, s.deterministic
    yield "no warnings", s.no_warnings
    if not right:
        return
    yield "values", s.values
    yield "read-only, strided and Fortran-ordered inputs", s.layouts
    yield "the other dtype", s.other_dtype
    if s.equation.cotangents:
        yield "linear in the cotangent", s.linear
        yield "NaN and infinity come through", s.not_finite
    if "m" in "".join(s.equation.axes):
        yield "one example", lambda: s.one("m", "one example")
    axes = "".join(s.equation.axes)
    if "n" in axes:
        one_layer = s.equation.axes.count("np") <= 1  # the units of one are the inputs of the next
        yield "one unit", lambda: s.one("n" if one_layer else "np", "one unit")
        if one_layer and "p" in axes:
            yield "one input", lambda: s.one("p", "one input")
    for name, inputs in s.equation.elsewhere.items():
        yield name, partial(s.elsewhere, name, inputs)
    if stacks is not None:
        yield "stacks", s.stacks


class _Subject:
    def __init__(self, equation: Equation, function: Callable[..., Any], inputs: Inputs) -> None:
        self.equation, self.function, self.inputs = equation, function, inputs
        self.noise: Noise | None = None

    def packed(self, inputs: Inputs) -> Inputs:
        """Copies of the inputs, as the function's arguments."""
        arguments: Inputs = copied(self.equation.pack(*inputs))
        return arguments

    def run(self, arguments: Inputs) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self.function(*arguments)

    def call(self, inputs: Inputs) -> Any:
        return self.run(self.packed(inputs))

    def expected(self) -> Noise:
        if self.noise is None:
            self.noise = measured(self.equation, self.inputs)
        return self.noise

    def agree(self, result: Any, expected: Noise, inputs: Inputs, when: str) -> None:
        for row in compare_outputs(self.equation, result, expected, inputs):
            if row.verdict == "FAIL":
                raise _BrokenError(
                    f"{when}, {row.output}: {row.finding} {row.pattern}".rstrip(),
                    values_right=row.values_right,
                )

    def check(self, inputs: Inputs, when: str) -> None:
        self.agree(self.call(inputs), measured(self.equation, inputs), inputs, when)

    def runs(self) -> None:
        self.call(self.inputs)

    def values(self) -> None:
        given = zip(self.equation.inputs, self.inputs, strict=True)
        shapes = ", ".join(f"{name} of shape {x.shape}" for name, x in given if isinstance(x, np.ndarray))
        self.check(self.inputs, f"with {shapes}")

    def inputs_unchanged(self) -> None:
        arguments = self.packed(self.inputs)
        before = copied(arguments)
        arrays = [(x, x.copy()) for x in jax.tree.leaves(arguments) if isinstance(x, np.ndarray)]
        self.run(arguments)
        if where := difference(before, arguments):
            if any(difference(x, was) for x, was in arrays):
                raise _BrokenError(f"{where} was changed in place; work on a copy.")
            raise _BrokenError(
                f"{where} is another array afterwards: the caller's own dict or list was changed; start from "
                "a copy of it, dict(params) for instance."
            )

    def outputs_are_new(self) -> None:
        arguments = self.packed(self.inputs)
        result = self.run(arguments)
        given = [x for x in jax.tree.leaves(arguments) if isinstance(x, np.ndarray)]
        try:
            outputs = self.equation.unpack(result)
        except (TypeError, ValueError):
            return  # the result's structure has a row of its own
        for name, output in zip(self.equation.outputs, outputs, strict=True):
            if "cache" in name:
                continue  # caches are the arrays themselves
            if any(np.may_share_memory(output, x) for x in given if isinstance(output, np.ndarray)):
                # A view is what a transpose or an identity of one's own may well return.
                raise _BrokenError(
                    f"{name} shares memory with an input: to change one changes the other.",
                    note=self.equation.function not in FUNCTIONS,
                )

    def deterministic(self) -> None:
        first = self.call(self.inputs)
        before = copied(first)
        other = tuple(x * x.dtype.type(0.5) if _is_float(x) else x for x in self.inputs)
        with contextlib.suppress(Exception):  # which it may refuse: one-hot rows, say, have a sum of 1
            self.call(other)
        if where := difference(before, first, "result"):
            raise _BrokenError(
                f"{where} of one call is changed by the next: is it an array or a dict that is kept and used "
                "again? Make a new one in each call."
            )
        if where := difference(before, self.call(self.inputs), "result"):
            raise _BrokenError(
                f"{where} differs between two calls with the same inputs (and another call between them): "
                "is something random, or kept from an earlier call?"
            )

    def warning(self, inputs: Inputs) -> str:
        arguments = self.packed(inputs)
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("always")
            self.function(*arguments)
        return str(caught[0].message) if caught else ""

    def no_warnings(self) -> None:
        if warning := self.warning(self.inputs):
            raise _BrokenError(f"it warned: {warning}.")

    def layouts(self) -> None:
        def fortran(x: Array) -> Array:
            return np.asfortranarray(x) if x.ndim else x  # of a number it makes an array of one

        def strided(x: Array) -> Array:
            return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x

        def read_only(x: Array) -> Array:
            x = x.copy()
            x.flags.writeable = False
            return x

        for name, layout in (("read-only", read_only), ("strided", strided), ("Fortran-ordered", fortran)):
            arguments = jax.tree.map(
                lambda x, layout=layout: layout(x) if isinstance(x, np.ndarray) else x,
                self.packed(self.inputs),
            )
            try:
                result = self.run(arguments)
            except Exception as error:
                raise _BrokenError(f"with {name} inputs it raised {place(error)}.") from None
            self.agree(result, self.expected(), self.inputs, f"with {name} inputs")

    def other_dtype(self) -> None:
        double = np.result_type(*(x for x in self.inputs if _is_float(x))) == np.float64
        dtype = np.float32 if double else np.float64
        with np.errstate(over="ignore"):
            inputs = tuple(x.astype(dtype) if _is_float(x) else x for x in self.inputs)
        try:
            self.check(inputs, f"with {np.dtype(dtype)} inputs")
        except _BrokenError as broken:
            if not broken.values_right:
                raise
            # What was asked is right; the other dtype may never be used.
            raise _BrokenError(
                f"{broken} np.zeros(shape) and numbers such as np.sqrt(2) are float64: write dtype=x.dtype, "
                "float(...).",
                note=True,
            ) from None

    def linear(self) -> None:
        # Powers of 2 scale every rounding error with the result; a dtype of few exponents takes smaller ones.
        far = 2.0 ** min(40, np.finfo(dtype_of(self.inputs)).maxexp // 3)
        for factor in (far, 1 / far, -1.0):
            inputs = tuple(
                x * x.dtype.type(factor) if i < self.equation.cotangents else x
                for i, x in enumerate(self.inputs)
            )
            expected = replace(
                self.expected(),
                outputs=tuple(self.times(factor, output) for output in self.expected().outputs),
            )
            self.agree(self.call(inputs), expected, inputs, f"with {factor:g} times the cotangent")

    def times(self, factor: float, output: Measured) -> Measured:
        limits = np.finfo(dtype_of(self.inputs))
        g, sigma = output.reference * factor, output.sigma * abs(factor) + float(limits.tiny)
        beyond = np.abs(g) > float(limits.max) / 8  # what leads to it may overflow
        return Measured(g, np.where(beyond, np.inf, sigma), output.overflow or bool(beyond.any()))

    def not_finite(self) -> None:
        """Where a gradient depends on the cotangent, one of NaN or infinity must come through. Where a mask
        makes it 0, both the 0 of np.where and the NaN of a multiplication are right."""
        count = self.equation.cotangents
        for value in (np.nan, np.inf):
            inputs = tuple(np.full_like(x, value) if i < count else x for i, x in enumerate(self.inputs))
            try:
                outputs = self.equation.unpack(self.call(inputs))
            except Exception:
                continue  # to refuse it, in whatever way, is not to hide it
            for name, output, right in zip(
                self.equation.outputs, outputs, self.expected().outputs, strict=True
            ):
                if np.any(np.isfinite(np.asarray(output, np.float64)) & (right.reference != 0)):
                    raise _BrokenError(
                        f"a cotangent of {value} gives finite numbers in {name}, which hides it."
                    )

    def one(self, axes: str, what: str) -> None:
        inputs = []
        for x, meaning in zip(self.inputs, self.equation.axes, strict=True):
            row, column = tuple(meaning)
            x = x[..., :1, :] if row in axes else x
            inputs.append(x[..., :1] if column in axes else x)
        single = _Subject(self.equation, self.function, tuple(np.ascontiguousarray(x) for x in inputs))
        single.check(single.inputs, f"with {what}")
        single.inputs_unchanged()
        single.outputs_are_new()

    def elsewhere(self, name: str, make: Callable[..., Inputs]) -> None:
        inputs = make(*self.inputs)
        self.check(inputs, f"with {name}")
        if warning := self.warning(inputs):
            raise _BrokenError(f"with {name} the values are right, and it warned: {warning}.", note=True)

    def stacks(self) -> None:
        reverse = tuple(np.flip(x, -1) if ax.endswith("m") else x for x, ax in zip(
            self.inputs, self.equation.axes, strict=True))  # fmt: skip
        self.check(
            tuple(np.stack(pair) for pair in zip(self.inputs, reverse, strict=True)),
            "with a stack of 2 networks",
        )


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _first_examples(equation: Equation, inputs: Inputs) -> Inputs:
    if not equation.axes:
        return inputs
    return tuple(
        np.ascontiguousarray(x[..., :EXAMPLES]) if axes.endswith("m") else x
        for x, axes in zip(inputs, equation.axes, strict=True)
    )
