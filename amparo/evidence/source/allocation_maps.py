"""File systems' own maps of which blocks are in use: FAT, exFAT, ext2/3/4.

Sources: Microsoft's FAT specification (2005) and exFAT specification (2019); the Linux kernel's ext4 disk layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from amparo.evidence.source.device import Device
from amparo.evidence.source.free_space import Allocation, bits

LARGEST_MAP = 1 << 31  # a FAT of half a billion clusters: more than any volume has
_PIECE = 3 << 20  # whole entries of 12, 16 and 32 bits


def read(kind: str, device: Device) -> Allocation | None:
    """The map of this file system, or None where no reader is at hand. Raises ReadFailed or ValueError where it is damaged."""
    try:
        if kind == "fat":
            return _fat(device)
        if kind == "exfat":
            return _exfat(device)
        if kind == "ext":
            return _ext(device)
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

    def pieces() -> Iterator[npt.NDArray[np.bool_]]:
        left = clusters + 2
        for at in range(0, length * sector, _PIECE):
            used = _entries_in_use(device.read(reserved * sector + at, min(_PIECE, length * sector - at)), width)[:left]
            if not at:
                used[:2] = True  # the first two entries stand for no cluster
            left -= len(used)
            yield used

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


@dataclass(frozen=True, slots=True)
class _Ext:
    block: int
    blocks: int
    first_block: int
    per_group: int
    inodes_per_group: int
    inode_size: int
    kept: dict[int, int]  # how many blocks at the start of a group hold copies of the superblock and the descriptors
    groups: list[tuple[int, int, int, int]]  # block map, inode map, inode table, flags


_BLOCKS_UNTOUCHED, _INODES_UNTOUCHED = 2, 1
_META_BG, _WIDE, _SPARSE_SUPER, _BIGALLOC = 0x10, 0x80, 1, 0x200
MOST_GROUPS = 1 << 20


def _ext_layout(device: Device) -> _Ext:
    head = device.read(1024, 1024)
    if len(head) < 1024 or head[56:58] != b"\x53\xef":
        raise ValueError("the superblock is damaged")
    blocks, first, log = struct.unpack_from("<I", head, 4)[0], *struct.unpack_from("<II", head, 20)
    per_group, _, inodes_per_group = struct.unpack_from("<III", head, 32)
    inode_size = struct.unpack_from("<H", head, 88)[0] or 128
    incompatible, read_only = struct.unpack_from("<II", head, 96)
    size = 32
    if incompatible & _WIDE:
        size = max(64, struct.unpack_from("<H", head, 254)[0])
        blocks |= struct.unpack_from("<I", head, 336)[0] << 32
    block = 1024 << min(log, 7)
    if log > 6 or not 0 < per_group <= 8 * block or inodes_per_group > 8 * block or not 128 <= inode_size <= block:
        raise ValueError("the superblock is damaged")
    if read_only & _BIGALLOC:
        raise ValueError("its layout (bigalloc) is not known here")
    blocks = min(blocks, device.size // block)
    count = -(-(blocks - first) // per_group)
    if size > block or not 0 < count <= MOST_GROUPS:
        raise ValueError("the superblock is damaged")
    copies = _groups_with_a_copy(count) if read_only & _SPARSE_SUPER else set(range(count))
    per_block = block // size
    scattered_from = struct.unpack_from("<I", head, 260)[0] if incompatible & _META_BG else count
    reserved = struct.unpack_from("<H", head, 206)[0]
    kept = dict.fromkeys(copies, 1 + min(-(-count // per_block), scattered_from) + reserved)
    groups: list[tuple[int, int, int, int]] = []
    for index in range(-(-count // per_block)):
        at = first + 1 + index
        if (
            index >= scattered_from
        ):  # meta_bg: the descriptors of some groups lie in these groups themselves, in three copies
            group = index * per_block
            at = first + group * per_group + (group in copies)
            for other in range(group, group + per_block):
                kept[other] = (other in copies) + (other in (group, group + 1, group + per_block - 1))
        raw = device.read(at * block, block)
        groups += [_descriptor(raw, place, size) for place in range(0, len(raw) - size + 1, size)]
    return _Ext(block, blocks, first, per_group, inodes_per_group, inode_size, kept, groups[:count])


def _groups_with_a_copy(count: int) -> set[int]:
    found = {0, 1}
    for base in (3, 5, 7):
        power = base
        while power < count:
            found.add(power)
            power *= base
    return found


def _descriptor(raw: bytes, at: int, size: int) -> tuple[int, int, int, int]:
    block_map, inode_map, table = struct.unpack_from("<III", raw, at)
    if size >= 64:
        high = struct.unpack_from("<III", raw, at + 32)
        block_map, inode_map, table = block_map | high[0] << 32, inode_map | high[1] << 32, table | high[2] << 32
    return block_map, inode_map, table, struct.unpack_from("<H", raw, at + 18)[0]


def _ext(device: Device) -> Allocation:
    layout = _ext_layout(device)

    def pieces() -> Iterator[npt.NDArray[np.bool_]]:
        for index, (block_map, _, _, flags) in enumerate(layout.groups):
            start = layout.first_block + index * layout.per_group
            count = min(layout.per_group, layout.blocks - start)
            if flags & _BLOCKS_UNTOUCHED:
                yield _untouched(layout, index, start, count)
                continue
            used = bits(device.read(block_map * layout.block, -(-count // 8)))[:count]
            yield np.concatenate([used, np.ones(count - len(used), bool)])

    return Allocation.from_pieces(pieces(), layout.block, layout.first_block * layout.block)


def _untouched(layout: _Ext, index: int, start: int, count: int) -> npt.NDArray[np.bool_]:
    """The map of a group whose map was never written: only what mke2fs itself puts there is in use."""
    used = np.zeros(count, bool)
    block_map, inode_map, table, _ = layout.groups[index]
    used[: layout.kept.get(index, 0)] = True
    length = -(-layout.inodes_per_group * layout.inode_size // layout.block)
    for place, blocks in ((block_map, 1), (inode_map, 1), (table, length)):
        used[max(0, place - start) : max(0, place - start + blocks)] = True
    return used


def ext_unlinked_inodes(device: Device) -> Iterator[int]:
    """Numbers of the inodes that say a file was deleted and still say how long it was (ext2, and ext3/4 seldom)."""
    try:
        layout = _ext_layout(device)
    except (ValueError, struct.error):
        return
    size = layout.inode_size
    for index, (_, _, table, flags) in enumerate(layout.groups):
        if flags & _INODES_UNTOUCHED:
            continue
        raw = device.read(table * layout.block, layout.inodes_per_group * size)
        rows = np.frombuffer(raw[: len(raw) // size * size], np.uint8).reshape(-1, size)
        mode = rows[:, 0:2].copy().view("<u2")[:, 0]
        length = rows[:, 4:8].copy().view("<u4")[:, 0]
        links = rows[:, 26:28].copy().view("<u2")[:, 0]
        for row in np.flatnonzero((mode >> 12 == 8) & (links == 0) & (length > 0)):
            yield index * layout.inodes_per_group + int(row) + 1
