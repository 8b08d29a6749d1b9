"""The processes that do the work: each may die or hang on hostile bytes and costs only the file that it was reading."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from ctypes import c_int64
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple, Protocol

from amparo.child import CONTEXT, confine, ending, stumble

_IDLE = -1
# What a pipe takes whole though nobody reads from it yet: a worker that is given more could wait for the leader, and the leader
# for it. Elsewhere than on Linux pipes hold a few kilobytes.
_AHEAD_BYTES = 32 << 10 if sys.platform == "linux" else 0


class _Stumbled(NamedTuple):
    """In place of a unit's result."""

    why: str


@dataclass(slots=True)
class Job:
    """A batch for one worker: ``units`` are done in order; ``limits`` gives each its seconds.

    ``light`` ones take so little that a worker is given the next of them before it asks, and never waits.
    """

    units: list[Any]
    limits: list[float]
    light: bool = False


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    progress: Any  # shared: index of the unit in hand, and when it began in monotonic nanoseconds
    jobs: deque[Job] = field(default_factory=deque)  # the one in hand, and the one to follow

    @property
    def wants(self) -> bool:
        """Whether it can be given another batch."""
        return not self.jobs or (len(self.jobs) == 1 and self.jobs[0].light)


def _work(
    pipe: Connection,
    leader: int,
    progress: Any,
    prepare: Callable[..., Callable[[Any], Any]],
    arguments: tuple[Any, ...],
) -> None:
    confine(leader)
    do = prepare(*arguments)
    settle: Callable[[list[Any]], list[Any]] = getattr(do, "settle", list)
    while True:
        try:
            units = pipe.recv()
        except (EOFError, OSError):
            return
        if units is None:
            return
        results: list[Any] = []
        for index, unit in enumerate(units):
            progress[1] = time.monotonic_ns()
            progress[0] = index
            try:
                results.append(do(unit))
            except Exception as error:
                results.append(_Stumbled(stumble(error)))
        progress[0] = _IDLE
        pipe.send(settle(results))


class Feed(Protocol):
    """Where jobs are still being found while the crew already works."""

    @property
    def pipe(self) -> Connection | None:
        """Readable when more was found; None once nothing more will be."""

    def absorb(self, wanted: bool) -> list[Job]:
        """Take what came, if anything did; the jobs in it where they are ``wanted``. Must not block, and must not raise for
        what the source holds."""


class Engine(Protocol):
    """What does the units: a :class:`Crew` on this machine's cores, or a :class:`~amparo.cluster.Cluster`."""

    def run(
        self, jobs: Iterable[Job], failed: Callable[[Any, str], Any], feed: Feed | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """As :meth:`Crew.run`."""

    def dismiss(self) -> None:
        """End every worker."""


MOST_FOUND = 256
"""Jobs held at most while a feed lasts: the rest is asked for later, in its turn."""


class Crew:
    """A set of workers. ``prepare(*arguments)`` runs once in each and gives the function that does one unit.

    Where that function has a method ``settle``, it is given the results of a batch and gives them as they are sent. ``context``
    is how processes are started, where whoever starts them may not fork.
    """

    def __init__(
        self,
        count: int,
        prepare: Callable[..., Callable[[Any], Any]],
        *arguments: Any,
        context: BaseContext = CONTEXT,
    ) -> None:
        self._prepare, self._arguments, self._context = prepare, arguments, context
        self._workers = [self._hire() for _ in range(count)]

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        progress = self._context.RawArray(c_int64, [_IDLE, 0])
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_work, args=(theirs, os.getpid(), progress, self._prepare, self._arguments), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours, progress)

    def run(
        self, jobs: Iterable[Job], failed: Callable[[Any, str], Any], feed: Feed | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Pairs of unit and result, in whatever order they come.

        A unit on which a worker crashes, stumbles or passes its limit gives ``failed(unit, why)`` instead; the rest of its
        batch goes on, to a fresh worker where need be. While ``feed`` lasts, what it finds comes before ``jobs``.
        """
        given = iter(jobs)
        found: deque[Job] = deque()
        again: list[Job] = []  # what a lost worker left of its batches, and what a busy one could not take

        def following() -> Job | None:
            if again:
                return again.pop()
            if found:
                return found.popleft()
            return next(given, None) if feed is None or feed.pipe is None else None

        while True:
            for worker in self._workers:
                self._assign(worker, following, again)
            pipes = [worker.pipe for worker in self._workers if worker.jobs]
            if feed is not None and feed.pipe is not None:
                pipes.append(feed.pipe)
            if not pipes:
                return
            ready = wait(pipes, timeout=1.0)
            if feed is not None and feed.pipe is not None:
                found.extend(feed.absorb(len(found) < MOST_FOUND))
            for index, worker in enumerate(self._workers):
                if not worker.jobs:
                    continue
                if worker.pipe in ready:
                    try:
                        results = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join(5)
                        yield self._lost(index, again, failed, f"the reader crashed on it ({ending(worker.process)})")
                        continue
                    units = worker.jobs.popleft().units
                    self._assign(worker, following, again)  # before its results are looked at, so that it does not wait
                    for unit, result in zip(units, results, strict=True):
                        yield unit, failed(unit, result.why) if isinstance(result, _Stumbled) else result
                elif not worker.process.is_alive() and not worker.pipe.poll():
                    # Its end of the pipe lives on in a process that was forked just as the pipe was made.
                    yield self._lost(index, again, failed, f"the reader crashed on it ({ending(worker.process)})")
                elif self._overdue(worker) and not worker.pipe.poll():
                    worker.process.kill()
                    worker.process.join()
                    yield self._lost(index, again, failed, "it took longer than the limit for one file, so it was left")

    @staticmethod
    def _assign(worker: _Worker, following: Callable[[], Job | None], again: list[Job]) -> None:
        """Give the worker what it can take: a batch where it has none, and one to follow where both are light."""
        while worker.wants and (job := following()) is not None:
            if worker.jobs and not job.light:
                again.append(job)
                return
            units = ForkingPickler.dumps(job.units)
            if worker.jobs and len(units) > _AHEAD_BYTES:
                job.light = False
                again.append(job)
                return
            if not worker.jobs:
                worker.progress[1] = time.monotonic_ns()
                worker.progress[0] = 0
            worker.jobs.append(job)
            with contextlib.suppress(BrokenPipeError, OSError):  # it died before it began: found when it is read from
                worker.pipe.send_bytes(units)

    @staticmethod
    def _overdue(worker: _Worker) -> bool:
        at, since, limits = worker.progress[0], worker.progress[1], worker.jobs[0].limits
        return 0 <= at < len(limits) and bool(time.monotonic_ns() - since > limits[at] * 1e9)

    def _lost(self, index: int, again: list[Job], failed: Callable[[Any, str], Any], why: str) -> tuple[Any, Any]:
        worker = self._workers[index]
        job = worker.jobs.popleft()
        again.extend(worker.jobs)
        at = min(max(0, worker.progress[0]), len(job.units) - 1)
        rest = Job(job.units[:at] + job.units[at + 1 :], job.limits[:at] + job.limits[at + 1 :], job.light)
        if rest.units:
            again.append(rest)
        worker.pipe.close()
        self._workers[index] = self._hire()
        return job.units[at], failed(job.units[at], why)

    def dismiss(self) -> None:
        """End every worker."""
        for worker in self._workers:
            try:
                if not worker.jobs:
                    worker.pipe.send(None)
                else:
                    worker.process.kill()
            except (BrokenPipeError, OSError):
                pass
        for worker in self._workers:
            worker.process.join(2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
