"""Claims about mirrors with derivative rules of their own: they judge nothing; those of JAX itself do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sandbox import Operation, check_operation
from sandbox.verifier.rows import Fault, Verdict


def backward(dout: Any, x: Any) -> Any:
    return 3 * dout * x


@jax.custom_vjp
def by_vjp(x: Any) -> Any:
    return x * x


by_vjp.defvjp(lambda x: (x * x, x), lambda x, dout: (backward(dout, x),))


@jax.custom_jvp
def by_jvp(x: Any) -> Any:
    return x * x


by_jvp.defjvp(lambda primals, tangents: (by_jvp(*primals), backward(tangents[0], primals[0])))


@jax.custom_jvp
def by_jvps(x: Any) -> Any:
    return x * x


by_jvps.defjvps(lambda t, ans, x: backward(t, x))


by_gradient: Any = jax.custom_gradient(  # type: ignore[no-untyped-call]
    lambda x: (x * x, lambda dout: backward(dout, x))
)


of_jax = jax.custom_jvp(jnp.square)
of_jax.defjvp(lambda primals, tangents: (of_jax(*primals), backward(tangents[0], primals[0])))


@pytest.mark.parametrize(
    ("mirror", "name"),
    [
        (lambda x: by_vjp(x), "by_vjp (test_circular.py:"),
        (jax.jit(by_vjp), "by_vjp (test_circular.py:"),
        (lambda x: jax.lax.map(by_vjp, x), "by_vjp (test_circular.py:"),
        (lambda x: by_jvp(x), "by_jvp (test_circular.py:"),
        (lambda x: by_jvps(x), "by_jvps (test_circular.py:"),
        (lambda x: by_gradient(x), "custom_gradient"),
        (lambda x: of_jax(x), "<lambda> (test_circular.py:"),
    ],
    ids=["vjp", "in jit", "in map", "jvp", "jvps", "gradient", "a function of JAX"],
)
def test_a_mirror_with_a_rule_of_its_own_passes_nothing(mirror: Any, name: str) -> None:
    x = np.random.default_rng(0).standard_normal(5)
    square = Operation(np.square, backward, lambda x: mirror(x), convention="inputs", name="square")
    report = check_operation(square, x)
    assert not report
    [row] = [row for row in report.outputs if row.output == "dx"]
    assert row.verdict is Verdict.NOT_JUDGED
    assert name in row.finding
    assert {row.verdict for row in report.outputs if row.output == "out"} == {Verdict.PASS}


def test_a_backward_that_differs_from_such_a_mirror_is_judged_by_the_third_oracle() -> None:
    right = Operation(
        np.square, lambda dout, x: 2 * dout * x, lambda x: by_vjp(x), convention="inputs", name="square"
    )
    [row] = check_operation(right, np.arange(1.0, 4.0), contracts=False).failures()
    assert (row.output, row.at_fault) == ("dx", Fault.MIRROR)


OF_JAX: dict[str, Callable[..., Any]] = {
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "softmax": jax.nn.softmax,
    "logsumexp": jax.scipy.special.logsumexp,
    "xlogy": lambda x: jax.scipy.special.xlogy(x**2 + 1, x**2 + 2),
    "logit": lambda x: jax.scipy.special.logit(jax.nn.sigmoid(x)),
    "sinc": jnp.sinc,
    "where": lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0),
    "inverse": lambda x: jnp.linalg.inv(x @ x.T + jnp.eye(3)),
    "eigenvalues": lambda x: jnp.linalg.eigvalsh(x @ x.T),
    "logaddexp": lambda x: jnp.logaddexp(x, 0),
}


@pytest.mark.parametrize("name", OF_JAX)
def test_a_function_of_jax_is_trusted(name: str) -> None:
    function = OF_JAX[name]
    compiled = jax.jit(lambda dout, x: jax.vjp(function, x)[1](dout)[0])

    def gradient(dout: Any, x: Any) -> Any:
        with jax.enable_x64(True):
            return np.asarray(compiled(dout, x))

    def forward(x: Any) -> Any:
        with jax.enable_x64(True):
            return np.asarray(jax.jit(function)(x))

    operation = Operation(forward, gradient, lambda x: function(x), convention="inputs", name=name)
    x = np.random.default_rng(0).standard_normal((3, 4))
    report = check_operation(operation, x, contracts=False)
    assert report, str(report)
