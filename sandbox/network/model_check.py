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
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from sandbox.network import passes, validation
from sandbox.network.activations import ACTIVATIONS
from sandbox.network.cases import (
    contract_subjects,
    drawn_network,
)
from sandbox.network.costs import COSTS
from sandbox.network.functions import FUNCTIONS, LAYER_BACKWARD, LINEAR_BACKWARD, NETWORK
from sandbox.network.judging import judged, peeled, report_of
from sandbox.network.model_equations import Kind
from sandbox.network.tested import Functions, as_python, resolve, said_of
from sandbox.network.wiring import (
    Model,
)
from sandbox.typing import Array, ArrayLike, Cache, Function, LinearCache
from sandbox.verifier.equation import Equation
from sandbox.verifier.recording import Recorder, unrecorded
from sandbox.verifier.report import Report
from sandbox.verifier.rows import ContractRow, Verdict
from sandbox.verifier.search import smallest_failure
from sandbox.verifier.warned import quiet

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
    found = judged(recorder, {name: [(equation, inputs)]}, Kind())
    return report_of(found, found.rows)


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
    with quiet():  # of the tested function an overflow is a finding
        AL, caches = passes.L_model_forward(X, theta, activation=activation)
    _, Y = validation.as_outputs(AL, Y)
    model = Model(X, Y, theta, AL, caches, tested, kind)
    subjects = contract_subjects(AL.dtype.name, kind) if contracts else {}
    return replace(peeled(model, subjects), **said_of(tested))


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
