"""Digests of one kind, sorted, with a directory by their first bits: from a digest to the places that hold it.

Four files, all in this machine's byte order: ``heads`` (the first 8 bytes of each digest as a number, ascending),
``tails`` (the rest, as it is), ``entries`` (the number of the entry each place stands for), ``directory`` (for each
prefix of ``bits`` bits the first place with it, and the number of places at the end). Everything is memory-mapped: a
second process opens them in milliseconds and shares their pages.
"""

from __future__ import annotations

import importlib
import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly

HEAD = 8
FEWEST_BITS, MOST_BITS = 8, 24
_UNSETTLED = -2  # the kernel's word for digests that share their head with others
_BLOCK = 1 << 16  # digests looked up together: their working arrays stay in the second-level cache

Positions = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]


def bits_for(rows: int) -> int:
    """How many leading bits the directory of so many rows goes by: about one row a prefix, 24 at most."""
    return min(MOST_BITS, max(FEWEST_BITS, (max(rows, 1) - 1).bit_length()))


def heads_of(digests: Digests) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each digest as a number that sorts as the bytes do. ``digests`` is (n, 16 | 20 | 32)."""
    return np.ascontiguousarray(digests[:, :HEAD]).view(">u8").ravel().astype(np.uint64)


def _kernel() -> Callable[..., None] | None:
    try:
        module = importlib.import_module("amparo.known._native")
    except ImportError:  # no compiler was at hand when the package was installed
        return None
    found: Callable[..., None] | None = getattr(module, "exact_find", None)
    return found


_find = _kernel()  # native/exact.c; its twin is DigestTable._find_block


class Damaged(Exception):
    """The files do not hold together."""


class DigestTable:
    """The digests of one kind of one index. ``rows`` is their number, ``width`` their length in bytes."""

    def __init__(self, folder: Path, kind: str, width: int, rows: int, bits: int) -> None:
        self.kind, self.width, self.rows, self._shift = kind, width, rows, 64 - bits
        self._heads = mapped(folder / f"{kind}.heads", rows * 8)
        self._tails = mapped(folder / f"{kind}.tails", rows * (width - HEAD))
        self._entries = mapped(folder / f"{kind}.entries", rows * 4)
        self._directory = mapped(folder / f"{kind}.directory", ((1 << bits) + 1) * 4)
        self._heads_seen, self._entries_seen = self._heads.cast("Q"), self._entries.cast("I")
        self._directory_seen = self._directory.cast("I")
        if self._directory_seen[0] != 0 or self._directory_seen[1 << bits] != rows:
            raise Damaged(f"the directory of {kind} does not fit its rows")

    def find(self, digest: bytes) -> range:
        """The places that hold the digest, none where it is not known. ``digest`` has ``width`` bytes."""
        head, tail = int.from_bytes(digest[:HEAD], "big"), digest[HEAD:]
        prefix = head >> self._shift
        low, high = self._directory_seen[prefix], self._directory_seen[prefix + 1]
        if not low <= high <= self.rows:
            raise Damaged(f"the directory of {self.kind} is not in order")
        low = bisect_left(self._heads_seen, head, low, high)
        if low == high or self._heads_seen[low] != head:
            return range(0)
        high = bisect_right(self._heads_seen, head, low, high)
        places = range(low, high)
        return range(low + bisect_left(places, tail, key=self._tail), low + bisect_right(places, tail, key=self._tail))

    def find_many(self, digests: Digests) -> Positions:
        """The first place of each digest, -1 for those that are not known. ``digests`` is (n, ``width``), the answer (n,)."""
        if digests.ndim != 2 or digests.shape[1] != self.width or digests.dtype != np.uint8:
            raise UsedWrongly(f"To look up {self.kind}, give an array of bytes with {self.width} columns.")
        found = np.full(len(digests), -1, np.int64)
        if self.rows and _find is not None:
            self._find_quickly(np.ascontiguousarray(digests), found)
        elif self.rows:
            for at in range(0, len(digests), _BLOCK):
                found[at : at + _BLOCK] = self._find_block(digests[at : at + _BLOCK])
        return found

    def entry_at(self, place: int) -> int:
        """The number of the entry that a place stands for."""
        return self._entries_seen[place]

    def _tail(self, place: int) -> bytes:
        size = self.width - HEAD
        return bytes(self._tails[place * size : (place + 1) * size])

    def _find_quickly(self, digests: Digests, found: Positions) -> None:
        assert _find is not None
        try:
            _find(self._heads, self._tails, self._directory, self.width, self._shift, digests, found)
        except OverflowError:
            raise Damaged(f"the directory of {self.kind} is not in order") from None
        for at in np.flatnonzero(found == _UNSETTLED):  # made on purpose, or not there
            places = self.find(digests[at].tobytes())
            found[at] = places[0] if places else -1

    def _find_block(self, digests: Digests) -> Positions:
        heads = np.frombuffer(self._heads, np.uint64)
        directory = np.frombuffer(self._directory, np.uint32)
        wanted = heads_of(digests)
        prefixes = (wanted >> np.uint64(self._shift)).astype(np.int64)
        low, high = directory[prefixes].astype(np.int64), directory[prefixes + 1].astype(np.int64)
        if (low > high).any() or (high > self.rows).any():
            raise Damaged(f"the directory of {self.kind} is not in order")
        ends = high.copy()
        active = np.flatnonzero(low < high)
        while len(active):
            middle = (low[active] + high[active]) >> 1
            before = heads[middle] < wanted[active]
            low[active[before]] = middle[before] + 1
            high[active[~before]] = middle[~before]
            active = active[low[active] < high[active]]
        found = np.full(len(digests), -1, np.int64)
        there = np.flatnonzero(low < ends)
        there = there[heads[low[there]] == wanted[there]]
        if len(there):
            tails = np.frombuffer(self._tails, np.uint8).reshape(self.rows, self.width - HEAD)
            places = low[there]
            same = (tails[places] == digests[there, HEAD:]).all(axis=1)
            found[there[same]] = places[same]
            for at in there[~same]:  # two digests that share their first 8 bytes: made on purpose, or not there
                places_of = self.find(digests[at].tobytes())
                found[at] = places_of[0] if places_of else -1
        return found


def mapped(path: Path, size: int) -> memoryview:
    """The file's bytes, mapped. Raises Damaged where it is missing or not of this size."""
    try:
        with path.open("rb") as stream:
            if stream.seek(0, 2) != size:
                raise Damaged(f"{path.name} is not of the size that it should be")
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    except OSError:
        raise Damaged(f"{path.name} cannot be read") from None
