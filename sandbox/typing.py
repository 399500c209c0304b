"""Type names that the package's signatures share."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

# Real floating-point arrays; the dtype (float64, float32) is a matter of run time.
Array: TypeAlias = npt.NDArray[Any]
ArrayLike: TypeAlias = npt.ArrayLike
Dtype: TypeAlias = np.dtype[Any]
RandomState: TypeAlias = int | np.random.Generator | np.random.RandomState | None

# Whatever a user's function takes or returns, and such a function.
Value: TypeAlias = Any
Inputs: TypeAlias = tuple[Value, ...]
Function: TypeAlias = Callable[..., Value]

Scheme: TypeAlias = Literal["small", "he", "inverse_sqrt"]

Parameters: TypeAlias = dict[str, Array]
Gradients: TypeAlias = dict[str, Array]
LinearCache: TypeAlias = tuple[Array, Array, Array]
Cache: TypeAlias = tuple[LinearCache, Array]
