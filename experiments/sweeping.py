"""The verbs that name a sweep, but for `run`: sweep, combine, figures, export; and what others share."""

import inspect
import os
import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from typer import Argument, Option

from experiments import sentences
from experiments.exits import exit_codes
from experiments.machine import in_words
from experiments.outcome import Outcome, outcome
from experiments.outcome import in_words as outcome_in_words
from experiments.progress import Status, shown
from experiments.shards import Shard
from experiments.source import SETS
from experiments.spec import Spec, SpecError, make_spec
from experiments.spec_file import read_fields
from experiments.stopping import now_kept
from experiments.sweep import Plan, plan, run_sweep
from experiments.sweep import combine as combined
from experiments.usage import SEVERAL

OPTIONS = ("results", "jobs", "dask", "shard", "shards", "keep_parameters", "dry_run", "quiet")
"""Of a sweep, but for those that are fields of a spec."""

Results = Annotated[Path, Option(help="Folder of the results.")]
Jobs = Annotated[int | None, Option(help="Processes that train; default: all cores.")]
Dask = Annotated[str | None, Option(metavar="ADDRESS", help="Of a Dask scheduler, whose workers train.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what there is to do, and do nothing.")]
Quiet = Annotated[bool, Option("--quiet", help="Say nothing but errors and what was made.")]
Name = Annotated[str, Argument(help="Name of the results; or their file, DIR/NAME.h5.")]


@dataclass(frozen=True)
class How:
    """How a sweep is run, as its options say."""

    results: Path
    jobs: int | None
    keep_parameters: bool
    quiet: bool
    dask: str | None = None
    shard: Shard | None = None
    shards: int | None = None


def command(action: Callable[[Spec, How], object], *without: str) -> Callable[..., None]:
    """A command with the action's name and docstring and the options of a sweep, but for those `without`;
    with --dry-run it says what it would do."""

    @exit_codes(goes_on=True)
    def command(
        what: Annotated[
            str | None, Argument(help="TOML file of a spec (name, data, depths, widths, ...), or a NAME.")
        ] = None,
        name: Annotated[str | None, Option(help="Name of the results, default main.")] = None,
        data: Annotated[
            str | None, Option(help=f"{', '.join(SETS)}, or a file: CSV, TSV, Parquet, NPZ, HDF5 (digits).")
        ] = None,
        target: Annotated[str | None, Option(help="Column of the labels, of a table.")] = None,
        positive: Annotated[list[str] | None, Option(help="Label of class 1; repeatable.")] = None,
        negative: Annotated[
            list[str] | None, Option(help="Label of class 0, default all others; repeatable.")
        ] = None,
        standardise: Annotated[
            bool | None, Option(help="Mean 0 and deviation 1 of each feature; default: all but images.")
        ] = None,
        data_parameter: Annotated[
            list[str] | None, Option(metavar="NAME=NUMBER", help="Of a set that is drawn; repeatable.")
        ] = None,
        train_fraction: Annotated[
            float | None, Option(help="Of the examples, for training; the others test (0.8).")
        ] = None,
        split_seed: Annotated[int | None, Option(help="Of the choice of these examples (0).")] = None,
        depth: Annotated[list[int] | None, Option(help="Layers with parameters; repeatable.")] = None,
        width: Annotated[list[int] | None, Option(help="Units of a hidden layer; repeatable.")] = None,
        learning_rate: Annotated[
            list[float] | None, Option(help="Factor of the gradient; repeatable.")
        ] = None,
        seed: Annotated[list[int] | None, Option(help="Of the initial parameters; repeatable.")] = None,
        scheme: Annotated[
            list[str] | None, Option(help="Initialisation: small, he or inverse_sqrt; repeatable.")
        ] = None,
        activation: Annotated[list[str] | None, Option(help="Of the hidden layers; repeatable.")] = None,
        cost: Annotated[list[str] | None, Option(help="That is minimised; repeatable.")] = None,
        steps: Annotated[int | None, Option(help="Full-batch gradient steps of each run.")] = None,
        dtype: Annotated[str | None, Option(help="float64 (the default) or float32.")] = None,
        points: Annotated[
            str | None, Option(metavar="FILE", help="CSV file with a line for each run, as export writes.")
        ] = None,
        functions: Annotated[
            str | None,
            Option(metavar="PATH", help="File, notebook or note with your functions, to train with."),
        ] = None,
        results: Results = Path("results"),
        jobs: Jobs = None,
        dask: Dask = None,
        shard: Annotated[
            str | None,
            Option(metavar="I/N", help="Train the part I of N, for array jobs; then `combine`."),
        ] = None,
        shards: Annotated[
            int | None, Option(metavar="N", help="How many there are, to say which are not done.")
        ] = None,
        keep_parameters: Annotated[
            bool, Option("--keep-parameters", help="Store final parameters: runs can be made longer.")
        ] = False,
        dry_run: DryRun = False,
        quiet: Quiet = False,
    ) -> None:
        options = {
            "name": name, "data": data, "target": target, "positive": positive, "negative": negative,
            "standardise": standardise, "data_parameters": _parameters(data_parameter),
            "train_fraction": train_fraction, "split_seed": split_seed,
            "depths": depth, "widths": width, "learning_rates": learning_rate, "seeds": seed,
            "schemes": scheme, "activations": activation, "costs": cost, "steps": steps, "dtype": dtype,
            "points": points,
            "functions": functions,
        }  # fmt: skip
        given = {field: value for field, value in options.items() if value is not None}
        part = Shard.parsed(shard) if shard is not None else None
        with warnings_in_a_line():
            spec = make_spec(_fields(what, given), sentences.as_in_toml)
            if dry_run:
                there = plan(spec, results, jobs=jobs, keep_parameters=keep_parameters, dask=dask, shard=part)
                print(plan_in_words(there))
            else:
                action(spec, How(results, jobs, keep_parameters, quiet, dask, part, shards))

    command.__name__, command.__doc__ = action.__name__, action.__doc__
    options = inspect.signature(command)
    known = [option for name, option in options.parameters.items() if name not in without]
    command.__signature__ = options.replace(parameters=known)  # type: ignore[attr-defined]
    return command


def _fields(what: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a spec; options take precedence over the file."""
    if what is None:
        return options
    if what.endswith(".toml") or os.path.isfile(what) or (os.sep in what and os.path.lexists(what)):
        return fields_of_file(Path(what), options)
    if os.sep in what:
        raise SpecError(
            f"spec file: cannot read {sentences.shown(what)} (no such file); give the path of a TOML file, "
            "or a NAME, which has no slash."
        )
    if sentences.is_number(what):
        raise SpecError(
            f"name: got {what!r}, expected a NAME that is no number; {SEVERAL} (and such a name as --name)."
        )
    if "name" in options:
        raise SpecError(f"name: got {what!r} and --name {options['name']!r}, expected one; leave out either.")
    return options | {"name": what}


def _parameters(given: list[str] | None) -> dict[str, int | float] | None:
    """Those of "NAME=NUMBER"."""
    if given is None:
        return None
    found: dict[str, int | float] = {}
    for text in given:
        name, _, number = text.partition("=")
        if name in found or not (name and sentences.is_number(number)):
            why = "once" if name in found else "with a number"
            raise SpecError(
                f"--data-parameter: got {sentences.shown(text)}, expected NAME=NUMBER, as noise=0.2, each "
                f"{why}; change it."
            )
        found[name] = int(number) if re.fullmatch(r"[+-]?\d{1,19}", number) else float(number)
    return found


def _overridden(fields: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The same with these in their places, and in the tables of a union."""
    union = fields.get("union")
    if isinstance(union, list):
        fields["union"] = [
            {field: value for field, value in part.items() if field not in options}
            if isinstance(part, dict)
            else part
            for part in union
        ]
    return {**fields, **options}


def fields_of_file(path: Path, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a TOML file, and options, which take precedence; without a name, the file's own."""
    fields = _overridden(_known(read_fields(path)), options or {})
    return fields if "name" in fields else fields | {"name": _name_of(path)}


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """The same; SpecError where one of them is an option, and no field."""
    for field in fields:
        if field in OPTIONS:
            option = f"--{field.replace('_', '-')}"
            raise SpecError(f"{field!r}: no such field; it is an option of the command line: {option}.")
    return fields


def _name_of(file: Path) -> str:
    """The name that a spec's file gives what it does not name."""
    try:
        return make_spec({"name": file.stem}).name
    except SpecError as error:
        got, expected = f"name: got {sentences.shown(file.stem)}", str(error).removesuffix("; change name.")
        raise SpecError(
            expected.replace(got, f"{got}, the file's own name") + "; give a name in the file, or --name."
        ) from None


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Warnings are said without the place in the code that they come from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *where: f"Warning: {sentences.escaped(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def plan_in_words(plan: Plan) -> str:
    """What a sweep would do, a line each."""
    estimate = plan.estimate
    others = "another revision of the code" + (" or other functions" if plan.own else "")
    outdated = f", {plan.outdated} trained by {others}" if plan.outdated else ""
    own = f"yours    {plan.own.path}: {', '.join(plan.own.names)}; not checked yet\n" if plan.own else ""
    return own + (
        f"runs     {plan.points}, of which {plan.done} done{outdated}\n"
        f"groups   {plan.groups}, in {plan.jobs} processes\n"
        f"time     about {estimate.seconds:.2g} s\n"
        f"memory   about {in_words(estimate.memory)}\n"
        f"disk     about {in_words(estimate.disk)}"
    )


def sweep(spec: Spec, how: How) -> Path:
    """Train every combination of the given values, with gradients checked before and after.

    Only runs that are not stored yet are trained: killed or interrupted, the same command goes on where it
    stopped, and a sweep that has grown trains what is new. Options take precedence over the file.

    Examples: autodiff-sandbox sweep deep --depth 2 --depth 8 --scheme he --learning-rate 0.1;
    autodiff-sandbox sweep deep.toml --dry-run
    """
    before = outcome(how.results / f"{spec.name}.h5")
    with shown(Console(stderr=True), how.quiet) as show:
        said: deque[Status] = deque(maxlen=1)

        def progress(status: Status) -> None:
            said.append(status)
            now_kept(f"{status.runs_done} of {status.runs} runs are")
            show(status)

        file = run_sweep(
            spec, how.results, jobs=how.jobs, keep_parameters=how.keep_parameters, progress=progress,
            dask=how.dask, shard=how.shard,
        )  # fmt: skip
    if how.shard:
        print(
            f"shard    {how.shard} of {spec.name!r}: {said[0].runs} runs, {said[0].diverged} diverged; "
            f"when all shards are done, `combine` writes {file}"
        )
        return file
    return _told(file, before, how)


def combine(spec: Spec, how: How) -> Path:
    """Write the file of a sweep whose shards (`sweep --shard I/N`) are all done; nothing is trained.

    Give the arguments of the sweep itself. Where runs are missing, it says how many.

    Example: autodiff-sandbox combine deep.toml --shards 8
    """
    before = outcome(how.results / f"{spec.name}.h5")
    file = combined(spec, how.results, keep_parameters=how.keep_parameters, shards=how.shards)
    return _told(file, before, how)


def _told(file: Path, before: Outcome, how: How) -> Path:
    """The same file, after it is said what is in it and what was in it `before`."""
    for line in [f"results  {file}"] if how.quiet else outcome_in_words(file, before, outcome(file)):
        print(line)
    return file


@exit_codes(goes_on=False)
def figures(
    name: Name = "main",
    results: Results = Path("results"),
    out: Annotated[Path | None, Option(help="Folder, default figures/ in that of the results.")] = None,
) -> None:
    """Draw the figures of a sweep as PDF, SVG and PNG.

    Example: autodiff-sandbox figures main
    """
    from experiments.figures import draw_figures

    name, results = named(name, results)
    for path in draw_figures(name, results, out or results / "figures"):
        print(f"figure   {path}")


@exit_codes(goes_on=False)
def export(
    name: Name,
    csv: Annotated[str, Option(metavar="FILE", help="The file to write; - prints.")],
    results: Results = Path("results"),
    curves: Annotated[bool, Option("--curves", help="Also the cost before each step.")] = False,
) -> None:
    """Write a sweep's runs as a table, one a row.

    Example: autodiff-sandbox export main --csv main.csv
    """
    from experiments.dataset import load
    from experiments.export import to_csv

    runs = load(*named(name, results), curves=curves)
    to_csv(runs, sys.stdout if csv == "-" else Path(csv), curves=curves)


def named(name: str, results: Path) -> tuple[str, Path]:
    """The name and the folder; a path says both."""
    path = Path(name)
    return (path.stem, path.parent) if path.suffix == ".h5" else (name, results)
