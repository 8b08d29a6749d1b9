"""Work on a cluster: the same batches as a :class:`~amparo.crew.Crew` does on this machine's cores, as tasks of Ray.

A task does not read a file itself. Its worker keeps a child that does, confined and with the same limits as on one machine,
so that hostile bytes cost a child and never a worker of the cluster. A worker, or a whole machine, that is lost costs the
batches that it had in hand: they are given again, and each unit has one result. Why it is Ray: docs/decisions/008.

Every machine needs the same version of Amparo, and finds the source and the index at the same path. A cluster that is started
here (``local``) listens to this machine only, and nothing is reported to Ray's makers.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import multiprocessing as mp
import os
import pickle
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final, NamedTuple

import amparo
from amparo.child import start_children
from amparo.crew import MOST_FOUND, Crew, Feed, Job
from amparo.errors import AmparoError, SourceUnreadable, UsedWrongly

LOCAL: Final = "local"
_ADDRESS = re.compile(r"local|auto|(ray://)?[\w.\-\[\]:]+:\d{1,5}", re.ASCII)
_LOSSES: Final = 3  # workers that a batch may lose before its units are given one by one
_LONGEST_FOLDER: Final = 20  # characters
_COUNT_EVERY: Final = 10.0  # seconds: a cluster grows and shrinks
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_USAGE_STATS_PROMPT_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}  # fmt: skip


class _Failed(NamedTuple):
    """In place of a unit's result."""

    why: str


class _Refused(NamedTuple):
    """In place of a batch's results: a worker of the cluster cannot work at all."""

    sentence: str


class _Handed(NamedTuple):
    job: Job
    losses: int


class Cluster:
    """Workers of a cluster, used as a :class:`~amparo.crew.Crew` is.

    ``address`` is ``local``, ``auto``, ``host:port`` or ``ray://host:port``; ``count`` batches at most are at work at a
    time, as many as there are cores where it is None. Raises UsedWrongly where no cluster answers.
    """

    def __init__(
        self, address: str, count: int | None, prepare: Callable[..., Callable[[Any], Any]], *arguments: Any
    ) -> None:
        must_be_address(address)
        self._scratch = _scratch() if address == LOCAL else None
        self._forking = start_children(mp.get_context("spawn"))
        try:
            self._ray = _connected(address, count, self._scratch)
        except BaseException:
            self._sweep()
            raise
        self._address, self._count, self._cores, self._counted = address, count, 1, float("-inf")
        self._arguments = self._ray.put((prepare, arguments, amparo.__version__))
        self._do = self._ray.remote(num_cpus=1, max_retries=0)(_do)

    def run(
        self, jobs: Iterable[Job], failed: Callable[[Any, str], Any], feed: Feed | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """As :meth:`amparo.crew.Crew.run`. Raises SourceUnreadable where the cluster is gone, or a worker of it cannot work."""
        given = iter(jobs)
        found: deque[Job] = deque()
        again: list[_Handed] = []
        pending: dict[Any, _Handed] = {}

        def following() -> _Handed | None:
            if again:
                return again.pop()
            if found:
                return _Handed(found.popleft(), 0)
            job = next(given, None) if feed is None or feed.pipe is None else None
            return None if job is None else _Handed(job, 0)

        try:
            while True:
                while len(pending) < self._room() and (handed := following()) is not None:
                    pending[self._do.remote(self._arguments, handed.job.units, handed.job.limits)] = handed
                feeding = feed is not None and feed.pipe is not None
                if feed is not None and feed.pipe is not None:
                    if not pending:
                        wait([feed.pipe], 1.0)
                    found.extend(feed.absorb(len(found) < MOST_FOUND))
                if not pending:
                    if feeding or again:
                        continue
                    return
                ready, _ = self._ray.wait(list(pending), num_returns=1, timeout=0.05 if feeding else 1.0)
                for reference in ready:
                    yield from self._taken(reference, pending.pop(reference), again, failed)
        finally:
            for reference in pending:
                self._ray.cancel(reference, force=True)

    def _taken(
        self, reference: Any, handed: _Handed, again: list[_Handed], failed: Callable[[Any, str], Any]
    ) -> Iterator[tuple[Any, Any]]:
        units = handed.job.units
        lost = self._ray.exceptions
        try:
            results = self._ray.get(reference)
        except (lost.RaySystemError, lost.RpcError, lost.AuthenticationError, ConnectionError):
            raise SourceUnreadable(
                f"The cluster at {self._address} does not answer any more: see to it, and run the command again with --resume."
            ) from None
        except lost.RayTaskError as error:
            results = [_Failed(f"the reader crashed on it ({type(error.cause).__name__})") for _ in units]
        except lost.RayError:  # the worker was killed, or its machine is gone
            if handed.losses < _LOSSES:
                again.append(_Handed(handed.job, handed.losses + 1))
                return
            if len(units) > 1:  # whichever it is that ends them is found by itself
                again += [_Handed(Job([u], [n]), 0) for u, n in zip(units, handed.job.limits, strict=True)]
                return
            results = [_Failed("the workers of the cluster ended on it")]
        if isinstance(results, _Refused):
            raise SourceUnreadable(f"A worker of the cluster cannot work: {results.sentence}")
        for unit, result in zip(units, results, strict=True):
            yield unit, failed(unit, result.why) if isinstance(result, _Failed) else result

    def _room(self) -> int:
        """How many batches may be given out: two for each core, so that none waits for the next one."""
        if self._count is not None:
            return 2 * self._count if self._address == LOCAL else self._count
        if time.monotonic() - self._counted > _COUNT_EVERY:
            self._counted = time.monotonic()
            self._cores = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return 2 * self._cores

    def dismiss(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()
        self._sweep()

    def _sweep(self) -> None:
        start_children(self._forking)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def must_be_address(text: str) -> None:
    """Raises UsedWrongly where it is not written as the address of a cluster is."""
    if _ADDRESS.fullmatch(text) is None:
        raise UsedWrongly(f"{text} is no address of a cluster: give local, auto, HOST:PORT or ray://HOST:PORT.")


def _connected(address: str, count: int | None, scratch: str | None) -> Any:
    os.environ.update(_QUIET)
    if address == LOCAL:
        _keep_to_this_machine()
    elif "://" not in address and address != "auto":
        _must_answer(address)
    try:
        import ray
    except ImportError:
        raise UsedWrongly("A cluster is worked on with Ray: install amparo[cluster].") from None
    if address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
        raise UsedWrongly("A cluster at ray:// is reached with grpcio: install ray[client].")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    if address == LOCAL:
        _listen_here_only()
        cores = count or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
        settings |= {"num_cpus": cores, "include_dashboard": False, "_temp_dir": scratch}
    elif address.startswith("ray://"):
        settings = {"log_to_driver": False}
    # What Ray has to tell of a lost worker would come between the lines on standard output.
    worker: Any = importlib.import_module("ray._private.worker")
    worker.listen_error_messages = _unheard
    try:
        ray.init(address, **settings)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError, ray.exceptions.RayError) as error:
        if address == LOCAL:
            raise SourceUnreadable(
                f"Ray cannot be started on this machine ({type(error).__name__}): leave --engine out."
            ) from None
        raise _no_answer(address) from None
    return ray


def _scratch() -> str:
    """Where Ray keeps its sockets, whose names may not be long, and what it has no memory for: for this user only."""
    folder = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="amparo-ray-", dir=folder if len(folder) <= _LONGEST_FOLDER else "/tmp")  # noqa: S108  mkdtemp makes it


def _no_answer(address: str) -> SourceUnreadable:
    return SourceUnreadable(f"No cluster answers at {address}: see that it runs, or leave --engine out.")


def _must_answer(address: str) -> None:
    """Ray ends the whole process, in many lines, where nothing listens at an address."""
    import socket

    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError):
        raise _no_answer(address) from None


def _unheard(*_: Any) -> None:
    """Nothing is told."""


def _listen_here_only() -> None:
    """Ray replaces 127.0.0.1 by the machine's own address, and listens to every network, unless it is told that there are no
    clusters on this system, as it is on macOS."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    constants.ENABLE_RAY_CLUSTER = False
    # It read the environment when it was loaded, which may have been before ours was set.
    core: Any = importlib.import_module("ray._raylet")
    core.Config.initialize("")


def _keep_to_this_machine() -> None:
    """Nobody else on this machine may give work to a cluster of ours, which would run it with our rights."""
    os.environ.pop("RAY_ADDRESS", None)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


# On a worker of the cluster ------------------------------------------------------------------------------------------

_crew: tuple[bytes, Crew] | None = None  # the child that this worker keeps, and what it was started for


def _do(
    arguments: tuple[Callable[..., Callable[[Any], Any]], tuple[Any, ...], str], units: list[Any], limits: list[float]
) -> list[Any] | _Refused:
    """A task: the results of a batch, in its order."""
    prepare, given, version = arguments
    if version != amparo.__version__:
        return _Refused(f"it has version {amparo.__version__} of Amparo, not {version}; install that one there.")
    try:
        crew = _kept(prepare, given)
    except AmparoError as error:
        return _Refused(f"{error} The source and the index must lie at the same path on every worker.")
    results: list[Any] = [None] * len(units)
    places: dict[int, list[int]] = {}  # the same unit may come twice in a batch
    for number, unit in enumerate(units):
        places.setdefault(id(unit), []).append(number)
    for unit, result in crew.run([Job(units, limits)], lambda unit, why: _Failed(why)):
        results[places[id(unit)].pop(0)] = result
    return results


def _kept(prepare: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> Crew:
    global _crew
    mark = pickle.dumps((prepare, given))
    if _crew is None or _crew[0] != mark:
        prepare(*given)  # so that what is wrong here is said here
        if _crew is not None:
            _crew[1].dismiss()
        # A worker of Ray has threads and maps gigabytes: it is not to be forked, and its main module not to be loaded again.
        if Path(getattr(sys.modules["__main__"], "__file__", None) or "").name == "default_worker.py":
            sys.modules["__main__"].__file__ = None
        _crew = mark, Crew(1, prepare, *given, context=mp.get_context("spawn"))
    return _crew[1]
