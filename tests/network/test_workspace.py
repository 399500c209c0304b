"""Claims about the step in preallocated memory: it is the passes' step, mistakes in it are caught, and
networks side by side do not touch each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.network.cases import drawn_network
from sandbox.network.costs import CrossEntropyInPlace
from sandbox.network.passes import L_model_backward, L_model_forward
from sandbox.network.replacement import check_replacement
from sandbox.network.workspace import SMALL, Workspace, batch, block_size
from sandbox.typing import Array, Parameters

DTYPES = ["float64", "float32"]


def stack(dims: list[int], m: int, count: int, dtype: str = "float64") -> tuple[Parameters, Array, Array]:
    networks = [drawn_network(dims, m, seed=seed, dtype=dtype) for seed in range(count)]
    _, X, Y = networks[0]
    return {key: np.stack([theta[key] for theta, _, _ in networks]) for key in networks[0][0]}, X, Y


# --- it is the passes' step -----------------------------------------------------------------------


@pytest.mark.parametrize("dims", [[5, 1], [5, 4, 3, 1], [3, 4, 4, 4, 1]])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("cost", ["cross_entropy", "mean_squared_error"])
def test_the_step_is_right(dims: list[int], dtype: str, activation: str, cost: str) -> None:
    for output_scale in (1.0, 10.0, 1e3):
        network = drawn_network(dims, 7, seed=1, dtype=dtype, output_scale=output_scale)
        report = check_replacement(*network, activation=activation, cost=cost)
        assert report, str(report)


def test_every_output_of_the_step_is_compared() -> None:
    rows = check_replacement(*drawn_network([5, 4, 3, 1], 7, seed=1)).outputs
    compared = {(row.function, row.output) for row in rows if row.verdict == "pass"}
    expected = {"L_model_forward": {"AL", "A1", "A2", "Z1", "Z2", "Z3"}, "compute_cost": {"cost"}}
    expected["L_model_backward"] = {"dA1", "dA2", *(f"d{key}{l}" for key in "Wb" for l in (1, 2, 3))}
    expected["update_parameters"] = {f"{key}{l}" for key in "Wb" for l in (1, 2, 3)}
    assert {(function, name) for function, names in expected.items() for name in names} <= compared


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_stack_is_checked_side_by_side(dtype: str) -> None:
    assert check_replacement(*stack([5, 4, 4, 1], 7, 4, dtype))


def test_no_gradient_by_x_is_a_remark_and_contracts_hold() -> None:
    report = check_replacement(*drawn_network([5, 4, 3, 1], 7, seed=1), contracts=True)
    assert report
    assert "dA0" in str(report)


def test_products_that_are_made_in_parts_are_right() -> None:
    assert check_replacement(*drawn_network([64, 32, 1], 7, seed=0))


@pytest.mark.parametrize("cost", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize(
    ("w", "b", "x"),
    [
        (-1e20, 1e20, 2.0),  # x = 0, which no data holds, would give Z[2] = inf
        (1e20, 0.0, 1.0),  # the examples give Z[2] = inf, of which the sigmoid is 1
    ],
)
def test_what_fills_a_block_up_counts_nothing_whatever_overflows(
    w: float, b: float, x: float, cost: str
) -> None:
    theta = {"W1": [[w]], "b1": [[b]], "W2": [[1e20]], "b2": [[0.0]]}
    parameters = {key: np.array(value, np.float32) for key, value in theta.items()}
    X, Y = np.full((1, 7), x, np.float32), np.array([[0, 1, 0, 1, 0, 1, 1]], np.float32)
    workspace = Workspace([1, 1, 1], batch(X, Y, 4), cost=cost)
    workspace.load({key: value[None] for key, value in parameters.items()})
    with np.errstate(all="ignore"):
        workspace.forward()
        workspace.backward()
        AL, caches = L_model_forward(X, parameters)
        expected = L_model_backward(AL, Y, caches, cost=cost)
    for key, gradient in workspace.gradients().items():
        np.testing.assert_allclose(gradient[0], expected[key], rtol=10 * float(np.finfo(np.float32).eps))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"activation": "tanh"}, "computed in place"), ({"Y": np.full((1, 7), 0.5)}, "labels")],
)
def test_what_the_step_cannot_do_is_refused(wrong: dict[str, Any], words: str) -> None:
    theta, X, Y = drawn_network([5, 4, 1], 7, seed=0)
    with pytest.raises(ValueError, match=words):
        check_replacement(theta, X, **({"Y": Y} | wrong))


# --- mistakes are caught --------------------------------------------------------------------------

Method = Callable[..., Any]
right = {name: getattr(Workspace, name) for name in vars(Workspace)}


def bias_is_not_updated(self: Workspace, learning_rates: Array) -> Any:
    before = [W[..., -1].copy() for W in self.W.values()]
    changed = right["update"](self, learning_rates)
    for W, b in zip(self.W.values(), before, strict=True):
        W[..., -1] = b
    return changed


def rate_of_the_first_network(self: Workspace, learning_rates: Array) -> Any:
    return right["update"](self, np.full_like(learning_rates, learning_rates[0]))


def rates_in_reverse(self: Workspace, learning_rates: Array) -> Any:
    return right["update"](self, learning_rates[::-1].copy())


def copies_made_when_loaded(self: Workspace, parameters: Parameters) -> None:
    right["load"](self, parameters)
    self._W_T = {l: W[:, None, :, :-1].mT.copy() for l, W in self.W.items()}


def gradient_of_three_blocks(self: Workspace, l: int) -> None:
    right["linear_backward"](self, l)
    (self.Z[l] @ self.A[l - 1].mT)[:, :3].sum(axis=1, out=self.dW[l])


def bias_of_the_third_forward_forgotten(self: Workspace, l: int) -> None:
    """Right for two steps."""
    right["linear_forward"](self, l)
    self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
    if self.__dict__["calls"] > 2 * self.L:
        self.Z[l] -= self.W[l][:, None, :, -1:]


def mask_of_the_layer_above(self: Workspace, l: int) -> None:
    other = self.A[l + 1 if l + 1 < self.L else l - 1][:, :, :-1]
    self.Z[l][:] = self.dA[l] * (other > 0)


def no_mask(self: Workspace, l: int) -> None:
    self.Z[l][:] = self.dA[l]


def sum_in_place_of_the_mean(self: Workspace) -> None:
    right["backward"](self)
    self.dtheta *= self.batch.m


def weights_of_the_neighbour(self: Workspace, l: int) -> None:
    np.matmul(np.roll(self.W[l], 1, axis=0)[:, None], self.A[l - 1], out=self.Z[l])


def gradient_without_the_last_block(self: Workspace, l: int) -> None:
    right["linear_backward"](self, l)
    np.matmul(self.Z[l], self.A[l - 1].mT).sum(axis=1, out=self.dW[l])
    self.dW[l][:] -= (self.Z[l] @ self.A[l - 1].mT)[:, -1]


def gradient_added_to_that_of_the_step_before(self: Workspace, l: int) -> None:
    before = self.dW[l].copy()
    right["linear_backward"](self, l)
    self.dW[l][:] += before


def gradient_by_activations_of_the_neighbour(self: Workspace, l: int) -> None:
    right["linear_backward"](self, l)
    if l > 1:
        self.dA[l - 1][:] = np.roll(self.dA[l - 1], 1, axis=0)


def weights_of_the_step_before(self: Workspace, l: int) -> None:
    """As if the products read a copy of W that is made once, at the first step."""
    if l not in (copies := self.__dict__.setdefault("copies", {})):
        copies[l] = self.W[l].copy()
    np.matmul(copies[l][:, None], self.A[l - 1], out=self.Z[l])


def bias_left_out_of_the_last_layer(self: Workspace, l: int) -> None:
    right["linear_forward"](self, l)
    if l == self.L:
        self.Z[l] -= self.W[l][:, None, :, -1:]


@pytest.mark.parametrize(
    ("method", "planted", "blamed"),
    [
        ("update", bias_is_not_updated, "update_parameters"),
        ("update", rate_of_the_first_network, "update_parameters"),
        ("update", rates_in_reverse, "update_parameters"),
        ("load", copies_made_when_loaded, "L_model_backward"),
        ("linear_backward", gradient_of_three_blocks, "L_model_backward"),
        ("linear_forward", bias_of_the_third_forward_forgotten, "L_model_forward"),
        pytest.param(
            "activation_backward", mask_of_the_layer_above, "L_model_backward", marks=pytest.mark.slow
        ),
        pytest.param("activation_backward", no_mask, "L_model_backward", marks=pytest.mark.slow),
        pytest.param("backward", sum_in_place_of_the_mean, "L_model_backward", marks=pytest.mark.slow),
        pytest.param(
            "linear_backward", gradient_without_the_last_block, "L_model_backward", marks=pytest.mark.slow
        ),
        ("linear_backward", gradient_added_to_that_of_the_step_before, "L_model_backward"),
        ("linear_backward", gradient_by_activations_of_the_neighbour, "L_model_backward"),
        pytest.param("linear_forward", weights_of_the_neighbour, "L_model_forward", marks=pytest.mark.slow),
        ("linear_forward", weights_of_the_step_before, "L_model_forward"),
        pytest.param(
            "linear_forward", bias_left_out_of_the_last_layer, "L_model_forward", marks=pytest.mark.slow
        ),
    ],
)
def test_a_mistake_in_the_workspace_is_caught(
    method: str, planted: Method, blamed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, method, planted)
    report = check_replacement(*drawn_network([5, 4, 4, 4, 1], 7, seed=1))
    assert not report
    assert blamed in {row.function for row in report.failures()}


def test_exponentials_of_the_step_before_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right_forward = CrossEntropyInPlace.forward

    def forward(self: Any, ZL: Array) -> Array:
        E = self._E.copy()
        J = right_forward(self, ZL)
        if self.__dict__.setdefault("begun", False):
            self._E[:] = E
        self.begun = True
        return J

    monkeypatch.setattr(CrossEntropyInPlace, "forward", forward)
    report = check_replacement(*drawn_network([5, 4, 1], 7, seed=1))
    assert {row.function for row in report.failures()} == {"L_model_backward"}


def test_a_cost_without_the_last_examples_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def summed(self: Any, losses: Array) -> Array:
        return np.asarray(losses[:, :-1].sum(axis=(1, 2, 3)))

    monkeypatch.setattr(CrossEntropyInPlace, "_summed", summed)
    report = check_replacement(*drawn_network([5, 4, 1], 7, seed=1))
    assert {row.function for row in report.failures()} == {"compute_cost"}


# --- networks do not touch each other -------------------------------------------------------------


def trained(theta: Parameters, X: Array, Y: Array, rates: Array, *, size: int, steps: int = 3) -> Any:
    dims = [len(X), *(theta[f"W{l}"].shape[-2] for l in range(1, len(theta) // 2 + 1))]
    workspace = Workspace(dims, batch(X, Y, size), len(rates))
    workspace.load(theta)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            J = workspace.forward()
            workspace.backward()
            workspace.update(rates)
    return J, workspace.theta.copy()


@settings(deadline=None, max_examples=30)
@given(
    dims=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(lambda dims: [*dims, 1]),
    m=st.integers(1, 300), blocks=st.integers(1, 4), count=st.integers(1, 8), data=st.data(),
    dtype=st.sampled_from(DTYPES),
)  # fmt: skip
def test_a_network_has_the_same_bits_wherever_it_stands(
    dims: list[int], m: int, blocks: int, count: int, data: st.DataObject, dtype: str
) -> None:
    """Beside networks that overflow, too; and whatever the address of X."""
    theta, X, Y = stack(dims, m, count, dtype)
    rates = np.array(data.draw(st.lists(st.sampled_from([0.1, 1.0, 1e30]), min_size=count, max_size=count)))
    rates, size = rates.astype(dtype), -(-m // blocks)
    J, after = trained(theta, X, Y, rates, size=size)
    shifted = np.empty(X.size + 1, dtype)[1:].reshape(X.shape)
    shifted[:] = X
    order = data.draw(st.permutations(range(count)))
    J_other, after_other = trained(
        {key: x[order] for key, x in theta.items()}, shifted, Y, rates[order], size=size
    )
    np.testing.assert_array_equal(J[order], J_other)
    np.testing.assert_array_equal(after[order], after_other)
    i = order[0]
    J_alone, alone = trained({k: x[i : i + 1] for k, x in theta.items()}, X, Y, rates[i : i + 1], size=size)
    np.testing.assert_array_equal(J[i], J_alone[0])
    np.testing.assert_array_equal(after[i], alone[0])


@pytest.mark.parametrize(("dims", "m"), [([64, 32, 32, 1], 1437), ([64, 8, 1], 1437), ([3, 1], 1)])
def test_blocks_make_small_products_and_hold_all_examples(dims: list[int], m: int) -> None:
    size = block_size(dims, m)
    assert all(n * (n_prev + 1) * size <= SMALL for n_prev, n in itertools.pairwise(dims))
    X, Y = np.ones((dims[0], m)), np.ones((1, m))
    in_blocks = batch(X, Y, size)
    assert in_blocks.signs.sum() == -m
    assert in_blocks.X.shape[0] * size - m < in_blocks.X.shape[0]


def test_networks_too_wide_for_small_products_have_one_block() -> None:
    assert block_size([64, 512, 512, 1], 1437) == 1437


def test_an_update_says_whose_bits_changed() -> None:
    theta, X, Y = stack([3, 2, 1], 5, 3)
    workspace = Workspace([3, 2, 1], batch(X, Y, 5), 3)
    workspace.load(theta)
    workspace.forward()
    workspace.backward()
    assert workspace.update(np.array([0.1, 0.0, 1e-30])).tolist() == [True, False, False]
