"""Hand-written gradients, and the verifier that checks them against automatic differentiation.

The passes (`sandbox.network`) need NumPy only. Whatever needs JAX is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sandbox.network import (
    L_model_backward,
    L_model_forward,
    compute_cost,
    compute_cost_from_logits,
    initialize_parameters,
    initialize_parameters_deep,
    linear_activation_backward,
    linear_activation_forward,
    linear_backward,
    linear_forward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    update_parameters,
)

if TYPE_CHECKING:
    from sandbox.checking import check
    from sandbox.network.model_check import (
        check_functions,
        check_linear_activation_backward,
        check_linear_backward,
        check_model,
    )
    from sandbox.verifier.operation import Operation, check_operation
    from sandbox.verifier.report import Report
    from sandbox.verifier.rows import Row

__all__ = [
    "L_model_backward",
    "L_model_forward",
    "Operation",
    "Report",
    "Row",
    "check",
    "check_functions",
    "check_linear_activation_backward",
    "check_linear_backward",
    "check_model",
    "check_operation",
    "compute_cost",
    "compute_cost_from_logits",
    "initialize_parameters",
    "initialize_parameters_deep",
    "linear_activation_backward",
    "linear_activation_forward",
    "linear_backward",
    "linear_forward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "update_parameters",
]

_ON_FIRST_USE = {
    "Operation": "sandbox.verifier.operation",
    "Report": "sandbox.verifier.report",
    "Row": "sandbox.verifier.rows",
    "check": "sandbox.checking",
    "check_functions": "sandbox.network.model_check",
    "check_linear_activation_backward": "sandbox.network.model_check",
    "check_linear_backward": "sandbox.network.model_check",
    "check_model": "sandbox.network.model_check",
    "check_operation": "sandbox.verifier.operation",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'sandbox' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
