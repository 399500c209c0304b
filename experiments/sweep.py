"""Run a sweep: the points that are missing are trained in groups, their gradients are checked meanwhile, and
what is trained and checked is stored."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.dataset import write_dataset
from experiments.executors import Executor, available_cores, executor
from experiments.group import Common
from experiments.grouping import work
from experiments.live import TRAINING, WRITING, LiveFile, Working
from experiments.planning import Groups, Survey, survey
from experiments.progress import Show, Status
from experiments.provenance import environment
from experiments.resources import Estimate
from experiments.sentences import shown
from experiments.spec import Spec, SpecError
from experiments.store import Store, StoreError
from experiments.training import prepared
from experiments.verdicts import Checks
from experiments.verification import Verification
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
    """

    points: int
    done: int
    outdated: int
    groups: int
    jobs: int
    estimate: Estimate


def plan(spec: Spec, results: Path, *, jobs: int | None = None, keep_parameters: bool = False) -> Plan:
    """What `run_sweep` would do with the same arguments; raises what it raises before it trains."""
    jobs = _checked(jobs)
    there = survey(spec, _store(results), jobs, keep_parameters)
    return Plan(
        points=len(there.points), done=len(there.points) - len(there.missing), outdated=there.found.outdated,
        groups=len(there.groups()), jobs=jobs,
        estimate=there.estimate,
    )  # fmt: skip


def run_sweep(
    spec: Spec, results: Path, *, jobs: int | None = None, keep_parameters: bool = False,
    progress: Show = lambda status: None,
) -> Path:  # fmt: skip
    """Train the runs of `spec` that `results` does not hold yet; return the file of all its runs.

    Args:
        results: the folder.
        jobs: processes that train; all cores by default. The results do not depend on it.
        keep_parameters: whether the final parameters of all runs are stored, so that these can be longer.
        progress: called every now and then.

    Raises:
        SpecError: the sweep is too large, or `jobs` is no count.
        DataError: the data cannot be used.
        StoreError: the results cannot be read or written, or another process is at them.
        GradientError: a gradient is wrong; no run of its architecture is stored.
        WorkerError: processes that train were lost. MemoryError: there is too little.
    """
    jobs = _checked(jobs)
    store = _store(results)
    with (
        store.working() as folder,
        store.exclusive(spec.name),
        LiveFile.of(spec.name, spec.canonical(), folder) as live,
    ):
        there = survey(spec, store, jobs, keep_parameters)
        examples = {dtype: prepared(there.data, dtype) for dtype in spec.all_values("dtype")}
        groups, common = there.groups(), Common(examples)
        with (
            executor(groups, common, folder, jobs) as training,
            Checks(there.verdicts, there.data) as checks,
        ):
            made_by = environment()
            live.does(TRAINING, there.origin)
            _Sweep(there, groups, made_by, checks, progress, live).run(training)
        live.does(WRITING, there.origin)
        verifications = [
            verdict
            for architecture in there.verdicts.architectures
            for verdict in sorted(store.verifications(there.origin, architecture), key=_when)
        ]
        about = {
            "spec": spec.canonical(), "data_source": there.data.source,
            "data_preprocessing": there.data.preprocessing, **made_by,
        }  # fmt: skip
        return write_dataset(
            store, spec.name, there.points, there.origin, verifications, about, parameters=keep_parameters
        )


def _store(results: Path) -> Store:
    if results.is_file():
        raise StoreError(f"results: {results} is a file, expected a folder; choose another --results.")
    return Store(results)


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
        self.all_work = sum(work(point, *there.size) for point in there.points)
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
        for result in training.results(self._tell):
            self.trained[result.number] = True
            self.held.append(result)
            self.checks.take(self.groups.points[result.number], result.trained)
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
                there.store.write(points, result.trained, there.origin, self.made_by, result.times)
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
