"""HFS+ and HFSX, read by their own structures: every fork of every file, hard links, and files that are stored compressed.

The Sleuth Kit reads HFS+ too, but as it comes to Python it tells a compressed file (which is most of what Mac OS installs) as one of no
bytes, misplaces what lies in a volume that an HFS volume wraps, and gives no map of the free blocks. Source: Apple's Technical Note
TN1150, "HFS Plus Volume Format" (2004).

A resource fork is listed as ``NAME:rsrc``. Names stay decomposed, as the volume has them. Deletion leaves no record here, so
that deleted content is only found by carving.
"""

from __future__ import annotations

import stat
import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import decmpfs, hfs_header
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import Entry, Runs, component, trimmed
from amparo.evidence.source.free_space import Allocation
from amparo.evidence.source.hfs_tree import Fork, Record, Tree, fork, pairs, read_runs

ROOT = 2
_EXTENTS_FILE, _CATALOG_FILE, _ALLOCATION_FILE, _ATTRIBUTES_FILE = 3, 4, 6, 8
ORPHANS = "$OrphanFiles"
_FOLDER, _FILE = 1, 2
_DATA, _RESOURCE = 0, 0xFF
_PRIVATE = b"\0\0\0\0HFS+ Private Data".decode()
_SINCE_1904 = 2_082_844_800  # seconds from there to 1970
_COMPRESSED = 0x20  # UF_COMPRESSED of the owner's flags
_LONGEST_LINK = _LONGEST_INLINE = 4096
_LONGEST_PATH = 1 << 16
_MOST_PATHS = 10_000
_MOST_BLOCKS = 1 << 32
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # Apple's maps begin with the highest bit

_LOST = "The addresses of its content are damaged, so it cannot be put together."
_NO_TARGET = "It is a hard link, and the file that it leads to is not in the catalog."
_UNKNOWN = "It is stored compressed in a way that is not known here."


class _File(NamedTuple):
    """A file's record in the catalog."""

    number: int
    mode: int
    finder: bytes
    special: int
    flags: int
    times: tuple[str | None, str | None, str | None, str | None]  # created, modified, changed, accessed
    data: Fork
    resource: Fork

    @property
    def links_to(self) -> int | None:
        """The number of the file that this hard link leads to."""
        return self.special if self.finder == b"hlnkhfs+" and not self.data.size else None


class HfsVolume:
    """An HFS+ file system on ``device``. Raises :class:`SourceUnreadable` where its header or catalog is beyond use."""

    kind = "hfs"

    def __init__(self, device: Device) -> None:
        self.device = device
        self.problems: list[str] = []
        head, self.origin = hfs_header.read(device)
        self.block, self.blocks = struct.unpack_from(">II", head, 40)
        forks = {number: fork(head, at) for number, at in (
            (_ALLOCATION_FILE, 112), (_EXTENTS_FILE, 192), (_CATALOG_FILE, 272), (_ATTRIBUTES_FILE, 352))}  # fmt: skip
        self._extents = self._tree(forks, _EXTENTS_FILE)
        catalog = self._tree(forks, _CATALOG_FILE)
        if catalog is None:
            raise SourceUnreadable("The HFS+ catalog is damaged beyond use.")
        self._catalog = catalog
        self._attributes = self._tree(forks, _ATTRIBUTES_FILE) if forks[_ATTRIBUTES_FILE].size else None
        self._bitmap = self._runs(forks[_ALLOCATION_FILE], _ALLOCATION_FILE, _DATA)
        self._folders: dict[int, tuple[int, str]] = {}
        self._paths: dict[int, str] = {}
        self._private: int | None = None
        self.problems += hfs_header.journal(device, head, self.origin)

    def _tree(self, forks: dict[int, Fork], number: int) -> Tree | None:
        key = {_EXTENTS_FILE: _extents_key, _CATALOG_FILE: self._catalog_key, _ATTRIBUTES_FILE: _attribute_key}[number]
        try:
            return Tree(self.device, self._runs(forks[number], number, _DATA), key)
        except (ReadFailed, ValueError):
            if number == _ATTRIBUTES_FILE:
                self.problems.append("The extended attributes cannot be read: files stored compressed are left out.")
            return None

    def _catalog_key(self, raw: bytes) -> tuple[tuple[int, str], int]:
        length, parent, units = struct.unpack_from(">HIH", raw)
        if 6 + 2 * units > length or 2 + length > len(raw):
            raise ValueError
        name = raw[8 : 8 + 2 * units].decode("utf-16-be", "backslashreplace")
        return (parent, name), 2 + length + (length & 1)

    # Blocks ------------------------------------------------------------------------------------------------------

    def allocation(self) -> Allocation:
        """Which blocks are in use, from the allocation file. Raises :class:`ReadFailed`."""
        raw = read_runs(self.device, self._bitmap, 0, -(-min(self.blocks, _MOST_BLOCKS) // 8))
        if len(raw) * 8 < self.blocks:
            raise ReadFailed("The map of free blocks cannot be read, so free space is not searched.")
        return Allocation.from_bitmap(raw.translate(_MIRRORED), self.blocks, self.block, self.origin)

    def _runs(self, described: Fork, number: int, kind: int) -> Runs:
        """Where a fork lies, in bytes of the volume; shorter than its size where what says so is damaged."""
        extents = list(described.extents)
        told = sum(count for _, count in extents)
        needed = -(-described.size // self.block)
        while told < needed and number != _EXTENTS_FILE and self._extents is not None:
            more = self._extents.search((number, kind, told))
            found = pairs(list(struct.unpack(">16I", more.data[:64]))) if more and len(more.data) >= 64 else ()
            if not found:
                break
            extents += found
            told += sum(count for _, count in found)
        runs = [
            (first * self.block + self.origin, count * self.block)
            for first, count in extents
            if first + count <= self.blocks
        ]
        return trimmed(runs, described.size) if len(runs) == len(extents) else []

    # Files -------------------------------------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """Every file in the catalog's order; those that hard links lead to under the names of the links."""
        for record in self._catalog.leaves():
            if record.data[:2] == b"\0\1" and len(record.data) >= 12:
                parent, name = record.key
                (number,) = struct.unpack_from(">I", record.data, 8)
                self._folders.setdefault(number, (parent, name))
                if (parent, name) == (ROOT, _PRIVATE):
                    self._private = number
        met: set[int] = set()
        kept_apart = array("Q")  # node and index of what lies in the private folder
        for record in self._catalog.leaves():
            if record.data[:2] != b"\0\2":
                continue
            if record.key[0] == self._private:
                kept_apart.append(record.node << 16 | record.place)
            else:
                yield from self._listed(record, met)
        for place in kept_apart:  # what no link leads to any more
            kept = self._catalog.at(place >> 16, place & 0xFFFF)
            if kept is not None and not (
                kept.key[1][:5] == "iNode" and kept.key[1][5:].isdecimal() and int(kept.key[1][5:]) in met
            ):
                yield from self._listed(kept, met)
        if self._catalog.damaged:
            self.problems.append("Part of the catalog is damaged: files are missing.")

    def _listed(self, record: Record, met: set[int]) -> Iterator[Entry]:
        file = _parsed(record)
        if file is None:
            self._catalog.damaged = True
            return
        path, state = self._path(record.key[0]), "live"
        if path is None:
            path, state = f"{ORPHANS}/folder-{record.key[0]}", "orphan"
        path = f"{path}/{_shown(record.key[1])}".lstrip("/")
        target = file.links_to
        if target is not None:
            there = self._target(target)
            found = _parsed(there) if there is not None else None
            if there is None or found is None:
                yield _entry(file, path, state, record, 0, _NO_TARGET)
                return
            met.add(target)
            record, file = there, found
        if file.mode and not (stat.S_ISREG(file.mode) or stat.S_ISLNK(file.mode)):
            return
        yield from self._forks(file, path, state, record)

    def _target(self, number: int) -> Record | None:
        return self._catalog.search((self._private, f"iNode{number}")) if self._private is not None else None

    def _forks(self, file: _File, path: str, state: str, record: Record) -> Iterator[Entry]:
        packed = self._packed(file) if file.flags & _COMPRESSED else None
        if packed is not None:
            # The resource fork of such a file only holds its content, compressed.
            known = packed.known or packed.kind in decmpfs.LZVN
            entry = _entry(file, path, state, record, packed.size, None if known else _UNKNOWN)
            entry.inline = None if packed.size else b""
            yield entry
            return
        for kind, described, stream in ((_DATA, file.data, ""), (_RESOURCE, file.resource, ":rsrc")):
            if kind == _RESOURCE and not described.size:
                continue
            entry = _entry(file, path + stream, state, record, described.size)
            runs = self._runs(described, file.number, kind) if entry.size else []
            if sum(length for _, length in runs) < described.size or entry.size != described.size:
                entry.problem = _LOST
            elif not entry.size:
                entry.inline = b""
            elif stat.S_ISLNK(file.mode) and entry.size <= _LONGEST_LINK:
                try:
                    entry.inline = read_runs(self.device, runs, 0, entry.size)
                except ReadFailed:
                    entry.runs = runs
            else:
                entry.runs = runs
            yield entry

    def _packed(self, file: _File) -> decmpfs.Packed | None:
        found = self._attributes.search((file.number, decmpfs.ATTRIBUTE, 0)) if self._attributes is not None else None
        if found is None or len(found.data) < 16:
            return None
        kind, _, _, length = struct.unpack_from(">IIII", found.data)
        packed = decmpfs.parse(found.data[16 : 16 + length]) if kind == 0x10 else None
        return packed if packed is None or packed.size < 1 << 63 else None

    def content(self, address: str, size: int) -> Iterator[bytes]:
        """The content of a file that is stored compressed. Raises :class:`ReadFailed`."""
        number, node, index = (int(part) for part in address.split("-"))
        record = self._catalog.at(node, index)
        file = _parsed(record) if record is not None else None
        packed = self._packed(file) if file is not None else None
        if file is None or packed is None or file.number != number:
            raise ReadFailed("Its content cannot be read: the file system is damaged there.")
        if packed.kind in decmpfs.LZVN:
            from amparo.evidence.source.tsk import TskVolume

            try:
                library = TskVolume(self.device)
            except SourceUnreadable as error:
                raise ReadFailed("Its content cannot be read: the file system is damaged there.") from error
            yield from library.content(f"{number}-4352-0", size)
            return
        runs = self._runs(file.resource, number, _RESOURCE)
        told = 0
        for piece in decmpfs.content(packed, lambda offset, length: read_runs(self.device, runs, offset, length)):
            told += len(piece)
            yield piece
        if told != size:
            raise ReadFailed(f"Its content ends after {told} of {size} bytes.")

    def _path(self, folder: int) -> str | None:
        """The path of a folder, empty for the root; None where the folders above it are lost or lead in a circle."""
        names: list[str] = []
        length, above = 0, folder
        while above != ROOT and above not in self._paths:
            if above not in self._folders or length > _LONGEST_PATH:
                return None
            above, name = self._folders[above]
            names.append(_shown(name))
            length += len(name) + 1
        path = "/".join([*filter(None, [self._paths.get(above, "")]), *reversed(names)])
        if len(path) > _LONGEST_PATH:
            return None
        if len(self._paths) >= _MOST_PATHS:
            self._paths.clear()
        self._paths[folder] = path
        return path


def _extents_key(raw: bytes) -> tuple[tuple[int, int, int], int]:
    length, kind, _, number, start = struct.unpack_from(">HBBII", raw)
    return (number, kind, start), 2 + length


def _attribute_key(raw: bytes) -> tuple[tuple[int, str, int], int]:
    length, _, number, start, units = struct.unpack_from(">HHIIH", raw)
    name = raw[14 : 14 + 2 * units].decode("utf-16-be", "backslashreplace")
    return (number, name, start), 2 + length + (length & 1)


def _parsed(record: Record) -> _File | None:
    raw = record.data
    if len(raw) < 248 or raw[:2] != b"\0\2":
        return None
    (number,) = struct.unpack_from(">I", raw, 8)
    created, modified, changed, accessed = (
        iso_from_epoch(seconds - _SINCE_1904) if seconds else None for seconds in struct.unpack_from(">IIII", raw, 12)
    )
    flags, mode, special = struct.unpack_from(">BHI", raw, 41)
    times = (created, modified, changed, accessed)
    return _File(number, mode, raw[48:56], special, flags, times, fork(raw, 88), fork(raw, 168))


def _entry(file: _File, path: str, state: str, record: Record, size: int, problem: str | None = None) -> Entry:
    created, modified, changed, accessed = file.times
    return Entry(
        path, size if size < 1 << 63 else 0, state, f"{file.number}-{record.node}-{record.place}", created=created,
        modified=modified, accessed=accessed, changed=changed, problem=problem,
    )  # fmt: skip


def _shown(name: str) -> str:
    """A name as Mac OS shows it to programs: the solidus, which a name may hold, for the colon, which it may not."""
    return component(name.replace("/", ":"))
