"""NTFS, read from its master file table: every record once, in use or not.

The Sleuth Kit remains the reference (tests hold both against each other); this reader exists because the binding to it
gives neither names of deleted records nor the initialised size, and because one pass over the table is faster.

Layout after Microsoft's [MS-FSCC] and the Linux-NTFS project's documentation of the on-disk structures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry, Runs, trimmed
from amparo.evidence.source.free_space import Allocation

ROOT = 5
BITMAP = 6
BAD_CLUSTERS = 8
FIRST_USER_RECORD = 24
MFT_PIECE = 4 << 20

STANDARD_INFORMATION, ATTRIBUTE_LIST, FILE_NAME, DATA, REPARSE_POINT = 0x10, 0x20, 0x30, 0x80, 0xC0
COMPRESSED, ENCRYPTED = 0x00FF, 0x4000
WINDOWS_OVERLAY = 0x80000017
IN_USE, DIRECTORY = 1, 2
DOS_NAME = 2
MAX_DEPTH = 256

_FILETIME_EPOCH = 11_644_473_600
_HEADER = struct.Struct("<4sHHQHHHHII8sHHI")
_TIMES = struct.Struct("<4Q")


def filetime(ticks: int) -> str | None:
    """ISO 8601 of a Windows time (100 ns since 1601), or None where there is none or it is out of range."""
    if ticks <= 0:
        return None
    seconds, rest = divmod(ticks, 10_000_000)
    return iso_from_epoch(seconds - _FILETIME_EPOCH, rest * 100)


@dataclass(slots=True)
class _Stream:
    """One $DATA attribute, put together from all its parts."""

    name: str
    number: int
    size: int = 0
    valid: int = 0
    flags: int = 0
    inline: bytes | None = None
    parts: list[tuple[int, Runs]] = field(default_factory=list)

    def runs(self) -> Runs:
        return [run for _, runs in sorted(self.parts, key=lambda part: part[0]) for run in runs]


@dataclass(slots=True)
class _Record:
    number: int
    sequence: int
    flags: int
    base: int
    times: tuple[int, int, int, int] = (0, 0, 0, 0)
    names: list[tuple[int, int, int, str]] = field(default_factory=list)  # parent, its sequence, name space, name
    streams: dict[str, _Stream] = field(default_factory=dict)
    reparse: int = 0
    list_at: tuple[bytes | None, Runs, int] | None = None


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
        self._directories: dict[int, tuple[int, bool, int, int, str]] = {}

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
        record = self._parse(raw, 0)
        stream = record.streams.get("") if record else None
        if record is None or stream is None or not stream.parts:
            return False
        self._mft_runs, self._mft_size = stream.runs(), stream.size
        if record.list_at:  # a table in many pieces keeps the later pieces' addresses in records of its own
            self._complete(record)
            self._mft_runs, self._mft_size = record.streams[""].runs(), record.streams[""].size
        self._mft_size = min(self._mft_size, sum(length for _, length in self._mft_runs), self.device.size)
        return True

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

    def _record(self, number: int) -> _Record | None:
        try:
            raw = self._read_runs(self._mft_runs, number * self.record_size, self.record_size)
        except ReadFailed:
            return None
        return self._parse(raw, number)

    def _table(self) -> Iterator[tuple[int, bytes]]:
        """Every record's number and bytes, the fix-up not yet undone."""
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
                        self.problems.append(f"Record {number} of the master file table cannot be read: {error}")
                continue
            for index in range(len(piece) // size):
                yield first + index, piece[index * size : (index + 1) * size]

    # One record -------------------------------------------------------------------------------------------------

    def _parse(self, raw: bytes, number: int) -> _Record | None:
        """The record, or None where these bytes never held one or are torn."""
        if len(raw) < 48 or raw[:4] != b"FILE":
            return None
        _, fix_at, fix_count, _, sequence, _, first, flags, used, _, base, _, _, _ = _HEADER.unpack_from(raw)
        fixed = bytearray(raw)
        if fix_count > 1:
            if fix_at + 2 * fix_count > len(raw):
                return None
            check = raw[fix_at : fix_at + 2]
            for index in range(1, fix_count):
                end = index * 512
                if end > len(raw):
                    break
                if fixed[end - 2 : end] != check:
                    self.problems.append(
                        f"Record {number} of the master file table is torn: its sectors do not belong together."
                    )
                    return None
                fixed[end - 2 : end] = raw[fix_at + 2 * index : fix_at + 2 * index + 2]
        record = _Record(number, sequence, flags, int.from_bytes(base[:6], "little"))
        try:
            self._attributes(record, bytes(fixed), first, min(used, len(fixed)))
        except (struct.error, IndexError, ValueError):
            self.problems.append(
                f"Record {number} of the master file table is damaged; what precedes the damage was kept."
            )
        return record

    def _attributes(self, record: _Record, raw: bytes, at: int, end: int) -> None:
        while at + 16 <= end:
            kind, length, nonresident, name_length, name_at, flags, number = struct.unpack_from("<IIBBHHH", raw, at)
            if kind == 0xFFFFFFFF:
                return
            if length < 16 or at + length > end:
                raise ValueError("attribute past the record")
            if kind in (STANDARD_INFORMATION, FILE_NAME, DATA, ATTRIBUTE_LIST, REPARSE_POINT):
                name = (
                    raw[at + name_at : at + name_at + 2 * name_length].decode("utf-16-le", "backslashreplace")
                    if name_length
                    else ""
                )
                if nonresident:
                    if kind in (DATA, ATTRIBUTE_LIST):
                        self._nonresident(record, raw[at : at + length], kind, name, number, flags)
                else:
                    size, value_at = struct.unpack_from("<IH", raw, at + 16)
                    if value_at + size > length:
                        raise ValueError("value past the attribute")
                    self._resident(record, raw[at + value_at : at + value_at + size], kind, name, number)
            at += length

    def _resident(self, record: _Record, value: bytes, kind: int, name: str, number: int) -> None:
        if kind == STANDARD_INFORMATION:
            record.times = _TIMES.unpack_from(value)
        elif kind == FILE_NAME:
            parent, parent_sequence = int.from_bytes(value[:6], "little"), int.from_bytes(value[6:8], "little")
            count, space = value[64], value[65]
            text = value[66 : 66 + 2 * count].decode("utf-16-le", "backslashreplace").replace("\0", "\\x00")
            record.names.append((parent, parent_sequence, space, text))
        elif kind == DATA:
            record.streams.setdefault(name, _Stream(name, number, len(value), len(value), 0, value))
        elif kind == ATTRIBUTE_LIST:
            record.list_at = (value, [], len(value))
        elif kind == REPARSE_POINT and len(value) >= 4:
            record.reparse = int.from_bytes(value[:4], "little")

    def _nonresident(self, record: _Record, raw: bytes, kind: int, name: str, number: int, flags: int) -> None:
        first_vcn, _, runs_at = struct.unpack_from("<QQH", raw, 16)
        runs = self._mapping(raw, runs_at)
        size, valid = struct.unpack_from("<QQ", raw, 48)
        if kind == ATTRIBUTE_LIST:
            record.list_at = (None, runs, size)
            return
        stream = record.streams.setdefault(name, _Stream(name, number))
        if first_vcn == 0:
            stream.size, stream.valid, stream.flags, stream.number = size, valid, flags, number
        stream.parts.append((first_vcn, runs))

    def _mapping(self, raw: bytes, at: int) -> Runs:
        """The mapping pairs of an attribute, in bytes of the volume."""
        runs: Runs = []
        cluster, lcn = self.cluster, 0
        while raw[at]:
            lengths, offsets = raw[at] & 15, raw[at] >> 4
            at += 1
            if lengths == 0 or lengths > 8 or offsets > 8 or at + lengths + offsets > len(raw):
                raise ValueError("damaged mapping pairs")
            count = int.from_bytes(raw[at : at + lengths], "little")
            at += lengths
            if offsets:
                lcn += int.from_bytes(raw[at : at + offsets], "little", signed=True)
                if lcn < 0 or lcn + count > self.clusters + 1:
                    raise ValueError("run past the volume")
                runs.append((lcn * cluster, count * cluster))
            else:
                runs.append((SPARSE, count * cluster))
            at += offsets
        return runs

    def _complete(self, record: _Record) -> None:
        """Add the attributes that the record's attribute list places in other records."""
        assert record.list_at is not None
        value, runs, size = record.list_at
        if value is None:
            try:
                value = self._read_runs(trimmed(runs, min(size, 1 << 20)), 0, min(size, 1 << 20))
            except ReadFailed:
                value = b""
        others: list[int] = []
        at = 0
        while at + 26 <= len(value):
            length = int.from_bytes(value[at + 4 : at + 6], "little")
            other = int.from_bytes(value[at + 16 : at + 22], "little")
            if other != record.number and other not in others:
                others.append(other)
            if length < 26:
                break
            at += length
        for other in others:
            part = self._record(other)
            if part is None or part.base != record.number:
                continue
            record.names += part.names
            record.reparse = record.reparse or part.reparse
            for name, stream in part.streams.items():
                mine = record.streams.setdefault(name, stream)
                if mine is not stream:
                    mine.parts += stream.parts
                    if any(vcn == 0 for vcn, _ in stream.parts):
                        mine.size, mine.valid, mine.flags, mine.number = (
                            stream.size,
                            stream.valid,
                            stream.flags,
                            stream.number,
                        )

    # The files --------------------------------------------------------------------------------------------------

    def allocation(self) -> Allocation:
        """Which clusters are in use, from $Bitmap."""
        record = self._record(BITMAP)
        stream = record.streams.get("") if record else None
        if record is None or stream is None:
            raise ReadFailed("The NTFS cluster map cannot be read, so free space is not searched.")
        if record.list_at:
            self._complete(record)
        raw = (
            stream.inline
            if stream.inline is not None
            else self._read_runs(trimmed(stream.runs(), stream.size), 0, stream.size)
        )
        return Allocation.from_bitmap(raw, self.clusters, self.cluster)

    def entries(self) -> Iterator[Entry]:
        """Every file and named stream, live, deleted and orphan; directories give only their named streams."""
        try:
            allocation: Allocation | None = self.allocation()
        except ReadFailed as error:
            self.problems.append(str(error))
            allocation = None
        self._learn_directories()
        for number, raw in self._table():
            if raw[:4] != b"FILE" or raw[32:38] != b"\0\0\0\0\0\0":
                continue
            record = self._parse(raw, number)
            if record is None or record.base:
                continue
            if record.list_at:
                self._complete(record)
            yield from self._files(record, allocation)

    def _learn_directories(self) -> None:
        for number, raw in self._table():
            if raw[:4] != b"FILE" or not raw[22] & DIRECTORY:
                continue
            before = len(self.problems)
            record = self._parse(raw, number)
            del self.problems[before:]  # the second pass meets, and reports, the same damage
            if record is None or record.base:
                continue
            if record.list_at and not record.names:
                self._complete(record)
            names = self._names(record)
            if names:
                parent, parent_sequence, _, name = names[0]
                self._directories[number] = (
                    record.sequence,
                    bool(record.flags & IN_USE),
                    parent,
                    parent_sequence,
                    name,
                )

    @staticmethod
    def _names(record: _Record) -> list[tuple[int, int, int, str]]:
        long = [name for name in record.names if name[2] != DOS_NAME]
        return long or record.names

    def _path(self, parent: int, sequence: int, name: str) -> tuple[str, bool]:
        """The path, and whether it leads to the root; a parent since reused makes an orphan."""
        parts = [name]
        for _ in range(MAX_DEPTH):
            if parent == ROOT:
                return "/".join(reversed(parts)), True
            known = self._directories.get(parent)
            # Deleting a record raises its sequence number by one.
            if known is None or known[0] not in (sequence, sequence + (not known[1])):
                break
            _, _, parent, sequence, above = known
            parts.append(above)
        return "$OrphanFiles/" + "/".join(reversed(parts)), False

    def _files(self, record: _Record, allocation: Allocation | None) -> Iterator[Entry]:
        live = bool(record.flags & IN_USE)
        if not record.streams or (record.number < FIRST_USER_RECORD and not record.names):
            return  # nothing to read, or one of the records that NTFS keeps in reserve
        times = [filetime(ticks) for ticks in record.times]
        names = self._names(record) or [(-1, 0, 0, f"record-{record.number}")]
        for stream in record.streams.values():
            if record.flags & DIRECTORY and not stream.name:
                continue
            if record.number == BAD_CLUSTERS and stream.name == "$Bad":
                continue  # a map as large as the volume, all of it holes
            runs = None if stream.inline is not None else trimmed(stream.runs(), stream.size)
            problem = self._unreadable(record, stream, runs, live, allocation)
            by_library = bool(stream.flags & COMPRESSED) and problem is None
            for parent, sequence, _, name in names:
                path, rooted = self._path(parent, sequence, name)
                yield Entry(
                    path=f"{path}:{stream.name}" if stream.name else path,
                    size=stream.size,
                    state="live" if live and rooted else "deleted" if rooted else "orphan",
                    address=f"{record.number}-{DATA}-{stream.number}",
                    created=times[0], modified=times[1], changed=times[2], accessed=times[3],
                    runs=None if by_library else runs,
                    inline=stream.inline,
                    valid=stream.valid,
                    problem=problem,
                )  # fmt: skip

    def _unreadable(
        self, record: _Record, stream: _Stream, runs: Runs | None, live: bool, allocation: Allocation | None
    ) -> str | None:
        if record.reparse == WINDOWS_OVERLAY and not stream.name:
            return "Compressed by Windows itself; its stored form is the stream WofCompressedData beside it."
        if runs is None:
            return None
        if sum(length for _, length in runs) < stream.size:
            return "Part of its address list is lost, so its content cannot be put together."
        if not live and allocation is not None and allocation.any_in_use(runs):
            return "Its clusters were given to other files since it was deleted; its content is lost."
        if stream.flags & ENCRYPTED:
            return None  # the ciphertext is still evidence; the worker names it by its type
        return None
