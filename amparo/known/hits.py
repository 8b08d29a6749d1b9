"""What a list's entry says of a file, and how it was found: by digests, by a picture's fingerprint, by a film's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from amparo.known.binding import FILMS, PICTURES
from amparo.known.film_match import shares
from amparo.known.lists import categories
from amparo.known.lists.claim import KINDS
from amparo.known.shelf import Saying, Shelf

SHARE = 0.8  # of the frames, as python-threatexchange takes a film for known
FEWEST_FRAMES = 2  # of a known film in a longer one: a single frame says little


@dataclass(frozen=True, slots=True)
class Hit:
    """A list knows the file. ``method`` is ``sha256``, ``sha1`` or ``md5``, the strongest digest of the entry that agrees; or
    ``pdq`` or ``vpdq`` where a picture or a film looks alike, ``distance`` bits of 256 apart (a film: its frames on average).
    """

    list: str
    entry: str | None
    category: str | None
    method: str
    good: bool  # known good: the file need not be looked at
    contradicted: bool = False  # a stronger digest of the entry differs: possibly a collision
    distance: int = 0
    share: tuple[int, int] | None = (
        None  # of films: how many in a hundred of its frames the entry has, and the other way round
    )
    flags: str | None = field(default=None, compare=False)  # compact JSON: what else the list says of the entry
    scheme: str | None = field(default=None, compare=False)  # that the category is of

    @property
    def common(self) -> str | None:
        """The category in the small common scheme, None where no table maps the list's own (:mod:`amparo.known.lists.categories`)."""
        return categories.common(self.scheme, self.category)


def said_once(hits: Iterable[Hit]) -> list[Hit]:
    """Of hits that say the same but for the distance, the nearest; the nearest first."""
    best: dict[tuple[str, str | None, str | None], Hit] = {}
    for hit in sorted(hits, key=lambda hit: hit.distance):
        best.setdefault((hit.list, hit.entry, hit.category), hit)
    return list(best.values())


def by_digests(shelf: Shelf, asked: dict[str, bytes]) -> list[Hit]:
    agreeing: dict[int, int] = {}
    for bit, kind in enumerate(KINDS):
        if kind in asked:
            table = shelf.tables[kind]
            for place in table.find(asked[kind]):
                number = table.entry_at(place)
                agreeing[number] = agreeing.get(number, 0) | 1 << bit
    if not agreeing:
        return []
    known = sum(1 << bit for bit, kind in enumerate(KINDS) if kind in asked)
    best: dict[tuple[str, str | None, str | None, bool], tuple[bool, int]] = {}
    said: dict[tuple[str, str | None, str | None, bool], Saying] = {}
    for number in sorted(agreeing):
        saying: Saying = shelf.saying(number)
        strongest = agreeing[number].bit_length() - 1
        contradicted = (saying.claims & known) >> (strongest + 1) != 0
        if saying.good and saying.claims & known & ~agreeing[number]:
            continue  # ordinary only where everything agrees
        key = (saying.list, saying.entry, saying.category, saying.good)
        best[key] = max(best.get(key, (False, -1)), (not contradicted, strongest))
        said.setdefault(key, saying)
    return [
        Hit(*key[:3], KINDS[strongest], key[3], not sound, flags=said[key].flags, scheme=said[key].scheme)
        for key, (sound, strongest) in best.items()
    ]


def by_pictures(
    shelf: Shelf, prints: npt.NDArray[np.uint8], of: npt.NDArray[np.int64], radius: int
) -> dict[int, list[Hit]]:
    known = shelf.prints.get(PICTURES)
    if known is None:
        return {}
    best: dict[tuple[int, int], int] = {}
    for query, row, distance in zip(*known.nearest.within(prints, radius), strict=True):
        key = int(of[query]), known.of(int(row))
        best[key] = min(best.get(key, radius), int(distance))
    found: dict[int, list[Hit]] = {}
    for (picture, number), distance in best.items():
        saying = shelf.saying(number)
        if not saying.good:
            hit = Hit(
                saying.list,
                saying.entry,
                saying.category,
                "pdq",
                False,
                distance=distance,
                flags=saying.flags,
                scheme=saying.scheme,
            )
            found.setdefault(picture, []).append(hit)
    return found


def by_film(shelf: Shelf, prints: npt.NDArray[np.uint8], radius: int) -> list[Hit]:
    known = shelf.prints.get(FILMS)
    if known is None:
        return []
    near = known.nearest.within(prints, radius)
    numbers, films, sizes = known.films()
    found: list[Hit] = []
    for share in shares(near, films, len(prints), sizes):
        if share.query < SHARE and (share.reference < SHARE or share.frames < FEWEST_FRAMES):
            continue
        saying = shelf.saying(int(numbers[share.film]))
        if saying.good:
            continue
        best = np.full(len(prints), radius + 1)
        of = films[near.row] == share.film
        np.minimum.at(best, near.query[of], near.distance[of])
        distance = round(float(best[best <= radius].mean()))
        both = round(100 * share.query), round(100 * share.reference)
        found.append(
            Hit(
                saying.list,
                saying.entry,
                saying.category,
                "vpdq",
                False,
                False,
                distance,
                both,
                saying.flags,
                saying.scheme,
            )
        )
    return found
