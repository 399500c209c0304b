"""Time of training many runs: a group of a sweep, against JAX, PyTorch, scikit-learn and the bare products.

    python benchmarks/sweep.py [--quick] [--widths 32 8 128] [--depths 2 4 8 16] [--rounds N]

Digits (64 features, 1437 examples), ReLU, cross-entropy, He initialisation, full-batch gradient descent. Each
contestant trains the same runs for the same steps, in processes of its own that are started once: at 1 thread
bound to one core; at all cores as one process that may use them all, or as one process a core. They take
turns, and of each pair the median of the ratios of their times in the same round counts.

* ours: `experiments.group.run_group`, drawing, accuracies and all; one process a core.
* JAX: `jit` of `vmap` over the runs, or of `lax.map`, of a `scan` over the steps; the better one counts.
  "with compilation" adds the time of the first call to that of a group of 18 runs and 200 steps.
* PyTorch: parameters stacked, autograd. scikit-learn: `MLPClassifier` (sgd, no momentum, full batch), at all
  cores under joblib. Both as they come, where they are installed.
* products: the matrix products of a step into arrays that are there, as ours makes them (the floor), and
  "whole": of all examples at once.

A ratio above 1 means that ours is faster.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "MKL", "OMP")}
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ |= ONE_THREAD

import numpy as np  # noqa: E402 - reads its threads from the environment
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from threadpoolctl import threadpool_info  # noqa: E402

from experiments.data import load_data  # noqa: E402
from experiments.group import Common, Group, run_group  # noqa: E402
from experiments.points import Architecture, Point  # noqa: E402
from experiments.source import Source  # noqa: E402
from experiments.training import initial_parameters, layer_dims, prepared, steps_of  # noqa: E402

CORES = sorted(os.sched_getaffinity(0))
RATE = 0.1
GROUP = 18 * 200  # run-steps of a group, for the times with compilation


@dataclass(frozen=True)
class Case:
    depth: int
    width: int
    dtype: str
    runs: int
    steps: int

    @property
    def points(self) -> tuple[Point, ...]:
        architecture = Architecture(self.depth, self.width, dtype=self.dtype)
        return tuple(Point(architecture, "he", RATE, seed, self.steps) for seed in range(self.runs))


# --- the contestants: each makes a function that trains once --------------------------------------

Make = Callable[[Case, tuple[Point, ...]], Callable[[], Any]]


def ours(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    examples = prepared(load_data(Source()), case.dtype)
    group = Group(points, (False,) * len(points))
    return lambda: run_group(group, Common({case.dtype: examples}), lambda steps, diverged: None)


def products(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    examples = prepared(load_data(Source()), case.dtype)
    step: Any = steps_of(points[0].architecture, examples.X_train, examples.Y_train)(1)
    step.load(initial_parameters(points[:1], examples.n_0))

    def run() -> None:
        for _ in range(len(points) * case.steps):
            for l in range(1, case.depth + 1):
                step.linear_forward(l)
            for l in range(case.depth, 0, -1):
                step.linear_backward(l)

    return run


def whole_products(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    examples = prepared(load_data(Source()), case.dtype)
    dims, m, rng = layer_dims(examples.n_0, points[0].architecture), examples.m, np.random.default_rng(0)
    layers = []
    for l, (n_prev, n) in enumerate(itertools.pairwise(dims), start=1):
        W, dZ, A = (
            rng.standard_normal(s).astype(case.dtype) for s in ((n, n_prev + 1), (n, m), (n_prev + 1, m))
        )
        layers.append((l, W, A, dZ, np.empty_like(dZ), np.empty_like(W), np.empty_like(A[:-1])))

    def run() -> None:
        for _ in range(len(points) * case.steps):
            for l, W, A, dZ, Z, dW, dA in layers:
                np.matmul(W, A, out=Z)
                np.matmul(dZ, A.T, out=dW)
                if l > 1:
                    np.matmul(W[:, :-1].T, dZ, out=dA)

    return run


def _jax(case: Case, points: tuple[Point, ...], side_by_side: Callable[..., Any]) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    examples = prepared(load_data(Source()), case.dtype)
    X, Y = jnp.asarray(examples.X_train), jnp.asarray(examples.Y_train)
    initial = {key: jnp.asarray(x) for key, x in initial_parameters(points, examples.n_0).items()}
    rates = jnp.full(len(points), RATE, X.dtype)

    def cost(theta: Any) -> Any:
        Z = theta["W1"] @ X + theta["b1"]
        for l in range(2, case.depth + 1):
            Z = theta[f"W{l}"] @ jax.nn.relu(Z) + theta[f"b{l}"]
        return jnp.mean(jax.nn.softplus(Z) - Y * Z)

    def train(theta: Any, rate: Any) -> Any:
        def step(theta: Any, _: None) -> Any:
            J, dtheta = jax.value_and_grad(cost)(theta)
            return jax.tree.map(lambda x, dx: x - rate * dx, theta, dtheta), J

        return jax.lax.scan(step, theta, None, length=case.steps)

    compiled = jax.jit(lambda theta, rates: side_by_side(train)(theta, rates))

    def run() -> None:
        compiled(initial, rates)[1].block_until_ready()

    return run


def jax_vmap(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    import jax

    return _jax(case, points, jax.vmap)


def jax_map(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    import jax

    return _jax(case, points, lambda f: lambda *of_all: jax.lax.map(lambda of_one: f(*of_one), of_all))


def pytorch(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    examples = prepared(load_data(Source()), case.dtype)
    X, Y = torch.from_numpy(examples.X_train), torch.from_numpy(examples.Y_train)
    initial = initial_parameters(points, examples.n_0)

    def run() -> None:
        theta = {key: torch.from_numpy(x.copy()).requires_grad_() for key, x in initial.items()}
        for _ in range(case.steps):
            A = X
            for l in range(1, case.depth + 1):
                Z = theta[f"W{l}"] @ A + theta[f"b{l}"]
                A = torch.relu(Z)
            (torch.nn.functional.softplus(Z) - Y * Z).mean(dim=(-2, -1)).sum().backward()
            with torch.no_grad():
                for x in theta.values():
                    x -= RATE * x.grad
                    x.grad = None

    return run


def scikit_learn(case: Case, points: tuple[Point, ...]) -> Callable[[], Any]:
    import joblib
    from sklearn.neural_network import MLPClassifier

    os.environ["PYTHONWARNINGS"] = "ignore"  # that it has not converged
    warnings.simplefilter("ignore")
    examples = prepared(load_data(Source()), case.dtype)
    models = [
        MLPClassifier(
            (case.width,) * (case.depth - 1), solver="sgd", momentum=0, nesterovs_momentum=False, alpha=0,
            batch_size=examples.m, learning_rate_init=RATE, max_iter=case.steps, tol=0, shuffle=False,
            n_iter_no_change=case.steps + 1, random_state=point.seed,
        )
        for point in points
    ]  # fmt: skip
    X, y = np.ascontiguousarray(examples.X_train.T), examples.Y_train[0]
    pool = joblib.Parallel(n_jobs=len(os.sched_getaffinity(0)))
    return lambda: pool(joblib.delayed(model.fit)(X, y) for model in models)


# --- processes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contestant:
    """`cores`: of each of its processes, among which the runs are shared out."""

    make: Make
    cores: tuple[tuple[int, ...], ...]


ALONE = ((CORES[0],),)
A_PROCESS_A_CORE = tuple((core,) for core in CORES)
ONE_PROCESS = (tuple(CORES),)
AS_MANY_PROCESSES = (tuple(CORES),) * len(CORES)  # which the system moves to idle cores, as those of a sweep
EVERYONE = {
    "1 thread": {
        "ours": Contestant(ours, ALONE),
        "jax vmap": Contestant(jax_vmap, ALONE),
        "jax map": Contestant(jax_map, ALONE),
        "products": Contestant(products, ALONE),
        "whole": Contestant(whole_products, ALONE),
        "torch": Contestant(pytorch, ALONE),
        "sklearn": Contestant(scikit_learn, ALONE),
    },
    "all cores": {
        "ours": Contestant(ours, AS_MANY_PROCESSES),
        "jax vmap": Contestant(jax_vmap, ONE_PROCESS),
        "jax map": Contestant(jax_map, ONE_PROCESS),
        "jax vmap, a core each": Contestant(jax_vmap, A_PROCESS_A_CORE),
        "jax map, a core each": Contestant(jax_map, A_PROCESS_A_CORE),
        "products": Contestant(products, AS_MANY_PROCESSES),
        "torch": Contestant(pytorch, ONE_PROCESS),
        "sklearn": Contestant(scikit_learn, ONE_PROCESS),
    },
}


def serve(connection: Any, make: Make, cores: tuple[int, ...]) -> None:
    """Of a process: train once for each "run", until the other end is closed; a case makes the function."""
    os.sched_setaffinity(0, cores)
    if len(cores) == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    run: Callable[[], Any] = lambda: None  # noqa: E731
    with suppress(EOFError):
        while True:
            if (asked := connection.recv()) == "run":
                run()
            else:
                run = make(*asked)
            connection.send("done")


class Processes:
    """Those of one contestant."""

    def __init__(self, contestant: Contestant, stack: ExitStack) -> None:
        context = multiprocessing.get_context("spawn")
        self.connections = []
        for cores in contestant.cores:
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, contestant.make, cores))
            process.start()
            there.close()  # or its end would not be seen here
            stack.callback(process.join)
            stack.callback(here.close)
            self.connections.append(here)

    def prepare(self, case: Case) -> None:
        count = len(self.connections)
        for i, connection in enumerate(self.connections):
            connection.send((case, case.points[i::count]))

    def run(self) -> float:
        began = time.perf_counter()
        for connection in self.connections:
            connection.send("run")
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        for connection in self.connections:
            connection.recv()


@contextmanager
def processes(names: list[str]) -> Iterator[dict[str, dict[str, Processes]]]:
    """All contestants', by threads and name."""
    with ExitStack() as stack:
        yield {
            threads: {name: Processes(of, stack) for name, of in everyone.items() if name in names}
            for threads, everyone in EVERYONE.items()
        }


# --- measuring and telling ------------------------------------------------------------------------


def targets(threads: str, case: Case) -> dict[str, float]:
    """The least ratios: against JAX, JAX with compilation, and the products."""
    if threads == "1 thread":
        jax = 0.75 if case.depth >= 4 else 0.6
    else:
        jax = 1.1 if case.depth >= 4 else 0.9 if case.dtype == "float64" else 0.75
    return {"jax": jax, "compiled": 2 * jax, "products": 0.75}


def measured(
    running: dict[str, Processes], case: Case, rounds: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """The seconds of each round, by contestant; and those that the first call took longer."""
    for of in running.values():
        of.prepare(case)
    for of in running.values():
        of.wait()
    first = {name: of.run() for name, of in running.items()}
    times = defaultdict(list)
    for _, (name, of) in itertools.product(range(rounds), running.items()):
        times[name].append(of.run())
    seconds = {name: np.array(of) for name, of in times.items()}
    return seconds, {name: max(first[name] - float(np.median(of)), 0) for name, of in seconds.items()}


def ratios(seconds: dict[str, Any], extra: dict[str, float], case: Case) -> dict[str, float]:
    """Of the others' times to ours, medians over the rounds."""
    mine = seconds["ours"]
    of = {name: float(np.median(theirs / mine)) for name, theirs in seconds.items()}
    groups = GROUP / (case.runs * case.steps)
    found: dict[str, float] = {}
    for name, kinds in (
        ("jax", ("jax vmap", "jax map")),
        ("each", ("jax vmap, a core each", "jax map, a core each")),
    ):
        if known := [kind for kind in kinds if kind in of]:
            found[name] = min(of[kind] for kind in known)
            compiled = [
                float(np.median((extra[kind] + groups * seconds[kind]) / (extra["ours"] + groups * mine)))
                for kind in known
            ]
            found[f"{name} compiled"] = min(compiled)
    found["compiled"] = found.pop("jax compiled")
    found.pop("each compiled", None)
    return found | {name: of[name] for name in ("products", "whole", "torch", "sklearn") if name in of}


COLUMNS = {
    "jax": "JAX", "compiled": "JAX with\ncompilation", "each": "JAX, a process\na core",
    "products": "products", "whole": "whole\nproducts", "torch": "PyTorch", "sklearn": "scikit-\nlearn",
}  # fmt: skip


def cell(name: str, found: dict[str, float], least: dict[str, float], missed: list[str]) -> str:
    if name not in found:
        return "-"
    value = found[name]
    if name not in least:
        return f"{value:.2f}"
    good = value >= least[name]
    missed += [] if good else [name]
    return f"[{'green' if good else 'bold red'}]{value:.2f}[/] [dim]({least[name]:.2g})[/]"


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """Runs and steps so that ours takes some tenths of a second at one thread."""
    for width, depth, dtype in itertools.product(arguments.widths, arguments.depths, ("float64", "float32")):
        of_a_step = 4e-5 * (0.3 + width / 32) * depth * (2 if dtype == "float64" else 1) * 2
        runs = 4 * len(CORES) if width < 128 else len(CORES)
        steps = (0.25 if arguments.quick else 0.5) / runs / of_a_step
        yield Case(depth, width, dtype, runs, max(int(steps), 25))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--quick", action="store_true", help="width 32, depths 2 and 4, without PyTorch and sklearn"
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 8, 128])
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    names = [name for everyone in EVERYONE.values() for name in everyone]
    if arguments.quick:
        arguments.widths, arguments.depths, arguments.rounds = [32], [2, 4], 5
    absent = (
        {"torch", "sklearn"} if arguments.quick else {n for n in ("torch", "sklearn") if not find_spec(n)}
    )
    console = Console()
    kernels = {f"{i['internal_api']} {i.get('version')} ({i.get('architecture')})" for i in threadpool_info()}
    console.print(
        f"BLAS: {', '.join(sorted(kernels))}; {len(CORES)} cores; not measured: {', '.join(absent) or 'none'}"
    )
    console.print("Others' time over ours, medians of rounds (target); us: ours, for a run and step.")
    table = Table("threads", "width", "depth", "dtype", "us", *COLUMNS.values())
    missed: list[str] = []
    with processes([name for name in names if name not in absent]) as running, console.status("") as status:
        for case in cases(arguments):
            for threads, of in running.items():
                status.update(f"{threads}, {case}")
                seconds, extra = measured(of, case, arguments.rounds)
                found, least = ratios(seconds, extra, case), targets(threads, case)
                us = 1e6 * float(np.median(seconds["ours"])) / case.runs / case.steps
                cells = [cell(name, found, least, missed) for name in COLUMNS]
                table.add_row(threads, str(case.width), str(case.depth), case.dtype, f"{us:.0f}", *cells)
    console.print(table)
    console.print(f"{len(missed)} targets missed." if missed else "All targets reached.")


if __name__ == "__main__":
    main()
