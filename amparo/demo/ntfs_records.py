"""The records of an NTFS master file table, byte by byte: attributes, mapping pairs, fix-ups.

Layout after the Linux-NTFS project's documentation of the on-disk structures and Microsoft's [MS-FSCC]. Sizes in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

CLUSTER: Final = 4096
SECTOR: Final = 512
RECORD: Final = 1024

STANDARD_INFORMATION, FILE_NAME, SECURITY_DESCRIPTOR, VOLUME_NAME, VOLUME_INFORMATION = 0x10, 0x30, 0x50, 0x60, 0x70
DATA, INDEX_ROOT, INDEX_ALLOCATION, BITMAP = 0x80, 0x90, 0xA0, 0xB0
IN_USE, DIRECTORY, VIEW_INDEX = 1, 2, 8

_FIRST_ATTRIBUTE: Final = 56
_EPOCH: Final = 11_644_473_600
_LONGEST_NAME: Final = 255

Runs = list[tuple[int, int]]
"""``(first cluster, clusters)`` each; a first cluster of -1 is a hole."""


class Attribute(NamedTuple):
    """One attribute, whole but for its instance number, which its record gives it."""

    kind: int
    name: str
    raw: bytes


def aligned(length: int, to: int = 8) -> int:
    """``length`` raised to a multiple of ``to``."""
    return -(-length // to) * to


def filetime(moment: datetime) -> int:
    """100 ns since 1601."""
    return (int(moment.timestamp()) + _EPOCH) * 10_000_000 + moment.microsecond * 10


def reference(record: int, sequence: int) -> int:
    """A pointer to a record, good for as long as the record keeps this sequence number."""
    return record | sequence << 48


def resident(kind: int, value: bytes, name: str = "") -> Attribute:
    """An attribute whose value lies in the record itself."""
    label = name.encode("utf-16-le")
    at = aligned(24 + len(label))
    length = aligned(at + len(value))
    head = struct.pack("<IIBBHHHIHBB", kind, length, 0, len(name), 24, 0, 0, len(value), at, kind == FILE_NAME, 0)
    return Attribute(kind, name, ((head + label).ljust(at, b"\0") + value).ljust(length, b"\0"))


def nonresident(kind: int, runs: Runs, size: int, name: str = "", valid: int | None = None) -> Attribute:
    """An attribute whose value lies in clusters of its own; past ``valid`` it reads as zeros."""
    label = name.encode("utf-16-le")
    pairs = mapping_pairs(runs)
    clusters = sum(count for _, count in runs)
    at = aligned(64 + len(label))
    length = aligned(at + len(pairs))
    head = struct.pack(
        "<IIBBHHHQQHB5xQQQ", kind, length, 1, len(name), 64, 0, 0, 0, clusters - 1, at, 0,
        clusters * CLUSTER, size, size if valid is None else valid,
    )  # fmt: skip
    return Attribute(kind, name, ((head + label).ljust(at, b"\0") + pairs).ljust(length, b"\0"))


def mapping_pairs(runs: Runs) -> bytes:
    """Each run's length, and its distance from the run before, in as few bytes as hold them."""
    out = b""
    before = 0
    for first, count in runs:
        lengths = _signed(count)
        offsets = b"" if first < 0 else _signed(first - before)
        before = before if first < 0 else first
        out += bytes([len(lengths) | len(offsets) << 4]) + lengths + offsets
    return out + b"\0"


def _signed(number: int) -> bytes:
    return number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "little", signed=True)


def standard_information(created: datetime, modified: datetime, flags: int, security: int) -> Attribute:
    """The times, the attributes as Windows shows them, and the number of the security descriptor in $Secure."""
    first, last = filetime(created), filetime(modified)
    value = struct.pack("<4QI12xI", first, last, last, last, flags, 0) + struct.pack("<IQQ", security, 0, 0)
    return resident(STANDARD_INFORMATION, value)


def file_name(
    parent: int, name: str, created: datetime, modified: datetime, size: int, allocated: int, flags: int
) -> bytes:
    """The value of a $FILE_NAME: in the record, and again in the directory's index. ``parent`` is a reference."""
    # 0 is POSIX, which forbids next to nothing; 1 is Windows.
    space = 0 if any(letter < " " or letter in '\\:*?"<>|' for letter in name) else 1
    text = name.encode("utf-16-le")
    if len(text) > 2 * _LONGEST_NAME:
        raise ValueError(f"an NTFS name has at most 255 characters, and this one {len(text) // 2}")
    first, last = filetime(created), filetime(modified)
    return (
        struct.pack("<Q4QQQIIBB", parent, first, last, last, last, allocated, size, flags, 0, len(text) // 2, space)
        + text
    )


def attributes_length(attributes: Sequence[Attribute]) -> int:
    """What a record with these attributes takes, of its 1,024 bytes."""
    return _FIRST_ATTRIBUTE + sum(len(attribute.raw) for attribute in attributes) + 8


def record(number: int, sequence: int, flags: int, attributes: Sequence[Attribute]) -> bytes:
    """A record of the table. Raises ValueError where the attributes do not fit into one."""
    ordered = sorted(attributes, key=lambda attribute: (attribute.kind, attribute.name.upper()))
    body = b""
    for instance, attribute in enumerate(ordered):
        body += attribute.raw[:14] + struct.pack("<H", instance) + attribute.raw[16:]
    body += struct.pack("<II", 0xFFFFFFFF, 0)
    used = _FIRST_ATTRIBUTE + len(body)
    if used > RECORD:
        raise ValueError(f"record {number} needs {used} bytes, more than one record has")
    links = sum(attribute.kind == FILE_NAME for attribute in attributes)
    head = struct.pack(
        "<4sHHQHHHHIIQHHI", b"FILE", 48, RECORD // SECTOR + 1, 0, sequence, links, _FIRST_ATTRIBUTE, flags, used, RECORD,
        0, len(ordered), 0, number,
    )  # fmt: skip
    return protected((head.ljust(_FIRST_ATTRIBUTE, b"\0") + body).ljust(RECORD, b"\0"), 48)


def protected(block: bytes, fixes_at: int, mark: int = 1) -> bytes:
    """The block with the last two bytes of every sector kept aside and ``mark`` put there, so that a torn write shows."""
    out = bytearray(block)
    struct.pack_into("<H", out, fixes_at, mark)
    for index in range(1, len(block) // SECTOR + 1):
        end = index * SECTOR
        out[fixes_at + 2 * index : fixes_at + 2 * index + 2] = out[end - 2 : end]
        struct.pack_into("<H", out, end - 2, mark)
    return bytes(out)
