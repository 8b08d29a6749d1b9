"""A small FAT32 volume written from nothing, with long names and deleted files, as a USB stick would hold.

For demonstrations and tests only. After Microsoft's "FAT32 File System Specification", version 1.03 (2000).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from amparo.demo.content import Placed

SECTOR: Final = 512
"""Also the cluster: FAT32 begins at 65,525 clusters, and the volume is to be small."""
_RESERVED: Final = 32
_LEAST_CLUSTERS: Final = 65_525
_END: Final = 0x0FFFFFFF
_ARCHIVE, _DIRECTORY, _LABEL, _LONG = 0x20, 0x10, 0x08, 0x0F
_DELETED: Final = 0xE5
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%'-_@~`!(){}^#&")


@dataclass(slots=True)
class _Folder:
    entries: list[bytes] = field(default_factory=list)
    short: set[bytes] = field(default_factory=set)
    first: int = 0
    moment: datetime | None = None


class FatVolume:
    """The volume while it is written. ``image`` is the result once :meth:`lay` was called."""

    def __init__(self, size: int, label: str, starts_at: int, serial: int) -> None:
        """``size`` in bytes, at least 34 MiB; ``starts_at`` is the byte of the disk where the volume begins."""
        self.image = bytearray(size)
        self.label = label.encode("ascii").ljust(11)[:11]
        self.starts_at, self.serial = starts_at, serial
        sectors = size // SECTOR
        self._table = -(-(sectors - _RESERVED) * 4 // (SECTOR + 8))
        self.clusters = sectors - _RESERVED - 2 * self._table
        if self.clusters < _LEAST_CLUSTERS:
            raise ValueError("the volume is too small for FAT32")
        self._fat = [0x0FFFFFF8, _END, *[0] * self.clusters]
        self._next = 3
        self._folders: dict[str, _Folder] = {"": _Folder(first=2)}

    def lay(self, files: Sequence[Placed], loose: Sequence[bytes] = ()) -> list[int]:
        """Lay down files in this order, then contents that nothing points to; gives the byte where each of these begins."""
        for file in files:
            self._lay(file)
        places = [self._place(self._write(content, 1, kept=False)[0]) for content in loose]
        for path in sorted(self._folders, key=lambda path: path.count("/") + bool(path), reverse=True):
            self._finish_folder(path)
        self._finish()
        return places

    def _folder(self, path: str) -> _Folder:
        folder = self._folders.get(path)
        if folder is None:
            self._folder(path.rpartition("/")[0])
            folder = self._folders[path] = _Folder()
        return folder

    def _lay(self, file: Placed) -> None:
        if file.over or file.strays or file.streams:
            raise ValueError("only the NTFS writer lays files over others, loses their place, or gives them streams")
        place, _, name = file.path.rpartition("/")
        folder = self._folder(place)
        chain = self._write(file.content, file.pieces, kept=not file.deleted)
        entries = self._entries(
            folder, name, _ARCHIVE, chain[0] if chain else 0, len(file.content), file.created, file.modified
        )
        if file.deleted:
            entries = [bytes([_DELETED]) + entry[1:] for entry in entries]
        folder.entries += entries
        folder.moment = max(folder.moment or file.modified, file.modified)

    def _place(self, cluster: int) -> int:
        return (_RESERVED + 2 * self._table + cluster - 2) * SECTOR

    def _write(self, content: bytes, pieces: int, kept: bool) -> list[int]:
        """The clusters of a content, one left free between two pieces; the chain is in the table where it is kept."""
        count = -(-len(content) // SECTOR)
        chain: list[int] = []
        for piece in range(pieces):
            share = count // pieces + (piece < count % pieces)
            chain += range(self._next, self._next + share)
            self._next += share + (pieces > 1)
        for index, cluster in enumerate(chain):
            at = self._place(cluster)
            part = content[index * SECTOR : (index + 1) * SECTOR]
            self.image[at : at + len(part)] = part
            if kept:
                self._fat[cluster] = chain[index + 1] if index + 1 < count else _END
        return chain

    # Directory entries ------------------------------------------------------------------------------------------

    def _entries(
        self, folder: _Folder, name: str, flags: int, first: int, size: int, created: datetime, modified: datetime
    ) -> list[bytes]:
        short, exact = self._short(folder, name)
        entry = _short_entry(short, flags, first, size, created, modified)
        return [entry] if exact else [*_long_entries(name, short), entry]

    @staticmethod
    def _short(folder: _Folder, name: str) -> tuple[bytes, bool]:
        """The 8.3 name, none twice in a directory, and whether it says the whole name."""
        stem, dot, extension = name.rpartition(".")
        if not dot:
            stem, extension = name, ""
        exact = 0 < len(stem) <= 8 and len(extension) <= 3 and set(stem + extension) <= _PLAIN
        whole = _eight_three(stem, extension)
        if exact and whole not in folder.short:
            folder.short.add(whole)
            return whole, True
        stem = "".join(letter for letter in stem.upper() if letter in _PLAIN) or "_"
        extension = "".join(letter for letter in extension.upper() if letter in _PLAIN)
        for number in range(1, 1_000_000):
            tail = f"~{number}"
            short = _eight_three(stem[: 8 - len(tail)] + tail, extension)
            if short not in folder.short:
                folder.short.add(short)
                return short, False
        raise ValueError("a directory with a million names that look alike")

    def _finish_folder(self, path: str) -> None:
        folder = self._folders[path]
        entries = folder.entries
        if path:
            moment = folder.moment
            assert moment is not None
            above_path, _, name = path.rpartition("/")
            above = self._folders[above_path]
            above.moment = max(above.moment or moment, moment)
            count = (len(entries) + 2) * 32
            chain = self._write(bytes(count), 1, kept=True)
            folder.first = chain[0]
            for child in self._folders:
                if child.rpartition("/")[0] == path and child:
                    self._point_back(self._folders[child].first, folder.first)
            entries = [
                _short_entry(b".".ljust(11), _DIRECTORY, chain[0], 0, moment, moment),
                _short_entry(b"..".ljust(11), _DIRECTORY, 0, 0, moment, moment),
                *entries,
            ]
            above.entries += self._entries(above, name, _DIRECTORY, chain[0], 0, moment, moment)
        else:
            entries = [self.label + bytes([_LABEL]) + bytes(20), *entries]
            more = self._write(bytes(max(0, len(entries) * 32 - SECTOR)), 1, kept=True)
            chain = [2, *more]
            self._fat[2] = more[0] if more else _END
        raw = b"".join(entries)
        for index, cluster in enumerate(chain):
            part = raw[index * SECTOR : (index + 1) * SECTOR]
            self.image[self._place(cluster) : self._place(cluster) + len(part)] = part

    def _point_back(self, child: int, parent: int) -> None:
        """Give a directory's entry ``..`` its first cluster: 0 stands for the root."""
        at = self._place(child) + 32
        struct.pack_into("<H", self.image, at + 20, parent >> 16)
        struct.pack_into("<H", self.image, at + 26, parent & 0xFFFF)

    # The end ----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        boot = struct.pack(
            "<3s8sHBHBHHBHHHII", b"\xebX\x90", b"MSDOS5.0", SECTOR, 1, _RESERVED, 2, 0, 0, 0xF8, 0, 63, 255,
            self.starts_at // SECTOR, len(self.image) // SECTOR,
        )  # fmt: skip
        boot += struct.pack("<IHHIHH12xBBBI", self._table, 0, 0, 2, 1, 6, 0x80, 0, 0x29, self.serial)
        boot = (boot + self.label + b"FAT32   ").ljust(510, b"\0") + b"\x55\xaa"
        free = sum(entry == 0 for entry in self._fat)
        information = (b"RRaA".ljust(484, b"\0") + struct.pack("<4sII", b"rrAa", free, self._next)).ljust(510, b"\0")
        information += b"\x55\xaa"
        for at in (0, 6):
            self.image[at * SECTOR : (at + 2) * SECTOR] = boot + information
        table = struct.pack(f"<{len(self._fat)}I", *self._fat)
        for copy in range(2):
            at = (_RESERVED + copy * self._table) * SECTOR
            self.image[at : at + len(table)] = table


def _eight_three(stem: str, extension: str) -> bytes:
    return stem[:8].ljust(8).encode("ascii", "replace") + extension[:3].ljust(3).encode("ascii", "replace")


def _short_entry(short: bytes, flags: int, first: int, size: int, created: datetime, modified: datetime) -> bytes:
    born, born_on = _time(created), _date(created)
    wrote, wrote_on = _time(modified), _date(modified)
    return struct.pack(
        "<11sBBBHHHHHHHI", short, flags, 0, created.second % 2 * 100, born, born_on, wrote_on, first >> 16, wrote, wrote_on,
        first & 0xFFFF, size,
    )  # fmt: skip


def _long_entries(name: str, short: bytes) -> list[bytes]:
    """The name in UTF-16, thirteen units an entry, the last part first; each carries a sum over the 8.3 name."""
    check = 0
    for letter in short:
        check = ((check & 1) << 7 | check >> 1) + letter & 0xFF
    text = name.encode("utf-16-le")
    if len(text) > 510:
        raise ValueError(f"a FAT name has at most 255 characters, and this one {len(text) // 2}")
    parts = [text[at : at + 26] for at in range(0, len(text), 26)]
    entries = []
    for number, part in enumerate(parts, 1):
        if len(part) < 26:
            part = (part + b"\0\0").ljust(26, b"\xff")
        order = number | (0x40 if number == len(parts) else 0)
        entries.append(struct.pack("<B10sBBB12sH4s", order, part[:10], _LONG, 0, check, part[10:22], 0, part[22:]))
    return entries[::-1]


def _date(moment: datetime) -> int:
    return (moment.year - 1980) << 9 | moment.month << 5 | moment.day


def _time(moment: datetime) -> int:
    return moment.hour << 11 | moment.minute << 5 | moment.second // 2
