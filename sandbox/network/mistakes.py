"""What people get wrong in the exercise's functions: in words, and as what it gives, or as inputs with which
the right equation gives that."""

from collections.abc import Callable, Container, Iterator, Mapping

import numpy as np

from sandbox.typing import Array, Inputs, Value

Known = Iterator[tuple[str, Inputs]]
Given = Iterator[tuple[str, Mapping[str, Value]]]


def _logistic(Z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-Z)))


# --- activations ----------------------------------------------------------------------------------

WORDS = {"relu": "the ReLU", "sigmoid": "the sigmoid"}
SLOPES = (0.01, 0.1, 0.2)  # of a leaky ReLU

_VALUES: dict[str, Callable[[Array], Array]] = {
    "relu": lambda Z: np.maximum(Z, 0),
    "sigmoid": _logistic,
    "tanh": np.tanh,
    "identity": lambda Z: Z,
    "softplus": lambda Z: np.logaddexp(0, Z),
}
_DERIVATIVES: dict[str, Callable[[Array], Array]] = {
    "relu": lambda Z: np.asarray(Z > 0),
    "sigmoid": lambda Z: _logistic(Z) * _logistic(-Z),
    "tanh": lambda Z: 1 - np.tanh(Z) ** 2,
    "softplus": _logistic,
}
_FLAT = {"relu": (1.0, 1.0), "sigmoid": (0.0, 0.25), "tanh": (0.0, 1.0), "identity": (0.0, 1.0)}
"""For each activation a Z, and its derivative there, so that dZ is any array with the right dA."""


def of_activation(name: str) -> Callable[..., Known]:
    """Of a function that begins with dZ = dA g'(Z) and is given dA first and Z last."""

    def mistakes(dA: Array, *rest: Value) -> Known:
        Z, others = np.asarray(rest[-1], np.float64), rest[:-1]
        if name in _FLAT and dA.shape == Z.shape:
            at, slope = _FLAT[name]
            with np.errstate(all="ignore"):
                for words, dZ in _wrong_gradients(name, np.asarray(dA, np.float64), Z):
                    yield f"It is what comes out {words}.", (dZ / slope, *others, np.full_like(Z, at))
        yield from dropped_examples(dA, *rest)

    return mistakes


def _wrong_gradients(name: str, dA: Array, Z: Array) -> Iterator[tuple[str, Array]]:
    own = WORDS.get(name, name)
    for words, derivative in _OWN_SLIPS.get(name, _none)(Z):
        yield words, dA * derivative
    if name == "relu":
        yield "with a mask of dA > 0 in place of Z > 0", dA * (dA > 0)
    if name != "identity":
        left_out = "without the ReLU's mask" if name == "relu" else f"without the derivative of {own}"
        yield left_out, dA
    for other, derive in _DERIVATIVES.items():
        if other != name:
            words = f"with the derivative of {WORDS.get(other, other)} in place of that of {own}"
            yield words, dA * derive(Z)
    for slope in SLOPES:
        yield f"with the derivative of a leaky ReLU of slope {slope}", dA * np.where(Z > 0, 1, slope)


def _none(Z: Array) -> Iterator[tuple[str, Array]]:
    return iter(())


def _of_relu(Z: Array) -> Iterator[tuple[str, Array]]:
    for words, at_0 in (("1", 1.0), ("1/2", 0.5)):
        yield (
            f"if the ReLU's derivative at Z = 0 is {words}; the convention is 0",
            np.where(Z == 0, at_0, Z > 0),
        )
    yield "with the ReLU's mask inverted", np.asarray(Z <= 0)
    yield "if the ReLU's derivative is taken as A, not 1 where Z > 0", np.maximum(Z, 0)


def _of_sigmoid(Z: Array) -> Iterator[tuple[str, Array]]:
    S = _logistic(Z)
    yield "if the sigmoid's derivative is taken as A, not A (1 - A)", S
    yield "if the sigmoid's derivative is taken as 1 - A, not A (1 - A)", 1 - S
    yield "if the sigmoid's derivative is taken as A (1 + A), not A (1 - A)", S * (1 + S)
    yield "if the sigmoid is applied twice (was A cached in place of Z?)", _logistic(S) * _logistic(-S)
    yield "with the derivative of tanh, 1 - A^2, at the sigmoid's A", 1 - S**2
    yield "with Z in place of A, Z (1 - Z)", Z * (1 - Z)


def _of_tanh(Z: Array) -> Iterator[tuple[str, Array]]:
    T = np.tanh(Z)
    yield "if the derivative of tanh is taken as 1 - A, not 1 - A^2", 1 - T
    yield "if the derivative of tanh is taken as A, not 1 - A^2", T
    yield "if the derivative of tanh is taken as 1 + A^2, not 1 - A^2", 1 + T**2
    yield "if tanh is applied twice (was A cached in place of Z?)", 1 - np.tanh(T) ** 2
    yield "with Z in place of A, 1 - Z^2", 1 - Z**2
    yield "with the derivative of the sigmoid, A (1 - A), at tanh's A", T * (1 - T)


_OWN_SLIPS = {"relu": _of_relu, "sigmoid": _of_sigmoid, "tanh": _of_tanh}


def of_values(name: str) -> Callable[..., Given]:
    """Of A = g(Z), where Z is the one input, or is made of A_prev, W and b."""

    def answers(*inputs: Array) -> Given:
        wide = tuple(x.astype(np.float64) for x in inputs)
        Z = wide[0] if len(wide) == 1 else wide[1] @ wide[0] + wide[2]
        with np.errstate(all="ignore"):
            yield from ((f"It is {words}", {"A": A}) for words, A in _wrong_values(name, Z))
        if len(wide) > 1:
            yield from of_linear_cache(*inputs)

    return answers


def _wrong_values(name: str, Z: Array) -> Iterator[tuple[str, Array]]:
    own = WORDS.get(name, name)
    for other, g in _VALUES.items():
        if other == "identity" and name != "identity":
            yield f"Z as it is: is {own} left out?", Z
        elif other != name:
            yield f"{other}(Z), where {own} is due.", g(Z)
    for slope in SLOPES:
        yield f"a leaky ReLU of Z, of slope {slope}.", np.where(Z > 0, Z, slope * Z)
    if name == "relu":
        yield "|Z|, where max(0, Z) is due.", np.abs(Z)
        yield "min(0, Z), where max(0, Z) is due.", np.minimum(Z, 0)
        yield "the mask Z > 0, where max(0, Z) is due.", np.asarray(Z > 0, np.float64)
    if name == "sigmoid":
        yield "1 / (1 + e^Z): is the minus sign in the exponent missing?", _logistic(-Z)
        yield "1 / (1 - e^-Z), where 1 / (1 + e^-Z) is due.", 1 / (1 - np.exp(-Z))


def of_linear_cache(A: Array, W: Array, b: Array) -> Given:
    words = "Z is cached in place of b: the cache is (A, W, b), that of the activation holds Z."
    yield words, {"cache b": W @ A + b}


# --- the output layer and the cost ----------------------------------------------------------------


EPSILONS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)


def of_output(AL: Array, Y: Array, Z: Array, cost: str) -> Iterator[tuple[str, Array]]:
    """The ways in which dZ[L] goes wrong."""
    slips = _OF_COST.get(cost)
    with np.errstate(all="ignore"):
        for words, dZ in (*_of_dAL(AL, Y), *(slips(AL, Y, Z) if slips else ())):
            if np.isfinite(dZ).all():
                yield f"It is what comes out {words}.", dZ


def _of_dAL(AL: Array, Y: Array) -> Iterator[tuple[str, Array]]:
    yield "if AL is taken for dAL, the gradient of the cost by AL", AL * AL * (1 - AL)
    yield "if Y is taken for dAL, the gradient of the cost by AL", Y * AL * (1 - AL)
    yield "if AL is taken for dZ", AL
    yield "with 1 in place of dAL", AL * (1 - AL)


def _of_cross_entropy(AL: Array, Y: Array, Z: Array) -> Iterator[tuple[str, Array]]:
    dAL = -(Y / AL - (1 - Y) / (1 - AL))
    twice = "if the derivative of the sigmoid is taken twice (is AL - Y, which is dZ, taken for dAL?)"
    yield "if the derivative of the sigmoid is left out", dAL
    yield twice, (AL - Y) * AL * (1 - AL)
    yield "for dAL = -Y / AL, without the term of 1 - Y", -Y * (1 - AL)
    yield "for dAL = (1 - Y) / (1 - AL), without the term of Y", (1 - Y) * AL
    yield "for dAL = -(Y / AL + (1 - Y) / (1 - AL)), with a wrong sign inside", -Y * (1 - AL) - (1 - Y) * AL
    yield "with a ReLU in place of the sigmoid at the output", dAL * (Z > 0)
    yield "with the derivative of tanh in place of that of the sigmoid", dAL * (1 - np.tanh(Z) ** 2)
    yield "for the squared error in place of the cross-entropy", (AL - Y) * AL * (1 - AL) * 2
    for eps in EPSILONS:
        added = -(Y / (AL + eps) - (1 - Y) / (1 - AL + eps)) * AL * (1 - AL)
        yield f"with {eps:g} added in the denominators of dAL", added


def _of_squared_error(AL: Array, Y: Array, Z: Array) -> Iterator[tuple[str, Array]]:
    yield "for dZ = AL - Y, that of the cross-entropy: the derivative of the sigmoid is left out", AL - Y
    yield "if the derivative of the sigmoid is taken twice", (AL - Y) * (AL * (1 - AL)) ** 2
    yield "with a ReLU in place of the sigmoid at the output", (AL - Y) * (Z > 0)


_OF_COST = {"cross_entropy": _of_cross_entropy, "mean_squared_error": _of_squared_error}


def of_cost(cost: str) -> Callable[..., Given]:
    def answers(AL: Array, Y: Array) -> Given:
        a, y = AL.astype(np.float64), Y.astype(np.float64)
        with np.errstate(all="ignore"):
            for words, losses in (*_squares(cost, a, y), *_logarithms(cost, a, y), *_epsilons(cost, a, y)):
                yield words, {"cost": np.sum(losses, axis=(-2, -1)) / a.shape[-1]}

    return answers


def _squares(cost: str, a: Array, y: Array) -> Iterator[tuple[str, Array]]:
    m, square = a.shape[-1], (a - y) ** 2
    if cost == "cross_entropy":
        due = "where the cross-entropy is due"
        yield f"It is the mean squared error, (1/m) sum (a - y)^2, {due}.", square
        yield f"It is half the mean squared error, (1/2m) sum (a - y)^2, {due}.", square / 2
        yield f"It is the sum of squared errors, {due}.", square * m
        yield f"It is half the sum of squared errors, {due}.", square * m / 2
        yield f"It is the mean absolute error, {due}.", np.abs(a - y)
    if cost == "mean_squared_error":
        yield "It is the mean absolute error, where half the mean squared error is due.", np.abs(a - y)


def _logarithms(cost: str, a: Array, y: Array) -> Iterator[tuple[str, Array]]:
    likely, unlikely = y * np.log(a), (1 - y) * np.log(1 - a)
    if cost == "mean_squared_error":
        words = "It is the cross-entropy, where half the mean squared error is due."
        yield words, -np.where(y > 0, likely, 0) - np.where(y < 1, unlikely, 0)
    if cost != "cross_entropy":
        return
    forgotten = "The logarithm of {0} is forgotten: it is what comes out with {0} in place of log({0})."
    yield forgotten.format("AL"), -(y * a + unlikely)
    yield forgotten.format("1 - AL"), -(likely + (1 - y) * (1 - a))
    yield "It is what comes out without the term of 1 - Y.", -likely
    yield "It is what comes out without the term of Y.", -unlikely
    yield (
        "It is what comes out with 1 - log(AL) in place of log(1 - AL).",
        -(likely + (1 - y) * (1 - np.log(a))),
    )
    yield "It is what comes out with a minus sign between the two terms.", -(likely - unlikely)
    for base in (2, 10):
        yield f"It is what comes out with logarithms to the base {base}.", -(likely + unlikely) / np.log(base)


def _epsilons(cost: str, a: Array, y: Array) -> Iterator[tuple[str, Array]]:
    """Against a logarithm of 0, by which other logarithms are changed too."""
    for eps in EPSILONS if cost == "cross_entropy" else ():
        for words, p, q in (
            (f"{eps:g} added inside the logarithms", a + eps, 1 - a + eps),
            (f"AL clipped to [{eps:g}, 1 - {eps:g}]", np.clip(a, eps, 1 - eps), 1 - np.clip(a, eps, 1 - eps)),
        ):
            yield f"It is what comes out with {words}.", -(y * np.log(p) + (1 - y) * np.log(q))


# --- layers, and the loop over them ---------------------------------------------------------------


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


def of_missing_keys(L: int, grads: Container[str]) -> str:
    """Why a dict of gradients lacks some: its keys are shifted, or the first or last layers are left out."""
    for other, by in ((0, "low"), (L + 1, "high")):
        if f"dW{other}" in grads:
            return f"There is a 'dW{other}', and the layers are 1 to {L}: are the keys one too {by}?"
    missing = [l for l in range(1, L + 1) if f"dW{l}" not in grads and f"db{l}" not in grads]
    if missing == list(range(1, len(missing) + 1)) and 0 < len(missing) < L:
        one = len(missing) == 1
        which = "layer 1" if one else f"layers 1 to {missing[-1]}"
        early = "one layer" if one else f"{len(missing)} layers"
        return f"There is nothing of {which}: does the loop stop {early} early?"
    if missing == [L] and L > 1:
        return f"There is nothing of layer {L}: is the output layer, which is not in the loop, left out?"
    return ""


def of_update(theta: Inputs, dtheta: Inputs, rate: float) -> Known:
    yield "It is theta + learning_rate dtheta: a sign is wrong.", (*theta, *(-x for x in dtheta))
    yield "It is theta - dtheta: is the learning rate left out?", (*theta, *(x / rate for x in dtheta))
    yield (
        "It is theta - dtheta / learning_rate: it should be multiplied.",
        (*theta, *(x / rate**2 for x in dtheta)),
    )
    yield "It is theta - 2 learning_rate dtheta: a factor 2 too many?", (*theta, *(2 * x for x in dtheta))
    yield "It is theta as it was: is it updated?", (*theta, *(0 * x for x in dtheta))
    changes = (x * y for x, y in zip(theta, dtheta, strict=True))
    yield "It is theta - learning_rate theta dtheta: theta is multiplied in.", (*theta, *changes)
