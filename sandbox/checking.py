"""The one door: `check(what)` for whatever holds gradients; the command line, the fixture of pytest and
notebooks go through it.

    check(my_module)            # its functions with the exercise's names, and its operations
    check(globals())            # of a notebook
    check("my_backprop.py")     # or a folder
    check([softplus, my_linear_backward])
    check(softplus, x, beta)    # an Operation, at these inputs
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from sandbox.network.cases import drawn_network
from sandbox.network.model_check import check_functions, check_model
from sandbox.network.model_equations import Kind
from sandbox.network.tested import as_python
from sandbox.reading.loading import being_read
from sandbox.subjects import Subject, Subjects, What, subjects_of
from sandbox.typing import Function, Inputs, Scheme, Value
from sandbox.verifier.operation import Operation, check_operation
from sandbox.verifier.progress import told
from sandbox.verifier.report import Report, collected, strictly
from sandbox.verifier.rows import Verdict
from sandbox.verifier.search import CASES
from sandbox.verifier.warned import own_warnings

LARGEST = 10**8  # numbers in a network, in whose samples a check needs many times as many
_OF_ONE_NETWORK = {"depth", "width", "examples", "scheme", "dtype", "seed"}


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
            the path of a Python file, a notebook, a note (Markdown) or a folder that hold such functions or
            operations, or such a file as it was read; an Operation; None for the sandbox's own functions. In
            a mapping, a module or a file, operations whose name begins with "wrong" or "_" are left out.
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
    if being_read():
        raise ValueError("check is called in the file that is being checked.")
    report = _check(subjects_of(what), what, inputs, contracts, cases, network)
    return strictly(report) if strict else report


def check_drawn(
    what: What, *inputs: Value, cases: int | None, contracts: bool = True, strict: bool = False,
    **network: Value,
) -> Report:  # fmt: skip
    """`check` for a test suite: functions of the exercise on random networks, but for options of one network,
    and `cases`, an option of the whole suite, only where something is drawn."""
    subjects = subjects_of(what)
    if not _only_operations(subjects):
        cases = None if _OF_ONE_NETWORK & network.keys() else cases or CASES
    elif not _draws(subjects, inputs):
        cases = None
    report = _check(subjects, what, inputs, contracts, cases, network)
    return strictly(report) if strict else report


def _check(
    subjects: Subjects, what: What, inputs: Inputs, contracts: bool, cases: int | None,
    network: Mapping[str, Value],
) -> Report:  # fmt: skip
    one_network = _network(subjects, what, inputs, cases, network)
    parts: dict[str, Report] = {}
    errors = [subject.error for subject in subjects.values() if subject.error]
    for title, subject in told(subjects.items(), ""):
        try:
            if not subject.error:
                with own_warnings():  # which the contracts ask for
                    report = _of_subject(subject, one_network, inputs, contracts, cases)
                parts[title] = _with_the_rest(report, subject)
        except (TypeError, ValueError) as error:  # the others are checked all the same
            if len(subjects) == 1:
                raise
            errors.append(str(error))
    if not parts:
        raise ValueError(" ".join(errors))
    return collected(parts, errors)


def _of_subject(
    subject: Subject, network: Network, inputs: Inputs, contracts: bool, cases: int | None
) -> Report:
    if not subject.what:
        return Report(())
    if isinstance(subject.what, Operation):
        return check_operation(subject.what, *inputs, contracts=contracts, cases=cases)
    if cases is None:
        return network.check(subject.what, contracts)
    kind = {"activation": network.activation, "cost": network.cost}
    return check_functions(subject.what, contracts=contracts, cases=cases, **kind)


def _with_the_rest(report: Report, subject: Subject) -> Report:
    """What could not be checked comes first; of a stand-in nothing is said that is right."""
    unwritten = {row.function for row in subject.rows if row.verdict is Verdict.NOT_WRITTEN}
    rows = [row for row in report.rows if row.function not in unwritten or row.verdict is Verdict.FAIL]
    remarks = (*report.remarks, *subject.remarks)  # in which what is not checked is named, too
    return replace(report, rows=(*subject.rows, *rows), remarks=remarks, tested="")


def _network(
    subjects: Subjects, what: What, inputs: Inputs, cases: int | None, network: Mapping[str, Value]
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
    if inputs and not (isinstance(what, Operation) or (only_operations and len(subjects) == 1)):
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


def _only_operations(subjects: Subjects) -> bool:
    return all(isinstance(subject.what, Operation) for subject in subjects.values())


def _draws(subjects: Subjects, inputs: Inputs) -> bool:
    """Whether anything is drawn at random."""
    what = [subject.what for subject in subjects.values()]
    return any(not isinstance(w, Operation) or (w.draws and not inputs) for w in what)
