"""HTTP as uvicorn speaks it, with the limits that it lacks: on the time and the size of a request's head."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 10.0  # at most; the operator may ask for less
HEAD_BYTES: Final = 16 << 10
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


def guarded(seconds: float) -> type[Guarded]:
    """The protocol where a head may take at most so many seconds."""
    return type("GuardedFor", (Guarded,), {"head_seconds": min(seconds, HEAD_SECONDS)})
