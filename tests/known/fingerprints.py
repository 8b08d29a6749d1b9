"""Sets of fingerprints made for tests, and the search that needs no index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from amparo.known.nearest import Hits

Hashes = npt.NDArray[np.uint8]
SETS = ("random", "equal", "one band", "clustered", "few bits")


def made(kind: str, rows: int, seed: int) -> Hashes:
    """``rows`` fingerprints (rows, 32) of a kind of set."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 256, (rows, 32), dtype=np.uint8)
    if kind == "equal":
        hashes[:] = hashes[0]
    elif kind == "one band":  # the same in their first 20 bytes
        hashes[:, :20] = hashes[0, :20]
    elif kind == "clustered":
        hashes = flipped(hashes[random.integers(0, max(rows // 6, 1), rows)], 0.04, seed + 1)
    elif kind == "few bits":  # near one another, all of them
        hashes = flipped(np.zeros((rows, 32), np.uint8), 0.07, seed + 1)
    return hashes


def flipped(hashes: Hashes, share: float, seed: int) -> Hashes:
    """The same with about this share of their bits flipped."""
    bits = np.random.default_rng(seed).random((len(hashes), 256)) < share
    return np.asarray(hashes ^ np.packbits(bits, axis=1))


def brute_force(hashes: Hashes, queries: Hashes, radius: int) -> Hits:
    """Every pair, counted bit by bit."""
    apart = np.array([np.unpackbits(hashes ^ query, axis=1).sum(axis=1) for query in queries], np.int64)
    query, row = np.nonzero(apart.reshape(len(queries), len(hashes)) <= radius)
    distance = apart.reshape(len(queries), len(hashes))[query, row]
    order = np.lexsort((row, distance, query))
    return Hits(query[order], row[order], distance[order].astype(np.uint8))


def same(one: Hits, other: Hits) -> bool:
    """Whether both are the same hits in the same order, of the same types."""
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))
