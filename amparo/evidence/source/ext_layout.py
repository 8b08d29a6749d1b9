"""Where ext2, ext3 and ext4 keep things: superblock, groups, the maps of blocks and the tables of inodes.

Source: the Linux kernel's documentation of the ext4 disk layout.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device
from amparo.evidence.source.free_space import Allocation, Piece

BLOCKS_UNTOUCHED, INODES_UNTOUCHED = 2, 1
META_BG, WIDE, SPARSE_SUPER, BIGALLOC = 0x10, 0x80, 1, 0x200
MOST_GROUPS = 1 << 20
_REGULAR = re.compile(rb"[\x80-\x8f]")  # the upper byte of the mode of a regular file
# Where the superblock lies, and where the first of its copies does for blocks of 1, 2 and 4 KiB and groups of the usual size.
_PLACES = (1024, 8193 << 10, 16384 << 11, 32768 << 12)


@dataclass(frozen=True, slots=True)
class ExtLayout:
    """``block`` in bytes; the rest in blocks, or as numbers."""

    block: int
    blocks: int  # that the source holds
    declared: int  # that the file system says it has
    cluster: int  # for which one bit of a map stands
    first_block: int
    per_group: int
    inodes_per_group: int
    inode_size: int
    kept: dict[int, int]  # at the start of a group, for copies of the superblock and the descriptors
    groups: list[tuple[int, int, int, int]]  # block map, inode map, inode table, flags

    @property
    def inodes(self) -> int:
        return self.inodes_per_group * len(self.groups)

    def inode_at(self, number: int) -> int | None:
        """Where an inode lies, in bytes, or None where there is none of that number."""
        group, index = divmod(number - 1, self.inodes_per_group)
        if not 0 <= group < len(self.groups):
            return None
        return self.groups[group][2] * self.block + index * self.inode_size


def read(device: Device) -> ExtLayout:
    """The layout, by the superblock or the first copy that can be used. Raises ValueError where there is none."""
    for place in _PLACES:
        try:
            return _by_superblock(device, place)
        except (ValueError, struct.error, ReadFailed):
            continue
    raise ValueError("the superblock is damaged")


def _by_superblock(device: Device, place: int) -> ExtLayout:
    head = device.read(place, 1024)
    if len(head) < 1024 or head[56:58] != b"\x53\xef":
        raise ValueError("the superblock is damaged")
    numbers: tuple[int, ...] = struct.unpack_from("<IIII", head, 20)
    first, log, log_cluster, per_group = numbers
    inodes_per_group = int.from_bytes(head[40:44], "little")
    inode_size = int.from_bytes(head[88:90], "little") or 128
    incompatible, read_only = struct.unpack_from("<II", head, 96)
    blocks, size = int.from_bytes(head[4:8], "little"), 32
    if incompatible & WIDE:
        size = max(64, int.from_bytes(head[254:256], "little"))
        blocks |= int.from_bytes(head[336:340], "little") << 32
    if log > 6:
        raise ValueError("the superblock is damaged")
    block = 1024 << log
    cluster = 1 << log_cluster - log if read_only & BIGALLOC and log <= log_cluster <= log + 15 else 1
    held = min(blocks, device.size // block)  # a count of blocks that lies must not lead to groups that are not there
    count = -(-(held - first) // per_group) if per_group else 0
    if (
        not 0 < per_group <= 8 * block * cluster or not 0 < inodes_per_group <= 8 * block or not 128 <= inode_size <= block
        or size > block or not 0 < count <= MOST_GROUPS or first > 1
    ):  # fmt: skip
        raise ValueError("the superblock is damaged")
    copies = _groups_with_a_copy(count) if read_only & SPARSE_SUPER else set(range(count))
    per_block = block // size
    scattered_from = int.from_bytes(head[260:264], "little") if incompatible & META_BG else MOST_GROUPS
    reserved, declared = int.from_bytes(head[206:208], "little"), -(-(blocks - first) // per_group)
    kept = dict.fromkeys(copies, 1 + min(-(-declared // per_block), scattered_from) + reserved)
    groups: list[tuple[int, int, int, int]] = []
    start = place // block + 1  # the descriptors follow the superblock
    for index in range(-(-count // per_block)):
        at = start + index
        if index >= scattered_from:
            # meta_bg: the descriptors of some groups lie in these groups themselves, in three copies.
            group = index * per_block
            at = first + group * per_group + (group in copies)
            for other in range(group, group + per_block):
                kept[other] = (other in copies) + (other in (group, group + 1, group + per_block - 1))
        raw = device.read(at * block, block)
        groups += [_descriptor(raw, offset, size) for offset in range(0, len(raw) - size + 1, size)]
    return ExtLayout(
        block, held, blocks, cluster, first, per_group, inodes_per_group, inode_size, kept, groups[:count]
    )  # fmt: skip


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
    return block_map, inode_map, table, int.from_bytes(raw[at + 18 : at + 20], "little")


def allocation(device: Device, layout: ExtLayout) -> Allocation:
    """Which blocks are in use, by the groups' maps. Raises :class:`ReadFailed`."""

    def pieces() -> Iterator[Piece]:
        for index, (block_map, _, _, flags) in enumerate(layout.groups):
            start = layout.first_block + index * layout.per_group
            count = -(-min(layout.per_group, layout.blocks - start) // layout.cluster)
            if count <= 0:
                return
            if flags & BLOCKS_UNTOUCHED:
                yield _untouched(layout, index, start, count), count
            else:
                yield device.read(block_map * layout.block, -(-count // 8)), count

    return Allocation.from_pieces(pieces(), layout.block * layout.cluster, layout.first_block * layout.block)


def _untouched(layout: ExtLayout, index: int, start: int, count: int) -> bytes:
    """The map of a group whose map was never written: only what mke2fs itself puts there is in use."""
    used = 0
    block_map, inode_map, table, _ = layout.groups[index]
    length = -(-layout.inodes_per_group * layout.inode_size // layout.block)
    for place, blocks in ((start, layout.kept.get(index, 0)), (block_map, 1), (inode_map, 1), (table, length)):
        first, last = (place - start) // layout.cluster, -(-(place - start + blocks) // layout.cluster)
        first, last = max(0, min(first, count)), max(0, min(last, count))
        used |= (1 << last) - (1 << first)
    return used.to_bytes(-(-count // 8), "little")


def unlinked(device: Device, layout: ExtLayout) -> Iterator[int]:
    """Numbers of the inodes that say a file was deleted and still say how long it was (ext2, and ext3/4 seldom)."""
    size = layout.inode_size
    for index, (_, _, table, flags) in enumerate(layout.groups):
        if flags & INODES_UNTOUCHED:
            continue
        raw = device.read(table * layout.block, layout.inodes_per_group * size)
        raw = raw[: len(raw) // size * size]
        for found in _REGULAR.finditer(raw[1::size]):
            at = found.start() * size
            if raw[at + 26 : at + 28] == b"\0\0" and raw[at + 4 : at + 8] != bytes(4):
                yield index * layout.inodes_per_group + found.start() + 1
