"""File systems' own maps of which blocks are in use: FAT, exFAT, ext2/3/4.

Sources: Microsoft's FAT specification (2005) and exFAT specification (2019); the Linux kernel's ext4 disk layout.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from amparo.evidence.source.device import Device
from amparo.evidence.source.free_space import Allocation

LARGEST_MAP = 1 << 31  # a FAT of half a billion clusters: more than any volume has


def read(kind: str, device: Device) -> Allocation | None:
    """The map of this file system, or None where no reader is at hand. Raises ReadFailed or ValueError where it is damaged."""
    if kind == "fat":
        return _fat(device)
    if kind == "exfat":
        return _exfat(device)
    if kind == "ext":
        return _ext(device)
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
    table = device.read(reserved * sector, length * sector)
    if clusters < 4085:
        raw = np.frombuffer(table[: len(table) // 3 * 3], np.uint8).reshape(-1, 3).astype(np.uint16)
        values = np.empty(2 * len(raw), np.uint16)
        values[::2] = raw[:, 0] | (raw[:, 1] & 15) << 8
        values[1::2] = raw[:, 1] >> 4 | raw[:, 2] << 4
        used = values != 0
    elif clusters < 65525:
        used = np.frombuffer(table[: len(table) // 2 * 2], "<u2") != 0
    else:
        used = np.frombuffer(table[: len(table) // 4 * 4], "<u4") & 0x0FFFFFFF != 0
    used = used[2 : 2 + clusters]
    if len(used) < clusters:
        used = np.concatenate([used, np.ones(clusters - len(used), bool)])
    return Allocation(used, cluster, data)


def _exfat(device: Device) -> Allocation | None:
    boot = device.read(0, 512)
    fat_at, _, heap_at, clusters, root = struct.unpack_from("<IIIII", boot, 80)
    sector, cluster = 1 << boot[108], 1 << (boot[108] + boot[109])
    if not 9 <= boot[108] <= 12 or boot[109] > 25:
        raise ValueError("the boot sector is damaged")
    heap = heap_at * sector
    entries = device.read(heap + (root - 2) * cluster, min(cluster, 1 << 20))
    for at in range(0, len(entries) - 31, 32):
        if entries[at] == 0x81 and not entries[at + 1] & 1:
            first, size = struct.unpack_from("<IQ", entries, at + 20)
            if size > LARGEST_MAP:
                raise ValueError("its length makes no sense")
            del fat_at  # the map is laid down in one piece when the volume is made
            return Allocation.from_bitmap(device.read(heap + (first - 2) * cluster, size), clusters, cluster, heap)
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
    groups: list[tuple[int, int, int, int]]  # block map, inode map, inode table, flags


_BLOCKS_UNTOUCHED, _INODES_UNTOUCHED = 2, 1


def _ext_layout(device: Device) -> _Ext:
    head = device.read(1024, 1024)
    if len(head) < 1024 or head[56:58] != b"\x53\xef":
        raise ValueError("the superblock is damaged")
    blocks, first, log = struct.unpack_from("<I", head, 4)[0], *struct.unpack_from("<II", head, 20)
    per_group, _, inodes_per_group = struct.unpack_from("<III", head, 32)
    inode_size = struct.unpack_from("<H", head, 88)[0] or 128
    incompatible, descriptor = struct.unpack_from("<I", head, 96)[0], 32
    if incompatible & 0x80:  # 64bit
        descriptor = max(64, struct.unpack_from("<H", head, 254)[0])
        blocks |= struct.unpack_from("<I", head, 336)[0] << 32
    if log > 6 or not per_group or inode_size > 4096:
        raise ValueError("the superblock is damaged")
    block = 1024 << log
    blocks = min(blocks, device.size // block)
    count = -(-(blocks - first) // per_group)
    if incompatible & 0x10:  # meta_bg: the descriptors lie scattered
        raise ValueError("its layout (meta_bg) is not known here")
    raw = device.read((first + 1) * block, count * descriptor)
    groups = []
    for at in range(0, len(raw) - descriptor + 1, descriptor):
        block_map, inode_map, inode_table = struct.unpack_from("<III", raw, at)
        flags = struct.unpack_from("<H", raw, at + 18)[0]
        if descriptor >= 64:
            high = struct.unpack_from("<III", raw, at + 32)
            block_map, inode_map, inode_table = (
                block_map | high[0] << 32,
                inode_map | high[1] << 32,
                inode_table | high[2] << 32,
            )
        groups.append((block_map, inode_map, inode_table, flags))
    return _Ext(block, blocks, first, per_group, inodes_per_group, inode_size, groups)


def _ext(device: Device) -> Allocation:
    layout = _ext_layout(device)
    used = np.ones(layout.blocks, bool)
    for index, (block_map, _, _, flags) in enumerate(layout.groups):
        start = layout.first_block + index * layout.per_group
        count = min(layout.per_group, layout.blocks - start)
        if count <= 0:
            break
        if flags & _BLOCKS_UNTOUCHED:
            used[start : start + count] = False
            continue
        raw = device.read(block_map * layout.block, -(-count // 8))
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:count].astype(bool)
        used[start : start + len(bits)] = bits
    # Groups never touched still hold superblock copies, descriptors and inode tables: none of it is free.
    for block_map, inode_map, table, _ in layout.groups:
        for place, length in (
            (block_map, 1),
            (inode_map, 1),
            (table, layout.inodes_per_group * layout.inode_size // layout.block),
        ):
            used[place : place + length] = True
    return Allocation(used, layout.block)


def ext_unlinked_inodes(device: Device) -> Iterator[int]:
    """Numbers of the inodes that say a file was deleted and still say how long it was (ext2, and ext3/4 seldom)."""
    try:
        layout = _ext_layout(device)
    except ValueError:
        return
    for index, (_, _, table, flags) in enumerate(layout.groups):
        if flags & _INODES_UNTOUCHED:
            continue
        raw = device.read(table * layout.block, layout.inodes_per_group * layout.inode_size)
        rows = np.frombuffer(raw[: len(raw) // layout.inode_size * layout.inode_size], np.uint8).reshape(
            -1, layout.inode_size
        )
        mode = rows[:, 0:2].copy().view("<u2")[:, 0]
        size = rows[:, 4:8].copy().view("<u4")[:, 0]
        links = rows[:, 26:28].copy().view("<u2")[:, 0]
        for row in np.flatnonzero((mode >> 12 == 8) & (links == 0) & (size > 0)):
            yield index * layout.inodes_per_group + int(row) + 1
