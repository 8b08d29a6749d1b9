"""What can be carved: the marks a file begins with, the size it may have at most, and who finds its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from amparo.evidence.carving import gif, isobmff, jpeg, matroska, pdf, pkzip, png, riff
from amparo.evidence.carving.reach import Outline, Reach

HEAD: Final = 16
"""Bytes looked at to tell a candidate; less than this left in a free range holds no file."""
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Kind:
    """``marks`` are (offset, bytes) pairs below :data:`HEAD` that must all be there; ``most`` is in bytes."""

    name: str
    marks: tuple[tuple[int, bytes], ...]
    most: int
    outline: Callable[[Reach], Outline]

    def begins(self, head: bytes) -> bool:
        return all(head.startswith(mark, offset) for offset, mark in self.marks)


KINDS: Final = (
    Kind("JPEG", ((0, b"\xff\xd8\xff"),), 256 * _MIB, jpeg.outline),
    Kind("PNG", ((0, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),), 512 * _MIB, png.outline),
    Kind("GIF", ((0, b"GIF8"),), 512 * _MIB, gif.outline),
    Kind("WebP", ((0, b"RIFF"), (8, b"WEBP")), 512 * _MIB, riff.webp),
    Kind("AVI", ((0, b"RIFF"), (8, b"AVI ")), 64 * _GIB, riff.avi),
    Kind("MP4", ((4, b"ftyp"),), 64 * _GIB, isobmff.outline),
    Kind("Matroska", ((0, b"\x1a\x45\xdf\xa3"),), 64 * _GIB, matroska.outline),
    Kind("PDF", ((0, b"%PDF-"),), 2 * _GIB, pdf.outline),
    Kind("ZIP", ((0, b"PK\x03\x04"),), 16 * _GIB, pkzip.outline),
)
