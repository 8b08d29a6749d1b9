"""PNG (and APNG): W3C PNG third edition, chunk by chunk, each with its CRC."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bit depths allowed for each colour type (table 11.1)."""


def outline(reach: Reach) -> Outline:
    """From the signature to IEND; IHDR first and sane, at least one IDAT, every CRC right. Raises Broken."""
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", reach.take(16, 13))
    if not 0 < width < 1 << 31 or not 0 < height < 1 << 31 or depth not in _DEPTHS.get(colour, ()):
        raise Broken
    if compression or filtering or interlace > 1:
        raise Broken
    at, data = 8, False
    while True:
        head = reach.take(at, 8)
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if not (name.isalpha() and name.isascii()) or at + 12 + length > reach.limit:
            raise Broken
        if (name == b"IHDR") != (at == 8) or (name == b"IHDR" and length != 13) or (name == b"IEND" and length):
            raise Broken
        end = at + 8 + length
        if _crc(reach, at + 8, end, zlib.crc32(name)) != int.from_bytes(reach.take(end, 4), "big"):
            raise Broken
        if name == b"IEND":
            if not data:
                raise Broken
            return Outline(end + 4, "image/png", "png")
        data |= name == b"IDAT"
        at = end + 4


def _crc(reach: Reach, at: int, end: int, crc: int) -> int:
    while at < end:
        piece = reach.rest(at)[: end - at]
        crc = zlib.crc32(piece, crc)
        at += len(piece)
    return crc
