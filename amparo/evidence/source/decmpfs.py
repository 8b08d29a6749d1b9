"""Files that Mac OS 10.6 and later store compressed on HFS+: in an extended attribute, or in the resource fork.

Of the kinds in use, those of zlib and those not compressed at all are read here. Source: the header ``sys/decmpfs.h`` that Apple
publishes with XNU, and the layout of the resource fork in Apple's "Inside Macintosh: More Macintosh Toolbox" (1993).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from amparo.errors import ReadFailed

ATTRIBUTE = "com.apple.decmpfs"
_BLOCK = 65536
_HEADER = struct.Struct("<4sIQ")
_HERE = (1, 3, 9)  # plain, zlib, plain after one byte
_IN_FORK = (4, 10)  # zlib, plain
LZVN = (7, 8)

ReadFork = Callable[[int, int], bytes]


class Packed(NamedTuple):
    """How a file is stored: the kind of compression, the size of the file, and what the attribute holds of it."""

    kind: int
    size: int
    held: bytes

    @property
    def known(self) -> bool:
        return self.kind in (*_HERE, *_IN_FORK)


def parse(attribute: bytes) -> Packed | None:
    """What the attribute says, or None where it is not one of these."""
    if len(attribute) < _HEADER.size:
        return None
    magic, kind, size = _HEADER.unpack_from(attribute)
    return Packed(kind, size, attribute[_HEADER.size :]) if magic == b"fpmc" else None


def content(packed: Packed, read_fork: ReadFork) -> Iterator[bytes]:
    """The content, piece by piece. ``read_fork`` gives a range of the resource fork. Raises :class:`ReadFailed`."""
    if packed.kind in _HERE:
        yield (
            _inflated(packed.held, packed.size) if packed.kind == 3 else packed.held[packed.kind == 9 :][: packed.size]
        )
        return
    try:
        (data,) = struct.unpack(">I", read_fork(0, 4))
        (count,) = struct.unpack("<I", read_fork(data + 4, 4))
    except struct.error as error:
        raise ReadFailed("Its content is damaged.") from error
    if count != -(-packed.size // _BLOCK):
        raise ReadFailed("Its content is damaged.")
    for index in range(count):
        try:
            start, length = struct.unpack("<II", read_fork(data + 8 + 8 * index, 8))
        except struct.error as error:
            raise ReadFailed("Its content is damaged.") from error
        if length > _BLOCK + 1024:
            raise ReadFailed("Its content is damaged.")
        yield _inflated(read_fork(data + 4 + start, length), min(_BLOCK, packed.size - index * _BLOCK))


def _inflated(raw: bytes, size: int) -> bytes:
    if raw[:1] and raw[0] & 0x0F == 0x0F:  # did not get smaller, so it was left as it was
        return raw[1 : 1 + size]
    try:
        return zlib.decompressobj().decompress(raw, size) if size else b""
    except zlib.error as error:
        raise ReadFailed("Its content is damaged.") from error
