"""What is in a folder of results, and what of it is to be removed, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from experiments.answers.inventory import Entry, Unnamed
from experiments.answers.removal import Removal
from experiments.answers.tables import SHORT, moment, runs_of, table_of
from experiments.machine import in_words
from experiments.sentences import escaped


def listed(results: Path, entries: Sequence[Entry], left: Unnamed) -> Iterator[RenderableType]:
    """The names of a folder."""
    if not entries:
        yield Text(f"no sweeps in {results}")
    else:
        table = table_of(["name", "runs", "diverged", "stalled", "depths", "data", "ended (UTC)", "size", ""])
        for entry in entries:
            table.add_row(*map(escaped, _listed(entry)))
        yield table
    for entry in entries:
        if entry.problem:
            yield Text(escaped(entry.problem))
    if left.runs and any(entry.problem for entry in entries):
        yield Text(f"{runs_of(left.runs)} in {results / 'runs'} of none of those that can be read")
    elif left.runs:
        yield Text(
            f"{runs_of(left.runs)} in {results / 'runs'} of no name, {in_words(left.size)}: kept for sweeps "
            "to come; `rm --unnamed` removes them"
        )


def _listed(entry: Entry) -> list[str]:
    of, size = entry.outcome, in_words(entry.size) if entry.size else ""
    state = {"finished": "", "begun": "begun, not finished"}.get(entry.state, f"being swept {entry.by}")
    if not of.keys:
        return [entry.name, "", "", "", "", "", "", size, "not read" if entry.problem else state]
    depths = (
        ", ".join(map(str, of.depths)) if len(of.depths) <= SHORT else f"{of.depths[0]} to {of.depths[-1]}"
    )
    ended = moment(of.about.get("ended", ""))
    counts = map(str, (len(of.keys), of.diverged, of.stalled))
    return [entry.name, *counts, depths, Path(entry.data).name, ended, size, state]


def listed_plainly(entries: Sequence[Entry], left: Unnamed) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "sweeps": [
            {
                "name": entry.name, "state": entry.state, "by": entry.by or None, "size": entry.size,
                "problem": entry.problem or None,
                "runs": len(entry.outcome.keys), "diverged": entry.outcome.diverged,
                "stalled": entry.outcome.stalled, "depths": entry.outcome.depths, "data": entry.data,
                "started": entry.outcome.about.get("started"), "ended": entry.outcome.about.get("ended"),
            }
            for entry in entries
        ],
        "unnamed": {"runs": left.runs, "size": left.size},
    }  # fmt: skip


def removed(removal: Removal, results: Path) -> Iterator[RenderableType]:
    """What is to be removed, before it is."""
    for file in removal.files:
        yield Text(escaped(f"file     {file}"))
    verdicts = f"{len(removal.verdicts)} verdicts on gradients"
    yield Text(f"runs     {removal.runs} in {len(removal.groups)} files, {verdicts}")
    if removal.stay:
        yield Text(
            f"stay     {runs_of(removal.stay)} to which other names refer, or which share a file with such"
        )
    if removal.begun:
        yield Text(
            f"mind     {', '.join(removal.begun)}: begun and not finished, and may have trained some of these"
        )
    yield Text(f"space    {in_words(removal.size)} of {results}")
