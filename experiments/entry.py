"""Where the command begins: from here on it can be stopped."""

import os
import sys
from typing import TextIO

from experiments.stopping import stoppable

GO_ON = (["run"], ["sweep"], ["refine"], ["combine"])  # the verbs that go on where they were stopped


def main() -> None:
    """Entry point of `autodiff-sandbox`."""
    # Where they are closed, as by `>&-`, there is nobody to print to.
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    with stoppable(sys.argv[1:2] in GO_ON):
        try:
            from experiments.cli import app

            try:
                app()
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as in `export main --csv - | head`
            _to_nowhere()
            sys.exit(1)
        except OSError as error:  # the disk that takes the output is full
            _to_nowhere()
            print(f"Error: output: {error.strerror}; mend that, then run the command again.", file=sys.stderr)
            sys.exit(2)


def _nowhere() -> TextIO:
    return open(os.devnull, "w")


def _to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
