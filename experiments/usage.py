"""Options that are malformed or unknown, in a sentence as everything else that the user can mend."""

from typing import Any

from typer.core import TyperGroup

from experiments.sentences import escaped


class Verbs(TyperGroup):
    """The command's verbs, whose errors of usage are one line: without the summary of the options, and
    without a character that a terminal would obey."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "ctx") and hasattr(error, "message"):  # an error of usage
                error.ctx, error.message = None, escaped(error.message)
            raise
