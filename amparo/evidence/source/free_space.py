"""Which blocks of a volume are in use, as its own maps say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from amparo.evidence.source.entry import SPARSE, Runs


class Allocation:
    """A map of blocks: ``used[n]`` is true where block ``n`` belongs to something live.

    ``block`` is the block's size and ``origin`` the first block's address, both in bytes of the volume.
    """

    def __init__(self, used: npt.NDArray[np.bool_], block: int, origin: int = 0) -> None:
        self.used, self.block, self.origin = used, block, origin

    @classmethod
    def from_bitmap(cls, raw: bytes, count: int, block: int, origin: int = 0) -> Allocation:
        """From a map of one bit a block, the lowest bit first, as NTFS, exFAT and ext write it."""
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:count].astype(bool)
        if len(bits) < count:  # a map cut short: what it does not say is taken as in use
            bits = np.concatenate([bits, np.ones(count - len(bits), bool)])
        return cls(bits, block, origin)

    @classmethod
    def from_runs(cls, runs: Runs, size: int, block: int = 512) -> Allocation:
        """From the runs of everything live, where a file system's own map is not at hand."""
        used = np.zeros(size // block, bool)
        for offset, length in runs:
            if offset != SPARSE:
                used[offset // block : -(-(offset + length) // block)] = True
        return cls(used, block)

    def any_in_use(self, runs: Runs) -> bool:
        """Whether any block of these runs belongs to something live."""
        for offset, length in runs:
            if offset != SPARSE and length:
                first = (offset - self.origin) // self.block
                last = -(-(offset + length - self.origin) // self.block)
                if first < 0 or self.used[first:last].any():
                    return True
        return False

    def free(self) -> Runs:
        """The free runs in address order, ``(offset, length)`` in bytes of the volume."""
        edges = np.flatnonzero(np.diff(np.concatenate([[True], self.used, [True]]).astype(np.int8)))
        return [
            (self.origin + int(start) * self.block, int(stop - start) * self.block)
            for start, stop in zip(edges[::2], edges[1::2], strict=True)
        ]
