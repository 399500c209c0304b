"""Claims about the verdicts on a sweep's gradients: what they are of, which are lacking, and what fails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data import Dataset
from experiments.points import Architecture, Point
from experiments.verification import (
    NETWORKS,
    GradientError,
    Moment,
    Verification,
    checked_examples,
    initial_networks,
    sample,
    unverified,
    verify,
)
from sandbox.network.activations import ACTIVATIONS, ReLUInPlace
from sandbox.typing import Array, Scheme
from sandbox.verifier.compare import threshold

SMALL = Architecture(3, 4)
SCHEMES: tuple[Scheme, ...] = ("he", "small")


@pytest.fixture(scope="module")
def data() -> Dataset:
    """200 made-up examples of 5 features."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((5, 200)), rng.integers(0, 2, (1, 200)).astype(float)
    return Dataset(X, Y, X[:, :8], Y[:, :8], source="made up", preprocessing="none")


def verdict(
    architecture: Architecture, moment: Moment, *schemes: Scheme, checker: str = "now"
) -> Verification:
    errors = np.zeros((architecture.depth, 3))
    return Verification(
        architecture, moment, schemes, errors, checker, "2026-01-01T00:00:00+00:00", 1, errors
    )


def drawn_points(architecture: Architecture = SMALL, *schemes: Scheme) -> list[Point]:
    return [
        Point(architecture, scheme, rate, seed, 5)
        for scheme in schemes or ("he",) for rate in (1.0, 0.1, 10.0) for seed in range(4)
    ]  # fmt: skip


# --- the check ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_gradients_get_a_verdict_with_the_error_of_every_layer(
    activation: str, dtype: str, data: Dataset
) -> None:
    architecture = Architecture(3, 4, activation=activation, dtype=dtype)
    found = verify(architecture, "start", SCHEMES, initial_networks(architecture, SCHEMES, 5), data, "now")
    assert (found.moment, found.schemes, found.checker, found.networks) == ("start", SCHEMES, "now", NETWORKS)
    assert found.sigma_error.shape == (3, 3)
    of_X = np.zeros((3, 3), bool)
    of_X[0, 0] = activation == "relu"  # the step in place needs no gradient by X
    np.testing.assert_array_equal(np.isnan(found.sigma_error), of_X)
    assert np.nanmax(found.sigma_error) < threshold(1)
    np.testing.assert_array_equal(np.isnan(found.caught), of_X)
    assert np.nanmax(found.caught) < 1000 * np.finfo(dtype).eps


def test_the_step_that_trains_is_what_is_checked(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmasked(self: ReLUInPlace, dA: Array, A: Array) -> None:
        A[...] = dA

    monkeypatch.setattr(ReLUInPlace, "backward", unmasked)
    with pytest.raises(GradientError, match=r"depth 3, width 4, relu.*\n.*network/workspace\.py"):
        verify(SMALL, "end", ("he",), initial_networks(SMALL, ("he",), 5), data, "now")


def test_where_the_plain_passes_train_they_are_checked(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tanh = Architecture(2, 4, activation="tanh")
    monkeypatch.setitem(vars(ACTIVATIONS["tanh"]), "backward", lambda dA, Z: dA.copy())
    with pytest.raises(GradientError, match=r"tanh, .*initial parameters\): .*\n.*network/passes\.py"):
        verify(tanh, "start", ("he",), initial_networks(tanh, ("he",), 5), data, "now")


def test_an_error_of_the_size_that_it_says_would_be_caught_is(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tanh = Architecture(2, 4, activation="tanh")
    networks = initial_networks(tanh, ("he",), 5)
    right = ACTIVATIONS["tanh"].backward
    largest = np.nanmax(verify(tanh, "start", ("he",), networks, data, "now").caught)
    monkeypatch.setitem(vars(ACTIVATIONS["tanh"]), "backward", lambda dA, Z: right(dA, Z) * (1 + 2 * largest))
    with pytest.raises(GradientError):
        verify(tanh, "start", ("he",), networks, data, "now")


def test_of_networks_that_have_all_diverged_there_is_nothing_to_check(data: Dataset) -> None:
    none = {key: value[:0] for key, value in initial_networks(SMALL, ("he",), 5).items()}
    found = verify(SMALL, "end", ("he",), none, data, "now")
    assert found.networks == 0
    assert np.isnan(found.sigma_error).all()


def test_a_deep_network_is_checked_on_fewer_examples_but_not_on_few() -> None:
    assert [checked_examples(Architecture(depth, 4)) for depth in (1, 2, 4, 8, 16)] == [128, 64, 32, 16, 16]


def test_each_scheme_is_checked_at_the_start_and_no_two_networks_are_the_same() -> None:
    networks = initial_networks(SMALL, SCHEMES, 5)["W2"]
    assert len(networks) == NETWORKS
    assert len({network.tobytes() for network in networks}) == NETWORKS
    assert len(initial_networks(Architecture(16, 128), SCHEMES, 5)["W1"]) == len(SCHEMES)


# --- what is lacking ----------------------------------------------------------------------------


def test_a_verdict_is_lacking_for_each_architecture_and_scheme_that_has_none() -> None:
    deep = Architecture(5, 4)
    points = [*drawn_points(SMALL, *SCHEMES), *drawn_points(deep, *SCHEMES)]
    assert unverified(points, "start", [], "now") == {SMALL: SCHEMES, deep: SCHEMES}
    stored = [verdict(SMALL, "start", *SCHEMES), verdict(deep, "start", "he")]
    assert unverified(points, "start", stored, "now") == {deep: ("small",)}


def test_a_verdict_at_another_moment_or_of_another_checker_does_not_count() -> None:
    points = drawn_points()
    for stored in (verdict(SMALL, "end", "he"), verdict(SMALL, "start", "he", checker="before")):
        assert unverified(points, "start", [stored], "now") == {SMALL: ("he",)}


# --- the sample ---------------------------------------------------------------------------------


@given(st.permutations(drawn_points(SMALL, *SCHEMES)))
def test_the_sample_does_not_depend_on_the_order_of_the_points(points: list[Point]) -> None:
    assert sample(points, [], "now") == sample(sorted(points), [], "now")


def test_the_sample_reaches_from_the_lowest_rate_to_the_highest() -> None:
    chosen = sample(drawn_points(), [], "now")
    assert len(chosen) == NETWORKS
    assert {point.learning_rate for point in chosen} == {0.1, 1.0, 10.0}


def test_every_scheme_without_a_verdict_is_in_the_sample() -> None:
    points = drawn_points(SMALL, "he", "small", "inverse_sqrt")
    assert {point.scheme for point in sample(points, [], "now")} == {"he", "small", "inverse_sqrt"}
    stored = [verdict(SMALL, "end", "he", "small")]
    assert {point.scheme for point in sample(points, stored, "now")} == {"inverse_sqrt"}
    assert not sample(points, [*stored, verdict(SMALL, "end", "inverse_sqrt")], "now")


def test_of_a_large_network_one_of_each_scheme_is_enough() -> None:
    large = Architecture(16, 128)
    assert len(sample(drawn_points(large, *SCHEMES), [], "now")) == len(SCHEMES)


def test_the_same_points_are_sampled_beside_those_of_another_architecture() -> None:
    alone, beside = drawn_points(), drawn_points(Architecture(2, 4))
    assert sample(alone, [], "now") == sample([*beside, *alone], [], "now") & frozenset(alone)
