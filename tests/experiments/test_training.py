"""Claims about training: results depend on nothing but the point and the data, bit for bit; runs that diverge
or stall; going on; and the same costs as a loop in JAX."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from experiments import group as group_module
from experiments import training
from experiments.data import load_data
from experiments.group import Common, Group, Trained, run_group
from experiments.points import Architecture, Point
from experiments.source import Source
from experiments.training import Examples, initial_parameters, prepared
from sandbox.network.passes import (
    L_model_backward,
    L_model_forward,
    compute_cost_from_logits,
    update_parameters,
)
from sandbox.network.workspace import Workspace
from sandbox.typing import Array

DTYPES = ["float64", "float32"]
RATES = [1e-2, 0.3, 3.0, 30.0, 1e4, 1e30]
SCHEMES: Any = ["he", "small", "inverse_sqrt"]


def silent(steps: int, diverged: int) -> None: ...


@functools.cache
def few(dtype: str, m: int = 37) -> Examples:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, m + 11)).astype(dtype)
    Y = (X[:1] + 0.3 * rng.standard_normal((1, m + 11)) > 0).astype(dtype)
    return Examples(X[:, :m].copy(), Y[:, :m].copy(), X[:, m:].copy(), Y[:, m:].copy())


@functools.cache
def digits(dtype: str) -> Examples:
    return prepared(load_data(Source()), dtype)


def common(examples: Examples) -> Common:
    return Common({str(examples.X_train.dtype): examples})


def train(points: Sequence[Point], examples: Examples, start: Trained | None = None) -> Trained:
    with threadpool_limits(1):
        return run_group(Group(tuple(points), (True,) * len(points), start), common(examples), silent)


def run_of(trained: Trained, run: int) -> dict[str, bytes]:
    """All that is said of a run but its seconds, as bytes."""
    names = [f.name for f in fields(Trained) if f.name not in ("seconds", "kept", "parameters")]
    of_run = {name: getattr(trained, name)[run].tobytes() for name in names}
    if run in (kept := trained.kept.tolist()):
        of_run |= {key: x[kept.index(run)].tobytes() for key, x in trained.parameters.items()}
    return of_run


def at_rates(rates: Sequence[float], steps: int, **architecture: Any) -> list[Point]:
    of = Architecture(**{"depth": 3, "width": 6} | architecture)
    return [Point(of, "he", rate, seed, steps) for seed, rate in enumerate(rates)]


# --- bit for bit ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(data=st.data(), dtype=st.sampled_from(DTYPES), activation=st.sampled_from(["relu", "tanh"]))
def test_runs_do_not_depend_on_groups_chunks_order_and_neighbours(
    data: st.DataObject, dtype: str, activation: str
) -> None:
    architecture = Architecture(
        data.draw(st.integers(1, 4)), data.draw(st.integers(1, 19)), activation, dtype=dtype
    )
    make = st.builds(
        Point, st.just(architecture), st.sampled_from(SCHEMES), st.sampled_from(RATES), st.integers(0, 9),
        st.just(12),
    )  # fmt: skip
    points = data.draw(st.lists(make, min_size=1, max_size=10, unique=True))
    together = train(points, few(dtype))
    order = data.draw(st.permutations(range(len(points))))
    cut = data.draw(st.integers(0, len(points)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(group_module, "LARGEST_CHUNK", data.draw(st.integers(1, 8)))
        for part in filter(None, (order[:cut], order[cut:])):
            apart = train([points[i] for i in part], few(dtype))
            for run, i in enumerate(part):
                assert run_of(apart, run) == run_of(together, i)


@pytest.mark.parametrize("dtype", DTYPES)
def test_so_it_is_with_examples_in_blocks(dtype: str) -> None:
    points = at_rates([0.1, 1e4, 0.3, 0.01], 6, width=32, dtype=dtype)
    together = train(points, digits(dtype))
    assert together.diverged_at.tolist()[1] > 0
    for i, point in enumerate(points):
        assert run_of(train([point], digits(dtype)), 0) == run_of(together, i)


@settings(deadline=None, max_examples=25)
@given(
    dtype=st.sampled_from(DTYPES), activation=st.sampled_from(["relu", "tanh"]), more=st.integers(0, 9),
    rates=st.lists(st.sampled_from(RATES), min_size=1, max_size=9), data=st.data(),
)  # fmt: skip
def test_going_on_gives_what_training_anew_gives(
    dtype: str, activation: str, more: int, rates: list[float], data: st.DataObject
) -> None:
    """Where parameters are lacking, too: those runs train anew."""
    short = at_rates(rates, 5, dtype=dtype, activation=activation)
    keep = data.draw(st.lists(st.booleans(), min_size=len(rates), max_size=len(rates)))
    start = run_group(Group(tuple(short), tuple(keep)), common(few(dtype)), silent)
    long = [replace(point, steps=5 + more) for point in short]
    anew, further = train(long, few(dtype)), train(long, few(dtype), start)
    for run in range(len(rates)):
        assert run_of(anew, run) == run_of(further, run)


def test_only_asked_for_parameters_come_back_and_none_of_diverged_runs() -> None:
    points = at_rates([0.1, 1e30, 0.1, 1e30], 5)
    trained = run_group(Group(tuple(points), (False, True, True, False)), common(few("float64")), silent)
    assert trained.kept.tolist() == [2]
    assert trained.parameters["W1"].shape == (1, 6, 5)
    assert trained.parameters["b3"].shape == (1, 1, 1)


# --- diverged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_diverged_run_is_told_from_its_step_on(dtype: str) -> None:
    trained = train(at_rates([0.1, 1e30, 3e5, 0.1], 20, dtype=dtype), few(dtype))
    assert (trained.diverged_at >= 0).tolist() == [False, True, True, False]
    for run, step in enumerate(trained.diverged_at):
        nan = np.isnan(trained.cost_curve[run])
        assert nan.tolist() == [0 <= step <= t for t in range(21)]
        assert (
            np.isnan(trained.test_accuracy[run]) == np.isnan(trained.gradient_norm_end[run, 0]) == (step >= 0)
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_passes_find_the_same_runs_diverged_at_the_same_steps(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [0.01, 0.1, *np.geomspace(12, 60, 8), 1e4, 1e30]
    points = at_rates(rates, 4, depth=4, width=8, dtype=dtype)
    ours = train(points, few(dtype))
    monkeypatch.setattr(training, "is_possible", lambda *names: False)
    theirs = train(points, few(dtype))
    np.testing.assert_array_equal(ours.diverged_at, theirs.diverged_at)
    assert len(set(ours.diverged_at.tolist())) >= 3
    # Four steps at rates far from divergence: each adds a few roundings of every parameter.
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(ours.cost_curve[:2], theirs.cost_curve[:2], rtol=100 * eps)


def test_a_diverged_run_takes_no_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    side_by_side, right = [], Workspace.update

    def update(self: Workspace, learning_rates: Array) -> Array:
        side_by_side.append(len(learning_rates))
        return right(self, learning_rates)

    monkeypatch.setattr(Workspace, "update", update)
    trained = train(at_rates([0.1, 1e30, 0.1], 5), few("float64"))
    assert trained.diverged_at.tolist() == [-1, 1, -1]
    assert side_by_side == [3, 2, 2, 2, 2]


# --- stalled --------------------------------------------------------------------------------------


def separated(dtype: str) -> Examples:
    """One number tells the classes apart, by so much that gradients underflow after a few large steps."""
    X = np.array([[3.0, 2.0, 1.0, -1.0, -2.0, -3.0]], dtype)
    Y = (X > 0).astype(dtype)
    return Examples(X, Y, X, Y)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stalled_run_is_what_going_on_gives(
    dtype: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [2e3, 0.1, 1e4, 4e3]
    points = at_rates(rates, 40, depth=1, width=1, dtype=dtype, activation=activation)
    stopped = train(points, separated(dtype))
    assert (stopped.stalled_at >= 0).tolist() == [True, False, True, True]
    for step in (Workspace, training.PassesStep):
        update = step.update

        def never_stalled(self: Any, rates: Array, update: Any = update) -> Array:
            update(self, rates)
            return np.ones(len(rates), bool)

        monkeypatch.setattr(step, "update", never_stalled)
    on = train(points, separated(dtype))
    assert (on.stalled_at == -1).all()
    for run in range(len(rates)):
        of_stopped, of_on = run_of(stopped, run), run_of(on, run)
        assert of_stopped | {"stalled_at": b""} == of_on | {"stalled_at": b""}


@pytest.mark.parametrize("dtype", DTYPES)
def test_stalled_at_is_the_first_step_that_leaves_all_parameters(dtype: str) -> None:
    (point,) = at_rates([2e3], 40, depth=1, width=1, dtype=dtype)
    step = int(train([point], separated(dtype)).stalled_at[0])
    ends = [train([replace(point, steps=step + more)], separated(dtype)) for more in (-1, 0, 1)]
    W = [end.parameters["W1"].tobytes() + end.parameters["b1"].tobytes() for end in ends]
    assert W[0] != W[1] == W[2]


def test_a_stalled_run_goes_on_without_its_parameters() -> None:
    short = at_rates([2e3, 1e4], 30, depth=1, width=1)
    start = run_group(Group(tuple(short), (False, False)), common(separated("float64")), silent)
    assert (start.stalled_at >= 0).all()
    long = tuple(replace(point, steps=50) for point in short)
    further = run_group(Group(long, (False, False), start), common(separated("float64")), silent)
    anew = run_group(Group(long, (False, False)), common(separated("float64")), silent)
    assert [run_of(further, run) for run in (0, 1)] == [run_of(anew, run) for run in (0, 1)]
    np.testing.assert_array_equal(further.seconds, start.seconds)


# --- progress, and what is refused ----------------------------------------------------------------


def test_progress_comes_to_all_steps_of_all_runs() -> None:
    told: list[tuple[int, int]] = []
    points = at_rates([0.1, 1e30, 2e3, 0.1], 30, depth=1, width=1)
    group = Group(tuple(points), (True,) * 4)
    start = run_group(group, common(separated("float64")), lambda *done: told.append(done))
    assert np.sum(told, axis=0).tolist() == [4 * 30, int(np.sum(start.diverged_at >= 0))]
    told.clear()
    longer = Group(tuple(replace(point, steps=50) for point in points), (True,) * 4, start)
    end = run_group(longer, common(separated("float64")), lambda *done: told.append(done))
    assert np.sum(told, axis=0).tolist() == [4 * 50, int(np.sum(end.diverged_at >= 0))]


def test_a_group_is_of_one_architecture_and_one_number_of_steps() -> None:
    one, other = at_rates([0.1], 5), at_rates([0.1], 6)
    with pytest.raises(ValueError, match="2 pairs of architecture and steps"):
        run_group(Group((*one, *other), (False, False)), common(few("float64")), silent)
    with pytest.raises(ValueError, match="keep has 0 entries, expected 1"):
        run_group(Group(tuple(one), ()), common(few("float64")), silent)
    start = train(other, few("float64"))
    with pytest.raises(ValueError, match="of 6 steps, expected 1 runs of at most 5"):
        run_group(Group(tuple(one), (True,), start), common(few("float64")), silent)


# --- another implementation -----------------------------------------------------------------------


def by_the_passes(point: Point, examples: Examples) -> dict[str, Any]:
    """The same run in a loop over the passes."""
    of = point.architecture
    theta = {key: x[0] for key, x in initial_parameters([point], examples.n_0).items()}
    norms, seen = np.array([]), dict[str, Any](diverged_at=-1)
    seen["cost_curve"] = np.full(point.steps + 1, np.nan)
    for t in range(point.steps + 1):
        AL, caches = L_model_forward(examples.X_train, theta, activation=of.activation)
        J = float(compute_cost_from_logits(caches[-1][1], examples.Y_train, cost=of.cost))
        if not np.isfinite(J) or (t > 0 and 1e3 * seen["cost_curve"][0] < J):
            return seen | {"diverged_at": t}
        seen["cost_curve"][t] = J
        gradients = L_model_backward(AL, examples.Y_train, caches, activation=of.activation, cost=of.cost)
        norms = np.array([np.linalg.norm(gradients[f"dW{l}"]) for l in range(1, of.depth + 1)])
        if t == 0:
            seen["gradient_norm_start"] = norms
        if t < point.steps:
            theta = update_parameters(theta, gradients, np.dtype(of.dtype).type(point.learning_rate))
    seen["gradient_norm_end"] = norms
    for name in ("train", "test"):
        X, Y = (getattr(examples, f"{x}_{name}") for x in "XY")
        AL, _ = L_model_forward(X, theta, activation=of.activation)
        seen[f"{name}_accuracy"] = np.mean((AL > 0.5) == (Y > 0.5))
    return seen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("cost", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize(("width", "m"), [(6, 37), (40, 701)])  # of one block, and of several
def test_runs_are_those_of_a_loop_over_the_passes(
    dtype: str, activation: str, cost: str, width: int, m: int
) -> None:
    of = {"width": width, "dtype": dtype, "activation": activation, "cost": cost}
    examples = few(dtype, m)
    points = at_rates([0.01, 0.1, 1e30, 0.2, 0.3], 4, **of)
    ours = train(points, examples)
    # Each of four steps adds a few roundings to every parameter, and far from divergence none grows.
    near = 100 * float(np.finfo(dtype).eps)
    for run, point in enumerate(points):
        with np.errstate(all="ignore"):
            theirs = by_the_passes(point, examples)
        for name, expected in theirs.items():
            np.testing.assert_allclose(getattr(ours, name)[run], expected, near, err_msg=name)


STEPS = 60


def jax_costs(point: Point, examples: Examples, count: int) -> list[float]:
    """The final cost of the same run in JAX; and then `count` times with all parameters multiplied by
    1 + eps u, u uniform in [-1, 1], after every step, which is as much as an update rounds."""
    import jax
    import jax.numpy as jnp

    L, units = point.architecture.depth, float(np.finfo(point.architecture.dtype).eps)
    X, Y = jnp.asarray(examples.X_train), jnp.asarray(examples.Y_train)
    initial = {key: jnp.asarray(x[0]) for key, x in initial_parameters([point], examples.n_0).items()}

    def cost(theta: Any) -> Any:
        Z = theta["W1"] @ X + theta["b1"]
        for l in range(2, L + 1):
            Z = theta[f"W{l}"] @ jax.nn.relu(Z) + theta[f"b{l}"]
        # Z is exactly 0 where all units before and b are: there max(Z, 0) + log(1 + e^-|Z|), written so, has
        # the derivative 0 in JAX, and not 1/2.
        return jnp.mean(jax.nn.softplus(Z) - Y * Z)

    def perturbed(x: Any, seed: Any, eps: Any) -> Any:
        return x * (1 + eps * jax.random.uniform(seed, x.shape, x.dtype, -1, 1))

    @jax.jit
    def final(theta: Any, seed: Any, eps: Any) -> Any:
        def step(theta: Any, seed: Any) -> Any:
            dtheta, seeds = jax.grad(cost)(theta), jax.random.split(seed, len(theta))
            return {
                key: perturbed(x - point.learning_rate * dtheta[key], seed, eps)
                for (key, x), seed in zip(theta.items(), seeds, strict=True)
            }, None

        return cost(jax.lax.scan(step, theta, jax.random.split(seed, STEPS))[0])

    return [
        float(final(initial, jax.random.key(i), X.dtype.type(units if i else 0))) for i in range(count + 1)
    ]


@pytest.mark.parametrize(
    ("depth", "dtype"),
    [
        (2, "float64"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(2, "float32"), (4, "float32"), (4, "float64")]
        ),
        *(pytest.param(8, dtype, marks=pytest.mark.slow) for dtype in DTYPES),
    ],
)
def test_final_costs_are_those_of_a_loop_in_jax(depth: int, dtype: str) -> None:
    """Up to how far rounding carries: each update of the parameters rounds by half a unit, each gradient by a
    few, times the rate. How much that grows until the end is measured: by the spread of 8 runs in which every
    parameter is off by up to one unit at every step; 4 times as much is allowed, for the gradients. The cost
    itself is a sum of m terms, added in pairs: 2 log2(m) eps."""
    import jax

    examples = digits(dtype)
    (point,) = at_rates([0.1], STEPS, depth=depth, width=16, dtype=dtype)
    ours = train([point], examples).cost_curve[0, -1]
    with jax.enable_x64(True):
        theirs, *others = jax_costs(point, examples, 8)
    spread = max(abs(other - theirs) for other in others)
    tolerance = 4 * spread + 2 * np.log2(examples.m) * np.finfo(dtype).eps * theirs
    assert abs(ours - theirs) <= tolerance
    assert tolerance < 1e-2 * theirs  # or it would say nothing


def test_a_worker_needs_numpy_alone() -> None:

    others = ("jax", "scipy", "h5py", "pandas", "xarray", "sklearn", "rich", "pydantic", "threadpoolctl")
    code = f"import sys, experiments.group; sys.exit(', '.join(set(sys.modules) & set({others})) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
