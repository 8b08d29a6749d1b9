"""The processes that do the work: each may die or hang on hostile bytes and costs only the file that it was reading."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from ctypes import CDLL, c_int64
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from amparo.errors import AmparoError

# Forking starts a worker in a millisecond. Elsewhere than on Linux it is not safe with system libraries, so workers start afresh.
CONTEXT: BaseContext = mp.get_context("fork" if sys.platform == "linux" else "spawn")
MEMORY_LIMIT = 4 << 30
_IDLE = -1
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def confine(leader: int) -> None:
    """In a child: leave Ctrl-C and the terminal to the leader, end when it ends, and bound the memory that a file can ask for.

    ``leader`` is the process that started this one.
    """
    _end_with(leader)
    _keep_memory()
    gc.freeze()  # what the leader held when it forked is shared, and is not looked through again
    gc.set_threshold(50_000)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()  # a crash on hostile bytes is a finding, told by the leader in one sentence
    with contextlib.suppress(OSError):  # libraries in C say on standard error what they think of a damaged file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass


def _end_with(leader: int) -> None:
    """A leader that was killed can tell nobody, and a worker left behind would hold the medium and the package open."""
    if sys.platform == "linux":
        CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != leader:  # it ended before this process could say so
        os._exit(1)


def _keep_memory() -> None:
    """Ask the C library not to give every batch's memory back at once: the system would have to zero it for the next one."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # other C libraries than GNU's have no such call
            allocator = CDLL(None).mallopt
            allocator(_M_TRIM_THRESHOLD, 64 << 20)
            allocator(_M_MMAP_THRESHOLD, 32 << 20)


class ChildDied(Exception):
    """A child process ended without finishing: it crashed, stumbled, or was stopped for taking too long."""


def _stumble(error: Exception) -> str:
    """Where a reader's own mistake lies: its kind and the line, never its message, which hostile bytes may have written."""
    places = traceback.extract_tb(error.__traceback__)
    own = [place for place in places if "amparo" in Path(place.filename).parts and place.filename != __file__] or places
    return f"the reader failed on it ({type(error).__name__} in {Path(own[-1].filename).name}, line {own[-1].lineno})"


class _Stumbled(NamedTuple):
    """In place of a unit's result."""

    why: str


def _stream(pipe: Connection, leader: int, produce: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    confine(leader)
    try:
        for item in produce(*arguments):
            pipe.send(("item", item))
        pipe.send(("end", None))
    except AmparoError as error:
        pipe.send(("error", error))
    except OSError as error:
        pipe.send(("error", OSError(*error.args)))  # a library's own kind of error might not survive the way
    except Exception as error:  # whatever else a parser raises must reach the leader as a finding
        pipe.send(("stumbled", _stumble(error)))
    finally:
        pipe.close()


class Ended(Exception):
    """A stream gave everything."""


class Stream:
    """What ``produce(*arguments)`` yields, computed in a child, an item at a time.

    ``pipe`` becomes readable when something came; ``patience`` is how many seconds the child may be silent.
    """

    def __init__(self, produce: Callable[..., Iterable[Any]], *arguments: Any, patience: float = 600.0) -> None:
        self.pipe, theirs = CONTEXT.Pipe(duplex=False)
        self._child = CONTEXT.Process(  # type: ignore[attr-defined]
            target=_stream, args=(theirs, os.getpid(), produce, arguments), daemon=True
        )
        self._child.start()
        theirs.close()
        self._patience, self._heard = patience, time.monotonic()

    def came(self, wait_for: float = 0.0) -> bool:
        """Whether something can be taken, after at most ``wait_for`` seconds.

        Raises :class:`ChildDied` where the child crashed, or was silent for longer than is borne.
        """
        if self.pipe.poll(wait_for):
            return True
        # Its end of the pipe may live on in a process that was forked just as the pipe was made.
        if not self._child.is_alive():
            if self.pipe.poll():
                return True
            raise ChildDied(f"the reader crashed ({_ending(self._child)})")
        if time.monotonic() - self._heard > self._patience:
            raise ChildDied(f"nothing came for {self._patience:.0f} seconds")
        return False

    def take(self) -> Any:
        """The next item, once it came.

        Raises :class:`Ended` after the last; the AmparoError or OSError that the child raised; or :class:`ChildDied` where it
        crashed, or raised anything else.
        """
        try:
            kind, value = self.pipe.recv()
        except EOFError:
            self._child.join()
            raise ChildDied(f"the reader crashed ({_ending(self._child)})") from None
        self._heard = time.monotonic()
        if kind == "end":
            raise Ended
        if kind == "error":
            raise value
        if kind == "stumbled":
            raise ChildDied(value)
        return value

    def close(self) -> None:
        self.pipe.close()
        if self._child.is_alive():
            self._child.kill()
        self._child.join()


def isolated(
    produce: Callable[..., Iterable[Any]], *arguments: Any, patience: float = 600.0
) -> Generator[Any, None, None]:
    """What ``produce(*arguments)`` yields, computed in a child. Raises what :class:`Stream` raises, but for its end."""
    stream = Stream(produce, *arguments, patience=patience)
    try:
        while True:
            while not stream.came(min(patience, 5.0)):
                pass
            yield stream.take()
    except Ended:
        return
    finally:
        stream.close()


def _ending(child: BaseProcess) -> str:
    code = child.exitcode
    if code is None:
        return "no exit code"
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


@dataclass(slots=True)
class Job:
    """A batch for one worker: ``units`` are done in order; ``limits`` gives each its seconds."""

    units: list[Any]
    limits: list[float]


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    progress: Any  # shared: index of the unit in hand, and when it began in monotonic nanoseconds
    job: Job | None = None
    done: int = field(default=0)


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
                results.append(_Stumbled(_stumble(error)))
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


MOST_FOUND = 256
"""Jobs held at most while a feed lasts: the rest is asked for later, in its turn."""


class Crew:
    """A set of workers. ``prepare(*arguments)`` runs once in each and gives the function that does one unit.

    Where that function has a method ``settle``, it is given the results of a batch and gives them as they are sent.
    """

    def __init__(self, count: int, prepare: Callable[..., Callable[[Any], Any]], *arguments: Any) -> None:
        self._prepare, self._arguments = prepare, arguments
        self._workers = [self._hire() for _ in range(count)]

    def _hire(self) -> _Worker:
        ours, theirs = CONTEXT.Pipe()
        progress = CONTEXT.RawArray(c_int64, [_IDLE, 0])
        process = CONTEXT.Process(  # type: ignore[attr-defined]
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
        again: list[Job] = []  # what a lost worker left of its batch

        def queue() -> Iterator[Job]:
            while True:
                job = again.pop() if again else found.popleft() if found else next(given, None)
                if job is None:
                    return
                yield job

        while True:
            for worker in self._workers:
                if worker.job is None:
                    self._assign(worker, queue())
            busy = [worker for worker in self._workers if worker.job is not None]
            pipes = [worker.pipe for worker in busy]
            if feed is not None and feed.pipe is not None:
                pipes.append(feed.pipe)
            if not pipes:
                return
            ready = wait(pipes, timeout=1.0)
            if feed is not None and feed.pipe is not None:
                found.extend(feed.absorb(len(found) < MOST_FOUND))
            for index, worker in enumerate(self._workers):
                if worker.job is None:
                    continue
                if worker.pipe in ready:
                    try:
                        results = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join(5)
                        yield self._lost(index, again, failed, f"the reader crashed on it ({_ending(worker.process)})")
                        continue
                    units = worker.job.units
                    self._assign(worker, queue())  # before its results are looked at, so that it does not wait
                    for unit, result in zip(units, results, strict=True):
                        yield unit, failed(unit, result.why) if isinstance(result, _Stumbled) else result
                elif not worker.process.is_alive() and not worker.pipe.poll():
                    # Its end of the pipe lives on in a process that was forked just as the pipe was made.
                    yield self._lost(index, again, failed, f"the reader crashed on it ({_ending(worker.process)})")
                elif self._overdue(worker):
                    worker.process.kill()
                    worker.process.join()
                    yield self._lost(index, again, failed, "it took longer than the limit for one file, so it was left")

    @staticmethod
    def _assign(worker: _Worker, queue: Iterator[Job]) -> None:
        worker.job = next(queue, None)
        if worker.job is not None:
            worker.progress[1] = time.monotonic_ns()
            worker.progress[0] = 0
            with contextlib.suppress(BrokenPipeError, OSError):  # it died before it began: found when it is read from
                worker.pipe.send(worker.job.units)

    @staticmethod
    def _overdue(worker: _Worker) -> bool:
        at, since = worker.progress[0], worker.progress[1]
        if worker.job is None or not 0 <= at < len(worker.job.limits):
            return False
        return bool(time.monotonic_ns() - since > worker.job.limits[at] * 1e9)

    def _lost(self, index: int, again: list[Job], failed: Callable[[Any, str], Any], why: str) -> tuple[Any, Any]:
        worker = self._workers[index]
        job = worker.job
        assert job is not None
        at = min(max(0, worker.progress[0]), len(job.units) - 1)
        rest = Job(job.units[:at] + job.units[at + 1 :], job.limits[:at] + job.limits[at + 1 :])
        if rest.units:
            again.append(rest)
        worker.pipe.close()
        self._workers[index] = self._hire()
        return job.units[at], failed(job.units[at], why)

    def dismiss(self) -> None:
        """End every worker."""
        for worker in self._workers:
            try:
                if worker.job is None:
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
