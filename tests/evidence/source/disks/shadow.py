"""NTFS volumes with a volume shadow copy, written from nothing after libvshadow's "Volume Shadow Snapshot (VSS) format".

The shadow copy keeps the blocks of 16 KiB in which the volume of then differs from the volume of now. Catalog and store lie in a
file below System Volume Information, as they do on Windows.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime

from amparo.demo.content import Placed
from amparo.demo.ntfs import NtfsVolume
from tests.evidence.source.disks import noise

BLOCK, HEADER = 16384, 0x1E00
IDENTIFIER = bytes.fromhex("6b87083876c1484eb7ae04046e6cc752")
STORE = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
PLACE = "System Volume Information/{3808876b-c176-4e48-b7ae-04046e6cc752}"
TAKEN = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
DAY = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
_VOLUME, _CATALOG, _LIST, _STORE, _RANGES, _BITMAP = range(1, 7)
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def volume(files: Mapping[str, bytes], size: int = 2 << 20) -> bytes:
    """An NTFS volume with room for a store at the same place whatever else it holds."""
    made = NtfsVolume(size, "SHADOWED", DAY, 0, 7)
    room = noise("room", size // 4)
    placed = [Placed(PLACE, room, DAY, DAY), *(Placed(path, content, DAY, DAY) for path, content in files.items())]
    made.lay(placed)
    return bytes(made.image)


def make(now: bytes, *then: bytes) -> bytes:
    """The volume ``now`` with a shadow copy of each state in ``then``, the oldest first. All from :func:`volume`."""
    image = bytearray(now)
    room = now.index(noise("room", len(now) // 4))
    assert all(old.index(noise("room", len(now) // 4)) == room for old in then)
    for start in range(room, room + len(now) // 4, BLOCK):
        image[start : start + BLOCK] = bytes(min(BLOCK, room + len(now) // 4 - start))
    catalog = -(-room // BLOCK) * BLOCK
    at, entries = catalog + BLOCK, b""
    for number, (old, after) in enumerate(zip(then, [*then[1:], now], strict=True)):
        store = at
        header, listed, ranges, bitmap = (store + BLOCK * index for index in range(4))
        at += 4 * BLOCK
        descriptors = b""
        for block in range(0, len(now), BLOCK):
            if old[block : block + BLOCK] != after[block : block + BLOCK]:
                descriptors += struct.pack("<QQQII", block, at - store, at, 0, 0)
                image[at : at + BLOCK] = old[block : block + BLOCK]
                at += BLOCK
        assert len(descriptors) <= BLOCK - 128 and at <= room + len(now) // 4 - BLOCK, "more room is needed"
        told = noise(f"information {number}", 48) + struct.pack("<IIII", 0xD, 1, 0x42000D, 0)
        for name in ("PC", "PC"):
            told += struct.pack("<H", 2 * len(name)) + name.encode("utf-16-le")
        ours = range(catalog // BLOCK, -(-(room + len(now) // 4) // BLOCK))
        bits = bytearray(-(-len(now) // BLOCK // 8))
        for index in ours:  # what the store itself takes was not in use when it was begun
            bits[index // 8] |= 1 << index % 8
        for kind, place, body in (
            (_STORE, header, told), (_LIST, listed, descriptors), (_BITMAP, bitmap, bytes(bits)),
            (_RANGES, ranges, struct.pack("<QQQ", store, 0, at - store)),
        ):  # fmt: skip
            size = len(told) if kind == _STORE else 0
            image[place : place + BLOCK] = _block(kind, place - store, place, body, size)
        when = int((TAKEN - _EPOCH).total_seconds() + 86400 * number) * 10**7
        identifier = bytes([number]) + STORE[1:]
        entries += struct.pack("<QQ16sQQQ", 2, len(now), identifier, number + 1, 0x40, when).ljust(128, b"\0")
        entries += struct.pack(
            "<QQ16sQQQQQQ", 3, listed, identifier, header, ranges, bitmap, 1 << 48 | 40, at - store, 0
        ).ljust(128, b"\0")
    image[catalog : catalog + BLOCK] = _block(_CATALOG, 0, catalog, entries)
    head = struct.pack("<16sIIQQQQQ", IDENTIFIER, 1, _VOLUME, HEADER, HEADER, 0, catalog, len(now) // 4)
    image[HEADER : HEADER + 512] = (head + noise("volume", 32)).ljust(512, b"\0")
    return bytes(image)


def _block(kind: int, relative: int, place: int, body: bytes, size: int = 0) -> bytes:
    head = struct.pack("<16sIIQQQQ", IDENTIFIER, 1, kind, relative, place, 0, size).ljust(128, b"\0")
    return (head + body).ljust(BLOCK, b"\0")
