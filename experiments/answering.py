"""The verbs that say what there is: show, list, diff; and rm."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option, confirm

from experiments.answers.tables import print_all
from experiments.exits import exit_codes
from experiments.files import StoreError, explained
from experiments.points import Architecture, Origin
from experiments.spec import SpecError
from experiments.sweeping import Name, Results, named

if TYPE_CHECKING:
    import pandas

FIRST = 20
"""So many runs a terminal shows, unless all are asked for."""


@exit_codes(goes_on=False)
def show(
    name: Name = "main",
    results: Results = Path("results"),
    where: Annotated[
        str | None,
        Option(metavar="EXPRESSION", help="Of these runs alone, as \"depth == 8 and scheme == 'he'\"."),
    ] = None,
    sort: Annotated[
        str | None, Option(metavar="COLUMN", help="Also the runs, by this column; -COLUMN: from the highest.")
    ] = None,
    everything: Annotated[bool, Option("--all", help="Also the runs, and all lines of every table.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what came of a sweep: what was run, the best runs of each depth, where runs begin to diverge, what
    ended early and why, what was verified, time and disk.

    With --where, --sort or --all also a table of the runs, of which a terminal shows the first 20 unless
    --all is given. The columns are those of `export`, and diverged and stalled, which are true or false.

    Examples: autodiff-sandbox show main; autodiff-sandbox show main --where "depth == 8 and not diverged"
    --sort final_cost
    """
    from experiments.answers.inventory import disk
    from experiments.answers.selection import chosen, in_order
    from experiments.answers.summary import attributes, axes, frame, summary
    from experiments.answers.telling import told
    from experiments.dataset import ARCHITECTURE, load_together

    name, results = named(name, results)
    runs, layers, verdicts = load_together(name, results, ("", "layers", "verification"), curves=False)
    rows = every = frame(runs)
    rows = rows if where is None else chosen(rows, where)
    rows = rows if sort is None else in_order(rows, sort)
    found, about, file = summary(rows, layers, verdicts), attributes(runs), results / f"{name}.h5"
    origin = Origin(about["data_sha256"], about["code_revision"])
    kinds = every[list(ARCHITECTURE)].drop_duplicates().values.tolist()
    space = disk(file, origin, [Architecture(*values) for values in kinds])
    listed = everything or where is not None or sort is not None
    if rows.empty:  # say what there is
        found = dataclasses.replace(found, axes=axes(every))
    if as_json:
        answer = {"file": str(file), "of": len(every), **dataclasses.asdict(found), "about": about}
        answer |= {"disk": dataclasses.asdict(space)}
        answer |= {"table": rows.to_dict("records")} if listed else {}
        _print_json(answer)
        return
    shortened = _is_terminal() and not everything
    print_all(told(found, about, file, space, of=len(every), shortened=shortened))
    if listed and len(rows):
        _print_runs(rows, shortened)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _print_json(answer: dict[str, Any]) -> None:
    from experiments.answers.summary import plain

    print(json.dumps(plain(answer), indent=1, allow_nan=False))


def _print_runs(rows: pandas.DataFrame, shortened: bool) -> None:
    from experiments.answers.telling import runs_table

    print()
    print(runs_table(rows.head(FIRST) if shortened else rows))
    if shortened and len(rows) > FIRST:
        print(f"and {len(rows) - FIRST} more runs: --all shows them, `export` writes them to a file")


@exit_codes(goes_on=False)
def list_names(
    results: Results = Path("results"),
    as_json: Annotated[bool, Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the sweeps of a folder, those that are not finished, files that cannot be read, and how many
    stored runs no name refers to.

    Example: autodiff-sandbox list
    """
    from experiments.answers.inventory import entries, unnamed
    from experiments.answers.listing import listed, listed_plainly

    if results.is_file():
        raise StoreError(f"results: {results} is a file, expected a folder; choose another --results.")
    with explained("read", results, goes_on=False):
        found = entries(results)
        named_runs = frozenset[str]().union(*(entry.outcome.keys for entry in found))
        left = unnamed(results, named_runs)
    if as_json:
        _print_json(listed_plainly(found, left))
    else:
        print_all(listed(results, found, left))


@exit_codes(goes_on=False)
def diff(
    a: Annotated[str, Argument(help="Name of the results; or their file, DIR/NAME.h5.")],
    b: Annotated[str, Argument(help="What it is compared with.")],
    results: Results = Path("results"),
    as_json: Annotated[bool, Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say in what two sweeps differ: fields of their specs, versions, data, code, machine; which runs both
    have, and whether these agree bit for bit. Exit with 0 when nothing differs (names and times do not
    count), with 1 when something does.

    Example: autodiff-sandbox diff main elsewhere/main.h5
    """
    from experiments.answers.comparison import compared
    from experiments.answers.differences import differences
    from experiments.dataset import load

    found = differences(load(*named(a, results)), load(*named(b, results)))
    if as_json:
        _print_json({"differ": bool(found), **dataclasses.asdict(found)})
    else:
        print_all(compared(found, a, b))
    if found:
        raise Exit(1)


@exit_codes(goes_on=True)
def rm(
    names: Annotated[
        list[str] | None, Argument(help="Names of results; or their files, DIR/NAME.h5.")
    ] = None,
    results: Results = Path("results"),
    unnamed: Annotated[
        bool,
        Option("--unnamed", help="Also all stored runs that no name refers to; without a NAME these alone."),
    ] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove sweeps, and the stored runs that no other name refers to. Figures and tables stay.

    Nothing is removed while another sweep works in the folder.

    Example: autodiff-sandbox rm main --dry-run
    """
    from experiments.answers.listing import removed
    from experiments.answers.removal import planned, remove

    asked, folder = _of_one_folder(names or [], results)
    if not asked and not unnamed:
        raise SpecError("names: got none, expected those of results to remove, or --unnamed; give a NAME.")
    removal = planned(folder, asked, unnamed=unnamed)
    print_all(removed(removal, folder))
    if dry_run or not (removal.names or removal.groups):
        return
    if not yes:
        _ask()
    remove(folder, removal)
    print("removed")


def _of_one_folder(names: list[str], results: Path) -> tuple[list[str], Path]:
    pairs = [named(name, results) for name in names]
    folders = {folder for _, folder in pairs} or {results}
    if len(folders) > 1:
        raise SpecError(
            f"names: got files of {len(folders)} folders, expected those of one; give those of one folder."
        )
    return [name for name, _ in pairs], folders.pop()


def _ask() -> None:
    if not sys.stdin.isatty():
        raise SpecError("rm: there is no terminal to ask, expected --yes; give --yes, or --dry-run.")
    if not confirm("Remove it?"):
        print("nothing is removed")
        raise Exit(1)
