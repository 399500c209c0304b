"""Which gradients a sweep has verified, and the check of those that it has not.

A verdict is of one architecture: of the training step on networks as each scheme draws them ("start"), and on
a sample of trained ones ("end"). It holds for every run of that architecture and scheme on the same data and
code, whoever trained it and when, so long as the checker is the same.
"""

import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import numpy as np

from experiments.data import Dataset
from experiments.points import Architecture, Point
from experiments.training import layer_dims, stacked
from sandbox.network.passes import initialize_parameters_deep
from sandbox.network.workspace import is_possible
from sandbox.typing import Array, Parameters, Scheme

Moment: TypeAlias = Literal["start", "end"]
OUTPUTS = ("dA_prev", "dW", "db")
NETWORKS = 4  # that are checked of an architecture; fewer of a large one, but one for each scheme
PARAMETERS = 1 << 14  # of the networks together, about
EXAMPLES = 128  # of which a network of depth L is checked on 128 / L, but at least on
FEWEST_EXAMPLES = 16
SAMPLES = 16  # of rounding, from which its size is known


class GradientError(RuntimeError):
    """Gradients that failed their check; nothing trained on them is stored."""


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


def sample(points: Iterable[Point], stored: Iterable[Verification], checker: str) -> frozenset[Point]:
    """The points whose final parameters are to be checked: for every scheme without a verdict on them some,
    evenly from the lowest learning rate, which diverges last, to the highest.

    It depends on nothing but the points, in any order, and on which verdicts are stored: not on which of the
    points are done, nor on how they are grouped.
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
        for point in _spread(alike[architecture, scheme], max(_networks(architecture) // len(several), 1))
    )


def _networks(architecture: Architecture) -> int:
    each = architecture.depth * architecture.width**2
    return max(min(PARAMETERS // each, NETWORKS), 1)


def _spread(points: list[Point], count: int) -> list[Point]:
    ordered = sorted(points, key=operator.attrgetter("learning_rate", "seed", "steps"))
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).round().astype(int)]


# --- the check ------------------------------------------------------------------------------------


def initial_networks(architecture: Architecture, schemes: Sequence[Scheme], n_0: int) -> Parameters:
    """As many networks as are checked at the end, whose check then finds its equations traced: of each scheme
    in turn, from the seed 0 on; as W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1)."""
    dims = layer_dims(n_0, architecture)
    return stacked(
        [
            initialize_parameters_deep(dims, rng=seed, scheme=scheme, dtype=architecture.dtype)
            for seed in range(max(_networks(architecture) // len(schemes), 1))
            for scheme in schemes
        ]
    )


def checked_examples(architecture: Architecture) -> int:
    """How many of the first training examples a check takes: fewer for a deep network, whose check takes
    longer."""
    return max(EXAMPLES // architecture.depth, FEWEST_EXAMPLES)


def verify(
    architecture: Architecture, moment: Moment, schemes: Sequence[Scheme], networks: Parameters,
    data: Dataset, checker: str,
) -> Verification:  # fmt: skip
    """Check the step that trains this architecture, on the first examples of the data.

    Args:
        schemes: the verdict is on.
        networks: a stack, W{l} (networks, n_l, n_{l-1}) and b{l} (networks, n_l, 1); of none, because all
            have diverged, there is nothing to check.
        checker: the revision of the checker.

    Raises:
        GradientError: a gradient is wrong.
    """
    count = len(networks["W1"])
    sigma_error, caught = np.full((2, architecture.depth, len(OUTPUTS)), np.nan)
    if count:
        sigma_error, caught = _checked(architecture, moment, networks, data)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Verification(architecture, moment, tuple(schemes), sigma_error, checker, now, count, caught)


def _checked(architecture: Architecture, moment: Moment, networks: Parameters, data: Dataset) -> Array:
    """Largest error in sigma, and largest error that would have passed: (2, L, 3)."""
    from sandbox.network.model_check import check_model  # loads JAX
    from sandbox.network.replacement import check_replacement
    from sandbox.verifier.local import sampled

    a, m = architecture, checked_examples(architecture)
    X, Y = (x[:, :m].astype(a.dtype) for x in (data.X_train, data.Y_train))
    # What trains is what is checked: the plain passes where nothing else can.
    in_place = is_possible(a.activation, a.cost)
    check = check_replacement if in_place else check_model
    with sampled(SAMPLES):
        report = check(networks, X, Y, contracts=False, activation=a.activation, cost=a.cost)
    if report.failures():
        raise GradientError(
            f"gradient check failed (depth {a.depth}, width {a.width}, {a.activation}, {a.cost}, {a.dtype}, "
            f"{'initial' if moment == 'start' else 'final'} parameters): {report.headline()}\n"
            "Nothing trained on these gradients is stored; correct sandbox/network/"
            f"{'workspace' if in_place else 'passes'}.py."
        )
    found = np.full((2, a.depth, len(OUTPUTS)), np.nan)
    for row in report.outputs:
        if row.function == "L_model_backward" and row.layer is not None:
            # An output is named by its key: dA{l-1}, dW{l}, db{l}.
            output = next(i for i, name in enumerate(OUTPUTS) if row.output[:2] == name[:2])
            of = found[:, row.layer - 1, output]
            np.fmax(of, (row.sigma_error, row.caught), out=of)
    return found
