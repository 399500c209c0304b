"""Type names that the package's signatures share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

# Real floating-point arrays; the dtype (float64, float32) is a matter of run time.
Array: TypeAlias = npt.NDArray[Any]
ArrayLike: TypeAlias = npt.ArrayLike
RandomState: TypeAlias = int | np.random.Generator | np.random.RandomState | None

Activation: TypeAlias = Literal["relu", "sigmoid"]
Scheme: TypeAlias = Literal["small", "he", "inverse_sqrt"]

Parameters: TypeAlias = dict[str, Array]
Gradients: TypeAlias = dict[str, Array]
LinearCache: TypeAlias = tuple[Array, Array, Array]
Cache: TypeAlias = tuple[LinearCache, Array]
