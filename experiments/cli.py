"""The command line over both packages: check, selftest, sweep, figures, and run (check, sweep, figures)."""

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
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from typer import Argument, Option

from experiments.data import DataError
from experiments.spec import Spec, SpecError, make_spec
from experiments.spec_file import read_fields
from experiments.store import StoreError
from experiments.sweep import GradientError, run_sweep
from sandbox.verifier.progress import shown
from sandbox.verifier.rendering import table
from sandbox.verifier.report import Report
from sandbox.verifier.terms import TERMS

app = typer.Typer(
    help="Check hand-written gradients of neural networks against automatic differentiation, and sweep "
    "learning rate, depth and initialisation with them.\n\n"
    "Start with: autodiff-sandbox run",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of `autodiff-sandbox`."""
    app()


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """What the user can mend becomes a sentence and an exit code: 2, malformed input; 1, a wrong gradient."""
    try:
        yield
    except (SpecError, DataError, StoreError) as error:
        raise _failed(2, error) from None
    except GradientError as error:
        raise _failed(1, error) from None


def _failed(exit_code: int, *errors: Exception | str) -> typer.Exit:
    for error in errors:
        print(f"Error: {error}", file=sys.stderr)
    return typer.Exit(exit_code)


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


def _show(report: Report, as_json: bool = False, everything: bool = False) -> None:
    if as_json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        console = Console()
        console.print(report)
        if everything:
            console.print("", table(report, console.width))
    for error in report.errors:
        print(f"Error: {error}", file=sys.stderr)


def _explained(term: str) -> typer.Exit:
    term = term.lower()
    if term not in TERMS:
        return _failed(2, f"--explain is {term!r}, expected one of: {', '.join(TERMS)}.")
    Console().print(f"{term}: {TERMS[term]}", highlight=False)
    return typer.Exit(0)


def _watch(paths: list[Path], checked: Callable[[], Report], as_json: bool) -> None:
    from experiments.watching import watch

    if not paths or as_json:
        raise _failed(2, "--watch: give the path of a file, and no --json.")

    def check_once() -> Report | None:
        try:
            report = checked()
        except typer.Exit:  # it said why
            return None
        _show(report)
        return report

    watch(paths, check_once, functools.partial(print, flush=True))


def _checked(what: Path | list[Path] | None, **options: Any) -> Report:
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
        raise _failed(2, message) from None


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


Action = TypeVar("Action", bound=Callable[[Spec, Path, bool], object])


def _sweep_command(action: Action) -> Action:
    """Add a command with the action's name and docstring and the options of a sweep."""

    @app.command(action.__name__, help=action.__doc__)
    @_exit_codes()
    def command(
        spec_file: Annotated[
            Path | None, Argument(help="TOML file; fields: name, data, depths, widths, ...")
        ] = None,
        name: Annotated[str | None, Option(help="Name of the results, default main.")] = None,
        data: Annotated[str | None, Option(help="'digits' (the default) or an HDF5 file.")] = None,
        depth: Annotated[list[int] | None, Option(help="Layers with parameters; repeatable.")] = None,
        width: Annotated[list[int] | None, Option(help="Units of a hidden layer; repeatable.")] = None,
        learning_rate: Annotated[list[float] | None, Option(help="Repeatable.")] = None,
        seed: Annotated[list[int] | None, Option(help="Of the initial parameters; repeatable.")] = None,
        scheme: Annotated[
            list[str] | None, Option(help="Initialisation: small, he or inverse_sqrt; repeatable.")
        ] = None,
        steps: Annotated[int | None, Option(help="Full-batch gradient steps of each run.")] = None,
        dtype: Annotated[str | None, Option(help="float64 (the default) or float32.")] = None,
        results: Annotated[Path, Option(help="Folder of the results.")] = Path("results"),
        overwrite: Annotated[
            bool, Option("--overwrite", help="Replace earlier results of this name.")
        ] = False,
    ) -> None:
        options = {
            "name": name, "data": data, "depths": depth, "widths": width, "learning_rates": learning_rate,
            "seeds": seed, "schemes": scheme, "steps": steps, "dtype": dtype,
        }  # fmt: skip
        given = {field: value for field, value in options.items() if value is not None}
        fields = read_fields(spec_file) if spec_file else {}
        action(make_spec(fields | given), results, overwrite)

    return action


@_sweep_command
def sweep(spec: Spec, results: Path, overwrite: bool) -> Path:
    """Train every combination of the given values, with gradients checked before and after.

    Killed or interrupted, the same command (without --overwrite, which begins anew) goes on where it
    stopped. Options take precedence over the file.

    Example: autodiff-sandbox sweep --name deep --depth 2 --depth 8 --scheme he --learning-rate 0.1
    """
    try:
        with _bar(len(spec.groups) * spec.runs_per_group) as progress:
            combined = run_sweep(spec, results, progress, overwrite)
    except KeyboardInterrupt:
        same = "the same command, without --overwrite," if overwrite else "the same command"
        print(
            f"Interrupted. What is finished is kept in {results}; {same} goes on from there.", file=sys.stderr
        )
        raise typer.Exit(130) from None
    print(f"results  {combined}")
    return combined


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, on a terminal; what to call when so many more runs are done, of which some diverged."""
    console = Console(stderr=True)
    text = "runs, {task.fields[diverged]} diverged, {task.fields[rate]:.1f} runs/s,"
    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), TextColumn(text), left
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        bar.add_task("", total=total, diverged=0, rate=0.0)
        [task] = bar.tasks

        def advance(runs: int, diverged: int) -> None:
            rate = (task.completed + runs) / max(task.elapsed or 0.0, 1e-3)
            bar.update(task.id, advance=runs, diverged=task.fields["diverged"] + diverged, rate=rate)

        yield advance


@app.command()
@_exit_codes()
def figures(
    results_file: Annotated[Path, Argument(help="Combined file of a sweep, <folder>/<name>.h5.")],
    out: Annotated[Path | None, Option(help="Folder, default figures/ beside the results file.")] = None,
) -> None:
    """Draw the figures of a sweep as PDF, SVG and PNG.

    Example: autodiff-sandbox figures results/main.h5
    """
    from experiments.figures import draw_figures

    for path in draw_figures(results_file, out or results_file.parent / "figures"):
        print(f"figure   {path}")


@_sweep_command
def run(spec: Spec, results: Path, overwrite: bool) -> None:
    """The whole job: check the gradients of a network, sweep, and draw the figures.

    Example: autodiff-sandbox run
    """
    report = _checked(
        None, depth=max(spec.depths), width=spec.widths[0], scheme=spec.schemes[0], dtype=spec.dtype,
        seed=spec.seeds[0],
    )  # fmt: skip
    Console().print(report)
    if not report:
        raise typer.Exit(1)
    figures(sweep(spec, results, overwrite))
