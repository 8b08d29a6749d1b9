"""The blocks of an APFS container that mkapfs made, their checksums, and the nodes of its trees."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.evidence.source.disks.apfs_keys import BLOCK, encrypted

ROOT_NODE, LEAF, FIXED = 1, 2, 4  # flags of nodes
_HEAD, _FOOT = 56, 40  # bytes, of a node and of what describes the tree at the end of its root
_FIRST_BLOCK = 21_100  # behind all that mkapfs writes
_SPACEMAN = 5 | 1 << 31

Record = tuple[bytes, bytes]


class Container:
    """The blocks of an image: changed ones are written, with their checksums, when it is left."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("r+b")
        self.changed: dict[int, bytearray] = {}
        self.keys: dict[int, bytes] = {}  # what the block of this number is encrypted with
        self.next = _FIRST_BLOCK
        self.main = self.block(0)
        first, index, length = *struct.unpack_from("<Q", self.main, 112), *struct.unpack_from("<II", self.main, 136)
        checkpoint = self.block(first + index)
        self.copy = self.block(first + index + length - 1)  # of the superblock, which counts
        mappings = struct.iter_unpack("<IIIIQQQ", checkpoint[40 : 40 + 4 * 40])
        self.spaceman = self.block(next(place for kind, *_, place in mappings if kind == _SPACEMAN))
        self.chunks = self.block(number(self.spaceman, number(self.spaceman, 80) & 0xFFFFFFFF))
        self.map = number(self.chunks, 64)
        self.free = bytearray(self._read(self.map))

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        for place, data in self.changed.items():
            block = with_checksum(data)
            self.write(place, encrypted(block, place, self.keys[place]) if place in self.keys else block)
        self.write(self.map, bytes(self.free))
        self.file.close()

    def _read(self, place: int) -> bytes:
        self.file.seek(place * BLOCK)
        return self.file.read(BLOCK)

    def block(self, place: int) -> bytearray:
        """A block that may be changed in place."""
        if place not in self.changed:
            self.changed[place] = bytearray(self._read(place))
        return self.changed[place]

    def object(self, place: int) -> int:
        """Where the first object of the object map at ``place`` lies."""
        return int.from_bytes(records(self.block(number(self.block(place), 48)))[0][1][8:], "little")

    def write(self, place: int, data: bytes) -> None:
        self.file.seek(place * BLOCK)
        self.file.write(data)

    def take(self, count: int) -> int:
        """This many free blocks in a row, and a free one behind them; the first one's number."""
        place = self.next
        self.next += count + 1
        for taken in range(place, place + count):
            self.free[taken // 8] |= 1 << taken % 8
        add(self.chunks, 60, -count, "<I")
        add(self.spaceman, 72, -count)
        return place

    def identifier(self) -> int:
        """The next one that is free for an object."""
        add(self.main, 88, 1)
        add(self.copy, 88, 1)
        return number(self.main, 88) - 1


def with_checksum(block: bytes | bytearray) -> bytes:
    """Fletcher's checksum over words of 32 bits, such that it comes to nothing over the whole block."""
    low = high = 0
    for word in struct.unpack_from(f"<{len(block) // 4 - 2}I", block, 8):
        low = (low + word) % 0xFFFFFFFF
        high = (high + low) % 0xFFFFFFFF
    first = 0xFFFFFFFF - (low + high) % 0xFFFFFFFF
    second = 0xFFFFFFFF - (low + first) % 0xFFFFFFFF
    return struct.pack("<II", first, second) + bytes(block[8:])


def number(data: bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def add(data: bytearray, at: int, change: int, form: str = "<Q") -> None:
    struct.pack_into(form, data, at, struct.unpack_from(form, data, at)[0] + change)


# Nodes -----------------------------------------------------------------------------------------------------------------


def shared_out(told: list[Record]) -> list[list[Record]]:
    """Records over as many leaves as they take."""
    leaves: list[list[Record]] = []
    room = 0
    for key, value in told:
        needed = 8 + len(key) + len(value)
        if room < needed:
            leaves.append([])
            room = BLOCK - _HEAD - _FOOT - 56  # what rounding up the table of places may take
        leaves[-1].append((key, value))
        room -= needed
    return leaves


def fill(node: bytearray, flags: int, level: int, told: list[Record], about: tuple[int, ...] = ()) -> None:
    """Write a node's records; ``about`` is what a root says of its tree."""
    places, keys, values = b"", b"", b""
    for key, value in told:
        values = value + values
        if flags & FIXED:
            places += struct.pack("<HH", len(keys), len(values))
        else:
            places += struct.pack("<HHHH", len(keys), len(key), len(values), len(value))
        keys += key
    places = places.ljust(448 if flags & FIXED else -(-len(places) // 64) * 64, b"\0")
    free = BLOCK - _HEAD - len(places) - len(keys) - len(values) - (_FOOT if about else 0)
    assert free >= 0, "more nodes are needed"
    head = struct.pack("<HHI4H", flags, level, len(told), 0, len(places), len(keys), free)
    body = head + struct.pack("<4H", 0xFFFF, 0, 0xFFFF, 0) + places + keys + bytes(free) + values
    node[32:] = body + (struct.pack("<6IQQ", *about) if about else b"")


def records(node: bytearray) -> list[Record]:
    """The records of a node of fixed sizes: 16 bytes each of key and value."""
    count, start, length = struct.unpack_from("<I2H", node, 36)
    first, end = _HEAD + start + length, BLOCK - _FOOT
    places = [struct.unpack_from("<HH", node, _HEAD + start + 4 * index) for index in range(count)]
    return [(bytes(node[first + k : first + k + 16]), bytes(node[end - v : end - v + 16])) for k, v in places]
