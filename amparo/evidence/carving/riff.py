"""WebP (RFC 9649) and AVI (Microsoft RIFF, with the OpenDML extension): chunks that must fill what holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_NAME: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_ ]{3}")
_MOVIE: Final = re.compile(rb"\d\d[A-Za-z0-9]{2}|ix\d\d|JUNK|rec ")
_SHORT: Final = 128
_MOVIE_DEPTH: Final = (b"rec ",)


def webp(reach: Reach) -> Outline:
    """A WebP picture, still or animated: chunks that fill the declared size, an image among them. Raises Broken."""
    end = _end(reach, 0)
    picture = False
    for number, (at, name, size) in enumerate(_chunks(reach, 12, end)):
        if not number and name not in (b"VP8 ", b"VP8L", b"VP8X"):
            raise Broken
        if name == b"VP8 ":
            picture = size >= 10 and _is_key_frame(reach.take(at, 10), size)
        elif name == b"VP8L":
            picture = size >= 5 and reach.take(at, 1) == b"\x2f"
        elif name == b"ANMF":
            picture = size >= 24
        if name in (b"VP8 ", b"VP8L", b"ANMF") and not (picture and _has_end(reach, at, size)):
            raise Broken
    if not picture:
        raise Broken
    return Outline(end, "image/webp", "webp")


def _is_key_frame(head: bytes, size: int) -> bool:
    """RFC 6386 §9.1: a shown key frame whose first partition fits, behind its start code, of a picture with sides."""
    tag = int.from_bytes(head[:3], "little")
    sides = int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    return tag & 0x11 == 0x10 and tag >> 5 <= size - 10 and head[3:6] == b"\x9d\x01\x2a" and all(sides)


def _has_end(reach: Reach, at: int, size: int) -> bool:
    """The last eighth is not all zeros: nothing stands behind a WebP's data to prove that they were not wiped.

    A flat picture ends in zeros too, a twentieth of it.
    """
    tail = min(size // 8, 4096)
    return tail < _SHORT or any(reach.take(at + size - tail, tail))


def avi(reach: Reach) -> Outline:
    """An AVI film: headers, then a movie list walked chunk by chunk, then any OpenDML continuations. Raises Broken."""
    end = _end(reach, 0)
    lists: list[bytes] = []
    for at, name, size in _chunks(reach, 12, end):
        if name != b"LIST":
            if not lists or (name == b"idx1" and size >= 16 and not _MOVIE.fullmatch(reach.take(at + size - 16, 4))):
                raise Broken
            continue
        form = reach.take(at, 4)
        if not lists and (form != b"hdrl" or reach.take(at + 4, 4) != b"avih"):
            raise Broken
        lists.append(form)
        if form == b"movi":
            _movie(reach, at + 4, at + size)
    if b"movi" not in lists:
        raise Broken
    while end + 12 <= reach.limit and _is_continuation(reach.take(end, 12)):
        begin, end = end, _end(reach, end)
        for at, name, size in _chunks(reach, begin + 12, end):
            if name == b"LIST" and reach.take(at, 4) == b"movi":
                _movie(reach, at + 4, at + size)
    return Outline(end, "video/x-msvideo", "avi")


def _is_continuation(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:] == b"AVIX"


def _end(reach: Reach, at: int) -> int:
    size = int.from_bytes(reach.take(at + 4, 4), "little")
    end = at + 8 + size + (size & 1)
    if size < 12 or end > reach.limit:
        raise Broken
    return end


def _chunks(reach: Reach, at: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Body offset, name and size of each chunk from ``at`` on; they must end at ``end`` exactly, padding included."""
    while at < end:
        head = reach.take(at, 8)
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if not _NAME.fullmatch(name) or at + 8 + size > end:
            raise Broken
        yield at + 8, name, size
        at += 8 + size + (size & 1)
    # Some writers count an odd last chunk without its padding byte.
    if at > end + 1:
        raise Broken


def _movie(reach: Reach, at: int, end: int) -> None:
    while at < end:
        head = reach.take(at, 12 if end - at >= 12 else 8)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        if name == b"LIST" and head[8:] in _MOVIE_DEPTH and size >= 4:
            at += 12
            continue
        if not _MOVIE.fullmatch(name) or at + 8 + size > end:
            raise Broken
        at += 8 + size + (size & 1)
