"""The processes that decode pictures, as the event loop sees them: a picture goes in, and what it is comes out or why not.

A process that crashes on a picture, or takes longer than the limit, costs that picture only: another takes its place. So that what
a picture leaves in a process's memory does not outlive it for long, each is replaced after so many pictures, and when it had
nothing to do for a while. Nothing that such a process says is trusted further than numbers of a fixed size.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import time
import types
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from amparo.known.service.decoder import (
    ANSWER,
    DIGESTS,
    LONGEST,
    MOST_ANSWER,
    MOST_FRAMES,
    PRINT,
    PRINTS,
    SIZE,
    Looks,
    work,
)
from amparo.known.service.refused import Refused

PICTURES: Final = 1000  # after which a process is replaced
IDLE: Final = 20.0  # seconds without one after which it is replaced
MOST_WAITING: Final = 64  # pictures for each process
_START: Final = 30.0


class Examined(NamedTuple):
    """What a file is: its digests, ``looks`` of each picture in it, and ``problem``, a sentence, where none could be taken."""

    digests: dict[str, bytes]
    looks: tuple[Looks, ...]
    problem: str | None


class Lost(Exception):
    """A process was lost to a picture: ``why`` is ``crashed`` or ``too_slow``."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(eq=False)
class _Decoder:
    process: Any
    pipe: socket.socket
    done: int = 0
    used: float = field(default_factory=time.monotonic)

    async def examine(self, data: bytearray) -> Examined:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.pipe, SIZE.pack(len(data)))
        await loop.sock_sendall(self.pipe, data)
        digests = DIGESTS.unpack(await self._take(DIGESTS.size))
        kind, length = ANSWER.unpack(await self._take(ANSWER.size))
        if length > MOST_ANSWER:
            raise Lost("crashed")
        answer = await self._take(length)
        named = dict(zip(("md5", "sha1", "sha256"), digests, strict=True))
        if kind != PRINTS:
            said = answer.decode("utf-8", "replace")[:LONGEST]
            return Examined(named, (), said if said.isprintable() else None)
        if length % PRINT.size or length > MOST_FRAMES * PRINT.size:
            raise Lost("crashed")
        looks = tuple(
            Looks(min(quality, 100), tuple(forms[at : at + 32] for at in range(0, 256, 32)))
            for quality, forms in PRINT.iter_unpack(answer)
        )
        return Examined(named, looks, None)

    async def _take(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        taken = b""
        while len(taken) < size:
            piece = await loop.sock_recv(self.pipe, size - len(taken))
            if not piece:
                raise Lost("crashed")
            taken += piece
        return taken

    def is_alive(self) -> bool:
        return bool(self.process.is_alive())

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class Decoders:
    """So many processes. ``lost`` is told why, each time that one is lost to a picture."""

    def __init__(self, count: int, seconds: float, lost: Callable[[str], None]) -> None:
        self._count, self._seconds, self._lost = count, seconds, lost
        self._idle: asyncio.LifoQueue[_Decoder] = asyncio.LifoQueue()
        self._all: set[_Decoder] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        # Forked by a process that holds nothing: no index, no keys, no port, no thread.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["amparo.known.service.decoder"])

    async def start(self) -> None:
        """Start the processes, and the watch over those that have nothing to do."""
        sys.modules["__main__"] = types.ModuleType("__main__")  # or each would load the command once more
        for _ in range(self._count):
            await self._hire()
        self._do(self._watch())

    async def stop(self) -> None:
        """End them all."""
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for decoder in list(self._all):
            decoder.end()
        self._all.clear()

    async def examine(self, data: bytearray) -> Examined:
        """What a file is. Raises Refused where too many wait already, Lost where it brought its process down."""
        if self._waiting >= MOST_WAITING * self._count:
            raise Refused(503, "busy", "More pictures wait than can be looked at soon: send it again later.", 1)
        self._waiting += 1
        try:
            while not (
                decoder := await self._idle.get()
            ).is_alive():  # the system may have taken it, for want of memory
                self._do(self._replace(decoder))
        finally:
            self._waiting -= 1
        kept = False
        try:
            async with asyncio.timeout(self._seconds):
                found = await decoder.examine(data)
            kept = True
            return found
        except TimeoutError:
            self._lost("too_slow")
            raise Lost("too_slow") from None
        except (Lost, OSError):
            self._lost("crashed")
            raise Lost("crashed") from None
        finally:
            decoder.done += 1
            decoder.used = time.monotonic()
            if kept and decoder.done < PICTURES:
                self._idle.put_nowait(decoder)
            else:
                self._do(self._replace(decoder))

    def _do(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, decoder: _Decoder) -> None:
        self._all.discard(decoder)
        await asyncio.get_running_loop().run_in_executor(None, decoder.end)
        await self._hire()

    async def _hire(self) -> None:
        while True:
            try:
                decoder = await asyncio.get_running_loop().run_in_executor(None, self._started)
                break
            except (OSError, EOFError):  # no memory or no processes just now
                await asyncio.sleep(0.5)
        self._all.add(decoder)
        self._idle.put_nowait(decoder)

    def _started(self) -> _Decoder:
        ours, theirs = socket.socketpair()
        with theirs:
            process = self._context.Process(target=work, args=(theirs,), daemon=True)
            process.start()
        ours.setblocking(False)
        return _Decoder(process, ours)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(IDLE / 4)
            resting = [self._idle.get_nowait() for _ in range(self._idle.qsize())]
            for decoder in resting:
                if not decoder.is_alive() or (decoder.done and time.monotonic() - decoder.used > IDLE):
                    self._do(self._replace(decoder))
                else:
                    self._idle.put_nowait(decoder)
