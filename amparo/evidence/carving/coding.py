"""How one coded picture begins and fills its place: what tells a film's data from whatever was written over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from amparo.evidence.carving.reach import Broken, Reach

_UNITS: Final = frozenset({b"avc1", b"avc3", b"hvc1", b"hev1", b"dvh1", b"dvhe", b"dva1", b"dvav"})
_BEGINNINGS: Final = {b"mp4v": b"\0\0\1", b"jpeg": b"\xff\xd8", b"mjpa": b"\xff\xd8", b"s263": b"\0\0"}
_MOST_PARTS: Final = 4096
_ZEROS: Final = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """A coded picture: ``at`` and ``size`` in bytes, its format's four letters, and the width of its units' lengths."""

    at: int
    size: int
    form: bytes
    width: int = 4


def check(reach: Reach, sample: Sample) -> None:
    """Raises Broken where the bytes at ``sample`` cannot be a picture of its format; formats not known here pass.

    H.264 and H.265 (14496-15): units, each behind its length, that fill the sample. AV1 (its specification, §5.3): open
    bitstream units that fill it. Both end their data with a bit that is set, so no long run of zeros stands last.
    Older formats: their first bytes.
    """
    if sample.at + sample.size > reach.limit:
        raise Broken
    if sample.form in _UNITS:
        _units(reach, sample)
        _ended(reach, sample)
    elif sample.form == b"av01":
        _open_units(reach, sample)
        _ended(reach, sample)
    elif sample.form in _BEGINNINGS and sample.size >= 4:
        beginning = _BEGINNINGS[sample.form]
        if reach.take(sample.at, len(beginning)) != beginning:
            raise Broken


def _ended(reach: Reach, sample: Sample) -> None:
    if sample.size >= 8 * _ZEROS and not any(reach.take(sample.at + sample.size - _ZEROS, _ZEROS)):
        raise Broken


def _units(reach: Reach, sample: Sample) -> None:
    at, end = sample.at, sample.at + sample.size
    for _ in range(_MOST_PARTS):
        if at == end:
            return
        if at + sample.width >= end:
            raise Broken
        head = reach.take(at, sample.width + 1)
        # The top bit of a unit is forbidden_zero_bit in both standards.
        if head[-1] & 0x80:
            raise Broken
        size = int.from_bytes(head[:-1], "big")
        at += sample.width + size
        if not size or at > end:
            raise Broken
    raise Broken


def _open_units(reach: Reach, sample: Sample) -> None:
    at, end = sample.at, sample.at + sample.size
    for _ in range(_MOST_PARTS):
        if at == end:
            return
        head = reach.take(at, min(10, end - at))
        # Two bits are reserved, and so is type 0.
        if head[0] & 0x81 or not head[0] & 0x78 or len(head) < 2:
            raise Broken
        if not head[0] & 2:
            return  # The last unit may leave its length out: it fills the sample.
        begin = stop = 2 if head[0] & 4 else 1
        while stop < len(head) and head[stop] & 128:
            stop += 1
        if stop == len(head):
            raise Broken
        # LEB128: seven bits a byte, the lowest first.
        size = sum((byte & 127) << 7 * place for place, byte in enumerate(head[begin : stop + 1]))
        at += stop + 1 + size
        if at > end:
            raise Broken
    raise Broken
