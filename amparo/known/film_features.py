"""What a film is known by: fingerprints of its frames, and the two forms in which the published program keeps them.

vPDQ (Meta, 2021; ThreatExchange, vpdq/README.md) takes a film for a bag of PDQ fingerprints, one of a frame at an interval.
Its program writes a line a frame, ``number,quality,hex,seconds``; python-threatexchange a JSON list of
``hex,quality,seconds``. Both are read and written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from amparo.errors import UsedWrongly

QUALITY: Final = 50  # a frame below it says too little to be compared
LONGEST: Final = 1 << 28  # characters of a text with features

_LINE = re.compile(
    r"(?:(?P<number>\d{1,18}),(?P<quality>\d{1,3}),(?P<bits>[0-9a-fA-F]{64})"
    r"|(?P<bits2>[0-9a-fA-F]{64}),(?P<quality2>\d{1,3}))"
    r",(?P<time>\d{1,12}(?:\.\d{0,18})?(?:e[+-]?\d{1,2})?)",
    re.ASCII,
)


class Frame(NamedTuple):
    """One frame of a film.

    ``number`` counts from 0 among all frames in the order they are shown; ``time`` is in seconds from the first; ``bits`` are
    the 32 bytes of its PDQ fingerprint, ``quality`` is 0 to 100.
    """

    number: int
    time: float
    bits: bytes
    quality: int


def distinct(frames: Iterable[Frame]) -> list[Frame]:
    """What is compared of a film: the frames of enough quality, the first of those that have the same bits."""
    first: dict[bytes, Frame] = {}
    for frame in frames:
        if frame.quality >= QUALITY:
            first.setdefault(frame.bits, frame)
    return list(first.values())


def to_text(frames: Iterable[Frame]) -> str:
    """A line a frame, as vpdq's program writes them: ``number,quality,hex,seconds``."""
    return "".join(f"{frame.number},{frame.quality},{frame.bits.hex()},{frame.time:.3f}\n" for frame in frames)


def to_json(frames: Iterable[Frame]) -> str:
    """A JSON list of ``hex,quality,seconds``, as python-threatexchange keeps a film."""
    return json.dumps([f"{frame.bits.hex()},{frame.quality},{frame.time:.3f}" for frame in frames])


def from_text(text: str) -> list[Frame]:
    """The frames of either form, or of lines of ``hex,quality,seconds``, where a frame's number is its place.

    Raises UsedWrongly naming the first line (or entry of the list) that is neither.
    """
    if len(text) > LONGEST:
        raise UsedWrongly("The fingerprints of one film cannot be as many as these: give one film at a time.")
    lines: list[object] = [*text.splitlines()]
    if text.lstrip()[:1] == "[":
        try:
            lines = json.loads(text)
        except (ValueError, RecursionError):
            raise UsedWrongly("The fingerprints of the film are not sound JSON: ask for them again.") from None
    frames: list[Frame] = []
    for place, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line.strip()) if isinstance(line, str) else None
        if found is None and isinstance(line, str) and not line.strip():
            continue
        quality = int(found["quality"] or found["quality2"]) if found else 101
        if found is None or quality > 100:
            raise UsedWrongly(f"Line {place} is no fingerprint of a film's frame: ask for the list again.")
        number = int(found["number"]) if found["number"] else len(frames)
        frames.append(Frame(number, float(found["time"]), bytes.fromhex(found["bits"] or found["bits2"]), quality))
    return frames
