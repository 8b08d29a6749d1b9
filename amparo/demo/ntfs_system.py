"""The files that NTFS keeps about itself: records 0 to 15 of the master file table, and what they hold.

After the Linux-NTFS project's documentation, "Files", and [MS-DTYP] 2.4 for the security descriptor.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from amparo.demo.ntfs_index import Name, security_by_hash, security_by_number, upcase_table
from amparo.demo.ntfs_records import (
    BITMAP,
    CLUSTER,
    DATA,
    FILE_NAME,
    IN_USE,
    INDEX_ROOT,
    RECORD,
    SECTOR,
    VIEW_INDEX,
    VOLUME_INFORMATION,
    VOLUME_NAME,
    Attribute,
    Runs,
    aligned,
    file_name,
    nonresident,
    record,
    reference,
    resident,
    standard_information,
)

if TYPE_CHECKING:
    from amparo.demo.ntfs import NtfsVolume

SECURITY: Final = 0x100
"""The number of the one security descriptor, the first that NTFS gives."""
_LOG: Final = 256 << 10
_SDS_COPY: Final = 256 << 10
_HIDDEN_SYSTEM: Final = 0x06
_ROOT, _EXTEND, _FIRST_RESERVED, _FIRST_FREE = 5, 11, 12, 24

# name, type, collation, flags (2 indexable, 0x40 in the record, 0x80 anywhere), least and greatest size
_ATTRIBUTES: Final = (
    ("$STANDARD_INFORMATION", 0x10, 0, 0x40, 0x30, 0x48),
    ("$ATTRIBUTE_LIST", 0x20, 0, 0x80, 0, -1),
    ("$FILE_NAME", 0x30, 1, 0x42, 0x44, 0x242),
    ("$OBJECT_ID", 0x40, 0, 0x40, 0, 0x100),
    ("$SECURITY_DESCRIPTOR", 0x50, 0, 0x80, 0, -1),
    ("$VOLUME_NAME", 0x60, 0, 0x40, 2, 0x100),
    ("$VOLUME_INFORMATION", 0x70, 0, 0x40, 0x0C, 0x0C),
    ("$DATA", 0x80, 0, 0, 0, -1),
    ("$INDEX_ROOT", 0x90, 0, 0x40, 0, -1),
    ("$INDEX_ALLOCATION", 0xA0, 0, 0x80, 0, -1),
    ("$BITMAP", 0xB0, 0, 0x80, 0, -1),
    ("$REPARSE_POINT", 0xC0, 0, 0x80, 0, 0x4000),
    ("$EA_INFORMATION", 0xD0, 0, 0x40, 8, 8),
    ("$EA", 0xE0, 0, 0, 0, 0x10000),
    ("$LOGGED_UTILITY_STREAM", 0x100, 0, 0x80, 0, 0x10000),
)


class Reserved(NamedTuple):
    """The clusters set aside for what is known only at the end."""

    cluster_map: Runs
    cluster_map_size: int
    record_map: Runs
    log: Runs


def contents(volume: NtfsVolume) -> Reserved:
    """Set clusters aside before any user's file is laid down."""
    size = aligned(len(volume.clusters.taken), 64) // 8
    return Reserved(
        volume.clusters.take(-(-size // CLUSTER)), size, volume.clusters.take(1), volume.clusters.take(_LOG // CLUSTER)
    )


def finish(volume: NtfsVolume, kept: Reserved) -> None:
    """Write the files about the volume itself, then the table, its mirror, and both boot sectors."""
    names: list[tuple[str, Name]] = []
    records_size = volume.count * RECORD

    def system(number: int, name: str, *attributes: Attribute, flags: int = 0, index: int = 0) -> None:
        size, allocated = _sizes(attributes)
        parent = reference(_ROOT, _ROOT)
        key = file_name(parent, name, volume.day, volume.day, size, allocated, _HIDDEN_SYSTEM | index)
        whole = [_information(volume), resident(FILE_NAME, key), *attributes]
        volume.records[number] = record(number, max(number, 1), IN_USE | flags, whole)
        volume.used.add(number)
        names.append((name, Name(reference(number, max(number, 1)), key)))

    volume.put(kept.log, b"\xff" * _LOG)
    bad = nonresident(DATA, [(-1, len(volume.clusters.taken))], len(volume.clusters.taken) * CLUSTER, "$Bad", 0)
    descriptor = _security_descriptor()
    digest = _security_hash(descriptor)
    header = struct.pack("<IIQI", digest, SECURITY, 0, 20 + len(descriptor))
    stream = (header + descriptor).ljust(_SDS_COPY, b"\0") + header + descriptor
    boot_runs: Runs = [(0, 2)]
    system(1, "$MFTMirr", nonresident(DATA, volume.mirror, CLUSTER))
    system(2, "$LogFile", nonresident(DATA, kept.log, _LOG))
    system(
        3,
        "$Volume",
        resident(VOLUME_NAME, volume.label.encode("utf-16-le")),
        resident(VOLUME_INFORMATION, struct.pack("<QBBH", 0, 3, 1, 0)),
        resident(DATA, b""),
    )
    system(4, "$AttrDef", volume.data(_definitions(), 0))
    system(6, "$Bitmap", nonresident(DATA, kept.cluster_map, kept.cluster_map_size))
    system(7, "$Boot", nonresident(DATA, boot_runs, 2 * CLUSTER))
    system(8, "$BadClus", resident(DATA, b""), bad)
    system(
        9,
        "$Secure",
        volume.data(stream, 0, "$SDS"),
        resident(INDEX_ROOT, security_by_hash(digest, SECURITY, header), "$SDH"),
        resident(INDEX_ROOT, security_by_number(SECURITY, header), "$SII"),
        flags=VIEW_INDEX,
        index=0x20000000,
    )
    system(10, "$UpCase", volume.data(upcase_table(), 0))
    extend = file_name(reference(_ROOT, _ROOT), "$Extend", volume.day, volume.day, 0, 0, _HIDDEN_SYSTEM | 0x10000000)
    volume.directory(_EXTEND, _EXTEND, extend, volume.day, volume.day, [], _HIDDEN_SYSTEM)
    names.append(("$Extend", Name(reference(_EXTEND, _EXTEND), extend)))
    for number in range(_FIRST_RESERVED, 16):
        volume.records[number] = record(number, number, IN_USE, [_information(volume), resident(DATA, b"")])
        volume.used.add(number)
    system(
        0,
        "$MFT",
        nonresident(DATA, volume.table, records_size),
        nonresident(BITMAP, kept.record_map, _map_size(volume)),
    )

    dot = file_name(reference(_ROOT, _ROOT), ".", volume.day, volume.day, 0, 0, _HIDDEN_SYSTEM | 0x10000000)
    names += [(".", Name(reference(_ROOT, _ROOT), dot)), *volume.root_names()]
    volume.directory(_ROOT, _ROOT, dot, volume.day, volume.day, names, _HIDDEN_SYSTEM)

    table = b"".join(volume.records.get(number) or _never_used(number) for number in range(volume.count))
    volume.put(volume.table, table)
    volume.put(volume.mirror, table[:CLUSTER])
    used = sum(1 << number for number in volume.used)
    volume.put(kept.record_map, used.to_bytes(_map_size(volume), "little"))
    volume.put(kept.cluster_map, volume.clusters.bits())
    boot = volume.boot_sector()
    volume.image[: len(boot)] = boot
    volume.image[-SECTOR:] = boot


def runs_of(attribute: Attribute) -> Runs:
    """The runs of an attribute that :func:`nonresident` wrote; none where it is resident."""
    raw = attribute.raw
    runs: Runs = []
    if not raw[8]:
        return runs
    at = int.from_bytes(raw[32:34], "little")
    first = 0
    while raw[at]:
        lengths, offsets = raw[at] & 15, raw[at] >> 4
        count = int.from_bytes(raw[at + 1 : at + 1 + lengths], "little")
        at += 1 + lengths
        first += int.from_bytes(raw[at : at + offsets], "little", signed=True)
        runs.append((first, count))
        at += offsets
    return runs


def _map_size(volume: NtfsVolume) -> int:
    return aligned(volume.count, 64) // 8


def _information(volume: NtfsVolume) -> Attribute:
    return standard_information(volume.day, volume.day, _HIDDEN_SYSTEM, SECURITY)


def _sizes(attributes: tuple[Attribute, ...]) -> tuple[int, int]:
    """What a $FILE_NAME says of the unnamed content: its size and what it occupies."""
    for attribute in attributes:
        if attribute.kind == DATA and not attribute.name:
            if attribute.raw[8]:
                allocated, size = struct.unpack_from("<QQ", attribute.raw, 40)
                return size, allocated
            size = int.from_bytes(attribute.raw[16:20], "little")
            return size, aligned(size)
    return 0, 0


def _never_used(number: int) -> bytes:
    return record(number, 1, 0, [])


def _definitions() -> bytes:
    rows = [
        struct.pack("<128sIIIIqq", name.encode("utf-16-le"), kind, 0, order, flags, least, greatest)
        for name, kind, order, flags, least, greatest in _ATTRIBUTES
    ]
    return b"".join(rows) + bytes(160)


def _security_descriptor() -> bytes:
    """Owned by the administrators; everyone may do everything."""
    administrators = struct.pack("<BB6sII", 1, 2, b"\0\0\0\0\0\5", 32, 544)
    everyone = struct.pack("<BB6sI", 1, 1, b"\0\0\0\0\0\1", 0)
    entry = struct.pack("<BBHI", 0, 3, 8 + len(everyone), 0x1F01FF) + everyone
    access = struct.pack("<BBHHH", 2, 0, 8 + len(entry), 1, 0) + entry
    owner_at = 20 + len(access)
    head = struct.pack("<BBHIIII", 1, 0, 0x8004, owner_at, owner_at + len(administrators), 0, 20)
    return head + access + administrators + administrators


def _security_hash(descriptor: bytes) -> int:
    digest = 0
    for (word,) in struct.iter_unpack("<I", descriptor):
        digest = ((digest << 3 | digest >> 29) + word) & 0xFFFFFFFF
    return digest
