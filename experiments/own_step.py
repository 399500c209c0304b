"""The step of training by the user's functions, of one network. NumPy alone, but for what they import."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
from numpy.random import mtrand

from experiments.own import Own, OwnError
from experiments.points import Point
from sandbox.network import compute_cost_from_logits
from sandbox.network.complete import Passes, complete, options
from sandbox.reading.loading import read
from sandbox.reading.running import held_back
from sandbox.typing import Array, Gradients, Parameters, Value
from sandbox.verifier.loading import raised_at
from sandbox.verifier.warned import quiet

_Runs = Callable[[int], "OwnStep"]


def own_steps(own: Own, point: Point, first: int, X: Array, Y: Array) -> _Runs:
    """A step for this run, from step `first`: each time one that knows nothing of any before."""

    def step(networks: int) -> OwnStep:
        if networks != 1:
            raise ValueError(f"networks is {networks}, expected 1: the user's functions take one network.")
        return OwnStep(own, point, first, X, Y)

    return step


class OwnStep:
    """The step by the user's functions; the first axis of what goes in and out, of networks, has one entry.

    The functions are read anew for each step object, so that no network finds what another has left in their
    module, and get copies, so that what they do in place harms nothing. What they print and warn of is held
    back, and NumPy's global random state is theirs alone.

    Raises:
        OwnError: from all methods: a function raised, or returned what is no cost, gradient or parameter.
    """

    def __init__(self, own: Own, point: Point, first: int, X: Array, Y: Array) -> None:
        self._own, self._point, self._t = own, point, first
        self._X, self._Y = np.asarray(X), np.asarray(Y)
        self._random = np.random.MT19937(0)
        with self._theirs("the file"):
            passes = Passes()
            module = read(own.snapshot, passes.functions).module
            for name in own.names:
                if not callable(vars(module).get(name)):
                    raise OwnError(self._sentence(f"{name} is not defined in this process"))
            beside = {neighbour.name for neighbour in own.snapshot.neighbours}
            functions = complete(module, own.names, passes, beside)
        kind = {"activation": point.architecture.activation, "cost": point.architecture.cost}
        self._functions = {name: partial(f, **options(name, f, **kind)) for name, f in functions.items()}

    def load(self, parameters: Mapping[str, Array]) -> None:
        self._parameters = {key: value[0].copy() for key, value in parameters.items()}

    def forward(self) -> Array:
        """The cost J, (1,)."""
        result = self._call("L_model_forward", self._X.copy(), self._copied())
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise self._returned("L_model_forward", result, "the tuple (AL, caches)")
        self._AL, self._caches = result
        if np.shape(self._AL) != self._Y.shape:
            raise self._returned("L_model_forward", self._AL, f"AL of shape {self._Y.shape}")
        J = self._cost()
        with suppress(TypeError, ValueError):
            return np.asarray(J, np.float64).reshape(1)
        raise self._returned("compute_cost", J, "a number")

    def _cost(self) -> Value:
        """Of the sandbox's two functions together that of Z[L], which is finite however large Z[L] is."""
        if {"L_model_forward", "compute_cost"}.isdisjoint(self._own.names):
            cost = self._point.architecture.cost
            return compute_cost_from_logits(self._caches[-1][1], self._Y, cost=cost)
        return self._call("compute_cost", self._AL, self._Y.copy())

    def backward(self) -> None:
        grads = self._call("L_model_backward", self._AL, self._Y.copy(), self._caches)
        self._all_grads = grads
        shapes = {f"d{key}": value.shape for key, value in self._parameters.items()}
        self._grads = self._arrays("L_model_backward", grads, shapes)

    def update(self, learning_rates: Array) -> Array:
        """Whether a bit of the parameters changed, (1,)."""
        before = self._parameters
        # A number of Python's own takes the dtype of what it is multiplied with.
        updated = self._call("update_parameters", self._copied(), self._all_grads, float(learning_rates[0]))
        shapes = {key: value.shape for key, value in before.items()}
        self._parameters = self._arrays("update_parameters", updated, shapes)
        self._t += 1
        return np.array([any(x.tobytes() != self._parameters[key].tobytes() for key, x in before.items())])

    def positive(self) -> Array:
        """Whether AL > 1/2, (1, m)."""
        return np.asarray(np.asarray(self._AL) > 0.5)

    def parameters(self) -> Parameters:
        return {key: value[None] for key, value in self._parameters.items()}

    def gradients(self) -> Gradients:
        return {key: value[None] for key, value in self._grads.items()}

    # --- their functions ------------------------------------------------------------------------

    def _copied(self) -> Parameters:
        return {key: value.copy() for key, value in self._parameters.items()}

    def _call(self, name: str, *arguments: Value) -> Value:
        with self._theirs(name):
            return self._functions[name](*arguments)

    @contextmanager
    def _theirs(self, what: str) -> Iterator[None]:
        before = mtrand.get_bit_generator()
        mtrand.set_bit_generator(self._random)
        try:
            with held_back(), quiet():
                yield
        except (MemoryError, OwnError):
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise OwnError(self._sentence(f"{what} raised {_said(error)}")) from None
        finally:
            mtrand.set_bit_generator(before)

    def _arrays(self, name: str, result: Value, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """The arrays of these keys and shapes, in the dtype of the run, and nobody else's."""
        if not isinstance(result, Mapping):
            raise self._returned(name, result, f"a dict with {', '.join(shapes)}")
        found = {}
        with self._theirs(name):
            for key, shape in shapes.items():
                value: Value = result.get(key)
                if np.shape(value) != shape:
                    raise self._returned(name, value, f"{key} of shape {shape}")
                found[key] = np.asarray(value).astype(self._X.dtype, "C", casting="same_kind")
        return found

    def _returned(self, name: str, got: Value, expected: str) -> OwnError:
        kind = type(got).__name__ if got is None or isinstance(got, dict | tuple | list | str) else ""
        got = kind or f"an array of shape {np.shape(got)}"
        return OwnError(self._sentence(f"{name} returned {got}, expected {expected}"))

    def _sentence(self, what: str) -> str:
        a, p = self._point.architecture, self._point
        return (
            f"functions: {self._own.path}: {what}; this was step {self._t} of the run of depth {a.depth}, "
            f"width {a.width}, {a.activation}, {a.cost}, {a.dtype}, {p.scheme}, learning rate "
            f"{p.learning_rate:g}, seed {p.seed}. Correct the file, or leave out such runs; what is finished "
            "is kept."
        )


def _said(error: BaseException) -> str:
    """The error and the user's line at which it was raised, if any: the first of its lines are ours."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return raised_at(error.with_traceback(trace))
