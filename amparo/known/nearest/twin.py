"""The kernel of ``native/nearest.c`` in NumPy: the same answers, where the extension is not built."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from amparo.known.nearest.bands import Band

Rows = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.uint32]

_SCANNED: Final = 1 << 15  # rows held together in a scan
_ONES: Final = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


class OutOfRange(Exception):
    """A place or a row in a file is out of its range."""


def words_of(hashes: Bytes) -> Words:
    """``hashes`` (n, 32) as (n, 4) words of this machine."""
    return np.ascontiguousarray(hashes).view(np.uint64)


def values_of(words: Words, start: int, width: int) -> Numbers:
    """The values (n,) of a band of ``words`` (n, 4)."""
    word, shift = start >> 6, start & 63
    values = words[:, word] >> np.uint64(shift)
    if shift + width > 64:
        values = values | words[:, word + 1] << np.uint64(64 - shift)
    return (values & np.uint64((1 << width) - 1)).astype(np.uint32)


def distances(words: Words, query: Words) -> npt.NDArray[np.int64]:
    """In how many bits each of ``words`` (n, 4) differs from ``query`` (4,)."""
    ones: npt.NDArray[np.uint8] = _ONES[np.bitwise_xor(words, query).view(np.uint16)]
    return np.asarray(ones.sum(axis=1, dtype=np.int64))


def sort_by_band(hashes: Bytes, start: int, width: int, directory: Numbers, postings: Numbers) -> None:
    """As ``nearest_sort``."""
    values = np.empty(len(hashes), np.uint32)
    for at in range(0, len(hashes), _SCANNED):
        values[at : at + _SCANNED] = values_of(words_of(hashes[at : at + _SCANNED]), start, width)
    postings[:] = np.argsort(values, kind="stable")
    directory[0] = 0
    np.cumsum(np.bincount(values, minlength=1 << width), out=directory[1:])


def find(
    hashes: Bytes, directories: list[Numbers], postings: list[Numbers], bands: tuple[Band, ...], query: Bytes, radius: int,
    scan_beyond: int,
) -> tuple[Rows, Bytes]:  # fmt: skip
    """The rows within ``radius`` of one query and their distances, by distance, then row. Raises OutOfRange."""
    words = words_of(query[None])
    rows = _candidates(directories, postings, bands, words, len(hashes), scan_beyond) if bands else None
    if rows is None:
        parts = [
            _near(np.arange(at, min(at + _SCANNED, len(hashes))), hashes[at : at + _SCANNED], words[0], radius)
            for at in range(0, len(hashes), _SCANNED)
        ]
        found = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, np.int64)
        apart = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, np.uint8)
    else:
        found, apart = _near(rows, hashes[rows], words[0], radius)
    order = np.lexsort((found, apart))
    return found[order], apart[order]


def _near(rows: Rows, hashes: Bytes, query: Words, radius: int) -> tuple[Rows, Bytes]:
    apart = distances(words_of(hashes), query)
    near = apart <= radius
    return rows[near], apart[near].astype(np.uint8)


def _candidates(
    directories: list[Numbers],
    postings: list[Numbers],
    bands: tuple[Band, ...],
    query: Words,
    rows: int,
    scan_beyond: int,
) -> Rows | None:
    found: list[Rows] = []
    held = 0
    for band, directory, posted in zip(bands, directories, postings, strict=True):
        if band.radius < 0:
            continue
        values = values_of(query, band.start, band.width)[0] ^ _flips(band.width, band.radius)
        low, high = directory[values].astype(np.int64), directory[values + np.uint32(1)].astype(np.int64)
        if (low > high).any() or (high > rows).any():
            raise OutOfRange
        sizes = high - low
        held += int(sizes.sum())
        if held > scan_beyond:
            return None
        places = np.arange(int(sizes.sum())) + np.repeat(low - (np.cumsum(sizes) - sizes), sizes)
        found.append(posted[places].astype(np.int64))
    candidates = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    if len(candidates) and candidates[-1] >= rows:
        raise OutOfRange
    return candidates


@lru_cache(maxsize=64)
def _flips(width: int, radius: int) -> Numbers:
    return np.array(
        [sum(1 << bit for bit in bits) for far in range(radius + 1) for bits in combinations(range(width), far)],
        np.uint32,
    )


def join(ones: Rows, others: Rows, parents: Rows) -> None:
    """As ``nearest_join``, for pairs that are near: join their groups under the lesser root."""
    for one, other in zip(ones.tolist(), others.tolist(), strict=True):
        a, b = _root(parents, one), _root(parents, other)
        parents[max(a, b)] = min(a, b)


def rooted(parents: Rows) -> Rows:
    """The root of each row."""
    while True:
        above = parents[parents]
        if np.array_equal(above, parents):
            return parents
        parents = above


def _root(parents: Rows, row: int) -> int:
    while (above := int(parents[row])) != row:
        parents[row] = parents[above]
        row = above
    return row
