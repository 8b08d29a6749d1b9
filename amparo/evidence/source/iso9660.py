"""ISO 9660 as CDs and DVDs have it, under the longest names that it keeps: Rock Ridge's, else Joliet's, else its own.

Sources: ECMA-119 (4th edition); the Joliet specification; IEEE P1281 (System Use Sharing Protocol) and P1282 (Rock Ridge).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain

from amparo.clock import iso
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import Entry, Runs, shown
from amparo.evidence.source.free_space import Allocation

SECTOR = 2048
_FIRST, _MOST_DESCRIPTORS = 16, 64
_JOLIET = (b"%/@", b"%/C", b"%/E")
_DIRECTORY, _MORE_FOLLOWS = 2, 128
_LARGEST_DIRECTORY = 64 << 20
_MOST_CONTINUATIONS = 16
_ENDS_EARLY = "Its content lies past the end of the image, which was cut or never finished."
_INTERLEAVED = "Its content is interleaved with another file's, which is not read here."


@dataclass(slots=True)
class _Record:
    """One directory record: ``runs`` in bytes of the volume, ``more`` where a further extent of it follows."""

    name: bytes
    runs: Runs
    flags: int
    interleaved: bool
    recorded: str | None
    more: bytes  # the system use area

    @property
    def is_directory(self) -> bool:
        return bool(self.flags & _DIRECTORY)


@dataclass(slots=True)
class _RockRidge:
    """What Rock Ridge says beyond a record."""

    name: bytes = b""
    target: list[bytes] | None = None
    child: int | None = None  # the block of a directory that was moved to elsewhere in the tree
    moved: bool = False
    times: dict[int, str | None] = field(
        default_factory=dict
    )  # by bit of TF: 0 created, 1 modified, 2 accessed, 3 changed


class IsoVolume:
    """An ISO 9660 file system. Raises :class:`SourceUnreadable` where it has no volume descriptor that makes sense."""

    kind = "iso9660"

    def __init__(self, device: Device) -> None:
        self.device = device
        self.problems: list[str] = []
        self._live: Runs = [(0, (_FIRST + 2) * SECTOR)]
        own = joliet = None
        for number in range(_FIRST, _FIRST + _MOST_DESCRIPTORS):
            try:
                raw = device.read(number * SECTOR, SECTOR)
            except ReadFailed:
                continue
            if len(raw) < SECTOR or raw[1:6] != b"CD001" or raw[0] == 255:
                break
            if raw[0] == 1 and own is None:
                own = raw
            elif raw[0] == 2 and raw[88:91] in _JOLIET and joliet is None:
                joliet = raw
        if own is None:
            raise SourceUnreadable("The ISO 9660 volume descriptor is damaged, so its files cannot be listed.")
        self.block = struct.unpack_from("<H", own, 128)[0]
        if self.block not in (512, 1024, 2048):
            raise SourceUnreadable("The ISO 9660 volume descriptor is damaged, so its files cannot be listed.")
        root = self._record(own[156:190])
        self._skip = self._rock_ridge_skip(root)
        self._joliet = self._skip is None and joliet is not None
        if self._joliet and joliet is not None:
            root = self._record(joliet[156:190])
        if root is None or not root.is_directory:
            raise SourceUnreadable("The root directory of the ISO 9660 file system is damaged.")
        self._root = root

    def _record(self, raw: bytes) -> _Record | None:
        if len(raw) < 34:
            return None
        block, size = struct.unpack_from("<I4xI", raw, 2)
        length = raw[32]
        name = raw[33 : 33 + length]
        if len(name) < length:
            return None
        start = (block + raw[1]) * self.block
        use = raw[33 + length + (1 - length % 2) :]
        return _Record(name, [(start, size)], raw[25], bool(raw[26] or raw[27]), _recorded(raw[18:25]), use)

    def _rock_ridge_skip(self, root: _Record | None) -> int | None:
        """How many bytes of each system use area come before Rock Ridge's, or None where there is none."""
        if root is None:
            return None
        first = next(iter(self._records(root, "")), None)
        if first is None:
            return None
        at = first.more.find(b"SP\x07\x01\xbe\xef")
        if at < 0 or len(first.more) < at + 7:
            return None
        return first.more[at + 6]

    # Files ------------------------------------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """Every file and link, from the root down."""
        waiting = [(self._root, "")]
        visited = {self._root.runs[0][0]}
        left = 2 * self.device.size + _LARGEST_DIRECTORY  # directories laid over one another would be read without end
        while waiting:
            directory, path = waiting.pop()
            left -= sum(length for _, length in directory.runs)
            if left < 0:
                self.problems.append("The directories claim more room than the volume has: the rest were left out.")
                return
            self._live += directory.runs
            for record in self._whole(directory, path):
                ridge = self._ridge(record)
                if record.name in (b"\0", b"\1") or ridge.moved:
                    continue
                name = self._name(record, ridge)
                place = f"{path}/{name}" if path else name
                if ridge.child is not None:
                    moved = self._at(ridge.child)
                    if moved is None:
                        self.problems.append(f"The directory “{place}” cannot be read.")
                        continue
                    record = moved
                if record.is_directory:
                    if record.runs[0][0] not in visited:
                        visited.add(record.runs[0][0])
                        waiting.append((record, place))
                    continue
                yield self._entry(record, ridge, place)

    def _entry(self, record: _Record, ridge: _RockRidge, path: str) -> Entry:
        size = sum(length for _, length in record.runs)
        entry = Entry(path, size, "live", str(record.runs[0][0] // self.block))
        entry.created = ridge.times.get(0) or (record.recorded if not ridge.times else None)
        entry.modified, entry.accessed, entry.changed = (ridge.times.get(bit) for bit in (1, 2, 3))
        if ridge.target is not None:
            entry.inline = b"/".join(ridge.target)
            entry.size = len(entry.inline)
        elif record.interleaved:
            entry.problem = _INTERLEAVED
        elif not size:
            entry.inline = b""
        elif any(at + length > self.device.size for at, length in record.runs):
            entry.problem = _ENDS_EARLY
        else:
            entry.runs = record.runs
            self._live += record.runs
        return entry

    def _name(self, record: _Record, ridge: _RockRidge) -> str:
        if ridge.name:
            text = shown(ridge.name)
        elif self._joliet:
            text = shown(record.name[: len(record.name) & ~1], "utf-16-be")
        else:
            text = shown(record.name)
        if not ridge.name:
            text = text.partition(";")[0] if record.is_directory else text.rpartition(";")[0] or text
            text = text.rstrip(".") or text
        return text.replace("/", "\\x2f")

    def _at(self, block: int) -> _Record | None:
        """The directory that begins at this block, by its own first record."""
        try:
            raw = self.device.read(block * self.block, SECTOR)
        except ReadFailed:
            return None
        record = self._record(raw[: raw[0]]) if raw and raw[0] >= 34 else None
        return record if record is not None and record.is_directory else None

    # Records ----------------------------------------------------------------------------------------------------

    def _whole(self, directory: _Record, path: str) -> Iterator[_Record]:
        """The records of a directory, a file's extents put together."""
        begun: _Record | None = None
        for record in self._records(directory, path):
            if begun is not None and begun.name == record.name:
                begun.runs += record.runs
                begun.interleaved = begun.interleaved or record.interleaved
                begun.more = record.more or begun.more
            else:
                if begun is not None:
                    yield begun
                begun = record
            if not record.flags & _MORE_FOLLOWS:
                yield begun
                begun = None
        if begun is not None:
            yield begun

    def _records(self, directory: _Record, path: str) -> Iterator[_Record]:
        start, size = directory.runs[0]
        for at in range(0, min(size, _LARGEST_DIRECTORY), SECTOR):
            try:
                sector = self.device.read(start + at, min(SECTOR, size - at))
            except ReadFailed:
                sector = b""
            if not sector:
                self.problems.append(f"The directory “{path or '/'}” cannot be read.")
                return
            inside = 0
            while inside < len(sector) and sector[inside]:
                record = self._record(sector[inside : inside + sector[inside]])
                if record is None:
                    self.problems.append(
                        f"The directory “{path or '/'}” is damaged; what precedes the damage was kept."
                    )
                    break
                yield record
                inside += sector[inside]

    def _ridge(self, record: _Record) -> _RockRidge:
        """What the system use area says, continuations included."""
        found = _RockRidge()
        if self._skip is None:
            return found
        area, continuations, continues = record.more[self._skip :], 0, False
        while area:
            following = b""
            at = 0
            while at + 4 <= len(area) and area[at + 2] >= 4:
                mark, length = area[at : at + 2], area[at + 2]
                value = area[at + 4 : at + length]
                if mark == b"NM" and value and not value[0] & 6:
                    found.name += value[1:]
                elif mark == b"SL" and value:
                    found.target, continues = _linked(value[1:], found.target, continues)
                elif mark == b"CL" and len(value) >= 4:
                    found.child = int.from_bytes(value[:4], "little")
                elif mark == b"RE":
                    found.moved = True
                elif mark == b"TF" and value:
                    found.times = _times(value)
                elif mark == b"CE" and len(value) >= 24 and continuations < _MOST_CONTINUATIONS:
                    continuations += 1
                    block, offset, size = struct.unpack_from("<I4xI4xI", value)
                    try:
                        following = self.device.read(block * self.block + offset, min(size, SECTOR))
                    except ReadFailed:
                        following = b""
                elif mark == b"ST":
                    break
                at += length
            area = following
        return found

    def allocation(self) -> Allocation:
        """What the files and directories listed by :meth:`entries` occupy: a disc keeps no other map."""
        return Allocation.from_runs(array("q", chain.from_iterable(self._live)), self.device.size, self.block)


def _linked(value: bytes, before: list[bytes] | None, continues: bool) -> tuple[list[bytes], bool]:
    """The components of a link's target so far, and whether the last one goes on (P1282, 4.1.3)."""
    parts = before if before is not None else []
    at = 0
    while at + 2 <= len(value):
        flags, length = value[at], value[at + 1]
        text = b"." if flags & 2 else b".." if flags & 4 else b"" if flags & 8 else value[at + 2 : at + 2 + length]
        if continues and parts:
            parts[-1] += text
        else:
            parts.append(text)
        continues = bool(flags & 1)
        at += 2 + length
    return parts, continues


def _times(value: bytes) -> dict[int, str | None]:
    """The times of a TF entry by the bit that announces each (P1282, 4.1.6)."""
    width = 17 if value[0] & 128 else 7
    found: dict[int, str | None] = {}
    at = 1
    for bit in range(7):
        if value[0] >> bit & 1:
            raw = value[at : at + width]
            found[bit] = _recorded(raw) if width == 7 else _written(raw)
            at += width
    return found


def _recorded(raw: bytes) -> str | None:
    """A time of seven bytes (ECMA-119, 9.1.5), or None where there is none."""
    if len(raw) < 7 or not raw[1]:
        return None
    year, month, day, hour, minute, second, quarters = struct.unpack("<6Bb", raw)
    return _utc(1900 + year, month, day, hour, minute, second, 0, quarters)


def _written(raw: bytes) -> str | None:
    """A time of sixteen digits and an offset (ECMA-119, 8.4.26.1)."""
    if len(raw) < 17 or not raw[:16].isdigit():
        return None
    year, month, day = int(raw[:4]), int(raw[4:6]), int(raw[6:8])
    hour, minute, second, hundredths = (int(raw[at : at + 2]) for at in (8, 10, 12, 14))
    return _utc(year, month, day, hour, minute, second, hundredths * 10_000, raw[16] - 256 * (raw[16] > 127))


def _utc(year: int, month: int, day: int, hour: int, minute: int, second: int, micro: int, quarters: int) -> str | None:
    try:
        local = datetime(year, month, day, hour, minute, second, micro, UTC)
        return iso(local - timedelta(minutes=15 * quarters))
    except (ValueError, OverflowError):
        return None
