"""Which gradients a sweep has verified, and the check of those that it has not.

A verdict is of one architecture: of the training step on networks as each scheme draws them ("start"), and on
a sample of trained ones ("end"). It holds for every run of that architecture and scheme on the same data and
code, whoever trained it and when, so long as the checker is the same.
"""

import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from experiments.data import Dataset
from experiments.points import Architecture, Point
from experiments.training import layer_dims, stacked
from sandbox.network.passes import initialize_parameters_deep
from sandbox.network.workspace import is_possible
from sandbox.typing import Array, Function, Parameters, Scheme

if TYPE_CHECKING:
    from sandbox.verifier.report import Report

Moment: TypeAlias = Literal["start", "end"]
OUTPUTS = ("dA_prev", "dW", "db")
NETWORKS = 4  # that are checked of an architecture; fewer of a large one, but one for each scheme
OWN_NETWORKS = 1  # the same of the user's functions, which take one network at a time
PARAMETERS = 1 << 14  # of the networks together, about
EXAMPLES = 128  # of which a network of depth L is checked on 128 / L, but at least on
FEWEST_EXAMPLES = 16
SAMPLES = 16  # of rounding, from which its size is known


class GradientError(RuntimeError):
    """Gradients that failed their check; nothing trained on them is stored."""


@dataclass(frozen=True)
class Tested:
    """The user's functions, which train in place of the sandbox's and are checked in their place.

    Attributes:
        path: of their file.
        functions: by the exercise's names.
    """

    path: str
    functions: Mapping[str, Function]


@dataclass(frozen=True, eq=False)
class Verification:
    """A verdict: these gradients passed.

    Attributes:
        schemes: of which networks were among those checked, or would have been, had they not diverged.
        sigma_error: (L, 3), the largest error of dA_prev, dW and db of each layer, local or end to end, in
            units of its rounding noise sigma; NaN if there was no network to check.
        checker: the revision of the code that checked.
        checked: when, UTC, ISO 8601.
        networks: how many.
        caught: (L, 3), the smallest error of dA_prev, dW and db of each layer, relative to the whole of it,
            that would have failed, where the check was coarsest; NaN where nothing is known of it.
    """

    architecture: Architecture
    moment: Moment
    schemes: tuple[Scheme, ...]
    sigma_error: Array
    checker: str
    checked: str
    networks: int
    caught: Array


# --- what is to be checked ------------------------------------------------------------------------


def unverified(
    points: Iterable[Point], moment: Moment, stored: Iterable[Verification], checker: str
) -> dict[Architecture, tuple[Scheme, ...]]:
    """The schemes of each architecture on which this checker has given no verdict.

    Args:
        stored: verdicts on the same data and code.
        checker: the revision of the checker.
    """
    known = {
        (verdict.architecture, scheme)
        for verdict in stored
        if verdict.moment == moment and verdict.checker == checker
        for scheme in verdict.schemes
    }
    asked = {(point.architecture, point.scheme) for point in points}
    found: dict[Architecture, tuple[Scheme, ...]] = {}
    for architecture, scheme in sorted(asked - known):
        found[architecture] = (*found.get(architecture, ()), scheme)
    return found


def sample(
    points: Iterable[Point], stored: Iterable[Verification], checker: str, most: int = NETWORKS
) -> frozenset[Point]:
    """The points whose final parameters are to be checked: for every scheme without a verdict on them some,
    evenly from the lowest learning rate, which diverges last, to the highest.

    It depends on nothing but the points, in any order, and on which verdicts are stored: not on which of the
    points are done, nor on how they are grouped.

    Args:
        most: networks of an architecture, unless it has more schemes.
    """
    points = frozenset(points)
    schemes = unverified(points, "end", stored, checker)
    alike: defaultdict[tuple[Architecture, Scheme], list[Point]] = defaultdict(list)
    for point in points:
        alike[point.architecture, point.scheme].append(point)
    return frozenset(
        point
        for architecture, several in schemes.items()
        for scheme in several
        for point in _spread(
            alike[architecture, scheme], max(_networks(architecture, most) // len(several), 1)
        )
    )


def _networks(architecture: Architecture, most: int) -> int:
    each = architecture.depth * architecture.width**2
    return max(min(PARAMETERS // each, most), 1)


def _spread(points: list[Point], count: int) -> list[Point]:
    ordered = sorted(points, key=operator.attrgetter("learning_rate", "seed", "steps"))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).round().astype(int)]


# --- the check ------------------------------------------------------------------------------------


def initial_networks(
    architecture: Architecture, schemes: Sequence[Scheme], n_0: int, most: int = NETWORKS
) -> Parameters:
    """As many networks as are checked at the end, whose check then finds its equations traced: of each scheme
    in turn, from the seed 0 on; as W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1)."""
    dims = layer_dims(n_0, architecture)
    return stacked(
        [
            initialize_parameters_deep(dims, rng=seed, scheme=scheme, dtype=architecture.dtype)
            for seed in range(max(_networks(architecture, most) // len(schemes), 1))
            for scheme in schemes
        ]
    )


def checked_examples(architecture: Architecture) -> int:
    """How many of the first training examples a check takes: fewer for a deep network, whose check takes
    longer."""
    return max(EXAMPLES // architecture.depth, FEWEST_EXAMPLES)


def verify(
    architecture: Architecture, moment: Moment, schemes: Sequence[Scheme], networks: Parameters,
    data: Dataset, checker: str, own: Tested | None = None,
) -> Verification:  # fmt: skip
    """Check the step that trains this architecture, on the first examples of the data.

    Args:
        schemes: the verdict is on.
        networks: a stack, W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1); of none, because all
            have diverged, there is nothing to check.
        checker: the revision of the checker.
        own: the user's functions, if they train it.

    Raises:
        GradientError: a gradient is wrong.
    """
    count = len(networks["W1"])
    sigma_error, caught = np.full((2, architecture.depth, len(OUTPUTS)), np.nan)
    if count:
        sigma_error, caught = _checked(architecture, moment, networks, data, own)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Verification(architecture, moment, tuple(schemes), sigma_error, checker, now, count, caught)


def _checked(
    architecture: Architecture, moment: Moment, networks: Parameters, data: Dataset, own: Tested | None
) -> Array:
    """Largest error in sigma, and largest error that would have passed: (2, L, 3)."""
    a, m = architecture, checked_examples(architecture)
    X, Y = (x[:, :m].astype(a.dtype) for x in (data.X_train, data.Y_train))
    reports = _reports(a, networks, X, Y, own)
    for report in (report for report in reports if report.failures()):
        in_place = is_possible(a.activation, a.cost)
        ours = f"sandbox/network/{'workspace' if in_place else 'passes'}.py"
        raise GradientError(
            f"gradient check failed (depth {a.depth}, width {a.width}, {a.activation}, {a.cost}, {a.dtype}, "
            f"{'initial' if moment == 'start' else 'final'} parameters): {report.headline()}\n"
            f"Nothing trained on these gradients is stored; correct {own.path if own else ours}."
            + (f"\n\n{report}" if own else "")
        )
    found = np.full((2, a.depth, len(OUTPUTS)), np.nan)
    for row in (row for report in reports for row in report.outputs):
        if row.function == "L_model_backward" and row.layer is not None:
            # An output is named by its key: dA{l-1}, dW{l}, db{l}.
            output = next(i for i, name in enumerate(OUTPUTS) if row.output[:2] == name[:2])
            of = found[:, row.layer - 1, output]
            np.fmax(of, (row.sigma_error, row.caught), out=of)
    return found


def _reports(a: Architecture, networks: Parameters, X: Array, Y: Array, own: Tested | None) -> "list[Report]":
    """Of what trains: the user's functions, network by network, what they print held back; else the step in
    place, or the plain passes where nothing else can."""
    from sandbox.network.model_check import check_model  # loads JAX
    from sandbox.network.replacement import check_replacement
    from sandbox.reading.running import held_back
    from sandbox.verifier.local import sampled

    kind = {"activation": a.activation, "cost": a.cost}
    with sampled(SAMPLES):
        if own is None:
            check = check_replacement if is_possible(a.activation, a.cost) else check_model
            return [check(networks, X, Y, contracts=False, **kind)]
        each = [{key: value[i] for key, value in networks.items()} for i in range(len(networks["W1"]))]
        with held_back():
            return [
                check_model(network, X, Y, functions=own.functions, contracts=False, **kind)
                for network in each
            ]
