"""A disk with a GUID partition table, written sparse: the table, its copy at the end, and what lies in the partitions.

After the UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

import random
import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

SECTOR: Final = 512
_ENTRIES, _ENTRY = 128, 128
_TABLE_SECTORS: Final = _ENTRIES * _ENTRY // SECTOR
_BASIC_DATA: Final = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
_HOLE: Final = 1 << 16


class Partition(NamedTuple):
    """``offset`` in bytes of the disk."""

    offset: int
    content: bytes | bytearray
    label: str


def write_disk(path: Path, size: int, partitions: Sequence[Partition], between: Mapping[int, bytes], seed: int) -> None:
    """Write the disk. ``between`` are contents outside every partition, by their offset; zeros take no room on most
    file systems."""
    chance = random.Random(seed)  # noqa: S311  the same disk each time
    disk = _guid(chance)
    table = b"".join(
        struct.pack(
            "<16s16sQQQ72s", _BASIC_DATA.bytes_le, _guid(chance), part.offset // SECTOR,
            (part.offset + len(part.content)) // SECTOR - 1, 0, part.label.encode("utf-16-le"),
        )
        for part in partitions
    ).ljust(_ENTRIES * _ENTRY, b"\0")  # fmt: skip
    last = size // SECTOR - 1
    with path.open("wb") as file:
        file.truncate(size)
        for at, content in (
            (0, _protective(last)),
            (1, _header(1, last, 2, disk, table)),
            (2, table),
            (last - _TABLE_SECTORS, table),
            (last, _header(last, 1, last - _TABLE_SECTORS, disk, table)),
        ):
            file.seek(at * SECTOR)
            file.write(content)
        for offset, whole in [(part.offset, part.content) for part in partitions] + list(between.items()):
            for at in range(0, len(whole), _HOLE):
                piece = whole[at : at + _HOLE]
                if piece.count(0) < len(piece):
                    file.seek(offset + at)
                    file.write(piece)


def _guid(chance: random.Random) -> bytes:
    return uuid.UUID(bytes=chance.randbytes(16), version=4).bytes_le


def _protective(last: int) -> bytes:
    """The old table that tells old tools to leave the disk alone."""
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, last)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _header(here: int, other: int, table_at: int, disk: bytes, table: bytes) -> bytes:
    last = max(here, other)
    rest = struct.pack(
        "<QQQQ16sQIII", here, other, 2 + _TABLE_SECTORS, last - _TABLE_SECTORS - 1, disk, table_at, _ENTRIES, _ENTRY,
        zlib.crc32(table),
    )  # fmt: skip
    opening = struct.pack("<8sII", b"EFI PART", 0x00010000, 92)
    check = zlib.crc32(opening + bytes(8) + rest)
    return (opening + struct.pack("<II", check, 0) + rest).ljust(SECTOR, b"\0")
