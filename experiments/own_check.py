"""The user's functions as a spec names them: read, and checked before anything trains."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.own import Own
from experiments.points import Architecture
from experiments.sentences import shown
from experiments.spec import Spec, SpecError
from experiments.verification import GradientError, Tested
from sandbox.typing import Function

if TYPE_CHECKING:
    from sandbox.reading.loading import Source


def own_functions(spec: Spec) -> Own | None:
    """What is read of the spec's file of functions now; None if it has none.

    Raises:
        SpecError: it cannot be read, or holds no function that could train.
    """
    return None if spec.functions is None else read_own(spec.functions)


def read_own(path: str) -> Own:
    """A Python file, a notebook or a note with functions of the exercise's names.

    Raises:
        SpecError: it is none.
    """
    from sandbox.reading.loading import snapshot  # what is imported here loads JAX
    from sandbox.subjects import subjects_of

    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "no such file"
        raise SpecError(f"functions: got {shown(path)}, {what}, expected a file with functions; name one.")
    try:
        own = Own(path, snapshot(Path(path)), ())
        subjects = subjects_of(_source(own))
    except ValueError as error:
        raise SpecError(f"functions: {str(error).removeprefix('functions: ')}") from None
    written = next((s.what for s in subjects.values() if isinstance(s.what, Mapping)), None)
    if written is not None:
        return Own(path, own.snapshot, _names(written))
    unwritten = [row for subject in subjects.values() for row in subject.rows]
    if unwritten:
        raise SpecError(
            f"functions: got {shown(path)}, in which nothing is written yet ({unwritten[0].function}: "
            f"{unwritten[0].finding.rstrip('.')}), expected at least one function; write one."
        )
    raise SpecError(
        f"functions: got {shown(path)}, which holds operations only, expected functions of the exercise's "
        "names (linear_backward, L_model_backward, ...); operations are checked, and do not train."
    )


def tested(own: Own) -> Tested:
    """Its functions, with the sandbox's in the place of those that are not written yet."""
    from sandbox.subjects import subjects_of

    subjects = subjects_of(_source(own)).values()
    functions: Mapping[str, Function] = next(s.what for s in subjects if isinstance(s.what, Mapping))
    return Tested(own.path, functions)


def check_own(own: Own, architectures: Iterable[Architecture]) -> None:
    """Check the functions as `autodiff-sandbox check` does, for each activation, cost and dtype of these.

    Raises:
        GradientError: one is wrong, or could not be judged; the message has the report.
    """
    from sandbox.checking import check
    from sandbox.reading.running import held_back
    from sandbox.verifier.rows import Verdict

    source = _source(own)
    for activation, cost, dtype in dict.fromkeys((a.activation, a.cost, a.dtype) for a in architectures):
        with held_back():
            report = check(source, activation=activation, cost=cost, dtype=dtype)
        unknown = {row.function for row in report.outputs if row.verdict is Verdict.NOT_JUDGED}
        if report.failures() or unknown.intersection(own.names):
            raise GradientError(
                f"functions: {own.path} did not pass its check ({activation}, {cost}, {dtype}), and "
                f"nothing is trained; correct it, then run the same command again.\n\n{report}"
            )


def _source(own: Own) -> "Source":
    """As it is run in this process, with the sandbox's own functions where it has none."""
    from sandbox.network.functions import FUNCTIONS
    from sandbox.reading.loading import read

    return read(own.snapshot, FUNCTIONS)


def _names(written: Mapping[str, Function]) -> tuple[str, ...]:
    from sandbox.network.tested import named_functions

    return tuple(named_functions(written))
