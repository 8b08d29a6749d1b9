"""Volume shadow copies: the earlier states of an NTFS volume that Windows keeps in it, each by what differs from the next.

libvshadow puts a state together. Windows keeps dozens of them, and nearly everything in each is also in the next: of an earlier state,
only the files that are not the same in the state after it are listed, and only blocks that changed are carved. Source: libvshadow's
"Volume Shadow Snapshot (VSS) format".
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC

import pyvshadow

from amparo.clock import iso
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device, DeviceFile, LibraryDevice
from amparo.evidence.source.entry import SPARSE, Entry
from amparo.evidence.source.free_space import Allocation
from amparo.evidence.source.ntfs import NtfsVolume

_HEADER = 0x1E00
_IDENTIFIER = b"\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52"
_MOST = 512  # as many as Windows keeps
_BLOCK = 16384
_PIECE = 1 << 20
# What the library raises over hostile bytes.
_TROUBLE = (OSError, ValueError, OverflowError, MemoryError, AttributeError)

DAMAGED = "The volume's shadow copies are damaged and were not searched."


class ShadowDevice(LibraryDevice):
    """An earlier state of a volume. ``newer`` is the state after it; ``changed`` are the blocks of 16 KiB that differ, in order."""

    def __init__(self, device: Device, index: int) -> None:
        """Raises :class:`SourceUnreadable` where it does not open."""
        try:
            volume = pyvshadow.volume()
            volume.open_file_object(DeviceFile(device))
            store = volume.get_store(index)
            super().__init__(store, int(store.volume_size), volume)
            self.changed = _changed(store, self.size)
            later = [n for n in _kept(volume) if n > index]
            self.newer = device
            if later:
                after = volume.get_store(later[0])
                self.newer = LibraryDevice(after, int(after.volume_size), volume)
        except _TROUBLE as error:
            raise SourceUnreadable(DAMAGED) from error


def shadows(device: Device) -> list[tuple[int, str]]:
    """Number and label of every shadow copy. Most volumes have none, and most of those say so in one sector.

    Raises :class:`SourceUnreadable` where there are some that cannot be told.
    """
    try:
        if device.read(_HEADER, 16) != _IDENTIFIER:
            return []
        volume = pyvshadow.volume()
        volume.open_file_object(DeviceFile(device))
        return [
            (index, f"shadow copy of {iso(volume.get_store(index).creation_time.replace(tzinfo=UTC))}")
            for index in _kept(volume)
        ]
    except (ReadFailed, *_TROUBLE) as error:
        raise SourceUnreadable(DAMAGED) from error


def _kept(volume: pyvshadow.volume) -> list[int]:
    """The numbers of the states that lie in the volume itself, the oldest first."""
    count = min(volume.number_of_stores, _MOST)
    return [index for index in range(count) if volume.get_store(index).has_in_volume_data()]


def _changed(store: pyvshadow.store, size: int) -> array[int]:
    count = min(int(store.number_of_blocks), size // _BLOCK + 1)
    places = {store.get_block(number).original_offset // _BLOCK for number in range(count)}
    return array("q", sorted(place for place in places if 0 <= place <= size // _BLOCK))


class EarlierVolume:
    """The NTFS file system of an earlier state: what of it the state after it has not. Raises :class:`SourceUnreadable`."""

    kind = "ntfs"

    def __init__(self, device: ShadowDevice) -> None:
        self._device, self._system = device, NtfsVolume(device)
        self.problems = self._system.problems
        runs = array("q", (part for number in device.changed for part in (number * _BLOCK, _BLOCK)))
        self._changed = Allocation.from_runs(runs, device.size + _BLOCK, _BLOCK)

    def entries(self) -> Iterator[Entry]:
        """Every file, live or deleted, of which anything is otherwise in the state after: a name, a time, or the content."""
        known: set[int] = set()
        with suppress(SourceUnreadable, ReadFailed):  # where the state after cannot be listed, everything is told
            known.update(map(_mark, NtfsVolume(self._device.newer).entries()))
        for entry in self._system.entries():
            if _mark(entry) not in known or self._may_differ(entry):
                yield entry

    def _may_differ(self, entry: Entry) -> bool:
        if entry.inline is not None or entry.problem is not None:
            return False  # the content, where there is any, was compared
        if entry.runs is None:
            return True
        newer = self._device.newer
        for start, length in entry.runs:
            for at in range(start, start + length, _PIECE) if start != SPARSE else ():
                size = min(_PIECE, start + length - at)
                # A block of 16 KiB holds several files: that it changed does not say that this one did.
                if self._changed.any_in_use([(at, size)]):
                    try:
                        if self._device.read(at, size) != newer.read(at, size):
                            return True
                    except ReadFailed:
                        return True
        return False

    def allocation(self) -> Allocation:
        """Free space is what was free then and has changed since: the rest is carved in the state after. Raises ReadFailed."""
        whole = self._system.allocation()
        first = [number * _BLOCK // whole.block for number in self._device.changed]
        last = [-(-(number + 1) * _BLOCK // whole.block) for number in self._device.changed]
        starts, stops = array("q"), array("q")
        for start, stop in zip(whole.starts, whole.stops, strict=True):
            at = bisect_right(last, start)
            while at < len(first) and first[at] < stop:
                low, high = max(start, first[at]), min(stop, last[at])
                if stops and stops[-1] >= low:
                    stops[-1] = high
                else:
                    starts.append(low)
                    stops.append(high)
                at += 1
        return Allocation(starts, stops, whole.block, whole.origin)


def _mark(entry: Entry) -> int:
    """All that a file system tells of a file, as one number."""
    return hash((
        entry.path, entry.size, entry.state, entry.address, entry.created, entry.modified, entry.accessed, entry.changed,
        entry.inline, entry.valid, entry.problem, None if entry.runs is None else tuple(entry.runs),
    ))  # fmt: skip
