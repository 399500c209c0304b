"""Sweeps from Python: what the command does, with its words as exceptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import dataset, sweep
from experiments.progress import Show, Status, default_progress
from experiments.sentences import as_in_toml, shown
from experiments.spec import Spec, SpecError, make_spec
from experiments.sweeping import fields_of_file, named

if TYPE_CHECKING:
    import xarray


def run_sweep(
    spec: Spec | Mapping[str, Any] | str | Path, *, results: str | Path = "results", jobs: int | None = None,
    keep_parameters: bool = False, progress: bool | Callable[[Status], None] | None = True,
    dask: str | None = None,
) -> xarray.Dataset:  # fmt: skip
    """Train the runs of a spec that are not stored yet, with gradients checked before and after; return all
    its runs, as `load` does.

    Args:
        spec: a Spec; a mapping of its fields, as {"name": "deep", "depths": [2, 8]}; or the path of a TOML
            file.
        results: the folder.
        jobs: processes that train; all cores by default. The results do not depend on it.
        keep_parameters: whether the final parameters of all runs are stored, so that these can be longer.
        progress: True: a bar in a terminal or a notebook, elsewhere a line now and then, to stderr. False or
            None: nothing. A function: called with each new `experiments.progress.Status`.
        dask: the address of a Dask scheduler, whose workers train; instead of `jobs`.

    Raises:
        SpecError: the spec makes no sense or is too large. DataError: the data cannot be used.
        StoreError: the results cannot be read or written, or another process is at them.
        GradientError: a gradient is wrong; nothing trained on it is stored.
        OwnError: functions of yours fail while they train.
        WorkerError: processes that train were lost, or those of the cluster are not to be had.
        MemoryError: there is too little.
    """
    what = _spec(spec)
    folder = _folder(results).absolute()  # the program may go to another one while it trains
    if not isinstance(keep_parameters, bool):
        raise SpecError(
            f"keep_parameters: got {shown(keep_parameters)}, expected True or False; change keep_parameters."
        )
    with _shown(progress) as show:
        sweep.run_sweep(what, folder, jobs=jobs, keep_parameters=keep_parameters, progress=show, dask=dask)
    return dataset.load(what.name, folder)


def load(
    name: str, results: str | Path = "results", group: str = "", *, curves: bool = True
) -> xarray.Dataset:
    """The results under a name.

    Args:
        name: or the path of its file, DIR/NAME.h5.
        results: the folder.
        group: "": the table of runs, and their curves; "layers", "verification", "parameters/...".
        curves: whether those are with it, which are most of it.

    Raises:
        StoreError: there are none of this name, or no such group; or the file is damaged or foreign.
    """
    return dataset.load(*named(str(name), _folder(results)), group, curves=curves)


def _spec(spec: object) -> Spec:
    if isinstance(spec, Spec):
        return spec
    if isinstance(spec, Mapping):
        return make_spec(spec)
    if isinstance(spec, str | Path):
        return make_spec(fields_of_file(Path(spec)), as_in_toml)
    raise SpecError(
        f"spec: got {shown(spec)}, expected a Spec, a mapping of its fields, or the path of a TOML file; "
        "change spec."
    )


def _folder(results: object) -> Path:
    if not isinstance(results, str | Path) or "\0" in str(results):
        raise SpecError(f"results: got {shown(results)}, expected the path of a folder; change results.")
    return Path(results)


@contextmanager
def _shown(progress: object) -> Iterator[Show]:
    if callable(progress):
        yield progress
    elif progress is True:
        with default_progress() as show:
            yield show
    elif progress is False or progress is None:
        yield lambda status: None
    else:
        raise SpecError(
            f"progress: got {shown(progress)}, expected True, False or a function of a Status; change "
            "progress."
        )
