"""Options that are malformed or unknown, in a sentence as everything else that the user can mend."""

from typing import Any

from typer.core import TyperGroup

from experiments.sentences import escaped, most_like

SEVERAL = "several values are given as --depth 2 --depth 4"
NO_OVERWRITE = (
    "runs are found by their content, and nothing needs to be overwritten; to train anew, delete "
    "results/runs, or choose another --results"
)


class Verbs(TyperGroup):
    """The command's verbs, whose errors of usage are one line: without the summary of the options, and
    without a character that a terminal would obey."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "ctx") and hasattr(error, "message"):  # an error of usage
                if advice := _advice(error):
                    error.message = f"{error.message.removesuffix('.')}; {advice}"
                error.ctx, error.message = None, escaped(error.message)
            raise


def _advice(error: Any) -> str:
    """What to do, where that is not plain; empty otherwise."""
    if option := getattr(error, "option_name", None):
        error.possibilities = None  # which may be --help alone
        return NO_OVERWRITE if option == "--overwrite" else _nearest_option(option, error.ctx)
    if getattr(getattr(error, "param", None), "multiple", False):
        return SEVERAL.replace("--depth", error.param.opts[0])
    extra = "unexpected extra argument" in error.message
    return SEVERAL if extra and any(each.name == "depth" for each in error.ctx.command.params) else ""


def _nearest_option(option: str, ctx: Any) -> str:
    options = [each for param in ctx.command.params for each in param.opts if each.startswith("--")]
    found = most_like(option.lstrip("-"), [each.lstrip("-") for each in options])
    return f"did you mean --{found}?" if found else ""
