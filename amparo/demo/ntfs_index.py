"""The indices of NTFS: the B+ trees that hold a directory's names, and the two small ones of $Secure.

Layout after the Linux-NTFS project's documentation, "Index Root", "Index Allocation" and "Index Record".
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from amparo.demo.ntfs_records import CLUSTER, FILE_NAME, SECTOR, aligned, protected

BY_NAME, BY_NUMBER, BY_SECURITY_HASH = 0x01, 0x10, 0x12

_HAS_CHILD, _LAST = 1, 2
_FIRST_ENTRY: Final = 64
_FIXES_AT: Final = 40
# What a block holds besides its header and the entry that ends it.
_ROOM: Final = CLUSTER - _FIRST_ENTRY - 24


class Name(NamedTuple):
    """A file in its directory: its reference and its $FILE_NAME; ``child`` is the block of the names before it."""

    reference: int
    key: bytes
    child: int | None = None

    def raw(self) -> bytes:
        """The entry as it lies in a node."""
        body = struct.pack("<QHHHH", self.reference, 0, len(self.key), self.child is not None, 0) + self.key
        return _closed(body.ljust(aligned(len(body)), b"\0"), self.child)


class Tree(NamedTuple):
    """The value of $INDEX_ROOT, and the blocks of $INDEX_ALLOCATION, none where the root holds every name."""

    root: bytes
    blocks: list[bytes]


def collation(name: str) -> tuple[list[int], list[int]]:
    """The order of names in a directory: as if all were capitals, by UTF-16 unit; then as they are."""
    return _units("".join(_capital(letter) for letter in name)), _units(name)


def _capital(letter: str) -> str:
    large = letter.upper()
    return large if len(large) == 1 and ord(large) < 0x10000 and ord(letter) < 0x10000 else letter


def _units(text: str) -> list[int]:
    raw = text.encode("utf-16-le")
    return list(struct.unpack(f"<{len(raw) // 2}H", raw))


def upcase_table() -> bytes:
    """The volume's own table of capitals, one UTF-16 unit for each of 65,536."""
    return b"".join(
        struct.pack("<H", unit if 0xD800 <= unit < 0xE000 else ord(_capital(chr(unit)))) for unit in range(0x10000)
    )


def tree(names: list[Name], room: int) -> Tree:
    """The tree of names that come in order; ``room`` is what $INDEX_ROOT may take in its record."""
    blocks: list[bytes] = []
    last: int | None = None
    while 32 + 24 + sum(len(name.raw()) for name in names) > room:
        names, last = _level(names, last, blocks)
    return Tree(
        _root(FILE_NAME, BY_NAME, b"".join(name.raw() for name in names) + _end(last), last is not None), blocks
    )


def _level(names: list[Name], last: int | None, blocks: list[bytes]) -> tuple[list[Name], int]:
    """Put the names into blocks; gives the names that stand between two blocks, and the last block."""
    above: list[Name] = []
    held: list[Name] = []
    used = 0
    for name in names:
        size = len(name.raw())
        if used + size > _ROOM:
            between = held.pop()
            above.append(Name(between.reference, between.key, _block(held, between.child, blocks)))
            held, used = [], 0
        held.append(name)
        used += size
    return above, _block(held, last, blocks)


def _block(names: list[Name], last: int | None, blocks: list[bytes]) -> int:
    entries = b"".join(name.raw() for name in names) + _end(last)
    number = len(blocks)
    head = struct.pack("<4sHHQQ", b"INDX", _FIXES_AT, CLUSTER // SECTOR + 1, 0, number)
    head += struct.pack("<IIII", _FIRST_ENTRY - 24, _FIRST_ENTRY - 24 + len(entries), CLUSTER - 24, last is not None)
    blocks.append(protected((head.ljust(_FIRST_ENTRY, b"\0") + entries).ljust(CLUSTER, b"\0"), _FIXES_AT))
    return number


def _root(kind: int, order: int, entries: bytes, large: bool) -> bytes:
    used = 16 + len(entries)
    return struct.pack("<IIIB3xIIII", kind, order, CLUSTER, 1, 16, used, used, large) + entries


def _end(child: int | None) -> bytes:
    return _closed(struct.pack("<QHHHH", 0, 0, 0, _LAST | (child is not None), 0), child)


def _closed(body: bytes, child: int | None) -> bytes:
    if child is not None:
        body += struct.pack("<Q", child)
    return body[:8] + struct.pack("<H", len(body)) + body[10:]


def security_by_number(number: int, header: bytes) -> bytes:
    """The value of $SII's root with one descriptor; ``header`` is the 20 bytes that precede the descriptor in $SDS."""
    return _view(BY_NUMBER, struct.pack("<I", number), header)


def security_by_hash(digest: int, number: int, header: bytes) -> bytes:
    """The value of $SDH's root with one descriptor."""
    return _view(BY_SECURITY_HASH, struct.pack("<II", digest, number), header + "II".encode("utf-16-le"))


def _view(order: int, key: bytes, data: bytes) -> bytes:
    at = 16 + len(key)
    length = aligned(at + len(data))
    # The data's length leaves out the filling behind it: 20 bytes for both indices.
    entry = struct.pack("<HHIHHHH", at, 20, 0, length, len(key), 0, 0) + key + data
    return _root(0, order, entry.ljust(length, b"\0") + _end(None), False)
