"""What is done with verified gradients: sweeps over learning rate, depth and initialisation.

`run_sweep` trains what a spec names and is not stored yet, `load` reads the results of a name: both give an
xarray Dataset. What cannot be done is one of the exceptions here, whose message says what to do.

Everything is loaded on first use: processes that train need NumPy alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.data import DataError
    from experiments.door import load, run_sweep
    from experiments.executors import WorkerError
    from experiments.files import StoreError
    from experiments.own import OwnError
    from experiments.spec import Spec, SpecError, make_spec
    from experiments.verification import GradientError

__all__ = [
    "DataError",
    "GradientError",
    "OwnError",
    "Spec",
    "SpecError",
    "StoreError",
    "WorkerError",
    "load",
    "make_spec",
    "run_sweep",
]

_ON_FIRST_USE = {
    "DataError": "experiments.data",
    "GradientError": "experiments.verification",
    "OwnError": "experiments.own",
    "Spec": "experiments.spec",
    "SpecError": "experiments.spec",
    "StoreError": "experiments.files",
    "WorkerError": "experiments.executors",
    "load": "experiments.door",
    "make_spec": "experiments.spec",
    "run_sweep": "experiments.door",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
