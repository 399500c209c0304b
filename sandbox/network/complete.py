"""The exercise's functions, complete: those that somebody has written, and for the others the passes, which
call the written ones. NumPy alone.

A check binds the passes' names for a while, and for its own thread. What trains needs nothing of that: here a
copy of the passes is made whose names are the written functions', once and for all, and which nobody shares.
"""

import importlib.util
import inspect
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import FunctionType, MappingProxyType, ModuleType

from sandbox.network import passes
from sandbox.network.activations import ACTIVATIONS
from sandbox.typing import Function, Value

FUNCTIONS: Mapping[str, Function] = MappingProxyType({  # not a table that a check may bind
    name: getattr(passes, name)
    for name in (
        "sigmoid", "relu", "linear_forward", "linear_activation_forward", "L_model_forward", "compute_cost",
        "sigmoid_backward", "relu_backward", "linear_backward", "linear_activation_backward",
        "L_model_backward", "update_parameters",
    )
})  # fmt: skip


class Passes:
    """A copy of the passes.

    Attributes:
        functions: its functions, by the exercise's names.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec(passes.__name__)
        assert spec is not None
        assert spec.loader is not None
        self._module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)
        self.functions: dict[str, Function] = {name: getattr(self._module, name) for name in FUNCTIONS}

    def completing(self, written: Mapping[str, Function]) -> dict[str, Function]:
        """All functions of the exercise: these, and those of the copy, which call these from now on."""
        names = vars(self._module)
        names.update(written)
        names.update({f"_{name}": f for name, f in written.items() if f"_{name}" in names})
        names["ACTIVATIONS"] = {
            name: replace(
                g,
                forward=written.get(name, g.forward),
                backward=written.get(f"{name}_backward", g.backward),
            )
            for name, g in ACTIVATIONS.items()
        }
        return {**self.functions, **written}


def complete(
    module: ModuleType, names: Collection[str], passes: Passes, beside: Collection[str] = ()
) -> dict[str, Function]:
    """The functions of these names of a module, with the others. Where the module, or one beside it with some
    of these functions, calls the sandbox's, or one of the module's that is not written yet, the copy's stand
    from now on.

    Args:
        beside: the names of modules that are nobody else's.
    """
    written = {name: vars(module)[name] for name in names}
    others = passes.completing(written).items() - written.items()
    stand_ins = {id(FUNCTIONS[name]): f for name, f in others}
    stand_ins |= {id(f): other for name, other in others if callable(f := vars(module).get(name))}
    spaces = [getattr(inspect.unwrap(f), "__globals__", {}) for f in written.values()]
    for space in {id(s): s for s in spaces if s.get("__name__") in beside}.values():
        _put(space, stand_ins)
    _put(vars(module), stand_ins)
    return {**dict(others), **written}


def _put(space: dict[str, Value], stand_ins: Mapping[int, Function]) -> None:
    """In a module under the functions' names and under others, and in its tables."""
    for table in (space, *(value for value in list(space.values()) if type(value) is dict)):
        for key, value in list(table.items()):
            plain = inspect.unwrap(value) if isinstance(value, FunctionType) else value
            if f := stand_ins.get(id(value)) or stand_ins.get(id(plain)):
                table[key] = f


_KEYWORDS = {name: f.__kwdefaults__ or {} for name, f in FUNCTIONS.items()}


def options(name: str, function: Function, **chosen: str) -> dict[str, str]:
    """The keywords, of activation and cost, by which a function in place of the one of this name is told what
    the network is: those that it has, and with **kwargs those that are not the exercise's."""
    keywords = _KEYWORDS[name]
    try:
        parameters = inspect.signature(function).parameters if keywords else {}
    except (TypeError, ValueError):  # compiled code may have none
        parameters = {}
    any_other = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    told = {key: chosen[key] for key in keywords}
    return {k: x for k, x in told.items() if k in parameters or (any_other and x != keywords[k])}
