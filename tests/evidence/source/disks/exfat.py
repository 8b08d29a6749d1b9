"""exFAT volumes: mkfs.exfat lays them out, and the files are written here, byte by byte.

Layout after Microsoft's exFAT file system specification (2019).
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

from tests.evidence.source.disks import blank, need, run

FILE, STREAM, NAME, BITMAP, DIRECTORY = 0x85, 0xC0, 0xC1, 0x81, 0x10
END = 0xFFFFFFFF


class Writer:
    """An exFAT volume in memory, to which files are added."""

    def __init__(self, raw: bytes) -> None:
        self.raw = bytearray(raw)
        fat, _, heap, self.count, self.root = struct.unpack_from("<IIIII", self.raw, 80)
        sector = 1 << self.raw[108]
        self.cluster = sector << self.raw[109]
        self.fat, self.heap = fat * sector, heap * sector
        entries = self.raw[self.place(self.root) : self.place(self.root) + self.cluster]
        for at in range(0, len(entries), 32):
            if entries[at] == BITMAP:
                self.bitmap = self.place(struct.unpack_from("<I", entries, at + 20)[0])
        self.free = next(n for n in range(2, self.count) if not any(self.used(n + k) for k in range(50)))
        self.directories = {"": (self.root, 0)}

    def place(self, cluster: int) -> int:
        return self.heap + (cluster - 2) * self.cluster

    def used(self, cluster: int) -> bool:
        return bool(self.raw[self.bitmap + (cluster - 2) // 8] >> (cluster - 2) % 8 & 1)

    def mark(self, cluster: int, used: bool) -> None:
        at, bit = self.bitmap + (cluster - 2) // 8, 1 << (cluster - 2) % 8
        self.raw[at] = self.raw[at] | bit if used else self.raw[at] & ~bit

    def link(self, cluster: int, following: int) -> None:
        struct.pack_into("<I", self.raw, self.fat + 4 * cluster, following)

    def store(self, content: bytes, chained: bool, step: int = 1) -> list[int]:
        """The clusters that now hold the content: in one piece without a chain, or chained and ``step`` apart."""
        clusters = [self.free + index * step for index in range(-(-len(content) // self.cluster))]
        for index, cluster in enumerate(clusters):
            piece = content[index * self.cluster : (index + 1) * self.cluster]
            self.raw[self.place(cluster) : self.place(cluster) + len(piece)] = piece
            self.mark(cluster, True)
            if chained:
                self.link(cluster, clusters[index + 1] if index + 1 < len(clusters) else END)
        self.free += len(clusters) * step
        return clusters

    def add(
        self, path: str, content: bytes, *, chained: bool = False, step: int = 1, valid: int | None = None,
        modified: datetime = datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC), offset: int = 0,
    ) -> int:  # fmt: skip
        """Write a file, its directories made as needed. Gives the place of its first entry. ``offset`` in quarters of an hour."""
        above, _, name = path.rpartition("/")
        if above not in self.directories:
            self.add_directory(above)
        clusters = self.store(content, chained, step)
        return self.enter(above, name, 0x20, clusters, len(content), chained, valid, modified, offset)

    def add_directory(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        if above not in self.directories:
            self.add_directory(above)
        clusters = self.store(bytes(4 * self.cluster), False)
        self.enter(above, name, DIRECTORY, clusters, 4 * self.cluster, False, None, datetime(2024, 1, 1, tzinfo=UTC), 0)
        self.directories[path] = (clusters[0], 0)

    def enter(
        self, above: str, name: str, kind: int, clusters: list[int], size: int, chained: bool, valid: int | None,
        modified: datetime, offset: int,
    ) -> int:  # fmt: skip
        text = name.encode("utf-16-le")
        parts = [text[at : at + 30].ljust(30, b"\0") for at in range(0, len(text), 30)]
        stamp = struct.pack(
            "<I",
            modified.second // 2 | modified.minute << 5 | modified.hour << 11 | modified.day << 16 | modified.month << 21
            | (modified.year - 1980) << 25,
        )  # fmt: skip
        zone = 0x80 | offset & 0x7F
        first = struct.pack("<BBHHH", FILE, 1 + len(parts), 0, kind, 0) + stamp * 3
        first += struct.pack("<BBBBB7x", 0, 0, zone, zone, zone)
        flags = 1 if not clusters else 1 | (0 if chained else 2)
        stream = struct.pack(
            "<BBBBHHQIIQ", STREAM, flags, 0, len(text) // 2, 0, 0, size if valid is None else valid, 0,
            clusters[0] if clusters else 0, size,
        )  # fmt: skip
        entries = first + stream + b"".join(struct.pack("<BB", NAME, 0) + part for part in parts)
        check = 0
        for index, byte in enumerate(entries):
            if index not in (2, 3):
                check = ((check << 15 | check >> 1) + byte) & 0xFFFF
        entries = entries[:2] + struct.pack("<H", check) + entries[4:]
        cluster, used = self.directories[above]
        at = self.place(cluster) + used
        while self.raw[at]:
            at, used = at + 32, used + 32
        self.raw[at : at + len(entries)] = entries
        self.directories[above] = (cluster, used + len(entries))
        return at

    def delete(self, at: int) -> None:
        """Delete the file whose first entry lies there, as Windows does: marks, bitmap and chain."""
        (first,) = struct.unpack_from("<I", self.raw, at + 32 + 20)
        (size,) = struct.unpack_from("<Q", self.raw, at + 32 + 24)
        contiguous = self.raw[at + 33] & 2
        for index in range(1 + self.raw[at + 1]):
            self.raw[at + 32 * index] &= 0x7F
        for _ in range(-(-size // self.cluster)):
            self.mark(first, False)
            if contiguous:
                first += 1
            else:
                (following,) = struct.unpack_from("<I", self.raw, self.fat + 4 * first)
                self.link(first, 0)
                first = following


def make(path: Path, size: int = 16 << 20, *options: str) -> Writer:
    need("mkfs.exfat")
    run("mkfs.exfat", *options, blank(path, size))
    return Writer(path.read_bytes())
