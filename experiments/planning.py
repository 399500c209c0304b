"""What of a spec is to be done, and in which groups."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from experiments.data import Dataset, load_data
from experiments.executors import Workers
from experiments.group import Group, Trained
from experiments.grouping import OWN_PACE, groups, work
from experiments.own import Own
from experiments.own_check import own_functions
from experiments.points import Architecture, Origin, Point
from experiments.provenance import revision_of
from experiments.resources import Estimate, check_disk, check_memory, estimate
from experiments.shards import Shard
from experiments.spec import Spec
from experiments.store import Found, Run, Store
from experiments.verdicts import Verdicts
from experiments.verification import NETWORKS, OWN_NETWORKS


@dataclass(frozen=True)
class Survey:
    """What there is of a spec's runs, and what is missing.

    Attributes:
        own: the user's functions, if they are to train.
        jobs: processes that train.
        points: of the spec; of a shard its own, and those that it must train to verify them.
        origin: of all their runs.
        found: what is stored of them.
        verdicts: on their gradients.
        keep: the points whose final parameters are wanted.
        missing: what is to be trained: runs that are not stored, or not with the final parameters wanted.
        estimate: of what that takes.
    """

    data: Dataset
    own: Own | None
    jobs: int
    points: list[Point]
    origin: Origin
    store: Store
    found: Found
    verdicts: Verdicts
    keep: frozenset[Point]
    missing: list[Point]
    estimate: Estimate

    @property
    def diverged(self) -> int:
        """How many of the runs that are done have."""
        missing = set(self.missing)
        return sum(run.diverged for point, run in self.found.runs.items() if point not in missing)

    @property
    def size(self) -> tuple[int, int]:
        """n_0 and m of the training examples."""
        n_0, m = self.data.X_train.shape
        return n_0, m

    def steps(self, point: Point) -> int:
        """The steps that it still has to take."""
        return point.steps - self._first(point)

    def work(self, point: Point) -> float:
        """Seconds, estimated, that it still takes."""
        return work(point, *self.size) * self.steps(point) / point.steps

    def whole_work(self, point: Point) -> float:
        """Seconds, estimated, that it takes from the start."""
        return work(point, *self.size)

    def groups(self) -> "Groups":
        """Of what is missing. First those whose final parameters are to be checked, for which others wait,
        then by size, so that no large one is left for the end."""
        sample = self.verdicts.sample
        alike: defaultdict[int, list[Point]] = defaultdict(list)
        for point in sorted(self.missing, key=lambda point: point not in sample):
            alike[self._first(point)].append(point)
        pace = OWN_PACE if self.own else 1.0
        found = [group for points in alike.values() for group in groups(points, self.jobs, *self.size, pace)]
        found.sort(key=lambda group: (sample.isdisjoint(group), -sum(map(self.work, group))))
        return Groups(self, found)

    def stored_sample(self) -> Iterator[tuple[list[Point], Trained]]:
        """The points whose final parameters are to be checked and need not be trained for it."""
        missing = set(self.missing)
        for points in _alike(self.verdicts.sample - missing):
            yield points, self.store.trained([self.found.runs[point] for point in points])

    def _first(self, point: Point) -> int:
        """The step from which it goes on."""
        shorter = self.found.shorter.get(point)
        return shorter.point.steps if shorter else 0


class Groups(Sequence[Group]):
    """Groups, each of which is made when it is asked for: what it goes on from is read then."""

    def __init__(self, survey: Survey, points: list[tuple[Point, ...]]) -> None:
        self.survey, self.points = survey, points

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, number: int) -> Group: ...
    @overload
    def __getitem__(self, number: slice) -> list[Group]: ...
    def __getitem__(self, number: int | slice) -> Group | list[Group]:
        if isinstance(number, slice):
            return [self[i] for i in range(len(self))[number]]
        points, survey = self.points[number], self.survey
        shorter = [survey.found.shorter[point] for point in points if point in survey.found.shorter]
        keep = tuple(point in survey.keep for point in points)
        return Group(points, keep, survey.store.trained(shorter) if shorter else None)


def survey(
    spec: Spec, store: Store, workers: Workers, keep_parameters: bool, shard: Shard | None = None
) -> Survey:
    """Look at what is stored; nothing is computed, but for the hash of the data.

    Args:
        shard: the part of the spec, if not the whole.

    Raises:
        SpecError: the sweep is too large, or the user's functions cannot be read.
        DataError: the data cannot be used.
        StoreError: the results cannot be read.
    """
    data = load_data(spec.source)
    n_0, m = data.X_train.shape
    jobs = workers.workers
    check_memory(spec, n_0, m, 1 if workers.elsewhere else jobs, keep_parameters=keep_parameters)
    own = own_functions(spec)
    origin = Origin(data.sha256, revision_of(own))
    points = spec.points()
    part = shard.part(points, lambda point: work(point, n_0, m)) if shard else points
    of_shard = _of_alike(points, part) if shard else points
    verdicts = Verdicts(of_shard, store, origin, OWN_NETWORKS if own else NETWORKS)
    # What is verified does not depend on the shard: an architecture's sample is of all its points, also of
    # those in other shards. Runs are few in it, and nobody waits for another job.
    points = list(dict.fromkeys((*part, *sorted(verdicts.sample))))
    found = store.read(points, origin)
    keep = frozenset(points) if keep_parameters else verdicts.sample
    missing = [point for point in points if not _is_done(found.runs.get(point), point in keep)]
    pace = OWN_PACE if own else 1.0
    takes = estimate(missing, n_0, m, jobs, keep_parameters=keep_parameters, pace=pace)
    check_disk(takes, store.results)
    return Survey(data, own, jobs, points, origin, store, found, verdicts, keep, missing, takes)


def _is_done(run: Run | None, with_parameters: bool) -> bool:
    """Whether it is stored; with its final parameters, which a diverged one has none of."""
    return run is not None and (run.kept or run.diverged or not with_parameters)


def _of_alike(points: Iterable[Point], part: Iterable[Point]) -> list[Point]:
    """The points whose architecture one of the part has."""
    architectures = {point.architecture for point in part}
    return [point for point in points if point.architecture in architectures]


def _alike(points: Iterable[Point]) -> list[list[Point]]:
    """By architecture and number of steps."""
    found: defaultdict[tuple[Architecture, int], list[Point]] = defaultdict(list)
    for point in points:
        found[point.architecture, point.steps].append(point)
    return list(found.values())
