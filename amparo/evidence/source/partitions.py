"""Partition tables: MBR with its extended chain, and GPT with its copy at the end.

Sources: UEFI specification 2.10, chapter 5; the MBR's layout as every BIOS since 1983 reads it.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device

_EXTENDED = (0x05, 0x0F, 0x85)
MOST_PARTITIONS = 128


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; ``offset`` and ``size`` in bytes of the device."""

    offset: int
    size: int
    label: str | None = None


def partitions(device: Device) -> tuple[list[Partition], list[str]]:
    """The partitions in table order, none where there is no table; and what was wrong with the table."""
    problems: list[str] = []
    try:
        head = device.read(0, 512)
    except ReadFailed:
        return [], ["The first sector cannot be read, so no partition table was found."]
    table = _gpt(device, problems)
    if not table and head[510:512] == b"\x55\xaa":
        table = _mbr(device, head, problems)
    kept = []
    for part in table:
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


def _mbr(device: Device, head: bytes, problems: list[str]) -> list[Partition]:
    found: list[Partition] = []
    for index in range(4):
        kind, first, count = _mbr_entry(head, index)
        if not kind or not count or head[446 + 16 * index] & 0x7F:
            continue
        if kind in _EXTENDED:
            found += _logical(device, first, problems)
        else:
            found.append(Partition(first * 512, count * 512))
    return found


def _mbr_entry(sector: bytes, index: int) -> tuple[int, int, int]:
    entry = sector[446 + 16 * index : 462 + 16 * index]
    return entry[4], *struct.unpack_from("<II", entry, 8)


def _logical(device: Device, base: int, problems: list[str]) -> list[Partition]:
    found: list[Partition] = []
    at, seen = base, set()
    while at not in seen and len(seen) < MOST_PARTITIONS:
        seen.add(at)
        try:
            sector = device.read(at * 512, 512)
        except ReadFailed:
            sector = b""
        if len(sector) < 512 or sector[510:512] != b"\x55\xaa":
            problems.append(f"The chain of logical partitions breaks at sector {at}.")
            return found
        kind, first, count = _mbr_entry(sector, 0)
        if kind and count:
            found.append(Partition((at + first) * 512, count * 512))
        kind, following, _ = _mbr_entry(sector, 1)
        if kind not in _EXTENDED or not following:
            return found
        at = base + following
    problems.append("The chain of logical partitions runs in a circle.")
    return found


def _gpt(device: Device, problems: list[str]) -> list[Partition]:
    for sector in (512, 4096):
        for at in (sector, device.size // sector * sector - sector):
            try:
                header = device.read(at, sector) if at > 0 else b""
            except ReadFailed:
                continue
            if len(header) < 92 or header[:8] != b"EFI PART":
                continue
            table = _gpt_table(device, header, sector)
            if table is not None:
                if at != sector:
                    problems.append("The partition table at the start is damaged; its copy at the end was used.")
                return table
    return []


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
