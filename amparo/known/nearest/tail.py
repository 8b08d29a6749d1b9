"""The tail of a living index: what was added and removed since its base was built, in a file that is only added to.

A batch is a header of 32 bytes and what it brings: fingerprints, or the numbers of rows that are gone. Both have a CRC. A
batch is written in one piece and the next one only after it, so a batch that is not whole is the last one and was never
confirmed: readers pass over it, and the next writer cuts it off. A batch that is not whole and is not the last was damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from amparo.known.table import Damaged

ADDED: Final = 1
REMOVED: Final = 2
SIZES: Final = {ADDED: 32, REMOVED: 8}
MOST: Final = 1 << 20  # rows in one batch

_MAGIC = b"ALT1"
_HEADER = struct.Struct("<4sIIIQII")  # magic, kind, count, CRC of what follows, first row, nothing, CRC of the header


class Batch(NamedTuple):
    """``kind`` is ADDED (``first`` numbers its first row) or REMOVED; ``end`` is where the next batch begins."""

    kind: int
    rows: int
    first: int
    content: bytes
    end: int


def batch(kind: int, count: int, first: int, content: bytes) -> bytes:
    """The bytes of one batch."""
    head = _HEADER.pack(_MAGIC, kind, count, zlib.crc32(content), first, 0, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head)) + content


def batches(path: Path, at: int) -> Iterator[Batch]:
    """The whole batches from the offset ``at`` on. Raises Damaged, and OSError as reading does."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(at)
        while (found := _batch(stream, at, size, path.name)) is not None:
            yield found
            at = found.end


def _batch(stream: BinaryIO, at: int, size: int, name: str) -> Batch | None:
    head = stream.read(_HEADER.size) if at + _HEADER.size <= size else b""
    if len(head) < _HEADER.size:
        return None
    magic, kind, count, check, first, _, own = _HEADER.unpack(head)
    if magic != _MAGIC or zlib.crc32(head[:-4]) != own or kind not in SIZES or not 0 < count <= MOST:
        if _another(stream, at + 1, size):
            raise Damaged(f"{name} was changed since it was written")
        return None
    end = at + _HEADER.size + count * SIZES[kind]
    content = stream.read(count * SIZES[kind]) if end <= size else b""
    if len(content) < count * SIZES[kind]:
        return None
    if zlib.crc32(content) != check:
        if end < size:
            raise Damaged(f"{name} was changed since it was written")
        return None
    return Batch(kind, count, first, content, end)


def _another(stream: BinaryIO, at: int, size: int) -> bool:
    """Whether a batch begins anywhere behind this place."""
    stream.seek(at)
    rest = stream.read(size - at)
    place = rest.find(_MAGIC)
    while 0 <= place <= len(rest) - _HEADER.size:
        head = rest[place : place + _HEADER.size]
        if zlib.crc32(head[:-4]) == int.from_bytes(head[-4:], "little"):
            return True
        place = rest.find(_MAGIC, place + 1)
    return False
