"""HFS+ forks and B-trees: the nodes in the order of their chain, and the one record that a key leads to.

Source: Apple's Technical Note TN1150, "HFS Plus Volume Format" (2004).
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import Runs

LEAF, INDEX, HEADER = -1, 0, 1
_DEEPEST = 16
_NODES_KEPT = 64
_DESCRIPTOR = struct.Struct(">IIbBHH")


class Fork(NamedTuple):
    """What 80 bytes say of a fork: its size and blocks, and its first extents as (first block, count)."""

    size: int
    blocks: int
    extents: tuple[tuple[int, int], ...]


def fork(raw: bytes, at: int = 0) -> Fork:
    """The fork described at this place. Raises struct.error where it is cut short."""
    size, _, blocks, *numbers = struct.unpack_from(">QII16I", raw, at)
    return Fork(size, blocks, pairs(numbers))


def pairs(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    """Extents out of a flat list, those of no blocks left out."""
    return tuple((first, count) for first, count in zip(numbers[::2], numbers[1::2], strict=True) if count)


def read_runs(device: Device, runs: Runs, offset: int, length: int) -> bytes:
    """A range of what lies in these runs. Raises :class:`ReadFailed`."""
    pieces = []
    for start, count in runs:
        if offset < count and length > 0:
            take = min(count - offset, length)
            pieces.append(device.read(start + offset, take))
            length -= take
            offset = 0
        else:
            offset -= count
    return b"".join(pieces)


class Record(NamedTuple):
    """One record of a node: where it stands, its key as it is compared, and its data."""

    node: int
    place: int
    key: Any
    data: bytes


class Tree:
    """One B-tree. ``key`` gives the key at the start of a record, in the form that is compared, and where its data begin."""

    def __init__(self, device: Device, runs: Runs, key: Callable[[bytes], tuple[Any, int]]) -> None:
        """Raises :class:`ReadFailed` where the header node cannot be read, ValueError where it makes no sense."""
        self._device, self._runs, self._key = device, runs, key
        self._kept: OrderedDict[int, tuple[int, int, list[Record]] | None] = OrderedDict()
        try:
            _, self._root, _, self._first, _, self.node = struct.unpack_from(">HIIIIH", read_runs(device, runs, 14, 64))
        except struct.error as error:
            raise ValueError from error
        if self.node < 512 or self.node > 32768 or self.node & (self.node - 1):
            raise ValueError
        self.count = sum(length for _, length in runs) // self.node
        self.damaged = False

    def _read(self, number: int) -> tuple[int, int, list[Record]] | None:
        """Kind, following node, and records; None where the node is damaged."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        found = self._parse(number)
        self._kept[number] = found
        if len(self._kept) > _NODES_KEPT:
            self._kept.popitem(last=False)
        return found

    def _parse(self, number: int) -> tuple[int, int, list[Record]] | None:
        if not 0 < number < self.count:
            return None
        try:
            raw = read_runs(self._device, self._runs, number * self.node, self.node)
            following, _, kind, height, count, _ = _DESCRIPTOR.unpack_from(raw)
            offsets = struct.unpack_from(f">{count + 1}H", raw, self.node - 2 * (count + 1))[::-1]
        except (ReadFailed, struct.error):
            return None
        if kind not in (LEAF, INDEX) or (kind == LEAF) != (height == 1):
            return None
        records = []
        for index, (start, end) in enumerate(pairwise(offsets)):
            if not 14 <= start < end <= self.node:
                self.damaged = True
                continue
            try:
                key, data = self._key(raw[start:end])
            except (struct.error, ValueError):
                self.damaged = True
                continue
            records.append(Record(number, index, key, raw[start + data : end]))
        return kind, following, records

    def leaves(self) -> Iterator[Record]:
        """Every record of every leaf, along their chain; where that breaks, from the nodes that it did not lead to."""
        met = bytearray(self.count)
        number, whole = self._first, True
        while number:
            found = self._read(number) if number < self.count and not met[number] else None
            if found is None or found[0] != LEAF:
                whole = False
                break
            met[number] = 1
            yield from found[2]
            number = found[1]
        if whole:
            return
        self.damaged = True
        for number in range(1, self.count):
            if not met[number]:
                found = self._parse(number)
                if found is not None and found[0] == LEAF:
                    yield from found[2]

    def at(self, number: int, index: int) -> Record | None:
        """The record at a place that :meth:`leaves` told."""
        found = self._read(number)
        return next((record for record in found[2] if record.place == index), None) if found else None

    def search(self, key: object) -> Record | None:
        """The record of this key, from the root down; None where there is none or the way is damaged."""
        number = self._root
        for _ in range(_DEEPEST):
            found = self._read(number)
            if found is None:
                return None
            kind, _, records = found
            if kind == LEAF:
                return next((record for record in records if record.key == key), None)
            below = [record for record in records if record.key <= key]
            if not below or len(below[-1].data) < 4:
                return None
            number = int.from_bytes(below[-1].data[:4], "big")
        return None
