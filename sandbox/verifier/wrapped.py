"""Layer objects and functions that return (loss, gradients) as a forward and a backward."""

import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sandbox.typing import Array, Function, Inputs, Value
from sandbox.verifier.nested import copied, mapped

_PARAMETERS = ("params", "parameters")
_GRADIENTS = ("grads", "gradients")


@dataclass(frozen=True)
class Layer:
    """A layer whose forward and backward keep in it what they need, and the gradients of its parameters.

    The forward runs on the one layer, so that what it keeps from call to call is seen; the backward on a copy
    of it as that forward left it.

    Attributes:
        inputs: the names of the forward's inputs. parameters: those of what the layer holds.
    """

    layer: Value
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]

    @staticmethod
    def of(layer: Value, names: tuple[str, ...]) -> "Layer":
        """`names`: of the mirror's inputs.

        Raises:
            TypeError: there is no forward or backward, or a name is neither an input nor a parameter.
        """
        for part in ("forward", "backward"):
            if isinstance(layer, type) or not callable(getattr(layer, part, None)):
                raise TypeError(
                    f"layer is {layer!r}, expected an object with the methods forward and backward: for "
                    "instance Linear(4, 3), not Linear."
                )
        own = tuple(inspect.signature(layer.forward).parameters)
        parameters = tuple(name for name in names if name not in own and _held(layer, name) is not None)
        inputs = names[: len(names) - len(parameters)]
        if names != inputs + parameters or len(inputs) > len(own):
            raise TypeError(
                f"the mirror's inputs are {', '.join(names)}, expected those of forward ({', '.join(own)}), "
                "then parameters that the layer holds (self.W, or self.params['W'])."
            )
        return Layer(copied(layer), inputs, parameters)

    @property
    def values(self) -> Inputs:
        return tuple(copied(_held(self.layer, name)) for name in self.parameters)

    def forward(self, *given: Value) -> Value:
        count = len(given) - len(self.parameters)
        for name, value in zip(self.parameters, given[count:], strict=True):
            _replace(self.layer, _held(self.layer, name), value)
        outputs = self.layer.forward(*given[:count])
        outputs = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
        return (*outputs, copied(self.layer))

    def backward(self, *given: Value) -> Value:
        *cotangents, layer = given
        layer = copied(layer)  # in which the gradients are kept
        returned = layer.backward(*cotangents)
        values = returned if isinstance(returned, tuple | list) else (returned,)
        if len(values) == len(self.inputs) + len(self.parameters):
            return returned
        by_input = returned if isinstance(returned, Mapping) else dict(zip(self.inputs, values, strict=False))
        return {**{name: _gradient(layer, name) for name in self.parameters}, **by_input}


def _held(layer: Value, name: str) -> Value:
    """The parameter of this name, or None."""
    if hasattr(layer, name):
        return getattr(layer, name)
    holders = [holder for kept in _PARAMETERS if isinstance(holder := getattr(layer, kept, None), Mapping)]
    return next((holder[name] for holder in holders if name in holder), None)


def _replace(layer: Value, old: Value, new: Value) -> None:
    """Wherever the layer holds it: as self.W, in a dict or in a list."""
    for attribute, held in _attributes(layer):
        if held is old:
            setattr(layer, attribute, new)
        elif isinstance(held, dict):
            held.update({key: new for key, x in held.items() if x is old})
        elif isinstance(held, list):
            held[:] = [new if x is old else x for x in held]


def _attributes(layer: Value) -> list[tuple[str, Value]]:
    slots = [name for kind in type(layer).__mro__ for name in getattr(kind, "__slots__", ())]
    held = {name: getattr(layer, name) for name in slots if hasattr(layer, name)}
    return list((held | getattr(layer, "__dict__", {})).items())


def _gradient(layer: Value, name: str) -> Value:
    """Of a parameter, as the layer keeps it.

    Raises:
        AttributeError: it does not.
    """
    for place in (f"d{name}", f"d_{name}", f"grad_{name}", f"{name}_grad"):
        if hasattr(layer, place):
            return getattr(layer, place)
    for gradient in _in_containers(layer, name):
        return gradient
    raise AttributeError(
        f"after backward the layer holds no gradient of {name}, neither self.d{name} nor self.grads[{name!r}]"
    )


def _in_containers(layer: Value, name: str) -> Iterator[Value]:
    for held in (getattr(layer, place) for place in _GRADIENTS if hasattr(layer, place)):
        if name in _PARAMETERS:
            yield held
        elif isinstance(held, Mapping):
            yield from (held[key] for key in (name, f"d{name}") if key in held)
        else:  # in the order of the parameters
            parameters = next((getattr(layer, place) for place in _PARAMETERS if hasattr(layer, place)), ())
            yield from (g for x, g in zip(parameters, held, strict=False) if x is _held(layer, name))


def forward_of_loss(function: Function) -> Function:
    """The loss of a function that returns (loss, gradients)."""

    @functools.wraps(function)
    def forward(*inputs: Value) -> Value:
        return _both(function(*inputs))[0]

    return forward


def backward_of_loss(function: Function) -> Function:
    """Its gradients, times the cotangent of the loss."""

    @functools.wraps(function)
    def backward(dloss: Array, *inputs: Value) -> Value:
        scale = float(dloss)  # a number of Python, which leaves the dtype as it is
        gradients = _both(function(*inputs))[1:]
        scaled: Value = mapped(lambda _, g: None if g is None else scale * g, gradients)
        return scaled[0] if len(scaled) == 1 else scaled

    return backward


def _both(result: Value) -> Inputs:
    if not isinstance(result, tuple | list) or len(result) < 2:
        raise TypeError(f"it returned a {type(result).__name__}, expected (loss, gradients)")
    return tuple(result)
