"""The tested functions run once, all that they did judged; and again, with the sandbox's own in the place of
those at fault, until nothing fails: so that each mistake is seen by itself."""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import jax
import numpy as np

from sandbox.network import validation
from sandbox.network.cases import (
    Subjects,
    branch_of,
    further_calls,
    some_gradients,
)
from sandbox.network.functions import FUNCTIONS, NETWORK, equation_of
from sandbox.network.model_equations import RATE, Kind, backward_equation, update_equation, update_inputs
from sandbox.network.tested import is_own
from sandbox.network.wiring import (
    KEYS,
    Model,
    backward_rows,
    forward_rows,
    number_layers,
    repeated_cache,
    with_own_keys,
)
from sandbox.typing import Array, Cache, Function, Value
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
from sandbox.verifier.loading import raised_at
from sandbox.verifier.local import Compared, check_local, compare_outputs, measured, met
from sandbox.verifier.nested import copied
from sandbox.verifier.progress import parts
from sandbox.verifier.recording import Call, Recorder, stand_in, unrecorded
from sandbox.verifier.report import Report
from sandbox.verifier.rows import Cause, Contract, ContractRow, Matter, OutputRow, Row, Verdict
from sandbox.verifier.warned import quiet

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
class Judged:
    """The rows of each function, inner ones first, and how the functions depend on each other."""

    rows: Mapping[str, Sequence[Row]]
    links: Links
    kinks: int
    unknown: frozenset[str]

    def failures(self, *, of: Container[str] = FUNCTIONS) -> list[Row]:
        return [row for name, rows in self.rows.items() if name in of for row in rows if _fails(row)]


def _fails(row: Row) -> bool:
    return row.verdict is Verdict.FAIL


def _judged_run(model: Model, subjects: Subjects) -> Judged:
    recorder = Recorder(model.tested, NETWORK)
    with recorder.bound() as bound, quiet():
        model = _run(model, bound, recorder)
    caller = Recorder(model.tested, NETWORK)
    # For the contracts, where any is asked for: in them the tested functions call each other, too.
    with caller.bound() if subjects else nullcontext():
        return judged(recorder, subjects, model.kind, model, caller)


@unrecorded
def judged(
    recorder: Recorder, subjects: Subjects, kind: Kind, model: Model | None = None,
    caller: Recorder | None = None,
) -> Judged:  # fmt: skip
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
    return Judged(rows, links(calls), sum(noise.kinks for noise in whole), unknown)


def report_of(judged: Judged, rows: Mapping[str, Sequence[Row]]) -> Report:
    return Report(ordered(rows), judged.kinks, tuple(sorted(judged.unknown)))


# --- each mistake by itself -----------------------------------------------------------------------


def peeled(model: Model, subjects: Subjects) -> Report:
    """The functions at fault are replaced by the sandbox's own, and all is judged again, until nothing fails:
    so a right function around a wrong one is seen to be right, and a second mistake is judged by itself."""
    now = first = _judged_run(model, subjects)
    rows: dict[str, Sequence[Row]] = dict(first.rows)
    guilty: tuple[str, ...] = ()
    open_ = {row.function for row in first.failures()}  # those that fail for a reason not yet known
    while found := culprits(handed_on_last(now.failures(of=open_)), now.links):
        harming = _harming(model, now, guilty, found)
        for name, row in harming.items():
            rows[name] = (row, *rows[name])
        found = tuple(harming) or found
        guilty, open_ = (*guilty, *found), open_ - set(found)
        if all(name not in model.tested or is_own(name, model.tested[name]) for name in found):
            break  # the sandbox's own are wrong themselves
        now = _with_stand_ins(model, guilty, {name: subjects[name] for name in open_ & subjects.keys()})
        for name in FUNCTIONS:
            asked = name in open_ or not (name in guilty or _is_judged(rows[name]))
            if asked and not _newly_raised(now.rows[name], first.rows[name]):
                rows[name] = now.rows[name]
        open_ &= {row.function for row in now.failures() if rows[row.function] is now.rows[row.function]}
    rows = {name: _each_manner_once(of_one, asked=bool(subjects)) for name, of_one in rows.items()}
    rows = _without_what_inner_ones_do(rows, first.links)
    dependent = {name for name, of_one in rows.items() if name not in guilty and _failed(of_one)}
    seen = frozenset((name, other) for name in guilty for other in dependent)
    stood_in = tuple(name for name in model.tested if name in guilty and not is_own(name, model.tested[name]))
    return replace(report_of(first, rows), links=Links(called=seen), stood_in=stood_in)


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


def _with_stand_ins(model: Model, names: Iterable[str], subjects: Subjects) -> Judged:
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
    model: Model, now: Judged, guilty: tuple[str, ...], found: tuple[str, ...]
) -> dict[str, ContractRow]:
    """The functions that change what they are given, or keep what they gave, by which alone one of those
    `found` is wrong; and the row that says so."""
    manners: dict[str, ContractRow] = {}
    for name, rows in now.rows.items():
        for row in rows if name not in (*guilty, *found) else ():
            if isinstance(row, ContractRow) and row.verdict is Verdict.REMARK:
                manners.setdefault(name, row)
    after = {name: now.links.following(row) for name, row in manners.items()}
    caused = {name for following in after.values() for name in following}
    manners = {name: row for name, row in manners.items() if name not in caused and after[name] & set(found)}
    if not manners:
        return {}
    without = _with_stand_ins(model, (*guilty, *manners), {})
    still = {row.function for row in without.failures()}
    harmed = next((row for row in now.failures(of=found) if row.function not in still), None)
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
    if KEYS in of_dA:
        function = _with_own_keys(function)
    called = function if own or caller is None else caller.calling(name, function)
    rows: list[Row] = []
    for equation, inputs in subjects.get(name, ()):
        if "dA0" in of_dA:
            equation = backward_equation(equation.inputs[2:], kind, dA0=False)
        stacks = own if equation.axes and all(np.ndim(x) == 2 for x in inputs) else None
        right = not _failed([*found, *rows])
        rows += check_contracts(equation, called, inputs, stacks=stacks, right=right)
    return rows
