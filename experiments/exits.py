"""What the user can mend becomes a sentence and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from typer import Exit

from experiments.data import DataError
from experiments.executors import WorkerError
from experiments.files import GOES_ON, StoreError
from experiments.own import OwnError
from experiments.sentences import escaped
from experiments.spec import SpecError
from experiments.verification import GradientError


def failed(exit_code: int, *errors: Exception | str) -> Exit:
    """The exit, after these errors are said."""
    for error in errors:
        print(f"Error: {error}", file=sys.stderr)
    return Exit(exit_code)


@contextmanager
def exit_codes(*, goes_on: bool) -> Iterator[None]:
    """2: input, results, disk or memory that will not do. 1: a wrong gradient.

    Args:
        goes_on: whether the same command then goes on where it stopped.
    """
    then = f", then {GOES_ON}" if goes_on else ""
    try:
        yield
    except (SpecError, DataError, StoreError, WorkerError, OwnError) as error:
        raise failed(2, escaped(str(error))) from None
    except GradientError as error:
        raise failed(1, error) from None
    except BrokenPipeError:
        raise  # nobody reads the output any more
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        why = escaped(f"{where}{error.strerror or error}")
        raise failed(2, f"{why}; mend that{then}.") from None
    except MemoryError as error:
        why = str(error) or "there is too little"
        advice = "give fewer --jobs or a smaller spec" if goes_on else "close other programs"
        raise failed(2, f"memory: {why}; {advice}{then}.") from None
    except RecursionError:
        raise failed(2, "something in the input is nested too deeply; make it flatter.") from None
