"""Which bands an index has, and how far each is probed: the pigeonhole principle, and the ring of it.

Cut 256 bits into bands and give each a share, its radius and one, so that the shares sum to ``radius + 1``. Two hashes no
further apart than ``radius`` then agree in at least one band up to that band's radius: were each band further apart than
its own, the distances would sum to more (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index
Hashing", 2014; with radii that differ: Qin and others, "GPH: Similarity Search in Hamming Space", 2018).

Lay the bands in a ring, and more holds: there is a band from which on, however many bands are taken together, the
differences in them stay below the sum of their shares. For the differences less the shares sum to less than nothing, and
every ring of numbers that does has a beginning from which each partial sum is below nothing. So each posting carries its
``sign``, the first 16 bits of the band that follows, and a candidate whose sign differs in more than the shares leave is
dismissed without its row or hash being fetched: of random ones all but one in hundreds. Looking at a sign costs a
hundredth of fetching a hash, so the bands are many and narrow, with few probes and long postings. (Qin and Xiao,
"Pigeonring: A Principle for Faster Thresholded Similarity Search", 2018.)
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import Final, NamedTuple

import numpy as np

BITS: Final = 256
WIDEST: Final = 25  # bits of a band: its directory has 2^width + 1 numbers
NARROWEST: Final = 8
SIGN: Final = 16  # bits kept beside each posting
MOST_BANDS: Final = 64
MOST_PROBES: Final = 1 << 22  # of one band

# Nanoseconds, measured at ten million rows; their ratios decide, not their size.
_PROBE, _CANDIDATE, _FETCHED, _SCANNED_ROW = 12.0, 0.25, 15.0, 0.3
_FURTHEST_DESIGNED = 3


class Band(NamedTuple):
    """Bits ``start`` to ``start + width`` of a hash read as four 64-bit words; ``radius`` -1 where it is not probed.

    Its postings carry the ``sign`` bits behind it; in these and the band together a row that it finds differs in no more
    than ``bound``.
    """

    start: int
    width: int
    radius: int
    sign: int = 0
    bound: int = 0


def reached(width: int, radius: int) -> int:
    """How many values of a band lie within the radius of one of them."""
    return sum(comb(width, bits) for bits in range(radius + 1))


def cost(rows: int, width: int, radius: int) -> float:
    """What probing such a band costs, in nanoseconds, where the rows are spread evenly and the next band is alike."""
    sign = min(SIGN, width)
    fetched = reached(sign, min(radius + 1, sign)) / (1 << sign)
    return reached(width, radius) * (_PROBE + (_CANDIDATE + _FETCHED * fetched) * rows / (1 << width))


def designed(rows: int, radius: int) -> tuple[Band, ...]:
    """The bands by which so many rows are found quickest within ``radius``; none where a scan is quicker."""
    # One design for all numbers of rows up to a third apart: it hardly changes, and is reckoned once.
    bits = max(rows, 1).bit_length()
    return _designed((rows >> max(bits - 3, 0)) << max(bits - 3, 0), radius)


@lru_cache(maxsize=256)
def _designed(rows: int, radius: int) -> tuple[Band, ...]:
    widest = min(WIDEST, max(rows.bit_length(), NARROWEST))  # a directory is no larger than two numbers a row
    kinds = [
        (width, far, cost(rows, width, far))
        for width in range(NARROWEST, widest + 1)
        for far in range(min(_FURTHEST_DESIGNED, width) + 1)
    ]
    # best[b, s]: the least that bands of b bits cost whose radii and number sum to s.
    best = np.full((BITS + 1, radius + 2), np.inf)
    best[0, 0] = 0.0
    by = np.full((BITS + 1, radius + 2), -1, np.int16)
    for used in range(NARROWEST, BITS + 1):
        for number, (width, far, each) in enumerate(kinds):
            if width > used or far > radius:
                continue
            offered = best[used - width, : radius + 1 - far] + each
            held = best[used, far + 1 :]
            better = offered < held
            held[better] = offered[better]
            by[used, far + 1 :][better] = number
    if not best[BITS, radius + 1] < rows * _SCANNED_ROW:
        return ()
    shapes: list[tuple[int, int]] = []
    used, spent = BITS, radius + 1
    while used:
        width, far, _ = kinds[by[used, spent]]
        shapes.append((width, far))
        used, spent = used - width, spent - far - 1
    bands, start = [], 0
    for width, far in sorted(shapes):
        bands.append(Band(start, width, far))
        start += width
    return ringed(tuple(bands))


def ringed(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """The same bands with their signs and bounds."""
    return tuple(
        band._replace(sign=min(SIGN, following.width), bound=band.radius + following.radius + 1)
        for band, following in zip(bands, bands[1:] + bands[:1], strict=True)
    )


@lru_cache(maxsize=1024)
def planned(bands: tuple[Band, ...], rows: int, radius: int) -> tuple[Band, ...]:
    """The bands with the radii that find everything within ``radius`` at the least cost; none where a scan is quicker."""
    widths = [band.width for band in bands]
    radii = [-1] * len(bands)
    spent = 0.0
    for _ in range(
        radius + 1 if bands else 0
    ):  # what one step costs grows with each step, so the cheapest first is best
        steps = [
            cost(rows, width, far + 1) - cost(rows, width, far)
            if far < width and reached(width, far + 1) <= MOST_PROBES
            else np.inf
            for width, far in zip(widths, radii, strict=True)
        ]
        cheapest = int(np.argmin(steps))
        spent += steps[cheapest]
        if spent > rows * _SCANNED_ROW:
            return ()
        radii[cheapest] += 1
    return ringed(tuple(band._replace(radius=far) for band, far in zip(bands, radii, strict=True)))
