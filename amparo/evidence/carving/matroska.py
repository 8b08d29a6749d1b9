"""Matroska and WebM: RFC 8794 (EBML) and RFC 9559, element by element."""

from __future__ import annotations

from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_SEGMENT, _INFO, _TRACKS, _CLUSTER, _VOID, _CRC = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0xEC, 0xBF
_TOP: Final = frozenset(
    {0x114D9B74, _INFO, _TRACKS, _CLUSTER, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469, _VOID, _CRC}
)
"""What a segment holds: seek head, information, tracks, clusters, cues, chapters, tags, attachments, void, checksum."""
_SIMPLE_BLOCK, _BLOCK_GROUP, _TIMESTAMP, _ENCRYPTED = 0xA3, 0xA0, 0xE7, 0xAF
_IN_CLUSTER: Final = frozenset({_SIMPLE_BLOCK, _BLOCK_GROUP, _TIMESTAMP, _ENCRYPTED, 0xA7, 0xAB, 0x5854, _VOID, _CRC})
_DOC_TYPE, _TRACK_ENTRY, _TRACK_NUMBER = 0x4282, 0xAE, 0xD7
_MOST_HEADER: Final = 4096
_MOST_TRACKS: Final = 1 << 20


def outline(reach: Reach) -> Outline:
    """From the EBML header to the end of the segment.

    The segment must hold tracks and at least one cluster; its elements, and those of each cluster, must be of those
    that belong there, and fill it exactly where its size is known. A segment of unknown size (a live recording) ends
    where elements that belong there end. Raises Broken.
    """
    header = _element(reach, 0)
    _, body, end = header
    if end is None or end - body > _MOST_HEADER:
        raise Broken
    kind = _document_type(reach, body, end)
    at = end
    while True:
        identity, body, end = _element(reach, at)
        if identity == _SEGMENT:
            break
        if identity != _VOID or end is None:
            raise Broken
        at = end
    at = _segment(reach, body, end)
    return Outline(at, "video/webm" if kind == "webm" else "video/x-matroska", kind)


def _element(reach: Reach, at: int) -> tuple[int, int, int | None]:
    """Identity, body offset and end of the element at ``at``; the end is None where its size is unknown."""
    head = reach.take(at, min(12, max(2, reach.limit - at)))
    width = 9 - head[0].bit_length()
    if width > 4 or width + 1 > len(head):
        raise Broken
    identity = int.from_bytes(head[:width], "big")
    size_width = 9 - head[width].bit_length()
    if size_width > 8 or width + size_width > len(head):
        raise Broken
    unknown = (1 << 7 * size_width) - 1
    size = int.from_bytes(head[width : width + size_width], "big") & unknown
    body = at + width + size_width
    if size == unknown:
        return identity, body, None
    if body + size > reach.limit:
        raise Broken
    return identity, body, body + size


def _document_type(reach: Reach, at: int, end: int) -> str:
    found = b""
    while at < end:
        identity, body, stop = _element(reach, at)
        if stop is None or stop > end:
            raise Broken
        if identity == _DOC_TYPE:
            found = reach.take(body, stop - body).rstrip(b"\0")
        at = stop
    kind = {b"matroska": "mkv", b"webm": "webm"}.get(found)
    if kind is None:
        raise Broken
    return kind


def _segment(reach: Reach, at: int, end: int | None) -> int:
    """The offset behind the segment whose elements begin at ``at``."""
    tracks: frozenset[int] = frozenset()
    information = clusters = False
    while end is None or at < end:
        try:
            identity, body, stop = _element(reach, at)
        except Broken:
            if end is None:
                break
            raise
        if identity not in _TOP:
            if end is None:
                break
            raise Broken
        if identity == _CLUSTER:
            if not tracks:
                raise Broken
            stop = _cluster(reach, body, stop, end, tracks)
            clusters = True
        if stop is None or (end is not None and stop > end):
            raise Broken
        if identity == _TRACKS:
            tracks = _track_numbers(reach, body, stop)
        information |= identity == _INFO
        at = stop
    if not (information and tracks and clusters):
        raise Broken
    return at


def _track_numbers(reach: Reach, at: int, end: int) -> frozenset[int]:
    if end - at > _MOST_TRACKS:
        raise Broken
    numbers = set()
    while at < end:
        identity, body, stop = _element(reach, at)
        if stop is None or stop > end or identity not in (_TRACK_ENTRY, _VOID, _CRC):
            raise Broken
        inside = body
        while identity == _TRACK_ENTRY and inside < stop:
            name, value, after = _element(reach, inside)
            if after is None or after > stop:
                raise Broken
            if name == _TRACK_NUMBER and 1 <= after - value <= 8:
                numbers.add(int.from_bytes(reach.take(value, after - value), "big"))
            inside = after
        at = stop
    return frozenset(numbers)


def _cluster(reach: Reach, at: int, end: int | None, outer: int | None, tracks: frozenset[int]) -> int:
    """The offset behind the cluster; of unknown size, it ends before the first element that cannot be its own."""
    stamped, last = False, end if end is not None else outer
    while last is None or at < last:
        try:
            identity, body, stop = _element(reach, at)
        except Broken:
            if last is None and stamped:
                break
            raise
        own = identity in _IN_CLUSTER and stop is not None and (last is None or stop <= last)
        if own and identity == _SIMPLE_BLOCK:
            own = _number(reach, body) in tracks
        if not own or stop is None:
            if end is None and stamped:
                break
            raise Broken
        stamped |= identity == _TIMESTAMP
        at = stop
    if not stamped:
        raise Broken
    return at


def _number(reach: Reach, at: int) -> int:
    """The track number at the head of a block, or -1."""
    head = reach.take(at, min(8, max(1, reach.limit - at)))
    width = 9 - head[0].bit_length()
    if width > len(head):
        return -1
    return int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
