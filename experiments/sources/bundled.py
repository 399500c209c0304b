"""The data sets that come with scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.sentences import nearest, shown
from experiments.sources.raw import DataError, Raw, check_size


@dataclass(frozen=True)
class Parameter:
    """A number from `least` to `most`."""

    default: int | float
    least: float
    most: float

    @property
    def is_whole(self) -> bool:
        return isinstance(self.default, int)

    def admits(self, value: int | float) -> bool:
        right_kind = isinstance(value, int) or not self.is_whole
        return right_kind and self.least <= value <= self.most

    @property
    def words(self) -> str:
        return f"a {'whole ' if self.is_whole else ''}number from {self.least:.10g} to {self.most:.10g}"


_SAMPLES, _SEED = Parameter(1000, 4, 1e7), Parameter(0, 0, 2**32 - 1)
_MOST_NOISE, _MOST_FEATURES = 1e6, 1e4
DRAWN: Mapping[str, Mapping[str, Parameter]] = {
    "moons": {"n_samples": _SAMPLES, "noise": Parameter(0.2, 0, _MOST_NOISE), "random_state": _SEED},
    "circles": {
        "n_samples": _SAMPLES,
        "noise": Parameter(0.1, 0, _MOST_NOISE),
        "factor": Parameter(0.5, 0, 0.999),
        "random_state": _SEED,
    },
    "classification": {
        "n_samples": _SAMPLES,
        "n_features": Parameter(20, 1, _MOST_FEATURES),
        "n_informative": Parameter(2, 1, _MOST_FEATURES),
        "n_redundant": Parameter(0, 0, _MOST_FEATURES),
        "n_repeated": Parameter(0, 0, _MOST_FEATURES),
        "n_clusters_per_class": Parameter(2, 1, 1000),
        "class_sep": Parameter(1.0, 1e-3, _MOST_NOISE),
        "flip_y": Parameter(0.01, 0, 1),
        "random_state": _SEED,
    },
}
"""What may be asked of scikit-learn's make_moons, ..., by the names that it has there."""


def read_set(name: str, parameters: Mapping[str, int | float]) -> Raw:
    """The data set of that name; labels are those that scikit-learn has names for, or numbers."""
    if name in DRAWN:
        return _drawn(name, parameters)
    if parameters:
        raise DataError(
            f"data_parameters: got {shown(dict(parameters))} for {name!r}, expected none; they are of "
            f"{', '.join(DRAWN)}."
        )
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    labels = bunch.target if name == "digits" else np.asarray(bunch.target_names)[bunch.target]
    return Raw(bunch.data, labels, f"data set {name!r}", f"scikit-learn load_{name}")


def _drawn(name: str, parameters: Mapping[str, int | float]) -> Raw:
    numbers = _checked(name, parameters)
    n, features = int(numbers["n_samples"]), int(numbers.get("n_features", 2))
    check_size(f"data_parameters: {n} samples of {features} features", n * features)
    import sklearn.datasets

    X, y = getattr(sklearn.datasets, f"make_{name}")(**numbers)
    called = ", ".join(f"{parameter}={value}" for parameter, value in numbers.items())
    return Raw(X, y, f"data set {name!r}", f"scikit-learn make_{name}({called})")


def _checked(name: str, given: Mapping[str, int | float]) -> dict[str, int | float]:
    """All parameters, given or by default."""
    known = DRAWN[name]
    for parameter, value in given.items():
        if parameter not in known:
            raise DataError(
                f"data_parameters: {name!r} has no {shown(parameter)}{nearest(parameter, known)}; expected "
                f"one of {', '.join(known)}."
            )
        if not known[parameter].admits(value):
            raise DataError(
                f"data_parameters: got {parameter} = {shown(value)}, expected {known[parameter].words}."
            )
    asked = {parameter: given.get(parameter, of.default) for parameter, of in known.items()}
    numbers = {each: value if known[each].is_whole else float(value) for each, value in asked.items()}
    if name == "classification":
        _check_features(numbers)
    return numbers


def _check_features(numbers: Mapping[str, int | float]) -> None:
    informative, redundant, repeated = (
        numbers[f"n_{kind}"] for kind in ("informative", "redundant", "repeated")
    )
    if informative + redundant + repeated > numbers["n_features"]:
        raise DataError(
            f"data_parameters: got n_features = {numbers['n_features']}, expected at least n_informative + "
            f"n_redundant + n_repeated, {informative} + {redundant} + {repeated}."
        )
    if 2 * (clusters := numbers["n_clusters_per_class"]) > 2 ** min(informative, 20):
        raise DataError(
            f"data_parameters: got n_clusters_per_class = {clusters}, expected at most half of "
            f"2^n_informative, 2^{informative}."
        )
