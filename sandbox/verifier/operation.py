"""Users' own operations: a forward and a backward written by hand, and a mirror in JAX.

    softplus = Operation(forward, backward, mirror, examples=[(np.linspace(-3, 3, 7),)])
    report = check_operation(softplus)

Everything that is checked of the exercise's functions is checked of them: each output against the
mirror in units of sigma, the contracts, and, where backward and mirror disagree, which is wrong.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Literal

import jax
import numpy as np

from sandbox.noise import is_float
from sandbox.typing import Function, Inputs, Value
from sandbox.verifier.blame import Links, of_forward, random_first
from sandbox.verifier.contracts import check_contracts
from sandbox.verifier.convention import Bound, bound, input_name
from sandbox.verifier.equation import Equation, dtype_of
from sandbox.verifier.example import as_python
from sandbox.verifier.literal import literal
from sandbox.verifier.loading import raised_at
from sandbox.verifier.local import Compared, check_local
from sandbox.verifier.nested import Path, copied, mapped
from sandbox.verifier.progress import Begin, parts, told
from sandbox.verifier.recording import unrecorded
from sandbox.verifier.report import Report, merged
from sandbox.verifier.rows import Cause, Matter, OutputRow, Row, Scope, Verdict
from sandbox.verifier.search import smallest_failure
from sandbox.verifier.wrapped import Layer, backward_of_loss, forward_of_loss

SEED = 20_240_302  # of the cotangents


def _not_given(*inputs: Value) -> Value:
    raise TypeError("there is no such function.")


@dataclass(frozen=True, eq=False)
class Operation:
    """A differentiable operation, to be checked.

    Attributes:
        forward: in NumPy. convention "cache": (out, cache) = forward(*inputs), or (out1, out2, cache);
            convention "inputs": out = forward(*inputs), or (out1, out2).
        backward: in NumPy: backward(dout, cache) or backward(dout, *inputs), one dout for each output.
            Returns the gradients of the differentiable inputs of the sum of dout * out: one array, or a
            tuple in the order of the inputs (None, or nothing, for the others), or a dict with the
            inputs' names ("x" or "dx"). With differentiable=() a forward alone is checked, without one.
        mirror: the forward in JAX, of the same inputs; returns the outputs alone.
        examples: a sequence of tuples of inputs, or a Hypothesis strategy that draws such tuples.
        name: by default the forward's, without "_forward".
        outputs: their names.
        convention: what the backward is given besides the cotangents.
        differentiable: names of inputs (as the mirror's signature has them, or the forward's if the mirror's
            has *args). By default every array of floats, and each number of Python for which the backward
            returns a gradient; all else is passed on as it is.
        factors: a gradient that is something else than that of the sum of dout * out by convention:
            {"W": lambda x, W: 1 / len(x)} for a dW that is a mean over examples.
        seed: of NumPy's global generator, set before each call of forward and mirror: a dropout that draws
            its mask with np.random.rand draws the same one in both, if the mirror draws it like that too.
        rest: inputs that follow those of each example.

    An input may be a dict, a list or a tuple of arrays (parameters, say), its gradient one with the same
    keys, or with "dW1" for "W1"; each array has a row of its own, dparams['W1']. An input may also be a
    seed, from which forward and mirror both draw a mask with NumPy, or the mask itself, of booleans.

    `Operation.of_layer` takes an object with forward and backward, `Operation.of_loss` a function that
    returns (loss, gradients).

    Raises:
        TypeError, ValueError: an argument is not of the kinds above.
    """

    forward: Function
    backward: Function = _not_given
    mirror: Function = _not_given
    examples: Value = ()
    name: str = ""
    outputs: tuple[str, ...] = ("out",)
    convention: Literal["cache", "inputs"] = "cache"
    differentiable: tuple[str, ...] | None = None
    factors: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    seed: int | None = None
    rest: Inputs = field(default=(), repr=False)

    @staticmethod
    def of_layer(layer: Value, mirror: Function, examples: Value = (), **options: Value) -> "Operation":
        """A layer that keeps its cache, its parameters and their gradients in itself.

            linear = Operation.of_layer(Linear(4, 3), lambda x, W, b: x @ W + b, examples=[(x,)])

        Args:
            layer: out = layer.forward(x), dx = layer.backward(dout). Parameters are self.W or
                self.params["W"], their gradients self.dW, self.grads["W"] or self.grads["dW"], or those in
                the list self.grads in the order of the list self.params.
            mirror: of the forward's inputs, then of the parameters, by their names.
            examples: of the forward's inputs; the parameters are the layer's.
            options: of an Operation.
        """
        names = tuple(inspect.signature(mirror).parameters)
        wrapped = Layer.of(layer, names)
        options = {"name": type(layer).__name__, "rest": wrapped.values, **options}
        # Functions without names of their own are called by the layer's.
        return Operation(partial(wrapped.forward), partial(wrapped.backward), mirror, examples, **options)

    @staticmethod
    def of_loss(function: Function, mirror: Function, examples: Value = (), **options: Value) -> "Operation":
        """A function that returns a loss and its gradients: (loss, dx), (loss, dx, dW), (loss, grads).

            softmax = Operation.of_loss(softmax_loss, mirror, examples=[(x, y)])

        The gradients are those of a backward; the mirror returns the loss alone.
        """
        options = {"outputs": ("loss",), "convention": "inputs", **options}
        forward, backward = forward_of_loss(function), backward_of_loss(function)
        return Operation(forward, backward, mirror, examples, **options)

    def __post_init__(self) -> None:
        _check_fields(self)
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

    @property
    def alone(self) -> bool:
        """Whether it is a forward alone, which nothing differentiates."""
        return self.differentiable == ()

    @property
    def draws(self) -> bool:
        """Whether its examples are drawn at random."""
        return not isinstance(self.examples, Iterable) or hasattr(self.examples, "map")


def _check_fields(o: Operation) -> None:
    for part in ("forward", "mirror") if o.alone else ("forward", "backward", "mirror"):
        function = getattr(o, part)
        got = "not given" if function is _not_given else f"a {type(function).__name__}"
        if function is _not_given or not callable(function):
            hint = "; differentiable=() checks a forward alone" if part == "backward" else ""
            raise TypeError(f"Operation: {part} is {got}, expected a function{hint}.")
    if o.convention not in ("cache", "inputs"):
        raise ValueError(
            f"Operation: convention is {o.convention!r}, expected 'cache' (backward(dout, cache)) or "
            "'inputs' (backward(dout, *inputs))."
        )
    if not isinstance(o.name, str):
        raise TypeError(f"Operation: name is {o.name!r}, expected a text.")
    if o.seed is not None and (type(o.seed) is not int or not 0 <= o.seed < 2**32):
        raise ValueError(f"Operation: seed is {o.seed!r}, expected a whole number from 0 to 2^32 - 1.")
    if not isinstance(o.outputs, tuple) or not o.outputs:
        raise TypeError(f"Operation: outputs is {o.outputs!r}, expected a tuple of names, ('out',).")
    if isinstance(o.differentiable, str):
        raise TypeError(
            f"Operation: differentiable is {o.differentiable!r}, expected a tuple of names; write "
            f"({o.differentiable!r},) for a single one."
        )
    if not isinstance(o.factors, Mapping) or not all(map(callable, o.factors.values())):
        raise TypeError(
            f"Operation: factors is {o.factors!r}, expected a dict of functions of the inputs, "
            "{'W': lambda x, W: 1 / len(x)} for instance."
        )
    known, named = o.inputs, [*(o.differentiable or ()), *o.factors]
    if unknown := {name for name in named if name.partition("[")[0] not in known}:
        raise ValueError(
            f"Operation: {', '.join(sorted(unknown))} is not an input; the mirror's inputs are "
            f"{', '.join(known)}."
        )


def operations_of(names: Mapping[str, Value]) -> dict[str, Operation]:
    """The operations under these names (of a module, say), but for those whose name begins with "wrong" or
    "_". One made of lambdas is called by its name here."""
    return {
        name: replace(value, name=name) if value.name.startswith("<") else value
        for name, value in names.items()
        if isinstance(value, Operation) and not str(name).startswith(("wrong", "_"))
    }


def check_operation(
    operation: Operation, *inputs: Value, contracts: bool = True, cases: int | None = None
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
    # Another one to the caches: its mirror may depend on what has changed.
    operation = replace(
        operation, forward=_seeded(operation.forward, operation.seed),
        mirror=_seeded(operation.mirror, operation.seed),
    )  # fmt: skip
    if not inputs and operation.draws:
        return smallest_failure(
            operation.examples, lambda case: _check_case(operation, case, contracts), name=operation.name,
            key=literal, example=partial(_example, operation), cases=cases,
        )  # fmt: skip
    examples = [inputs] if inputs else list(operation.examples)
    if not examples:
        raise ValueError(
            f"{operation.name}: there are no inputs and no examples; give "
            "check_operation(operation, *inputs) or Operation(examples=...)."
        )
    reports = [
        _check_case(operation, case, contracts and i == 0)
        for i, case in enumerate(told(examples, operation.name))
    ]
    failing = next((i for i, report in enumerate(reports) if report.failures()), None)
    if failing is None:
        return merged(reports)
    if len(reports) == 1:
        return replace(reports[0], example=_example(operation, examples[0], reports[0]))
    report, words = reports[failing], f"Example {failing + 1} of {len(reports)} fails, which is shown."
    example = _example(operation, examples[failing], report)
    return replace(report, example=example, remarks=(*report.remarks, words))


def _example(operation: Operation, inputs: Inputs, report: Report) -> str:
    accepted, names = _accepted(operation, inputs)
    case = bound(operation, accepted, names)
    return as_python(operation, inputs, _with_cotangents(case)[: len(case.shapes)], report)


def _seeded(function: Function, seed: int | None) -> Function:
    """With NumPy's global generator in the same state at each call, which is left as it was."""
    if seed is None:
        return function

    @wraps(function)
    def seeded(*inputs: Value) -> Value:
        state = np.random.get_state()
        np.random.seed(seed)
        try:
            return function(*inputs)
        finally:
            np.random.set_state(state)

    return seeded


# --- one case -------------------------------------------------------------------------------------


@unrecorded
def _check_case(operation: Operation, inputs: Value, contracts: bool) -> Report:
    with parts(4 if contracts else 2) as begin:
        return _case(operation, inputs, contracts, begin)


def _case(
    operation: Operation, inputs: Value, contracts: bool, begin: Begin, numbers: tuple[str, ...] | None = None
) -> Report:
    """`numbers`: those of Python that are differentiated too; None: as the backward has it."""
    inputs, names = _accepted(operation, inputs)
    case = bound(operation, inputs, names + (numbers or ()))
    made, failure = _made(case.forward, operation.forward, case.given)
    if failure:
        return Report((failure,))
    if operation.alone:
        of_values = check_local(case.forward, case.given, made)
        return _report_on(case, of_values, None, contracts, begin)
    gradients, failure = _made(case.backward, operation.backward, _with_cotangents(case))
    returned = () if failure else case.convention.numbers_returned(gradients)
    if returned and numbers is None and operation.differentiable is None:
        numbers = tuple(name for name in returned if _differentiates(operation, inputs, (*names, name)))
        return _case(operation, inputs, contracts, begin, numbers)
    begin(case.backward.function)
    of_backward = Compared((failure,)) if failure else (
        check_local(case.backward, _with_cotangents(case), gradients, forward=operation.forward)
    )  # fmt: skip
    rows = tuple(_not_checked(case, name) for name in returned)
    of_backward = replace(of_backward, rows=of_backward.rows + rows)
    begin(case.forward.function)
    of_values = check_local(case.forward, case.given, made, at_fault=of_forward(of_backward.rows))
    return _report_on(case, of_values, of_backward, contracts, begin)


def _with_cotangents(case: Bound) -> Inputs:
    rng = np.random.default_rng(SEED)  # a seed of its own: of the same, dout would be a user's x
    dtype = dtype_of(case.given)
    return (*(np.asarray(rng.standard_normal(s)).astype(dtype) for s in case.shapes), *case.given)


def _report_on(
    case: Bound, of_values: Compared, of_backward: Compared | None, contracts: bool, begin: Begin
) -> Report:
    operation = case.convention.operation
    tested = [(case.forward, operation.forward, case.given, of_values)]
    if of_backward is not None:
        tested.append((case.backward, operation.backward, _with_cotangents(case), of_backward))
    rows: list[Row] = [row for *_, compared in tested for row in compared.rows]
    failed = {row.function for row in rows if row.verdict is Verdict.FAIL}
    for equation, function, flat, _ in tested if contracts else ():
        begin(f"{equation.function}, contracts")
        right = equation.function not in failed
        rows += check_contracts(equation, function, flat, stacks=None, right=right)
    unknown = {name for *_, compared in tested for name in compared.unknown}
    return Report(
        random_first(rows), sum(compared.kinks for *_, compared in tested), tuple(sorted(unknown)),
        links=Links(fed=frozenset({(case.forward.function, case.backward.function)})),
    )  # fmt: skip


def _differentiates(operation: Operation, inputs: Inputs, names: tuple[str, ...]) -> bool:
    """Whether JAX can differentiate the mirror by all of these."""
    try:
        bound(operation, inputs, names)
    except ValueError:
        return False
    return True


def _not_checked(case: Bound, name: str) -> OutputRow:
    """The gradient by a number of Python, which the backward returned and which could not be compared, or is
    not to be."""
    row = partial(
        OutputRow, case.backward.function, Scope.LOCAL, None, f"d{name}", matter=Matter.GRADIENT
    )  # fmt: skip
    named = case.convention.operation.differentiable
    if named is not None:
        return row(Verdict.NOTE, f"it is not checked, because differentiable, {named}, does not name {name}.")
    return row(
        Verdict.FAIL,
        f"the backward returns it, and JAX cannot differentiate the mirror by {name}, a number of Python: it "
        f"cannot be compared. Write the mirror such that it can (no float({name}), no if {name} > 0), return "
        "None for it, or name what is differentiated: Operation(differentiable=...).",
        Cause.STRUCTURE,
    )


def _made(equation: Equation, function: Function, inputs: Inputs) -> tuple[Value, OutputRow | None]:
    """What the function returns; or the row of an exception, or of a forward's result that is none."""
    row = partial(
        OutputRow, equation.function, Scope.LOCAL, None, "result", Verdict.FAIL, matter=equation.matter
    )  # fmt: skip
    try:
        with np.errstate(all="ignore"):
            result = function(*copied(equation.pack(*inputs)))
    except (Exception, SystemExit) as error:  # whatever the tested code raises
        return None, row(f"it raised {raised_at(error)}.", Cause.EXCEPTION)
    if not equation.cotangents:
        try:
            equation.unpack(result)
        except (TypeError, ValueError) as error:
            return None, row(str(error), Cause.STRUCTURE)
    return result, None


# --- what is accepted as inputs -------------------------------------------------------------------


def _accepted(operation: Operation, inputs: Value) -> tuple[Inputs, tuple[str, ...]]:
    """The inputs with arrays of NumPy, and the names of what of them is differentiated.

    Raises:
        TypeError, ValueError: they do not fit the operation.
    """
    if isinstance(inputs, tuple | list) and len(inputs) + len(operation.rest) == len(operation.inputs):
        inputs = (*inputs, *operation.rest)
    _check_count(operation, inputs)
    found: dict[str, Value] = {}

    def taken(path: Path, x: Value) -> Value:
        name, x = input_name(operation, path), np.asarray(x) if isinstance(x, jax.Array) else x
        _check_input(f"{operation.name}: {name}", x)
        found[name] = x
        return x

    accepted = mapped(taken, tuple(inputs))
    if operation.differentiable is None:
        names = [name for name, x in found.items() if _is_array(x) and is_float(x.dtype)]
    else:
        names = [n for name in operation.differentiable for n in _named(operation, name, found)]
    if not names and not operation.alone:
        kinds = ", ".join(f"{name} is a {_kind(x)}" for name, x in found.items())
        raise ValueError(
            f"{operation.name}: no input is a NumPy array of floats ({kinds}); convert them with "
            "np.asarray(x, float), name what is differentiated with Operation(differentiable=...), or check "
            "a forward alone with differentiable=()."
        )
    return accepted, tuple(names)


def _named(operation: Operation, name: str, found: Mapping[str, Value]) -> Iterator[str]:
    """The floats that an input is or holds. One that is not given is left out."""
    within = {n: x for n, x in found.items() if n == name or n.startswith(f"{name}[")}
    floats = [n for n, x in within.items() if is_float(np.asarray(x).dtype)]
    if within and not floats:
        kind = _kind(next(iter(within.values())))
        raise TypeError(
            f"{operation.name}: {name} is a {kind} and is to be differentiated, expected floats; give "
            f"np.asarray({name}, float)."
        )
    yield from floats


def _kind(x: Value) -> str:
    return f"{x.dtype} array" if _is_array(x) else type(x).__name__


def _check_count(operation: Operation, inputs: Value) -> None:
    names = ", ".join(operation.inputs)
    if not isinstance(inputs, tuple | list):
        raise TypeError(
            f"{operation.name}: an example is a {type(inputs).__name__}, expected a tuple of inputs; write "
            "(x,) for a single one."
        )
    count = f"{operation.name}: {len(inputs)} inputs, expected"
    if len(inputs) > len(operation.inputs):
        raise ValueError(f"{count} at most {len(operation.inputs)}: {names}.")
    try:
        inspect.signature(operation.mirror).bind(*inputs)
    except TypeError as error:
        raise TypeError(f"{count} {names}: {error}.") from None


def _check_input(what: str, x: Value) -> None:
    """It is no array of something else than real numbers of at most double precision, and holds no NaN, with
    which nothing is compared."""
    if _is_array(x) and not (is_float(x.dtype) or x.dtype.kind in "iub"):
        raise TypeError(
            f"{what} has dtype {x.dtype}, expected float64, float32, float16, bfloat16, whole numbers or "
            "booleans; give the real and the imaginary part of complex numbers as two inputs."
        )
    if _is_array(x) and np.isnan(x).any():
        raise ValueError(f"{what} holds NaN, with which nothing can be compared; give numbers.")


def _is_array(x: Value) -> bool:
    return isinstance(x, np.ndarray | np.generic)
