"""What the whole network made of what it was given: layer by layer (wiring), then end to end.

Wiring: from the gradient dA{l} that was handed down and the caches, what `L_model_backward` handed on (and
`L_model_forward`, from the activations). A value that is wrong here, although the functions it is made of are
right, was handed to the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sandbox.network import mirror
from sandbox.network.functions import (
    FUNCTIONS,
    LAYER_BACKWARD,
    LINEAR_BACKWARD,
    NETWORK,
    equation_of,
    equation_of_call,
)
from sandbox.network.mistakes import WORDS, of_output
from sandbox.network.model_equations import Kind, backward_equation, forward_equation, layer_of
from sandbox.noise import Measured, Noise
from sandbox.typing import Array, Cache, Function, Inputs, Parameters, Value
from sandbox.verifier.compare import Explanation
from sandbox.verifier.equation import Equation
from sandbox.verifier.local import compare_outputs, measured
from sandbox.verifier.nested import difference
from sandbox.verifier.oracle import who_is_wrong
from sandbox.verifier.recording import Call, Recorder
from sandbox.verifier.rows import Cause, Fault, OutputRow, Scope, Verdict

Candidates = Iterator[tuple[str, Value]]


@dataclass(frozen=True)
class Model:
    """What the whole network was given and gave.

    Attributes:
        AL, caches: what the backward was handed: the tested forward's, or the right ones where those are
            malformed.
        tested: the tested functions by name.
    """

    X: Array
    Y: Array
    theta: Parameters
    AL: Array
    caches: Sequence[Cache]
    tested: Mapping[str, Function]
    kind: Kind

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
        with Recorder(self.tested, NETWORK).bound() as bound:
            AL, _ = self.call(bound, "L_model_forward", X, dict(zip(self.keys, theta, strict=True)))
            return (self.call(bound, "compute_cost", AL, Y),)

    def call(self, bound: Mapping[str, Function], name: str, *arguments: Value) -> Value:
        """Call one of the bound functions, as one of this kind of network."""
        return bound[name](*arguments, **self.kind.options(name, self.tested.get(name, FUNCTIONS[name])))


# --- which layer a call belongs to ----------------------------------------------------------------


def number_layers(calls: Sequence[Call], model: Model) -> None:
    """Forward by its turn, backward by the weights or Z it was given."""
    turn: dict[str, int] = {}
    for call in calls:
        turn[call.function] = turn.get(call.function, 0) + 1
        if call.parent is not None and call.parent.function == "L_model_forward":
            call.layer = model.L if call.function == "sigmoid" else min(turn[call.function], model.L)
        else:
            call.layer = _layer_of(call, model, turn[call.function])
        _inherit(call)


def _layer_of(call: Call, model: Model, turn: int) -> int | None:
    found = equation_of_call(call)
    if found is None:
        return None
    equation, inputs = found
    name = "W" if "W" in equation.inputs else "Z"
    given = inputs[equation.inputs.index(name)]
    own = [l for l in range(model.L, 0, -1) if np.array_equal(_part(model.caches[l - 1], name), given)]
    # Layers with equal weights: in the order of the backward pass.
    own = own[min(turn, len(own)) - 1 :] if name == "W" and len(own) > 1 else own
    return own[0] if own else (model.L if "sigmoid" in call.function else None)


def _inherit(call: Call) -> None:
    for child in call.children:
        child.layer = call.layer
        _inherit(child)


def _part(cache: Cache, name: str) -> Array:
    (A_prev, W, b), Z = cache
    return np.asarray({"A_prev": A_prev, "W": W, "b": b, "Z": Z}[name])


# --- the forward ----------------------------------------------------------------------------------


def forward_rows(model: Model, result: Value) -> list[OutputRow]:
    """Layer by layer from what each layer was given, then AL end to end."""
    equation = forward_equation(model.keys, model.kind)
    inputs = (model.X, *model.theta.values())
    try:
        AL, *parts = equation.unpack(result)
    except (TypeError, ValueError) as error:
        return [_malformed("L_model_forward", Scope.LOCAL, str(error))]
    rows: list[OutputRow] = []
    for l in range(1, model.L + 1):
        A = AL if l == model.L else parts[4 * l]
        rows += _given_rows(model, l, parts[4 * l - 4 : 4 * l - 1])
        rows += _layer_rows(model, l, A, parts[4 * l - 4 : 4 * l])
    whole = equation.part(equation.function, {0: "AL"})
    noise = measured(whole, inputs)
    return rows + compare_outputs(
        whole, (AL,), replace(noise, outputs=_unless_overflown(noise.outputs, model)), inputs,
        scope=Scope.END_TO_END, layer=model.L, candidates=lambda k: iter(()),
    )  # fmt: skip


def _given_rows(model: Model, l: int, cached: Sequence[Value]) -> Iterator[OutputRow]:
    """Whether the cache of layer l holds what the network was given."""
    given = (model.X if l == 1 else None, model.theta[f"W{l}"], model.theta[f"b{l}"])
    for name, handed, right, held in zip(
        ("A_prev", "W", "b"), ("X", f"W{l}", f"b{l}"), given, cached, strict=True
    ):
        if right is not None:
            wrong = difference(np.asarray(right), np.asarray(held))
            finding = f"the cache of layer {l} does not hold the {handed} given." if wrong else ""
            verdict = Verdict.FAIL if wrong else Verdict.PASS
            yield OutputRow("L_model_forward", Scope.WIRING, l, f"cache {name}", verdict, finding)


def _layer_rows(model: Model, l: int, A: Array, cached: Sequence[Array]) -> list[OutputRow]:
    """A{l} and Z{l} from what the cache of layer l holds."""
    A_prev, W, b, Z = cached
    activation = "sigmoid" if l == model.L else model.kind.activation
    found = equation_of("linear_activation_forward", (A_prev, W, b, activation))
    assert found is not None
    layer = found[0].part("L_model_forward", {0: f"A{l}" if l < model.L else "AL", 4: f"Z{l}"})
    return compare_outputs(
        layer, (A, Z), measured(layer, found[1]), found[1], scope=Scope.WIRING, layer=l,
        candidates=lambda k: iter(()),
    )  # fmt: skip


def _malformed(function: str, scope: Scope, finding: str) -> OutputRow:
    return OutputRow(function, scope, None, "result", Verdict.FAIL, finding, Cause.STRUCTURE)


def _missing(scope: Scope, layer: int, key: str, also: str = "") -> OutputRow:
    finding = f"the dict of gradients has no '{key}'{also}."
    return OutputRow("L_model_backward", scope, layer, key, Verdict.FAIL, finding, Cause.MISSING)


# --- the backward ---------------------------------------------------------------------------------


@dataclass
class _Oracle:
    """Asked about the first wrong gradient of the cost: is the backward wrong, or the mirror? `faults`: what
    it said, by the output's key."""

    model: Model
    equation: Equation
    asks: bool
    faults: dict[str, Fault]

    def judge(self, key: str, k: int, computed: Array) -> Explanation:
        i = self.equation.outputs.index(key)
        by = self.equation.differentiated[i]
        if self.asks and not self.faults and by >= 0 and computed.shape == self.model.inputs[by].shape:
            exact = measured(self.equation, self.model.inputs).outputs[i].reference
            self.faults[key] = who_is_wrong(
                self.equation, self.model.cost, self.model.inputs, i, computed, exact
            )
        return self.known(key, k, computed)

    def known(self, key: str, k: int, computed: Array) -> Explanation:
        return Explanation(at_fault=self.faults.get(key, Fault.UNASKED))


def backward_rows(model: Model, call: Call, *, forward_right: bool) -> list[OutputRow]:
    """Layer by layer from the dA{l} that was handed down, then every gradient end to end.

    `forward_right`: whether the activations are, on which the whole backward is judged; else the third
    oracle, which differentiates them, has nothing to say.
    """
    if not isinstance(call.result, Mapping):
        finding = f"it returned a {type(call.result).__name__}, expected the dict of gradients."
        return [_malformed("L_model_backward", Scope.WIRING, finding)]
    equation = backward_equation(model.keys, model.kind)
    noise = measured(equation, model.inputs)
    noise = replace(noise, outputs=_unless_overflown(noise.outputs, model))
    oracle = _Oracle(model, equation, forward_right, {})
    end_to_end = _end_to_end(model, call.result, equation, noise, oracle)
    rows: list[OutputRow] = []
    for l in range(model.L, 0, -1):
        wrong = any(row.output == f"dA{l}" and row.verdict is Verdict.FAIL for row in rows)
        if found := _of_layer(model, call, l, wrong):
            rows += _wiring_rows(model, call, l, *found, oracle)
    return rows + end_to_end


def _end_to_end(
    model: Model, grads: Mapping[str, Array], equation: Equation, noise: Noise, oracle: _Oracle
) -> list[OutputRow]:
    rows: list[OutputRow] = []
    for i, (key, expected) in enumerate(zip(equation.outputs, noise.outputs, strict=True)):
        layer = layer_of(key)
        if key not in grads:
            rows.append(_missing(Scope.END_TO_END, layer, key))
            continue
        rows += compare_outputs(
            equation.part("L_model_backward", {i: key}), (grads[key],), replace(noise, outputs=(expected,)),
            model.inputs, scope=Scope.END_TO_END, layer=layer, judge=partial(oracle.judge, key),
            candidates=lambda k, key=key: _other_keys(equation, key, noise),  # type: ignore[misc]
        )  # fmt: skip
    return rows


def _of_layer(model: Model, call: Call, l: int, wrong: bool) -> tuple[Equation, Inputs] | None:
    """The equation of what layer l hands on, and what it was given; None where that is not known.

    `wrong`: whether dA{l}, as it is stored, is.
    """
    (A_prev, W, b), Z = model.caches[l - 1]
    if l == model.L:
        output = Equation(
            "L_model_backward", partial(mirror.output_backward, cost=model.kind.of_logits),
            ("Y", "A_prev", "W", "b", "Z"), (), axes=("1m", "pm", "np", "n1", "nm"),
        )  # fmt: skip
        return output, (model.Y, A_prev, W, b, Z)
    function, given = "linear_activation_backward", call.result.get(f"dA{l}")
    if wrong:
        function, given = _received(call, l)
    if given is None or np.shape(given)[-2:] != np.shape(Z)[-2:]:
        return None  # without what came in there is no local check; the missing key is a row
    if function == "linear_backward":
        return equation_of(function, (given, (A_prev, W, b)))
    return equation_of(function, (given, ((A_prev, W, b), Z), model.kind.activation))


def _layers_seen(call: Call) -> list[Call]:
    """The calls that returned dA_prev, dW and db of a layer."""
    return [c for c in call.children if c.finished and isinstance(c.result, tuple) and len(c.result) == 3]


def _received(call: Call, l: int) -> tuple[str, Value]:
    """What layer l was really given, dA or else dZ, whatever is stored under dA{l}; and the function that
    starts from it.

    A backward that masks by itself shows the dZ. It is looked at where what is stored cannot be the dA, as
    layer l or one below returned it. Elsewhere the dA that is stored tells more: the mask is judged too.
    """
    stored = call.result.get(f"dA{l}")
    seen = _layers_seen(call)
    for i, child in enumerate(seen):
        if child.layer == l and child.function == "linear_activation_backward":
            return child.function, child.arguments[0]
        if child.layer == l and any(np.array_equal(c.result[0], stored) for c in seen[i:]):
            return child.function, child.arguments[0]
    return "linear_activation_backward", stored


def _wiring_rows(
    model: Model, call: Call, l: int, local: Equation, given: Inputs, oracle: _Oracle
) -> Iterator[OutputRow]:
    keys = (f"dA{l - 1}", f"dW{l}", f"db{l}")
    for key in keys:
        if key not in call.result:
            yield _missing(Scope.WIRING, l, key, f"; it has {', '.join(map(str, call.result))}")
    held = tuple(i for i, key in enumerate(keys) if key in call.result)
    layer = local.part("L_model_backward", {i: keys[i] for i in held})
    yield from compare_outputs(
        layer, tuple(call.result[keys[i]] for i in held), measured(layer, given), given, scope=Scope.WIRING,
        layer=l, judge=lambda k, computed: oracle.known(keys[held[k]], k, computed),
        candidates=lambda k: _wiring_candidates(model, call, l, held[k], local, given),
    )  # fmt: skip


def _unless_overflown(outputs: tuple[Measured, ...], model: Model) -> tuple[Measured, ...]:
    """After a forward pass that overflowed there is nothing to compare with: which side of the ReLU or
    the sigmoid an infinite or undefined Z lies on depends on the order of the sums."""
    if not outputs[0].overflow or all(np.isfinite(Z).all() for _, Z in model.caches):
        return outputs
    return tuple(replace(o, sigma=np.full_like(o.sigma, np.nan)) for o in outputs)


# --- what may have been handed on in place of the right thing -------------------------------------


def _other_keys(equation: Equation, key: str, noise: Noise) -> Candidates:
    for other, expected in zip(equation.outputs, noise.outputs, strict=True):
        if other != key:
            yield f"It is the reference of {other}: are the keys or layers mixed up?", expected.reference


def _wiring_candidates(
    model: Model, call: Call, l: int, i: int, local: Equation, given: Inputs
) -> Candidates:
    """For output i of dA{l-1}, dW{l} and db{l}."""
    for text, equation, inputs in (
        _of_hidden(model, call, l, local, given) if l < model.L else _of_output(model)
    ):
        yield text, measured(equation, inputs).outputs[i].reference
    whole = backward_equation(model.keys, model.kind)
    yield from _other_keys(whole, (f"dA{l - 1}", f"dW{l}", f"db{l}")[i], measured(whole, model.inputs))
    for child in _layers_seen(call):
        if child.layer != l:
            text = f"It is what {child.function} of layer {child.layer} returned: are the keys mixed up?"
            yield text, np.asarray(child.result[i])


def _of_output(model: Model) -> Iterator[tuple[str, Equation, Inputs]]:
    linear_cache, Z = model.caches[-1]
    for text, dZ in of_output(model.AL, model.Y, Z, model.kind.cost):
        yield text, LINEAR_BACKWARD, (dZ, *linear_cache)


def _of_hidden(
    model: Model, call: Call, l: int, local: Equation, given: Inputs
) -> Iterator[tuple[str, Equation, Inputs]]:
    if "Z" not in local.inputs:
        return
    activation = model.kind.activation
    own = WORDS.get(activation, activation)
    mask = "the ReLU mask" if activation == "relu" else "the Z"
    for other in range(1, model.L + 1):
        Z = model.caches[other - 1][1]
        if other != l and Z.shape == given[-1].shape:
            text = f"It is what comes out with {mask} of layer {other} in place of that of layer {l}."
            yield text, local, (*given[:-1], Z)
    for other in range(0, model.L):
        dA = call.result.get(f"dA{other}")
        if other != l and np.shape(dA) == given[0].shape:
            text = f"It is what comes out if layer {l} is given dA{other} in place of dA{l}."
            yield text, local, (np.asarray(dA), *given[1:])
    yield f"It is what comes out if the sigmoid is used in place of {own}.", LAYER_BACKWARD["sigmoid"], given
    yield from ((text, local, wrong) for text, wrong in local.mistakes(*given))
