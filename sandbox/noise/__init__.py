"""sigma: how far rounding alone moves the result of a JAX function, measured on its jaxpr.

Monte Carlo arithmetic (Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002, 1997; Verificarlo, Denis
et al. 2016). The function is traced to a jaxpr and evaluated once in float64 (the reference, g)
and K times more with a uniform random error after each arithmetic primitive, of the size that rounding
in the tested dtype has. The root mean square of the K deviations from g is sigma, per component.

The rules stand where they are used: what an input and a comparison contribute in `interpreter`, each
primitive in `primitives`, sums and products of matrices in `sums`, an output as a whole in `measure`.
"""

from sandbox.noise.measure import K, Measured, Noise, measure, trace, widened
from sandbox.noise.precision import Precision, arithmetic, half_unit, is_float, is_narrow

__all__ = [
    "K", "Measured", "Noise", "Precision", "arithmetic", "half_unit", "is_float", "is_narrow", "measure",
    "trace", "widened",
]  # fmt: skip
