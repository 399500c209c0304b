"""What the whole network made of what it was given: layer by layer (wiring), then end to end.

Wiring: from the gradient dA{l} that was handed down and the caches, what `L_model_backward` handed on (and
`L_model_forward`, from the activations). A value that is wrong here, although the functions it is made of are
right, was handed to the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from sandbox import mirror
from sandbox.equations import Equation, Inputs, equation_of
from sandbox.hooks import Call, Function, Recorder, difference
from sandbox.local import compare_outputs, measured, who_is_wrong
from sandbox.model_equations import backward_equation, forward_equation, layer_of, update_equation
from sandbox.noise import Measured
from sandbox.report import Report, Row
from sandbox.typing import Array


class Failed:
    """In place of a result: the tested code raised."""


@dataclass(frozen=True)
class Model:
    """What the whole network was given and gave.

    Attributes:
        AL, caches: what the backward was handed: the tested forward's, or the right ones where those are
            malformed.
        forward, grads: the results of the tested L_model_forward and L_model_backward, or Failed.
        tested: the tested functions by name.
    """

    X: Array
    Y: Array
    theta: dict[str, Array]
    AL: Array
    caches: Any
    forward: Any
    grads: Any
    tested: Mapping[str, Function]

    @property
    def L(self) -> int:
        return len(self.caches)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.theta)

    @property
    def inputs(self) -> Inputs:
        stack = np.broadcast_shapes(self.AL.shape[:-2], self.Y.shape[:-2])
        return (self.X, self.Y, *(np.broadcast_to(v, stack + v.shape[-2:]) for v in self.theta.values()))

    def cost(self, X: Array, Y: Array, *theta: Array) -> Inputs:
        """J of the tested forward functions, as the only output."""
        with Recorder(self.tested).bound() as bound:
            AL, _ = bound["L_model_forward"](X, dict(zip(self.keys, theta, strict=True)))
            return (bound["compute_cost"](AL, Y),)


def model_report(model: Model, recorder: Recorder) -> Report:
    """The rows of scope "wiring" and "end to end", and those of update_parameters."""
    top = {call.function: call for call in recorder.calls if call.parent is None}
    for name in ("L_model_forward", "L_model_backward"):
        _number_layers(top[name].children, model, name)
    rows: list[Row] = []
    if not isinstance(model.forward, Failed):
        rows += _forward_rows(model)
    if not isinstance(model.grads, Failed):
        rows += _backward_rows(model, top["L_model_backward"])
    update = top["update_parameters"]
    if update.finished:
        equation = update_equation(model.keys)
        theta, gradients, _ = update.arguments
        inputs = (*theta.values(), *(gradients[f"d{key}"] for key in theta))
        rows += compare_outputs(equation, update.result, measured(equation, inputs), inputs)
    noise = measured(backward_equation(model.keys), model.inputs)
    return Report(tuple(rows), noise.kinks, noise.unknown)


def _number_layers(calls: list[Call], model: Model, function: str) -> None:
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


def _picked(equation: Equation, function: str, outputs: Mapping[int, str]) -> Equation:
    """Some of the equation's outputs, already picked from the result, under names of another function."""
    return replace(
        equation, function=function, outputs=tuple(outputs.values()), picks=tuple(outputs),
        unpack=lambda result: result,
    )  # fmt: skip


def _no_mistakes(k: int) -> Iterator[tuple[str, Any]]:
    return iter(())


def _forward_rows(model: Model) -> list[Row]:
    """Layer by layer from what each layer was given, then AL end to end."""
    equation = forward_equation(model.keys)
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
        layer = _picked(found[0], "L_model_forward", {0: f"A{l}" if l < model.L else "AL", 4: f"Z{l}"})
        rows += compare_outputs(
            layer, (A, Z), measured(layer, found[1]), found[1], scope="wiring", layer=l, mistakes=_no_mistakes
        )
    whole = _picked(equation, equation.function, {0: "AL"})
    noise = measured(whole, inputs)
    rows += compare_outputs(
        whole, (AL,), replace(noise, outputs=_unless_overflown(noise.outputs, model)), inputs,
        scope="end to end", layer=model.L, mistakes=_no_mistakes,
    )  # fmt: skip
    return rows


def _backward_rows(model: Model, call: Call) -> list[Row]:
    """Layer by layer from the dA{l} that was handed down, then every gradient end to end."""
    L, grads = model.L, model.grads
    if not isinstance(grads, Mapping):
        finding = f"it returned a {type(grads).__name__}, expected the dict of gradients."
        return [Row("L_model_backward", "wiring", None, "result", "FAIL", finding)]
    rows: list[Row] = []
    equation, inputs = backward_equation(model.keys), model.inputs
    noise = measured(equation, inputs)
    for l in range(L, 0, -1):
        (A_prev, W, b), Z = model.caches[l - 1]
        if l == L:
            local = Equation("L_model_backward", mirror.output_backward, ("Y", "A_prev", "W", "b", "Z"), (),
                             axes=("1m", "pm", "np", "n1", "nm"))  # fmt: skip
            given: Inputs = (model.Y, A_prev, W, b, Z)
        else:
            wrong = any(row.output == f"dA{l}" and row.verdict == "FAIL" for row in rows)
            dA = _received(call, l) if wrong else grads.get(f"dA{l}")
            if dA is None or np.shape(dA)[-2:] != np.shape(Z)[-2:]:
                continue  # without the dA that came in there is no local check; the missing key is a row
            found = equation_of("linear_activation_backward", (dA, ((A_prev, W, b), Z), "relu"))
            if found is None:
                continue
            local, given = found
        keys = (f"dA{l - 1}", f"dW{l}", f"db{l}")
        for key in keys:
            if key not in grads:
                finding = f"the dict of gradients has no '{key}'; it has {', '.join(map(str, grads))}."
                rows.append(Row("L_model_backward", "wiring", l, key, "FAIL", finding))
        held = tuple(i for i, key in enumerate(keys) if key in grads)
        layer = _picked(local, "L_model_backward", {i: keys[i] for i in held})
        rows += compare_outputs(
            layer, tuple(grads[keys[i]] for i in held), measured(layer, given), given, scope="wiring",
            layer=l, mistakes=partial(_wiring_mistakes, model, call, l, held, local, given),
        )  # fmt: skip
    outputs = _unless_overflown(noise.outputs, model)
    for i, (key, expected) in enumerate(zip(equation.outputs, outputs, strict=True)):
        one = _picked(equation, "L_model_backward", {i: key})
        value = grads.get(key, np.array(np.nan))
        compared = compare_outputs(
            one, (value,), replace(noise, outputs=(expected,)), inputs,
            scope="end to end", layer=layer_of(key),
            mistakes=partial(_other_keys, equation, key, outputs),
        )  # fmt: skip
        if key not in grads:
            compared = [replace(compared[0], finding=f"the dict of gradients has no '{key}'.", pattern="")]
        rows += compared
    return _with_oracle(model, equation, rows)


def _received(call: Call, l: int) -> Any:
    """The dA that layer l was really given, whatever is stored under its key; None if it was not seen."""
    for child in call.children:
        if child.function == "linear_activation_backward" and child.layer == l:
            return child.arguments[0]
    return call.result.get(f"dA{l}")


def _with_oracle(model: Model, equation: Equation, rows: list[Row]) -> list[Row]:
    """Puts the first wrong gradient of the cost to the third oracle: is the backward wrong, or the mirror?"""
    for row in rows:
        k = equation.outputs.index(row.output) if row.output in equation.outputs else -1
        if row.scope != "end to end" or row.verdict != "FAIL" or equation.differentiated[k] < 0:
            continue
        if not row.worst or row.shape != model.inputs[equation.differentiated[k]].shape:
            continue
        computed = np.asarray(model.grads[row.output], np.float64)
        fault = who_is_wrong(equation, model.cost, model.inputs, k, computed)
        return [replace(r, at_fault=fault) if r.output == row.output and r.verdict == "FAIL" else r
                for r in rows]  # fmt: skip
    return rows


def _unless_overflown(outputs: tuple[Measured, ...], model: Model) -> tuple[Measured, ...]:
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
    model: Model, call: Call, l: int, held: tuple[int, ...], local: Equation, given: Inputs, k: int
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
    equation = backward_equation(model.keys)
    yield from _other_keys(equation, key, measured(equation, model.inputs).outputs)
    for child in call.children:
        if child.finished and isinstance(child.result, tuple) and len(child.result) == 3 and child.layer != l:
            text = f"It is what {child.function} of layer {child.layer} returned: are the keys mixed up?"
            yield text, np.asarray(child.result[i])


def _repacked(given: Inputs) -> tuple[Any, Any]:
    dA, A_prev, W, b, Z = given
    return dA, ((A_prev, W, b), Z)


def _output_mistakes(model: Model, i: int) -> Iterator[tuple[str, Any]]:
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
