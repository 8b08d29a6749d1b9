"""One record of the NTFS master file table, taken apart: names, times, and where each of its streams lies.

Layout after Microsoft's [MS-FSCC] and the Linux-NTFS project's documentation of the on-disk structures.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from amparo.evidence.source.entry import SPARSE, Runs, component

STANDARD_INFORMATION, ATTRIBUTE_LIST, FILE_NAME, DATA, REPARSE_POINT = 0x10, 0x20, 0x30, 0x80, 0xC0
IN_USE, DIRECTORY = 1, 2
DOS_NAME = 2
UNKNOWN = -1

_KINDS = frozenset((STANDARD_INFORMATION, ATTRIBUTE_LIST, FILE_NAME, DATA, REPARSE_POINT))
_END = 0xFFFFFFFF
_RECORD = struct.Struct("<4sHHQHHHHII8s")
_ATTRIBUTE = struct.Struct("<IIBBHHH")
_NAME = struct.Struct("<Q56xBB")
_TIMES = struct.Struct("<4Q")
_NUMBER = (1 << 48) - 1


@dataclass(slots=True)
class Stream:
    """One $DATA attribute. ``size`` is :data:`UNKNOWN` until the part that states it is met."""

    name: str
    number: int
    size: int = UNKNOWN
    valid: int = 0
    flags: int = 0
    inline: bytes | None = None
    parts: list[tuple[int, Runs]] = field(default_factory=list)  # first cluster of the stream, and its runs

    def runs(self, cluster: int) -> Runs:
        """The runs from the stream's start, up to the first part that is missing."""
        if len(self.parts) == 1 and not self.parts[0][0]:
            return self.parts[0][1]
        found: Runs = []
        told = 0
        for first, runs in sorted(self.parts, key=lambda part: part[0]):
            if first * cluster != told:
                break
            found += runs
            told += sum(length for _, length in runs)
        return found

    def join(self, other: Stream) -> None:
        """Take over what another record says of the same stream."""
        self.parts += other.parts
        if self.size == UNKNOWN:
            self.size, self.valid, self.flags, self.number = other.size, other.valid, other.flags, other.number
            self.inline = other.inline


@dataclass(slots=True)
class Record:
    """What a record says. ``base`` is the record that this one continues, with its sequence number, or 0."""

    number: int
    sequence: int
    flags: int
    base: int
    times: tuple[int, int, int, int] = (0, 0, 0, 0)
    names: list[tuple[int, int, int, str]] = field(default_factory=list)  # parent, its sequence, name space, name
    streams: dict[str, Stream] = field(default_factory=dict)
    reparse: int = 0
    list_at: tuple[bytes | None, Runs, int] | None = None
    damage: str | None = None

    @property
    def in_use(self) -> bool:
        return bool(self.flags & IN_USE)

    @property
    def is_directory(self) -> bool:
        return bool(self.flags & DIRECTORY)

    def long_names(self) -> list[tuple[int, int, int, str]]:
        """Its names without the 8.3 ones that only repeat a long one."""
        return [name for name in self.names if name[2] != DOS_NAME] or self.names

    def belongs_to(self, base: Record) -> bool:
        """Whether this record continues ``base``. Deleting a file raises its record's sequence number by one."""
        number, sequence = self.base & _NUMBER, self.base >> 48
        return (
            self.base != 0
            and number == base.number
            and self.in_use == base.in_use
            and sequence in (base.sequence, base.sequence - (not base.in_use))
        )

    def join(self, other: Record) -> None:
        """Take over what a record that continues this one says."""
        self.names += other.names
        self.reparse = self.reparse or other.reparse
        for name, stream in other.streams.items():
            mine = self.streams.get(name)
            if mine is None:
                self.streams[name] = stream
            else:
                mine.join(stream)


def base_of(raw: bytes) -> int:
    """The reference to the record that this one continues, from its raw bytes; 0 where it stands for itself."""
    return int.from_bytes(raw[32:40], "little")


def parse(raw: bytes, number: int, cluster: int, clusters: int) -> Record | None:
    """The record, or None where these bytes never held one. ``damage`` says, in a sentence, what was wrong with it."""
    if len(raw) < 48 or raw[:4] != b"FILE":
        return None
    _, fix_at, fix_count, _, sequence, _, first, flags, used, _, base = _RECORD.unpack_from(raw)
    record = Record(number, sequence, flags, int.from_bytes(base, "little"))
    fixed = _fixed(raw, fix_at, fix_count)
    if fixed is None:
        record.damage = f"Record {number} of the master file table is torn: its sectors do not belong together."
        return record
    try:
        _attributes(record, fixed, first, min(used, len(fixed)), cluster, clusters)
    except (struct.error, IndexError, ValueError):
        record.damage = f"Record {number} of the master file table is damaged; what precedes the damage was kept."
    return record


def _fixed(raw: bytes, at: int, count: int) -> bytes | None:
    """The bytes with the end of every sector put back, or None where the sectors were not written together."""
    if count < 2:
        return raw
    if at + 2 * count > len(raw):
        return None
    check = raw[at : at + 2]
    fixed = bytearray(raw)
    for index in range(1, min(count, len(raw) // 512 + 1)):
        end = index * 512
        if fixed[end - 2 : end] != check:
            return None
        fixed[end - 2 : end] = raw[at + 2 * index : at + 2 * index + 2]
    return bytes(fixed)


def _attributes(record: Record, raw: bytes, at: int, end: int, cluster: int, clusters: int) -> None:
    while at + 16 <= end:
        kind, length, nonresident, name_length, name_at, flags, number = _ATTRIBUTE.unpack_from(raw, at)
        if kind == _END:
            return
        if length < 16 or at + length > end:
            raise ValueError("attribute past the record")
        if kind in _KINDS:
            name = ""
            if name_length:
                name = component(
                    raw[at + name_at : at + name_at + 2 * name_length].decode("utf-16-le", "backslashreplace")
                )
            if not nonresident:
                size, value_at = struct.unpack_from("<IH", raw, at + 16)
                if value_at + size > length:
                    raise ValueError("value past the attribute")
                _resident(record, raw[at + value_at : at + value_at + size], kind, name, number)
            elif kind in (DATA, ATTRIBUTE_LIST):
                _nonresident(record, raw[at : at + length], kind, name, number, flags, cluster, clusters)
        at += length


def _resident(record: Record, value: bytes, kind: int, name: str, number: int) -> None:
    if kind == FILE_NAME:
        reference, count, space = _NAME.unpack_from(value)
        text = value[66 : 66 + 2 * count].decode("utf-16-le", "backslashreplace")
        record.names.append((reference & _NUMBER, reference >> 48, space, component(text)))
    elif kind == STANDARD_INFORMATION:
        record.times = _TIMES.unpack_from(value)
    elif kind == DATA:
        record.streams.setdefault(name, Stream(name, number, len(value), len(value), 0, value))
    elif kind == ATTRIBUTE_LIST:
        record.list_at = (value, [], len(value))
    elif kind == REPARSE_POINT and len(value) >= 4:
        record.reparse = int.from_bytes(value[:4], "little")


def _nonresident(
    record: Record, raw: bytes, kind: int, name: str, number: int, flags: int, cluster: int, clusters: int
) -> None:
    first, _, runs_at = struct.unpack_from("<QQH", raw, 16)
    runs = _mapping(raw, runs_at, cluster, clusters)
    size = valid = UNKNOWN
    if not first:
        size, valid = struct.unpack_from("<qq", raw, 48)
        if size < 0 or valid < 0:
            raise ValueError("a length below nothing")
    if kind == ATTRIBUTE_LIST:
        record.list_at = (None, runs, size)
        return
    stream = Stream(name, number, size, min(size, valid), flags, None, [(first, runs)])
    mine = record.streams.setdefault(name, stream)
    if mine is not stream:
        mine.join(stream)


def _mapping(raw: bytes, at: int, cluster: int, clusters: int) -> Runs:
    """The mapping pairs of an attribute, in bytes of the volume."""
    runs: Runs = []
    lcn = 0
    while raw[at]:
        lengths, offsets = raw[at] & 15, raw[at] >> 4
        at += 1
        if lengths == 0 or lengths > 8 or offsets > 8 or at + lengths + offsets > len(raw):
            raise ValueError("damaged mapping pairs")
        count = int.from_bytes(raw[at : at + lengths], "little", signed=True)
        at += lengths
        if count < 0:
            raise ValueError("run of less than nothing")
        if offsets:
            lcn += int.from_bytes(raw[at : at + offsets], "little", signed=True)
            if lcn < 0 or lcn + count > clusters + 1:
                raise ValueError("run past the volume")
            runs.append((lcn * cluster, count * cluster))
        else:
            runs.append((SPARSE, count * cluster))
        at += offsets
    return runs
