"""A small NTFS volume written from nothing, with files, deleted files, and content that no name leads to any more.

For demonstrations and tests only: no journal is kept, every file has one security descriptor, and no attribute list is
ever needed. Layout after the Linux-NTFS project's documentation and Microsoft's [MS-FSCC]; The Sleuth Kit and ntfs-3g
read what it writes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from amparo.demo import ntfs_system
from amparo.demo.content import Placed
from amparo.demo.ntfs_index import Name, collation, tree
from amparo.demo.ntfs_records import (
    BITMAP,
    CLUSTER,
    DATA,
    DIRECTORY,
    FILE_NAME,
    IN_USE,
    INDEX_ALLOCATION,
    INDEX_ROOT,
    RECORD,
    SECTOR,
    Attribute,
    Runs,
    aligned,
    attributes_length,
    file_name,
    nonresident,
    record,
    reference,
    resident,
    standard_information,
)

ROOT: Final = 5
FIRST_FREE_RECORD: Final = 24
ARCHIVE, IS_DIRECTORY = 0x20, 0x10000000
_MIRROR_SHARE: Final = 2


class Clusters:
    """Which clusters are taken; gives out the first that are free."""

    def __init__(self, count: int) -> None:
        self.taken = bytearray(count)
        self._from = 0

    def take(self, count: int, pieces: int = 1) -> Runs:
        """``count`` clusters in ``pieces`` runs, with one cluster left free between two of them. Raises ValueError where
        the volume is full."""
        runs: Runs = []
        for piece in range(pieces):
            share = count // pieces + (piece < count % pieces)
            if not share:
                break
            at = self.taken.find(bytes(share), self._from)
            if at < 0:
                raise ValueError("the volume is too small for what is to lie on it")
            self.mark([(at, share)])
            runs.append((at, share))
            self._from = at + share + (pieces > 1)
        return runs

    def mark(self, runs: Runs, taken: bool = True) -> None:
        """Set these clusters taken, or free again."""
        for first, count in runs:
            self.taken[first : first + count] = bytes([taken]) * count

    def bits(self) -> bytes:
        """The map as $Bitmap keeps it: the first cluster is the lowest bit; bits past the volume are set."""
        count = len(self.taken)
        filled = bytes(self.taken) + b"\1" * (aligned(count, 64) - count)
        return int(filled[::-1].translate(bytes([48, 49]) + bytes(254)), 2).to_bytes(len(filled) // 8, "little")


@dataclass(slots=True)
class _Folder:
    number: int
    sequence: int = 1
    created: datetime | None = None
    modified: datetime | None = None
    names: list[tuple[str, Name]] = field(default_factory=list)


class NtfsVolume:
    """The volume while it is written. ``image`` is the result once :meth:`lay` was called."""

    def __init__(self, size: int, label: str, day: datetime, starts_at: int, serial: int) -> None:
        """``size`` in bytes, a multiple of 4,096; ``starts_at`` is the byte of the disk where the volume begins."""
        self.image = bytearray(size)
        self.label, self.day, self.starts_at, self.serial = label, day, starts_at, serial
        # The last sector keeps the copy of the boot sector and belongs to no cluster.
        self.clusters = Clusters((size - SECTOR) // CLUSTER)
        self.clusters.mark([(0, 2)])
        self.records: dict[int, bytes] = {}
        self.used: set[int] = set()
        self._folders: dict[str, _Folder] = {}
        self._lost: dict[str, Runs] = {}
        self._next = FIRST_FREE_RECORD

    # What users put on it ---------------------------------------------------------------------------------------

    def lay(self, files: Sequence[Placed], loose: Sequence[bytes] = ()) -> list[int]:
        """Lay down files in this order, then contents that nothing points to; gives the byte where each of these begins."""
        mirror = len(self.clusters.taken) // _MIRROR_SHARE
        self.clusters.mark([(mirror, 1)])
        folders = {
            "/".join(parts[:end]) for file in files if (parts := file.path.split("/")) for end in range(len(parts))
        }
        count = aligned(FIRST_FREE_RECORD + len(folders) - 1 + len(files) + 16, CLUSTER // RECORD)
        self.table = self.clusters.take(count * RECORD // CLUSTER)
        self.mirror: Runs = [(mirror, 1)]
        self.count = count
        self._folders[""] = _Folder(ROOT, ROOT)
        for folder in sorted(folders - {""}):
            self._folders[folder] = _Folder(self._number())
        system = ntfs_system.contents(self)
        for file in files:
            self._lay(file)
        places = []
        freed: Runs = []
        for content in loose:
            runs = self._write(content)
            places.append(runs[0][0] * CLUSTER)
            freed += runs
        self.clusters.mark(freed, taken=False)
        for runs in self._lost.values():
            self.clusters.mark(runs, taken=False)
        for other in files:
            if other.over is not None:  # these blocks have a new owner
                self.clusters.mark(self._reused(other))
        self._finish_folders(folders)
        ntfs_system.finish(self, system)
        return places

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _write(self, content: bytes, pieces: int = 1) -> Runs:
        runs = self.clusters.take(-(-len(content) // CLUSTER), pieces)
        self.put(runs, content)
        return runs

    def put(self, runs: Runs, content: bytes) -> None:
        """Write content into its runs, one after another."""
        at = 0
        for first, count in runs:
            piece = content[at : at + count * CLUSTER]
            self.image[first * CLUSTER : first * CLUSTER + len(piece)] = piece
            at += count * CLUSTER

    def data(self, content: bytes, room: int, name: str = "", runs: Runs | None = None, pieces: int = 1) -> Attribute:
        """$DATA in the record where it has room, else in clusters."""
        small = resident(DATA, content, name)
        if len(small.raw) <= room and runs is None:
            return small
        if runs is None:
            runs = self._write(content, pieces)
        else:
            self.put(runs, content)
        return nonresident(DATA, runs, len(content), name)

    def _reused(self, file: Placed) -> Runs:
        """The first clusters of the deleted file that this one lies over."""
        assert file.over is not None
        first, count = self._lost[file.over][0]
        wanted = -(-len(file.content) // CLUSTER)
        if wanted > count:
            raise ValueError(f"{file.path} is larger than the first run of {file.over}")
        return [(first, wanted)]

    def _lay(self, file: Placed) -> None:
        place, _, name = file.path.rpartition("/")
        folder = self._folders[place]
        number, sequence = self._number(), 1
        information = standard_information(file.created, file.modified, ARCHIVE, ntfs_system.SECURITY)
        room = RECORD - attributes_length([information]) - 24 - aligned(66 + 2 * len(name)) - 64
        streams = [self.data(content, room // 2, stream) for stream, content in file.streams.items()]
        room -= sum(len(stream.raw) for stream in streams)
        content = self.data(file.content, room, "", self._reused(file) if file.over else None, file.pieces)
        allocated = aligned(len(file.content)) if not content.raw[8] else aligned(len(file.content), CLUSTER)
        # A stray names a directory by a sequence number that its record no longer has.
        parent = reference(folder.number, folder.sequence + 2 * file.strays)
        key = file_name(parent, name, file.created, file.modified, len(file.content), allocated, ARCHIVE)
        attributes = [information, resident(FILE_NAME, key), content, *streams]
        if file.deleted or file.strays:
            # Windows raises a record's sequence number as it lets go of it.
            self.records[number] = record(number, sequence + 1, 0, attributes)
            self._lost[file.path] = ntfs_system.runs_of(content)
            return
        self.records[number] = record(number, sequence, IN_USE, attributes)
        self.used.add(number)
        folder.names.append((name, Name(reference(number, sequence), key)))
        folder.created = min(folder.created or file.created, file.created)
        folder.modified = max(folder.modified or file.modified, file.modified)

    # Directories ------------------------------------------------------------------------------------------------

    def _finish_folders(self, folders: set[str]) -> None:
        for path in sorted(folders - {""}, key=lambda path: (path.count("/"), path), reverse=True):
            self._finish_folder(path)

    def _finish_folder(self, path: str) -> None:
        folder = self._folders[path]
        place, _, name = path.rpartition("/")
        above = self._folders[place]
        created, modified = folder.created or self.day, folder.modified or self.day
        parent = reference(above.number, above.sequence)
        key = file_name(parent, name, created, modified, 0, 0, IS_DIRECTORY)
        self.directory(folder.number, folder.sequence, key, created, modified, folder.names, 0)
        above.names.append((name, Name(reference(folder.number, folder.sequence), key)))
        above.created = min(above.created or created, created)
        above.modified = max(above.modified or modified, modified)

    def root_names(self) -> list[tuple[str, Name]]:
        """The names that users put into the root."""
        return self._folders[""].names

    def directory(
        self,
        number: int,
        sequence: int,
        key: bytes,
        created: datetime,
        modified: datetime,
        names: Sequence[tuple[str, Name]],
        flags: int,
    ) -> None:
        """Write the record of a directory, and its index blocks where one record does not hold its names."""
        attributes = [
            standard_information(created, modified, flags, ntfs_system.SECURITY),
            resident(FILE_NAME, key),
        ]
        room = RECORD - attributes_length(attributes) - 32 - 80 - 40
        ordered = [name for _, name in sorted(names, key=lambda pair: collation(pair[0]))]
        index = tree(ordered, room)
        attributes.append(resident(INDEX_ROOT, index.root, "$I30"))
        if index.blocks:
            runs = self._write(b"".join(index.blocks))
            attributes.append(nonresident(INDEX_ALLOCATION, runs, len(index.blocks) * CLUSTER, "$I30"))
            bits = ((1 << len(index.blocks)) - 1).to_bytes(aligned(len(index.blocks), 64) // 8, "little")
            attributes.append(resident(BITMAP, bits, "$I30"))
        self.records[number] = record(number, sequence, IN_USE | DIRECTORY, attributes)
        self.used.add(number)

    # The end ----------------------------------------------------------------------------------------------------

    def boot_sector(self) -> bytes:
        """The first sector of the volume, and the last."""
        sectors = (len(self.image) - SECTOR) // SECTOR
        head = struct.pack(
            "<3s8sHB7xB2xHHI4xI", b"\xebR\x90", b"NTFS    ", SECTOR, CLUSTER // SECTOR, 0xF8, 63, 255,
            self.starts_at // SECTOR, 0x00800080,
        )  # fmt: skip
        head += struct.pack("<QQQb3xb3xQ", sectors, self.table[0][0], self.mirror[0][0], -10, 1, self.serial)
        return head.ljust(510, b"\0") + b"\x55\xaa"
