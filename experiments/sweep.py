"""Run a sweep: each group checks its gradients, trains, checks them again and is stored."""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.data import Dataset, load_data
from experiments.spec import Spec
from experiments.store import MOMENTS, OUTPUTS, GroupResult, Store
from experiments.training import Runs, initial_parameters, train
from sandbox.typing import Array, Parameters, Scheme

CHECKED_EXAMPLES = 128
CHECKED_FINAL_NETWORKS = 8

Progress = Callable[[int, int], None]
"""Called after each group with the number of its runs and how many of them diverged."""


class GradientError(RuntimeError):
    """Gradients that failed their check; nothing trained on them is stored."""


def run_sweep(spec: Spec, folder: Path, progress: Progress, overwrite: bool = False) -> Path:
    """Run the groups of `spec` that `folder` does not hold yet; return the combined HDF5 file.

    Raises:
        DataError: the data cannot be used. StoreError: a file of this name is another sweep's or damaged.
        GradientError: a gradient failed its check.
    """
    data = load_data(spec.data, spec.train_fraction, spec.split_seed)
    store = Store(folder, spec, data)
    store.prepare(overwrite)
    for group in spec.groups:
        result = store.read(group)
        if result is None:
            # The stack's matrices are small: threads within one product cost more than they give.
            with threadpool_limits(1, user_api="blas"):
                result = run_group(spec, data, *group)
            store.write(group, result)
        progress(spec.runs_per_group, int(np.sum(result.diverged_at >= 0)))
    return store.combine()


def run_group(spec: Spec, data: Dataset, scheme: Scheme, depth: int, width: int) -> GroupResult:
    """Check, train and check again the runs that share scheme, depth and width."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    initial = initial_parameters(len(data.X_train), depth, width, scheme, spec.seeds, spec.dtype)
    sigma_error = np.full((len(MOMENTS), depth, len(OUTPUTS)), np.nan)
    where = f"scheme {scheme}, depth {depth}, width {width}"
    sigma_error[0] = _verified(initial, data, spec.dtype, f"{where}, initial parameters")
    training = train(initial, data, spec.learning_rates, spec.steps, spec.dtype)
    finished = np.flatnonzero(training.diverged_at < 0)
    if finished.size:
        count = min(finished.size, CHECKED_FINAL_NETWORKS)
        chosen = finished[np.linspace(0, finished.size - 1, count).round().astype(int)]
        final = {key: value[chosen] for key, value in training.parameters.items()}
        sigma_error[1] = _verified(final, data, spec.dtype, f"{where}, final parameters")
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    runs = {field.name: getattr(training, field.name) for field in fields(Runs)}
    return GroupResult(**runs, sigma_error=sigma_error, attributes={"started": started, "ended": ended})


def _verified(parameters: Parameters, data: Dataset, dtype: str, where: str) -> Array:
    """Largest error in sigma, local or end to end, (layer, output), on the first training examples."""
    from sandbox.network.model_check import check_model  # loads JAX

    X, Y = (array[:, :CHECKED_EXAMPLES].astype(dtype) for array in (data.X_train, data.Y_train))
    report = check_model(parameters, X, Y, contracts=False)
    if report.failures():
        raise GradientError(
            f"gradient check failed ({where}): {report.headline()}\n"
            "The group was not stored; correct sandbox/network/passes.py."
        )
    errors = np.full((len(parameters) // 2, len(OUTPUTS)), np.nan)
    for row in report.outputs:
        if row.function != "L_model_backward" or row.layer is None:
            continue
        # An output is named by its key: dA{l-1}, dW{l}, db{l}.
        output = next(i for i, name in enumerate(OUTPUTS) if row.output[:2] == name[:2])
        errors[row.layer - 1, output] = np.fmax(errors[row.layer - 1, output], row.sigma_error)
    return errors
