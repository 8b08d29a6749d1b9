"""Where a film's tracks say that their pictures lie: the sample tables of ISO/IEC 14496-12 §8.5 to §8.7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amparo.evidence.carving.boxes import Span, children, inside, number
from amparo.evidence.carving.coding import Sample
from amparo.evidence.carving.reach import Reach

_TRIED: Final = 32
"""Chunks of a track whose first picture is looked at, the first and the last among them."""
_VISUAL_ENTRY: Final = 86
"""Bytes of a visual sample entry before the boxes inside it."""
_MOST_RUNS: Final = 1 << 16


def first_chunk(reach: Reach, track: Span) -> int | None:
    """Where the first chunk of a track lies, or None where its table is empty or absent."""
    table = inside(reach, track, b"mdia", b"minf", b"stbl")
    chunks = _chunks(reach, table) if table else None
    return number(reach, chunks[0], chunks[1]) if chunks and chunks[2] else None


def samples(reach: Reach, track: Span) -> Iterator[Sample]:
    """Some of the pictures of a video track, spread from its first chunk to its last; none of another track."""
    handler = inside(reach, track, b"mdia", b"hdlr")
    table = inside(reach, track, b"mdia", b"minf", b"stbl")
    if handler is None or table is None or handler[1] - handler[0] < 12 or reach.take(handler[0] + 8, 4) != b"vide":
        return
    entries, sizes, runs = (inside(reach, table, name) for name in (b"stsd", b"stsz", b"stsc"))
    chunks = _chunks(reach, table)
    if not (entries and sizes and runs and chunks and chunks[2]) or number(reach, entries[0] + 4, 4) != 1:
        return
    form, width = _format(reach, entries)
    same, count = number(reach, sizes[0] + 4, 4), number(reach, sizes[0] + 8, 4)
    if sizes[0] + 12 + (0 if same else 4 * count) > sizes[1]:
        return
    at, width_of_place, many = chunks
    for chunk, sample in _firsts(reach, runs, many):
        if sample < count:
            size = same or number(reach, sizes[0] + 12 + 4 * sample, 4)
            yield Sample(number(reach, at + chunk * width_of_place, width_of_place), size, form, width)


def _chunks(reach: Reach, table: Span) -> tuple[int, int, int] | None:
    """Where the table of chunk offsets begins, the width of each, and how many there are."""
    for name, body, end in children(reach, *table):
        width = {b"stco": 4, b"co64": 8}.get(name)
        if width and end - body >= 8:
            count = number(reach, body + 4, 4)
            return (body + 8, width, count) if body + 8 + count * width <= end else None
    return None


def _format(reach: Reach, entries: Span) -> tuple[bytes, int]:
    """Four letters of the track's format, and the width of the lengths before its units."""
    at = entries[0] + 8
    if at + _VISUAL_ENTRY > entries[1]:
        return b"", 4
    size, form = number(reach, at, 4), reach.take(at + 4, 4)
    for name, where in ((b"avcC", 4), (b"hvcC", 21)):
        found = inside(reach, (at + _VISUAL_ENTRY, min(at + size, entries[1])), name)
        if found and found[0] + where < found[1]:
            return form, (reach.take(found[0] + where, 1)[0] & 3) + 1
    return form, 4


def _firsts(reach: Reach, runs: Span, chunks: int) -> Iterator[tuple[int, int]]:
    """(chunk, its first sample), both from 0, for chunks spread evenly over the track."""
    count = number(reach, runs[0] + 4, 4)
    if runs[0] + 8 + 12 * count > runs[1] or count > _MOST_RUNS:
        return
    wanted = sorted({chunk * (chunks - 1) // (_TRIED - 1) for chunk in range(_TRIED)}, reverse=True)
    sample = 0
    for run in range(count):
        first, each = number(reach, runs[0] + 8 + 12 * run, 4) - 1, number(reach, runs[0] + 12 + 12 * run, 4)
        following = number(reach, runs[0] + 20 + 12 * run, 4) - 1 if run + 1 < count else chunks
        while wanted and first <= wanted[-1] < following:
            chunk = wanted.pop()
            yield chunk, sample + (chunk - first) * each
        sample += max(0, following - first) * each
