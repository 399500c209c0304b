"""Users' own operations: a forward and a backward written by hand, and a mirror in JAX.

    softplus = Operation(forward, backward, mirror, examples=[(np.linspace(-3, 3, 7),)])
    report = check_operation(softplus)

Everything that is checked of the exercise's functions is checked of them: each output against the
mirror in units of sigma, the contracts, and, where backward and mirror disagree, which is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal

import jax
import numpy as np

from sandbox.contracts import check_contracts
from sandbox.equations import FUNCTIONS, Equation, Inputs
from sandbox.hooks import copied, place
from sandbox.local import check_local
from sandbox.noise import widened
from sandbox.report import Oracle, Report, Row, merged, random_first
from sandbox.search import smallest_failure

SEED = 20_240_302  # of the cotangents
ACTIVATIONS = {"sigmoid", "relu", "sigmoid_backward", "relu_backward"}


@dataclass(frozen=True, eq=False)
class Operation:
    """A differentiable operation, to be checked.

    Attributes:
        forward: in NumPy. convention "cache": (out, cache) = forward(*inputs), or (out1, out2, cache);
            convention "inputs": out = forward(*inputs), or (out1, out2).
        backward: in NumPy: backward(dout, cache) or backward(dout, *inputs), one dout for each output.
            Returns the gradients of the differentiable inputs of the sum of dout * out: one array, or a
            tuple in the order of the inputs (None, or nothing, for the others), or a dict with the
            inputs' names ("x" or "dx").
        mirror: the forward in JAX, of the same inputs; returns the outputs alone.
        examples: a sequence of tuples of inputs, or a Hypothesis strategy that draws such tuples.
        name: by default the forward's, without "_forward".
        outputs: their names.
        convention: what the backward is given besides the cotangents.
        differentiable: names of inputs (as the mirror's signature has them, or the forward's if the
            mirror's has *args). By default every array of
            floats; whole numbers, Python numbers, strings and None are passed on as they are.
        factors: a gradient that is something else than that of the sum of dout * out by convention:
            {"W": lambda x, W: 1 / len(x)} for a dW that is a mean over examples.

    Raises:
        TypeError, ValueError: an argument is not of the kinds above.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    mirror: Callable[..., Any]
    examples: Any = ()
    name: str = ""
    outputs: tuple[str, ...] = ("out",)
    convention: Literal["cache", "inputs"] = "cache"
    differentiable: tuple[str, ...] | None = None
    factors: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("forward", "backward", "mirror"):
            if not callable(getattr(self, part)):
                got = type(getattr(self, part)).__name__
                raise TypeError(f"Operation: {part} is a {got}, expected a function.")
        if self.convention not in ("cache", "inputs"):
            raise ValueError(
                f"Operation: convention is {self.convention!r}, expected 'cache' (backward(dout, cache)) or "
                "'inputs' (backward(dout, *inputs))."
            )
        if not isinstance(self.outputs, tuple) or not self.outputs:
            raise TypeError(f"Operation: outputs is {self.outputs!r}, expected a tuple of names, ('out',).")
        if isinstance(self.differentiable, str):
            raise TypeError(
                f"Operation: differentiable is {self.differentiable!r}, expected a tuple of names; write "
                f"({self.differentiable!r},) for a single one."
            )
        if not isinstance(self.factors, Mapping) or not all(map(callable, self.factors.values())):
            raise TypeError(
                f"Operation: factors is {self.factors!r}, expected a dict of functions of the inputs, "
                "{'W': lambda x, W: 1 / len(x)} for instance."
            )
        unknown = {*(self.differentiable or ()), *self.factors} - set(self.inputs)
        if unknown:
            raise ValueError(
                f"Operation: {', '.join(sorted(unknown))} is not an input; the mirror's inputs are "
                f"{', '.join(self.inputs)}."
            )
        if isinstance(self.examples, Iterator):  # which could be gone through once only
            object.__setattr__(self, "examples", tuple(self.examples))
        if not self.name:
            name = getattr(self.forward, "__name__", type(self.forward).__name__)
            object.__setattr__(self, "name", name.removesuffix("_forward"))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs: the mirror's, or the forward's if the mirror takes *args."""
        for function in (self.mirror, self.forward):
            parameters = inspect.signature(function).parameters
            if not any(p.kind == p.VAR_POSITIONAL for p in parameters.values()):
                return tuple(parameters)
        raise ValueError(
            f"Operation: mirror and forward both take *{next(iter(parameters))}, expected arguments with "
            "names, by which the gradients are called; write lambda x, W: f(x, W) for one of them."
        )


def check_operation(
    operation: Operation, *inputs: Any, contracts: bool = True, cases: int | None = None
) -> Report:
    """Check an operation at the given inputs, or else at its examples.

    Drawn examples are random and at most `cases` (25); a failing case is shrunk to the smallest that
    fails, which the report shows, and kept in Hypothesis's database (.hypothesis) to be tried first
    next time.

    Raises:
        TypeError, ValueError: the inputs do not fit, or the mirror cannot be evaluated at them. An
            error in the forward or the backward is a finding.
    """
    if not isinstance(operation, Operation):
        raise TypeError(f"operation is a {type(operation).__name__}, expected a sandbox.Operation.")
    if inputs:
        return _check_case(operation, inputs, contracts)
    if isinstance(operation.examples, Iterable) and not hasattr(operation.examples, "map"):
        examples = list(operation.examples)
        if not examples:
            raise ValueError(
                f"{operation.name}: there are no inputs and no examples; give "
                "check_operation(operation, *inputs) or Operation(examples=...)."
            )
        reports = [_check_case(operation, case, contracts and i == 0) for i, case in enumerate(examples)]
        failing = next((i for i, report in enumerate(reports) if report.failures()), None)
        if failing is None or len(reports) == 1:
            return merged(reports)
        words = f"number {failing + 1} of {len(reports)}: {_described(operation, examples[failing])}"
        return replace(merged(reports), example=words)
    return smallest_failure(
        operation.examples,
        lambda case: _check_case(operation, case, contracts),
        name=operation.name,
        describe=lambda case: _described(operation, case),
        cases=cases,
    )


def operations_of(module: ModuleType) -> dict[str, Operation]:
    """The operations that a module defines, but for those whose name begins with "wrong" or "_". One made
    of lambdas is called by its name in the module."""
    return {
        name: replace(value, name=name) if value.name.startswith("<") else value
        for name, value in vars(module).items()
        if isinstance(value, Operation) and not name.startswith(("wrong", "_"))
    }


def has_exercise(module: ModuleType) -> bool:
    """Whether a module defines functions of the exercise. Beside operations their activations do not count,
    nor what is a part of one: helpers and parts may well have these names."""
    operations = [value for value in vars(module).values() if isinstance(value, Operation)]
    parts = {part for operation in operations for part in (operation.forward, operation.backward)}
    named = {n: vars(module)[n] for n in FUNCTIONS if callable(vars(module).get(n))}
    if not operations:
        return bool(named)
    return any(
        f not in parts and getattr(f, "__module__", "") == module.__name__ and name not in ACTIVATIONS
        for name, f in named.items()
    )


def _checked(operation: Operation, name: str, x: Any) -> Any:
    """An input as it is given to the forward: arrays are NumPy's.

    Raises:
        TypeError: an array of something else than real numbers of at most double precision, or arrays in
            a list or a dict, by which nothing would be differentiated.
        ValueError: NaN, with which nothing can be compared.
    """
    x = np.asarray(x) if isinstance(x, jax.Array) else x
    if isinstance(x, np.ndarray | np.generic) and (
        x.dtype.kind not in "fiub" or (x.dtype.kind == "f" and x.dtype.itemsize > 8)
    ):
        raise TypeError(
            f"{operation.name}: {name} has dtype {x.dtype}, expected float64, float32, float16, whole "
            "numbers or booleans; give the real and the imaginary part of complex numbers as two inputs."
        )
    if isinstance(x, dict | list | tuple) and any(map(_is_array, jax.tree.leaves(x))):
        raise TypeError(
            f"{operation.name}: {name} is a {type(x).__name__} that holds arrays, expected each array as an "
            "input of its own, by which the gradient is checked; unpack it in a small function around yours."
        )
    if _is_float_array(x) and np.isnan(x).any():
        raise ValueError(
            f"{operation.name}: {name} holds NaN, with which nothing can be compared; give numbers."
        )
    return x


def _described(operation: Operation, case: Inputs) -> str:
    with np.printoptions(threshold=20, precision=6):
        return ", ".join(f"{n} = {x!r}" for n, x in zip(operation.inputs, case, strict=False))


def _accepted(operation: Operation, inputs: Any) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs as arrays and constants, and the names of those that are differentiated.

    Raises:
        TypeError, ValueError: they do not fit the operation.
    """
    if not isinstance(inputs, tuple | list):
        raise TypeError(
            f"{operation.name}: an example is a {type(inputs).__name__}, expected a tuple of inputs; write "
            "(x,) for a single one."
        )
    names = operation.inputs
    if len(inputs) > len(names):
        raise ValueError(
            f"{operation.name}: {len(inputs)} inputs, expected at most {len(names)}: {', '.join(names)}."
        )
    try:
        inspect.signature(operation.mirror).bind(*inputs)
    except TypeError as error:
        raise TypeError(
            f"{operation.name}: {len(inputs)} inputs, expected {', '.join(names)}: {error}."
        ) from None
    inputs = tuple(_checked(operation, name, x) for name, x in zip(names, inputs, strict=False))
    differentiable = operation.differentiable
    if differentiable is None:
        differentiable = tuple(n for n, x in zip(names, inputs, strict=False) if _is_float_array(x))
    if not differentiable:
        given_types = ", ".join(f"{n} is a {_kind(x)}" for n, x in zip(names, inputs, strict=False))
        raise ValueError(
            f"{operation.name}: no input is a NumPy array of floats ({given_types}); convert them with "
            "np.asarray(x, float), or name what is differentiated with Operation(differentiable=...)."
        )
    for name, x in zip(names, inputs, strict=False):
        if name in differentiable and np.asarray(x).dtype.kind != "f":
            raise TypeError(
                f"{operation.name}: {name} is a {_kind(x)} and is to be differentiated, expected floats; "
                f"give np.asarray({name}, float)."
            )
    return inputs, differentiable


def _check_case(operation: Operation, inputs: Any, contracts: bool) -> Report:
    inputs, differentiable = _accepted(operation, inputs)
    names = operation.inputs
    arrays = tuple(
        i for i, (n, x) in enumerate(zip(names, inputs, strict=False))
        if n in differentiable or isinstance(x, np.ndarray | np.generic)
    )  # fmt: skip
    # With their types, because 2, 2.0 and True are equal.
    constants = tuple((i, type(x), x) for i, x in enumerate(inputs) if i not in arrays)
    given = tuple(np.asarray(inputs[i]) for i in arrays)
    try:
        forward, backward = _equations(operation, arrays, constants, differentiable)
    except TypeError:  # a constant that cannot be hashed, a list for instance
        forward, backward = _equations.__wrapped__(operation, arrays, constants, differentiable)
    shapes = _shapes(operation, forward, backward, given)
    rng = np.random.default_rng(SEED)  # a seed of its own: of the same, dout would be a user's x
    dtype = np.result_type(*(x for x in given if x.dtype.kind == "f"))
    cotangents = tuple(np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in shapes)
    report, _ = _attempted(forward, operation.forward, given, None)
    forward_ran = not any(row.output == "result" for row in report.rows)
    if forward_ran:
        both = (*cotangents, *given)
        backward_report, returned = _attempted(backward, operation.backward, both, operation.forward)
        report = merged([report, backward_report])
        notes = _not_checked(operation, backward.function, returned, inputs)
        rows = [*_with_fault(report.rows, forward.function), *notes]
        if contracts:
            failed = {row.function for row in report.failures()}
            for equation, function, flat in (
                (forward, operation.forward, given), (backward, operation.backward, both),
            ):  # fmt: skip
                right = equation.function not in failed
                rows += check_contracts(equation, function, flat, stacks=None, right=right)
        report = replace(report, rows=tuple(random_first(rows)))
    return report


def _attempted(
    equation: Equation, function: Callable[..., Any], inputs: Inputs, forward: Callable[..., Any] | None
) -> tuple[Report, Any]:
    """The report of one call, and what it returned: None if it raised."""
    try:
        with np.errstate(all="ignore"):
            result = function(*copied(equation.pack(*inputs)))
    except (Exception, SystemExit) as error:  # whatever the tested code raises
        row = Row(equation.function, "local", None, "result", "FAIL", f"it raised {place(error)}.")
        return Report((row,)), None
    return check_local(equation, inputs, result, forward=forward), result


def _not_checked(operation: Operation, function: str, returned: Any, inputs: Inputs) -> tuple[Row, ...]:
    """Notes: the gradients by Python's floats, which the backward returned and nobody looks at."""
    if isinstance(returned, Mapping):
        gradients = [returned.get(f"d{name}", returned.get(name)) for name in operation.inputs]
    else:
        gradients = list(returned) if isinstance(returned, tuple | list) else []
    if len(gradients) < len(inputs):
        return ()
    return tuple(
        Row(
            function, "local", None, f"d{name}", "note",
            f"it is not checked, because {name} is a float of Python; give np.asarray({x}) to check it.",
        )
        for name, x, gradient in zip(operation.inputs, inputs, gradients, strict=False)
        if type(x) is float and gradient is not None
    )  # fmt: skip


def _with_fault(rows: tuple[Row, ...], forward: str) -> tuple[Row, ...]:
    """Two of forward, backward and mirror against one, where the forward's values are not the mirror's."""
    backward = [row for row in rows if row.function != forward]
    faults = {row.at_fault for row in backward if row.verdict == "FAIL"}
    fault: Oracle = "forward" if not faults else "mirror" if "mirror" in faults else "undecided"
    return tuple(
        replace(row, at_fault=fault)
        if row.function == forward and row.verdict == "FAIL" and row.worst
        else row
        for row in rows
    )


@lru_cache(maxsize=256)
def _equations(
    operation: Operation,
    arrays: tuple[int, ...],
    constants: tuple[tuple[int, type, Any], ...],
    names: tuple[str, ...],
) -> tuple[Equation, Equation]:
    """Forward and backward as equations of the array inputs alone."""
    array_names = tuple(operation.inputs[i] for i in arrays)
    differentiated = tuple(j for j, name in enumerate(array_names) if name in names)
    gradients = tuple(f"d{array_names[j]}" for j in differentiated)
    count, outputs = len(operation.outputs), operation.outputs
    given_count = len(arrays) + len(constants)

    def whole(*given: Any) -> Inputs:
        inputs = dict(zip(arrays, given, strict=True)) | {i: x for i, _, x in constants}
        return tuple(inputs[i] for i in range(given_count))

    def mirrored(*given: Any) -> Inputs:
        result = operation.mirror(*whole(*given))
        if result is None or isinstance(result, Mapping):
            raise TypeError(f"it returned a {type(result).__name__}, expected an array or a tuple of arrays")
        return tuple(result) if isinstance(result, tuple | list) else (result,)

    def unpack_outputs(result: Any) -> Inputs:
        expected = count + (operation.convention == "cache")
        if expected == 1 and not isinstance(result, tuple | list):
            return (result,)
        parts = ", ".join((*outputs, "cache") if operation.convention == "cache" else outputs)
        if not isinstance(result, tuple | list) or len(result) != expected:
            got = (
                f"{len(result)} values" if isinstance(result, tuple | list) else f"a {type(result).__name__}"
            )
            hint = "" if operation.convention == "inputs" else ', or Operation(convention="inputs")'
            raise ValueError(f"it returned {got}, expected ({parts}){hint}.")
        return tuple(result[:count])

    def vjp(*inputs: Any) -> Inputs:
        cotangents, given = inputs[:count], inputs[count:]

        def function(*xs: Any) -> Inputs:
            filled = list(given)
            for j, x in zip(differentiated, xs, strict=True):
                filled[j] = x
            return mirrored(*filled)

        _, pull_back = jax.vjp(function, *(given[j] for j in differentiated))
        return tuple(
            g * factors[k](*inputs) if k in factors else g for k, g in enumerate(pull_back(cotangents))
        )

    def pack_backward(*inputs: Any) -> Inputs:
        cotangents, given = inputs[:count], inputs[count:]
        if operation.convention == "inputs":
            return (*cotangents, *whole(*given))
        return (*cotangents, operation.forward(*copied(whole(*given)))[-1])

    def unpack_gradients(result: Any) -> Inputs:
        if isinstance(result, Mapping):
            missing = [g for g in gradients if g not in result and g[1:] not in result]
            if missing:
                raise ValueError(f"it returned the keys {', '.join(map(str, result))}, without {missing[0]}.")
            return tuple(result[g] if g in result else result[g[1:]] for g in gradients)
        values = tuple(result) if isinstance(result, tuple | list) else (result,)
        if given_count <= len(values) <= len(operation.inputs) and len(values) != len(gradients):
            values = tuple(values[arrays[j]] for j in differentiated)
        if len(values) != len(gradients):
            raise ValueError(f"it returned {len(values)} gradients, expected {', '.join(gradients)}.")
        return values

    def left_out(*inputs: Any) -> Iterator[tuple[str, Inputs]]:
        for i, output in enumerate(outputs if count > 1 else ()):
            without = (*inputs[:i], np.zeros_like(inputs[i]), *inputs[i + 1 :])
            yield f"It is what comes out with d{output} = 0: is d{output} left out?", without

    factors = {
        k: lambda *inputs, f=operation.factors[g[1:]]: f(*whole(*inputs[count:]))
        for k, g in enumerate(gradients)
        if g[1:] in operation.factors
    }
    forward = Equation(
        _named(operation, operation.forward, "forward"), mirrored, array_names, outputs, whole, unpack_outputs
    )
    backward = Equation(
        _named(operation, operation.backward, "backward"), vjp, (*(f"d{o}" for o in outputs), *array_names),
        gradients, pack_backward, unpack_gradients, cotangents=count, forward=forward, factors=factors,
        differentiated=differentiated, mistakes=left_out,
    )  # fmt: skip
    return forward, backward


def _named(operation: Operation, function: Callable[..., Any], part: str) -> str:
    names = [getattr(f, "__name__", "<lambda>") for f in (operation.forward, operation.backward)]
    name = getattr(function, "__name__", "<lambda>")
    return f"{operation.name} {part}" if name.startswith("<") or len(set(names)) < 2 else name


def _shapes(
    operation: Operation, forward: Equation, backward: Equation, given: Sequence[Any]
) -> list[tuple[int, ...]]:
    """The outputs' shapes, from the mirror."""
    try:
        with jax.enable_x64(True):
            wide = [widened(x) for x in given]
            results = jax.eval_shape(forward.reference, *wide)
    except Exception as error:
        raise ValueError(
            f"{operation.name}: the mirror raised {place(error)}; it must take the forward's inputs and use "
            "jax.numpy where the forward uses numpy."
        ) from error
    names = ", ".join(operation.outputs)
    if len(results) != len(operation.outputs):
        raise ValueError(
            f"{operation.name}: the mirror returned {len(results)} outputs, expected "
            f"{len(operation.outputs)}: {names}; name them with Operation(outputs=...), and leave a "
            "cache out of the mirror."
        )
    for name, result in zip(operation.outputs, results, strict=True):
        if result.dtype.kind != "f":
            raise ValueError(
                f"{operation.name}: the mirror's {name} has dtype {result.dtype}, expected floats, which JAX "
                "can differentiate; leave it out of outputs and mirror, or do not cast it."
            )
    try:
        cotangents = [np.zeros(r.shape) for r in results]
        with jax.enable_x64(True):
            jax.eval_shape(backward.reference, *cotangents, *wide)
    except Exception as error:
        raise ValueError(
            f"{operation.name}: JAX cannot differentiate the mirror: {place(error)}; use operations that it "
            "can (lax.scan in place of while_loop, real outputs, no casts of the outputs)."
        ) from error
    return [tuple(result.shape) for result in results]


def _kind(x: Any) -> str:
    return f"{x.dtype} array" if isinstance(x, np.ndarray | np.generic) else type(x).__name__


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | jax.Array)


def _is_float_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f"
