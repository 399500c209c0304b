"""The `gradcheck` fixture, for a test suite of one's own; installed with this package.

    def test_layer_norm(gradcheck):
        gradcheck(layer_norm)               # an Operation: its examples, drawn and shrunk
        gradcheck(layer_norm, x, gamma)     # or at these inputs

    def test_my_exercise(gradcheck):
        gradcheck(my_module)                # functions with the exercise's names

A failure's message is the report.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sandbox.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradcheck", "gradients checked against automatic differentiation")
    group.addoption(
        "--gradcheck-cases",
        type=_positive,
        default=None,
        metavar="N",
        help="random cases that `gradcheck` draws for each operation or module (default: 25)",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """gradcheck(what, *inputs, contracts=True): fail with the report unless every gradient is right.

    `what` is a `sandbox.Operation`, checked at the given inputs or else at its examples; or a module or a
    path, of which the operations are checked or else the functions with the exercise's names, on random
    networks; or a mapping of such functions. Returns the report.
    """
    from sandbox.hooks import load_file
    from sandbox.operations import Operation, check_operation, has_exercise, operations_of
    from sandbox.report import merged
    from sandbox.verify import check_functions

    def reports_of(what: Any, inputs: tuple[Any, ...], contracts: bool) -> list[Report]:
        cases = request.config.getoption("--gradcheck-cases")
        if isinstance(what, Operation):
            return [check_operation(what, *inputs, contracts=contracts, cases=cases)]
        if what is None:
            raise TypeError("got None, expected an Operation, a module, a mapping or a path.")
        if inputs:
            raise TypeError(
                f"inputs go with an Operation, got {type(what).__name__}; use "
                "sandbox.check_model(parameters, X, Y, functions=...) for a network of your own."
            )
        what = load_file(Path(what)) if isinstance(what, str | Path) else what
        operations = operations_of(what) if isinstance(what, ModuleType) else {}
        reports = [check_operation(op, contracts=contracts, cases=cases) for op in operations.values()]
        if not operations or has_exercise(what):
            reports.insert(0, check_functions(what, contracts=contracts, cases=cases))
        return reports

    def check(what: Any, *inputs: Any, contracts: bool = True) -> Report:
        __tracebackhide__ = True
        try:
            reports = reports_of(what, inputs, contracts)
        except (TypeError, ValueError) as error:  # one clear sentence, without the way to it
            pytest.fail(f"gradcheck: {error}", pytrace=False)
        for report in reports:
            if not report:
                # The first line is what pytest's short summary shows.
                first = next((f"{row.place}: {row.finding}" for row in report.failures()), "nothing compared")
                pytest.fail(f"{first}\n\n{report}", pytrace=False)
        return reports[0] if len(reports) == 1 else merged(reports)

    return check
