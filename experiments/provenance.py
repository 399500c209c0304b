"""What results depend on besides their spec: versions, revision, machine; and hashes of data and code."""

import functools
import hashlib
import importlib.resources
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.resources.abc import Traversable
from pathlib import Path

from threadpoolctl import threadpool_info

from experiments.own import Own
from sandbox.typing import Array

PACKAGES = (
    "autodiff-sandbox",
    "numpy",
    "scipy",
    "jax",
    "jaxlib",
    "h5py",
    "h5netcdf",
    "xarray",
    "scikit-learn",
)

TRAINING = {
    "sandbox.network": (
        "activations.py",
        "costs.py",
        "memory.py",
        "passes.py",
        "validation.py",
        "workspace.py",
    ),
    "experiments": ("group.py", "own.py", "training.py"),
}
"""The sources that fix a run's numbers, by their packages."""

CHECKING = ("sandbox.network", "sandbox.noise", "sandbox.verifier")
"""The packages that check gradients."""
ROOMS = ("experiments.answers", "experiments.lists", "experiments.sources")
ALL = ("experiments", *ROOMS, "sandbox", "sandbox.reading", *CHECKING)
ASKING = ("verdicts.py", "verification.py")
"""The sources of this one that say what is checked, and what is made of it."""


@functools.cache
def code_revision() -> str:
    """A hash of the sources that train: runs of one revision belong together, whatever git says of them."""
    return _hash_of_files(_folder(package) / name for package, names in TRAINING.items() for name in names)


def revision_of(own: Own | None) -> str:
    """The same where the user's functions train: of their source, and of what reads and calls them, too."""
    if own is None:
        return code_revision()
    files = [_folder("sandbox.network") / "complete.py", _folder("experiments") / "own_step.py"]
    ours = _hash_of_files((*files, *_sources(["sandbox.reading"])))
    return hashlib.sha256(f"{code_revision()} {ours} {own.revision}".encode()).hexdigest()


@functools.cache
def checker_revision() -> str:
    """A hash of the sources that check: a verdict is one of this checker."""
    return _hash_of_files((*_sources(CHECKING), *(_folder("experiments") / name for name in ASKING)))


@functools.cache
def package_revision() -> str:
    """A hash of all that processes of one sweep must have alike to understand each other."""
    return _hash_of_files(_sources(ALL))


def _sources(packages: Iterable[str]) -> Iterator[Traversable]:
    for package in packages:
        for file in sorted(_folder(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                yield file


def _folder(package: str) -> Traversable:
    """Without importing more than the outermost package: others load JAX."""
    outermost, *inner = package.split(".")
    return importlib.resources.files(outermost).joinpath(*inner)


def _hash_of_files(files: Iterable[Traversable]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def environment() -> dict[str, str]:
    """The software and the machine that compute, as text attributes."""
    blas = {
        f"{i['internal_api']} {i['version']} ({i.get('architecture', '')})"
        for i in threadpool_info()
        if i["user_api"] == "blas"
    }
    return {
        "packages": json.dumps({name: _version(name) for name in PACKAGES}),
        "python": platform.python_version(),
        "git_revision": _git_revision(),
        "blas": ", ".join(sorted(blas)) or "unknown",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def described(own: Own | None) -> dict[str, str]:
    """The user's functions, as text attributes; none where there are none."""
    if own is None:
        return {}
    return {
        "functions": own.path, "functions_revision": own.revision, "functions_written": ", ".join(own.names),
        "functions_source": own.source,
    }  # fmt: skip


def sha256(*arrays: Array) -> str:
    """One hash of the arrays' shapes and bytes, in this order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git_revision() -> str:
    """The commit of this code, with "dirty" when tracked files differ from it; "unknown" outside git."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # installed inside another repository?
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
