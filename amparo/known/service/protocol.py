"""HTTP as uvicorn speaks it, with what it lacks: limits on the time and the size of a request's head, and no buffer that keeps
what was read.

The loop of uvicorn reads into memory of its own, where the last of what was sent would stay. Here it reads into a buffer of ours,
which is overwritten as soon as what is in it was handed on.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 10.0  # at most; the operator may ask for less
HEAD_BYTES: Final = 16 << 10
_ROOM: Final = 1 << 17
_TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Guarded(HttpToolsProtocol):
    """A connection that is closed where the head of a request does not come in time, or is too long."""

    head_seconds = HEAD_SECONDS
    _due: asyncio.TimerHandle | None = None
    _head: int = 0
    _in_head: bool = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
            if self._due is None:
                self._wait()  # a further request on this connection has begun
        super().data_received(data)
        if self._in_head and self._head > HEAD_BYTES and not self.transport.is_closing():
            self._close(_TOO_LONG)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._close(_TOO_LONG)
            raise ValueError  # the parser stops here
        self._in_head, self._head = False, 0
        self._unset()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _wait(self) -> None:
        self._due = self.loop.call_later(self.head_seconds, self._close)

    def _unset(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _close(self, last: bytes = b"") -> None:
        self._unset()
        if not self.transport.is_closing():
            if last:
                self.transport.write(last)
            self.transport.close()


class Reading(asyncio.BufferedProtocol):
    """Hands what is read to a :class:`Guarded`, by way of a buffer that is overwritten.

    All connections of a process share the buffer: the loop fills it and calls :meth:`buffer_updated` in one step.
    """

    _room = bytearray(_ROOM)
    _zeros = bytes(_ROOM)
    _head_seconds = HEAD_SECONDS

    def __init__(self, **given: Any) -> None:
        self._http = Guarded(**given)
        self._http.head_seconds = self._head_seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads."""
        return memoryview(self._room)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        data = bytes(memoryview(self._room)[:nbytes])
        self._room[:nbytes] = self._zeros[:nbytes]
        self._http.data_received(data)

    def eof_received(self) -> bool | None:
        self._http.eof_received()
        return None

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()


def guarded(seconds: float) -> Any:  # uvicorn would have it a Protocol, and only creates it
    """The protocol, where a head may take at most so many seconds."""
    return type("ReadingFor", (Reading,), {"_head_seconds": min(seconds, HEAD_SECONDS)})
