"""The workspace's step as functions of the exercise's names, and their check.

What is checked is the step that trains: whole steps of a workspace of several networks, one of them the network
that is asked about, after a step of other parameters has left its numbers everywhere. Only then, a number that
is left from the step before, or taken from the neighbour, shows.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sandbox.network import validation
from sandbox.network.cases import SEED
from sandbox.network.costs import COSTS
from sandbox.network.model_check import check_model
from sandbox.network.model_equations import Kind
from sandbox.network.workspace import Workspace, with_ones
from sandbox.typing import Array, ArrayLike, Cache, Function, Gradients, Parameters
from sandbox.verifier.equation import Equation
from sandbox.verifier.local import compare_outputs, measured
from sandbox.verifier.report import Report


class WatchedWorkspace(Workspace):
    """A workspace that keeps copies of what a later line overwrites: Z, A and dA of each layer."""

    seen: dict[str, Array]

    def linear_forward(self, l: int) -> None:
        super().linear_forward(l)
        self.seen[f"Z{l}"] = self.Z[l].copy()

    def activation_forward(self, l: int) -> None:
        super().activation_forward(l)
        self.seen[f"A{l}"] = self.Z[l].copy()

    def linear_backward(self, l: int) -> None:
        super().linear_backward(l)
        if l > 1:
            self.seen[f"dA{l - 1}"] = self.dA[l - 1].copy()
