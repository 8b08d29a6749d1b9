"""What a store gives: a thing to examine, where its bytes lie, and what the store itself could not read."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from amparo.errors import ReadFailed


class Place(Protocol):
    """Where the bytes of one thing lie. It is sent to a worker, which opens it there."""

    def open(self) -> BinaryIO:
        """The bytes as a stream. Raises ReadFailed or OSError where they cannot be had, UsedWrongly where nothing of the store
        can."""

    def discard(self) -> None:
        """Called once, in the leader, when the thing is done with."""


class Thing(NamedTuple):
    """One object of a store. ``name`` is its path, with surrogates where its bytes are not UTF-8; ``size`` is in bytes, as the
    store says; ``nth`` tells apart what has the same name; ``flaw`` is a sentence where a part of it is missing."""

    name: str
    size: int
    place: Place
    nth: int = 0
    flaw: str | None = None

    @property
    def key(self) -> bytes:
        """16 bytes by which the journal knows it."""
        return key_of(self.nth, self.name)


class Trouble(NamedTuple):
    """A part of a store that cannot be read, and the sentence that says why."""

    name: str
    sentence: str

    @property
    def key(self) -> bytes:
        """16 bytes by which the journal knows it."""
        return key_of(self.sentence, self.name)


def key_of(mark: object, name: str) -> bytes:
    return hashlib.blake2b(f"{mark}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Store(Protocol):
    """Something that holds things. ``whole`` names it unmistakably on this machine, for the journal."""

    @property
    def whole(self) -> str: ...

    def things(self) -> Iterator[Thing | Trouble]:
        """What it holds, one after another, never all at once. Raises SourceUnreadable where it cannot be listed at all."""


class File(NamedTuple):
    """A file, or ``size`` bytes of it from ``offset`` on."""

    path: str
    offset: int = 0
    size: int | None = None

    def open(self) -> BinaryIO:
        """The file, which must not have become a link, a pipe or a device meanwhile."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ReadFailed("It is no longer an ordinary file.")
        stream = os.fdopen(descriptor, "rb")
        if self.size is None:
            return stream
        return io.BufferedReader(_Part(stream, self.offset, self.size), 1 << 16)

    def discard(self) -> None:
        """Nothing."""


class Held(NamedTuple):
    """Bytes that are sent along."""

    data: bytes

    def open(self) -> BinaryIO:
        """The bytes."""
        return io.BytesIO(self.data)

    def discard(self) -> None:
        """Nothing."""


class Spooled(NamedTuple):
    """A file of our own, deleted once it was examined."""

    path: str

    def open(self) -> BinaryIO:
        """The file."""
        return Path(self.path).open("rb")

    def discard(self) -> None:
        """Delete it."""
        Path(self.path).unlink(missing_ok=True)


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file. Closing it closes the whole."""

    def __init__(self, whole: BinaryIO, offset: int, size: int) -> None:
        self._whole, self._offset, self._size, self._at = whole, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(0, self._size - self._at))
        self._whole.seek(self._offset + self._at)
        data = self._whole.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._whole.close()
        super().close()
