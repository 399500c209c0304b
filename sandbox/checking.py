"""The one door: `check(what)` for whatever holds gradients; the command line, the fixture of pytest and
notebooks go through it.

    check(my_module)            # its functions with the exercise's names, and its operations
    check(globals())            # of a notebook
    check("my_backprop.py")     # or a folder
    check([softplus, my_linear_backward])
    check(softplus, x, beta)    # an Operation, at these inputs
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import numpy as np

from sandbox.network.cases import drawn_network
from sandbox.network.functions import FUNCTIONS
from sandbox.network.model_check import as_python, check_functions, check_model, named_functions, resolve
from sandbox.network.model_equations import Kind
from sandbox.typing import Function, Inputs, Scheme, Value
from sandbox.verifier.loading import load_file
from sandbox.verifier.operation import Operation, check_operation, operations_of
from sandbox.verifier.progress import told
from sandbox.verifier.report import Report, collected, strictly
from sandbox.verifier.search import CASES

What: TypeAlias = (
    Function | Mapping[str, Value] | Iterable[Value] | ModuleType | str | Path | Operation | None
)
_Subjects: TypeAlias = dict[str, Operation | Mapping[str, Function] | ValueError]
"""By title: an operation; functions of the exercise; or why there is nothing."""
LARGEST = 10**8  # numbers in a network, in whose samples a check needs many times as many
_OF_ONE_NETWORK = {"depth", "width", "examples", "scheme", "dtype", "seed"}
_HELPERS = {"sigmoid", "relu", "sigmoid_backward", "relu_backward"}


@dataclass(frozen=True)
class Network:
    """The random network on which functions of the exercise are checked: `width` units in the input and in
    each hidden layer; `activation` is that of the hidden layers."""

    depth: int = 3
    width: int = 8
    examples: int = 32
    scheme: Scheme = "he"
    dtype: str = "float64"
    seed: int = 0
    activation: str = "relu"
    cost: str = "cross_entropy"

    def __post_init__(self) -> None:
        for name, least in (("depth", 1), ("width", 1), ("examples", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}.")
        numbers = int(self.depth) * int(self.width) * (int(self.width) + int(self.examples))
        if numbers > LARGEST:
            raise ValueError(
                f"depth, width and examples make a network of {float(min(numbers, 10**300)):.1e} numbers, "
                f"expected at most {LARGEST:.0e}; check a smaller one."
            )
        if self.dtype not in ("float64", "float32"):
            raise ValueError(f"dtype is {self.dtype!r}, expected 'float64' or 'float32'.")

    def check(self, functions: Mapping[str, Function], contracts: bool) -> Report:
        kind = Kind(self.activation, self.cost)
        drawn: dict[str, Value] = {
            "layer_dims": [self.width] * self.depth + [1], "m": self.examples, "seed": self.seed,
            "dtype": self.dtype, "scheme": self.scheme, "dead_unit": False,
        }  # fmt: skip
        report = check_model(
            *drawn_network(**drawn), functions=functions, contracts=contracts, **asdict(kind)
        )  # fmt: skip
        return report if report else replace(report, example=as_python(report, functions, kind, **drawn))


def check(
    what: What = None, *inputs: Value, contracts: bool = True, strict: bool = False, cases: int | None = None,
    **network: Value,
) -> Report:  # fmt: skip
    """Check every gradient in `what` against automatic differentiation.

    Args:
        what: a function with one of the exercise's names; a mapping (`globals()`, say), a list, a module or
            the path of a file or a folder that hold such functions or operations; an Operation; None for the
            sandbox's own functions. In a mapping, a module or a file, operations whose name begins with
            "wrong" or "_" are left out.
        inputs: of an Operation, in place of its examples.
        contracts: whether to check those too (mutation, aliases, dtypes, single examples, ...).
        strict: whether manners (an update in place, a missing dA0, a warning, ...) are failures, and outputs
            of which the rounding noise hides even large errors.
        cases: how many random networks, or at most how many drawn examples of each operation.
        network: activation and cost of the networks on which functions of the exercise are checked; without
            `cases` also depth, width, examples, scheme, dtype and seed of the only one (see
            `sandbox.checking.Network`).

    Returns:
        A report; of several things, one with a part for each.

    Raises:
        TypeError, ValueError: malformed input, or an option that does not apply.
    """
    report = _check(_subjects(what), what, inputs, contracts, cases, network)
    return strictly(report) if strict else report


def check_drawn(
    what: What, *inputs: Value, cases: int | None, contracts: bool = True, strict: bool = False,
    **network: Value,
) -> Report:  # fmt: skip
    """`check` for a test suite: functions of the exercise on random networks, but for options of one network,
    and `cases`, an option of the whole suite, only where something is drawn."""
    subjects = _subjects(what)
    if not _only_operations(subjects):
        cases = None if _OF_ONE_NETWORK & network.keys() else cases or CASES
    elif not _draws(subjects, inputs):
        cases = None
    report = _check(subjects, what, inputs, contracts, cases, network)
    return strictly(report) if strict else report


def _check(
    subjects: _Subjects, what: What, inputs: Inputs, contracts: bool, cases: int | None,
    network: Mapping[str, Value],
) -> Report:  # fmt: skip
    one_network = _network(subjects, what, inputs, cases, network)
    parts: dict[str, Report] = {}
    errors: list[str] = []
    for title, subject in told(subjects.items(), ""):
        try:
            if isinstance(subject, ValueError):
                raise subject
            if isinstance(subject, Operation):
                parts[title] = check_operation(subject, *inputs, contracts=contracts, cases=cases)
            elif cases is None:
                parts[title] = one_network.check(subject, contracts)
            else:
                kind = {"activation": one_network.activation, "cost": one_network.cost}
                parts[title] = check_functions(subject, contracts=contracts, cases=cases, **kind)
        except (TypeError, ValueError) as error:  # the others are checked all the same
            if len(subjects) == 1:
                raise
            errors.append(str(error))
    return collected(parts, errors)


def _network(
    subjects: _Subjects, what: What, inputs: Inputs, cases: int | None, network: Mapping[str, Value]
) -> Network:
    """The network of these options.

    Raises:
        TypeError, ValueError: one is unknown or out of range, or does not apply.
    """
    known = [f.name for f in fields(Network)]
    for name in network:
        if name not in known:
            raise TypeError(f"check has no option {name!r}; it has cases, contracts, {', '.join(known)}.")
    given, only_operations = ", ".join(network), _only_operations(subjects)
    if inputs and not (only_operations and len(subjects) == 1):
        raise TypeError(
            f"inputs go with one Operation, got {type(what).__name__}; use "
            "sandbox.check_model(parameters, X, Y, functions=...) for a network of your own."
        )
    if network and only_operations:
        raise TypeError(
            f"{given}: of the random network for functions of the exercise, and there is none of these; an "
            "operation is checked at its own examples."
        )
    if cases is not None and (of_one := [name for name in network if name in _OF_ONE_NETWORK]):
        raise TypeError(
            f"{', '.join(of_one)}: of one network, and cases draws many of all sizes and both dtypes; give "
            "one or the other."
        )
    if cases is not None and not _draws(subjects, inputs):
        raise TypeError("cases: nothing is drawn at random here; the operations have examples of their own.")
    return Network(**network)


def _only_operations(subjects: _Subjects) -> bool:
    return all(isinstance(subject, Operation) for subject in subjects.values())


def _draws(subjects: _Subjects, inputs: Inputs) -> bool:
    """Whether anything is drawn at random."""
    return any(not isinstance(s, Operation) or (s.draws and not inputs) for s in subjects.values())


# --- what there is to check ---------------------------------------------------------------------------


def _subjects(what: What) -> _Subjects:
    if what is None:
        return {"network": FUNCTIONS}
    if isinstance(what, Operation):
        return {what.name: what}
    if isinstance(what, str | Path):
        path = _path(what)
        return _in_folder(path) if path.is_dir() else _in_module(load_file(path), path.name)
    if isinstance(what, ModuleType):
        return _in_module(what, what.__name__)
    if isinstance(what, Mapping):
        return _in_mapping(what)
    if callable(what) or isinstance(what, Iterable):
        return _in_list([what] if callable(what) else list(what))
    raise TypeError(
        f"got {type(what).__name__}, expected an Operation, a function, a mapping, a list, a module or a "
        "path."
    )


def _path(what: str | Path) -> Path:
    try:
        if str(what) and Path(what).exists():
            return Path(what)
    except OSError:  # too long a name, for one
        pass
    raise ValueError(f"{str(what)[:80]!r} does not exist; give the path of a Python file or a folder.")


def _in_list(items: list[Value]) -> _Subjects:
    """Functions by their own names; all else as `check` takes it."""
    if not items:
        raise ValueError("the list is empty, expected at least one function or Operation to check.")
    functions: dict[str, Function] = {}
    subjects: _Subjects = {}
    for item in items:
        name = str(getattr(item, "__name__", type(item).__name__))
        if isinstance(item, list | tuple):
            raise TypeError("the list holds a list, expected functions, Operations, modules or paths.")
        if isinstance(item, ModuleType | Operation | Mapping | str | Path) or not callable(item):
            for title, subject in _subjects(item).items():
                subjects[_untaken(title, subjects)] = subject
        elif name in FUNCTIONS and name not in functions:
            functions[name] = item
        elif name in FUNCTIONS:
            raise ValueError(f"the list holds two functions {name}; check them one after the other.")
        else:
            raise ValueError(
                f"the function {name} has none of the names that are known, {', '.join(FUNCTIONS)}; give "
                "{'linear_backward': " + name + "}, or sandbox.Operation(...) for an operation of your own."
            )
    return {_untaken("network", subjects): functions, **subjects} if functions else subjects


def _untaken(title: str, subjects: _Subjects) -> str:
    """Two things of one title are told apart."""
    numbered = (f"{title} ({n})" for n in itertools.count(2))
    return next(t for t in itertools.chain([title], numbered) if t not in subjects)


def _in_mapping(names: Mapping[str, Value]) -> _Subjects:
    """`globals()`; or a few functions by their names, all of which must be known."""
    if "__name__" not in names and not operations_of(names):
        return {"network": resolve(names)}
    module = ModuleType(str(names.get("__name__", "given")))
    vars(module).update(names)
    return _in_module(module, "network")


def _in_module(module: ModuleType, title: str) -> _Subjects:
    operations = operations_of(vars(module))
    functions = resolve(module) if _has_exercise(module) or not operations else {}
    return {title: functions, **operations} if functions else dict(operations)


def _has_exercise(module: ModuleType) -> bool:
    """Whether a module defines functions of the exercise. Beside operations their activations do not count,
    nor what is a part of one: helpers and parts may well have these names."""
    named = named_functions(vars(module))
    operations = [value for value in vars(module).values() if isinstance(value, Operation)]
    if not operations:
        return bool(named)
    parts = {id(part) for operation in operations for part in (operation.forward, operation.backward)}
    own = {name: f for name, f in named.items() if getattr(f, "__module__", "") == module.__name__}
    return any(id(f) not in parts and name not in _HELPERS for name, f in own.items())


def _in_folder(folder: Path) -> _Subjects:
    """All its Python files; those with nothing to check are passed over, if there are others."""
    subjects: _Subjects = {}
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder)
        if any(part.startswith((".", "__")) for part in place.parts):
            continue
        try:
            module = load_file(path)
        except ValueError as error:
            subjects[str(place)] = error
            continue
        if _has_exercise(module) or operations_of(vars(module)):
            for title, subject in _in_module(module, "").items():
                subjects[f"{place}: {title}" if title else str(place)] = subject
    errors = [subject for subject in subjects.values() if isinstance(subject, ValueError)]
    if len(errors) == len(subjects):
        also = f" {errors[0]}" if errors else ""
        raise ValueError(f"{folder}: no Python file in it defines anything that can be checked.{also}")
    return subjects
