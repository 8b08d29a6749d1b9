"""QCOW2 (QEMU's disks) as bytes at an address.

A reader of our own, because libqcow gives zeros for compressed clusters of version 3 without saying so. Layout after
QEMU's ``docs/interop/qcow2``. What it does not read (encrypted, zstd, external data, subclusters) it refuses by name.
"""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

from isal import isal_zlib

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device, stored

MARK = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_PLACE = 0x00FFFFFFFFFFFE00
_COMPRESSED, _ZEROS = 1 << 62, 1
_TABLES_KEPT, _CLUSTERS_KEPT = 4 << 20, 4 << 20  # bytes
_MOST_TOP = 32 << 20  # QEMU's own limit on the first table
_NOT_INFLATED: Any = isal_zlib.IsalError
_CONVERT = "convert it with qemu-img convert -O raw and search the result"
_REFUSED = {4: "keeps its content in another file", 8: "is compressed with zstd", 16: "is divided into subclusters"}


def backing_name(file: Device) -> str | None:
    """The file that this image only stores the differences to, as the image names it. Raises :class:`ReadFailed`."""
    offset, size = struct.unpack(">QI", file.read(8, 12))
    return file.read(offset, min(size, 1023)).decode("utf-8", "replace") if offset else None


class Qcow2Device:
    """The disk in a QCOW2 image over ``file``; what it does not hold comes from ``backing``, or is zeros.

    ``problems`` says what the image holds beside its present state. Raises :class:`SourceUnreadable`.
    """

    def __init__(self, file: Device, backing: Device | None, path: Path) -> None:
        self.problems: list[str] = []
        self._file, self._backing = file, backing
        try:
            self._open(path)
        except (ReadFailed, struct.error):
            raise SourceUnreadable(f"{path.name} is damaged: its header or first table cannot be read.") from None
        self._tables: OrderedDict[int, list[int]] = OrderedDict()
        self._clusters: OrderedDict[int, bytes] = OrderedDict()

    def _open(self, path: Path) -> None:
        head = self._file.read(0, 112).ljust(112, b"\0")
        mark, version, _, _, bits, size, crypt, top, top_at, _, _, snapshots, _ = _HEADER.unpack_from(head)
        features = int.from_bytes(head[72:80], "big") if version == 3 else 0
        if mark != MARK or version not in (2, 3):
            raise SourceUnreadable(f"{path.name} is a QCOW image of version {version}: {_CONVERT}.")
        if crypt:
            raise SourceUnreadable(f"{path.name} is encrypted by QEMU: {_CONVERT}.")
        for bit, what in _REFUSED.items():
            if features & bit and (bit != 8 or head[104]):
                raise SourceUnreadable(f"{path.name} {what}, which is not read here: {_CONVERT}.")
        if features & ~0b11111:
            raise SourceUnreadable(f"{path.name} uses features that are not known here: {_CONVERT}.")
        if not 9 <= bits <= 21 or not size:
            raise SourceUnreadable(f"{path.name} is damaged: its header holds no size that a disk can have.")
        self.size, self._bits, self._cluster = size, bits, 1 << bits
        self._fan = bits - 3
        reach = 1 << (bits + self._fan)
        if top * 8 > _MOST_TOP or -(-size // reach) > top:
            raise SourceUnreadable(f"{path.name} is damaged: its first table is too small for the size of the disk.")
        data = self._file.read(top_at, top * 8)
        self._top = struct.unpack(f">{top}Q", data)
        if features & 2:
            self.problems.append(f"{path.name} is marked as damaged by QEMU: some of its content may be wrong.")
        if snapshots:
            self.problems.append(
                f"{path.name} also holds {snapshots} earlier states of the disk: only the present one is searched."
            )

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of this range, shorter only where it passes ``size``. Raises :class:`ReadFailed`."""
        if offset < 0 or length < 0:
            raise ReadFailed(f"A read at {offset} of {length} bytes lies outside the image.")
        end = min(offset + length, self.size)
        pieces: list[bytes] = []
        while offset < end:
            number, skip = offset >> self._bits, offset & (self._cluster - 1)
            table = self._table(number >> self._fan)
            index = number & ((1 << self._fan) - 1)
            entry = table[index] if table is not None else 0
            take = min(end - offset, self._cluster - skip)
            if entry & _COMPRESSED:
                pieces.append(self._inflated(entry, offset - skip)[skip : skip + take])
            elif entry & _ZEROS:
                pieces.append(bytes(take))
            elif entry & _PLACE:
                place = entry & _PLACE
                # Neighbours on the disk are mostly neighbours in the file: one read for all of them.
                while offset + take < end and table is not None:
                    index += 1
                    if index == len(table) or table[index] & (_COMPRESSED | _ZEROS | _PLACE) != place + self._cluster:
                        break
                    place += self._cluster
                    take = min(end - offset, take + self._cluster)
                pieces.append(stored(self._file, (entry & _PLACE) + skip, take, offset))
            else:
                pieces.append(self._from_backing(offset, take))
            offset += take
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _table(self, number: int) -> list[int] | None:
        place = self._top[number] & _PLACE
        if not place:
            return None
        kept = self._tables.get(number)
        if kept is None:
            data = stored(self._file, place, self._cluster, number << (self._bits + self._fan))
            kept = list(struct.unpack(f">{self._cluster // 8}Q", data))
            self._tables[number] = kept
            if len(self._tables) * self._cluster > _TABLES_KEPT:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(number)
        return kept

    def _inflated(self, entry: int, offset: int) -> bytes:
        kept = self._clusters.get(offset)
        if kept is not None:
            return kept
        split = 62 - (self._bits - 8)
        place = entry & ((1 << split) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> split) + 1
        data = self._file.read(place, sectors * 512 - (place & 511))
        piece = b""
        for module, failure in ((isal_zlib, _NOT_INFLATED), (zlib, zlib.error)):
            try:
                piece = module.decompressobj(-15).decompress(data, self._cluster)
                break
            except failure:
                continue
        if len(piece) < self._cluster:
            raise ReadFailed(f"The compressed cluster at {offset} cannot be inflated: the image file is damaged there.")
        self._clusters[offset] = piece
        if len(self._clusters) * self._cluster > _CLUSTERS_KEPT:
            self._clusters.popitem(last=False)
        return piece

    def _from_backing(self, offset: int, length: int) -> bytes:
        if self._backing is None:
            return bytes(length)
        return self._backing.read(offset, length).ljust(length, b"\0") if offset < self._backing.size else bytes(length)

    def close(self) -> None:
        self._file.close()
        if self._backing is not None:
            self._backing.close()
