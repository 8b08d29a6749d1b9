"""The boxes of ISO/IEC 14496-12 §4.2, and QuickTime's atoms before them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from amparo.evidence.carving.reach import Broken, Reach

_NAME: Final = re.compile(rb"[A-Za-z0-9\xa9][A-Za-z0-9 _\-]{3}")
Span = tuple[int, int]
"""Where the body of a box begins and ends."""


def box(reach: Reach, at: int, limit: int) -> tuple[bytes, int, int] | None:
    """Name, body and end of the box at ``at``, or None where none stands or its name is none; its end may pass ``limit``.

    A size of 0 (to the end of the file) is no box here, since where a file ends is what is looked for.
    """
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
    return name, body, at + size


def children(reach: Reach, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes that fill ``[at, end)``; QuickTime ends some with four zero bytes. Raises Broken where they do not."""
    while at < end:
        found = box(reach, at, end)
        if found is None or found[2] > end:
            if end - at == 4 and reach.take(at, 4) == bytes(4):
                return
            raise Broken
        yield found
        at = found[2]


def inside(reach: Reach, span: Span, *path: bytes) -> Span | None:
    """The body of the first box down ``path``, or None where there is none."""
    for wanted in path:
        found = next((stop for stop in children(reach, *span) if stop[0] == wanted), None)
        if found is None:
            return None
        span = found[1], found[2]
    return span


def number(reach: Reach, at: int, width: int) -> int:
    """A big-endian number of ``width`` bytes."""
    return int.from_bytes(reach.take(at, width), "big") if width else 0
