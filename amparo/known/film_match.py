"""How much of one film is in another: vPDQ's two shares, for a pair of films and against an index of many.

A film is a bag of fingerprints, as vPDQ has it (ThreatExchange, vpdq/README.md): order and times are not used, the same
fingerprint counts once, and what is of low quality does not count. Both shares are needed. A short piece of a long known film
is wholly in it, and has little of it; a long film with a known one cut into it, the other way round. python-threatexchange
takes a film for known where 80 % of the query is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from amparo.known.film_features import Frame, distinct

RADIUS: Final = 31  # bits that may differ
_ROWS = 1024  # fingerprints compared at once with all of the other film


class Hits(Protocol):
    """Pairs that are near, as a range search gives them: for each, the place of the query and the row that is known."""

    @property
    def query(self) -> npt.NDArray[np.integer]: ...

    @property
    def row(self) -> npt.NDArray[np.integer]: ...


class Share(NamedTuple):
    """A known film, by its number; ``query`` is how much of the query is in it, ``reference`` how much of it is in the query, 0 to
    1; ``frames`` is how many of the query's are."""

    film: int
    query: float
    reference: float
    frames: int


def compare(query: Iterable[Frame], reference: Iterable[Frame], radius: int = RADIUS) -> tuple[float, float]:
    """The share of the query's frames that are in the reference, and of the reference's that are in the query, 0 to 1.

    Both are 0 where either film has no frame of enough quality. Memory grows with the longer film by 256 floats a frame.
    """
    one, other = _signs(distinct(query)), _signs(distinct(reference))
    if not len(one) or not len(other):
        return 0.0, 0.0
    least = 256 - 2 * radius  # a product of signs is the bits that agree less those that differ
    there = np.zeros(len(other), bool)
    found = 0
    for start in range(0, len(one), _ROWS):
        near = one[start : start + _ROWS] @ other.T >= least
        found += int(near.any(axis=1).sum())
        there |= near.any(axis=0)
    return found / len(one), float(there.mean())


def shares(
    hits: Hits, films: npt.NDArray[np.integer], queries: int, sizes: npt.NDArray[np.integer] | None = None
) -> list[Share]:
    """The two shares for each known film that any of the query's frames was found in, the most of the query first.

    ``films`` is (rows,): the film, 0 to n - 1, that each row of the index belongs to, -1 where it is of none (a picture).
    ``queries`` is how many frames were asked for: those of :func:`distinct`, as the rows of a film should be. ``sizes`` is (n,),
    how many rows each film has; counted from ``films`` where it is None.
    """
    of = films[hits.row]
    query, row, of = hits.query[of >= 0].astype(np.int64), hits.row[of >= 0], of[of >= 0].astype(np.int64)
    if not len(of) or queries < 1:
        return []
    if sizes is None:
        sizes = np.bincount(films[films >= 0])
    pairs = np.unique(of * queries + query)
    known, frames = np.unique(pairs // queries, return_counts=True)
    _, first = np.unique(row, return_index=True)
    rows = np.bincount(of[first], minlength=len(sizes))
    found = [
        Share(int(film), int(count) / queries, int(rows[film]) / int(sizes[film]), int(count))
        for film, count in zip(known, frames, strict=True)
    ]
    return sorted(found, key=lambda share: (-share.query, -share.reference, share.film))


def _signs(frames: Sequence[Frame]) -> npt.NDArray[np.float32]:
    bits = np.frombuffer(b"".join(frame.bits for frame in frames), np.uint8).reshape(-1, 32)
    return np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1
