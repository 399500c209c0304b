"""Run a sweep: the points that are missing are trained in groups, their gradients are checked meanwhile, and
what is trained and checked is stored."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.cluster import connected
from experiments.dataset import write_dataset
from experiments.executors import Executor, Local, Workers, available_cores
from experiments.group import Common
from experiments.grouping import work
from experiments.live import TRAINING, WRITING, LiveFile, Working
from experiments.own import Own, OwnError
from experiments.own_check import check_own, tested
from experiments.planning import Groups, Survey, survey
from experiments.progress import Show, Status
from experiments.provenance import described, environment
from experiments.resources import Estimate
from experiments.sentences import shown
from experiments.shards import Shard, divided
from experiments.spec import Spec, SpecError
from experiments.store import Store, StoreError
from experiments.training import prepared
from experiments.verdicts import Checks
from experiments.verification import Tested, Verification
from experiments.worker import Result
from sandbox.typing import Array, Scheme

SHOW_EVERY = 0.1  # seconds


@dataclass(frozen=True)
class Plan:
    """What a sweep would do.

    Attributes:
        points: all runs of the spec.
        done: of them, the runs that are stored.
        outdated: of the others, those that another revision of the code has trained.
        groups: in so many the others train, in so many processes (`jobs`).
        estimate: of what that takes.
        own: the user's functions, if they are to train: read, and not checked.
    """

    points: int
    done: int
    outdated: int
    groups: int
    jobs: int
    estimate: Estimate
    own: Own | None


def plan(
    spec: Spec, results: Path, *, jobs: int | None = None, keep_parameters: bool = False,
    dask: str | None = None, shard: Shard | None = None,
) -> Plan:  # fmt: skip
    """What `run_sweep` would do with the same arguments; raises what it raises before it trains."""
    with _workers(jobs, dask, shard) as workers:
        there = survey(spec, _store(results), workers, keep_parameters, shard)
    return Plan(
        points=len(there.points), done=len(there.points) - len(there.missing), outdated=there.found.outdated,
        groups=len(there.groups()), jobs=there.jobs, estimate=there.estimate, own=there.own,
    )  # fmt: skip


def run_sweep(
    spec: Spec, results: Path, *, jobs: int | None = None, keep_parameters: bool = False,
    progress: Show = lambda status: None, dask: str | None = None, shard: Shard | None = None,
) -> Path:  # fmt: skip
    """Train the runs of `spec` that `results` does not hold yet; return the file of all its runs.

    Args:
        results: the folder.
        jobs: processes that train; all cores by default. The results do not depend on it.
        keep_parameters: whether the final parameters of all runs are stored, so that these can be longer.
        progress: called every now and then.
        dask: the address of a Dask scheduler, whose workers train.
        shard: the part of the runs to train; the file is not written then, but by `combine`.

    Raises:
        SpecError: the sweep is too large, or `jobs` is no count.
        DataError: the data cannot be used.
        StoreError: the results cannot be read or written, or another process is at them.
        GradientError: a gradient is wrong; no run of its architecture is stored. If it is of the user's
            functions, nothing is trained.
        OwnError: the user's functions failed while they trained.
        WorkerError: processes that train were lost, or those of the cluster are not to be had.
        MemoryError: there is too little.
    """
    store = _store(results)
    with (
        _workers(jobs, dask, shard) as workers,
        store.working() as folder,
        store.exclusive(spec.name, str(shard or "")),
        LiveFile.of(spec.name, spec.canonical(), folder, str(shard or "").replace("/", "-of-")) as live,
    ):
        there = survey(spec, store, workers, keep_parameters, shard)
        examples = {dtype: prepared(there.data, dtype) for dtype in spec.all_values("dtype")}
        functions = _checked_functions(there)
        groups, common = there.groups(), Common(examples, there.own)
        with (
            workers.executor(groups, common, folder) as training,
            Checks(there.verdicts, there.data, functions) as checks,
        ):
            made_by = environment()
            live.does(TRAINING, there.origin)
            _Sweep(there, groups, made_by, checks, progress, live).run(training)
        if shard:
            return store.results / f"{spec.name}.h5"
        live.does(WRITING, there.origin)
        return _written(spec, there, made_by, keep_parameters)


def combine(spec: Spec, results: Path, *, keep_parameters: bool = False, shards: int | None = None) -> Path:
    """Write the file of all runs of `spec`, which are there; return it. Nothing is trained or checked.

    Args:
        results, keep_parameters: as of `run_sweep`.
        shards: into how many they were divided, to say which are not done.

    Raises:
        StoreError: runs are missing, or verdicts on their gradients; or as `run_sweep`.
        SpecError: `shards` is no count. DataError: the data cannot be used.
    """
    store = _store(results)
    _check_shards(shards)
    with store.working(), store.exclusive(spec.name):
        there = survey(spec, store, Local(1), keep_parameters)
        if there.missing:
            raise _incomplete(there, shards)
        if there.verdicts.verified < len(there.verdicts.architectures):
            lacking = len(there.verdicts.architectures) - there.verdicts.verified
            raise StoreError(
                f"results: {lacking} architectures in {results} have no verdict of this revision of the "
                "checker, expected all to have one; `sweep` with the same arguments checks them."
            )
        return _written(spec, there, environment(), keep_parameters)


def _incomplete(there: Survey, shards: int | None) -> StoreError:
    lacking: Counter[int] = Counter()
    if shards:
        missing = set(there.missing)
        for point, number in divided(there.points, shards, there.whole_work).items():
            lacking[number] += point in missing
    said = [f"{count} of shard {number}/{shards}" for number, count in sorted(lacking.items()) if count]
    of = f" ({', '.join(said)})" if said else ""
    stored = sum(point in there.found.runs for point in there.missing)
    lack = f", {stored} of them only their final parameters" if stored else ""
    return StoreError(
        f"results: {len(there.missing)} of {len(there.points)} runs are missing in {there.store.results}"
        f"{of}{lack}, expected all; start the shards again that are not done, or `sweep`, with "
        "the same arguments, which trains what is missing."
    )


def _written(spec: Spec, there: Survey, made_by: Mapping[str, str], keep_parameters: bool) -> Path:
    """The file of all runs."""
    verifications = [
        verdict
        for architecture in there.verdicts.architectures
        for verdict in _once(there.store.verifications(there.origin, architecture))
    ]
    about = {
        "spec": spec.canonical(), "data_source": there.data.source,
        "data_preprocessing": there.data.preprocessing, **made_by, **described(there.own),
    }  # fmt: skip
    return write_dataset(
        there.store, spec.name, there.points, there.origin, verifications, about, parameters=keep_parameters
    )


@contextmanager
def _workers(jobs: int | None, dask: str | None, shard: Shard | None) -> Iterator[Workers]:
    """Processes of this machine, or a cluster."""
    if dask is None:
        yield Local(_checked(jobs))
        return
    for other, given in (("jobs", jobs), ("shard", shard)):
        if given is not None:
            raise SpecError(
                f"dask: got {shown(dask)} and {other} {given}, expected one of them: the scheduler of a "
                "cluster gives every worker its part; leave out either."
            )
    with connected(dask) as cluster:
        yield cluster


def _checked_functions(there: Survey) -> Tested | None:
    """The user's functions, if there is anything to train or to verify; they are checked before it begins.

    Raises:
        GradientError: one is wrong.
    """
    if there.own is None or not (there.missing or there.verdicts.lacks_any):
        return None
    check_own(there.own, there.verdicts.architectures)
    return tested(there.own)


def _store(results: Path) -> Store:
    if results.is_file():
        raise StoreError(f"results: {results} is a file, expected a folder; choose another --results.")
    return Store(results)


def _once(verdicts: Iterable[Verification]) -> list[Verification]:
    """Without those that say again what an earlier one says: of shards that have checked at the same time."""
    said = {
        (_when(verdict)[::2], verdict.checker, verdict.networks, verdict.sigma_error.tobytes()): verdict
        for verdict in sorted(verdicts, key=_when, reverse=True)
    }
    return sorted(said.values(), key=_when)


def _when(verdict: Verification) -> tuple[bool, str, tuple[Scheme, ...]]:
    """Start before end, for a reader; then as they came."""
    return verdict.moment == "end", verdict.checked, verdict.schemes


def _checked(jobs: int | None) -> int:
    if jobs is None:
        return available_cores()
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise SpecError(
            f"jobs: got {shown(jobs)}, expected a whole number of processes, at least 1; change jobs."
        )
    return jobs


def _check_shards(shards: int | None) -> None:
    if shards is not None and (not isinstance(shards, int) or isinstance(shards, bool) or shards < 1):
        raise SpecError(f"shards: got {shown(shards)}, expected how many there are; change shards.")


class _Sweep:
    """The training under way.

    Attributes:
        diverged: runs that have, of those that are stored already.
        counts, busy: as the executor tells them.
        held: groups that are trained and wait for a verdict.
        trained, stored: whether each group is.
    """

    def __init__(
        self, there: Survey, groups: Groups, made_by: Mapping[str, str], checks: Checks, show: Show,
        live: LiveFile,
    ) -> None:  # fmt: skip
        self.there, self.groups, self.made_by, self.checks, self.show = there, groups, made_by, checks, show
        self.live = live
        self.runs, self.steps, self.work = (
            np.array([sum(map(of, points)) for points in groups.points])
            for of in (lambda point: 1, there.steps, there.work)
        )
        self.all_steps = np.array([sum(point.steps for point in points) for points in groups.points])
        self.all_work = sum(work(point, *there.size) for point in there.points) or 1.0  # no point, no work
        self.diverged, self.counts = there.diverged, np.zeros((len(groups), 2), np.int64)
        self.busy: Mapping[str, int] = {}
        self.held: list[Result] = []
        self.trained, self.stored = np.zeros((2, len(groups)), bool)
        self.last = -np.inf

    def run(self, training: Executor) -> None:
        """Train, check and store all groups."""
        for points, trained in self.there.stored_sample():
            self.checks.take(points, trained)
        self._go_on()
        try:
            for result in training.results(self._tell):
                self.trained[result.number] = True
                self.held.append(result)
                self.checks.take(self.groups.points[result.number], result.trained)
        except OwnError:
            self._conclude()  # what the user's functions did before they failed is kept
            raise
        self._conclude()

    def _conclude(self) -> None:
        """Wait for the checks that are under way, and store what they allow."""
        while self.checks.running:
            self._go_on(SHOW_EVERY)
        self._go_on()

    def _tell(self, counts: Array, busy: Mapping[str, int]) -> None:
        self.counts, self.busy = counts, busy
        if time.monotonic() - self.last >= SHOW_EVERY:
            self._go_on()

    def _go_on(self, seconds: float = 0.0) -> None:
        """Store what has its verdict, waiting for one at most so long, and show how far the sweep is."""
        self.checks.collect(seconds)
        there = self.there
        for result in list(self.held):
            points = self.groups.points[result.number]
            if there.verdicts.hold_for(points[0].architecture):
                made_by = result.made_by or self.made_by
                there.store.write(points, result.trained, there.origin, made_by, result.times)
                self.held.remove(result)
                self.stored[result.number] = True
        status = self._status()
        self.show(status)
        self.live(status, self._working)
        self.last = time.monotonic()

    def _working(self) -> Iterator[Working]:
        for worker, number in self.busy.items():
            if not self.trained[number]:
                points, steps = self.groups.points[number], int(self.all_steps[number])
                done, diverged = self.counts[number].tolist()
                yield Working(worker, points[0].architecture, len(points), steps, min(done, steps), diverged)

    def _status(self) -> Status:
        there, points = self.there, self.there.points
        # A group that goes on from shorter runs counts the steps of these, too, once it has begun.
        left = np.clip((self.all_steps - self.counts[:, 0]) / self.steps, 0, 1)
        left[self.trained] = 0
        steps = sum(point.steps for point in points)
        return Status(
            runs=len(points), steps=steps, architectures=len(there.verdicts.architectures),
            runs_done=len(points) - int(self.runs[~self.stored].sum()),
            steps_done=steps - int(np.ceil(left @ self.steps)),
            diverged=self.diverged + int(self.counts[:, 1].sum()), verified=there.verdicts.verified,
            part=max(1 - float(left @ self.work) / self.all_work, 0.0),
        )  # fmt: skip
