"""The check of the exercise's functions: each one alone, the wiring between them, the whole.

1. Locally: what each function really received, recorded while the network ran, goes into the mirror of
   that one function, and every output is compared.
2. Wiring: layer by layer, from the gradient dA{l} that was handed down and the caches, what
   `L_model_backward` handed on (and `L_model_forward`, from the activations).
3. Contracts of each tested function (`sandbox.contracts`).
4. End to end: every output from X and the parameters alone.

If 1 and 2 hold, the whole is right up to rounding. Rows of inner functions come first, so that the
first failure is the culprit.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from sandbox import network
from sandbox.contracts import check_contracts
from sandbox.equations import FORWARD, FUNCTIONS, Equation, Inputs, equation_of
from sandbox.hooks import Call, Function, Recorder, copied, place, resolve
from sandbox.local import check_local
from sandbox.model_equations import RATE
from sandbox.probes import (
    Subjects,
    activation_of,
    contract_subjects,
    drawn_network,
    further_calls,
    some_gradients,
)
from sandbox.report import Report, Row, random_first
from sandbox.search import smallest_failure
from sandbox.typing import Activation, Array, ArrayLike, Cache, LinearCache
from sandbox.validation import as_matrix, as_targets, check_caches, check_parameters, unpack
from sandbox.wiring import Failed, Model, model_report

Functions = Mapping[str, Function] | ModuleType | str | Path | None


def check_linear_backward(
    dZ: ArrayLike, cache: LinearCache, *, function: Function = network.linear_backward
) -> Report:
    """Check dA_prev, dW and db of `linear_backward` (or of another `function` with its signature),
    and the contracts.

    Args:
        dZ: (..., n_l, m), gradient of the summed loss.
        cache: (A_prev, W, b).

    Raises:
        TypeError, ValueError: malformed input. An error in `function` is a finding.
    """
    parts = zip(("cache A_prev", "cache W", "cache b"), unpack("cache", cache, "(A_prev, W, b)"), strict=True)
    named = {name: as_matrix(name, array) for name, array in (("dZ", dZ), *parts)}
    dZ, A_prev, W, b = _of_one_dtype(named).values()
    network.linear_backward(dZ, (A_prev, W, b))  # malformed input is the caller's error, not a finding
    return _check_one("linear_backward", function, (dZ, (A_prev, W, b)))


def check_linear_activation_backward(
    dA: ArrayLike,
    cache: Cache,
    activation: Activation,
    *,
    function: Function = network.linear_activation_backward,
) -> Report:
    """Check dA_prev, dW and db of `linear_activation_backward` (or of another `function`), and the
    contracts.

    Args:
        dA: (..., n_l, m), gradient of the summed loss.
        cache: ((A_prev, W, b), Z).
        activation: "relu" or "sigmoid".

    Raises:
        TypeError, ValueError: malformed input. An error in `function` is a finding.
    """
    [((A_prev, W, b), Z)] = check_caches([cache])
    named = {"dA": as_matrix("dA", dA), "cache A_prev": A_prev, "cache W": W, "cache b": b, "cache Z": Z}
    dA, A_prev, W, b, Z = _of_one_dtype(named).values()
    network.linear_activation_backward(dA, ((A_prev, W, b), Z), activation)
    return _check_one("linear_activation_backward", function, (dA, ((A_prev, W, b), Z), activation))


def _check_one(name: str, function: Function, arguments: tuple[Any, ...]) -> Report:
    recorder = Recorder({name: function})
    with recorder.bound() as bound, np.errstate(all="ignore"):
        _attempt(bound[name], *arguments)
    subject = equation_of(name, arguments)
    return _report(recorder, None, {name: function}, {name: [subject]} if subject else {})


def check_model(
    parameters: Mapping[str, ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    functions: Functions = None,
    contracts: bool = True,
) -> Report:
    """Check the passes of the L-layer network, or others in their place: local, wiring, end to end.

    Args:
        parameters: W1, b1, ..., WL, bL; stacks of networks are checked network by network.
        X: (..., n_0, m). Y: (..., 1, m), targets in [0, 1].
        functions: what to test: a mapping from the exercise's names to functions, a module or the path
            of a Python file that defines some of them; by default all of `sandbox.network`. Those
            that are not given are `sandbox.network`'s, which then call the given ones.
        contracts: whether to check those too (mutation, aliases, dtypes, single examples, ...).

    Raises:
        TypeError, ValueError: malformed input. An error in the tested functions is a finding.
    """
    tested = resolve(functions)
    X, theta = _network_inputs(X, parameters)
    AL, caches = network.L_model_forward(X, theta)
    Y = as_targets(Y, AL)
    recorder = Recorder(tested)
    with recorder.bound() as bound, np.errstate(all="ignore"):
        forward = _attempt(bound["L_model_forward"], *copied((X, theta)))
        AL, caches = _well_formed(forward, AL, caches) or (AL, caches)
        if np.isfinite(AL).all() and AL.min() >= 0 and AL.max() <= 1:
            _attempt(bound["compute_cost"], *copied((AL, Y)))
        given = copied((AL, Y, caches))
        grads = _attempt(bound["L_model_backward"], *given)
        _attempt(bound["update_parameters"], copied(theta), some_gradients(theta), RATE)
        made = {(call.function, activation_of(call.arguments)) for call in recorder.calls}
        for name, arguments in further_calls(caches):
            if name in tested and (name, activation_of(arguments)) not in made:
                _attempt(bound[name], *copied(arguments))
    model = Model(X, Y, theta, AL, caches, forward, grads, tested)
    subjects = contract_subjects(AL.dtype.name) if contracts else {}
    report = _report(recorder, model_report(model, recorder), tested, subjects)
    return replace(report, tested=_tested(functions, tested))


def check_functions(functions: Functions, *, contracts: bool = True, cases: int | None = None) -> Report:
    """Check functions with the exercise's names on random networks, at most `cases` (25) of them.

    Depths 1 to 4, widths and numbers of examples 1 to 5, both dtypes, some Z exactly 0. A failing case
    is shrunk to the smallest that fails.

    Args:
        functions: as for `check_model`.
    """
    from hypothesis import strategies as st

    tested = resolve(functions)
    networks = st.tuples(
        st.lists(st.integers(1, 5), min_size=1, max_size=4),
        st.integers(1, 5),
        st.sampled_from(["float64", "float32"]),
        st.integers(0, 99),
    )

    def check(case: Any) -> Report:
        return check_model(*drawn_network(*case), functions=tested, contracts=False)

    def describe(case: Any) -> str:
        dims, m, dtype, seed = case
        return f"layers of {', '.join(map(str, [*dims, 1]))} units, {m} examples, {dtype}, seed {seed}."

    name = "_".join(tested) if functions is not None else "network"
    report = smallest_failure(networks, check, name=name, describe=describe, cases=cases)
    if not report or not contracts:
        return report
    # Contracts do not depend on the case, and are asked once.
    asked = check_model(*drawn_network([4, 3, 2], 5, "float64", 0), functions=tested)
    contracts_only = tuple(row for row in asked.rows if row.scope == "contract" or row.verdict == "FAIL")
    return replace(report, rows=(*report.rows, *contracts_only))


def _tested(functions: Functions, tested: Mapping[str, Function]) -> str:
    """Which functions are not the sandbox's own, in words, and which names look misspelt."""
    if functions is None:
        return ""
    others = [name for name in FUNCTIONS if name not in tested]
    text = f"Yours: {', '.join(tested)}. The others are the sandbox's own." if others else ""
    names = [n for f in tested.values() for n, x in getattr(f, "__globals__", {}).items() if callable(x)]
    for name in dict.fromkeys(names):
        if name not in FUNCTIONS and (meant := difflib.get_close_matches(name, others, 1, 0.9)):
            text += f" Not checked: {name} (did you mean {meant[0]}?)."
    return text


def _attempt(function: Function, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (Exception, SystemExit):  # recorded with its place by the hooks
        return Failed()


def _network_inputs(X: ArrayLike, parameters: Mapping[str, ArrayLike]) -> tuple[Array, dict[str, Array]]:
    """X and the parameters as finite arrays of one floating dtype.

    Raises:
        TypeError, ValueError: they are not.
    """
    check_parameters(parameters)
    named = {f"parameters['{key}']": np.asarray(value) for key, value in parameters.items()}
    X, *theta = _of_one_dtype({"X": as_matrix("X", X), **named}).values()
    return X, dict(zip(parameters, theta, strict=True))


def _of_one_dtype(named: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays in one floating dtype; whole numbers alone are taken as float64.

    Raises:
        TypeError, ValueError: they have several, or one of more than double precision, or hold NaN or
            infinity.
    """
    dtypes = {name: x.dtype for name, x in named.items() if x.dtype.kind == "f"}
    first = next(iter(dtypes), "")
    for name, dtype in dtypes.items():
        if dtype != dtypes[first]:
            raise ValueError(
                f"{first} is {dtypes[first]} and {name} is {dtype}, expected one dtype, in which all is "
                "checked; convert one of them with .astype."
            )
        if dtype.itemsize > 8:
            raise TypeError(f"{name} is {dtype}, expected at most double precision; use .astype(float).")
    dtype = dtypes.get(first, np.dtype(np.float64))
    for name, x in named.items():
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise ValueError(f"{name} is {x[where]} at {where}, expected finite numbers.")
    return {name: x.astype(dtype, copy=False) for name, x in named.items()}


def _well_formed(forward: Any, AL: Array, caches: Any) -> tuple[Array, Any] | None:
    """The tested forward's AL and caches, if they can be handed to a backward."""
    try:
        own_AL, own = forward
        own_AL, checked = np.asarray(own_AL), check_caches(own)
    except (TypeError, ValueError):
        return None
    same = [
        np.shape(a) == np.shape(b)
        for a, b in zip(jax.tree.leaves(checked), jax.tree.leaves(caches), strict=False)
    ]
    fits = len(checked) == len(caches) and all(same) and own_AL.shape == AL.shape
    return (own_AL, checked) if fits and own_AL.dtype.kind == "f" else None


def _report(
    recorder: Recorder,
    whole: Report | None,
    tested: Mapping[str, Function],
    subjects: Subjects,
) -> Report:
    """All rows, those of inner functions first: of each call, of the `whole` network if there is one,
    and the contracts at the inputs of `subjects`."""
    by_function: dict[str, list[Row]] = {name: [] for name in FUNCTIONS}
    calls = [_local(call, tested) for call in recorder.calls if not call.error]
    raised = _raised(recorder.calls)
    for call in recorder.calls:
        if call.mutated:
            finding = f"{call.mutated} was changed in place; work on a copy."
            row = Row(call.function, "contract", call.layer, "inputs unchanged", "FAIL", finding)
            by_function[call.function].append(row)
    for row in (row for local in calls for row in local.rows):
        by_function[row.function].append(row)
    # A function that was handed something wrong may raise; the one that handed it on comes first.
    explained = any(row.verdict == "FAIL" for rows in by_function.values() for row in rows)
    of_the_whole = whole.rows if whole is not None else ()
    for row in of_the_whole if explained else (*raised, *of_the_whole):
        by_function[row.function].append(row)
    # Contracts come last: at other inputs than the given ones most fail for the same reason.
    for name, function in tested.items():
        if any(row.output == "result" and row.verdict == "FAIL" for row in by_function[name]):
            continue  # it does not run
        for subject in subjects.get(name, ()):
            by_function[name] += _contracts(name, function, *subject, by_function[name])
    rows = [row for name in FUNCTIONS for row in by_function[name]] + (raised if explained else [])
    if any(row.verdict == "FAIL" and row.function in FORWARD for row in rows):
        # The activations, on which the whole backward was judged, are wrong themselves.
        rows = [replace(r, at_fault="") if r.function == "L_model_backward" else r for r in rows]
    rows = random_first(sorted(rows, key=lambda row: row.scope == "end to end"))
    measured = calls if whole is None else [whole]  # a kink of the whole network is met in several calls
    unknown = {name for report in (*calls, *measured) for name in report.unknown_primitives}
    return Report(tuple(rows), sum(report.kinks for report in measured), tuple(sorted(unknown)))


def _local(call: Call, tested: Mapping[str, Function]) -> Report:
    found = equation_of(call.function, call.arguments)
    if found is None:
        return Report(())
    equation, inputs = found
    primal = equation.forward.function if equation.forward else None
    forward = tested.get(primal, getattr(network, primal)) if primal else None
    return check_local(equation, inputs, call.result, layer=call.layer, forward=forward)


def _raised(calls: list[Call]) -> list[Row]:
    """Whose fault each exception is: of the innermost function that raised, unless `sandbox.network`'s
    own does not take these arguments either; then of the one that called it so. Those that called the
    function at fault did not finish."""
    rows = []
    for call in calls:
        if not call.error or any(child.error for child in call.children):
            continue
        finding, fault = f"it raised {call.error}.", call
        while fault.parent is not None and (misfit := _misfit(fault)):
            name = f"{fault.function} (layer {fault.layer})" if fault.layer is not None else fault.function
            fault = fault.parent
            finding = f"what it hands to {name} does not fit{fault.line}: {misfit}."
        rows.append(Row(fault.function, "local", fault.layer, "result", "FAIL", finding))
        caller = fault.parent
        while caller is not None:
            finding = f"it did not finish: {call.error}."
            rows.append(Row(caller.function, "local", caller.layer, "result", "FAIL", finding))
            caller = caller.parent
    return rows


def _misfit(call: Call) -> str:
    try:
        getattr(network, call.function)(*copied(call.arguments))
    except Exception as error:  # of any kind, for arguments of any kind
        return place(error).rstrip(".")
    return ""


def _contracts(
    name: str, function: Function, equation: Equation, inputs: Inputs, found: list[Row]
) -> list[Row]:
    own = function is getattr(network, name)
    stacks = own if equation.axes and all(np.ndim(x) == 2 for x in inputs) else None
    right = all(row.verdict != "FAIL" for row in found)
    return check_contracts(equation, function, inputs, stacks=stacks, right=right)
