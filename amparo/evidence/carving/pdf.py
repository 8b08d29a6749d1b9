"""PDF: ISO 32000-1 §7.5, from the header to the last end-of-file mark whose cross-references lie where it says."""

from __future__ import annotations

import re
from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_HEADER: Final = re.compile(rb"%PDF-[12]\.\d[\s%]")
_OBJECT: Final = re.compile(rb"\d{1,10}\s{1,8}\d{1,5}\s{1,8}obj")
_LINEARISED: Final = re.compile(
    rb"/Linearized\s{1,8}1[^>]{0,200}?/L\s{1,8}(\d{1,10})|/L\s{1,8}(\d{1,10})[^>]{0,200}?/Linearized"
)
_POINTER: Final = re.compile(rb"startxref\s{1,8}(\d{1,10})\s{0,8}\Z")
_REFERENCES: Final = re.compile(rb"\s{0,8}(?:xref\s{1,8}\d{1,10}\s{1,8}\d{1,10}\s|\d{1,10}\s{1,8}\d{1,5}\s{1,8}obj)")
_UPDATE: Final = re.compile(rb"\s{0,16}(?:%[^\r\n]{0,80}\s{1,8})?(?:xref\s|\d{1,10}\s{1,8}\d{1,5}\s{1,8}obj)")
_END: Final = b"%%EOF"
_FIRST: Final = 4096
_MOST_ENDS: Final = 256
"""End marks looked at in one file; a document is seldom revised, and what is embedded seldom brings its own."""


def outline(reach: Reach) -> Outline:
    """A document with its revisions.

    An end mark counts where ``startxref`` before it points at cross-references in this file. The file goes on behind it
    only where a revision's objects follow at once, or where the document says (``/Linearized``) that it is longer. One
    line end behind the last mark is part of the file, more is not. Raises Broken.
    """
    first = reach.take(0, min(_FIRST, reach.limit))
    if not _HEADER.match(first) or not _OBJECT.search(first):
        raise Broken
    linear = _LINEARISED.search(first, 0, 1024)
    least = int(linear[1] or linear[2]) - 4 if linear else 0
    at, good = 8, 0
    for _ in range(_MOST_ENDS):
        try:
            mark = reach.find(_END, at)
        except Broken:
            if good:
                break
            raise
        at = mark + len(_END)
        pointer = _POINTER.search(_around(reach, max(0, mark - 48), min(mark, 48)))
        if pointer is None:
            continue
        target = int(pointer[1])
        if target and (target >= mark or not _REFERENCES.match(_around(reach, target, 40))):
            continue
        following = _around(reach, at, 128)
        if target and at >= least:
            good = at + _line_end(following)
        if not _UPDATE.match(following) and (at >= least or not target):
            break
    if not good:
        raise Broken
    return Outline(good, "application/pdf", "pdf")


def _around(reach: Reach, at: int, length: int) -> bytes:
    """Up to ``length`` bytes at ``at``, cut where the reach ends."""
    return reach.take(at, max(0, min(length, reach.limit - at)))


def _line_end(following: bytes) -> int:
    if following[:2] == b"\r\n":
        return 2
    return 1 if following[:1] in (b"\r", b"\n") else 0
