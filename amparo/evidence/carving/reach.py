"""The free bytes that a file may be made of, read a window at a time and at a bounded price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from amparo.evidence.source.device import Device

SMALLEST: Final = 4 << 10
"""Bytes fetched after a jump: a header and what stands beside it."""
LARGEST: Final = 1 << 20
"""Bytes fetched at most, however long a file is read in sequence."""
CALL: Final = 256
"""What one look costs beyond its bytes, so that a walk of many tiny steps is dear too."""


class Broken(Exception):
    """What stands here is not a whole file of the kind looked for. It never leaves this package."""


class Exhausted(Broken):
    """The allowance ended before the file did, so whether it is whole was not found out."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a validator found: ``length`` in bytes from the first of the file, media type, short name of its format."""

    length: int
    mime: str
    kind: str


@dataclass(slots=True)
class Absences:
    """Where a pattern is known not to begin: one stretch of absolute addresses a pattern.

    A thousand false headers in front of one long stretch search it once, not a thousand times.
    """

    stretches: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def past(self, pattern: bytes, at: int) -> int:
        """The first address at or after ``at`` where ``pattern`` may still begin."""
        begin, end = self.stretches.get(pattern, (0, 0))
        return end if begin <= at < end else at

    def note(self, pattern: bytes, begin: int, end: int) -> None:
        """``pattern`` begins nowhere in ``[begin, end)``."""
        old_begin, old_end = self.stretches.get(pattern, (begin, begin))
        if begin <= old_end and old_begin <= end:
            begin, end = min(begin, old_begin), max(end, old_end)
        self.stretches[pattern] = (begin, end)


class Reach:
    """The bytes from a candidate's first on, as far as free space and the largest size of its kind allow.

    Offsets are counted from the candidate's first byte. Every method raises :class:`Broken` where the bytes asked for
    lie past ``limit``, :class:`Exhausted` once ``work`` passes ``allowance``, and lets the device's ``ReadFailed``
    through. ``block`` holds bytes already read, the first of them at the absolute address ``block_at``.
    """

    def __init__(
        self,
        device: Device,
        start: int,
        limit: int,
        *,
        allowance: int = 1 << 40,
        absences: Absences | None = None,
        block: bytes = b"",
        block_at: int = 0,
    ) -> None:
        self.device, self.start, self.limit = device, start, limit
        self.allowance, self.work = allowance, 0
        self._absences = absences if absences is not None else Absences()
        self._window, self._window_at = block, block_at - start
        self._fetch_size = self._rest_size = SMALLEST
        self._rest_end = -1

    def spend(self, work: int) -> None:
        """Charge ``work`` (bytes looked at, or what costs as much) to this candidate."""
        self.work += work
        if self.work > self.allowance:
            raise Exhausted

    def take(self, at: int, length: int) -> bytes:
        """Exactly the ``length`` bytes at ``at``; at most :data:`LARGEST`."""
        self._hold(at, length)
        self.spend(CALL + length)
        begin = at - self._window_at
        return self._window[begin : begin + length]

    def rest(self, at: int, least: int = 1) -> bytes:
        """A piece of the bytes from ``at`` on, of ``least`` bytes or more; pieces taken in sequence grow."""
        self._hold(at, least)
        # A step over less than a piece still counts as sequence: sub-blocks and searches overlap the edge a little.
        in_sequence = self._rest_end - 16 <= at <= self._rest_end + SMALLEST
        self._rest_size = min(self._rest_size * 2, LARGEST) if in_sequence else SMALLEST
        begin = at - self._window_at
        piece = self._window[begin : min(begin + max(self._rest_size, least), self.limit - self._window_at)]
        self._rest_end = at + len(piece)
        self.spend(CALL + len(piece))
        return piece

    def find(self, pattern: bytes, at: int) -> int:
        """Where ``pattern`` next begins, at or after ``at``; Broken where it does not."""
        origin = at + self.start
        position = self._absences.past(pattern, origin) - self.start
        while True:
            if position + len(pattern) > self.limit:
                raise Broken
            piece = self.rest(position, len(pattern))
            found = piece.find(pattern)
            if found >= 0:
                self._absences.note(pattern, origin, self.start + position + found)
                return position + found
            following = position + len(piece) - len(pattern) + 1
            self._absences.note(pattern, origin, self.start + following)
            position = self._absences.past(pattern, self.start + following) - self.start

    def _hold(self, at: int, length: int) -> None:
        if at < 0 or length > LARGEST or at + length > self.limit:
            raise Broken
        end = self._window_at + len(self._window)
        if self._window_at <= at and at + length <= end:
            return
        in_sequence = self._window_at <= at <= end + SMALLEST
        self._fetch_size = min(self._fetch_size * 2, LARGEST) if in_sequence else SMALLEST
        wanted = min(max(self._fetch_size, length), self.limit - at)
        self.spend(wanted)
        self._window = self.device.read(self.start + at, wanted)
        self._window_at = at
        if len(self._window) < length:
            raise Broken
