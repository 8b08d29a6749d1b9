"""The one shape that images, partitions and decrypted volumes share: bytes at an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

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

    def missing_until(self, offset: int) -> int:
        return min(self.size, missing_until(self.whole, self.offset + offset) - self.offset)

    def close(self) -> None:
        """Leave the whole open: others may be reading it."""


def missing_until(device: Device, offset: int) -> int:
    """Where something may be readable again, as far as the device knows that nothing is from ``offset`` on; else ``offset``.

    An image knows which of its parts are missing. To ask for each of their sectors would take days.
    """
    known: Callable[[int], int] | None = getattr(device, "missing_until", None)
    return offset if known is None else known(offset)


def stored(file: Device, place: int, length: int, offset: int) -> bytes:
    """What an image file keeps at ``place`` for the disk's ``offset``. Raises :class:`ReadFailed` where the file was cut before it."""
    data = file.read(place, length)
    if len(data) < length:
        raise ReadFailed(f"What belongs at {offset} lies past the end of the image file: it was cut.")
    return data


class DeviceFile:
    """A device as a file object, for libraries that want one."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._device.size - self._at)
        try:
            data = self._device.read(self._at, left if size < 0 else min(size, left))
        except ReadFailed as error:
            raise OSError(str(error)) from error
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, (0, self._at, self._device.size)[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def get_offset(self) -> int:
        return self._at

    def get_size(self) -> int:
        return self._device.size


class LibraryDevice:
    """A device that a libyal object gives: anything with ``read_buffer_at_offset``. ``owners`` are kept alive with it."""

    def __init__(self, inner: Any, size: int, *owners: object) -> None:
        self._inner, self.size, self._owners = inner, size, owners

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        pieces = []
        while length:
            try:
                piece = self._inner.read_buffer_at_offset(min(length, 1 << 24), offset)
            except OSError as error:
                raise ReadFailed(f"The range of {length} bytes at {offset} cannot be read.") from error
            if not piece:
                raise ReadFailed(f"The range of {length} bytes at {offset} cannot be read.")
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """The library's objects close with their last reference."""
