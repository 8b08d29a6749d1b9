"""MP4, QuickTime, 3GP, HEIC and AVIF: ISO/IEC 14496-12 and 23008-12, box by box."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from amparo.evidence.carving import items, tracks
from amparo.evidence.carving.boxes import box, children, number
from amparo.evidence.carving.coding import Sample, check
from amparo.evidence.carving.reach import Broken, Outline, Reach

_BRAND: Final = re.compile(rb"[\x20-\x7e]{4}|\x00{4}")
_FOLLOWING: Final = frozenset(
    b"moov mdat free skip wide moof mfra meta uuid udta sidx ssix styp prft emsg pdin mpvd sefd".split()
)
"""Boxes that may still come once a file has all it needs; anything else there belongs to something else."""
_STILL_BRANDS: Final = {b"avif": "avif", b"avis": "avif"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"), "heic"
)
_MIME: Final = {
    "heic": "image/heic",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "3gp": "video/3gpp",
    "m4v": "video/x-m4v",
    "m4a": "audio/mp4",
}
_MOST_BRANDS: Final = 64
_MOST_PLACES: Final = 64
"""Tracks, and stretches of data, that are compared with each other."""


@dataclass(slots=True)
class _Seen:
    """What has come by so far. ``chunks`` are the tracks' first; ``data`` the bodies of ``mdat``."""

    movie: bool = False
    fragmented: bool = False
    meta: bool = False
    inside_meta: bool = False
    chunks: list[int] = field(default_factory=list)
    data: list[tuple[int, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def whole(self, still: bool) -> bool:
        if still and self.meta and (self.data or self.inside_meta):
            return True
        if not self.movie or not self.data:
            return False
        return self.fragmented or any(begin <= chunk < end for chunk in self.chunks for begin, end in self.data)


def outline(reach: Reach) -> Outline:
    """From ``ftyp`` to the last box that follows in step.

    A film needs ``moov``, whose boxes must fill it exactly, and ``mdat``, into which at least one track points (or
    fragments); a picture needs ``meta`` with its handler and item locations, and data. Since nothing need stand behind the
    data, samples spread over it must look like pictures of the format that the file says. A last box that runs to the
    end of the file (size 0) has no knowable end and is refused, and so is a film older than ``ftyp``. Raises Broken.
    """
    at, brands = _brands(reach)
    kind = _kind(brands)
    still, seen, whole = kind in ("heic", "avif"), _Seen(), False
    while True:
        found = box(reach, at, reach.limit)
        if found is None or (whole and found[0] not in _FOLLOWING):
            break
        name, body, end = found
        if end > reach.limit or name == b"ftyp" or (name == b"moov" and seen.movie):
            # Cut off, or the next file's: neither is a part of a whole one.
            raise Broken
        if name == b"mdat" and end > body and len(seen.data) < _MOST_PLACES:
            seen.data.append((body, end))
            whole = whole or seen.whole(still)
        elif name == b"moov":
            _movie(reach, body, end, seen)
            whole = seen.whole(still)
        elif name == b"meta" and still and not seen.meta:
            seen.samples += items.samples(reach, body + 4, end)
            seen.meta = True
            seen.inside_meta = any(body <= sample.at < end for sample in seen.samples)
            whole = seen.whole(still)
        at = end
    if not whole:
        raise Broken
    for sample in seen.samples:
        if sample.at + sample.size > at:
            raise Broken
        check(reach, sample)
    return Outline(at, _MIME[kind], kind)


def _brands(reach: Reach) -> tuple[int, list[bytes]]:
    size = number(reach, 0, 4)
    if size % 4 or not 16 <= size <= 16 + 4 * _MOST_BRANDS:
        raise Broken
    body = reach.take(8, size - 8)
    brands = [body[:4]] + [body[at : at + 4] for at in range(8, len(body), 4)]
    if body[:4] == bytes(4) or not all(_BRAND.fullmatch(brand) for brand in brands):
        raise Broken
    return size, brands


def _kind(brands: list[bytes]) -> str:
    major = brands[0]
    if major in (b"mif1", b"msf1", b"mif2"):
        return next((_STILL_BRANDS[brand] for brand in brands[1:] if brand in (b"avif", b"avis")), "heic")
    if major in _STILL_BRANDS:
        return _STILL_BRANDS[major]
    if major == b"qt  ":
        return "mov"
    if major[:3] in (b"3gp", b"3g2", b"3ge", b"3gg", b"3gs", b"3gr"):
        return "3gp"
    if major[:3] == b"M4V":
        return "m4v"
    return "m4a" if major[:3] in (b"M4A", b"M4B") else "mp4"


def _movie(reach: Reach, at: int, end: int, seen: _Seen) -> None:
    names: set[bytes] = set()
    for name, body, stop in children(reach, at, end):
        names.add(name)
        if name == b"trak" and len(seen.chunks) < _MOST_PLACES:
            chunk = tracks.first_chunk(reach, (body, stop))
            if chunk is not None:
                seen.chunks.append(chunk)
                seen.samples += tracks.samples(reach, (body, stop))
    if b"mvhd" not in names or not names & {b"trak", b"mvex"}:
        raise Broken
    seen.movie = True
    seen.fragmented = b"mvex" in names
