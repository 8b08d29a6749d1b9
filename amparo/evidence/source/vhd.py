"""VHD (Virtual PC's and Hyper-V's older disks) as bytes at an address: fixed, dynamic and differencing.

A reader of our own, because libvhdi asks for a dynamic disk sector by sector. Layout after Microsoft's "Virtual Hard Disk
Image Format Specification", version 1.0.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import SECTOR, Device, stored

MARK, _DYNAMIC_MARK = b"conectix", b"cxsparse"
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
_UNUSED = 0xFFFFFFFF
_MOST_BLOCKS = 1 << 22  # 8 TiB of the usual blocks; the format ends at 2 TiB
_MOST_BLOCK = 256 << 20
_MAPS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Footer:
    """``header`` is where the header of a dynamic disk lies, ``size`` the disk's, both in bytes."""

    header: int
    size: int
    kind: int
    identifier: bytes
    sound: bool


def footer(file: Device) -> Footer | None:
    """The description at the end of the file, or its copy at the start, whichever matches its checksum."""
    found = []
    for at in (max(0, file.size - SECTOR), 0):
        try:
            data = file.read(at, SECTOR)
        except ReadFailed:
            continue
        if len(data) == SECTOR and data.startswith(MARK):
            (header,) = struct.unpack_from(">Q", data, 16)
            size, _, kind, checksum = struct.unpack_from(">QIII", data, 48)
            sound = checksum == ~(sum(data[:64]) + sum(data[68:])) & 0xFFFFFFFF
            found.append(Footer(header, size, kind, data[68:84], sound))
    return max(found, key=lambda one: one.sound, default=None)


def parent_name(file: Device) -> str | None:
    """The disk that this one only stores the differences to, as the image names it. Raises :class:`ReadFailed`."""
    found = footer(file)
    if found is None or found.kind != DIFFERENCING:
        return None
    return file.read(found.header, 1024)[64:576].decode("utf-16-be", "replace").split("\0")[0]


class VhdDevice:
    """The disk in a VHD over ``file``; what a differencing one does not hold comes from ``parent``.

    Raises :class:`SourceUnreadable`, also where ``parent`` is not the disk that it was made from.
    """

    def __init__(self, file: Device, parent: VhdDevice | None, path: Path) -> None:
        self.problems: list[str] = []
        self._file, self._parent = file, parent
        found = footer(file)
        if found is None or found.kind not in (FIXED, DYNAMIC, DIFFERENCING) or not found.size:
            raise SourceUnreadable(f"{path.name} is damaged: it has no VHD footer; copy it from the original again.")
        if not found.sound:
            self.problems.append(
                f"The footer of {path.name} does not match its checksum: the disk's size may be wrong."
            )
        self.size, self.identifier = found.size, found.identifier
        self._blocks: tuple[int, ...] | None = None
        if found.kind != FIXED:
            try:
                self._open_dynamic(found, path)
            except (ReadFailed, struct.error):
                raise SourceUnreadable(f"{path.name} is damaged: its table of blocks cannot be read.") from None
        self._maps: OrderedDict[int, bytes] = OrderedDict()

    def _open_dynamic(self, found: Footer, path: Path) -> None:
        header = self._file.read(found.header, 1024)
        (table,) = struct.unpack_from(">Q", header, 16)
        entries, block = struct.unpack_from(">II", header, 28)
        if not header.startswith(_DYNAMIC_MARK) or not SECTOR <= block <= _MOST_BLOCK or block & (block - 1):
            raise SourceUnreadable(f"{path.name} is damaged: the header of its table makes no sense.")
        needed = -(-self.size // block)
        if needed > min(entries, _MOST_BLOCKS):
            raise SourceUnreadable(
                f"{path.name} is damaged: its table of blocks is too small for the size of the disk."
            )
        if found.kind == DIFFERENCING and (self._parent is None or self._parent.identifier != header[40:56]):
            raise SourceUnreadable(
                f"The parent beside {path.name} is not the one it was made from: find the right one."
            )
        if found.kind == DYNAMIC:
            self._parent = None
        self._block = block
        # A bit for each sector of a block, in whole sectors, stands before the block.
        self._map = -(-block // (SECTOR * 8 * SECTOR)) * SECTOR
        self._blocks = struct.unpack(f">{needed}I", self._file.read(table, needed * 4))

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of this range, shorter only where it passes ``size``. Raises :class:`ReadFailed`."""
        if offset < 0 or length < 0:
            raise ReadFailed(f"A read at {offset} of {length} bytes lies outside the image.")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if self._blocks is None:
            return stored(self._file, offset, end - offset, offset)
        pieces: list[bytes] = []
        while offset < end:
            number, skip = divmod(offset, self._block)
            take = min(end - offset, self._block - skip)
            if self._blocks[number] == _UNUSED:
                pieces.append(self._absent(offset, take))
            else:
                pieces += self._from_block(number, offset, skip, take)
            offset += take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _from_block(self, number: int, offset: int, skip: int, take: int) -> list[bytes]:
        assert self._blocks is not None
        place = self._blocks[number] * SECTOR
        held = self._held(number, place)
        data = place + self._map
        first, last = skip // SECTOR, (skip + take - 1) // SECTOR
        if held.count(0xFF, first // 8, last // 8 + 1) == last // 8 + 1 - first // 8:
            return [stored(self._file, data + skip, take, offset)]
        pieces, at = [], skip
        bits = (held[sector // 8] >> (7 - sector % 8) & 1 for sector in range(first, last + 1))
        done = first
        for bit, run in groupby(bits):
            done += sum(1 for _ in run)
            until = min(done * SECTOR, skip + take)
            here = offset + at - skip
            pieces.append(stored(self._file, data + at, until - at, here) if bit else self._absent(here, until - at))
            at = until
        return pieces

    def _held(self, number: int, place: int) -> bytes:
        """The map of the sectors that a block really holds."""
        kept = self._maps.get(number)
        if kept is None:
            kept = stored(self._file, place, self._map, number * self._block)
            self._maps[number] = kept
            if len(self._maps) > _MAPS_KEPT:
                self._maps.popitem(last=False)
        return kept

    def _absent(self, offset: int, length: int) -> bytes:
        if self._parent is None or offset >= self._parent.size:
            return bytes(length)
        return self._parent.read(offset, length).ljust(length, b"\0")

    def close(self) -> None:
        self._file.close()
        if self._parent is not None:
            self._parent.close()
