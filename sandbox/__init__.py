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
    from sandbox.operations import Operation, check_operation
    from sandbox.report import Report, Row
    from sandbox.verify import (
        check_functions,
        check_linear_activation_backward,
        check_linear_backward,
        check_model,
    )

__all__ = [
    "L_model_backward",
    "L_model_forward",
    "Operation",
    "Report",
    "Row",
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
    "Operation": "sandbox.operations",
    "Report": "sandbox.report",
    "Row": "sandbox.report",
    "check_linear_activation_backward": "sandbox.verify",
    "check_linear_backward": "sandbox.verify",
    "check_functions": "sandbox.verify",
    "check_model": "sandbox.verify",
    "check_operation": "sandbox.operations",
}


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module 'sandbox' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
