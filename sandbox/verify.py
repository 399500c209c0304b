"""The check: every output of the hand-written passes against the mirror, in units of sigma.

Threshold. Under the hypothesis that only rounding separates a component c_i from the reference g_i,
c_i - g_i has mean 0 and a standard deviation of at most sigma_i, and its estimate from K samples
makes z_i = |c_i - g_i| / sigma_i at most a Student t variable with K degrees of freedom. An output
of N components fails when some z_i exceeds the quantile of t_K at ALPHA / N (Bonferroni), or when
||c - g|| / ||sigma|| exceeds that at ALPHA: a ratio of quadratic forms whose tail is heaviest when
all components err together, and then it is |t_K|. So an output that is right fails with a
probability below 2 ALPHA, whatever its size. Roundings have a root mean square of about 0.4 u, the
samples of u, which leaves a margin for roundings that are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import stdtrit

from sandbox import mirror, network
from sandbox.report import Report, Row, Verdict
from sandbox.rounding import K, Measured, Noise, measure
from sandbox.typing import Activation, Array, ArrayLike, Cache, LinearCache
from sandbox.validation import as_matrix, as_targets, check_caches, unpack

ALPHA = 1e-9  # the largest probability that one right output fails either test

_BACKWARD: dict[str, Callable[..., Any]] = {
    "relu": partial(mirror.linear_activation_backward, activation="relu"),
    "sigmoid": partial(mirror.linear_activation_backward, activation="sigmoid"),
}


def threshold(components: int) -> float:
    """The largest |computed - reference| / sigma allowed in an output of so many components."""
    return float(-stdtrit(K, ALPHA / (2 * max(components, 1))))


def compare(
    function: str, scope: str, layer: int, output: str, computed: Any, expected: Measured, dtype: Any
) -> Row:
    """One row: `computed` against the reference and sigma of `expected`; dtype is what it should have."""
    computed = np.asarray(computed)
    g, sigma = expected.reference, expected.sigma
    limit, tensor_limit = threshold(g.size), threshold(1)
    sigma_error = tensor_error = relative_error = float("inf")
    overflowed = 0
    verdict: Verdict = "FAIL"
    if computed.shape != g.shape:
        finding = f"its shape is {computed.shape}, expected {g.shape}."
    else:
        representable = np.isfinite(sigma) & np.isfinite(g)
        if expected.overflow:
            # Which later number an overflow spoils (inf - inf, 0 inf) depends on the order of operations.
            representable &= np.isfinite(computed)
        overflowed = int(g.size - np.count_nonzero(representable))
        scale = np.where(representable, sigma, 0.0)
        with np.errstate(all="ignore"):
            error = np.abs(np.where(representable, computed.astype(np.float64) - g, 0.0))
            error = np.where(np.isnan(error), np.inf, error)
            z = np.where(error > 0, error / scale, 0.0)
            sigma_error = float(np.max(z, initial=0.0))
            # Relative to the largest entries, so that the squares neither overflow nor underflow.
            unit = float(np.max(scale, initial=0.0)) or 1.0
            tensor_error = float(np.linalg.norm(error / unit) / (np.linalg.norm(scale / unit) or 1.0))
            largest = float(np.max(np.abs(g), where=representable, initial=0.0))
            relative_error = float(np.max(error, initial=0.0) / largest) if error.any() else 0.0
        finding = ""
        if sigma_error > limit or tensor_error > tensor_limit:
            index = tuple(int(i) for i in np.unravel_index(np.argmax(z), z.shape))
            finding = (
                f"entry {index} is {computed[index]:.6g}, expected {g[index]:.6g}, {z[index]:.3g} sigma off."
            )
        elif computed.dtype != np.dtype(dtype):
            finding = f"its dtype is {computed.dtype}, expected {np.dtype(dtype)}."
        elif g.size and overflowed == g.size:
            verdict = "not compared"
        else:
            verdict = "pass"
    return Row(
        function, scope, layer, output, computed.shape, str(computed.dtype), sigma_error, limit,
        tensor_error, tensor_limit, relative_error, overflowed, verdict, finding,
    )  # fmt: skip


def check_linear_backward(
    dZ: ArrayLike,
    cache: LinearCache,
    *,
    function: Callable[..., Any] = network.linear_backward,
) -> Report:
    """Check dA_prev, dW and db of `linear_backward` (or of another `function` with its signature).

    Args:
        dZ: (..., n_l, m), gradient of the summed loss.
        cache: (A_prev, W, b).

    Raises:
        TypeError, ValueError: malformed input.
    """
    A_prev, W, b = (as_matrix(f"cache {n}", a) for n, a in zip(
        ("A_prev", "W", "b"), unpack("cache", cache, "(A_prev, W, b)"), strict=True))  # fmt: skip
    dZ = as_matrix("dZ", dZ)
    network.linear_backward(dZ, (A_prev, W, b))  # malformed input is the caller's error, not a finding
    noise = _measured(mirror.linear_backward, dZ, A_prev, W, b)
    rows = _rows("linear_backward", 1, function(dZ, (A_prev, W, b)), noise, np.result_type(dZ, W))
    return Report(rows, noise.kinks, noise.unknown)


def check_linear_activation_backward(
    dA: ArrayLike,
    cache: Cache,
    activation: Activation,
    *,
    function: Callable[..., Any] = network.linear_activation_backward,
) -> Report:
    """Check dA_prev, dW and db of `linear_activation_backward` (or of another `function`).

    Args:
        dA: (..., n_l, m), gradient of the summed loss.
        cache: ((A_prev, W, b), Z).
        activation: "relu" or "sigmoid".

    Raises:
        TypeError, ValueError: malformed input.
    """
    dA = as_matrix("dA", dA)
    [((A_prev, W, b), Z)] = check_caches([cache])
    network.linear_activation_backward(dA, cache, activation)
    noise = _measured(_BACKWARD[activation], dA, A_prev, W, b, Z)
    computed = function(dA, ((A_prev, W, b), Z), activation)
    rows = _rows("linear_activation_backward", 1, computed, noise, np.result_type(dA, W))
    return Report(rows, noise.kinks, noise.unknown)


def check_model(
    parameters: Mapping[str, ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    backward: Callable[..., Any] = network.L_model_backward,
) -> Report:
    """Check every gradient of `L_model_backward` (or of another `backward` with its signature).

    Locally, layer by layer: the gradient dA{l} that the tested code handed down and the cached
    arrays go into the mirror of that one layer, and dA{l-1}, dW{l} and db{l} are compared. Then end
    to end: every key of the dict of gradients, from X and the parameters alone.

    Args:
        parameters: W1, b1, ..., WL, bL; stacks of networks are checked network by network.
        X: (..., n_0, m). Y: (..., 1, m), targets in [0, 1].

    Raises:
        TypeError, ValueError: malformed input.
    """
    X = as_matrix("X", X)
    AL, caches = network.L_model_forward(X, parameters)
    Y = as_targets(Y, AL)
    L, dtype = len(caches), AL.dtype
    grads = backward(AL, Y, caches)
    expected_keys = [key for l in range(L, 0, -1) for key in (f"dA{l - 1}", f"dW{l}", f"db{l}")]
    rows: list[Row] = []
    noises: list[Noise] = []
    for l in range(L, 0, -1):
        (A_prev, W, b), Z = caches[l - 1]
        if l == L:
            noise = _measured(mirror.output_backward, Y, A_prev, W, b, Z)
        elif f"dA{l}" in grads and np.shape(grads[f"dA{l}"])[-2:] == Z.shape[-2:]:
            noise = _measured(_BACKWARD["relu"], grads[f"dA{l}"], A_prev, W, b, Z)
        else:
            continue  # without the dA that came in there is no local check; the end-to-end rows fail
        noises.append(noise)
        computed = [grads.get(key, np.array(np.nan)) for key in (f"dA{l - 1}", f"dW{l}", f"db{l}")]
        rows += _rows("L_model_backward", l, computed, noise, dtype)
    theta = {key: np.asarray(value) for key, value in parameters.items()}
    stack = np.broadcast_shapes(AL.shape[:-2], Y.shape[:-2])
    theta = {key: np.broadcast_to(v, stack + v.shape[-2:]) for key, v in theta.items()}
    noise = measure(mirror.L_model_backward, X, Y, theta, dtype=dtype)
    noises.append(noise)
    outputs = noise.outputs
    if outputs[0].overflow and not all(np.isfinite(Z).all() for _, Z in caches):
        # The forward pass overflowed, and a NaN in Z has no branch of the ReLU: nothing to compare with.
        outputs = tuple(replace(output, sigma=np.full_like(output.sigma, np.nan)) for output in outputs)
    expected = dict(zip(sorted(expected_keys), outputs, strict=True))
    for key in expected_keys:
        l = int(key[2:]) + (key[1] == "A")
        if key in grads:
            rows.append(compare("L_model_backward", "end to end", l, key, grads[key], expected[key], dtype))
        else:
            missing = compare(
                "L_model_backward", "end to end", l, key, np.array(np.nan), expected[key], dtype
            )
            rows.append(_with_finding(missing, f"the dict of gradients has no '{key}'."))
    return Report(
        tuple(rows),
        noise.kinks,
        tuple(sorted({name for noise in noises for name in noise.unknown})),
    )


def _with_finding(row: Row, finding: str) -> Row:
    return replace(row, finding=finding)


def _measured(function: Callable[..., Any], *arguments: Any) -> Noise:
    """`measure` with every operand broadcast to one stack, so that no gradient is summed over it."""
    arrays = [np.asarray(a) for a in arguments]
    stack = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    arrays = [np.broadcast_to(a, stack + a.shape[-2:]) for a in arrays]
    return measure(function, *arrays, dtype=np.result_type(*arrays))


def _rows(function: str, layer: int, computed: Iterable[Array], noise: Noise, dtype: Any) -> tuple[Row, ...]:
    return tuple(
        compare(function, "local", layer, output, value, expected, dtype)
        for output, value, expected in zip(("dA_prev", "dW", "db"), computed, noise.outputs, strict=True)
    )
