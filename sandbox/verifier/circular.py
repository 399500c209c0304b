"""Whether a mirror's gradient is JAX's own: a function with a rule of the user's (custom_vjp, custom_jvp) is
differentiated by that rule, which may well be the backward that is to be checked."""

from collections.abc import Iterator
from pathlib import Path

import jax
from jax.extend import core

from sandbox.typing import Value

_JAX = str(Path(jax.__file__).parent)
_WRAPPER = "custom_derivatives.py"  # in which JAX itself wraps what users give to custom_gradient


def own_rules(jaxpr: core.Jaxpr) -> Iterator[str]:
    """The functions in it whose derivative follows from a rule that is not JAX's, and where they are."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name.startswith(("custom_vjp_call", "custom_jvp_call")):
            function, *rules = map(_source, _functions(eqn))
            if not all(_is_of_jax(source) for source in (function, *rules)) or _WRAPPER in function:
                yield _own(function, rules)
        for inner in core.jaxprs_in_params(eqn.params):
            yield from own_rules(inner)


def _functions(eqn: core.JaxprEqn) -> Iterator[Value]:
    """What is differentiated, then the rules."""
    primal = next(key for key in ("call_jaxpr", "fun_jaxpr", "jaxpr") if key in eqn.params)
    yield eqn.params[primal]
    yield from (value for key, value in eqn.params.items() if key != primal and _source(value))


def _source(value: Value) -> str:
    """Name and place of a traced function, "f at file.py:3"."""
    info = getattr(getattr(value, "jaxpr", value), "debug_info", None)
    return str(getattr(info, "func_src_info", None) or "")


def _is_of_jax(source: str) -> bool:
    return f" at {_JAX}" in source


def _own(function: str, rules: list[str]) -> str:
    """The first of these that is the user's."""
    shown = next((source for source in (function, *rules) if not _is_of_jax(source)), "")
    name, _, place = shown.partition(" at ")
    return f"{name} ({Path(place).name})" if place else name or "a custom_gradient"
