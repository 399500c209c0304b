"""The check of the exercise's functions: each one alone, the wiring between them, the whole.

1. Locally: what each function really received, recorded while the network ran, goes into the mirror of
   that one function, and every output is compared.
2. Wiring: layer by layer, from the gradient dA{l} that was handed down and the caches, what
   `L_model_backward` handed on (and `L_model_forward`, from the activations).
3. Contracts of each tested function.
4. End to end: every output from X and the parameters alone.

If 1 and 2 hold, the whole is right up to rounding. Rows of inner functions come first, so that the
first failure is the culprit.
"""

import contextlib
import difflib
import inspect
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from sandbox import network
from sandbox.network import passes, validation
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.cases import (
    Subjects,
    branch_of,
    contract_subjects,
    drawn_network,
    further_calls,
    some_gradients,
)
from sandbox.network.costs import COSTS
from sandbox.network.functions import FUNCTIONS, LAYER_BACKWARD, LINEAR_BACKWARD, NETWORK, equation_of
from sandbox.network.model_equations import RATE, Kind, backward_equation, update_equation, update_inputs
from sandbox.network.wiring import (
    KEYS,
    Model,
    backward_rows,
    forward_rows,
    number_layers,
    repeated_cache,
    with_own_keys,
)
from sandbox.reading.loading import load_file
from sandbox.typing import Array, ArrayLike, Cache, Function, LinearCache, Value
from sandbox.verifier.blame import (
    Links,
    culprits,
    exceptions,
    handed_on_last,
    harmful,
    links,
    mutations,
    ordered,
)
from sandbox.verifier.contracts import check_contracts
from sandbox.verifier.equation import Equation
from sandbox.verifier.literal import file_of, read_as_python
from sandbox.verifier.loading import raised_at
from sandbox.verifier.local import Compared, check_local, compare_outputs, measured, met
from sandbox.verifier.nested import copied
from sandbox.verifier.progress import parts
from sandbox.verifier.recording import Call, Recorder, quiet, stand_in, unrecorded
from sandbox.verifier.report import Report
from sandbox.verifier.rows import Cause, Contract, ContractRow, Matter, OutputRow, Row, Verdict
from sandbox.verifier.search import smallest_failure

Functions = Mapping[str, Function] | ModuleType | str | Path | None


# --- one operation --------------------------------------------------------------------------------


def check_linear_backward(
    dZ: ArrayLike, cache: LinearCache, *, function: Function = passes.linear_backward
) -> Report:
    """Check dA_prev, dW and db of `linear_backward` (or of another `function` with its signature),
    and the contracts.

    Args:
        dZ: (..., n_l, m), gradient of the summed loss.
        cache: (A_prev, W, b).

    Raises:
        TypeError, ValueError: malformed input. An error in `function` is a finding.
    """
    return _check_one(LINEAR_BACKWARD, function, dZ, *validation.unpack("cache", cache, "(A_prev, W, b)"))


def check_linear_activation_backward(
    dA: ArrayLike, cache: Cache, activation: str, *, function: Function = passes.linear_activation_backward
) -> Report:
    """Check dA_prev, dW and db of `linear_activation_backward` (or of another `function`), and the
    contracts.

    Args:
        dA: (..., n_l, m), gradient of the summed loss.
        cache: ((A_prev, W, b), Z).
        activation: "relu", "sigmoid" or another of the table.

    Raises:
        TypeError, ValueError: malformed input. An error in `function` is a finding.
    """
    validation.check_name("activation", activation, ACTIVATIONS)
    linear_cache, Z = validation.unpack("cache", cache, "(linear_cache, activation_cache)")
    linear = validation.unpack("cache", linear_cache, "(A_prev, W, b)")
    return _check_one(LAYER_BACKWARD[activation], function, dA, *linear, Z)


@unrecorded
def _check_one(equation: Equation, function: Function, gradient: ArrayLike, *cached: ArrayLike) -> Report:
    name, (of_gradient, *parts) = equation.function, equation.inputs
    named = {f"cache {part}": x for part, x in zip(parts, cached, strict=True)}
    inputs = tuple(_of_one_dtype({of_gradient: gradient} | named))
    arguments = equation.pack(*inputs)
    FUNCTIONS[name](*arguments)  # malformed input is the caller's error, not a finding
    recorder = Recorder({name: function}, NETWORK)
    with recorder.bound() as bound, quiet(), contextlib.suppress(Exception, SystemExit):
        bound[name](*arguments)  # an exception is recorded with its place
    judged = _judged(recorder, {name: [(equation, inputs)]}, Kind())
    return _report(judged, judged.rows)


# --- the network ----------------------------------------------------------------------------------


@unrecorded
def check_model(
    parameters: Mapping[str, ArrayLike], X: ArrayLike, Y: ArrayLike, *, functions: Functions = None,
    contracts: bool = True, activation: str = "relu", cost: str = "cross_entropy",
) -> Report:  # fmt: skip
    """Check the passes of the L-layer network, or others in their place: local, wiring, end to end.

    Args:
        parameters: W1, b1, ..., WL, bL; stacks of networks are checked network by network.
        X: (..., n_0, m). Y: (..., 1, m), targets in [0, 1].
        functions: what to test: a mapping from the exercise's names to functions, a module or the path
            of a Python file that defines some of them; by default all of `sandbox.network`. Those
            that are not given are `sandbox.network`'s, which then call the given ones.
        contracts: whether to check those too (mutation, aliases, dtypes, single examples, ...).
        activation, cost: of the hidden layers, and of the network, by their names in the tables. A function
            that takes these keywords is given them.

    Raises:
        TypeError, ValueError: malformed input. An error in the tested functions is a finding.
    """
    tested, kind = resolve(functions), Kind(activation, cost)
    validation.check_name("activation", activation, ACTIVATIONS)
    validation.check_name("cost", cost, COSTS)
    validation.check_parameters(parameters)
    named = {"X": validation.as_matrix("X", X)} | {f"parameters['{key}']": x for key, x in parameters.items()}
    X, *values = _of_one_dtype(named)
    theta = dict(zip(parameters, values, strict=True))
    AL, caches = passes.L_model_forward(X, theta, activation=activation)
    _, Y = validation.as_outputs(AL, Y)
    model = Model(X, Y, theta, AL, caches, tested, kind)
    subjects = contract_subjects(AL.dtype.name, kind) if contracts else {}
    return replace(_peeled(model, subjects), **_tested(tested))


def check_functions(
    functions: Functions, *, contracts: bool = True, cases: int | None = None, activation: str = "relu",
    cost: str = "cross_entropy",
) -> Report:  # fmt: skip
    """Check functions with the exercise's names on random networks, at most `cases` (25) of them.

    Depths 1 to 4, widths and numbers of examples 1 to 5, both dtypes, some Z exactly 0. A failing case
    is shrunk to the smallest that fails.

    Args:
        functions, activation, cost: as for `check_model`.
    """
    from hypothesis import strategies as st

    tested, kind = resolve(functions), Kind(activation, cost)
    check = partial(check_model, functions=tested, activation=activation, cost=cost)
    networks = st.fixed_dictionaries({
        "layer_dims": st.lists(st.integers(1, 5), min_size=1, max_size=4).map(lambda dims: [*dims, 1]),
        "m": st.integers(1, 5),
        "dtype": st.sampled_from(["float64", "float32"]),
        "seed": st.integers(0, 99),
    })  # fmt: skip
    report = smallest_failure(
        networks, lambda case: check(*drawn_network(**case), contracts=False),
        name="_".join(tested), key=str, example=lambda case, found: as_python(found, tested, kind, **case),
        cases=cases,
    )  # fmt: skip
    if not report or not contracts:
        return report
    # Contracts do not depend on the case, and are asked once.
    asked = check(*drawn_network([4, 3, 2, 1], 5, seed=0))
    more = tuple(r for r in asked.rows if isinstance(r, ContractRow) or r.verdict is Verdict.FAIL)
    return replace(report, rows=(*report.rows, *more), links=report.links | asked.links)


def as_python(report: Report, functions: Functions, kind: Kind, **drawn: Value) -> str:
    """Code that shows what fails: a check on a network of `drawn_network`, of the functions at fault, or of
    the file that they are in."""
    tested, at_fault = resolve(functions), report.stood_in or [f.row.function for f in report.findings]
    own = {name: f for name, f in tested.items() if not _is_own(name, f)}
    files = {file_of(f) for f in own.values()}
    if len(files) == 1 and "" not in files and len(own) == len(tested):  # all of it is written
        given = [f"functions = {files.pop()!r}"]
    else:
        given = _functions_as_python({name: f for name, f in own.items() if name in at_fault})
    options = {key: repr(x) for key, x in asdict(kind).items() if x != getattr(Kind(), key)}
    passed = ", ".join(("functions=functions", *(f"{key}={x}" for key, x in options.items())))
    return "\n".join([
        "import sandbox", "from sandbox.network.cases import drawn_network", "",
        f"network = {_drawn_as_python(**drawn)}", *given,
        f"print(sandbox.check_model(*network, {passed}))",
    ])  # fmt: skip


def _functions_as_python(functions: Mapping[str, Function]) -> list[str]:
    names = {name: getattr(f, "__name__", name) for name, f in functions.items()}
    names = {name: known if known.isidentifier() else name for name, known in names.items()}
    files = dict.fromkeys(filter(None, map(file_of, functions.values())))
    code = read_as_python(next(iter(files))) if files else []
    for name, f in functions.items():
        module = str(getattr(f, "__module__", None) or "__main__")
        if module != "__main__" and not file_of(f):
            code.append(f"from {module} import {names[name]}")
    pairs = [f'    "{name}": {"mine." * bool(file_of(functions[name]))}{x},' for name, x in names.items()]
    return [*code, "functions = {", *pairs, "}"]


def _drawn_as_python(layer_dims: Sequence[int], m: int, **drawn: Value) -> str:
    usual = {name: p.default for name, p in inspect.signature(drawn_network).parameters.items()}
    options = (f"{key}={x!r}" for key, x in drawn.items() if x != usual[key])
    return f"drawn_network({', '.join((str(list(layer_dims)), str(m), *options))})"


# --- what is tested -------------------------------------------------------------------------------


def resolve(functions: Functions) -> dict[str, Function]:
    """The tested functions by the exercise's names.

    Args:
        functions: a mapping; a module or the path of a Python file, whose functions of these names
            are taken; None for those of `sandbox.network`.

    Raises:
        TypeError, ValueError: no such names, or unknown ones; the file cannot be read or run.
    """
    if functions is None:
        return dict(FUNCTIONS)
    if isinstance(functions, str | Path):
        functions = load_file(Path(functions), FUNCTIONS)
    if isinstance(functions, ModuleType):
        return _of_module(functions)
    if not isinstance(functions, Mapping):
        raise TypeError(
            f"functions is a {type(functions).__name__}, expected a mapping such as "
            "{'linear_backward': my_function}, a module, or the path of a Python file."
        )
    for name, function in functions.items():
        if name not in FUNCTIONS:
            raise ValueError(f"functions has the name {name!r}, expected one of: {', '.join(FUNCTIONS)}.")
        if not callable(function):
            raise TypeError(f"functions[{name!r}] is a {type(function).__name__}, expected a function.")
    if not functions:
        raise ValueError("functions is empty, expected at least one function to check.")
    return dict(functions)


def named_functions(names: Mapping[str, Value]) -> dict[str, Function]:
    """The functions under the exercise's names that are not the sandbox's, in the order of the table."""
    named = {name: names[name] for name in FUNCTIONS if callable(names.get(name))}
    return {name: f for name, f in named.items() if not _is_own(name, f)}


def _is_own(name: str, function: Function) -> bool:
    return inspect.unwrap(function) is FUNCTIONS[name]  # which a check in another thread may have wrapped


def _of_module(module: ModuleType) -> dict[str, Function]:
    if found := dict(FUNCTIONS) if module is network else named_functions(vars(module)):
        return found
    meant = [m for n in vars(module) for m in difflib.get_close_matches(n, FUNCTIONS, 1, 0.8)]
    hint = f" (did you mean {meant[0]}?)" if meant else ""
    raise ValueError(
        f"functions: module {module.__name__!r} defines none of the functions that can be "
        f"checked, linear_backward, L_model_backward, ...{hint}; nor a sandbox.Operation whose name "
        "begins with neither 'wrong' nor '_'."
    )


def _tested(tested: Mapping[str, Function]) -> dict[str, Value]:
    """Of a report: which functions are the user's, where some are the sandbox's own; and which names look
    misspelt: not those with a leading underscore, which are a module's own helpers."""
    yours = {name: f for name, f in tested.items() if not _is_own(name, f)}
    others = [name for name in FUNCTIONS if name not in yours]
    text = ""
    names = [n for f in yours.values() for n, x in getattr(f, "__globals__", {}).items() if callable(x)]
    for name in dict.fromkeys(names):
        of_its_own = name in FUNCTIONS or name.startswith("_")
        if not of_its_own and (meant := difflib.get_close_matches(name, others, 1, 0.9)):
            text += f"Not checked: {name} (did you mean {meant[0]}?). "
    return {"yours": tuple(yours) if others else (), "tested": text.rstrip()}


# --- what it is given -----------------------------------------------------------------------------


def _of_one_dtype(named: Mapping[str, ArrayLike]) -> list[Array]:
    """Finite arrays of one floating dtype; whole numbers alone are taken as float64.

    Raises:
        TypeError, ValueError: they have several, or one of more than double precision, or hold NaN or
            infinity, or no numbers.
    """
    arrays = {name: validation.as_numbers(name, value) for name, value in named.items()}
    floats = {name: x.dtype for name, x in arrays.items() if x.dtype.kind == "f"}
    first, dtype = next(iter(floats.items()), ("", np.dtype(np.float64)))
    for name, other in floats.items():
        if other != dtype:
            raise ValueError(
                f"{first} is {dtype} and {name} is {other}, expected one dtype, in which all is "
                "checked; convert one of them with .astype."
            )
        if dtype.itemsize > 8:
            raise TypeError(f"{name} is {dtype}, expected at most double precision; use .astype(float).")
    for name, x in arrays.items():
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise ValueError(f"{name} is {x[where]} at {where}, expected finite numbers.")
    return [x.astype(dtype, copy=False) for x in arrays.values()]


# --- the run --------------------------------------------------------------------------------------


def _run(model: Model, bound: Mapping[str, Function], recorder: Recorder) -> Model:
    """Call everything once; the model with the AL and the caches that the backward was handed."""
    theta, Y = model.theta, model.Y

    def attempt(name: str, *arguments: Value) -> Value:
        try:
            return model.call(bound, name, *copied(arguments))
        except (Exception, SystemExit):  # recorded with its place
            return None

    forward = attempt("L_model_forward", model.X, theta)
    AL, caches = _to_be_handed_on(forward, model)
    model = replace(model, AL=AL, caches=caches)
    if np.isfinite(AL).all() and AL.min() >= 0 and AL.max() <= 1:
        attempt("compute_cost", AL, Y)
    attempt("L_model_backward", AL, Y, caches)
    top = {call.function: call for call in recorder.calls if call.parent is None}
    top["L_model_backward"].fed_by = (top["L_model_forward"],)
    number_layers(top["L_model_forward"], model)
    number_layers(top["L_model_backward"], model)
    attempt("update_parameters", theta, some_gradients(theta), RATE)
    seen = {(c.function, branch_of(c.arguments)) for c in recorder.calls if c.finished}
    for name, arguments in further_calls(caches, model.kind):
        if name in model.tested and (name, branch_of(arguments)) not in seen:
            attempt(name, *arguments)
    return model


def _to_be_handed_on(forward: Value, model: Model) -> tuple[Array, Sequence[Cache]]:
    """The tested forward's AL and caches; the right ones, if those cannot be handed to a backward."""
    right = model.AL, model.caches
    try:
        AL, caches = forward
        own = np.asarray(AL), list(validation.check_caches(caches))
    except (TypeError, ValueError):
        return right
    shapes, expected = ([np.shape(x) for x in jax.tree.leaves(of)] for of in (own, right))
    return own if shapes == expected and own[0].dtype.kind == "f" else right


# --- one run, judged ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """The rows of each function, inner ones first, and how the functions depend on each other."""

    rows: Mapping[str, Sequence[Row]]
    links: Links
    kinks: int
    unknown: frozenset[str]

    def failures(self, *, of: Container[str] = FUNCTIONS) -> list[Row]:
        return [row for name, rows in self.rows.items() if name in of for row in rows if _fails(row)]


def _fails(row: Row) -> bool:
    return row.verdict is Verdict.FAIL


def _judged_run(model: Model, subjects: Subjects) -> _Judged:
    recorder = Recorder(model.tested, NETWORK)
    with recorder.bound() as bound, quiet():
        model = _run(model, bound, recorder)
    caller = Recorder(model.tested, NETWORK)
    with caller.bound():  # for the contracts, in which the tested functions call each other, too
        return _judged(recorder, subjects, model.kind, model, caller)


@unrecorded
def _judged(
    recorder: Recorder, subjects: Subjects, kind: Kind, model: Model | None = None,
    caller: Recorder | None = None,
) -> _Judged:  # fmt: skip
    """All rows: of each call, of the whole network if there is one, and the contracts at the inputs of
    `subjects`, for which `caller` calls."""
    calls, tested = recorder.calls, recorder.tested
    top = {call.function: call for call in calls if call.parent is None}
    # The calls that a pass was made of tell how much there is to compare of the whole.
    weights = {name: 1 + len(top[name].children if name in top else ()) for name in FUNCTIONS}
    with parts(len(calls) + sum(weights.values())) as begin:
        compared = []
        for call in calls:
            begin(call.function)
            compared.append(_local(call, tested, kind))
        rows = _rows_of_calls(calls, compared)
        for name in FUNCTIONS:
            begin(name, weights[name])
            if model and name in top:
                rows[name] += _rows_of_the_whole(model, top[name], rows)
            rows[name] += _contracts(name, tested, subjects, rows[name], kind, caller)
    # A kink of the whole network is met in several calls.
    whole = [met(backward_equation(model.keys, kind), model.inputs)] if model else compared
    unknown = frozenset(name for noise in (*compared, *whole) for name in noise.unknown)
    return _Judged(rows, links(calls), sum(noise.kinks for noise in whole), unknown)


def _report(judged: _Judged, rows: Mapping[str, Sequence[Row]]) -> Report:
    return Report(ordered(rows), judged.kinks, tuple(sorted(judged.unknown)))


# --- each mistake by itself -----------------------------------------------------------------------


def _peeled(model: Model, subjects: Subjects) -> Report:
    """The functions at fault are replaced by the sandbox's own, and all is judged again, until nothing fails:
    so a right function around a wrong one is seen to be right, and a second mistake is judged by itself."""
    judged = first = _judged_run(model, subjects)
    rows: dict[str, Sequence[Row]] = dict(first.rows)
    guilty: tuple[str, ...] = ()
    open_ = {row.function for row in first.failures()}  # those that fail for a reason not yet known
    while found := culprits(handed_on_last(judged.failures(of=open_)), judged.links):
        harming = _harming(model, judged, guilty, found)
        for name, row in harming.items():
            rows[name] = (row, *rows[name])
        found = tuple(harming) or found
        guilty, open_ = (*guilty, *found), open_ - set(found)
        if all(name not in model.tested or _is_own(name, model.tested[name]) for name in found):
            break  # the sandbox's own are wrong themselves
        judged = _with_stand_ins(model, guilty, {name: subjects[name] for name in open_ & subjects.keys()})
        for name in FUNCTIONS:
            asked = name in open_ or not (name in guilty or _is_judged(rows[name]))
            if asked and not _newly_raised(judged.rows[name], first.rows[name]):
                rows[name] = judged.rows[name]
        open_ &= {
            row.function for row in judged.failures() if rows[row.function] is judged.rows[row.function]
        }
    rows = {name: _each_manner_once(of_one, asked=bool(subjects)) for name, of_one in rows.items()}
    rows = _without_what_inner_ones_do(rows, first.links)
    dependent = {name for name, of_one in rows.items() if name not in guilty and any(map(_fails, of_one))}
    seen = frozenset((name, other) for name in guilty for other in dependent)
    stood_in = tuple(
        name for name in model.tested if name in guilty and not _is_own(name, model.tested[name])
    )
    return replace(_report(first, rows), links=Links(called=seen), stood_in=stood_in)


def _is_judged(rows: Iterable[Row]) -> bool:
    return any(isinstance(row, OutputRow) and row.verdict is not Verdict.NOT_COMPARED for row in rows)


def _each_manner_once(rows: Sequence[Row], *, asked: bool) -> list[Row]:
    """A contract that is not kept is seen in the calls of the network, and when it is asked for: one row is
    enough, that of a failure if there is one. `asked`: whether any was; else the calls say nothing."""
    said: dict[Contract, ContractRow] = {}
    for row in rows:
        if isinstance(row, ContractRow) and row.finding:
            before = said.get(row.contract)
            said[row.contract] = before if before and _fails(before) else row

    kept = {id(row) for row in said.values()} if asked else set()
    kept |= {id(row) for row in rows if asked and isinstance(row, OutputRow)}
    return [row for row in rows if id(row) in kept or row.verdict is not Verdict.REMARK]


def _without_what_inner_ones_do(rows: Mapping[str, Sequence[Row]], seen: Links) -> dict[str, Sequence[Row]]:
    """A change in place is said of the innermost function that makes it."""
    changes = [
        row for of_one in rows.values() for row in of_one
        if isinstance(row, ContractRow) and row.contract is Contract.UNCHANGED and row.finding
    ]  # fmt: skip
    outer = {name for row in changes for name in seen.following(row)}
    again = {id(row) for row in changes if row.function in outer and row.verdict is Verdict.REMARK}
    return {name: [row for row in of_one if id(row) not in again] for name, of_one in rows.items()}


def _with_stand_ins(model: Model, names: Iterable[str], subjects: Subjects) -> _Judged:
    """The sandbox's own functions in place of these."""
    tested = dict(model.tested)
    for name in names:
        own = partial(FUNCTIONS[name], **model.kind.options(name, FUNCTIONS[name]))
        tested[name] = stand_in(own, tested[name]) if name in tested else own
    return _judged_run(replace(model, tested=tested), subjects)


def _newly_raised(now: Sequence[Row], before: Sequence[Row]) -> bool:
    """It raises with the sandbox's own functions, and did not with the tested ones: it needs those."""
    raised = [
        any(isinstance(r, OutputRow) and r.cause is Cause.EXCEPTION for r in rows) for rows in (now, before)
    ]
    return raised[0] and not raised[1]


def _harming(
    model: Model, judged: _Judged, guilty: tuple[str, ...], found: tuple[str, ...]
) -> dict[str, ContractRow]:
    """The functions that change what they are given, or keep what they gave, by which alone one of those
    `found` is wrong; and the row that says so."""
    manners: dict[str, ContractRow] = {}
    for name, rows in judged.rows.items():
        for row in rows if name not in (*guilty, *found) else ():
            if isinstance(row, ContractRow) and row.verdict is Verdict.REMARK:
                manners.setdefault(name, row)
    after = {name: judged.links.following(row) for name, row in manners.items()}
    caused = {name for following in after.values() for name in following}
    manners = {name: row for name, row in manners.items() if name not in caused and after[name] & set(found)}
    if not manners:
        return {}
    without = _with_stand_ins(model, (*guilty, *manners), {})
    still = {row.function for row in without.failures()}
    harmed = next((row for row in judged.failures(of=found) if row.function not in still), None)
    return {name: harmful(row, harmed) for name, row in manners.items()} if harmed else {}


# --- rows ----------------------------------------------------------------------------------------


def _rows_of_the_whole(model: Model, call: Call, rows: Mapping[str, list[Row]]) -> list[OutputRow]:
    """Of a call that the check itself made, of the rows so far of the functions that it calls."""
    if not call.finished:
        return []
    if call.function == "L_model_forward":
        return forward_rows(model, call.result)
    if call.function == "L_model_backward":
        makers = {maker for forward in call.fed_by for maker in _makers(forward)}
        return backward_rows(model, call, forward_right=not any(_failed(rows[maker]) for maker in makers))
    if call.function == "update_parameters":
        theta, gradients, _ = call.arguments
        equation, inputs = update_equation(model.keys), update_inputs(theta, gradients)
        return compare_outputs(equation, call.result, measured(equation, inputs), inputs)
    return []


def _rows_of_calls(calls: list[Call], compared: list[Compared]) -> dict[str, list[Row]]:
    """By function: what its calls changed, their outputs, and exceptions."""
    rows: dict[str, list[Row]] = {name: [] for name in FUNCTIONS}
    of_outputs = (row for of_call in compared for row in of_call.rows)
    made: list[Row] = [*mutations(calls), *of_outputs, *exceptions(calls, _misfit, matter_of)]
    for row in made:
        rows[row.function].append(row)
    return rows


def matter_of(function: str) -> Matter:
    return Matter.GRADIENT if function.endswith("_backward") else Matter.VALUE


def _makers(call: Call) -> set[str]:
    """The functions that a result was seen to be made with."""
    return {call.function}.union(*map(_makers, call.children))


def _failed(rows: Iterable[Row]) -> bool:
    return any(map(_fails, rows))


def _local(call: Call, tested: Mapping[str, Function], kind: Kind) -> Compared:
    found = None if call.error else equation_of(call.function, *call.arguments, cost=kind.cost)
    if found is None:
        return Compared(())
    equation, inputs = found
    functions = {**FUNCTIONS, **tested}
    forward = functions.get(equation.forward.function) if equation.forward else None
    return check_local(equation, inputs, call.result, layer=call.layer, forward=forward)


def _misfit(call: Call) -> str:
    """Why the sandbox's own function does not take the arguments of this call either, or ""."""
    try:
        FUNCTIONS[call.function](*copied(call.arguments), **call.options)
    except Exception as error:  # of any kind, for arguments of any kind
        return raised_at(error).rstrip(".") + repeated_cache(call)
    return ""


def _with_own_keys(function: Function) -> Function:
    return lambda *arguments: with_own_keys(function(*arguments))


def _contracts(
    name: str, tested: Mapping[str, Function], subjects: Subjects, found: list[Row], kind: Kind,
    caller: Recorder | None,
) -> list[Row]:  # fmt: skip
    """At other inputs than the given ones most fail for the same reason, so they come last."""
    causes = {row.cause for row in found if isinstance(row, OutputRow) and row.verdict is Verdict.FAIL}
    if name not in tested or not causes.isdisjoint({Cause.EXCEPTION, Cause.STRUCTURE}):
        return []  # it does not run
    function, own = tested[name], tested[name] is FUNCTIONS[name]
    if options := kind.options(name, function):
        function = partial(function, **options)
    of_dA = {row.output for row in found if row.verdict is Verdict.REMARK}
    rows: list[Row] = []
    for equation, inputs in subjects.get(name, ()):
        if KEYS in of_dA:
            function = _with_own_keys(function)
        elif "dA0" in of_dA:
            equation = backward_equation(equation.inputs[2:], kind, dA0=False)
        stacks = own if equation.axes and all(np.ndim(x) == 2 for x in inputs) else None
        right = not _failed([*found, *rows])
        called = function if own or caller is None else caller.calling(name, function)
        rows += check_contracts(equation, called, inputs, stacks=stacks, right=right)
    return rows
