"""One thing examined, in a process that it may bring down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from amparo.errors import AmparoError, ReadFailed, UsedWrongly
from amparo.known.bulk import rows
from amparo.known.bulk.thing import Thing
from amparo.known.examining import Examined, Print, examine, look_up
from amparo.known.hits import Hit
from amparo.known.index import RADIUS, KnownIndex
from amparo.known.library import Library, is_library
from amparo.known.pictures.kind import HEAD, kind_of


class Asking(NamedTuple):
    """What is asked of every thing: what ``known``, an index, knows of it; or, where that is None, a picture's fingerprints."""

    known: Path | None
    radius: int = RADIUS


class Unit(NamedTuple):
    """``decode`` is off where a decoder was brought down by it; ``why`` says how. ``tries`` counts those that failed."""

    thing: Thing
    decode: bool = True
    why: str | None = None
    tries: int = 0


class Answer(NamedTuple):
    """What became of one thing; digests in lower hex, None where it could not be read or they were not asked for.

    A group of rows has ``rows`` of them, and those that are ``known``.
    """

    size: int
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None
    hits: tuple[Hit, ...] = ()
    prints: tuple[Print, ...] = ()
    problem: str | None = None
    rows: int | None = None
    known: tuple[rows.Known, ...] = ()


class Halt(NamedTuple):
    """Nothing more can be examined: the index is damaged, or the store cannot be reached any more."""

    sentence: str


class Examiner:
    """The opened index of one process."""

    def __init__(self, asking: Asking) -> None:
        self._radius = asking.radius
        self._index = None if asking.known is None else open_index(asking.known)

    def __call__(self, unit: Unit) -> Answer | Halt:
        """Never raises for what the thing holds."""
        try:
            if isinstance(unit.thing.place, rows.Group):
                return self._asked(unit.thing.place, unit.thing.size)
            with unit.thing.place.open() as stream:
                answer = self._fingerprinted(stream, unit) if self._index is None else self._matched(stream, unit)
        except UsedWrongly as error:
            return Halt(str(error))
        except (AmparoError, OSError, EOFError) as error:
            return Answer(0, problem=_why(error))
        why = unit.thing.flaw if unit.why is None else f"Only its digests were taken: {unit.why}."
        return answer if why is None else answer._replace(problem=why)

    def _matched(self, stream: BinaryIO, unit: Unit) -> Answer:
        assert self._index is not None
        found: Examined = examine(stream, unit.thing.name, unit.decode and self._index.has_fingerprints)
        hits = tuple(look_up(self._index, found, self._radius))
        return Answer(found.size, found.md5, found.sha1, found.sha256, hits, problem=found.problem)

    def _asked(self, group: rows.Group, size: int) -> Answer:
        assert self._index is not None
        known, count, unfit = rows.ask(group, self._index, self._radius)
        problem = f"{unfit} of its values are neither digests nor fingerprints, and were not asked." if unfit else None
        return Answer(size, problem=problem, rows=count, known=tuple(known))

    def _fingerprinted(self, stream: BinaryIO, unit: Unit) -> Answer:
        head = stream.read(HEAD)
        if kind_of(head) is None:
            return Answer(unit.thing.size)
        found = examine(cast(BinaryIO, _Rest(head, stream)), unit.thing.name, unit.decode)
        return Answer(found.size, found.md5, found.sha1, found.sha256, (), found.pictures, found.problem)


class _Rest:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head + self._stream.read(size) if head else self._stream.read(size)

    def seekable(self) -> bool:
        return False


def open_index(path: Path) -> KnownIndex:
    """The index in a folder, or one built of the list that is there. Raises UsedWrongly."""
    return Library(path).open() if is_library(path) else KnownIndex.build([path])


def prepare(asking: Asking) -> Callable[[Unit], Answer | Halt]:
    """Runs once in each worker process."""
    return Examiner(asking)


def _why(error: Exception) -> str:
    if isinstance(error, ReadFailed):
        return str(error)
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"It cannot be read: {why}."
