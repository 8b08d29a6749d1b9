"""Where a HEIC or AVIF picture says that its parts lie: ISO/IEC 14496-12 §8.11."""

from __future__ import annotations

from typing import Final

from amparo.evidence.carving.boxes import Span, children, inside, number
from amparo.evidence.carving.coding import Sample
from amparo.evidence.carving.reach import Broken, Reach

_MOST_ITEMS: Final = 1 << 14
_MOST_EXTENTS: Final = 1 << 15


def samples(reach: Reach, at: int, end: int) -> list[Sample]:
    """The parts that the ``meta`` box whose children fill ``[at, end)`` locates, in the file or in the box itself.

    Raises Broken where it is not a picture's, or locates nothing.
    """
    handler, items, places = (inside(reach, (at, end), name) for name in (b"hdlr", b"iinf", b"iloc"))
    if not (handler and items and places) or reach.take(handler[0] + 8, 4) != b"pict":
        raise Broken
    data = inside(reach, (at, end), b"idat")
    found = _located(reach, places, _forms(reach, items), data)
    if not found:
        raise Broken
    return found


def _forms(reach: Reach, items: Span) -> dict[int, bytes]:
    """Each item's number and four letters."""
    at = items[0] + (6 if reach.take(items[0], 1)[0] == 0 else 8)
    forms: dict[int, bytes] = {}
    for name, body, end in children(reach, at, items[1]):
        version = reach.take(body, 1)[0]
        if name == b"infe" and version >= 2 and len(forms) < _MOST_ITEMS:
            width = 2 if version == 2 else 4
            if body + 10 + width > end:
                raise Broken
            forms[number(reach, body + 4, width)] = reach.take(body + 6 + width, 4)
    return forms


def _located(reach: Reach, places: Span, forms: dict[int, bytes], data: Span | None) -> list[Sample]:
    at, end = places
    version = reach.take(at, 1)[0]
    if version > 2:
        raise Broken
    widths = reach.take(at + 4, 2)
    offset_width, length_width, base_width = widths[0] >> 4, widths[0] & 15, widths[1] >> 4
    index_width = widths[1] & 15 if version else 0
    wide = 4 if version == 2 else 2
    count = number(reach, at + 6, wide)
    at += 6 + wide
    if {offset_width, length_width, base_width, index_width} - {0, 4, 8} or count > _MOST_ITEMS:
        raise Broken
    found: list[Sample] = []
    for _ in range(count):
        item = number(reach, at, wide)
        at += wide
        method = number(reach, at, 2) & 15 if version else 0
        at += 4 if version else 2
        base = number(reach, at, base_width)
        extents = number(reach, at + base_width, 2)
        at += base_width + 2
        for _ in range(extents):
            offset = base + number(reach, at + index_width, offset_width)
            length = number(reach, at + index_width + offset_width, length_width)
            at += index_width + offset_width + length_width
            if at > end or len(found) >= _MOST_EXTENTS:
                raise Broken
            if method == 1 and (data is None or data[0] + offset + length > data[1]):
                raise Broken
            if method < 2:
                # A picture in several extents is whole only when they are joined: then only its place is checked.
                form = forms.get(item, b"") if extents == 1 else b""
                found.append(Sample(offset + (data[0] if method == 1 and data else 0), length, form))
    return found
