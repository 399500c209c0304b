"""Which functions are tested, by the exercise's names; and the code that calls them once more."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from sandbox import network
from sandbox.network.cases import (
    drawn_network,
)
from sandbox.network.functions import FUNCTIONS
from sandbox.network.model_equations import Kind
from sandbox.reading.loading import load_file
from sandbox.typing import Function, Value
from sandbox.verifier.literal import file_of, read_as_python
from sandbox.verifier.report import Report

Functions = Mapping[str, Function] | ModuleType | str | Path | None


def resolve(functions: Functions) -> dict[str, Function]:
    """The tested functions by the exercise's names.

    Args:
        functions: a mapping; a module or the path of a Python file, whose functions of these names
            are taken; None for those of `sandbox.network`.

    Raises:
        TypeError, ValueError: no such names, or unknown ones; the file cannot be read or run.
    """
    if functions is None:
        return dict(FUNCTIONS)
    if isinstance(functions, str | Path):
        functions = load_file(Path(functions), FUNCTIONS)
    if isinstance(functions, ModuleType):
        return _of_module(functions)
    if not isinstance(functions, Mapping):
        raise TypeError(
            f"functions is a {type(functions).__name__}, expected a mapping such as "
            "{'linear_backward': my_function}, a module, or the path of a Python file."
        )
    for name, function in functions.items():
        if name not in FUNCTIONS:
            raise ValueError(f"functions has the name {name!r}, expected one of: {', '.join(FUNCTIONS)}.")
        if not callable(function):
            raise TypeError(f"functions[{name!r}] is a {type(function).__name__}, expected a function.")
    if not functions:
        raise ValueError("functions is empty, expected at least one function to check.")
    return dict(functions)


def named_functions(names: Mapping[str, Value]) -> dict[str, Function]:
    """The functions under the exercise's names that are not the sandbox's, in the order of the table."""
    named = {name: names[name] for name in FUNCTIONS if callable(names.get(name))}
    return {name: f for name, f in named.items() if not is_own(name, f)}


def is_own(name: str, function: Function) -> bool:
    return inspect.unwrap(function) is FUNCTIONS[name]  # which a check in another thread may have wrapped


def _of_module(module: ModuleType) -> dict[str, Function]:
    if found := dict(FUNCTIONS) if module is network else named_functions(vars(module)):
        return found
    meant = [m for n in vars(module) for m in difflib.get_close_matches(n, FUNCTIONS, 1, 0.8)]
    hint = f" (did you mean {meant[0]}?)" if meant else ""
    raise ValueError(
        f"functions: module {module.__name__!r} defines none of the functions that can be "
        f"checked, linear_backward, L_model_backward, ...{hint}; nor a sandbox.Operation whose name "
        "begins with neither 'wrong' nor '_'."
    )


def said_of(tested: Mapping[str, Function]) -> dict[str, Value]:
    """Of a report: which functions are the user's, where some are the sandbox's own; and which names look
    misspelt: not those with a leading underscore, which are a module's own helpers."""
    yours = {name: f for name, f in tested.items() if not is_own(name, f)}
    others = [name for name in FUNCTIONS if name not in yours]
    text = ""
    names = [n for f in yours.values() for n, x in getattr(f, "__globals__", {}).items() if callable(x)]
    for name in dict.fromkeys(names):
        of_its_own = name in FUNCTIONS or name.startswith("_")
        if not of_its_own and (meant := difflib.get_close_matches(name, others, 1, 0.9)):
            text += f"Not checked: {name} (did you mean {meant[0]}?). "
    return {"yours": tuple(yours) if others else (), "tested": text.rstrip()}


def as_python(report: Report, functions: Functions, kind: Kind, **drawn: Value) -> str:
    """Code that shows what fails: a check on a network of `drawn_network`, of the functions at fault, or of
    the file that they are in."""
    tested, at_fault = resolve(functions), report.stood_in or [f.row.function for f in report.findings]
    own = {name: f for name, f in tested.items() if not is_own(name, f)}
    files = {file_of(f) for f in own.values()}
    if len(files) == 1 and "" not in files and len(own) == len(tested):  # all of it is written
        given = [f"functions = {files.pop()!r}"]
    else:
        given = _functions_as_python({name: f for name, f in own.items() if name in at_fault})
    options = {key: repr(x) for key, x in asdict(kind).items() if x != getattr(Kind(), key)}
    passed = ", ".join(("functions=functions", *(f"{key}={x}" for key, x in options.items())))
    return "\n".join([
        "import sandbox", "from sandbox.network.cases import drawn_network", "",
        f"network = {_drawn_as_python(**drawn)}", *given,
        f"print(sandbox.check_model(*network, {passed}))",
    ])  # fmt: skip


def _functions_as_python(functions: Mapping[str, Function]) -> list[str]:
    names = {name: getattr(f, "__name__", name) for name, f in functions.items()}
    names = {name: known if known.isidentifier() else name for name, known in names.items()}
    files = dict.fromkeys(filter(None, map(file_of, functions.values())))
    code = read_as_python(next(iter(files))) if files else []
    for name, f in functions.items():
        module = str(getattr(f, "__module__", None) or "__main__")
        if module != "__main__" and not file_of(f):
            code.append(f"from {module} import {names[name]}")
    pairs = [f'    "{name}": {"mine." * bool(file_of(functions[name]))}{x},' for name, x in names.items()]
    return [*code, "functions = {", *pairs, "}"]


def _drawn_as_python(layer_dims: Sequence[int], m: int, **drawn: Value) -> str:
    usual = {name: p.default for name, p in inspect.signature(drawn_network).parameters.items()}
    options = (f"{key}={x!r}" for key, x in drawn.items() if x != usual[key])
    return f"drawn_network({', '.join((str(list(layer_dims)), str(m), *options))})"
