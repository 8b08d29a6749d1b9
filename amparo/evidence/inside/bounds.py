"""What a container may cost, and what is known of each member: shared by the readers of every family."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Final, NamedTuple

from amparo.errors import AmparoError, ReadFailed
from amparo.evidence.seekable import Seekable

PIECE: Final = 1 << 20
"""The most that a reader hands over at once."""
GRACE: Final = 64 << 20
"""Below this many bytes out, no ratio is asked about: a small file of zeros shrinks as much as a bomb."""
_SPREAD: Final = 20
_LONGEST_NAME: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one outermost file may cost, whatever it holds.

    ``depth``: containers inside containers. ``members``: at all depths together. ``ratio``: bytes out for one byte of the
    outermost file, once over 64 MiB. ``size``: bytes of one member, or the outermost file's own size where that is more.
    ``total``: bytes out, at all depths together, or twenty times the outermost file's size where that is more. ``memory``: bytes
    of inner containers kept at once; a larger one is not kept but unpacked again where it is needed.
    """

    depth: int = 8
    members: int = 100_000
    ratio: int = 1_000
    size: int = 4 << 30
    total: int = 4 << 30
    memory: int = 64 << 20


class Member(NamedTuple):
    """A regular file in a container. ``path`` is what the container calls it: a text, never a place on this machine.

    ``size`` is what the container declares, None where it does not; ``modified`` is ISO 8601 UTC where the container says it;
    ``problem`` says why its content cannot be had, where that is known before reading.
    """

    path: str
    size: int | None
    modified: str | None
    problem: str | None


class Content(NamedTuple):
    """A member as its reader hands it over.

    ``number`` is its place in the container. ``open`` gives its bytes from the beginning, each time it is called, until the
    next member is asked for. ``window`` is ``(offset, length)`` in the container's stream where the bytes lie there as they are.
    """

    number: int
    member: Member
    open: Callable[[], Iterator[bytes]]
    window: tuple[int, int] | None = None


Tell = Callable[[str], None]
Reader = Callable[["View", str, "Budget", Tell], Iterator[Content]]


class BoundReached(ReadFailed):
    """One of :class:`Limits` was reached; nothing more is taken out of this outermost file."""


class TooLarge(ReadFailed):
    """One member is larger than a member may be; the others are still read."""


class Damaged(ReadFailed):
    """A container, or one of its members, is not as its format asks."""


def damaged(error: Exception) -> AmparoError | OSError:
    """What any reader raised, as an error of this house. Errors of the house, and of reading the source, stay as they are."""
    if isinstance(error, AmparoError | OSError):
        return error
    if isinstance(error, MemoryError):
        return ReadFailed("It asks for more memory than there is, so it was not read.")
    return Damaged("Its content is damaged.")


class Budget:
    """The account of one outermost file of ``outermost`` bytes."""

    def __init__(self, limits: Limits, outermost: int) -> None:
        self.limits = limits
        self.size = max(limits.size, outermost)
        self.total = max(limits.total, _SPREAD * outermost)
        self._fair = max(GRACE, limits.ratio * outermost)
        self.members = self.out = self.work = self.kept = 0

    def count_member(self) -> None:
        """One more member. Raises BoundReached."""
        if self.members >= self.limits.members:
            raise BoundReached(f"It holds more than {self.limits.members:,} members; those beyond were not read.")
        self.members += 1

    def spend(self, amount: int) -> None:
        """Bytes handed over. Raises BoundReached."""
        self.out += amount
        if self.out > self._fair:
            raise BoundReached(
                f"It unpacks to more than {self.limits.ratio:,} times its size, as an archive does that was made to do harm;"
                " the rest was not read."
            )
        if self.out > self.total:
            raise BoundReached(f"More than {self.total:,} bytes come out of it; the rest was not read.")

    def toil(self, amount: int) -> None:
        """Bytes unpacked only to get past them, or again. Raises BoundReached."""
        self.work += amount
        if self.work > 2 * self.total:
            raise BoundReached("Reaching what is inside takes more unpacking than is allowed; the rest was not read.")


class View:
    """A stretch of a seekable stream with a place of its own, so that several may read the same stream in turn."""

    def __init__(self, stream: IO[bytes], offset: int = 0, size: int | None = None) -> None:
        self.stream, self.offset = stream, offset
        self.size = stream.seek(0, io.SEEK_END) - offset if size is None else size
        self.at = 0

    def part(self, offset: int, size: int) -> View:
        """The view of ``size`` bytes at ``offset``, cut where this one ends."""
        offset = min(max(offset, 0), self.size)
        return View(self.stream, self.offset + offset, max(0, min(size, self.size - offset)))

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.at)
        wanted = left if size < 0 else min(size, left)
        if not wanted:
            return b""
        self.stream.seek(self.offset + self.at)
        data = self.stream.read(wanted)
        self.at += len(data)
        return data

    def take(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``offset``."""
        self.at = max(0, offset)
        return self.read(size) if size > 0 else b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = 0 if whence == io.SEEK_SET else self.at if whence == io.SEEK_CUR else self.size
        self.at = max(0, base + offset)
        return self.at

    def tell(self) -> int:
        return self.at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def pieces(self, step: int = PIECE) -> Iterator[bytes]:
        """From its beginning to its end."""
        at = 0
        while at < self.size:
            data = self.take(at, step)
            if not data:
                raise Damaged("Its content ends too early.")
            at += len(data)
            yield data


class Again(Seekable):
    """A seekable stream over a content that is unpacked again for every step back, so that nothing need be kept.

    What is passed over counts as toil.
    """

    def __init__(self, open_it: Callable[[], Iterator[bytes]], size: int, budget: Budget) -> None:
        super().__init__(size)
        self._open, self._budget = open_it, budget
        self._pieces = open_it()
        self._piece, self._begin = b"", 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        if self._at < self._begin:
            self._pieces = self._open()
            self._piece, self._begin = b"", 0
        while self._at >= self._begin + len(self._piece):
            piece = next(self._pieces, b"")
            if not piece:
                return 0
            self._begin += len(self._piece)
            self._piece = piece
            self._budget.toil(len(piece))
        start = self._at - self._begin
        data = self._piece[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def find(view: View, mark: bytes, at: int, end: int | None = None) -> int | None:
    """Where ``mark`` next begins, from ``at`` on. Looks near by first, so that many marks close together cost little each."""
    end = view.size if end is None else end
    step = 1 << 12
    while at < end:
        data = view.take(at, min(step, end - at))
        found = data.find(mark)
        if found >= 0:
            return at + found
        if len(data) < len(mark):
            return None
        at += len(data) - len(mark) + 1
        step = min(step << 1, PIECE)
    return None


MOST_DAMAGES: Final = 100
"""So many damaged places are told of one container; one with more is left."""


def name_of(raw: bytes, encoding: str = "utf-8") -> str:
    """A member's name as text that any database takes; bytes of no meaning in ``encoding`` are written ``\\xNN``."""
    try:
        return printable(raw.decode(encoding))
    except UnicodeDecodeError:
        return printable(raw.decode(encoding, "backslashreplace"))


def printable(name: str) -> str:
    """A name without lone surrogates, of at most 4,096 letters."""
    if not name.isascii():
        name = name.encode("utf-8", "backslashreplace").decode()
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def time_of(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 UTC; None where that is no date."""
    if seconds is None:
        return None
    try:
        when = _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
    return when.isoformat(timespec="microseconds" if when.microsecond else "seconds").replace("+00:00", "Z")


def filetime_of(ticks: int) -> str | None:
    """Tenths of microseconds since 1601 (FILETIME) as ISO 8601 UTC; None for 0 and for no date."""
    return time_of(ticks / 10_000_000 - 11_644_473_600) if ticks else None


def once(sentence: str) -> Callable[[], Iterator[bytes]]:
    """The ``open`` of a member that cannot be had."""

    def refuse() -> Iterator[bytes]:
        raise ReadFailed(sentence)
        yield b""

    return refuse
