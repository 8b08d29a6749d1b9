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
Signs = npt.NDArray[np.uint16]

CANDIDATES: Final = 64  # signs that are looked at in the time that one hash is fetched and compared
_SCANNED: Final = 1 << 15  # rows held together in a scan
_ONES: Final = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


class OutOfRange(Exception):
    """A place or a row in a file is out of its range."""


def words_of(hashes: Bytes) -> Words:
    """``hashes`` (n, 32) as (n, 4) words of this machine."""
    return np.ascontiguousarray(hashes).view(np.uint64)


def bits_of(words: Words, start: int, width: int) -> Words:
    """At most 32 bits (n,) of each of ``words`` (n, 4), which are rings."""
    word, shift = start >> 6 & 3, start & 63
    values = words[:, word] >> np.uint64(shift)
    if shift + width > 64:
        values = values | words[:, (word + 1) & 3] << np.uint64(64 - shift)
    return values & np.uint64((1 << width) - 1)


def distances(words: Words, query: Words) -> npt.NDArray[np.int64]:
    """In how many bits each of ``words`` (n, 4) differs from ``query`` (4,)."""
    ones: npt.NDArray[np.uint8] = _ONES[np.bitwise_xor(words, query).view(np.uint16)]
    return np.asarray(ones.sum(axis=1, dtype=np.int64))


def sort_by_band(hashes: Bytes, band: Band, directory: Numbers, postings: Numbers, signs: Signs) -> None:
    """As ``nearest_sort``."""
    values, following = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.uint16)
    for at in range(0, len(hashes), _SCANNED):
        words = words_of(hashes[at : at + _SCANNED])
        values[at : at + _SCANNED] = bits_of(words, band.start, band.width)
        following[at : at + _SCANNED] = bits_of(words, band.start + band.width, band.sign)
    order = np.argsort(values, kind="stable")
    postings[:], signs[:] = order, following[order]
    directory[0] = 0
    np.cumsum(np.bincount(values, minlength=1 << band.width), out=directory[1:])


def find(
    hashes: Bytes, files: list[tuple[Numbers, Numbers, Signs]], bands: tuple[Band, ...], query: Bytes, radius: int,
    scan_beyond: int,
) -> tuple[Rows, Bytes]:  # fmt: skip
    """The rows within ``radius`` of one query and their distances, by distance, then row. Raises OutOfRange."""
    words = words_of(query[None])
    rows = _candidates(files, bands, words, len(hashes), scan_beyond) if bands else None
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
    files: list[tuple[Numbers, Numbers, Signs]], bands: tuple[Band, ...], query: Words, rows: int, scan_beyond: int
) -> Rows | None:
    found: list[Rows] = []
    looked_at = held = 0
    for band, (directory, postings, signs) in zip(bands, files, strict=True):
        if band.radius < 0:
            continue
        flips = _flips(band.width, band.radius)
        values = bits_of(query, band.start, band.width).astype(np.int64)[0] ^ flips
        low, high = directory[values].astype(np.int64), directory[values + 1].astype(np.int64)
        if (low > high).any() or (high > rows).any():
            raise OutOfRange
        sizes = high - low
        looked_at += int(sizes.sum())
        if looked_at > scan_beyond * CANDIDATES:
            return None
        places = np.arange(int(sizes.sum())) + np.repeat(low - (np.cumsum(sizes) - sizes), sizes)
        sign = bits_of(query, band.start + band.width, band.sign).astype(np.uint16)
        left = band.bound - np.repeat(_flipped(band.width, band.radius), sizes)
        places = places[_ONES[signs[places] ^ sign] <= left]
        held += len(places)
        if held > scan_beyond:
            return None
        found.append(postings[places].astype(np.int64))
    candidates = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    if len(candidates) and candidates[-1] >= rows:
        raise OutOfRange
    return candidates


@lru_cache(maxsize=64)
def _flips(width: int, radius: int) -> Rows:
    return np.array(
        [sum(1 << bit for bit in bits) for far in range(radius + 1) for bits in combinations(range(width), far)],
        np.int64,
    )


@lru_cache(maxsize=64)
def _flipped(width: int, radius: int) -> Rows:
    return np.array([number.bit_count() for number in _flips(width, radius).tolist()])


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
