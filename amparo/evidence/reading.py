"""One read, many consumers: a file's bytes pass once, and digests, type and every hook share them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from amparo.digests import Digests, Together
from amparo.errors import ReadFailed
from amparo.evidence.content_type import mime_of
from amparo.evidence.fingerprints import Print
from amparo.evidence.seekable import Seekable
from amparo.evidence.source.device import SECTOR, Device, missing_until
from amparo.evidence.source.entry import SPARSE, Runs

# Small enough that the three digests find the piece in the processor's cache, large enough that a call costs nothing.
PIECE = 1 << 20
HEAD = 4096
_ZEROS = bytes(PIECE)


@dataclass(slots=True)
class Reading:
    """What one pass over a file gave. ``size`` is the bytes that really came."""

    size: int
    digests: Digests
    mime: str | None
    additions: list[Additions] = field(default_factory=list)
    kept: io.BytesIO | None = None


class Match(NamedTuple):
    """A row for ``matches``, but for the file."""

    list: str
    entry: str | None
    category: str | None
    method: str
    distance: int
    quality: int | None


class Access(NamedTuple):
    """A row for ``accesses``, but for the file and its path."""

    time: str | None
    kind: str
    application: str | None
    account: str | None
    subject: str | None
    detail: str | None  # JSON
    locator: str | None
    parser: str
    recovered: int = 0


class Additions(NamedTuple):
    """What a consumer adds to the tables beyond digests and type. ``problems`` are sentences, of the stage ``stage``."""

    matches: tuple[Match, ...] = ()
    accesses: tuple[Access, ...] = ()
    problems: tuple[str, ...] = ()
    prints: tuple[Print, ...] = ()
    stage: str = "read"


class Consumer(Protocol):
    """Sees every piece of one file, in order, in the one read that also takes its digests."""

    def feed(self, piece: bytes) -> None: ...

    def finish(self) -> Additions: ...


MOST_KEPT = 128 << 20  # bytes of a content left in memory; of a member of an archive the size may not be known before

# Given path, size, type and first bytes, a hook says whether it wants this file, and then gives what consumes it. A desk
# that reads pictures or artefacts adds its own here when it is imported; hooks run inside the killable workers.
Hook = Callable[[str, int, str | None, bytes], Consumer | None]
HOOKS: dict[str, Hook] = {}


def read(
    pieces: Iterable[bytes],
    path: str,
    size: int,
    keep: Callable[[str | None], bool] | None = None,
    hooks: bool = True,
) -> Reading:
    """Read a content to its end. Whatever ``pieces`` raises passes through.

    ``keep`` is asked once the type is known; where it says so, a copy of the content is left in ``kept``, unless it is longer than
    MOST_KEPT. Without ``hooks`` nothing but digests and the type is taken.
    """
    digests = Together()
    told = 0
    mime: str | None = None
    consumers: list[Consumer] = []
    kept: io.BytesIO | None = None
    for piece in pieces:
        if not told:
            head = bytes(piece[:HEAD])
            mime = mime_of(head, path)
            if keep is not None and keep(mime):
                kept = io.BytesIO()
            for hook in HOOKS.values() if hooks else ():
                consumer = hook(path, size, mime, head)
                if consumer is not None:
                    consumers.append(consumer)
        digests.update(piece)
        told += len(piece)
        for consumer in consumers:
            consumer.feed(piece)
        if kept is not None:
            kept.write(piece)
            if told > MOST_KEPT:
                kept = None
    if not told:
        mime = mime_of(b"", path)
    additions = [consumer.finish() for consumer in consumers]
    return Reading(told, digests, mime, additions, kept)


def run_pieces(device: Device, runs: Runs, valid: int | None, lost: list[tuple[int, int]]) -> Iterable[bytes]:
    """The bytes of these runs, a piece at a time. Holes, and what lies past ``valid``, read as zeros.

    Sectors that the medium cannot give are added to ``lost`` as ``(offset, length)``, read as zeros, and their
    neighbours stay intact (NIST CFTT, disk imaging).
    """
    if len(runs) == 1:
        offset, length = runs[0]
        if 0 < length <= PIECE and offset != SPARSE and (valid is None or valid >= length):
            return (salvage(device, offset, length, lost),)  # nearly every file
    return _many_pieces(device, runs, valid, lost)


def _many_pieces(device: Device, runs: Runs, valid: int | None, lost: list[tuple[int, int]]) -> Iterator[bytes]:
    left = valid if valid is not None else 1 << 63
    for offset, length in runs:
        at = 0
        while at < length:
            take = min(PIECE, length - at)
            if offset == SPARSE or left <= 0:
                yield _ZEROS if take == PIECE else bytes(take)
            else:
                whole = min(take, left)
                data = salvage(device, offset + at, whole, lost)
                yield data if whole == take else data + bytes(take - whole)
            at += take
            left -= take


def salvage(device: Device, offset: int, length: int, lost: list[tuple[int, int]]) -> bytes:
    """The range, with zeros for the sectors that cannot be read; those are added to ``lost``."""
    try:
        data = device.read(offset, length)
        if len(data) == length:
            return data
        lost.append((offset + len(data), length - len(data)))
        return data + bytes(length - len(data))
    except ReadFailed:
        missing = min(missing_until(device, offset) - offset, length)
        if length <= SECTOR or missing == length:
            if lost and lost[-1][0] + lost[-1][1] == offset:
                lost[-1] = (lost[-1][0], lost[-1][1] + length)
            else:
                lost.append((offset, length))
            return bytes(length)
    half = missing or (length // 2 + SECTOR - 1) // SECTOR * SECTOR
    return salvage(device, offset, half, lost) + salvage(device, offset + half, length - half, lost)


class RunsFile(Seekable):
    """A seekable view of a content, for readers of archives."""

    def __init__(self, device: Device, runs: Runs, size: int, valid: int | None) -> None:
        super().__init__(size)
        self._device, self._runs = device, runs
        self._valid = size if valid is None else valid

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at, PIECE)
        if wanted <= 0:
            return 0
        start = 0
        for offset, length in self._runs:
            if self._at < start + length:
                inner = self._at - start
                take = min(wanted, length - inner)
                known = max(0, min(take, self._valid - self._at))
                if offset == SPARSE or not known:
                    data = bytes(take)
                else:
                    data = salvage(self._device, offset + inner, known, []) + bytes(take - known)
                buffer[:take] = data
                self._at += take
                return take
            start += length
        return 0
