"""Partition tables written byte by byte, so that they can be wrong in every way."""

from __future__ import annotations

import struct
import uuid
import zlib


def entry(kind: int, first: int, count: int, status: int = 0) -> bytes:
    return struct.pack("<B3sB3sII", status, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, count)


def mbr(*entries: bytes) -> bytes:
    return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def gpt_header(here: int, there: int, table: int, entries: bytes, sector: int, total: int) -> bytes:
    fields = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, there, 34, total - 34, uuid.UUID(int=1).bytes_le, table,
        len(entries) // 128, 128, zlib.crc32(entries),
    )  # fmt: skip
    return (fields[:16] + struct.pack("<I", zlib.crc32(fields)) + fields[20:]).ljust(sector, b"\0")


def gpt(disk: bytearray, parts: list[tuple[int, int, str]], sector: int = 512, protective: bool = True) -> None:
    """Write both copies. ``parts`` gives first and last sector, and the name."""
    total = len(disk) // sector
    entries = b"".join(
        uuid.UUID(int=7).bytes_le
        + uuid.UUID(int=number + 9).bytes_le
        + struct.pack("<QQQ", first, last, 0)
        + name.encode("utf-16-le").ljust(72, b"\0")
        for number, (first, last, name) in enumerate(parts)
    ).ljust(128 * 128, b"\0")
    if protective:
        disk[:512] = mbr(entry(0xEE, 1, total - 1))
    blocks = len(entries) // sector
    disk[sector : 2 * sector] = gpt_header(1, total - 1, 2, entries, sector, total)
    disk[2 * sector : 2 * sector + len(entries)] = entries
    last = total - 1 - blocks
    disk[last * sector : last * sector + len(entries)] = entries
    disk[-sector:] = gpt_header(total - 1, 1, last, entries, sector, total)
