"""Where the command begins: from here on it can be stopped."""

import os
import sys

from experiments.stopping import stoppable

GO_ON = (["run"], ["sweep"])  # the verbs that go on where they were stopped


def main() -> None:
    """Entry point of `autodiff-sandbox`."""
    with stoppable(sys.argv[1:2] in GO_ON):
        try:
            from experiments.cli import app

            try:
                app()
            finally:
                sys.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as in `export main --csv - | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
