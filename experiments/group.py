"""Pure: points in, trained results out."""

from dataclasses import dataclass

from sandbox.typing import Array, Parameters


@dataclass(frozen=True)
class Trained:
    """First axis of every array: the runs, in the order of the points.

    Attributes:
        cost_curve: (runs, steps + 1), nats per example, before each step and after the last; NaN from
            `diverged_at` on.
        diverged_at, stalled_at: (runs,), the step, -1 if there is none.
        train_accuracy, test_accuracy: (runs,), fractions; NaN for diverged runs.
        seconds: (runs,).
        gradient_norm_start, gradient_norm_end: (runs, L).
        kept: (kept,), indices of the runs whose final parameters are here.
        parameters: W{l} (kept, n_l, n_{l-1}), b{l} (kept, n_l, 1).
    """

    cost_curve: Array
    diverged_at: Array
    stalled_at: Array
    train_accuracy: Array
    test_accuracy: Array
    seconds: Array
    gradient_norm_start: Array
    gradient_norm_end: Array
    kept: Array
    parameters: Parameters
