"""NTFS, read from its master file table: every record once, in use or not.

The Sleuth Kit remains the reference (tests hold both against each other); this reader exists because the binding to it
gives neither names of deleted records nor the initialised size, and because one pass over the table is faster.

Layout after Microsoft's [MS-FSCC] and the Linux-NTFS project's documentation of the on-disk structures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry, Runs, trimmed
from amparo.evidence.source.free_space import Allocation
from amparo.evidence.source.mft_record import DATA, DIRECTORY, UNKNOWN, Record, Stream, base_of, parse

ROOT = 5
BITMAP = 6
BAD_CLUSTERS = 8
FIRST_USER_RECORD = 24
MFT_PIECE = 4 << 20
ORPHANS = "$OrphanFiles/"
LONGEST_PATH = 32_767  # what Windows allows; a damaged table may chain directories without end
LONGEST_LIST = 1 << 20
MOST_PIECES_OF_THE_TABLE = 1024
MOST_FROM_ONE_RECORD = 1 << 16
_PATHS_KEPT = 20_000

COMPRESSED, ENCRYPTED = 0x00FF, 0x4000
WINDOWS_OVERLAY = 0x80000017

_FILETIME_EPOCH = 11_644_473_600


@lru_cache(maxsize=1 << 14)  # files copied together share their times, and most files repeat one of their own
def filetime(ticks: int) -> str | None:
    """ISO 8601 of a Windows time (100 ns since 1601), or None where there is none or it is out of range."""
    if ticks <= 0:
        return None
    seconds, rest = divmod(ticks, 10_000_000)
    return iso_from_epoch(seconds - _FILETIME_EPOCH, rest * 100)


class NtfsVolume:
    """An NTFS file system on ``device``. Raises :class:`SourceUnreadable` where the boot sector or the table is beyond use."""

    kind = "ntfs"

    def __init__(self, device: Device) -> None:
        self.device = device
        boot = device.read(0, 512)
        if len(boot) < 512 or boot[3:11] != b"NTFS    ":
            boot = self._last_boot_sector()
        sector, per_cluster = struct.unpack_from("<HB", boot, 11)
        if per_cluster > 128:
            per_cluster = 1 << (256 - per_cluster)
        self.cluster = sector * per_cluster
        sectors, mft, mirror = struct.unpack_from("<QQQ", boot, 40)
        per_record = struct.unpack_from("<b", boot, 64)[0]
        self.record_size = 1 << -per_record if per_record < 0 else per_record * self.cluster
        if sector not in (256, 512, 1024, 2048, 4096) or not self.cluster or self.cluster > 2 << 20:
            raise SourceUnreadable("The NTFS boot sector is damaged: its cluster size makes no sense.")
        if self.record_size not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
            raise SourceUnreadable("The NTFS boot sector is damaged: its record size makes no sense.")
        self.size = min(device.size, sectors * sector)
        self.clusters = self.size // self.cluster
        self.problems: list[str] = []
        self._mft_runs: Runs = []
        self._mft_size = 0
        for place in (mft, mirror):
            if self._find_table(place * self.cluster):
                break
        else:
            raise SourceUnreadable("The NTFS master file table cannot be read, nor its mirror.")
        # By record: sequence, whether in use, and the parent, the parent's sequence and the name of each directory.
        self._directories: dict[int, tuple[int, bool, int, int, str]] = {}
        self._continued: dict[int, list[int]] = {}
        self._paths: dict[tuple[int, int], tuple[str, bool]] = {}

    def _last_boot_sector(self) -> bytes:
        copy = self.device.read(max(0, self.device.size - 512), 512)
        if len(copy) < 512 or copy[3:11] != b"NTFS    ":
            raise SourceUnreadable("This is not an NTFS volume.")
        return copy

    # The table itself -------------------------------------------------------------------------------------------

    def _find_table(self, offset: int) -> bool:
        try:
            raw = self.device.read(offset, self.record_size)
        except ReadFailed:
            return False
        record = parse(raw, 0, self.cluster, self.clusters)
        stream = record.streams.get("") if record else None
        if record is None or stream is None or not stream.parts or stream.size == UNKNOWN:
            return False
        self._measure(stream)
        if record.list_at:  # a table in many pieces keeps the later pieces' addresses in records of its own
            for number in self._listed(record)[:MOST_PIECES_OF_THE_TABLE]:
                self._join(record, number)
                self._measure(stream)  # the next record may lie where this one just led
        return True

    def _measure(self, stream: Stream) -> None:
        self._mft_runs = stream.runs(self.cluster)
        self._mft_size = min(stream.size, sum(length for _, length in self._mft_runs), self.device.size)

    def _read_runs(self, runs: Runs, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        start = 0
        for at, size in runs:
            if length <= 0:
                break
            if offset < start + size:
                inner = offset - start
                take = min(size - inner, length)
                pieces.append(bytes(take) if at == SPARSE else self.device.read(at + inner, take))
                offset += take
                length -= take
            start += size
        return b"".join(pieces)

    def _record(self, number: int) -> Record | None:
        try:
            raw = self._read_runs(self._mft_runs, number * self.record_size, self.record_size)
        except ReadFailed:
            return None
        return parse(raw, number, self.cluster, self.clusters)

    def _join(self, record: Record, number: int) -> None:
        part = self._record(number)
        if part is not None and part.belongs_to(record):
            record.join(part)

    def _table(self, problems: list[str]) -> Iterator[tuple[int, bytes]]:
        """Every record's number and bytes, the fix-up not yet undone; those that cannot be read go to ``problems``."""
        size, per_piece = self.record_size, MFT_PIECE // self.record_size
        for first in range(0, self._mft_size // size, per_piece):
            count = min(per_piece, self._mft_size // size - first)
            try:
                piece = self._read_runs(self._mft_runs, first * size, count * size)
            except ReadFailed:
                for number in range(first, first + count):
                    try:
                        yield number, self._read_runs(self._mft_runs, number * size, size)
                    except ReadFailed as error:
                        problems.append(f"Record {number} of the master file table cannot be read: {error}")
                continue
            for index in range(len(piece) // size):
                yield first + index, piece[index * size : (index + 1) * size]

    def _listed(self, record: Record) -> list[int]:
        """The other records that the record's attribute list names, each once and in its order."""
        assert record.list_at is not None
        value, runs, size = record.list_at
        if value is None:
            try:
                value = self._read_runs(trimmed(runs, min(size, LONGEST_LIST)), 0, min(size, LONGEST_LIST))
            except ReadFailed:
                value = b""
        others: dict[int, None] = {}
        at = 0
        while at + 26 <= len(value):
            others[int.from_bytes(value[at + 16 : at + 22], "little")] = None
            at += max(26, int.from_bytes(value[at + 4 : at + 6], "little"))
        others.pop(record.number, None)
        return list(others)

    # The directories --------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """First pass: which records continue which, and the directories, without which no file has a path."""
        nameless: list[int] = []
        for number, raw in self._table([]):  # the second pass meets, and reports, the same damage
            if raw[:4] != b"FILE":
                continue
            if base := base_of(raw):
                self._continued.setdefault(base & (1 << 48) - 1, []).append(number)
            elif raw[22] & DIRECTORY:
                record = parse(raw, number, self.cluster, self.clusters)
                if record is not None and not self._learn_directory(record):
                    nameless.append(number)
        for number in nameless:
            record = self._record(number)
            if record is not None:
                self._complete(record)
                self._learn_directory(record)

    def _learn_directory(self, record: Record) -> bool:
        for parent, parent_sequence, _, name in record.long_names()[:1]:
            self._directories[record.number] = (record.sequence, record.in_use, parent, parent_sequence, name)
        return bool(record.names)

    def _complete(self, record: Record) -> None:
        """Add what the records that continue this one say, whether or not its attribute list can still be read."""
        for number in self._continued.get(record.number, ()):
            self._join(record, number)

    def _above(self, parent: int, sequence: int) -> tuple[str, bool]:
        """The path to a directory, with ``/`` at its end, and whether it leads to the root.

        A parent since given to another directory, a circle and an endless chain make an orphan.
        """
        climbed: dict[tuple[int, int], str] = {}
        key = (parent, sequence)
        while True:
            if key[0] == ROOT:
                path, rooted = "", True
                break
            if key in self._paths:
                path, rooted = self._paths[key]
                break
            known = self._directories.get(key[0])
            # Deleting a record raises its sequence number by one.
            if known is None or key in climbed or known[0] not in (key[1], key[1] + (not known[1])):
                path, rooted = ORPHANS, False
                break
            climbed[key] = known[4]
            key = known[2:4]
        if len(self._paths) > _PATHS_KEPT:
            self._paths.clear()
        for key, name in reversed(climbed.items()):
            if len(path) + len(name) > LONGEST_PATH:
                path, rooted = ORPHANS, False
            path = f"{path}{name}/"
            self._paths[key] = path, rooted
        return path, rooted

    # The files --------------------------------------------------------------------------------------------------

    def allocation(self) -> Allocation:
        """Which clusters are in use, from $Bitmap."""
        record = self._record(BITMAP)
        stream = record.streams.get("") if record else None
        if record is None or stream is None:
            raise ReadFailed("The NTFS cluster map cannot be read, so free space is not searched.")
        for number in self._listed(record) if record.list_at else ():
            self._join(record, number)
        raw = stream.inline
        if raw is None:
            size = min(stream.size, -(-self.clusters // 8))
            raw = self._read_runs(trimmed(stream.runs(self.cluster), size), 0, size)
        return Allocation.from_bitmap(raw, self.clusters, self.cluster)

    def entries(self) -> Iterator[Entry]:
        """Every file and named stream, live, deleted and orphan; directories give only their named streams."""
        try:
            allocation: Allocation | None = self.allocation()
        except ReadFailed as error:
            self.problems.append(str(error))
            allocation = None
        self._learn()
        for number, raw in self._table(self.problems):
            if base_of(raw):
                continue
            record = parse(raw, number, self.cluster, self.clusters)
            if record is None:
                continue
            if record.damage:
                self.problems.append(record.damage)
            if record.number in self._continued:
                self._complete(record)
            yield from self._files(record, allocation)

    def _files(self, record: Record, allocation: Allocation | None) -> Iterator[Entry]:
        names = record.long_names() if record.number != ROOT else [(ROOT, 0, 0, "")]
        streams = list(record.streams.values())
        if not names and (record.number < FIRST_USER_RECORD or not streams):
            return  # one of the records that NTFS keeps in reserve, or a record of which nothing is left
        if not streams and record.list_at and not record.is_directory:
            streams = [Stream("", 0)]
        created, modified, changed, accessed = map(filetime, record.times)
        if len(names) * len(streams) > MOST_FROM_ONE_RECORD:
            self.problems.append(
                f"Record {record.number} claims {len(names)} names, which no file has: the first was kept."
            )
            names = names[:1]
        for stream in streams:
            if record.is_directory and not stream.name:
                continue
            if record.number == BAD_CLUSTERS and stream.name == "$Bad":
                continue  # a map as large as the volume, all of it holes
            size = max(0, stream.size)
            runs = None if stream.inline is not None else trimmed(stream.runs(self.cluster), size)
            problem = self._unreadable(record, stream, runs, allocation)
            by_library = bool(stream.flags & COMPRESSED) and problem is None
            for parent, sequence, _, name in names or ((UNKNOWN, 0, 0, f"record-{record.number}"),):
                above, rooted = self._above(parent, sequence)
                path = f"{above}{name}:{stream.name}" if stream.name else above + name
                if stream.flags & ENCRYPTED and problem is None:
                    self.problems.append(f"“{path}” is encrypted by Windows (EFS): only its encrypted form was read.")
                yield Entry(
                    path=path,
                    size=size,
                    state="orphan" if not rooted else "live" if record.in_use else "deleted",
                    address=f"{record.number}-{DATA}-{stream.number}",
                    created=created, modified=modified, changed=changed, accessed=accessed,
                    runs=None if by_library else runs,
                    inline=stream.inline,
                    valid=max(0, stream.valid),
                    problem=problem,
                )  # fmt: skip

    @staticmethod
    def _unreadable(record: Record, stream: Stream, runs: Runs | None, allocation: Allocation | None) -> str | None:
        if record.reparse == WINDOWS_OVERLAY and not stream.name:
            return "Compressed by Windows itself; its stored form is the stream WofCompressedData beside it."
        if runs is None:
            return None
        if stream.size == UNKNOWN or sum(length for _, length in runs) < stream.size:
            return "Part of its address list is lost, so its content cannot be put together."
        if not record.in_use and allocation is not None and allocation.any_in_use(runs):
            return "Its clusters were given to other files since it was deleted; its content is lost."
        return None
