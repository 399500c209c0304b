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

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np

from sandbox import mirror, network
from sandbox.contracts import check_contracts
from sandbox.equations import FUNCTIONS, Equation, Inputs, equation_of
from sandbox.hooks import Call, Function, Recorder, difference, resolve
from sandbox.local import check_local, compare_outputs, measured
from sandbox.report import Report, Row
from sandbox.rounding import Measured
from sandbox.search import CASES, smallest_failure
from sandbox.typing import Activation, Array, ArrayLike, Cache, LinearCache
from sandbox.validation import as_matrix, as_targets, check_caches, unpack

RATE = 0.125  # of update_parameters: a power of 2, which every dtype holds exactly

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
    A_prev, W, b = (
        as_matrix(f"cache {name}", array)
        for name, array in zip(("A_prev", "W", "b"), unpack("cache", cache, "(A_prev, W, b)"), strict=True)
    )
    dZ = as_matrix("dZ", dZ)
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
    dA = as_matrix("dA", dA)
    [((A_prev, W, b), Z)] = check_caches([cache])
    network.linear_activation_backward(dA, cache, activation)
    return _check_one("linear_activation_backward", function, (dA, ((A_prev, W, b), Z), activation))


def _check_one(name: str, function: Function, arguments: tuple[Any, ...]) -> Report:
    recorder = Recorder({name: function})
    with recorder.bound() as bound, np.errstate(all="ignore"):
        _attempt(bound[name], *arguments)
    subject = equation_of(name, arguments)
    return _report(recorder, [], {name: function}, {name: subject} if subject else {})


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
    X = as_matrix("X", X)
    AL, caches = network.L_model_forward(X, parameters)
    Y = as_targets(Y, AL)
    theta = {key: np.asarray(value) for key, value in parameters.items()}
    recorder = Recorder(tested)
    with recorder.bound() as bound, np.errstate(all="ignore"):
        forward = _attempt(bound["L_model_forward"], X, copy.deepcopy(theta))
        if _well_formed(forward, AL, caches):
            AL, caches = forward
        if np.isfinite(AL).all() and AL.min() >= 0 and AL.max() <= 1:
            _attempt(bound["compute_cost"], AL, Y)
        given = copy.deepcopy((AL, Y, caches))
        grads = _attempt(bound["L_model_backward"], *given)
        reference = {key: RATE * value for key, value in theta.items()}
        _attempt(
            bound["update_parameters"], copy.deepcopy(theta), {f"d{k}": v for k, v in reference.items()}, RATE
        )  # fmt: skip
        unused = set(tested) - {call.function for call in recorder.calls}
        for name, arguments in _arguments(AL, Y, caches).items():
            if name in unused:
                _attempt(bound[name], *copy.deepcopy(arguments))
    model = _Model(X, Y, theta, AL, caches, forward, grads)
    subjects = _contract_subjects(AL.dtype.name) if contracts else {}
    return _report(recorder, _model_rows(model, recorder), tested, subjects, model)


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
        return check_model(*_drawn(*case), functions=tested, contracts=False)

    def describe(case: Any) -> str:
        dims, m, dtype, seed = case
        return f"layers of {', '.join(map(str, [*dims, 1]))} units, {m} examples, {dtype}, seed {seed}."

    name = "_".join(tested) if functions is not None else "network"
    report = smallest_failure(networks, check, name=name, describe=describe, cases=cases or CASES)
    if not report or not contracts:
        return report
    return replace(check_model(*_drawn([4, 3, 2], 5, "float64", 0), functions=tested), cases=report.cases)


def _drawn(dims: list[int], m: int, dtype: str, seed: int) -> tuple[dict[str, Array], Array, Array]:
    rng = np.random.default_rng(seed)
    theta = network.initialize_parameters_deep([*dims, 1], rng=rng, scheme="he", dtype=dtype)
    theta = {key: x + (0.1 * rng.standard_normal(x.shape)).astype(dtype) for key, x in theta.items()}
    theta["W1"][0], theta["b1"][0] = 0, 0  # a unit whose Z is exactly 0
    Y = rng.integers(0, 2, (1, m)).astype(dtype)
    return theta, rng.standard_normal((dims[0], m)).astype(dtype), Y


class _Model:
    """What the whole network was given and gave."""

    def __init__(
        self, X: Array, Y: Array, theta: dict[str, Array], AL: Array, caches: Any, forward: Any, grads: Any
    ) -> None:
        self.X, self.Y, self.theta, self.AL, self.caches = X, Y, theta, AL, caches
        self.forward, self.grads = forward, grads
        self.L = len(caches)
        self.keys = tuple(theta)
        self.kinks = 0
        self.unknown: set[str] = set()

    @property
    def inputs(self) -> Inputs:
        stack = np.broadcast_shapes(self.AL.shape[:-2], self.Y.shape[:-2])
        return (self.X, self.Y, *(np.broadcast_to(v, stack + v.shape[-2:]) for v in self.theta.values()))


def _arguments(AL: Array, Y: Array, caches: Any) -> dict[str, tuple[Any, ...]]:
    """Something to call each inner function with, if the network at hand does not call it."""
    (A_prev, W, b), Z = caches[-1]
    dA = np.random.default_rng(0).standard_normal(Z.shape).astype(Z.dtype)
    return {
        "sigmoid": (Z,),
        "relu": (Z,),
        "linear_forward": (A_prev, W, b),
        "linear_activation_forward": (A_prev, W, b, "sigmoid"),
        "sigmoid_backward": (dA, Z),
        "relu_backward": (dA, Z),
        "linear_backward": (dA, (A_prev, W, b)),
        "linear_activation_backward": (dA, ((A_prev, W, b), Z), "sigmoid"),
    }


class _Failed:
    """In place of a result: the tested code raised."""


def _attempt(function: Function, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception:  # recorded with its place by the hooks
        return _Failed()


def _well_formed(forward: Any, AL: Array, caches: Any) -> bool:
    """Whether the tested forward's caches can be handed to a backward."""
    try:
        own_AL, own = forward
        checked = check_caches(own)
    except (TypeError, ValueError):
        return False
    same = [
        np.shape(a) == np.shape(b)
        for a, b in zip(jax.tree.leaves(checked), jax.tree.leaves(caches), strict=False)
    ]
    return len(checked) == len(caches) and all(same) and np.shape(own_AL) == AL.shape


# --- the equations of the whole network -----------------------------------------------------------


def _gradient_keys(L: int) -> tuple[str, ...]:
    return tuple(key for l in range(L, 0, -1) for key in (f"dA{l - 1}", f"dW{l}", f"db{l}"))


def _layer_of(key: str) -> int:
    """dA{l-1}, dW{l} and db{l} are outputs of layer l."""
    return int(key[2:]) + (key[1] == "A")


@lru_cache(maxsize=128)
def _model_backward(keys: tuple[str, ...]) -> Equation:
    L = len(keys) // 2
    names = _gradient_keys(L)

    def reference(X: Any, Y: Any, *theta: Any) -> Any:
        grads = mirror.L_model_backward(X, Y, dict(zip(keys, theta, strict=True)))
        return tuple(grads[name] for name in names)

    def pack(X: Any, Y: Any, *theta: Any) -> Inputs:
        AL, caches = network.L_model_forward(X, dict(zip(keys, theta, strict=True)))
        return AL, Y, caches

    def unpack_grads(grads: Any) -> Inputs:
        if not isinstance(grads, Mapping):
            raise TypeError(f"it returned a {type(grads).__name__}, expected the dict of gradients.")
        for name in names:
            if name not in grads:
                raise ValueError(
                    f"the dict of gradients has no '{name}'; it has {', '.join(map(str, grads))}."
                )
        return tuple(grads[name] for name in names)

    return Equation(
        "L_model_backward", reference, ("X", "Y", *keys), names, pack, unpack_grads,
        axes=("pm", "1m", *_parameter_axes(keys)),
    )  # fmt: skip


@lru_cache(maxsize=128)
def _model_forward(keys: tuple[str, ...]) -> Equation:
    L = len(keys) // 2

    def reference(X: Any, *theta: Any) -> Any:
        parameters, A, caches = dict(zip(keys, theta, strict=True)), X, []
        for l in range(1, L + 1):
            W, b = parameters[f"W{l}"], parameters[f"b{l}"]
            Z = mirror.linear_forward(A, W, b)
            caches += [A, W, b, Z]
            A = mirror.relu(Z) if l < L else mirror.sigmoid(Z)
        return (A, *caches)

    def unpack_caches(result: Any) -> Inputs:
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError("it did not return the tuple (AL, caches).")
        checked = check_caches(result[1])
        if len(checked) != L:
            raise ValueError(f"it returned {len(checked)} caches, expected {L}, one for each layer.")
        return (result[0], *(x for linear, Z in checked for x in (*linear, Z)))

    outputs = ("AL", *(f"cache {l} {part}" for l in range(1, L + 1) for part in ("A_prev", "W", "b", "Z")))
    return Equation(
        "L_model_forward", reference, ("X", *keys), outputs,
        lambda X, *theta: (X, dict(zip(keys, theta, strict=True))), unpack_caches,
        axes=("pm", *_parameter_axes(keys)),
    )  # fmt: skip


@lru_cache(maxsize=128)
def _update(keys: tuple[str, ...]) -> Equation:
    count = len(keys)

    def pack(*inputs: Any) -> Inputs:
        gradients = {f"d{key}": x for key, x in zip(keys, inputs[count:], strict=True)}
        return dict(zip(keys, inputs[:count], strict=True)), gradients, RATE

    def unpack_parameters(result: Any) -> Inputs:
        if not isinstance(result, Mapping) or set(result) != set(keys):
            got = list(result) if isinstance(result, Mapping) else type(result).__name__
            raise ValueError(f"it returned {got}, expected a dict with the keys {', '.join(keys)}.")
        return tuple(result[key] for key in keys)

    return Equation(
        "update_parameters",
        lambda *inputs: tuple(x - RATE * dx for x, dx in zip(inputs[:count], inputs[count:], strict=True)),
        (*keys, *(f"d{key}" for key in keys)), keys, pack, unpack_parameters,
    )  # fmt: skip


def _parameter_axes(keys: tuple[str, ...]) -> Iterator[str]:
    return ("np" if key[0] == "W" else "n1" for key in keys)


# --- rows -----------------------------------------------------------------------------------------


def _report(
    recorder: Recorder,
    model_rows: list[Row],
    tested: Mapping[str, Function],
    subjects: Mapping[str, tuple[Equation, Inputs]],
    model: _Model | None = None,
) -> Report:
    """All rows, those of inner functions first; contracts at the inputs of `subjects`."""
    by_function: dict[str, list[Row]] = {name: [] for name in FUNCTIONS}
    kinks, unknown = (model.kinks, set(model.unknown)) if model else (0, set())
    forwards = {name: tested.get(name, getattr(network, name)) for name in FUNCTIONS}
    raised: list[Row] = []
    for call in recorder.calls:
        found = equation_of(call.function, call.arguments)
        rows = by_function[call.function]
        if call.error:
            raised_within = any(child.error for child in call.children)
            finding = f"it raised {call.error}." if not raised_within else f"it did not finish: {call.error}."
            raised.append(Row(call.function, "local", call.layer, "result", "FAIL", finding))
        elif found is not None:
            equation, inputs = found
            forward = forwards[equation.forward.function] if equation.forward else None
            local = check_local(equation, inputs, call.result, layer=call.layer, forward=forward)
            rows += local.rows
            unknown |= set(local.unknown_primitives)
            if model is None:
                kinks += local.kinks
        if call.mutated and not subjects:
            rows.append(
                Row(call.function, "contract", call.layer, "inputs unchanged", "FAIL",
                    f"{call.mutated} was changed in place; work on a copy.")
            )  # fmt: skip
    # A function that was handed something wrong may raise; the one that handed it on comes first.
    explained = any(row.verdict == "FAIL" for rows in by_function.values() for row in rows)
    for row in model_rows if explained else [*raised, *model_rows]:
        by_function[row.function].append(row)
    for name, function in tested.items():
        if name in subjects:
            equation, inputs = subjects[name]
            own = function is getattr(network, name)
            stacks = own if equation.axes and all(np.ndim(x) == 2 for x in inputs) else None
            right = all(row.verdict != "FAIL" for row in by_function[name])
            new = check_contracts(equation, function, inputs, stacks=stacks, right=right)
            # Values at the given inputs first: contracts at other inputs mostly fail for the same reason.
            by_function[name] += new
    rows = [row for name in FUNCTIONS for row in by_function[name]] + (raised if explained else [])
    end = [row for row in rows if row.scope == "end to end"]
    return Report(
        tuple(r for r in rows if r.scope != "end to end") + tuple(end), kinks, tuple(sorted(unknown))
    )


@lru_cache(maxsize=2)
def _contract_subjects(dtype: str) -> dict[str, tuple[Equation, Inputs]]:
    """Each function's equation and inputs at which to ask for its contracts: those of a small network
    of fixed shapes, so that tracing is paid once."""
    rng = np.random.default_rng(0)
    theta = network.initialize_parameters_deep([3, 4, 1], rng=rng, scheme="he", dtype=dtype)
    theta = {key: x + (0.1 * rng.standard_normal(x.shape)).astype(dtype) for key, x in theta.items()}
    X, Y = rng.standard_normal((3, 6)).astype(dtype), np.array([[0, 1, 1, 0, 1, 0]], dtype)
    recorder = Recorder({})
    with recorder.bound() as bound:
        AL, caches = bound["L_model_forward"](X, theta)
        bound["compute_cost"](AL, Y)
        bound["L_model_backward"](AL, Y, caches)
        bound["sigmoid_backward"](AL - Y, caches[-1][1])
    keys, values = tuple(theta), tuple(theta.values())
    found = ((call.function, equation_of(call.function, call.arguments)) for call in recorder.calls)
    return {name: subject for name, subject in found if subject is not None} | {
        "L_model_forward": (_model_forward(keys), (X, *values)),
        "L_model_backward": (_model_backward(keys), (X, Y, *values)),
        "update_parameters": (_update(keys), (*values, *(x * x.dtype.type(0.5) for x in values))),
    }


def _model_rows(model: _Model, recorder: Recorder) -> list[Row]:
    top = {call.function: call for call in recorder.calls if call.parent is None}
    for name in ("L_model_forward", "L_model_backward"):
        _number_layers(top[name].children, model, name)
    rows: list[Row] = []
    if not isinstance(model.forward, _Failed):
        rows += _forward_rows(model)
    if not isinstance(model.grads, _Failed):
        rows += _backward_rows(model, top["L_model_backward"])
    update = top["update_parameters"]
    if update.finished:
        equation = _update(model.keys)
        inputs = (*update.arguments[0].values(), *update.arguments[1].values())
        rows += compare_outputs(equation, update.result, measured(equation, inputs), inputs)
    return rows


def _number_layers(calls: list[Call], model: _Model, function: str) -> None:
    """Which layer a call belongs to: forward by its turn, backward by the weights or Z it was given."""
    turn: dict[str, int] = {}
    for call in calls:
        found = equation_of(call.function, call.arguments)
        turn[call.function] = turn.get(call.function, 0) + 1
        if function == "L_model_forward":
            call.layer = model.L if call.function == "sigmoid" else min(turn[call.function], model.L)
        elif found is not None:
            equation, inputs = found
            name = "W" if "W" in equation.inputs else "Z"
            given = inputs[equation.inputs.index(name)]
            own = [
                l for l in range(model.L, 0, -1) if np.array_equal(_part(model.caches[l - 1], name), given)
            ]
            # Layers with equal weights: in the order of the backward pass.
            own = own[min(turn[call.function], len(own)) - 1 :] if name == "W" and len(own) > 1 else own
            call.layer = own[0] if own else (model.L if "sigmoid" in call.function else None)
        _inherit(call)


def _inherit(call: Call) -> None:
    for child in call.children:
        child.layer = call.layer
        _inherit(child)


def _part(cache: Any, name: str) -> Array:
    (A_prev, W, b), Z = cache
    return np.asarray({"A_prev": A_prev, "W": W, "b": b, "Z": Z}[name])


def _picked(equation: Equation, function: str, outputs: tuple[str, ...]) -> Equation:
    """Some of the equation's outputs, already picked from the result, under another function's name."""
    return replace(equation, function=function, outputs=outputs, unpack=lambda result: result)


def _no_mistakes(k: int) -> Iterator[tuple[str, Any]]:
    return iter(())


def _forward_rows(model: _Model) -> list[Row]:
    """Layer by layer from what each layer was given, then AL end to end."""
    equation = _model_forward(model.keys)
    inputs = (model.X, *model.theta.values())
    try:
        AL, *parts = equation.unpack(model.forward)
    except (TypeError, ValueError) as error:
        return [Row("L_model_forward", "local", None, "result", "FAIL", str(error))]
    rows: list[Row] = []
    for l in range(1, model.L + 1):
        A_prev, W, b, Z = parts[4 * l - 4 : 4 * l]
        given = {"A_prev": model.X} if l == 1 else {}
        given |= {"W": model.theta[f"W{l}"], "b": model.theta[f"b{l}"]}
        for name, right in given.items():
            wrong = difference(np.asarray(right), np.asarray({"A_prev": A_prev, "W": W, "b": b}[name]))
            handed = "X" if name == "A_prev" else f"{name}{l}"
            finding = f"the cache of layer {l} does not hold the {handed} given." if wrong else ""
            rows.append(
                Row("L_model_forward", "wiring", l, f"cache {name}", "FAIL" if wrong else "pass", finding)
            )
        activation = "sigmoid" if l == model.L else "relu"
        A = AL if l == model.L else parts[4 * l]
        found = equation_of("linear_activation_forward", (A_prev, W, b, activation))
        assert found is not None
        noise = measured(*found)
        local = _picked(found[0], "L_model_forward", (f"A{l}" if l < model.L else "AL", f"Z{l}"))
        rows += compare_outputs(
            local, (A, Z), replace(noise, outputs=(noise.outputs[0], noise.outputs[4])), found[1],
            scope="wiring", layer=l, mistakes=_no_mistakes,
        )  # fmt: skip
    noise = measured(equation, inputs)
    rows += compare_outputs(
        _picked(equation, equation.function, ("AL",)), (AL,),
        replace(noise, outputs=_unless_overflown(noise.outputs[:1], model)), inputs,
        scope="end to end", layer=model.L, mistakes=_no_mistakes,
    )  # fmt: skip
    return rows


def _backward_rows(model: _Model, call: Call) -> list[Row]:
    """Layer by layer from the dA{l} that was handed down, then every gradient end to end."""
    L, grads = model.L, model.grads
    if not isinstance(grads, Mapping):
        finding = f"it returned a {type(grads).__name__}, expected the dict of gradients."
        return [Row("L_model_backward", "wiring", None, "result", "FAIL", finding)]
    rows: list[Row] = []
    equation, inputs = _model_backward(model.keys), model.inputs
    noise = measured(equation, inputs)
    model.kinks, model.unknown = noise.kinks, set(noise.unknown)
    for l in range(L, 0, -1):
        (A_prev, W, b), Z = model.caches[l - 1]
        if l == L:
            local = Equation("L_model_backward", mirror.output_backward, ("Y", "A_prev", "W", "b", "Z"), (),
                             axes=("1m", "pm", "np", "n1", "nm"))  # fmt: skip
            given: Inputs = (model.Y, A_prev, W, b, Z)
        else:
            if np.shape(grads.get(f"dA{l}", ()))[-2:] != np.shape(Z)[-2:]:
                continue  # without the dA that came in there is no local check; the missing key is a row
            found = equation_of("linear_activation_backward", (grads[f"dA{l}"], ((A_prev, W, b), Z), "relu"))
            if found is None:
                continue
            local, given = found
        keys = (f"dA{l - 1}", f"dW{l}", f"db{l}")
        for key in keys:
            if key not in grads:
                finding = f"the dict of gradients has no '{key}'; it has {', '.join(map(str, grads))}."
                rows.append(Row("L_model_backward", "wiring", l, key, "FAIL", finding))
        held = tuple(i for i, key in enumerate(keys) if key in grads)
        local_noise = measured(local, given)
        subject = _picked(local, "L_model_backward", tuple(keys[i] for i in held))
        rows += compare_outputs(
            subject, tuple(grads[keys[i]] for i in held),
            replace(local_noise, outputs=tuple(local_noise.outputs[i] for i in held)), given, scope="wiring",
            layer=l, mistakes=partial(_wiring_mistakes, model, call, l, held, local, given),
        )  # fmt: skip
    outputs = _unless_overflown(noise.outputs, model)
    for key, expected in zip(equation.outputs, outputs, strict=True):
        one = _picked(equation, "L_model_backward", (key,))
        value = grads.get(key, np.array(np.nan))
        compared = compare_outputs(
            one, (value,), replace(noise, outputs=(expected,)), inputs,
            scope="end to end", layer=_layer_of(key),
            mistakes=partial(_other_keys, equation, key, outputs),
        )  # fmt: skip
        if key not in grads:
            compared = [replace(compared[0], finding=f"the dict of gradients has no '{key}'.", pattern="")]
        rows += compared
    return rows


def _unless_overflown(outputs: tuple[Measured, ...], model: _Model) -> tuple[Measured, ...]:
    """After a forward pass that overflowed there is nothing to compare with: which side of the ReLU or
    the sigmoid an infinite or undefined Z lies on depends on the order of the sums."""
    if not outputs[0].overflow or all(np.isfinite(Z).all() for _, Z in model.caches):
        return outputs
    return tuple(replace(o, sigma=np.full_like(o.sigma, np.nan)) for o in outputs)


def _other_keys(
    equation: Equation, key: str, outputs: tuple[Measured, ...], k: int = 0
) -> Iterator[tuple[str, Array]]:
    for other, expected in zip(equation.outputs, outputs, strict=True):
        if other != key:
            yield f"It is the reference of {other}: are the keys or layers mixed up?", expected.reference


def _wiring_mistakes(
    model: _Model, call: Call, l: int, held: tuple[int, ...], local: Equation, given: Inputs, k: int
) -> Iterator[tuple[str, Any]]:
    """What L_model_backward may have handed on in place of the right thing, for output k of layer l."""
    i = held[k]
    key = (f"dA{l - 1}", f"dW{l}", f"db{l}")[i]
    if l < model.L:
        for other in range(1, model.L + 1):
            Z = model.caches[other - 1][1]
            if other != l and Z.shape == given[-1].shape:
                text = (
                    f"It is what comes out with the ReLU mask of layer {other} in place of that of layer {l}."
                )
                yield text, measured(local, (*given[:-1], Z)).outputs[i].reference
        for other in range(0, model.L):
            dA = model.grads.get(f"dA{other}")
            if other != l and np.shape(dA) == given[0].shape:
                text = f"It is what comes out if layer {l} is given dA{other} in place of dA{l}."
                yield text, measured(local, (np.asarray(dA), *given[1:])).outputs[i].reference
        found = equation_of("linear_activation_backward", (*_repacked(given), "sigmoid"))
        if found is not None:
            yield (
                "It is what comes out if the sigmoid is used in place of the ReLU.",
                (measured(*found).outputs[i].reference),
            )
        yield from (
            (text, measured(local, wrong).outputs[i].reference) for text, wrong in local.mistakes(*given)
        )
    else:
        yield from _output_mistakes(model, i)
    equation = _model_backward(model.keys)
    yield from _other_keys(equation, key, measured(equation, model.inputs).outputs)
    for child in call.children:
        if child.finished and isinstance(child.result, tuple) and len(child.result) == 3 and child.layer != l:
            text = f"It is what {child.function} of layer {child.layer} returned: are the keys mixed up?"
            yield text, np.asarray(child.result[i])


def _repacked(given: Inputs) -> tuple[Any, Any]:
    dA, A_prev, W, b, Z = given
    return dA, ((A_prev, W, b), Z)


def _output_mistakes(model: _Model, i: int) -> Iterator[tuple[str, Any]]:
    """The ways in which dZ[L] = AL - Y goes wrong."""
    (A_prev, W, b), Z = model.caches[-1]
    AL, Y = model.AL, model.Y
    with np.errstate(all="ignore"):
        candidates = {
            "if the derivative of the sigmoid is left out": -(Y / AL - (1 - Y) / (1 - AL)),
            "if the derivative of the sigmoid is taken twice": (AL - Y) * AL * (1 - AL),
            "for dAL = -Y / AL, without the term of 1 - Y": -Y * (1 - AL),
            "for dAL = -Y / AL, without its minus sign in the second term": -Y * (1 - AL) - (1 - Y) * AL,
            "with a ReLU in place of the sigmoid at the output": -(Y / AL - (1 - Y) / (1 - AL)) * (Z > 0),
            "for the squared error in place of the cross-entropy": (AL - Y) * AL * (1 - AL) * 2,
        }
    for text, dZ in candidates.items():
        if np.isfinite(dZ).all():
            found = equation_of("linear_backward", (dZ, (A_prev, W, b)))
            assert found is not None
            yield f"It is what comes out {text}.", measured(*found).outputs[i].reference
