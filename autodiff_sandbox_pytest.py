"""The `gradcheck` fixture, for a test suite of one's own; installed with this package.

    def test_layer_norm(gradcheck):
        gradcheck(layer_norm)               # an Operation: its examples, drawn and shrunk
        gradcheck(layer_norm, x, gamma)     # or at these inputs

    def test_my_exercise(gradcheck):
        gradcheck(my_module)                # functions with the exercise's names

A failure's message is the report. Nothing of the package is imported before the fixture is used: a folder
named `sandbox` in a project of one's own breaks neither pytest nor that project's imports.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sandbox import Report


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
    """gradcheck(what, *inputs, **options): fail with the report unless every gradient is right.

    `what` and the options are whatever `sandbox.check` takes: an Operation, checked at the given inputs or
    else at its examples; functions with the exercise's names, on random networks (or on one, with depth=,
    dtype= and the like), in a module, a path or a mapping; or a list of these. Returns the report.
    """
    checking = _checking()

    def check(what: Any, *inputs: Any, **options: Any) -> Report:
        __tracebackhide__ = True
        cases = request.config.getoption("--gradcheck-cases")
        try:
            report: Report = checking.check_drawn(what, *inputs, **({"cases": cases} | options))
        except (TypeError, ValueError) as error:  # one clear sentence, without the way to it
            pytest.fail(f"gradcheck: {error}", pytrace=False)
        if report.errors:
            pytest.fail(f"gradcheck: {' '.join(report.errors)}", pytrace=False)
        if not report:
            # The first line, which is what pytest's short summary shows, is the verdict.
            pytest.fail(f"{report.headline()}\n\n{report}" if report.parts else str(report), pytrace=False)
        return report

    return check


def _checking() -> Any:
    """`sandbox.checking`, if the `sandbox` that is found is the one that was installed with this file."""
    found = importlib.import_module("sandbox")
    place = Path(found.__file__ or next(iter(found.__path__)))  # which a folder without __init__ has alone
    place = place.parent if place.name == "__init__.py" else place
    if place != Path(__file__).parent / "sandbox":
        pytest.fail(
            f"gradcheck: {place} hides the package sandbox of autodiff-sandbox; rename it, or take it out of "
            "sys.path.",
            pytrace=False,
        )
    return importlib.import_module("sandbox.checking")
