"""File systems' own maps of which blocks are in use: FAT and exFAT.

Sources: Microsoft's FAT specification (2005) and exFAT specification (2019).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from amparo.evidence.source.device import Device
from amparo.evidence.source.free_space import Allocation, Piece

LARGEST_MAP = 1 << 31  # a FAT of half a billion clusters: more than any volume has
_PIECE = 3 << 20  # whole entries of 12, 16 and 32 bits


def read(kind: str, device: Device) -> Allocation | None:
    """The map of this file system, or None where no reader is at hand. Raises ReadFailed or ValueError where it is damaged."""
    try:
        if kind == "fat":
            return _fat(device)
        if kind == "exfat":
            return _exfat(device)
    except (struct.error, IndexError) as error:
        raise ValueError("it is cut short") from error
    return None


def _fat(device: Device) -> Allocation:
    boot = device.read(0, 512)
    sector, per_cluster, reserved, copies, root_entries, small, _, short = struct.unpack_from("<HBHBHHBH", boot, 11)
    large, long = struct.unpack_from("<II", boot, 32)
    length, total = short or long, small or large
    if not sector or not per_cluster or not length:
        raise ValueError("the boot sector is damaged")
    data = (reserved + copies * length) * sector + -(-root_entries * 32 // sector) * sector
    cluster = per_cluster * sector
    clusters = min((total * sector - data), device.size - data) // cluster
    if clusters <= 0 or length * sector > LARGEST_MAP:
        raise ValueError("the boot sector is damaged")
    width = 12 if clusters < 4085 else 16 if clusters < 65525 else 32

    def pieces() -> Iterator[Piece]:
        left = clusters + 2
        for at in range(0, length * sector, _PIECE):
            used = _entries_in_use(device.read(reserved * sector + at, min(_PIECE, length * sector - at)), width)[:left]
            if not at:
                used[:2] = True  # the first two entries stand for no cluster
            left -= len(used)
            yield np.packbits(used, bitorder="little").tobytes(), len(used)

    return Allocation.from_pieces(pieces(), cluster, data - 2 * cluster)


def fat_long_name(device: Device, index: int) -> str:
    """The long name before the ``index``-th entry of 32 bytes behind the FATs; empty where none stands there whole.

    A name's parts stand before its short entry, the last one first, each with a checksum of the short name.
    """
    sector, _, reserved, copies = struct.unpack_from("<HBHB", head := device.read(0, 512), 11)
    length = struct.unpack_from("<H", head, 22)[0] or struct.unpack_from("<I", head, 36)[0]
    end = (reserved + copies * length) * sector + 32 * index
    start = max(0, end - 32 * 20)
    raw = device.read(start, end - start + 32)
    check = 0
    for byte in raw[-32:-21]:
        check = (((check & 1) << 7) + (check >> 1) + byte) & 0xFF
    units = b""
    for number in range(1, 21):
        part = raw[-32 * (number + 1) : -32 * number]
        if len(part) < 32 or part[0] & 0x3F != number or part[11] != 0x0F or part[13] != check:
            return ""
        units += part[1:11] + part[14:26] + part[28:32]
        if part[0] & 0x40:
            text = units.decode("utf-16-le", "backslashreplace")
            return text.split("\0", 1)[0].removesuffix("\uffff")
    return ""


def _entries_in_use(raw: bytes, width: int) -> npt.NDArray[np.bool_]:
    used: npt.NDArray[np.bool_]
    if width == 16:
        used = np.frombuffer(raw[: len(raw) // 2 * 2], "<u2") != 0
        return used
    if width == 32:
        used = np.frombuffer(raw[: len(raw) // 4 * 4], "<u4") & 0x0FFFFFFF != 0
        return used
    triples = np.frombuffer(raw[: len(raw) // 3 * 3], np.uint8).reshape(-1, 3)
    used = np.empty(2 * len(triples), bool)
    used[::2] = (triples[:, 0] != 0) | (triples[:, 1] & 15 != 0)
    used[1::2] = (triples[:, 1] >> 4 != 0) | (triples[:, 2] != 0)
    return used


def _exfat(device: Device) -> Allocation | None:
    boot = device.read(0, 512)
    heap_at, clusters, root = struct.unpack_from("<III", boot, 88)
    sector, cluster = 1 << boot[108], 1 << (boot[108] + boot[109])
    if not 9 <= boot[108] <= 12 or boot[108] + boot[109] > 25:
        raise ValueError("the boot sector is damaged")
    heap = heap_at * sector
    entries = device.read(max(0, heap + (root - 2) * cluster), min(cluster, 1 << 20))
    for at in range(0, len(entries) - 31, 32):
        if entries[at] == 0x81 and not entries[at + 1] & 1:
            first, size = struct.unpack_from("<IQ", entries, at + 20)
            if size > LARGEST_MAP or first < 2:
                raise ValueError("its length makes no sense")
            # The map is laid down in one piece when the volume is made.
            raw = device.read(heap + (first - 2) * cluster, min(size, -(-clusters // 8)))
            return Allocation.from_bitmap(raw, clusters, cluster, heap)
        if entries[at] == 0:
            break
    return None
