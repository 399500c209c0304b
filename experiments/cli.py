"""The command line over both packages: check, sweep, figures, and run, which does all three."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.data import DataError
from experiments.spec import Spec, SpecError, make_spec, read_fields
from experiments.store import StoreError
from experiments.sweep import GradientError, run_sweep
from experiments.training import initial_parameters

app = typer.Typer(
    help="Check hand-written gradients of neural networks against automatic differentiation, and sweep "
    "learning rate, depth and initialisation with them.\n\n"
    "Start with: autodiff-sandbox run",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SpecFile = Annotated[Path | None, typer.Argument(help="TOML file; fields: name, data, depths, widths, ...")]
Name = Annotated[str | None, typer.Option(help="Name of the results, default main.")]
Data = Annotated[str | None, typer.Option(help="'digits' (the default) or an HDF5 file.")]
Depths = Annotated[list[int] | None, typer.Option("--depth", help="Layers with parameters; repeatable.")]
Widths = Annotated[list[int] | None, typer.Option("--width", help="Units of a hidden layer; repeatable.")]
Rates = Annotated[list[float] | None, typer.Option("--learning-rate", help="Repeatable.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Of the initial parameters; repeatable.")]
Schemes = Annotated[
    list[str] | None, typer.Option("--scheme", help="Initialisation: small, he or inverse_sqrt; repeatable.")
]
Steps = Annotated[int | None, typer.Option(help="Full-batch gradient steps of each run.")]
Dtype = Annotated[str | None, typer.Option(help="float64 (the default) or float32.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results of this name.")]


def main() -> None:
    """Entry point of `autodiff-sandbox`."""
    app()


@app.command()
def check(
    depth: Annotated[int, typer.Option(help="Layers with parameters.")] = 3,
    width: Annotated[int, typer.Option(help="Units of the input and of each hidden layer.")] = 8,
    examples: Annotated[int, typer.Option(min=1, help="Number of random examples.")] = 32,
    scheme: Annotated[str, typer.Option(help="Initialisation: small, he or inverse_sqrt.")] = "he",
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    seed: Annotated[int, typer.Option(help="Of the parameters and the examples.")] = 0,
) -> None:
    """Check the gradients of one network with random parameters and examples; exit 1 when one fails.

    Example: autodiff-sandbox check --depth 4 --width 16
    """
    fields = {"depths": [depth], "widths": [width], "schemes": [scheme], "dtype": dtype, "seeds": [seed]}
    try:
        spec = make_spec(fields)
    except SpecError as error:
        raise _bad_input(error) from None
    if not _check(spec, n_0=width, examples=examples):
        raise typer.Exit(1)


@app.command()
def sweep(
    spec_file: SpecFile = None,
    name: Name = None,
    data: Data = None,
    depth: Depths = None,
    width: Widths = None,
    learning_rate: Rates = None,
    seed: Seeds = None,
    scheme: Schemes = None,
    steps: Steps = None,
    dtype: Dtype = None,
    results: Results = Path("results"),
    overwrite: Overwrite = False,
) -> None:
    """Train every combination of the given values, with gradients checked before and after.

    Killed or interrupted, the same command goes on where it stopped. Options take precedence over the file.

    Example: autodiff-sandbox sweep --name deep --depth 2 --depth 8 --scheme he --learning-rate 0.1
    """
    spec = _spec(spec_file, locals())
    print(f"results  {_sweep(spec, results, overwrite)}")


@app.command()
def figures(
    results_file: Annotated[Path, typer.Argument(help="Combined file of a sweep, <folder>/<name>.h5.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder, default figures/ beside the results file.")
    ] = None,
) -> None:
    """Draw the figures of a sweep as PDF, SVG and PNG.

    Example: autodiff-sandbox figures results/main.h5
    """
    _figures(results_file, out or results_file.parent / "figures")


@app.command()
def run(
    spec_file: SpecFile = None,
    name: Name = None,
    data: Data = None,
    depth: Depths = None,
    width: Widths = None,
    learning_rate: Rates = None,
    seed: Seeds = None,
    scheme: Schemes = None,
    steps: Steps = None,
    dtype: Dtype = None,
    results: Results = Path("results"),
    overwrite: Overwrite = False,
) -> None:
    """The whole job: check the gradients of a network, sweep, and draw the figures.

    Example: autodiff-sandbox run
    """
    spec = _spec(spec_file, locals())
    if not _check(spec, n_0=8, examples=32):
        raise typer.Exit(1)
    combined = _sweep(spec, results, overwrite)
    print(f"results  {combined}")
    _figures(combined, results / "figures")


def _spec(spec_file: Path | None, options: dict[str, Any]) -> Spec:
    """The file's fields, overridden by the options that were given."""
    fields = {
        **{key: options[key] for key in ("name", "data", "steps", "dtype")},
        **{f"{key}s": options[key] for key in ("depth", "width", "learning_rate", "seed", "scheme")},
    }
    try:
        given = read_fields(spec_file) if spec_file else {}
        return make_spec({**given, **{key: value for key, value in fields.items() if value is not None}})
    except SpecError as error:
        raise _bad_input(error) from None


def _check(spec: Spec, n_0: int, examples: int) -> bool:
    """Print the report on the spec's deepest network, first scheme, width and seed; True when it passes."""
    from sandbox.verify import check_model  # loads JAX

    depth, seed = max(spec.depths), spec.seeds[0]
    networks = initial_parameters(n_0, depth, spec.widths[0], spec.schemes[0], [seed], spec.dtype)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_0, examples)).astype(spec.dtype)
    Y = rng.integers(0, 2, (1, examples)).astype(spec.dtype)
    report = check_model({key: value[0] for key, value in networks.items()}, X, Y)
    print(report)
    return bool(report)


def _sweep(spec: Spec, results: Path, overwrite: bool) -> Path:
    console = Console(stderr=True)
    columns = (
        TextColumn("sweep"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs, {task.fields[diverged]} diverged, {task.fields[rate]:.1f} runs/s,"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=len(spec.groups) * spec.runs_per_group, diverged=0, rate=0.0)

            def progress(runs: int, diverged: int) -> None:
                state = bar.tasks[task]
                rate = (state.completed + runs) / max(state.elapsed or 0.0, 1e-3)
                bar.update(task, advance=runs, diverged=state.fields["diverged"] + diverged, rate=rate)

            return run_sweep(spec, results, progress, overwrite)
    except (DataError, StoreError) as error:
        raise _bad_input(error) from None
    except GradientError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _figures(results_file: Path, out: Path) -> None:
    from experiments.figures import draw_figures

    try:
        files = draw_figures(results_file, out)
    except StoreError as error:
        raise _bad_input(error) from None
    for path in files:
        print(f"figure   {path}")


def _bad_input(error: Exception) -> typer.Exit:
    print(f"Error: {error}", file=sys.stderr)
    return typer.Exit(2)
