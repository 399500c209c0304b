"""Full-batch gradient descent on a stack of networks with the verified passes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.data import Dataset
from sandbox import (
    L_model_backward,
    L_model_forward,
    compute_cost_from_logits,
    initialize_parameters_deep,
    update_parameters,
)
from sandbox.typing import Array, Gradients, Parameters, Scheme

DIVERGENCE_FACTOR = 1e3
"""A run has diverged when its cost is not finite or above this many times its initial cost."""


@dataclass(frozen=True)
class Runs:
    """What is stored of the runs of one stack, in the order learning rate, then seed (which varies fastest).

    cost: (runs, steps + 1), nats per example, before each step and after the last; NaN from
        `diverged_at` on.
    diverged_at: (runs,), the step at which the run was found diverged, -1 when it was not.
    train_accuracy, test_accuracy: (runs,), fractions; NaN for diverged runs.
    gradient_norm_start, gradient_norm_end: (runs, L), Frobenius norm of dW[l] (nats per example per unit
        of W); the end is NaN for diverged runs.
    seconds: wall time of the training.
    """

    cost: Array
    diverged_at: Array
    train_accuracy: Array
    test_accuracy: Array
    gradient_norm_start: Array
    gradient_norm_end: Array
    seconds: float


@dataclass(frozen=True)
class Training(Runs):
    """`parameters`: final W{l} and b{l}, (runs, ...); NaN for diverged runs."""

    parameters: Parameters


def initial_parameters(
    n_0: int, depth: int, width: int, scheme: Scheme, seeds: Sequence[int], dtype: str
) -> Parameters:
    """One network for each seed: W{l} (seeds, n_l, n_{l-1}), b{l} (seeds, n_l, 1)."""
    dims = (n_0, *[width] * (depth - 1), 1)
    networks = [initialize_parameters_deep(dims, rng=seed, scheme=scheme, dtype=dtype) for seed in seeds]
    return {key: np.stack([network[key] for network in networks]) for key in networks[0]}


def train(
    initial: Parameters, data: Dataset, learning_rates: Sequence[float], steps: int, dtype: str
) -> Training:
    """Train every learning rate from every initial network (seeds, ...), as one stack.

    A diverged run leaves the stack at once: it costs no more time and cannot touch its neighbours.
    """
    start = time.perf_counter()
    X, Y = data.X_train.astype(dtype), data.Y_train.astype(dtype)
    depth, seeds = len(initial) // 2, len(initial["W1"])
    rates = np.repeat(np.asarray(learning_rates, dtype), seeds)
    runs = len(rates)
    parameters = {key: np.concatenate([value] * len(learning_rates)) for key, value in initial.items()}
    cost = np.full((runs, steps + 1), np.nan)
    diverged_at = np.full(runs, -1)
    norm_start, norm_end = np.full((2, runs, depth), np.nan)
    final = {key: np.full_like(value, np.nan) for key, value in parameters.items()}
    accuracy = np.full((2, runs), np.nan)
    alive = np.arange(runs)
    # Overflow on the way to divergence is expected and recorded in diverged_at.
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for step in range(steps + 1):
            AL, caches = L_model_forward(X, parameters)
            now = compute_cost_from_logits(caches[-1][1], Y)
            ceiling = np.inf if step == 0 else DIVERGENCE_FACTOR * cost[alive, 0]
            kept = np.isfinite(now) & (now <= ceiling)
            if not kept.all():
                diverged_at[alive[~kept]] = step
                alive, now = alive[kept], now[kept]
                parameters = {key: value[kept] for key, value in parameters.items()}
                if not alive.size:
                    break
                AL, caches = L_model_forward(X, parameters)
            cost[alive, step] = now
            grads = L_model_backward(AL, Y, caches)
            if step == 0:
                norm_start[alive] = _norms(grads, depth)
            if step < steps:
                parameters = update_parameters(parameters, grads, rates[alive])
        if alive.size:
            norm_end[alive] = _norms(grads, depth)
            AL_test, _ = L_model_forward(data.X_test.astype(dtype), parameters)
            accuracy[:, alive] = _accuracy(AL, Y), _accuracy(AL_test, data.Y_test)
    for key, value in parameters.items():
        final[key][alive] = value
    seconds = time.perf_counter() - start
    return Training(cost, diverged_at, accuracy[0], accuracy[1], norm_start, norm_end, seconds, final)


def _norms(grads: Gradients, depth: int) -> Array:
    return np.stack([np.linalg.norm(grads[f"dW{l}"], axis=(-2, -1)) for l in range(1, depth + 1)], axis=-1)


def _accuracy(AL: Array, Y: Array) -> Array:
    return np.asarray(((AL > 0.5) == (Y > 0.5)).mean(axis=(-2, -1)))
