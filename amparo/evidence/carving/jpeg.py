"""JPEG: ITU-T T.81 annex B, walked marker by marker to the end of image."""

from __future__ import annotations

import re
from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_MARK: Final = re.compile(rb"\xff[^\x00]", re.DOTALL)
_SOI, _EOI, _SOS, _DQT, _DHT, _DRI, _DAC, _DNL, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xCC, 0xDC, 0xFE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_LOSSLESS: Final = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_FILL: Final = 32
"""Fill bytes in a row. T.81 sets no bound; erased flash memory is an endless run of them."""
_MARK_COST: Final = 32
_SLACK: Final = 64 << 10


def outline(reach: Reach) -> Outline:
    """A picture from its start marker to its end marker.

    Each segment's length is followed, so a thumbnail inside EXIF ends nothing. Quantisation and Huffman tables, frame
    and scan headers must add up; coded data may hold only stuffed bytes, restart markers in their turn (and only where
    an interval is set), and no more bytes than four a sample. What a camera appends after the end marker (a second
    picture, a film) is not part of it. Raises Broken.
    """
    at, interval, samples, coded = 2, 0, 0, 0
    quantised = scanned = lossless = False
    while True:
        at, marker = _marker(reach, at)
        if marker == _EOI:
            if not scanned:
                raise Broken
            return Outline(at, "image/jpeg", "jpeg")
        length = int.from_bytes(reach.take(at, 2), "big")
        if length < 2 or at + length > reach.limit:
            raise Broken
        if marker == _DQT:
            _quantisation(reach.take(at + 2, length - 2))
            quantised = True
        elif marker == _DHT:
            _huffman(reach.take(at + 2, length - 2))
        elif marker == _DRI:
            if length != 4:
                raise Broken
            interval = int.from_bytes(reach.take(at + 2, 2), "big")
        elif marker in _FRAMES:
            if samples:
                raise Broken
            samples, lossless = _frame(reach.take(at + 2, length - 2)), marker in _LOSSLESS
        elif marker == _SOS:
            if not samples or not (quantised or lossless):
                raise Broken
            _scan(reach.take(at + 2, length - 2))
            begin = at + length
            at = _coded(reach, begin, interval, samples * 4 + _SLACK - coded)
            coded += at - begin
            scanned = True
            continue
        elif not (0xE0 <= marker <= 0xEF or marker in (_COM, _DAC) or (marker == _DNL and scanned)):
            raise Broken
        at += length


def _marker(reach: Reach, at: int) -> tuple[int, int]:
    """The marker at ``at``, fill bytes skipped: the offset behind it, and its code."""
    if reach.take(at, 1) != b"\xff":
        raise Broken
    for fill in range(1, _FILL):
        code = reach.take(at + fill, 1)[0]
        if code != 0xFF:
            return at + fill + 1, code
    raise Broken


def _quantisation(body: bytes) -> None:
    at = 0
    while at < len(body):
        if body[at] & 15 > 3 or body[at] >> 4 > 1:
            raise Broken
        at += 129 if body[at] >> 4 else 65
    if at != len(body) or not body:
        raise Broken


def _huffman(body: bytes) -> None:
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        # A code of n bits leaves 2^-n of the space: more than all of it is no code (Kraft).
        space = sum(count << (16 - bits) for bits, count in enumerate(counts, 1))
        if body[at] & 15 > 3 or body[at] >> 4 > 1 or len(counts) != 16 or not 0 < sum(counts) <= 256 or space > 1 << 16:
            raise Broken
        at += 17 + sum(counts)
    if at != len(body) or not body:
        raise Broken


def _frame(body: bytes) -> int:
    """Samples of the picture over all its components."""
    if len(body) < 9 or body[0] not in (8, 12, 16) or not 1 <= body[5] <= 4 or len(body) != 6 + 3 * body[5]:
        raise Broken
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if not height or not width:
        raise Broken
    for component in range(6, len(body), 3):
        sampling, table = body[component + 1], body[component + 2]
        if not 1 <= sampling >> 4 <= 4 or not 1 <= sampling & 15 <= 4 or table > 3:
            raise Broken
    return height * width * body[5]


def _scan(body: bytes) -> None:
    if not body or not 1 <= body[0] <= 4 or len(body) != 4 + 2 * body[0] or body[-3] > 63 or body[-2] > 63:
        raise Broken


def _coded(reach: Reach, at: int, interval: int, most: int) -> int:
    """The offset of the marker that ends the coded data beginning at ``at``."""
    begin, restart = at, 0
    while at - begin <= most:
        piece = reach.rest(at, 2)
        i = marks = 0
        while found := _MARK.search(piece, i):
            code = piece[found.start() + 1]
            i = found.end()
            marks += 1
            if 0xD0 <= code <= 0xD7:
                if not interval or code != 0xD0 + restart:
                    raise Broken
                restart = (restart + 1) % 8
            elif code == 0xFF:
                if piece.startswith(b"\xff" * _FILL, found.start()):
                    raise Broken
                i -= 1
            elif found.start() + at == begin:
                raise Broken
            else:
                return at + found.start()
        reach.spend(marks * _MARK_COST)
        at += len(piece) - piece.endswith(b"\xff")
    raise Broken
