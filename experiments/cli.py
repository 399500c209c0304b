"""The command line over both packages: check, selftest, the verbs of sweeps, and run, which does all."""

import contextlib
import functools
import gc
import importlib.metadata
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from typer import Argument, Option

from experiments import answering, looking, refining, sweeping
from experiments.exits import failed
from experiments.own_check import own_functions
from experiments.spec import Spec
from experiments.usage import Verbs
from sandbox.verifier.progress import shown
from sandbox.verifier.terms import TERMS

if TYPE_CHECKING:
    from sandbox.verifier.report import Report

app = typer.Typer(
    cls=Verbs,
    help="Check hand-written gradients of neural networks against automatic differentiation, and sweep "
    "learning rate, depth and initialisation with them.\n\n"
    "Start with: autodiff-sandbox run",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"autodiff-sandbox {importlib.metadata.version('autodiff-sandbox')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    paths: Annotated[
        list[Path] | None,
        Argument(
            help="Python file, notebook, note (Markdown) or folder of a project, with functions of the "
            "exercise's names, or with operations of your own (sandbox.Operation); several are checked each "
            "by itself. Without any, the sandbox's own functions are checked."
        ),
    ] = None,
    depth: Annotated[int | None, Option(help="Layers with parameters (3).")] = None,
    width: Annotated[int | None, Option(help="Units of the input and of each hidden layer (8).")] = None,
    examples: Annotated[int | None, Option(help="Number of random examples (32).")] = None,
    scheme: Annotated[str | None, Option(help="Initialisation: small, he or inverse_sqrt (he).")] = None,
    dtype: Annotated[str | None, Option(help="float64 or float32 (float64).")] = None,
    seed: Annotated[int | None, Option(help="Of the parameters and the examples (0).")] = None,
    activation: Annotated[str | None, Option(help="Of the hidden layers (relu).")] = None,
    cost: Annotated[str | None, Option(help="Of the network (cross_entropy).")] = None,
    cases: Annotated[
        int | None, Option(help="Random networks, or drawn examples of an operation (25).")
    ] = None,
    contracts: Annotated[
        bool, Option(help="Whether to check those too: aliases, dtypes, warnings, ...")
    ] = True,
    strict: Annotated[
        bool, Option("--strict", help="Manners fail too: an update in place, a missing dA0, warnings, ...")
    ] = False,
    everything: Annotated[bool, Option("--all", help="Print the table of all rows, too.")] = False,
    explain: Annotated[
        str | None,
        Option(metavar="TERM", help=f"Say what a term of the report means: {', '.join(TERMS)}."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print the report as JSON.")] = False,
    watched: Annotated[
        bool, Option("--watch", help="Check again at each save, and say what changed; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Check gradients against automatic differentiation; exit with 0 when all are right, 1 when one is
    wrong, 2 when the input is malformed.

    Functions of the exercise are checked on one network with random parameters and examples, of the sizes
    given; with --cases on that many small random networks. Operations are checked at their own examples
    (those whose name begins with "wrong" are left out).

    Of a file (.py, .ipynb, .md) only definitions are run, and what they need; what it prints is held back.
    The functions in a folder are those of one project, unless two of its files have the same one.

    Examples: autodiff-sandbox check --depth 4 --width 16; autodiff-sandbox check my_backprop.py;
    autodiff-sandbox check --watch note.md
    """
    if explain is not None:
        raise _explained(explain)
    what = paths[0] if paths and len(paths) == 1 else paths or None
    checked = functools.partial(
        _checked, what, depth=depth, width=width, examples=examples, scheme=scheme, dtype=dtype, seed=seed,
        activation=activation, cost=cost, cases=cases, contracts=contracts, strict=strict,
    )  # fmt: skip
    if watched:
        _watch(paths or [], checked, as_json)
        return
    report = checked()
    _show(report, as_json, everything)
    if report.errors:
        raise typer.Exit(2)
    if not report:
        raise typer.Exit(1)


def _show(report: "Report", as_json: bool = False, everything: bool = False) -> None:
    if as_json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        console = Console()
        console.print(report)
        if everything:
            from sandbox.verifier.rendering import table

            console.print("", table(report, console.width))
    for error in report.errors:
        print(f"Error: {error}", file=sys.stderr)


def _explained(term: str) -> typer.Exit:
    term = term.lower()
    if term not in TERMS:
        return failed(2, f"--explain is {term!r}, expected one of: {', '.join(TERMS)}.")
    Console().print(f"{term}: {TERMS[term]}", highlight=False)
    return typer.Exit(0)


def _watch(paths: list[Path], checked: Callable[[], "Report"], as_json: bool) -> None:
    from experiments.watching import watch

    if not paths or as_json:
        raise failed(2, "--watch: give the path of a file, and no --json.")

    def check_once() -> "Report | None":
        try:
            report = checked()
        except typer.Exit:  # it said why
            return None
        _show(report)
        return report

    watch(paths, check_once, functools.partial(print, flush=True))


def _checked(what: Path | list[Path] | None, **options: Any) -> "Report":
    """`sandbox.check`; an option that was not given is left to it. What the tested code prints is held
    back."""
    # JAX's objects are many and all stay: looking through them for garbage would take 0.2 s.
    gc.disable()
    from sandbox.checking import check
    from sandbox.reading.running import held_back

    gc.freeze()
    gc.enable()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        with _progress_of_check(), held_back():
            return check(what, **given)
    except (TypeError, ValueError) as error:
        message = str(error)
        for name in given:  # as they are called here
            message = re.sub(rf"^((?:--\w+, )*){name}\b", rf"\1--{name}", message)
        raise failed(2, message) from None


SLOW = 2.0  # seconds, after which a check shows how far it is


@contextlib.contextmanager
def _progress_of_check() -> Iterator[None]:
    """A bar on a terminal, if the check is slow, and gone when it is done."""
    console = Console(file=sys.stderr)  # this one: what the checked file prints is held back
    if not console.is_terminal:
        yield
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    # What the checked file prints goes where it would.
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    task = bar.add_task("checking", total=None)
    timer = threading.Timer(SLOW, bar.start)
    timer.daemon = True

    def show(done: float, total: int, what: str) -> None:
        bar.update(task, completed=done, total=total, description=f"checking {what}")

    timer.start()
    try:
        with shown(show):
            yield
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


@app.command()
def selftest() -> None:
    """Check the checker: known wrong implementations must be caught and rightly blamed, known right
    ones must pass. Exit with 1 when one is not.

    Example: autodiff-sandbox selftest
    """
    from sandbox.network.selftest import run_selftest

    console = Console()
    result = run_selftest()
    console.print(result)
    if not result:
        raise typer.Exit(1)


def run(spec: Spec, how: sweeping.How) -> None:
    """The whole job: check the gradients of a network, sweep, and draw the figures.

    Example: autodiff-sandbox run
    """
    own = own_functions(spec)
    columns = "width", "scheme", "dtype", "seed", "activation", "cost"
    first = {column: spec.all_values(column)[0] for column in columns}
    report = _checked(Path(own.path) if own else None, depth=max(spec.all_values("depth")), **first)
    wrong = report.failures() if own else not report  # what is not written yet, the sandbox supplies
    if not how.quiet or wrong:
        Console().print(report)
    if wrong:
        raise typer.Exit(1)
    sweeping.figures(str(sweeping.sweep(spec, how)))


VERBS = (
    sweeping.command(sweeping.sweep, "shards"),
    sweeping.command(sweeping.combine, "jobs", "dask", "shard", "dry_run"),
    sweeping.command(run, "shard", "shards"),
    refining.refine,
    sweeping.figures,
    sweeping.export,
    answering.show,
    answering.diff,
    answering.rm,
    looking.watch,
)
for verb in VERBS:
    app.command()(verb)
app.command("list")(answering.list_names)
