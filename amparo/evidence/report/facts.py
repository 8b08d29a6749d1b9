"""What the report states, read from ``evidence.sqlite``: values only, no words of any language.

Every count is taken from the tables themselves. What a damaged or foreign database lacks is None or empty; only a file that
is no such database is refused.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from amparo.errors import PackageWrong
from amparo.evidence import tables

STATES = ("live", "deleted", "orphan", "carved", "inside")
UNREAD, EMPTY, OTHER = "unread", "empty", "other"
_MOST_REASONS = 10


class Tally(NamedTuple):
    """How many files, and their bytes."""

    key: str
    files: int
    size: int


class Volume(NamedTuple):
    """A row of ``volumes`` with the files counted in it; ``layers`` by name, outermost first."""

    id: int
    kind: str
    parent: int | None
    filesystem: str | None
    label: str | None
    offset: int | None
    size: int | None
    layers: tuple[str, ...]
    files: int


class KnownList(NamedTuple):
    """A list that was used, as ``run.lists`` describes it."""

    name: str
    format: str
    good: bool
    sha256: str
    entries: int
    skipped: int


class MatchedList(NamedTuple):
    """A list that matched: rows of ``matches``, files, and files by category, in the order of the categories."""

    name: str
    rows: int
    files: int
    categories: tuple[tuple[str | None, int], ...]


@dataclass(frozen=True)
class Facts:
    """Everything of the report but its long lists, which are read as they are written."""

    run: dict[str, str]
    order: dict[str, Any]
    options: dict[str, Any]
    volumes: tuple[Volume, ...]
    by_state: tuple[Tally, ...]
    by_kind: tuple[Tally, ...]
    digested: int
    ordinary: int
    incomplete: int
    reasons: tuple[tuple[str, int], ...]
    matched: tuple[MatchedList, ...]
    matched_files: int
    contradicted: int
    methods: frozenset[str]
    stages: tuple[tuple[str, int], ...]
    gathered: int
    gathered_size: int
    accesses: int
    pictures: int  # of which fingerprints were taken
    films: int
    review: (
        int | None
    )  # contents of pictures and films that nobody has judged yet; None in a package of before that was noted
    lists: tuple[KnownList, ...]
    interrupted: tuple[datetime, ...]
    digest: str = field(default="")  # SHA-256 of the database, lower hex

    @property
    def files(self) -> int:
        return sum(tally.files for tally in self.by_state)

    @property
    def size(self) -> int:
        return sum(tally.size for tally in self.by_state)

    @property
    def problems(self) -> int:
        return sum(count for _, count in self.stages)

    @property
    def training(self) -> bool:
        return bool(self.order.get("training"))

    def moment(self, key: str) -> datetime | None:
        """A time of ``run``."""
        return moment(self.run.get(key))

    def day(self, key: str) -> date | None:
        """A day of the order."""
        try:
            return date.fromisoformat(str(self.order.get(key)))
        except ValueError:
            return None

    def number(self, key: str) -> int | None:
        """A number of ``run``."""
        value = self.run.get(key, "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


def open_facts(path: Path) -> sqlite3.Connection:
    """The database, read-only; text that is no UTF-8 keeps its bytes as ``\\xNN``. Raises PackageWrong where it is none."""
    try:
        database = tables.open_read_only(path)
        database.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
        database.execute("select 1 from run, files, matches, problems, volumes limit 1").fetchone()
    except sqlite3.Error as error:
        raise PackageWrong(f"{path} does not hold the tables of an examination ({error}): search again.") from None
    return database


def read_facts(database: sqlite3.Connection, path: Path) -> Facts:
    """Read everything but the long lists. ``path`` is the database's file, for its digest."""
    run = {
        str(key): "" if value is None else str(value) for key, value in database.execute("select key, value from run")
    }
    states: dict[str, list[int]] = {state: [0, 0] for state in STATES}
    kinds: dict[str, list[int]] = {}
    digested = ordinary = incomplete = 0
    for state, mime, empty, count, size, with_digest, known, wrong in database.execute(
        "select state, mime, size = 0, count(*), total(max(size, 0)), count(sha256), count(known_good), count(problem) from files"
        " group by 1, 2, 3"
    ):
        for tally in (states.setdefault(state, [0, 0]), kinds.setdefault(family_of(mime, bool(empty)), [0, 0])):
            tally[0] += count
            tally[1] += int(size)
        digested += with_digest
        ordinary += known
        incomplete += wrong
    order = _object(run.get("order"))
    gathered = _row(database, "select count(*), coalesce(sum(size), 0) from gathered", (0, 0))
    return Facts(
        run=run,
        order=order,
        options=_object(run.get("options")),
        volumes=tuple(_volumes(database)),
        by_state=tuple(Tally(state, *tally) for state, tally in states.items() if tally[0]),
        by_kind=tuple(sorted((Tally(kind, *tally) for kind, tally in kinds.items()), key=lambda t: (-t.files, t.key))),
        digested=digested,
        ordinary=ordinary,
        incomplete=incomplete,
        reasons=tuple(
            (str(problem), count)
            for problem, count in database.execute(
                "select problem, count(*) from files where problem is not null group by 1 order by 2 desc, 1 limit ?",
                (_MOST_REASONS,),
            )
        ),
        matched=tuple(_matched(database)),
        matched_files=_row(database, "select count(distinct file_id) from matches", (0,))[0],
        contradicted=_row(database, "select count(*) from matches where contradicted", (0,))[0],
        methods=frozenset(str(method) for (method,) in database.execute("select distinct method from matches")),
        stages=tuple(_stages(database)),
        gathered=gathered[0],
        gathered_size=gathered[1],
        accesses=_row(database, "select count(*) from accesses", (0,))[0],
        pictures=_row(database, "select count(distinct file_id) from fingerprints where seconds is null", (0,))[0],
        review=_review(database),
        films=_row(database, "select count(distinct file_id) from fingerprints where seconds is not null", (0,))[0],
        lists=tuple(_lists(run.get("lists"))),
        interrupted=tuple(found for value in array_of(run.get("interrupted")) if (found := moment(value)) is not None),
        digest=_digest(path),
    )


def family_of(mime: str | None, empty: bool) -> str:
    """The family of ``kinds.toml`` that a content type is counted in."""
    if empty:
        return EMPTY
    if not mime:
        return UNREAD
    return next((kind for kind, starts in _families() if mime.startswith(starts)), OTHER)


def moment(value: object) -> datetime | None:
    """An aware time from ISO 8601, or None where it is none."""
    try:
        read = datetime.fromisoformat(str(value))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# Numbers as numbers, before words, before none.
BY_CATEGORY = "m.category is null, m.category glob '[^0-9]*', cast(m.category as integer), m.category"


def _matched(database: sqlite3.Connection) -> Iterator[MatchedList]:
    for name, rows, found in database.execute(
        "select list, count(*), count(distinct file_id) from matches group by 1 order by 3 desc, 1"
    ).fetchall():
        categories = database.execute(
            "select m.category, count(distinct m.file_id) from matches m where m.list = ? group by 1"  # noqa: S608
            f" order by {BY_CATEGORY}",
            (name,),
        )
        yield MatchedList(name, rows, found, tuple((category, count) for category, count in categories))


def _stages(database: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    yield from database.execute("select stage, count(*) from problems group by 1 order by min(id)")


def _volumes(database: sqlite3.Connection) -> Iterator[Volume]:
    counts = dict(database.execute("select volume, count(*) from files group by 1").fetchall())
    for row in database.execute("select * from volumes order by id"):
        layers = tuple(
            str(layer[0] if isinstance(layer, list) and layer else layer) for layer in array_of(row["layers"])
        )
        yield Volume(
            row["id"], row["kind"], row["parent"], row["filesystem"], row["label"], row["offset"], row["size"], layers,
            counts.get(row["id"], 0),
        )  # fmt: skip


def _lists(value: str | None) -> Iterator[KnownList]:
    for known in array_of(value):
        if isinstance(known, dict):
            skipped = _whole(known.get("skipped")) + _whole(known.get("empty"))
            yield KnownList(
                str(known.get("list", "")), str(known.get("format", "")), bool(known.get("good")),
                str(known.get("sha256", "")), _whole(known.get("entries")), skipped,
            )  # fmt: skip


@cache
def _families() -> tuple[tuple[str, tuple[str, ...]], ...]:
    table = tomllib.loads(files(__package__).joinpath("kinds.toml").read_text("utf-8"))
    return tuple((kind, tuple(starts)) for kind, starts in table.items())


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _object(value: str | None) -> dict[str, Any]:
    read = _json(value)
    return read if isinstance(read, dict) else {}


def array_of(value: str | None) -> list[Any]:
    read = _json(value)
    return read if isinstance(read, list) else []


def _json(value: str | None) -> Any:
    try:
        return json.loads(value) if value else None
    except (ValueError, RecursionError):
        return None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _review(database: sqlite3.Connection) -> int | None:
    found = _row(database, "select count(distinct sha256) from files where review", (-1,))[0]
    return None if found < 0 else found


def _row(database: sqlite3.Connection, query: str, absent: tuple[int, ...]) -> tuple[int, ...]:
    rows = rows_of(database, query)
    return tuple(rows[0]) if rows else absent


def rows_of(database: sqlite3.Connection, query: str) -> list[Any]:
    """The rows, or none where an older database has no such table."""
    try:
        return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
