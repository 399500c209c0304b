"""Where groups are trained on other machines: by the workers of a Dask cluster, reached by its scheduler's
address. The package `distributed` is an extra, and loaded when a sweep asks for it."""

import asyncio
import importlib
import pickle
import re
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from experiments.executors import TELL_EVERY, Tell, WorkerError, described, error_of
from experiments.files import GOES_ON
from experiments.group import Common, Group
from experiments.remote import TOPIC, Refusal, Versions, train, versions, versions_of
from experiments.sentences import escaped, shown
from experiments.spec import SpecError
from experiments.worker import Failure, Result

CONNECTING = 5.0  # seconds until a scheduler answers
ANSWERING = 120.0  # seconds until one that is busy does, or sends a result
PATIENCE = 60.0  # seconds in which there may be no worker
LOOK_EVERY = 2.0  # seconds: for workers that have come or gone
CLOSING = 2.0  # seconds
REPLICATING = 30.0  # seconds
IN_FLIGHT = 2  # groups a worker: one that it trains, and the next
ADDRESS = re.compile(r"((tcp|(?P<secure>tls))://)?([^][\s/:@]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?")
QUIET = dict.fromkeys(("distributed", "distributed.client", "tornado", "tornado.application"), "critical")
START = "start some (dask worker ADDRESS --nthreads 1 --nworkers N)"


class Cluster:
    """A Dask cluster whose workers have the versions of this process.

    Attributes:
        workers: how many there are at the moment; others may come.
        elsewhere: than on this machine.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address, self.expected = client, address, {**versions(), "threads": "1"}
        self.elsewhere = True
        self.workers = self._awaited()
        with self.asking():
            found = client.run(versions_of, on_error="return")
        for worker, has in found.items():
            if not isinstance(has, OSError):  # of one that has gone
                self.check(worker, has)

    def executor(self, groups: Sequence[Group], common: Common, folder: Path) -> "Remote":
        """What trains these groups; workers need no folder."""
        return Remote(self, groups, common)

    def look(self) -> int:
        """How many workers there are now."""
        with self.asking():
            self.workers = len(self.client.nthreads(callback_timeout=ANSWERING))
        return self.workers

    def check(self, worker: str, has: Versions | Exception) -> None:
        """WorkerError for a worker of other versions."""
        if isinstance(has, Exception):
            raise WorkerError(
                f"dask: worker {worker} cannot load this program ({_named(has)}), expected revision "
                f"{self.expected['revision of the code']} of it; {self._same()}."
            )
        if differing := [name for name, value in self.expected.items() if has.get(name) != value]:
            one, other = (
                " and ".join(f"{name} {of.get(name, 'unknown')}" for name in differing)
                for of in (has, self.expected)
            )
            threads = "start each worker with --nthreads 1 (and several with --nworkers)"
            advice = f"{threads}, then {GOES_ON}" if differing == ["threads"] else self._same()
            raise WorkerError(f"dask: worker {worker} has {one}, expected {other}; {advice}.")

    def _same(self) -> str:
        return (
            "install the same versions here and there (pip install -c constraints.txt) and start the worker "
            f"again, then {GOES_ON}"
        )

    def _awaited(self) -> int:
        last = time.monotonic() + PATIENCE
        while not (workers := self.look()):
            if time.monotonic() > last:
                raise self.no_worker()
            time.sleep(TELL_EVERY)
        return workers

    def no_worker(self) -> WorkerError:
        return WorkerError(
            f"dask: the scheduler at {self.address} has had no worker for {PATIENCE:.0f} s, expected one at "
            f"least; {START}, then {GOES_ON}."
        )

    @contextmanager
    def asking(self) -> Iterator[None]:
        """WorkerError when the scheduler does not answer any more."""
        try:
            yield
        except (CancelledError, OSError, TimeoutError):
            raise self.gone() from None
        except RuntimeError:  # from a client that has been closed since
            if self.client.status == "running":
                raise
        if self.client.status != "running":
            raise self.gone()

    def gone(self) -> WorkerError:
        return WorkerError(
            f"dask: the scheduler at {self.address} is gone, or the way to it, expected both to stay; start "
            f"it and its workers again, or leave out --dask, then {GOES_ON}."
        )


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The cluster of the scheduler at this address ("tcp://10.0.0.1:8786").

    Raises:
        SpecError: `distributed` is not installed, or that is no address.
        WorkerError: nobody answers there, there is no worker, or one of other versions.
    """
    client = _client(_distributed(), address)
    try:
        yield Cluster(client, address)
    finally:
        with suppress(Exception):  # from a scheduler that is gone nobody can take leave
            client.close(timeout=CLOSING)


def _distributed() -> ModuleType:
    """The package, which is not to tell the terminal what this one says in a sentence."""
    try:
        config = importlib.import_module("dask.config")
        with config.set(logging=QUIET):
            return importlib.import_module("distributed")
    except ImportError:
        raise SpecError(
            "dask: the package 'distributed' is not installed, expected it for --dask; "
            "pip install 'autodiff-sandbox[dask]', or leave out --dask."
        ) from None


def _client(distributed: ModuleType, address: str) -> Any:
    found = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if not found or not 0 < int(found["port"]) < 2**16:
        raise SpecError(
            f"dask: got {shown(address)}, expected the address of a scheduler, as tcp://10.0.0.1:8786; give "
            "the one that `dask scheduler` prints."
        )
    if found["secure"] and not distributed.Security().get_connection_args("client").get("ssl_context"):
        raise SpecError(
            f"dask: got {shown(address)}, expected certificates for it in the configuration of Dask "
            "(distributed.comm.tls); add them, or give an address that begins with tcp://."
        )
    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook this one has a loop of its own
            thread.submit(asyncio.run, _asked(distributed, address)).result()
        with warnings.catch_warnings(action="ignore"):  # of versions that differ, which are compared below
            return distributed.Client(address, timeout=CONNECTING, set_as_default=False, name=TOPIC)
    except Exception:  # whatever listens there: any may say anything
        raise WorkerError(
            f"dask: no scheduler answers at {shown(address)} within {CONNECTING:.0f} s, expected one; start "
            f"it (dask scheduler) or mind the address, then {GOES_ON}."
        ) from None


def _named(error: Exception) -> str:
    return escaped(f"{type(error).__name__}: {error}")


async def _asked(distributed: ModuleType, address: str) -> None:
    """Whether a scheduler listens there, and not another service, for whose answer a client would wait."""
    security = distributed.Security().get_connection_args("client")
    async with distributed.rpc(address, timeout=CONNECTING, connection_args=security) as scheduler:
        found = await asyncio.wait_for(scheduler.identity(), CONNECTING)
    if found["type"] != "Scheduler":
        raise ConnectionError


class Remote:
    """An executor: groups are sent to the scheduler, a few at a time for each worker."""

    def __init__(self, cluster: Cluster, groups: Sequence[Group], common: Common) -> None:
        self.cluster, self.groups, self.common = cluster, groups, pickle.dumps(common)
        self.sweep = uuid.uuid4().hex[:12]
        self.counts = np.zeros((len(groups), 2), np.int64)
        self.busy: dict[str, int] = {}
        self.flying: dict[int, Any] = {}  # futures

    def __enter__(self) -> Self:
        self.cluster.client.subscribe_topic(TOPIC, self._hear)
        return self

    def __exit__(self, *raised: object) -> None:
        for future in self.flying.values():
            with suppress(Exception):
                future.cancel()

    def results(self, tell: Tell) -> Iterator[Result]:
        if not self.groups:
            return
        waiting = iter(range(len(self.groups)))
        seen = looked = time.monotonic()
        common = self._shared()
        while self._sent(waiting, common):
            for number in [number for number, future in self.flying.items() if future.done()]:
                yield self._received(number)
            now = time.monotonic()
            if now - looked >= LOOK_EVERY:
                looked = now
                seen = now if self.cluster.look() else seen
                if now - seen > PATIENCE:
                    raise self.cluster.no_worker()
            tell(self.counts.copy(), dict(self.busy))
            time.sleep(TELL_EVERY)

    def _shared(self) -> Any:
        """What all groups train with. The scheduler could make it again, should all workers be lost that have
        it. All of them are given it at once: groups would rather wait for the first one that has."""
        common = self._submitted(bytes, self.common, key=f"{TOPIC}-{self.sweep}")
        with self.cluster.asking(), suppress(TimeoutError):  # who has not got it by then, will
            self.cluster.client.replicate([common], callback_timeout=REPLICATING)
        return common

    def _sent(self, waiting: Iterator[int], common: Any) -> bool:
        """Send more, as long as there are; whether something is on its way."""
        while len(self.flying) < IN_FLIGHT * max(self.cluster.workers, 1):
            number = next(waiting, None)
            if number is None:
                break
            group = pickle.dumps(self.groups[number])
            self.flying[number] = self._submitted(
                train, number, group, common, self.cluster.expected, self.sweep,
                key=(f"{TOPIC}-{self.sweep}", number),
            )  # fmt: skip
        return bool(self.flying)

    def _submitted(self, *task: object, key: object) -> Any:
        with self.cluster.asking(), warnings.catch_warnings(action="ignore"):  # that the data is large
            return self.cluster.client.submit(*task, key=key, pure=False)

    def _received(self, number: int) -> Result:
        future = self.flying.pop(number)
        try:
            with self.cluster.asking():
                outcome: Result | Failure | Refusal = future.result(timeout=ANSWERING)
        except WorkerError:
            raise
        except Exception as error:
            raise self._error(error, number) from None
        if isinstance(outcome, Refusal):
            self.cluster.check(outcome.worker, outcome.versions)
        if isinstance(outcome, Failure):
            raise error_of(outcome, self.groups[number], "what else its worker holds")
        assert isinstance(outcome, Result)
        trained = outcome.trained
        self.counts[number] = trained.steps * len(trained.diverged_at), np.sum(trained.diverged_at >= 0)
        self._idle(number)
        return outcome

    def _error(self, error: Exception, number: int) -> WorkerError:
        """For one that the cluster has, and not the training."""
        group = self.groups[number]
        if type(error).__name__ == "KilledWorker":
            times = getattr(error, "allowed_failures", 0) + 1
            last = getattr(getattr(error, "last_worker", None), "address", "unknown")
            return WorkerError(
                f"dask: the worker that trained {described(group)} was lost {times} times (the last one at "
                f"{last}), expected it to live; give workers more memory, then {GOES_ON}."
            )
        return WorkerError(
            f"dask: a worker cannot train {described(group)} ({_named(error)}), expected this program there; "
            f"install the same versions here and there, then {GOES_ON}."
        )

    def _hear(self, event: tuple[float, Any]) -> None:
        """What a worker tells; in the thread of the client."""
        sweep, number, worker, steps, diverged = event[1]
        if sweep == self.sweep and number in self.flying:
            self._idle(number)  # where it was trained by a worker that is lost
            self.busy[worker] = number
            self.counts[number] = steps, diverged

    def _idle(self, number: int) -> None:
        for worker in [worker for worker, of in list(self.busy.items()) if of == number]:
            self.busy.pop(worker, None)
