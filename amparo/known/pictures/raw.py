"""Camera files (CR2, CR3, NEF, ARW, DNG, ORF, RW2, RAF, PEF): the largest JPEG that lies inside.

Every camera puts a preview of its raw picture into the file, most of full size, and it is the preview that is shown, sent on
and listed. Each maker keeps it elsewhere; but a JPEG is known by its own first segments, so it is looked for by these, and no
maker's format need be read.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from amparo.errors import ReadFailed
from amparo.known.pictures import jpeg
from amparo.known.pictures.luma import Allowance, Frame

_START: Final = b"\xff\xd8\xff"
_LOOKED_AT: Final = 256  # beginnings of JPEGs
_TRIED: Final = 4  # of the largest ones
_SEGMENTS: Final = 64
_FRAMES: Final = frozenset((0xC0, 0xC1, 0xC2))  # not C3: the raw picture itself may be a lossless JPEG


class Preview(NamedTuple):
    """Where a JPEG begins inside a file, and its size in pixels."""

    offset: int
    width: int
    height: int


def previews(data: bytes) -> list[Preview]:
    """The JPEGs inside a file, the largest first."""
    found = []
    at = -1
    for _ in range(_LOOKED_AT):
        at = data.find(_START, at + 1)
        if at < 0:
            break
        if size := _size(data, at):
            found.append(Preview(at, *size))
    return sorted(found, key=lambda preview: -preview.width * preview.height)


def decode(data: bytes, found: list[Preview], allowance: Allowance) -> Frame:
    """The largest of the previews that can be decoded. Raises ReadFailed where none can be."""
    for preview in found[:_TRIED]:
        try:
            return jpeg.decode(data[preview.offset :], allowance)._replace(kind="RAW")
        except Exception:  # noqa: S112  what a hostile file makes a decoder say; the next one may be whole
            continue
    raise ReadFailed("The camera file holds no preview that can be decoded.")


def _size(data: bytes, at: int) -> tuple[int, int] | None:
    """Width and height of the JPEG at ``at``; None where none begins there (ITU-T T.81, B.2.2)."""
    at += 2
    for _ in range(_SEGMENTS):
        head = data[at : at + 9]
        if len(head) < 9 or head[0] != 0xFF or not 0xC0 <= head[1] <= 0xFE or 0xD0 <= head[1] <= 0xDA:
            return None
        if head[1] in _FRAMES:
            height, width = int.from_bytes(head[5:7]), int.from_bytes(head[7:9])
            return (width, height) if width and height else None
        if (0xC5 <= head[1] <= 0xCF and head[1] not in (0xC8, 0xCC)) or head[1] == 0xC3:
            return None
        at += 2 + int.from_bytes(head[2:4])
    return None
