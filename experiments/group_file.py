"""The bytes of a finished group and of a verdict: HDF5, made and read in memory.

A full disk cannot be caught while HDF5 writes to it, nor damaged bytes while it reads them: what is on disk
is bytes, whole and found whole before HDF5 sees them.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import h5py
import numpy as np

from experiments.group import Trained
from experiments.points import Architecture, Origin, Point
from experiments.verification import OUTPUTS, Verification
from sandbox.typing import Array, Scheme

Result = TypeVar("Result")

SCHEMA = 2
COSTS, PER_RUN, PER_LAYER = ("runs", "costs"), ("runs",), ("runs", "layers")
LAYOUT: dict[str, tuple[tuple[str, ...], type]] = {
    "cost_curve": (COSTS, np.float64),
    "diverged_at": (PER_RUN, np.int64),
    "stalled_at": (PER_RUN, np.int64),
    "train_accuracy": (PER_RUN, np.float64),
    "test_accuracy": (PER_RUN, np.float64),
    "seconds": (PER_RUN, np.float64),
    "gradient_norm_start": (PER_LAYER, np.float64),
    "gradient_norm_end": (PER_LAYER, np.float64),
    "kept": (("kept",), np.int64),
}
"""The axes and dtypes of what a group's file holds, besides final parameters."""
OF_ALL = [name for name in LAYOUT if name != "kept"]


class ImplausibleError(ValueError):
    """What cannot be a group or a verdict of this version; the message says why, as half a sentence."""


@dataclass(frozen=True)
class Stored:
    """A group as its file holds it. `about`: the software and machine that trained it, started, ended."""

    points: tuple[Point, ...]
    origin: Origin
    trained: Trained
    about: dict[str, str]


# --- groups -------------------------------------------------------------------------------------------


def pack_group(stored: Stored) -> bytes:
    """The bytes of a group's file. ImplausibleError when no such group can be."""
    _check(stored.points, stored.trained)
    architecture = stored.points[0].architecture
    points = [[p.scheme, p.learning_rate, p.seed, p.steps] for p in stored.points]
    arrays: dict[str, Array] = {name: getattr(stored.trained, name) for name in LAYOUT}
    parameters = stored.trained.parameters
    if len(stored.trained.kept):
        arrays |= {f"parameters/{name}": value for name, value in parameters.items()}
    content = [parameters["W1"].shape[-1], points]
    return _packed("group", architecture, stored.origin, content, arrays, stored.about)


def unpack_group(content: bytes) -> Stored:
    """The group of these bytes. ImplausibleError when they are none."""

    def read(file: h5py.File, architecture: Architecture, origin: Origin, about: dict[str, str]) -> Stored:
        n_0, listed = json.loads(about.pop("content"))
        points = tuple(Point(architecture, *values) for values in listed)
        arrays = {name: file[name][()] for name in LAYOUT}
        if len(arrays["kept"]):
            parameters = {name: value[()] for name, value in file["parameters"].items()}
        else:
            shapes = _shapes(architecture, n_0, 0)
            parameters = {name: np.empty(shape, architecture.dtype) for name, shape in shapes.items()}
        trained = Trained(**arrays, parameters=parameters)
        _check(points, trained)
        known = {name: value for name, value in about.items() if not name.startswith("_")}
        return Stored(points, origin, trained, known | {name: about[name] for name in ("started", "ended")})

    return _unpacked("group", content, read)


def unpack_points(content: bytes) -> tuple[tuple[Point, ...], Origin]:
    """The points of a group of these bytes, and their origin. ImplausibleError when they are none."""

    def read(
        file: h5py.File, architecture: Architecture, origin: Origin, about: dict[str, str]
    ) -> tuple[tuple[Point, ...], Origin]:
        return tuple(Point(architecture, *values) for values in json.loads(about["content"])[1]), origin

    return _unpacked("group", content, read)


def _check(points: Sequence[Point], trained: Trained) -> None:
    """Refuse what training cannot give: other shapes and dtypes, a cost that is NaN without divergence."""
    if len({(point.architecture, point.steps) for point in points}) != 1 or len(set(points)) < len(points):
        raise ImplausibleError("its points are not of one architecture and one number of steps, each once")
    architecture, steps = points[0].architecture, points[0].steps
    sizes = {
        "runs": len(points), "costs": steps + 1, "layers": architecture.depth, "kept": len(trained.kept),
    }  # fmt: skip
    for name, (axes, dtype) in LAYOUT.items():
        _check_array(name, getattr(trained, name), tuple(sizes[axis] for axis in axes), np.dtype(dtype))
    _check_values(trained, steps)
    _check_parameters(trained, architecture)


def _check_array(name: str, array: Any, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    array = np.asarray(array)
    if array.shape != shape or array.dtype != dtype:
        raise ImplausibleError(f"{name} is {array.dtype} {array.shape}, expected {dtype} {shape}")


def _check_values(trained: Trained, steps: int) -> None:
    diverged = trained.diverged_at >= 0
    end = np.where(diverged, trained.diverged_at, steps + 1)
    accuracies = np.stack([trained.train_accuracy, trained.test_accuracy])
    norms = np.concatenate([trained.gradient_norm_start, trained.gradient_norm_end])
    plausible = {
        "diverged_at": _are_steps(trained.diverged_at, steps),
        "stalled_at": _are_steps(trained.stalled_at, steps) & ~(diverged & (trained.stalled_at >= 0)),
        "cost_curve": np.isfinite(trained.cost_curve) == (np.arange(steps + 1) < end[:, None]),
        "cost_curve, where negative,": ~(trained.cost_curve < 0),
        "cost_curve, where diverged,": np.isnan(trained.cost_curve) | (np.arange(steps + 1) < end[:, None]),
        "accuracy": np.where(diverged, np.isnan(accuracies), (accuracies >= 0) & (accuracies <= 1)),
        "seconds": (trained.seconds >= 0) & np.isfinite(trained.seconds),
        "gradient_norm": ~(norms < 0),
    }
    for name, right in plausible.items():
        if not right.all():
            raise ImplausibleError(f"{name} has values that no training gives")


def _are_steps(values: Array, steps: int) -> Array:
    return np.asarray((values >= -1) & (values <= steps))


def _check_parameters(trained: Trained, architecture: Architecture) -> None:
    kept, parameters = trained.kept, trained.parameters
    if len(np.unique(kept)) < len(kept) or not np.isin(kept, np.arange(len(trained.seconds))).all():
        raise ImplausibleError("kept is not of its runs, each once")
    n_0 = parameters["W1"].shape[-1] if "W1" in parameters else 0
    shapes = _shapes(architecture, n_0, len(kept))
    if set(parameters) != set(shapes):
        raise ImplausibleError(f"it has the parameters {sorted(parameters)}, not W1, b1, ...")
    for name, shape in shapes.items():
        _check_array(name, parameters[name], shape, np.dtype(architecture.dtype))


def _shapes(architecture: Architecture, n_0: int, kept: int) -> dict[str, tuple[int, ...]]:
    units = [n_0, *[architecture.width] * (architecture.depth - 1), 1]
    return {
        f"{symbol}{l}": (kept, units[l], units[l - 1] if symbol == "W" else 1)
        for l in range(1, architecture.depth + 1)
        for symbol in "Wb"
    }


# --- verdicts -----------------------------------------------------------------------------------------


def pack_verification(verdict: Verification, origin: Origin) -> bytes:
    """The bytes of a verdict's file. ImplausibleError when no such verdict can be."""
    _check_verdict(verdict)
    content = [verdict.moment, list(verdict.schemes), verdict.checker, verdict.checked, verdict.networks]
    arrays = {"sigma_error": verdict.sigma_error, "caught": verdict.caught}
    return _packed("verification", verdict.architecture, origin, content, arrays, {})


def unpack_verification(content: bytes) -> tuple[Verification, Origin]:
    """The verdict of these bytes, and the data and code it is on. ImplausibleError when they are none."""

    def read(
        file: h5py.File, architecture: Architecture, origin: Origin, about: dict[str, str]
    ) -> tuple[Verification, Origin]:
        moment, schemes, checker, checked, networks = json.loads(about["content"])
        sigma_error = file["sigma_error"][()]
        # A checker before this one did not say what it would have caught.
        caught = file["caught"][()] if "caught" in file else np.full_like(sigma_error, np.nan)
        verdict = Verification(
            architecture, moment, tuple(schemes), sigma_error, checker, checked, networks, caught
        )
        _check_verdict(verdict)
        return verdict, origin

    return _unpacked("verification", content, read)


def _check_verdict(verdict: Verification) -> None:
    shape = verdict.architecture.depth, len(OUTPUTS)
    for name in ("sigma_error", "caught"):
        _check_array(name, getattr(verdict, name), shape, np.dtype(np.float64))
    words = verdict.checker, verdict.checked, verdict.moment
    right = (
        verdict.moment in ("start", "end")
        and all(isinstance(word, str) for word in words)
        and isinstance(verdict.networks, int)
        and set(verdict.schemes) <= set(get_args(Scheme))
    )
    if (verdict.sigma_error < 0).any() or (verdict.caught < 0).any() or not verdict.schemes or not right:
        raise ImplausibleError("it has values that no check gives")


# --- bytes --------------------------------------------------------------------------------------------


def _packed(
    kind: str, architecture: Architecture, origin: Origin, content: Any,
    arrays: Mapping[str, Array], about: Mapping[str, str],
) -> bytes:  # fmt: skip
    file_in_memory = io.BytesIO()
    with h5py.File(file_in_memory, "w") as file:
        file.attrs.update(about)
        file.attrs["schema_version"], file.attrs["kind"] = SCHEMA, kind
        file.attrs["architecture"] = json.dumps(dataclasses.asdict(architecture))
        file.attrs["origin"] = json.dumps(dataclasses.asdict(origin))
        file["content"] = json.dumps(content)  # no attribute: those end at 64 kB
        for name, array in arrays.items():
            file[name] = array
    return file_in_memory.getvalue()


def _unpacked(kind: str, content: bytes, read: Callable[..., Result]) -> Result:
    """What `read` makes of the open file, its architecture, its origin and its other attributes."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            about = {key: str(value) for key, value in file.attrs.items()}
            found = about.pop("kind", "file"), about.pop("schema_version", "none")
            if found != (kind, str(SCHEMA)):
                raise ImplausibleError(
                    f"it is a {found[0]} of schema version {found[1]}, not a {kind} of version {SCHEMA}"
                )
            architecture = Architecture(**json.loads(about.pop("architecture")))
            origin = Origin(**json.loads(about.pop("origin")))
            about["content"] = file["content"].asstr()[()]
            return read(file, architecture, origin, about)
    except ImplausibleError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError):
        raise ImplausibleError(f"it is not a {kind} of schema version {SCHEMA}") from None


# --- rows ---------------------------------------------------------------------------------------------


def taken(trained: Trained, rows: Sequence[int]) -> Trained:
    """These runs of a group, in this order."""
    place = {run: i for i, run in enumerate(trained.kept.tolist())}
    kept = [i for i, row in enumerate(rows) if row in place]
    where = np.array([place[rows[i]] for i in kept], np.int64)
    return Trained(
        **{name: getattr(trained, name)[list(rows)] for name in OF_ALL},
        kept=np.array(kept, np.int64),
        parameters={name: value[where] for name, value in trained.parameters.items()},
    )


def joined(parts: Sequence[Trained]) -> Trained:
    """The runs of groups of one architecture and one number of steps, one group after the other."""
    starts = np.cumsum([0, *(len(part.seconds) for part in parts)])
    return Trained(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in OF_ALL},
        kept=np.concatenate([part.kept + start for part, start in zip(parts, starts, strict=False)]),
        parameters={
            name: np.concatenate([part.parameters[name] for part in parts]) for name in parts[0].parameters
        },
    )
