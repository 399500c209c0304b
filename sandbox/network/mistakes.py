"""What people get wrong in the exercise's functions: in words, and as inputs with which the right equation
gives what the mistake gives."""

from collections.abc import Iterator

import numpy as np

from sandbox.typing import Array, Inputs, Value

Known = Iterator[tuple[str, Inputs]]


def dropped_examples(dZ: Array, *others: Value) -> Known:
    """What comes of leaving examples out of the sum, as cotangents that are 0 there."""
    m = dZ.shape[-1]
    for words, kept in (
        ("the last example is left out", np.arange(m) < m - 1),
        ("the first example is left out", np.arange(m) > 0),
        ("only the first example is used", np.arange(m) == 0),
        ("only the last example is used", np.arange(m) == m - 1),
    ):
        yield f"It is what comes out if {words}.", (dZ * kept, *others)


def of_relu(dA: Array, *rest: Value) -> Known:
    Z, others = np.asarray(rest[-1]), rest[:-1]
    if dA.shape != Z.shape:
        return
    on = np.ones_like(Z)
    for words, mask in (
        ("if the ReLU's derivative at Z = 0 is 1; the convention is 0", np.where(Z >= 0, on, -on)),
        ("without the ReLU's mask", on),
        ("with the ReLU's mask inverted", np.where(Z > 0, -on, on)),
        ("with a mask of dA > 0 in place of Z > 0", dA),
    ):
        yield f"It is what comes out {words}.", (dA, *others, mask)
    S = _logistic(Z)
    wrong = "It is what comes out if the sigmoid's derivative is taken in place of the ReLU's."
    yield wrong, (dA * S * (1 - S), *others, on)
    for slope in (0.01, 0.1, 0.2):
        leaky = np.where(Z > 0, dA, slope * dA)
        yield f"It is what a leaky ReLU of slope {slope} gives.", (leaky, *others, on)
    yield from dropped_examples(dA, *rest)


def of_sigmoid(dA: Array, *rest: Value) -> Known:
    Z, others = np.asarray(rest[-1], np.float64), rest[:-1]
    if dA.shape != Z.shape:
        return
    with np.errstate(all="ignore"):
        S = _logistic(Z)
        T = _logistic(S)
        for words, wrong in (
            ("without the sigmoid's derivative", np.ones_like(S)),
            ("if the sigmoid's derivative is taken as A, not A (1 - A)", S),
            ("if the sigmoid's derivative is taken as 1 - A, not A (1 - A)", 1 - S),
            ("if the sigmoid is applied twice (was A cached in place of Z?)", T * (1 - T)),
            ("with the derivative of tanh, 1 - A^2", 1 - S**2),
            ("with Z in place of A, Z (1 - Z)", Z * (1 - Z)),
            ("if the ReLU's mask is taken in place of the sigmoid's derivative", Z > 0),
        ):
            yield f"It is what comes out {words}.", (dA * wrong / (S * (1 - S)), *others, Z)
    yield from dropped_examples(dA, *rest)


def _logistic(Z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(Z, np.float64))))


OF_ACTIVATION = {"relu": of_relu, "sigmoid": of_sigmoid}
WORDS = {"relu": "the ReLU", "sigmoid": "the sigmoid"}


def of_output(AL: Array, Y: Array, Z: Array, cost: str) -> Iterator[tuple[str, Array]]:
    """The ways in which dZ[L] = AL - Y, that of the cross-entropy, goes wrong."""
    if cost != "cross_entropy":
        return
    with np.errstate(all="ignore"):
        dAL = -(Y / AL - (1 - Y) / (1 - AL))
        for words, dZ in (
            ("if the derivative of the sigmoid is left out", dAL),
            ("if the derivative of the sigmoid is taken twice", (AL - Y) * AL * (1 - AL)),
            ("for dAL = -Y / AL, without the term of 1 - Y", -Y * (1 - AL)),
            (
                "for dAL = -Y / AL, without its minus sign in the second term",
                -Y * (1 - AL) - (1 - Y) * AL,
            ),
            ("with a ReLU in place of the sigmoid at the output", dAL * (Z > 0)),
            ("for the squared error in place of the cross-entropy", (AL - Y) * AL * (1 - AL) * 2),
        ):
            if np.isfinite(dZ).all():
                yield f"It is what comes out {words}.", dZ


def of_update(theta: Inputs, dtheta: Inputs, rate: float) -> Known:
    yield "It is theta + learning_rate dtheta: a sign is wrong.", (*theta, *(-x for x in dtheta))
    yield "It is theta - dtheta: is the learning rate left out?", (*theta, *(x / rate for x in dtheta))
    yield "It is theta as it was: is it updated?", (*theta, *(0 * x for x in dtheta))
