"""The one shape that images, partitions and decrypted volumes share: bytes at an address."""

from __future__ import annotations

from typing import Protocol

from amparo.errors import ReadFailed

SECTOR = 512


class Device(Protocol):
    """A read-only run of bytes of known length.

    ``read(offset, length)`` gives exactly the bytes of that range (shorter only where the range passes ``size``), and
    raises :class:`ReadFailed` where the medium cannot give them. A device is used by one thread at a time; processes
    open their own.
    """

    size: int

    def read(self, offset: int, length: int) -> bytes: ...

    def close(self) -> None: ...


class Window:
    """A part of another device, such as a partition. ``offset`` and ``size`` in bytes; reads past the end are cut."""

    def __init__(self, whole: Device, offset: int, size: int) -> None:
        self.whole, self.offset = whole, offset
        self.size = max(0, min(size, whole.size - offset))

    def read(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise ReadFailed(f"A read at {offset} of {length} bytes lies outside the volume.")
        return self.whole.read(self.offset + offset, max(0, min(length, self.size - offset)))

    def close(self) -> None:
        """Leave the whole open: others may be reading it."""
