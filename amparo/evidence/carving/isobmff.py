"""MP4, QuickTime, 3GP, HEIC and AVIF: ISO/IEC 14496-12 and 23008-12, box by box."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_NAME: Final = re.compile(rb"[A-Za-z0-9\xa9][A-Za-z0-9 _\-]{3}")
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
_TABLE_PATH: Final = (b"mdia", b"minf", b"stbl")
_MOST_BRANDS: Final = 64


@dataclass(slots=True)
class _Seen:
    movie: bool = False
    fragmented: bool = False
    meta: bool = False
    inside_meta: bool = False
    chunks: list[int] = field(default_factory=list)
    data: list[tuple[int, int]] = field(default_factory=list)
    media: bool = False

    def whole(self, still: bool) -> bool:
        if still and self.meta and (self.media or self.inside_meta):
            return True
        if not self.movie or not self.media:
            return False
        return self.fragmented or any(begin <= chunk < end for chunk in self.chunks for begin, end in self.data)


def outline(reach: Reach) -> Outline:
    """From ``ftyp`` to the last box that follows in step.

    A film needs ``moov``, whose boxes must fill it exactly, and ``mdat``, into which at least one track points (or
    fragments); a picture needs ``meta`` with its handler and item locations, and data. A last box that runs to the end of
    the file (size 0) has no knowable end and is refused, and so is a film older than ``ftyp``. Raises Broken.
    """
    at, brands = _brands(reach)
    kind = _kind(brands)
    still, seen = kind in ("heic", "avif"), _Seen()
    while True:
        whole = seen.whole(still)
        box = _box(reach, at, reach.limit)
        if box is None or (whole and box[0] not in _FOLLOWING):
            break
        name, body, end = box
        if name == b"mdat":
            seen.media |= end > body
            # A fragmented film has thousands; its own index is not looked at, so they need not be kept.
            if len(seen.data) < 1024:
                seen.data.append((body, end))
        elif name == b"moov":
            if seen.movie:
                break
            _movie(reach, body, end, seen)
        elif name == b"meta" and still:
            _meta(reach, body, end, seen)
        elif name == b"ftyp":
            break
        at = end
    if not seen.whole(still):
        raise Broken
    return Outline(at, _MIME[kind], kind)


def _brands(reach: Reach) -> tuple[int, list[bytes]]:
    size = int.from_bytes(reach.take(0, 4), "big")
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


def _box(reach: Reach, at: int, limit: int) -> tuple[bytes, int, int] | None:
    """Name, body and end of the box at ``at``, or None where no box stands or it passes ``limit``."""
    if at + 8 > limit:
        return None
    head = reach.take(at, 8)
    size, name, body = int.from_bytes(head[:4], "big"), head[4:], at + 8
    if size == 1:
        if at + 16 > limit:
            return None
        size, body = int.from_bytes(reach.take(at + 8, 8), "big"), at + 16
    if not _NAME.fullmatch(name) or at + size < body:
        return None
    if at + size > limit:
        # A box that is cut off is a broken file, unless what stands here never was a box of this file.
        if name in _FOLLOWING:
            raise Broken
        return None
    return name, body, at + size


def _children(reach: Reach, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes that fill ``[at, end)``; QuickTime ends some with four zero bytes."""
    while at < end:
        box = _box(reach, at, end)
        if box is None:
            if end - at == 4 and reach.take(at, 4) == bytes(4):
                return
            raise Broken
        yield box
        at = box[2]


def _movie(reach: Reach, at: int, end: int, seen: _Seen) -> None:
    names: set[bytes] = set()
    for name, body, stop in _children(reach, at, end):
        names.add(name)
        if name == b"trak" and len(seen.chunks) < 64:
            _track(reach, body, stop, seen)
    if b"mvhd" not in names or not names & {b"trak", b"mvex"}:
        raise Broken
    seen.movie = True
    seen.fragmented = b"mvex" in names


def _track(reach: Reach, at: int, end: int, seen: _Seen) -> None:
    """Note where the first chunk of a track lies."""
    for wanted in _TABLE_PATH:
        at, end = next(((body, stop) for name, body, stop in _children(reach, at, end) if name == wanted), (0, 0))
        if not end:
            return
    for name, body, stop in _children(reach, at, end):
        width = {b"stco": 4, b"co64": 8}.get(name)
        if width and stop - body >= 8 + width and int.from_bytes(reach.take(body + 4, 4), "big"):
            seen.chunks.append(int.from_bytes(reach.take(body + 8, width), "big"))


def _meta(reach: Reach, at: int, end: int, seen: _Seen) -> None:
    names = []
    for name, body, stop in _children(reach, at + 4, end):
        if not names and (name != b"hdlr" or reach.take(body + 8, 4) != b"pict"):
            raise Broken
        names.append(name)
        seen.inside_meta |= name == b"idat" and stop > body
    if b"iloc" not in names or not {b"pitm", b"iinf"} & set(names):
        raise Broken
    seen.meta = True
