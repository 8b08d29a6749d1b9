"""One inode of ext2, ext3 or ext4: its times, and where its content lies, by extents, by pointers, or in the inode itself.

Source: the Linux kernel's documentation of the ext4 disk layout.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Runs, trimmed
from amparo.evidence.source.ext_layout import ExtLayout

INDEXED, ENCRYPTED, EXTENTS, INLINE_DATA = 0x1000, 0x800, 0x80000, 0x10000000
_EXTENT_MARK = 0xF30A
_DEEPEST = 5
_UNWRITTEN = 32768
_SYSTEM_ATTRIBUTE = 7
_TIMES = struct.Struct("<iii")  # accessed, changed, modified, at byte 8
_MORE_TIMES = struct.Struct(
    "<H2xIIIiI"
)  # room taken, further bits of three times, created and its further bits, at byte 128


class Damaged(Exception):
    """The addresses of a content make no sense."""


@dataclass(frozen=True, slots=True)
class Inode:
    """``size`` in bytes; times as ISO 8601, None where there is none."""

    number: int
    mode: int
    size: int
    links: int
    deleted: bool
    flags: int
    raw: bytes

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    def times(self) -> tuple[str | None, str | None, str | None, str | None]:
        """Created, modified, accessed, changed. Old inodes lack some of the further bits, or all, and then the first time."""
        accessed, changed, modified = _TIMES.unpack_from(self.raw, 8)
        room = created = changed_more = modified_more = accessed_more = created_more = 0
        if len(self.raw) >= 160:
            room, changed_more, modified_more, accessed_more, created, created_more = _MORE_TIMES.unpack_from(
                self.raw, 128
            )
        return (
            _time(created, created_more) if room >= 24 else None,
            _time(modified, modified_more if room >= 12 else 0),
            _time(accessed, accessed_more if room >= 16 else 0),
            _time(changed, changed_more if room >= 8 else 0),
        )

    def inline(self) -> bytes | None:
        """The content where it lies in the inode itself, or None. Raises :class:`Damaged`."""
        if self.flags & INLINE_DATA:
            content = self.raw[40:100] + self._attribute(b"data")
            if len(content) < self.size:
                raise Damaged
            return content[: self.size]
        if self.is_link and self.size < 60 and not self.flags & EXTENTS:
            return self.raw[40 : 40 + self.size]
        return None

    def _attribute(self, wanted: bytes) -> bytes:
        """The value of an extended attribute of the system's that is kept in the inode."""
        start = 128 + int.from_bytes(self.raw[128:130], "little")
        if self.raw[start : start + 4] != b"\0\0\2\xea":
            return b""
        first = at = start + 4
        while at + 16 <= len(self.raw) and self.raw[at : at + 4] != bytes(4):
            length, kind, offset, _, size = struct.unpack_from("<BBHII", self.raw, at)
            if kind == _SYSTEM_ATTRIBUTE and self.raw[at + 16 : at + 16 + length] == wanted:
                return self.raw[first + offset : first + offset + size]
            at += 16 + -(-length // 4) * 4
        return b""


def _time(seconds: int, more: int) -> str | None:
    """A time whose further bits are two of the seconds, then nanoseconds."""
    return iso_from_epoch(seconds + ((more & 3) << 32), more >> 2)


def parse(raw: bytes, number: int) -> Inode:
    """The inode of these bytes."""
    mode, _, low, _, _, _, _, _, links, _, flags = struct.unpack_from("<HHIIIIIHHII", raw)
    size = low
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        size |= int.from_bytes(raw[108:112], "little") << 32
    return Inode(number, mode, size, links, links == 0, flags, raw)


class Addresses:
    """Turns inodes into runs. What trees of addresses may cost together is bounded by the volume's size."""

    def __init__(self, device: Device, layout: ExtLayout) -> None:
        self._device, self._layout = device, layout
        self._left = 4 * layout.blocks + 4096  # blocks of addresses to be read: no volume holds more

    def runs(self, inode: Inode, size: int | None = None) -> Runs:
        """The runs of the content, in bytes of the volume. Raises :class:`Damaged` and :class:`ReadFailed`."""
        size = inode.size if size is None else size
        found: list[tuple[int, int, int]] = []
        if inode.flags & EXTENTS:
            self._extents(inode.raw[40:100], _DEEPEST, found)
            found.sort()
        else:
            self._pointers(inode.raw[40:100], -(-size // self._layout.block), found)
        return self._joined(found, size)

    def _joined(self, found: list[tuple[int, int, int]], size: int) -> Runs:
        block, runs, told = self._layout.block, Runs(), 0
        for logical, count, physical in found:
            if logical < told:
                raise Damaged
            if logical > told:
                runs.append((SPARSE, (logical - told) * block))
            if physical != SPARSE and physical + count > self._layout.declared:
                raise Damaged
            runs.append((SPARSE if physical == SPARSE else physical * block, count * block))
            told = logical + count
        if told * block < size:
            runs.append((SPARSE, size - told * block))
        return trimmed(runs, size)

    def _read(self, block: int) -> bytes:
        self._left -= 1
        if self._left < 0 or not 0 < block < self._layout.declared:
            raise Damaged
        raw = self._device.read(block * self._layout.block, self._layout.block)
        if len(raw) < self._layout.block:
            raise ReadFailed("The addresses of its content lie past the end of the source.")
        return raw

    def _extents(self, raw: bytes, deepest: int, found: list[tuple[int, int, int]]) -> None:
        mark, count, _, depth = struct.unpack_from("<HHHH", raw)
        if mark != _EXTENT_MARK or 12 + 12 * count > len(raw) or depth >= deepest:
            raise Damaged
        for at in range(12, 12 + 12 * count, 12):
            if depth:
                _, low, high = struct.unpack_from("<IIH", raw, at)
                self._extents(self._read(low | high << 32), depth, found)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", raw, at)
                # Blocks that were set aside and never written read as zeros.
                physical = SPARSE if length > _UNWRITTEN else low | high << 32
                found.append((logical, length - _UNWRITTEN if length > _UNWRITTEN else length, physical))

    def _pointers(self, raw: bytes, blocks: int, found: list[tuple[int, int, int]]) -> None:
        pointers = struct.unpack("<15I", raw)
        told = _consecutive(pointers[:12], 0, blocks, found)
        per_block = self._layout.block // 4
        for level in range(1, 4):
            if told >= blocks:
                return
            told = self._indirect(pointers[11 + level], level, told, blocks, per_block, found)

    def _indirect(
        self, block: int, level: int, told: int, blocks: int, per_block: int, found: list[tuple[int, int, int]]
    ) -> int:
        if not block:
            return told + int(per_block**level)
        pointers = struct.unpack(f"<{per_block}I", self._read(block))
        if level == 1:
            return _consecutive(pointers, told, blocks, found)
        for pointer in pointers:
            if told >= blocks:
                break
            told = self._indirect(pointer, level - 1, told, blocks, per_block, found)
        return told


def _consecutive(pointers: tuple[int, ...], told: int, blocks: int, found: list[tuple[int, int, int]]) -> int:
    """Add the runs of consecutive blocks among these pointers; a pointer of 0 is a hole."""
    wanted = pointers[: max(0, blocks - told)]
    first = 0
    while first < len(wanted):
        physical = wanted[first]
        stop = first + 1
        if physical:
            while stop < len(wanted) and wanted[stop] == physical + stop - first:
                stop += 1
            found.append((told + first, stop - first, physical))
        first = stop
    return told + len(wanted)
