"""What there is to check in whatever was given: found, not written yet, or not to be checked as it is."""

import difflib
import inspect
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TypeAlias

from sandbox import network
from sandbox.network.functions import FUNCTIONS
from sandbox.network.tested import named_functions, resolve
from sandbox.reading.loading import NOTEBOOK, Source, read
from sandbox.reading.unwritten import why_function
from sandbox.typing import Function, Value
from sandbox.verifier.operation import Operation, operations_of
from sandbox.verifier.rows import Matter, OutputRow, Scope, Verdict

What: TypeAlias = (
    Function | Mapping[str, Value] | Iterable[Value] | ModuleType | str | Path | Source | Operation | None
)
_HELPERS = {"sigmoid", "relu", "sigmoid_backward", "relu_backward"}
_ENDINGS = (("backward", "forward"), ("bwd", "fwd"))
_NO_FILES = {"site-packages", "node_modules"}


@dataclass(frozen=True)
class Subject:
    """One thing to check.

    Attributes:
        what: an operation, or functions of the exercise; None where all of these are in `rows`.
        rows: what is not written yet, and what is there and is not checked.
        remarks: what is to be said of the file.
        error: why it cannot be checked.
    """

    what: Operation | Mapping[str, Function] | None = None
    rows: tuple[OutputRow, ...] = ()
    remarks: tuple[str, ...] = ()
    error: str = ""


Subjects: TypeAlias = dict[str, Subject]
"""By title."""


def subjects_of(what: What) -> Subjects:
    """What there is to check.

    Raises:
        TypeError, ValueError: nothing, or `what` is of no kind that can be checked.
    """
    if what is None:
        return {"network": Subject(FUNCTIONS)}
    if isinstance(what, Operation):
        return {what.name: _of_operation(what)}
    if isinstance(what, str | Path):
        return _in_path(_path(what))
    if isinstance(what, Source):
        return _in_source(what)
    if isinstance(what, ModuleType):
        return _in_names(vars(what), what.__name__, what.__name__)
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
    raise ValueError(
        f"{str(what)[:80]!r} does not exist; give the path of a file (.py, .ipynb, .md) or of a folder."
    )


def _in_list(items: list[Value]) -> Subjects:
    """Functions by their own names; all else as `check` takes it."""
    if not items:
        raise ValueError("the list is empty, expected at least one function or Operation to check.")
    functions: dict[str, Function] = {}
    subjects: Subjects = {}
    for item in items:
        name = str(getattr(item, "__name__", type(item).__name__))
        if isinstance(item, list | tuple):
            raise TypeError("the list holds a list, expected functions, Operations, modules or paths.")
        if isinstance(item, ModuleType | Operation | Mapping | str | Path) or not callable(item):
            for title, subject in _one_of_several(item, len(items) > 1).items():
                subjects[_untaken(title, subjects)] = subject
        elif name in FUNCTIONS and name not in functions:
            functions[name] = item
        elif name in FUNCTIONS:
            raise ValueError(f"the list holds two functions {name}; check them one after the other.")
        else:
            raise ValueError(_unknown(name))
    found = {_untaken("network", subjects): _of_functions(functions)} if functions else {}
    return {**found, **subjects}


def _one_of_several(item: Value, several: bool) -> Subjects:
    """Of several files each is called by its path, and one that cannot be checked hides no other."""
    if not several or not isinstance(item, str | Path):
        return subjects_of(item)
    try:
        found = subjects_of(item)
    except ValueError as error:
        return {str(item): Subject(error=str(error))}
    own = str(Path(item).name)
    return {str(item) if title == own else f"{item}: {title}": subject for title, subject in found.items()}


def _unknown(name: str) -> str:
    hint, meant = _hint(name), _closest(name, FUNCTIONS) or "linear_backward"
    return (
        f"the function {name} has none of the names that are known, {', '.join(FUNCTIONS)}{hint}; give "
        f"{{{meant!r}: {name}}}, or sandbox.Operation(...) for an operation of your own."
    )


def _untaken(title: str, subjects: Collection[str]) -> str:
    """Two things of one title are told apart."""
    numbered = (f"{title} ({n})" for n in itertools.count(2))
    return next(t for t in itertools.chain([title], numbered) if t not in subjects)


def _in_mapping(names: Mapping[str, Value]) -> Subjects:
    """`globals()`; or a few functions by their names, all of which must be known."""
    if "__name__" in names or operations_of(names):
        return _in_names(names, str(names.get("__name__", "")), "network")
    for name in names:
        if name not in FUNCTIONS and (hint := _hint(str(name))):
            raise ValueError(f"functions has the name {name!r}{hint}; call it by its name.")
    return {"network": _of_functions(resolve(names))}


def _in_path(path: Path) -> Subjects:
    if path.is_dir():
        return _in_folder(path)
    return _in_source(read(path, FUNCTIONS))


def _in_source(source: Source) -> Subjects:
    file = Path(str(source.module.__file__))
    return _in_names(vars(source.module), source.module.__name__, file.name, source)


# --- a module -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Module:
    """Names of a module, and what is not written yet of them."""

    names: Mapping[str, Value]
    name: str
    unwritten: Mapping[str, str]

    @property
    def operations(self) -> dict[str, Operation]:
        return operations_of(self.names)

    @property
    def own(self) -> dict[str, Function]:
        """The functions that it defines itself."""
        mine = {n: f for n, f in self.names.items() if getattr(f, "__module__", "") == self.name}
        return {n: f for n, f in mine.items() if isinstance(inspect.unwrap(f), FunctionType)}

    @property
    def parts(self) -> list[Function]:
        """Of operations, also of those that are left out."""
        operations = [value for value in self.names.values() if isinstance(value, Operation)]
        return [part for o in operations for part in (o.forward, o.backward)]

    def pairs(self) -> dict[str, str]:
        """Backwards of operations of its own, with their forwards."""
        found = {name: _forward_of(name) for name in self.own if name not in FUNCTIONS}
        return {name: forward for name, forward in found.items() if forward in self.own and forward != name}

    def exercise(self, *, own: bool = False) -> dict[str, Function]:
        """The functions of the exercise. Beside operations and pairs their activations do not count, nor what
        is a part of an operation: helpers and parts may well have these names.

        Args:
            own: whether only those that the module defines itself.
        """
        named = named_functions(self.own if own else self.names)
        missing = {name: FUNCTIONS[name] for name in FUNCTIONS if name in self.unwritten}
        if not self.parts and not self.pairs():
            return {**named, **missing}
        ids = {id(part) for part in self.parts}
        sure = any(id(f) not in ids and name not in _HELPERS for name, f in named_functions(self.own).items())
        return {**named, **missing} if sure or missing.keys() - _HELPERS else {}

    def unchecked(self, checked: Mapping[str, Function]) -> Iterator[OutputRow]:
        """What looks as if it were to be checked, and is not."""
        mine = [value for value in self.names.values() if getattr(value, "__module__", "") == self.name]
        reached = _reached([*checked.values(), *self.parts], mine)
        left = {name: f for name, f in self.own.items() if id(f) not in reached}
        others = [name for name in FUNCTIONS if name not in checked]
        yield from self._reached_by_another_name(reached, others)
        for name in left:
            if name not in FUNCTIONS and not name.startswith("_") and (meant := _closest(name, others)):
                others.remove(meant)
                finding = (
                    f"nothing checks it (did you mean {meant}?); rename it, or _{name} if it is a helper."
                )
                yield replace(_row(meant, Verdict.NOT_JUDGED, finding), function=name)
            elif name in self.pairs():
                yield self._of_pair(name)

    def _reached_by_another_name(self, reached: Collection[int], others: list[str]) -> Iterator[OutputRow]:
        for name, f in self.own.items():
            misspelt = id(f) in reached and name not in FUNCTIONS and not name.startswith("_")
            if misspelt and (meant := _closest(name, others)):
                finding = f"it is called, and not checked by itself (did you mean {meant}?)."
                yield replace(_row(meant, Verdict.NOTE, finding), function=name)

    def _of_pair(self, name: str) -> OutputRow:
        if why := self.unwritten.get(name):
            return _row(name, Verdict.NOT_WRITTEN, why)
        return _row(
            name, Verdict.NOT_JUDGED, f"nothing checks it; write {_operation(self.pairs()[name], name)}."
        )


def _in_names(names: Mapping[str, Value], name: str, title: str, source: Source | None = None) -> Subjects:
    if source is None:
        whys = {n: why_function(f) for n, f in named_functions(names).items()}
        module = _Module(names, name, {n: why for n, why in whys.items() if why})
    else:
        module = _Module(names, name, source.unwritten)
    functions = dict(FUNCTIONS) if names is vars(network) else module.exercise()
    remarks = source.remarks if source else ()
    rows = tuple(module.unchecked(functions))
    if not functions and not module.operations:
        raise ValueError(_nothing(module, title, rows, remarks))
    subjects = {n: _of_operation(operation) for n, operation in module.operations.items()}
    if functions or rows:
        subject = _of_functions(functions, module.unwritten)
        return {title: replace(subject, rows=subject.rows + rows, remarks=remarks), **subjects}
    first, *_ = subjects  # where the remarks on the file are read
    return subjects | {first: replace(subjects[first], remarks=remarks)}


def _nothing(module: _Module, title: str, rows: Iterable[OutputRow], remarks: Iterable[str]) -> str:
    """What was looked for, and what there is instead."""
    names = named_functions(module.names)
    helpers = [f"{', '.join(names)}: taken for a helper of the others."] if names else []
    classes = [n for n, c in module.names.items() if isinstance(c, type) and c.__module__ == module.name]
    layers = [
        n for n in classes if hasattr(module.names[n], "forward") and hasattr(module.names[n], "backward")
    ]
    layers = [f"{n}: a class with forward and backward; check it as a sandbox.Operation." for n in layers]
    methods = {n: [m for m in FUNCTIONS if hasattr(module.names[n], m)] for n in classes}
    layers += [
        f"{n}: a class with {found[0]}; check its methods as {{{found[0]!r}: an_instance.{found[0]}, ...}}."
        for n, found in methods.items() if found
    ]  # fmt: skip
    return " ".join([
        f"functions: {title} defines none of the functions that can be checked, linear_backward, "
        "L_model_backward, ..., nor a sandbox.Operation whose name begins with neither 'wrong' nor '_'.",
        *(f"{row.function}: {row.finding}" for row in rows), *helpers, *layers, *remarks,
    ])  # fmt: skip


def _of_operation(operation: Operation) -> Subject:
    parts = (operation.forward,) if operation.alone else (operation.forward, operation.backward)
    whys = [(f, why_function(f)) for f in parts]
    rows = [_row(f.__name__, Verdict.NOT_WRITTEN, why) for f, why in whys if why]
    return Subject(None if rows else operation, tuple(rows))


def _of_functions(functions: Mapping[str, Function], unwritten: Mapping[str, str] | None = None) -> Subject:
    """In the place of those that are not written yet the sandbox's own stand, so that the rest is judged."""
    whys = {n: why_function(f) for n, f in functions.items()} if unwritten is None else unwritten
    whys = {name: whys[name] for name in functions if whys.get(name)}
    rows = tuple(_row(name, Verdict.NOT_WRITTEN, why) for name, why in whys.items())
    if functions.keys() == whys.keys():
        return Subject(None, rows)
    return Subject({name: FUNCTIONS[name] if name in whys else f for name, f in functions.items()}, rows)


def _row(function: str, verdict: Verdict, finding: str) -> OutputRow:
    matter = Matter.GRADIENT if _forward_of(function) else Matter.VALUE
    return OutputRow(function, Scope.LOCAL, None, "result", verdict, finding, matter=matter)


# --- names --------------------------------------------------------------------------------------------------


def _forward_of(name: str) -> str:
    """The name of the forward of a backward, or ""."""
    for backward, forward in _ENDINGS:
        if backward in name:
            return name.replace(backward, forward)
    return ""


def _operation(forward: str, backward: str) -> str:
    return f"sandbox.Operation({forward}, {backward}, mirror, examples=[...]) with its mirror in JAX"


def _hint(name: str) -> str:
    meant = _closest(name, FUNCTIONS)
    return f" (did you mean {meant}?)" if meant else ""


def _closest(name: str, names: Iterable[str]) -> str:
    """The one of the names that this looks like: linear_backwards, LinearBackward."""
    plain = {_plain(other): other for other in names}
    [*found] = difflib.get_close_matches(_plain(name), plain, 1, 0.9)
    return plain[found[0]] if found else ""


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _reached(starts: Iterable[Value], own: Iterable[Value]) -> set[int]:
    """These functions and what of a module's own they name, directly or through others."""
    inside = {id(value) for value in own}
    reached: set[int] = set()
    waiting = list(starts)
    while waiting:
        value = waiting.pop()
        if id(value) not in reached:
            reached.add(id(value))
            waiting += [v for v in _named_in(value) if id(v) in inside or isinstance(v, _MADE_OF_FUNCTIONS)]
    return reached


_MADE_OF_FUNCTIONS = (partial, MethodType)


def _named_in(value: Value) -> Iterator[Value]:
    """What a function names, holds in its closure or is made of; what the methods of a class are."""
    if isinstance(value, partial):
        yield from (value.func, *value.args)
    elif isinstance(value, MethodType):
        yield from (value.__func__, type(value.__self__))
    elif isinstance(value, FunctionType):
        yield getattr(value, "__wrapped__", None)
        yield from (cell.cell_contents for cell in value.__closure__ or () if cell != CellType())
        yield from (value.__globals__.get(name) for name in _names_of(value.__code__))
    elif isinstance(value, type):
        for method in vars(value).values():
            yield from _named_in(method) if isinstance(method, FunctionType) else ()
    else:
        yield type(value)


def _names_of(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return {*code.co_names}.union(*map(_names_of, inner))


# --- a folder -----------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> Subjects:
    """A project, whose functions of the exercise are those of one network, in whichever files they are; but
    where two files have one of them each, they are checked file by file."""
    read_ones, subjects = _read_all(folder)
    modules = {
        place: _Module(vars(s.module), s.module.__name__, s.unwritten) for place, s in read_ones.items()
    }
    own = {place: module.exercise(own=True) for place, module in modules.items()}
    names = [name for functions in own.values() for name in functions]
    if len(set(names)) == len(names) and sum(map(bool, own.values())) > 1:
        subjects |= {folder.resolve().name: _project(read_ones, modules, own)}
        own = {}
    for place, source in read_ones.items():
        module = modules[place]
        if own.get(place):
            subjects |= _titled(place, _in_names(module.names, module.name, "", source))
        else:
            subjects |= _titled(place, {n: _of_operation(o) for n, o in module.operations.items()})
    if all(subject.error for subject in subjects.values()):
        errors = [subject.error for subject in subjects.values()]
        rows = [f"{row.function}: {row.finding}" for m in modules.values() for row in m.unchecked({})]
        said = " ".join(["", *errors[:1], *rows[:3]])
        raise ValueError(f"{folder}: no Python file in it defines anything that can be checked.{said}")
    return subjects


def _titled(place: str, subjects: Subjects) -> Subjects:
    return {f"{place}: {title}" if title else place: subject for title, subject in subjects.items()}


def _read_all(folder: Path) -> tuple[dict[str, Source], Subjects]:
    sources: dict[str, Source] = {}
    errors: Subjects = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob(f"*{NOTEBOOK}")]):
        place = path.relative_to(folder)
        if any(_is_foreign(part) for part in place.parts) or _in_environment(folder, place):
            continue
        try:
            sources[str(place)] = read(path, FUNCTIONS, folder)
        except ValueError as error:
            errors[str(place)] = Subject(error=str(error))
    return sources, errors


def _is_foreign(part: str) -> bool:
    return part.startswith((".", "__")) or part in _NO_FILES


def _in_environment(folder: Path, place: Path) -> bool:
    return any((folder / parent / "pyvenv.cfg").exists() for parent in place.parents)


def _project(
    sources: Mapping[str, Source], modules: Mapping[str, _Module], own: Mapping[str, Mapping[str, Function]]
) -> Subject:
    """The functions of all files as those of one network."""
    whys = {name: why for module in modules.values() for name, why in module.unwritten.items()}
    functions = {
        name: f for name in FUNCTIONS for of_file in own.values() for n, f in of_file.items() if n == name
    }
    rows = [row for module in modules.values() for row in module.unchecked(functions)]
    remarks = tuple(f"{place}: {remark}" for place, source in sources.items() for remark in source.remarks)
    subject = _of_functions(functions, whys)
    return replace(subject, rows=(*subject.rows, *rows), remarks=remarks)
