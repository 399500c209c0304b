"""Claims about groups: which points train together, and in which order."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.grouping import GROUPS_A_WORKER, LARGEST_GROUP, LONGEST, groups, work
from experiments.points import Architecture, Point
from experiments.sizes import hidden_units, parameters
from experiments.training import layer_dims
from sandbox.network.activations import ACTIVATIONS

N_0, M = 64, 1437

architectures = st.builds(
    Architecture,
    st.integers(1, 9),
    st.sampled_from([1, 16, 300]),
    dtype=st.sampled_from(["float64", "float32"]),
)
points = st.builds(
    Point, architectures, st.just("he"), st.sampled_from([0.1, 1.0]), st.integers(0, 50),
    st.sampled_from([1, 50, 10**5]),
)  # fmt: skip


def seconds(group: tuple[Point, ...]) -> float:
    return sum(work(point, N_0, M) for point in group)


@given(st.lists(points, max_size=80, unique=True), st.integers(1, 9))
@settings(deadline=None)
def test_every_point_is_in_one_group_of_its_kind_in_the_order_of_the_points(
    some: list[Point], workers: int
) -> None:
    made = groups(some, workers, N_0, M)
    assert made == groups(some, workers, N_0, M)
    assert sorted(point for group in made for point in group) == sorted(some)
    for group in made:
        assert len({(point.architecture, point.steps) for point in group}) == 1
        assert sorted(group, key=some.index) == list(group)
        assert len(group) == 1 or seconds(group) < 1.001 * LONGEST
    assert len(made) >= min(GROUPS_A_WORKER * workers, len(some))
    assert all(seconds(a) >= seconds(b) * 0.999 for a, b in itertools.pairwise(made))


@given(architectures, st.integers(1, 12), st.integers(1, 300))
@settings(deadline=None)
def test_a_long_sweep_has_groups_of_some_seconds(architecture: Architecture, workers: int, runs: int) -> None:
    some = [Point(architecture, "he", 0.1, seed, 200) for seed in range(runs)]
    whole, made = seconds(tuple(some)), groups(some, workers, N_0, M)
    if whole > GROUPS_A_WORKER * workers * LONGEST:
        # Parts of one size, which are full but for what one run more would be too much.
        assert all(seconds(group) > min(LONGEST / 2 - seconds(group[:1]), 1) for group in made)
    else:
        assert len(made) <= 2 * GROUPS_A_WORKER * workers


def test_one_large_architecture_does_not_leave_the_small_ones_in_one_group() -> None:
    small, large = Architecture(2, 4), Architecture(9, 500)
    some = [Point(small, "he", 0.1, seed, 50) for seed in range(20)] + [Point(large, "he", 0.1, 0, 50)]
    made = groups(some, 2, N_0, M)
    assert made[0] == (some[-1],)
    assert len(made) >= 8


def test_a_groups_curves_and_parameters_are_bounded() -> None:
    little_work = [Point(Architecture(1, 1), "he", 0.1, seed, 10**6) for seed in range(100)]
    for group in groups(little_work, 1, 1, 1):
        assert len(group) * 8 * (10**6 + 1) <= LARGEST_GROUP


def test_work_grows_with_all_that_is_to_be_computed() -> None:
    base = Point(Architecture(4, 32), "he", 0.1, 0, 100)
    for larger in (Architecture(5, 32), Architecture(4, 64)):
        assert work(dataclasses.replace(base, architecture=larger), N_0, M) > work(base, N_0, M)
    assert work(base, N_0, 2 * M) > work(base, N_0, M) < work(base, 2 * N_0, M)
    assert 1.9 < work(dataclasses.replace(base, steps=200), N_0, M) / work(base, N_0, M) < 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_exponential_in_every_unit_takes_longer(dtype: str) -> None:
    of = {
        activation: work(Point(Architecture(4, 32, activation, dtype=dtype), "he", 0.1, 0, 100), N_0, M)
        for activation in ACTIVATIONS
    }
    assert of["relu"] == of["identity"] < of["tanh"] / 2 < of["sigmoid"] / 2


@given(architectures, st.integers(1, 99))
def test_sizes_are_those_of_the_layers(architecture: Architecture, n_0: int) -> None:
    dims = layer_dims(n_0, architecture)
    assert parameters(architecture, n_0) == sum(n * (n_prev + 1) for n_prev, n in itertools.pairwise(dims))
    assert hidden_units(architecture) == sum(dims[1:-1])
