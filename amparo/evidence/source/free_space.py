"""Which blocks of a volume are in use, as its own maps say."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from amparo.evidence.source.entry import SPARSE, Runs

_PIECE = 1 << 20
_SOME_BIT = re.compile(rb"[^\0]")
_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]

Piece = tuple[bytes, int]
"""A part of a map: one bit a block, the lowest of each byte first, set where the block is in use; and for how many blocks it is."""


class Allocation:
    """The free blocks of a volume; whatever lies in none of them belongs to something live.

    ``starts`` has the first block of each free run, in order, and ``stops`` the block after its last. Runs and not a flag for each
    block, because a disk of 16 TB has four billion of these. ``block`` is the block's size and ``origin`` the address
    of block 0, both in bytes of the volume.
    """

    def __init__(self, starts: array[int], stops: array[int], block: int, origin: int = 0) -> None:
        self.starts, self.stops, self.block, self.origin = starts, stops, block, origin

    @classmethod
    def from_pieces(cls, pieces: Iterable[Piece], block: int, origin: int = 0) -> Allocation:
        """From a map, a piece at a time in the order of the blocks. What a piece cut short does not say is taken as in use."""
        edges = array("q")  # a free run begins, ends, the next one begins …
        at, before = 0, 1
        for raw, count in pieces:
            if count <= 0:
                continue
            every = (1 << count) - 1
            used = int.from_bytes(raw, "little") & every
            if 8 * len(raw) < count:
                used |= every ^ (1 << 8 * len(raw)) - 1
            turns = ((used ^ (used << 1 | before)) & every).to_bytes(-(-count // 8), "little")
            for found in _SOME_BIT.finditer(turns):
                place = found.start()
                edges.extend([at + 8 * place + bit for bit in _BITS[turns[place]]])
            at, before = at + count, used >> count - 1
        if not before:
            edges.append(at)
        return cls(edges[::2], edges[1::2], block, origin)

    @classmethod
    def from_bitmap(cls, raw: bytes, count: int, block: int, origin: int = 0) -> Allocation:
        """From a map of one bit a block, the lowest bit first, as NTFS and exFAT write it.

        What a map cut short does not say is taken as in use.
        """

        def pieces() -> Iterator[Piece]:
            for at in range(0, min(len(raw), -(-count // 8)), _PIECE):
                piece = raw[at : at + _PIECE]
                yield piece, min(8 * len(piece), count - 8 * at)

        return cls.from_pieces(pieces(), block, origin)

    @classmethod
    def from_runs(cls, live: array[int], size: int, block: int = 512) -> Allocation:
        """From the runs of everything live, where a file system's own map is not at hand.

        ``live`` has offset and length of each run, in bytes, one after another; the runs in any order. ``size`` is the volume's.
        """
        import numpy as np  # only here: it takes as long to load as all else that lists a volume

        rows = np.frombuffer(live, np.int64).reshape(-1, 2) if live else np.empty((0, 2), np.int64)
        rows = rows[(rows[:, 0] >= 0) & (rows[:, 0] < size) & (rows[:, 1] > 0)]
        rows = rows[np.argsort(rows[:, 0])]
        stops = np.append(rows[:, 0] // block, size // block)
        starts = np.append(0, np.maximum.accumulate(-(-(rows[:, 0] + rows[:, 1]) // block)))
        kept = starts < stops
        return cls(array("q", starts[kept].tobytes()), array("q", stops[kept].tobytes()), block)

    def any_in_use(self, runs: Runs) -> bool:
        """Whether any block of these runs belongs to something live."""
        for offset, length in runs:
            if offset != SPARSE and length:
                first = (offset - self.origin) // self.block
                last = -(-(offset + length - self.origin) // self.block)
                row = bisect_right(self.starts, first) - 1
                if row < 0 or self.stops[row] < last:
                    return True
        return False

    def free(self) -> Runs:
        """The free runs in address order, ``(offset, length)`` in bytes of the volume."""
        block, origin = self.block, self.origin
        return [
            (start * block + origin, (stop - start) * block)
            for start, stop in zip(self.starts, self.stops, strict=True)
        ]
