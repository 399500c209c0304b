"""The check of a sweep's gradients, beside its training: in one more thread, and nothing else loads JAX."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Self

from experiments.data import Dataset
from experiments.group import Trained
from experiments.points import Architecture, Origin, Point
from experiments.provenance import checker_revision
from experiments.store import Store
from experiments.training import stacked
from experiments.verification import (
    NETWORKS,
    Moment,
    Tested,
    Verification,
    initial_networks,
    sample,
    unverified,
    verify,
)
from sandbox.typing import Parameters, Scheme


class Verdicts:
    """What is verified of these points' gradients, and what is still to be.

    Attributes:
        sample: the points whose final parameters are to be checked.
        lacking: for each moment, the architectures without a verdict, and for which schemes.
    """

    def __init__(self, points: Sequence[Point], store: Store, origin: Origin, most: int = NETWORKS) -> None:
        """Args:
        most: networks that are checked of an architecture, unless it has more schemes.
        """
        self.most = most
        self.store, self.origin, self.checker = store, origin, checker_revision()
        self.architectures = list(dict.fromkeys(point.architecture for point in points))
        stored = [v for a in self.architectures for v in store.verifications(origin, a)]
        moments: tuple[Moment, ...] = ("start", "end")
        self.lacking = {moment: unverified(points, moment, stored, self.checker) for moment in moments}
        self.sample = sample(points, stored, self.checker, most)

    @property
    def verified(self) -> int:
        """How many architectures are, at both moments."""
        return sum(map(self.hold_for, self.architectures))

    @property
    def lacks_any(self) -> bool:
        """Whether any verdict is still to be given."""
        return any(self.lacking.values())

    def hold_for(self, architecture: Architecture) -> bool:
        """Whether its gradients are verified, at both moments: then its runs count."""
        return all(architecture not in lacking for lacking in self.lacking.values())


class Checks:
    """The checks under way, between `with` and its end."""

    def __init__(self, verdicts: Verdicts, data: Dataset, own: Tested | None = None) -> None:
        """Args:
        own: the user's functions, if they train.
        """
        self.verdicts, self.data, self.own = verdicts, data, own
        self.running: dict[tuple[Moment, Architecture], Future[Verification]] = {}
        self.missing: defaultdict[Architecture, set[Point]] = defaultdict(set)
        for point in verdicts.sample:
            self.missing[point.architecture].add(point)
        self.final: defaultdict[Architecture, dict[Point, Parameters]] = defaultdict(dict)
        self.thread = ThreadPoolExecutor(1, "checks")

    def __enter__(self) -> Self:
        for architecture, schemes in self.verdicts.lacking["start"].items():
            n_0, most = len(self.data.X_train), self.verdicts.most
            self._begin("start", architecture, initial_networks(architecture, schemes, n_0, most))
        return self

    def __exit__(self, *raised: object) -> None:
        self.thread.shutdown(wait=False, cancel_futures=True)

    def take(self, points: Sequence[Point], trained: Trained) -> None:
        """Take the final parameters of those that are in the sample; diverged ones have none."""
        kept = {int(run): row for row, run in enumerate(trained.kept)}
        for run, point in enumerate(points):
            missing = self.missing[point.architecture]
            if point not in missing:
                continue
            missing.remove(point)
            if run in kept:
                of_run = {key: value[kept[run]] for key, value in trained.parameters.items()}
                self.final[point.architecture][point] = of_run
            if not missing:
                self._begin("end", point.architecture, self._final_networks(point.architecture))

    def _final_networks(self, architecture: Architecture) -> Parameters:
        """In an order that does not depend on when they came; a stack of none if all have diverged."""
        final = self.final.pop(architecture, {})
        if not final:
            some = initial_networks(architecture, ("he",), len(self.data.X_train))
            return {key: value[:0] for key, value in some.items()}
        return stacked([final[point] for point in sorted(final)])

    def _begin(self, moment: Moment, architecture: Architecture, networks: Parameters) -> None:
        schemes: Sequence[Scheme] = self.verdicts.lacking[moment][architecture]
        self.running[moment, architecture] = self.thread.submit(
            verify,
            architecture,
            moment,
            schemes,
            networks,
            self.data,
            self.verdicts.checker,
            self.own,
        )

    def collect(self, seconds: float = 0.0) -> None:
        """Store the verdicts that have come, waiting at most so long for one.

        Raises:
            GradientError: a gradient is wrong.
        """
        wait(self.running.values(), seconds, "FIRST_COMPLETED")
        for (moment, architecture), check in list(self.running.items()):
            if check.done():
                self.verdicts.store.write_verification(check.result(), self.verdicts.origin)
                del self.verdicts.lacking[moment][architecture], self.running[moment, architecture]
