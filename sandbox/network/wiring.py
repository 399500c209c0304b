"""What the whole network made of what it was given: layer by layer (wiring), then end to end.

A value that is wrong in the wiring, although the functions it is made of are right, was handed to the wrong
place.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from sandbox.network.functions import (
    FUNCTIONS,
    LAYER_BACKWARD,
    LAYER_FORWARD,
    LINEAR_BACKWARD,
    NETWORK,
    equation_of,
)
from sandbox.network.mistakes import WORDS, of_missing_keys, of_output
from sandbox.network.model_equations import (
    AL_equation,
    Kind,
    as_gradients,
    backward_equation,
    forward_equation,
    gradient_keys,
    output_equation,
)
from sandbox.noise import Noise
from sandbox.typing import Array, Cache, Function, Inputs, Parameters, Value
from sandbox.verifier.compare import Explanation
from sandbox.verifier.equation import Equation
from sandbox.verifier.local import compare_outputs, measure_together, measured, references
from sandbox.verifier.nested import difference
from sandbox.verifier.oracle import who_is_wrong
from sandbox.verifier.recording import Call, Recorder
from sandbox.verifier.rows import Cause, Fault, Matter, OutputRow, Scope, Verdict

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

    @cached_property
    def inputs(self) -> Inputs:
        stack = np.broadcast_shapes(self.AL.shape[:-2], self.Y.shape[:-2])
        return (self.X, self.Y, *(np.broadcast_to(v, stack + v.shape[-2:]) for v in self.theta.values()))

    def measured(self, whole: Equation, inputs: Inputs) -> Noise:
        """Of an equation of the whole network. After a forward pass that overflowed there is nothing to
        compare with: which side of the ReLU or the sigmoid an infinite or undefined Z lies on depends on the
        order of the sums."""
        noise = measured(whole, inputs)
        if not noise.outputs[0].overflow or all(np.isfinite(Z).all() for _, Z in self.caches):
            return noise
        unknown = (replace(o, sigma=np.full_like(o.sigma, np.nan)) for o in noise.outputs)
        return replace(noise, outputs=tuple(unknown))

    def cost(self, X: Array, Y: Array, *theta: Array) -> Inputs:
        """J of the tested forward functions, as the only output."""
        with Recorder(self.tested, NETWORK).bound() as bound:
            AL, _ = self.call(bound, "L_model_forward", X, dict(zip(self.keys, theta, strict=True)))
            return (self.call(bound, "compute_cost", AL, Y),)

    def call(self, bound: Mapping[str, Function], name: str, *arguments: Value) -> Value:
        """Call one of the bound functions, as one of this kind of network."""
        return bound[name](*arguments, **self.kind.options(name, self.tested.get(name, FUNCTIONS[name])))


# --- which layer a call belongs to ----------------------------------------------------------------


def number_layers(whole: Call, model: Model) -> None:
    """The layers of the calls during a pass: forward by their turn, backward by the weights or Z given."""
    turns = Counter[str]()
    for call in whole.children:
        turns[call.function] += 1
        turn = turns[call.function]
        if whole.function == "L_model_backward":
            _number(call, _layer_of(call, model, turn))
        else:
            _number(call, model.L if call.function == "sigmoid" else min(turn, model.L))
    if whole.function == "L_model_backward":
        _number_by_turns(whole.children)


def _number_by_turns(calls: Sequence[Call]) -> None:
    """Where a cache was handed out twice, the layer is told by the turn, and not by the cache."""
    for function in {call.function for call in calls if repeated_cache(call)}:
        alike = [call for call in calls if call.function == function]
        for turn, call in enumerate(alike):
            _number(call, max((alike[0].layer or 1) - turn, 1))


def repeated_cache(call: Call) -> str:
    """What is wrong, in words, if the cache of this call is that of the one before; else ""."""
    earlier = [c for c in call.parent.children if c.function == call.function] if call.parent else []
    i = earlier.index(call) if call in earlier else 0
    same = i and len(call.arguments) > 1 and not difference(earlier[i - 1].arguments[1], call.arguments[1])
    return " (it is the same cache as in the call before: does each layer take its own?)" if same else ""


def _number(call: Call, layer: int | None) -> None:
    call.layer = layer
    for child in call.children:
        _number(child, layer)


def _layer_of(call: Call, model: Model, turn: int) -> int | None:
    found = equation_of(call.function, *call.arguments)
    if found is None:
        return None
    given = dict(zip(found[0].inputs, found[1], strict=True))
    name = "W" if "W" in given else "Z"
    held = {l: W if name == "W" else Z for l, ((_, W, _), Z) in enumerate(model.caches, start=1)}
    own = [l for l in range(model.L, 0, -1) if name in given and np.array_equal(held[l], given[name])]
    if not own:
        return model.L if "sigmoid" in call.function else None
    # Layers with equal weights: in the order of the backward pass.
    return own[min(turn, len(own)) - 1] if name == "W" else own[0]


# --- the forward ----------------------------------------------------------------------------------


def forward_rows(model: Model, result: Value) -> list[OutputRow]:
    """Layer by layer from what each layer was given, then AL end to end."""
    equation = forward_equation(model.keys, model.kind)
    try:
        AL, *parts = equation.unpack(result)
    except (TypeError, ValueError) as error:
        return [_malformed(equation, Scope.LOCAL, error)]
    held = [parts[4 * l - 4 : 4 * l] for l in range(1, model.L + 1)]
    measure_together((_forward_layer(model, l), tuple(of_l[:3])) for l, of_l in enumerate(held, start=1))
    rows: list[OutputRow] = []
    for l, of_l in enumerate(held, start=1):
        A = AL if l == model.L else held[l][0]
        rows += _layer_rows(model, l, A, of_l)
    whole, inputs = AL_equation(model.keys, model.kind), model.inputs
    noise = model.measured(whole, inputs)
    if noise.outputs[0].overflow:  # perhaps on the way back only
        inputs = (model.X, *model.theta.values())
        whole = equation.part("L_model_forward", {0: "AL"})
        noise = model.measured(whole, inputs)
    return rows + compare_outputs(
        whole, (AL,), noise, inputs, scope=Scope.END_TO_END, layer=model.L, candidates=_none
    )


def _forward_layer(model: Model, l: int) -> Equation:
    name, activation = (f"A{l}", model.kind.activation) if l < model.L else ("AL", "sigmoid")
    return LAYER_FORWARD[activation].part("L_model_forward", {0: name, 4: f"Z{l}"})


def _layer_rows(model: Model, l: int, A: Array, cached: Sequence[Array]) -> Iterator[OutputRow]:
    """Whether the cache of layer l holds what the network was given; A{l} and Z{l} from what it holds."""
    *inputs, Z = cached
    given = {"A_prev1": model.X} | model.theta
    for name, held in zip(("A_prev", "W", "b"), inputs, strict=True):
        if (right := given.get(f"{name}{l}")) is not None:
            wrong = difference(np.asarray(right), np.asarray(held))
            handed = "X" if name == "A_prev" else f"{name}{l}"
            finding = f"the cache of layer {l} does not hold the {handed} given." if wrong else ""
            verdict = Verdict.FAIL if wrong else Verdict.PASS
            yield OutputRow("L_model_forward", Scope.WIRING, l, f"cache {name}", verdict, finding)
    layer = _forward_layer(model, l)
    yield from compare_outputs(
        layer, (A, Z), measured(layer, tuple(inputs)), tuple(inputs), scope=Scope.WIRING, layer=l,
        candidates=_none,
    )  # fmt: skip


def _none(k: int) -> Candidates:
    return iter(())


def _malformed(equation: Equation, scope: Scope, error: Exception) -> OutputRow:
    finding = str(error)
    return OutputRow(
        equation.function, scope, None, "result", Verdict.FAIL, finding, Cause.STRUCTURE,
        matter=equation.matter,
    )  # fmt: skip


def _missing(scope: Scope, layer: int, key: str, also: str = "", pattern: str = "") -> OutputRow:
    finding = f"the dict of gradients has no '{key}'{also}."
    return OutputRow(
        "L_model_backward",
        scope,
        layer,
        key,
        Verdict.FAIL,
        finding,
        Cause.MISSING,
        pattern=pattern,
        matter=Matter.GRADIENT,
    )


# --- keys of other editions ------------------------------------------------------------------------

KEYS = "keys of dA"


def with_own_keys(grads: Value) -> Value:
    """The gradients of the exercise's edition of 2017, in which dA{l} stands one key too high."""
    if not isinstance(grads, Mapping):
        return grads
    numbered = {key: re.fullmatch(r"dA(\d+)", str(key)) for key in grads}
    return {f"dA{int(n[1]) - 1}" if (n := numbered[key]) else key: g for key, g in grads.items()}


def _remarks(model: Model, grads: Mapping[str, Value]) -> Iterator[OutputRow]:
    """What other editions do with dA: one key too high, or no dA0."""
    remark = partial(
        OutputRow, "L_model_backward", Scope.WIRING, None, verdict=Verdict.REMARK, cause=Cause.MISSING,
        matter=Matter.MANNER,
    )  # fmt: skip
    if _one_too_high(model, grads):
        yield remark(KEYS, finding="each dA is stored one key too high (dA1 holds what dA0 should), as in "
                     "the exercise's edition of 2017; they are compared as what they are.")  # fmt: skip
    elif "dA0" not in grads:
        yield remark("dA0", finding="the dict of gradients has no 'dA0', the gradient by X, which no update "
                     "needs.")  # fmt: skip


def _one_too_high(model: Model, grads: Mapping[str, Value]) -> bool:
    """dA1 to dA{L} in place of dA0 to dA{L-1}; not beside an L-th of its own, that of the cost by AL."""
    own = [np.shape(A_prev) for (A_prev, _, _), _ in model.caches]
    stored = [np.shape(grads[key]) for l in range(1, model.L + 1) if (key := f"dA{l}") in grads]
    if "dA0" in grads or stored != own:
        return False
    equation = backward_equation(model.keys, model.kind)
    noise = measured(equation, model.inputs)
    right = {key: o.reference for key, o in zip(equation.outputs, noise.outputs, strict=True)}
    last = np.asarray(grads[f"dA{model.L}"])
    if model.L > 1 and np.shape(grads["dA1"]) == right["dA1"].shape:
        off = [np.linalg.norm(np.asarray(grads["dA1"]) - right[key]) for key in ("dA0", "dA1")]
        return bool(off[0] < off[1])
    return last.shape == right[f"dA{model.L - 1}"].shape


# --- the backward ---------------------------------------------------------------------------------


def backward_rows(model: Model, call: Call, *, forward_right: bool) -> list[OutputRow]:
    """Layer by layer from the dA{l} that was handed down, then every gradient end to end.

    `forward_right`: whether the activations are, on which the whole backward is judged; else the third
    oracle, which differentiates them, has nothing to say.
    """
    try:
        grads = as_gradients(call.result)
    except TypeError as error:
        return [_malformed(backward_equation(model.keys, model.kind), Scope.WIRING, error)]
    rows = list(_remarks(model, grads))
    if any(row.output == KEYS for row in rows):
        grads = with_own_keys(grads)
        call = replace(call, result=grads)
    end_to_end = _end_to_end(model, grads, forward_right)
    faults = {row.output: row.at_fault for row in end_to_end}
    layers = (_layer(model, call, l, False) for l in range(model.L, 0, -1))
    measure_together((layer.equation, layer.inputs) for layer in layers if layer)
    for l in range(model.L, 0, -1):
        wrong = any(row.output == f"dA{l}" and row.verdict is Verdict.FAIL for row in rows)
        if layer := _layer(model, call, l, wrong):
            rows += layer.rows(faults)
    return rows + end_to_end


def _end_to_end(model: Model, grads: Mapping[str, Array], asks: bool) -> list[OutputRow]:
    """`asks`: whether to put the first wrong gradient of the cost to the third oracle: is the backward wrong,
    or the mirror?"""
    equation = backward_equation(model.keys, model.kind)
    noise = model.measured(equation, model.inputs)

    def judge(i: int, computed: Array) -> Explanation:
        nonlocal asks
        by = equation.differentiated[i]
        if not asks or by < 0 or computed.shape != model.inputs[by].shape:
            return Explanation()
        asks, exact = False, noise.outputs[i].reference
        fault = who_is_wrong(equation, model.cost, model.inputs, i, computed, exact)
        return Explanation(at_fault=fault)

    def rows(i: int, key: str) -> list[OutputRow]:
        layer = model.L - i // 3
        if key not in grads:
            return [] if key == "dA0" else [_missing(Scope.END_TO_END, layer, key)]
        return compare_outputs(
            equation.part("L_model_backward", {i: key}), (grads[key],),
            replace(noise, outputs=(noise.outputs[i],)), model.inputs, scope=Scope.END_TO_END, layer=layer,
            judge=lambda _, computed: judge(i, computed),
            candidates=lambda _: _other_keys(model, key),
        )  # fmt: skip

    return [row for i, key in enumerate(equation.outputs) for row in rows(i, key)]


def _other_keys(model: Model, key: str) -> Candidates:
    whole = backward_equation(model.keys, model.kind)
    for other, expected in zip(whole.outputs, measured(whole, model.inputs).outputs, strict=True):
        if other != key:
            yield f"It is the reference of {other}: are the keys or layers mixed up?", expected.reference


# --- one layer of the backward --------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """Layer l of a backward: the equation of dA{l-1}, dW{l} and db{l}, and what the layer was given."""

    model: Model
    call: Call
    l: int
    equation: Equation
    inputs: Inputs

    def rows(self, faults: Mapping[str, Fault]) -> Iterator[OutputRow]:
        """`faults`: who is wrong, by the output's key, as far as that was asked."""
        grads, keys = self.call.result, gradient_keys(self.l)
        held = [i for i in (1, 2, 0) if keys[i] in grads]  # dW and db first, which are what trains
        part = self.equation.part("L_model_backward", {i: keys[i] for i in held})
        yield from compare_outputs(
            part, tuple(grads[keys[i]] for i in held), measured(part, self.inputs), self.inputs,
            scope=Scope.WIRING, layer=self.l,
            judge=lambda k, _: Explanation(at_fault=faults[keys[held[k]]]),
            candidates=lambda k: self.candidates(held[k]),
        )  # fmt: skip
        for key in keys:
            if key not in grads and key != "dA0":
                also = f"; it has {', '.join(map(str, grads))}"
                yield _missing(Scope.WIRING, self.l, key, also, of_missing_keys(self.model.L, grads))

    def candidates(self, i: int) -> Candidates:
        """What may have been handed on in place of the right thing, for output i."""
        made = [(text, references(equation, inputs)) for text, equation, inputs in self._wrong_inputs()]
        made.sort(key=lambda one: not self._explains_all(one[1]))  # one output alone may fit several
        yield from ((text, outputs[i]) for text, outputs in made)
        yield from _other_keys(self.model, gradient_keys(self.l)[i])
        for child in _layers_seen(self.call):
            if child.layer != self.l:
                text = f"It is what {child.function} of layer {child.layer} returned: are the keys mixed up?"
                yield text, np.asarray(child.result[i])

    def _explains_all(self, outputs: Sequence[Array]) -> bool:
        """Whether dA, dW and db of the layer, as far as they are there, are these, to some digits."""
        grads, keys = self.call.result, gradient_keys(self.l)
        found = [(np.asarray(grads[key]), g) for key, g in zip(keys, outputs, strict=True) if key in grads]
        return all(
            c.dtype.kind == "f" and c.shape == g.shape and np.allclose(c, g, 1e-3, 1e-3 * np.max(np.abs(g)))
            for c, g in found
        )

    def _wrong_inputs(self) -> Iterator[tuple[str, Equation, Inputs]]:
        if self.l == self.model.L:
            linear_cache, Z = self.model.caches[-1]
            for text, dZ in of_output(self.model.AL, self.model.Y, Z, self.model.kind.cost):
                yield text, LINEAR_BACKWARD, (dZ, *linear_cache)
        elif "Z" in self.equation.inputs:
            yield from self._wrong_inputs_of_hidden(*self.inputs)

    def _wrong_inputs_of_hidden(self, dA: Array, *others: Array) -> Iterator[tuple[str, Equation, Inputs]]:
        *linear_cache, Z = others
        activation = self.model.kind.activation
        mask = "the ReLU mask" if activation == "relu" else "the Z"
        for l, (linear, other) in enumerate(self.model.caches, start=1):
            if l != self.l and [x.shape for x in (*linear, other)] == [x.shape for x in others]:
                text = f"It is what comes out with the cache of layer {l} in place of that of layer {self.l}."
                yield text, self.equation, (dA, *linear, other)
            if l != self.l and other.shape == Z.shape:
                text = f"It is what comes out with {mask} of layer {l} in place of that of layer {self.l}."
                yield text, self.equation, (dA, *linear_cache, other)
        for l in range(self.model.L):
            other = self.call.result.get(f"dA{l}")
            if l != self.l and np.shape(other) == dA.shape:
                text = f"It is what comes out if layer {self.l} is given dA{l} in place of dA{self.l}."
                yield text, self.equation, (np.asarray(other), *others)
        own = WORDS.get(activation, activation)
        text = f"It is what comes out if the sigmoid is used in place of {own}."
        yield text, LAYER_BACKWARD["sigmoid"], self.inputs
        yield from ((text, self.equation, wrong) for text, wrong in self.equation.mistakes(*self.inputs))


def _layer(model: Model, call: Call, l: int, wrong: bool) -> _Layer | None:
    """None where it is not known what came in: then there is no local check; the missing key is a row.

    `wrong`: whether dA{l}, as it is stored, is.
    """
    linear_cache, Z = model.caches[l - 1]
    if l == model.L:
        return _Layer(model, call, l, output_equation(model.kind), (model.Y, *linear_cache, Z))
    function, given = _given(call, l, wrong)
    if given is None or np.shape(given)[-2:] != np.shape(Z)[-2:]:
        return None
    if function == "linear_backward":
        found = equation_of(function, given, linear_cache)
    else:
        found = equation_of(function, given, (linear_cache, Z), model.kind.activation)
    return _Layer(model, call, l, *found) if found else None


def _given(call: Call, l: int, wrong: bool) -> tuple[str, Value]:
    """The function that layer l starts with, and the dA or dZ that it was given: what is stored under dA{l},
    or, where that is wrong, what was seen.

    A backward that masks by itself shows the dZ. It is looked at where what is stored cannot be the dA, as
    layer l or one below returned it. Elsewhere the dA that is stored tells more: the mask is judged too.
    """
    function, stored = "linear_activation_backward", call.result.get(f"dA{l}")
    seen = _layers_seen(call) if wrong else []
    for i, child in enumerate(seen):
        if child.layer == l and (
            child.function == function or any(np.array_equal(c.result[0], stored) for c in seen[i:])
        ):
            return child.function, child.arguments[0]
    return function, stored


def _layers_seen(call: Call) -> list[Call]:
    """The calls that returned dA_prev, dW and db of a layer."""
    return [c for c in call.children if c.finished and isinstance(c.result, tuple) and len(c.result) == 3]
