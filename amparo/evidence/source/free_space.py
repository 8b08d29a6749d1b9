"""Which blocks of a volume are in use, as its own maps say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from amparo.evidence.source.entry import SPARSE, Runs

_PIECE = 1 << 20


class Allocation:
    """The free blocks of a volume; whatever lies in none of them belongs to something live.

    ``edges`` has one row for each free run, in order: its first block, and the block after its last. Runs and not a flag for each
    block, because a disk of 16 TB has four billion of these. ``block`` is the block's size and ``origin`` the address
    of block 0, both in bytes of the volume.
    """

    def __init__(self, edges: npt.NDArray[np.int64], block: int, origin: int = 0) -> None:
        self.edges, self.block, self.origin = edges, block, origin

    @classmethod
    def from_pieces(cls, pieces: Iterable[npt.NDArray[np.bool_]], block: int, origin: int = 0) -> Allocation:
        """From flags, a piece at a time in the order of the blocks: true where a block is in use."""
        found: list[npt.NDArray[np.int64]] = []
        at, before = 0, True
        for used in pieces:
            if not len(used):
                continue
            if bool(used[0]) != before:
                found.append(np.array([at], np.int64))
            found.append(np.flatnonzero(used[1:] != used[:-1]) + (at + 1))
            at, before = at + len(used), bool(used[-1])
        if not before:
            found.append(np.array([at], np.int64))
        flat = np.concatenate(found) if found else np.empty(0, np.int64)
        return cls(flat.reshape(-1, 2), block, origin)

    @classmethod
    def from_bitmap(cls, raw: bytes, count: int, block: int, origin: int = 0) -> Allocation:
        """From a map of one bit a block, the lowest bit first, as NTFS and exFAT write it.

        What a map cut short does not say is taken as in use.
        """

        def pieces() -> Iterator[npt.NDArray[np.bool_]]:
            for at in range(0, min(len(raw), -(-count // 8)), _PIECE):
                yield bits(raw[at : at + _PIECE])[: count - 8 * at]

        return cls.from_pieces(pieces(), block, origin)

    @classmethod
    def from_runs(cls, live: npt.NDArray[np.int64], size: int, block: int = 512) -> Allocation:
        """From the runs of everything live, where a file system's own map is not at hand.

        ``live`` has one row for each run, in any order: offset and length in bytes. ``size`` is the volume's.
        """
        live = live[live[:, 0] >= 0]
        live = live[np.argsort(live[:, 0])]
        starts = np.append(live[:, 0] // block, size // block)
        stops = np.append(0, np.maximum.accumulate(-(-(live[:, 0] + live[:, 1]) // block)))
        edges = np.stack([stops, starts], axis=1)
        return cls(edges[edges[:, 0] < edges[:, 1]], block)

    def any_in_use(self, runs: Runs) -> bool:
        """Whether any block of these runs belongs to something live."""
        for offset, length in runs:
            if offset != SPARSE and length:
                first = (offset - self.origin) // self.block
                last = -(-(offset + length - self.origin) // self.block)
                row = int(np.searchsorted(self.edges[:, 0], first, "right")) - 1
                if row < 0 or self.edges[row, 1] < last:
                    return True
        return False

    def free(self) -> Runs:
        """The free runs in address order, ``(offset, length)`` in bytes of the volume."""
        starts = (self.edges[:, 0] * self.block + self.origin).tolist()
        lengths = ((self.edges[:, 1] - self.edges[:, 0]) * self.block).tolist()
        return list(zip(starts, lengths, strict=True))


def bits(raw: bytes) -> npt.NDArray[np.bool_]:
    """The bits of a map as flags, the lowest of each byte first."""
    return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").astype(bool)
