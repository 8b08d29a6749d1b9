"""A batch of contents against the lists that a key may see, asked together.

Digests are looked up in one call for each kind and list, fingerprints in one for each list. What strangers choose must not make
an answer dear: of each fingerprint the nearest rows count, and a film's are gone through a part at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from amparo.known.binding import FILMS, PICTURES
from amparo.known.hits import FEWEST_FRAMES, SHARE, Hit, by_digests, said_once
from amparo.known.lists.claim import KINDS, WIDTHS
from amparo.known.lists.claim import PDQ as PRINT
from amparo.known.service.asking import Asked
from amparo.known.service.refused import Refused
from amparo.known.shelf import Prints, Saying, Shelf

MOST_NEAR: Final = 64  # rows of a list that count for one fingerprint, the nearest
MOST_HITS: Final = 64  # told of one item
SECONDS: Final = 20.0  # for all films of one batch
_CHUNK: Final = 1 << 18  # pairs of a film's frames and rows held at a time


def match(shelves: Sequence[Shelf], asked: Sequence[Asked], radius: int) -> list[list[Hit]]:
    """For each item the entries that know it, at most MOST_HITS: by digests first, then the nearest by looks.

    Raises Damaged where the index's files are, and Refused where a film takes too long.
    """
    by_kind = {kind: _digests(asked, kind) for kind in KINDS}
    prints = np.frombuffer(b"".join(form for item in asked for form in item.prints), np.uint8).reshape(-1, PRINT)
    of = np.repeat(np.arange(len(asked)), [len(item.prints) for item in asked])
    films = [(number, _prints_of(item)) for number, item in enumerate(asked) if item.frames]
    deadline = time.monotonic() + SECONDS
    exact: list[list[Hit]] = [[] for _ in asked]
    alike: list[list[Hit]] = [[] for _ in asked]
    for shelf in shelves:
        known: set[int] = set()
        for kind, (places, digests) in by_kind.items():
            if len(places):
                known.update(places[shelf.tables[kind].find_many(digests) >= 0].tolist())
        for number in sorted(known):
            exact[number] += by_digests(shelf, asked[number].digests)
        if len(prints) and PICTURES in shelf.prints:
            _by_looks(shelf, prints, of, radius, alike)
        if FILMS in shelf.prints:
            for number, frames in films:
                alike[number] += _by_film(shelf, frames, radius, deadline)
    return [_together(*both) for both in zip(exact, alike, strict=True)]


def _together(exact: list[Hit], alike: list[Hit]) -> list[Hit]:
    if not exact and not alike:
        return []
    told = {(hit.list, hit.entry, hit.category) for hit in exact}
    near = (hit for hit in said_once(alike) if (hit.list, hit.entry, hit.category) not in told)
    return [hit for hit in (*exact, *near) if not hit.good][:MOST_HITS]


def _digests(asked: Sequence[Asked], kind: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The items that have a digest of this kind, and these."""
    numbers = [number for number, item in enumerate(asked) if kind in item.digests]
    joined = b"".join(asked[number].digests[kind] for number in numbers)
    return np.array(numbers, np.int64), np.frombuffer(joined, np.uint8).reshape(-1, WIDTHS[kind])


def _prints_of(item: Asked) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(frame.bits for frame in item.frames), np.uint8).reshape(-1, PRINT)


def _by_looks(
    shelf: Shelf, prints: npt.NDArray[np.uint8], of: npt.NDArray[np.int64], radius: int, found: list[list[Hit]]
) -> None:
    known = shelf.prints[PICTURES]
    near = known.nearest.within(prints, radius, most=MOST_NEAR)
    best: dict[tuple[int, int], int] = {}
    for item, row, distance in zip(of[near.query].tolist(), near.row.tolist(), near.distance.tolist(), strict=True):
        key = item, known.of(row)
        if distance < best.get(key, radius + 1):
            best[key] = distance
    for (item, number), distance in best.items():
        found[item].append(_hit(shelf.saying(number), "pdq", distance))


def _hit(saying: Saying, method: str, distance: int, share: tuple[int, int] | None = None) -> Hit:
    return Hit(saying.list, saying.entry, saying.category, method, saying.good, distance=distance, share=share)


def _by_film(shelf: Shelf, frames: npt.NDArray[np.uint8], radius: int, deadline: float) -> list[Hit]:
    """As :func:`amparo.known.hits.by_film`, in memory that does not grow with how many pairs are near.

    Each part holds all rows near a frame, so what a frame adds to each film can be summed up and let go of.
    """
    known: Prints = shelf.prints[FILMS]
    numbers, films, sizes = known.films()
    count = np.zeros(len(numbers), np.int64)
    apart = np.zeros(len(numbers), np.int64)
    seen = np.zeros(known.rows, bool)
    for near in known.nearest.streamed(frames, radius, chunk=_CHUNK):
        if time.monotonic() > deadline:
            raise Refused(
                422, "film_too_common", "Too many known films have frames like these: ask for it by its digest."
            )
        seen[near.row] = True
        pairs = near.query * len(numbers) + films[near.row]
        order = np.lexsort((near.distance, pairs))
        pairs, distances = pairs[order], near.distance[order]
        firsts = np.flatnonzero(np.diff(pairs, prepend=-1))
        of = pairs[firsts] % len(numbers)
        count += np.bincount(of, minlength=len(numbers))
        apart += np.bincount(of, distances[firsts], len(numbers)).astype(np.int64)
    rows = np.bincount(films[seen], minlength=len(numbers))
    query, reference = count / len(frames), rows / sizes
    there = (count > 0) & ((query >= SHARE) | ((reference >= SHARE) & (count >= FEWEST_FRAMES)))
    hits = []
    for film in sorted(np.flatnonzero(there).tolist(), key=lambda film: (-query[film], -reference[film])):
        both = round(100 * float(query[film])), round(100 * float(reference[film]))
        saying = shelf.saying(int(numbers[film]))
        hits.append(_hit(saying, "vpdq", round(float(apart[film] / count[film])), both))
    return hits
