"""GIF: the CompuServe specifications 87a and 89a, block by block to the trailer."""

from __future__ import annotations

from typing import Final

from amparo.evidence.carving.reach import Broken, Outline, Reach

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_FIRST_SIZE: Final = {0xF9: (4,), 0x01: (12,), 0xFF: (11,), 0xFE: tuple(range(256))}
"""Sizes that the first sub-block of each extension may have."""
_STEP_COST: Final = 16


def outline(reach: Reach) -> Outline:
    """From the signature to the trailer, through extensions and at least one image. Raises Broken."""
    head = reach.take(0, 13)
    if head[:6] not in (b"GIF87a", b"GIF89a") or not any(head[6:8]) or not any(head[8:10]):
        raise Broken
    at, images = 13 + _table(head[10]), 0
    while True:
        introducer = reach.take(at, 1)[0]
        if introducer == _IMAGE:
            descriptor = reach.take(at, 10)
            packed = descriptor[9]
            if not any(descriptor[5:7]) or not any(descriptor[7:9]) or packed & 0x18:
                raise Broken
            at += 10 + _table(packed)
            code_size, first, low, high = reach.take(at, 4)
            clear, codes = 1 << code_size, low | (high if first > 1 else 0) << 8
            # 89a, appendix F: the first code clears the table, and is one bit wider than what it codes.
            if not 1 <= code_size <= 8 or not first or (codes & (clear * 2 - 1) != clear and first > 1):
                raise Broken
            at = _sub_blocks(reach, at + 1)
            images += 1
        elif introducer == _EXTENSION:
            _, label, first = reach.take(at, 3)
            if first not in _FIRST_SIZE.get(label, ()):
                raise Broken
            at = _sub_blocks(reach, at + 2)
        elif introducer == _TRAILER and images:
            return Outline(at + 1, "image/gif", "gif")
        else:
            raise Broken


def _table(packed: int) -> int:
    """Bytes of the colour table that a packed field announces."""
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _sub_blocks(reach: Reach, at: int) -> int:
    """The offset behind the chain of sub-blocks that begins at ``at``."""
    while True:
        piece = reach.rest(at)
        i = steps = 0
        while i < len(piece):
            size = piece[i]
            i += size + 1
            steps += 1
            if not size:
                return at + i
        reach.spend(steps * _STEP_COST)
        at += i
