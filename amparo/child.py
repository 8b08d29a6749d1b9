"""Processes started for bytes that may be hostile: confined, and gone when whoever started them is."""

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
from collections.abc import Callable, Generator, Iterable
from ctypes import CDLL
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from amparo.errors import AmparoError

# Forking starts a worker in a millisecond. Elsewhere than on Linux it is not safe with system libraries, so workers start afresh.
CONTEXT: BaseContext = mp.get_context("fork" if sys.platform == "linux" else "spawn")
MEMORY_LIMIT = 4 << 30
_NOT_READERS = ("child.py", "crew.py")  # who calls a reader is not the one that failed
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def start_children(context: BaseContext) -> BaseContext:
    """How children are started from now on; gives how they were until now. A process that has threads, or has mapped more memory
    than a child may ask for, must start them afresh and not fork."""
    global CONTEXT
    before, CONTEXT = CONTEXT, context
    return before


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


def stumble(error: Exception) -> str:
    """Where a reader's own mistake lies: its kind and the line, never its message, which hostile bytes may have written."""
    places = traceback.extract_tb(error.__traceback__)
    files = [(Path(place.filename), place.lineno) for place in places]
    own = [(file, line) for file, line in files if "amparo" in file.parts and file.name not in _NOT_READERS] or files
    return f"the reader failed on it ({type(error).__name__} in {own[-1][0].name}, line {own[-1][1]})"


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
        pipe.send(("stumbled", stumble(error)))
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
            raise ChildDied(f"the reader crashed ({ending(self._child)})")
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
            raise ChildDied(f"the reader crashed ({ending(self._child)})") from None
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


def ending(child: BaseProcess) -> str:
    code = child.exitcode
    if code is None:
        return "no exit code"
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
