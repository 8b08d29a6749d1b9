"""exFAT, read directory by directory: files in one piece and in many, live and deleted.

The Sleuth Kit reads exFAT too, but takes no notice of a time's offset from UTC nor of a file's valid length, and both matter as
evidence. Layout after Microsoft's exFAT file system specification (2019).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from amparo.clock import iso
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import allocation_maps
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import Entry, Runs, component, trimmed
from amparo.evidence.source.free_space import Allocation

FILE, STREAM, NAME, IN_USE = 0x05, 0x40, 0x41, 0x80
DIRECTORY = 0x10
_CONTIGUOUS = 2
_END = 0xFFFFFFF7
LARGEST_DIRECTORY = 256 << 20  # what the specification allows
_FAT_PIECE = 1 << 16

_FILE = struct.Struct("<BBHHHIIIBBBBB7x")
_STREAM = struct.Struct("<BBBBHHQIIQ")


class _Found(NamedTuple):
    """One file's entries taken together."""

    name: str
    deleted: bool
    attributes: int
    times: tuple[str | None, str | None, str | None]  # created, modified, accessed
    first: int
    size: int
    valid: int
    contiguous: bool
    at: int


class ExfatVolume:
    """An exFAT file system on ``device``. Raises :class:`SourceUnreadable` where its boot sector is beyond use."""

    kind = "exfat"

    def __init__(self, device: Device) -> None:
        self.device = device
        boot = device.read(0, 512)
        if len(boot) < 512 or boot[3:11] != b"EXFAT   " or not 9 <= boot[108] <= 12 or boot[108] + boot[109] > 25:
            boot = device.read(12 * 512, 512)  # the copy, on a medium of the usual sectors
        if len(boot) < 512 or boot[3:11] != b"EXFAT   " or not 9 <= boot[108] <= 12 or boot[108] + boot[109] > 25:
            raise SourceUnreadable("The exFAT boot sector is damaged: its cluster size makes no sense.")
        numbers: tuple[int, ...] = struct.unpack_from("<IIIII", boot, 80)
        fat, fat_length, heap, clusters, self.root = numbers
        sector = 1 << boot[108]
        self.cluster = sector << boot[109]
        self.heap, self._fat, self._fat_size = heap * sector, fat * sector, fat_length * sector
        self.clusters = min(clusters, max(0, device.size - self.heap) // self.cluster)
        self.problems: list[str] = []
        self._cached: tuple[int, bytes] = (-1, b"")

    def allocation(self) -> Allocation:
        """Which clusters are in use, from the allocation bitmap. Raises :class:`ReadFailed`."""
        try:
            found = allocation_maps.read(self.kind, self.device)
        except ValueError as error:
            raise ReadFailed(
                f"The exFAT cluster map cannot be read, so free space is not searched: {error}."
            ) from error
        if found is None:
            raise ReadFailed("The exFAT cluster map cannot be found, so free space is not searched.")
        return found

    def entries(self) -> Iterator[Entry]:
        """Every file: the live directories first, so that what they hold is theirs, then what deleted ones held."""
        try:
            allocation: Allocation | None = self.allocation()
        except ReadFailed as error:
            self.problems.append(str(error))
            allocation = None
        live: list[tuple[str, Runs]] = [("", self._chain(self.root, LARGEST_DIRECTORY))]
        deleted: list[tuple[str, Runs]] = []
        visited = {self.root}
        left = max(
            self.device.size, LARGEST_DIRECTORY
        )  # directories that lie over one another would be read without end
        while live or deleted:
            gone = not live
            path, runs = (live or deleted).pop()
            left -= sum(length for _, length in runs)
            if left < 0:
                self.problems.append("The directories claim more room than the volume has: the rest were left out.")
                return
            for found in self._directory(runs, path):
                place = f"{path}/{found.name}" if path else found.name
                dead = found.deleted or gone
                if found.attributes & DIRECTORY:
                    below = self._runs(found, dead)
                    reused = dead and (allocation is None or allocation.any_in_use(below))
                    if found.first not in visited and not reused:
                        visited.add(found.first)
                        (deleted if dead else live).append((place, below))
                    continue
                yield self._entry(found, place, dead, allocation)

    def _entry(self, found: _Found, path: str, deleted: bool, allocation: Allocation | None) -> Entry:
        runs = self._runs(found, deleted)
        problem = None
        if sum(length for _, length in runs) < found.size:
            problem = "Its chain of clusters is broken, so its content cannot be put together."
        elif deleted and allocation is not None and allocation.any_in_use(runs):
            problem = "Its clusters were given to other files since it was deleted; its content is lost."
        created, modified, accessed = found.times
        return Entry(
            path, found.size, "deleted" if deleted else "live", str(found.at), created=created, modified=modified, accessed=accessed,
            runs=runs if found.size else None, inline=None if found.size else b"", valid=found.valid, problem=problem,
        )  # fmt: skip

    # Directories ------------------------------------------------------------------------------------------------

    def _directory(self, runs: Runs, path: str) -> Iterator[_Found]:
        at = 0
        raw = b""
        try:
            raw = b"".join(self.device.read(offset, length) for offset, length in runs)
        except ReadFailed:
            self.problems.append(f"The directory “{path or '/'}” cannot be read.")
        while at + 96 <= len(raw):
            kind = raw[at]
            if not kind:
                return  # nothing was ever written behind this
            count = raw[at + 1]
            if kind & 0x7F == FILE and 2 <= count <= 18 and at + 32 * (count + 1) <= len(raw):
                found = self._file(raw[at : at + 32 * (count + 1)], self._address(runs, at))
                if found is not None:
                    yield found
                    at += 32 * (count + 1)
                    continue
            at += 32

    @staticmethod
    def _address(runs: Runs, at: int) -> int:
        for offset, length in runs:
            if at < length:
                return offset + at
            at -= length
        return 0

    def _file(self, raw: bytes, at: int) -> _Found | None:
        """The file, or None where these entries do not belong together."""
        kind, _, _, attributes, _, created, modified, accessed, tenth, tenth_modified, *zones = _FILE.unpack_from(raw)
        mark, flags, _, length, _, _, valid, _, first, size = _STREAM.unpack_from(raw, 32)
        names = [raw[place : place + 32] for place in range(64, len(raw), 32)]
        if mark & 0x7F != STREAM or (mark ^ kind) & IN_USE or not length:
            return None
        parts = [part[2:] for part in names if part[0] & 0x7F == NAME]
        if 15 * len(parts) < length:
            return None
        name = b"".join(parts)[: 2 * length].decode("utf-16-le", "backslashreplace")
        times = (
            _time(created, tenth, zones[0]), _time(modified, tenth_modified, zones[1]), _time(accessed, 0, zones[2]),
        )  # fmt: skip
        size = size if size < 1 << 63 else 0
        return _Found(
            component(name),
            not kind & IN_USE,
            attributes,
            times,
            first,
            size,
            min(valid, size),
            bool(flags & _CONTIGUOUS),
            at,
        )

    # Clusters ---------------------------------------------------------------------------------------------------

    def _runs(self, found: _Found, deleted: bool) -> Runs:
        size = min(found.size, LARGEST_DIRECTORY) if found.attributes & DIRECTORY else found.size
        if not size or not 2 <= found.first < self.clusters + 2:
            return []
        if not found.contiguous:
            runs = trimmed(self._chain(found.first, size), size)
            # Some writers empty the chain of a file that they delete; then one piece is what it most often lay in.
            if not deleted or sum(length for _, length in runs) >= size:
                return runs
        return [(self._place(found.first), min(size, (self.clusters + 2 - found.first) * self.cluster))]

    def _place(self, cluster: int) -> int:
        return self.heap + (cluster - 2) * self.cluster

    def _chain(self, cluster: int, size: int) -> Runs:
        runs: Runs = []
        told = 0
        met: set[int] = set()
        while 2 <= cluster < self.clusters + 2 and told < size and cluster not in met:
            met.add(cluster)
            offset = self._place(cluster)
            if runs and runs[-1][0] + runs[-1][1] == offset:
                runs[-1] = (runs[-1][0], runs[-1][1] + self.cluster)
            else:
                runs.append((offset, self.cluster))
            told += self.cluster
            cluster = self._following(cluster)
        return runs

    def _following(self, cluster: int) -> int:
        piece, inside = divmod(4 * cluster, _FAT_PIECE)
        if self._cached[0] != piece:
            start = piece * _FAT_PIECE
            try:
                raw = self.device.read(self._fat + start, max(0, min(_FAT_PIECE, self._fat_size - start)))
            except ReadFailed:
                raw = b""
            self._cached = (piece, raw)
        entry = self._cached[1][inside : inside + 4]
        return int.from_bytes(entry, "little") if len(entry) == 4 else _END


def _time(stamp: int, tenths: int, zone: int) -> str | None:
    """ISO 8601 in UTC; where the entry states no offset, its local time is shown as it stands."""
    try:
        moment = datetime(
            1980 + (stamp >> 25), stamp >> 21 & 15, stamp >> 16 & 31, stamp >> 11 & 31, stamp >> 5 & 63, 2 * (stamp & 31), tzinfo=UTC
        )  # fmt: skip
        moment += timedelta(milliseconds=10 * min(tenths, 199))
        if zone & 0x80:
            quarters = zone & 0x7F
            moment -= timedelta(minutes=15 * (quarters - 128 if quarters & 0x40 else quarters))
        return iso(moment)
    except (ValueError, OverflowError):
        return None
