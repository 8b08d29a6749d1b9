"""Several pictures in one request: ``multipart/form-data``, taken apart in memory as it comes.

Starlette's own reader puts what is large into temporary files; nothing of a picture may ever be written, so each part goes into a
buffer that is overwritten once it was used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from amparo.known.service.asking import too_many
from amparo.known.service.memory import wipe
from amparo.known.service.refused import Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_HEADERS: Final = 4096  # bytes of one part's head


async def parts(pieces: AsyncIterator[bytes], content_type: bytes, most: int, most_bytes: int) -> list[bytearray]:
    """The contents of the parts, in their order, at most ``most`` of at most ``most_bytes`` each. Raises Refused; then nothing is left."""
    taking = _Taking(_boundary(content_type), most, most_bytes)
    try:
        async for piece in pieces:
            taking.take(piece)
        return taking.all()
    except BaseException:
        taking.wipe()
        raise


class _Taking:
    def __init__(self, boundary: bytes, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes, self._head = most, most_bytes, 0
        self._parts: list[bytearray] = []
        self._ended = False
        self._refused: Refused | None = None
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin, "on_part_data": self._data, "on_end": self._end,
            "on_header_field": self._of_head, "on_header_value": self._of_head,
        }  # fmt: skip
        self._parser = MultipartParser(boundary, callbacks)

    def take(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise _not_multipart() from None
        if self._refused is not None:
            raise self._refused

    def all(self) -> list[bytearray]:
        if not self._ended or not self._parts:
            raise _not_multipart()
        return self._parts

    def wipe(self) -> None:
        for part in self._parts:
            wipe(part)

    def _begin(self) -> None:
        self._head = 0
        if len(self._parts) >= self._most:
            self._refuse(too_many(self._most))
            return
        self._parts.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._refused is None:
            part = self._parts[-1]
            if len(part) + end - start > self._most_bytes:
                self._refuse(
                    Refused(
                        413,
                        "too_large",
                        f"A picture may have {self._most_bytes:,} bytes: send its fingerprint instead.",
                    )
                )
                return
            part += memoryview(data)[start:end]

    def _of_head(self, data: bytes, start: int, end: int) -> None:
        self._head += end - start
        if self._head > MOST_HEADERS:
            self._refuse(_not_multipart())

    def _end(self) -> None:
        self._ended = True

    def _refuse(self, why: Refused) -> None:
        self._refused = self._refused or why


def _boundary(content_type: bytes) -> bytes:
    message = Message()
    message["content-type"] = content_type.decode("latin-1")
    boundary = message.get_param("boundary")
    if (
        message.get_content_type() != "multipart/form-data"
        or not isinstance(boundary, str)
        or not 0 < len(boundary) <= 200
    ):
        raise Refused(415, "not_multipart", "Send the pictures as multipart/form-data, each in a part of its own.")
    return boundary.encode("latin-1", "replace")


def _not_multipart() -> Refused:
    return Refused(
        422, "not_multipart", "The parts of the request cannot be told apart, or it is cut off: send it again."
    )
