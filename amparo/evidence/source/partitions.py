"""Partition tables: MBR with its extended chain, and GPT with its copy at the end.

Sources: UEFI specification 2.10, chapter 5; the MBR's layout as every BIOS since 1983 reads it.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device

_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_SECTORS = (512, 4096)
MOST_PARTITIONS = 128


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; ``offset`` and ``size`` in bytes of the device."""

    offset: int
    size: int
    label: str | None = None


def partitions(device: Device, known: Callable[[Partition], bool]) -> tuple[list[Partition], list[str]]:
    """The partitions in table order, none where there is no table; and what was wrong with the table.

    ``known`` says whether a partition begins like a file system: a table does not say in which unit it counts, and a
    disk that was partitioned twice holds two tables.
    """
    problems: list[str] = []
    try:
        head = device.read(0, 512)
    except ReadFailed:
        head = b""
        problems.append("The first sector cannot be read; a copy of the partition table was looked for.")
    old = [_mbr(device, head, unit) for unit in _SECTORS] if head[510:512] == b"\x55\xaa" else []
    protective = any(_mbr_entry(head, index)[0] == _PROTECTIVE for index in range(4)) if old else True
    if protective or not any(map(known, old[0][0] + old[1][0])):
        table, complaints = _gpt(device)
        if table:
            return _inside(device, table, problems + complaints)
        if old and protective:
            problems.append(
                "The partition table (GPT) is damaged, and so is its copy at the end: partitions are missing."
            )
    if not old:
        return [], problems
    found, complaints = old[1] if not any(map(known, old[0][0])) and any(map(known, old[1][0])) else old[0]
    return _inside(device, found, problems + complaints)


def _inside(device: Device, table: list[Partition], problems: list[str]) -> tuple[list[Partition], list[str]]:
    kept: list[Partition] = []
    for part in dict.fromkeys(table):
        if part.offset >= device.size:
            problems.append(
                f"A partition at byte {part.offset} lies past the end of the source: the image is cut short."
            )
            continue
        if part.offset + part.size > device.size:
            problems.append(
                f"The partition at byte {part.offset} runs past the end of the source: the image is cut short."
            )
        kept.append(Partition(part.offset, min(part.size, device.size - part.offset), part.label))
    return kept, problems


def gaps(table: list[Partition], size: int, smallest: int = 1 << 16) -> list[tuple[int, int]]:
    """What no partition covers, as ``(offset, length)``, where it is at least ``smallest`` bytes."""
    found, at = [], 512
    for part in sorted(table, key=lambda part: part.offset):
        if part.offset - at >= smallest:
            found.append((at, part.offset - at))
        at = max(at, part.offset + part.size)
    if size - at >= smallest:
        found.append((at, size - at))
    return found


def _mbr(device: Device, head: bytes, unit: int) -> tuple[list[Partition], list[str]]:
    found: list[Partition] = []
    problems: list[str] = []
    for index in range(4):
        kind, first, count = _mbr_entry(head, index)
        if not kind or not count or kind == _PROTECTIVE or head[446 + 16 * index] & 0x7F:
            continue
        if kind in _EXTENDED:
            found += _logical(device, first, unit, problems)
        else:
            found.append(Partition(first * unit, count * unit))
    return found, problems


def _mbr_entry(sector: bytes, index: int) -> tuple[int, int, int]:
    entry = sector[446 + 16 * index : 462 + 16 * index]
    return entry[4], *struct.unpack_from("<II", entry, 8)


def _logical(device: Device, base: int, unit: int, problems: list[str]) -> list[Partition]:
    found: list[Partition] = []
    at, seen = base, set[int]()
    while at not in seen and len(seen) < MOST_PARTITIONS:
        seen.add(at)
        try:
            sector = device.read(at * unit, 512)
        except ReadFailed:
            sector = b""
        if len(sector) < 512 or sector[510:512] != b"\x55\xaa":
            problems.append(f"The chain of logical partitions breaks at sector {at}.")
            return found
        kind, first, count = _mbr_entry(sector, 0)
        if kind and count:
            found.append(Partition((at + first) * unit, count * unit))
        kind, following, _ = _mbr_entry(sector, 1)
        if kind not in _EXTENDED or not following:
            return found
        at = base + following
    problems.append("The chain of logical partitions runs in a circle.")
    return found


def _gpt(device: Device) -> tuple[list[Partition], list[str]]:
    for sector in _SECTORS:
        for at in (sector, device.size // sector * sector - sector):
            try:
                header = device.read(at, sector) if at > 0 else b""
            except ReadFailed:
                continue
            if len(header) < 92 or header[:8] != b"EFI PART":
                continue
            table = _gpt_table(device, header, sector)
            if table is not None:
                damaged = "The partition table at the start is damaged; its copy at the end was used."
                return table, [damaged] if at != sector else []
    return [], []


def _gpt_table(device: Device, header: bytes, sector: int) -> list[Partition] | None:
    length, check = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= len(header):
        return None
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != check:
        return None
    first, count, size, entries_check = struct.unpack_from("<QIII", header, 72)
    if not 128 <= size <= 4096 or count > 1024:
        return None
    try:
        raw = device.read(first * sector, count * size)
    except ReadFailed:
        return None
    if len(raw) < count * size or zlib.crc32(raw) != entries_check:
        return None
    found = []
    for at in range(0, len(raw), size):
        if not any(raw[at : at + 16]):
            continue
        start, end = struct.unpack_from("<QQ", raw, at + 32)
        if end >= start:
            name = raw[at + 56 : at + 128].decode("utf-16-le", "replace").split("\0")[0]
            found.append(
                Partition(
                    start * sector, (end - start + 1) * sector, name or str(uuid.UUID(bytes_le=raw[at : at + 16]))
                )
            )
    return found
