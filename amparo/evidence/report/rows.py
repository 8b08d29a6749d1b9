"""The long lists of the report, read from ``evidence.sqlite`` row by row as they are written, never held as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from amparo.evidence.report.facts import BY_CATEGORY, array_of, rows_of

_DEEPEST = 64  # holders followed upwards; a database that goes in circles is not followed for ever


@dataclass(frozen=True)
class Place:
    """Where content lies in the source: first byte and number of extents."""

    offset: int
    extents: int


@dataclass(frozen=True)
class Match:
    """One row of ``matches`` with its file; ``holders`` are the paths of what it is inside of, outermost first, and
    ``place`` is then the outermost holder's."""

    file: int
    path: str | None
    state: str
    size: int
    md5: str | None
    sha1: str | None
    sha256: str | None
    mime: str | None
    modified: str | None
    problem: str | None
    volume: int
    place: Place | None
    holders: tuple[str, ...]
    gathered: bool
    entry: str | None
    category: str | None
    method: str
    distance: int
    quality: int | None
    contradicted: bool  # a stronger digest of the same entry differs


def matches_of(database: sqlite3.Connection, name: str, most: int | None = None) -> Iterator[Match]:
    """The matches of one list, the lowest category first, then as the files lie."""
    gathered = {file for (file,) in rows_of(database, "select file_id from gathered")}
    rows = database.execute(
        "select m.*, f.path, f.state, f.size, f.md5, f.sha1,"  # noqa: S608 - the order is ours
        " f.sha256, f.mime, f.modified, f.problem, f.volume, f.extents, f.parent from matches m"
        " left join files f on f.id = m.file_id where m.list = ?"
        f" order by {BY_CATEGORY}, m.file_id, m.method, m.entry, m.rowid limit ?",
        (name, -1 if most is None else most),
    )
    for row in rows:
        holders, place = _holders(database, row["parent"])
        yield Match(
            row["file_id"], row["path"], row["state"] or "", row["size"] or 0, row["md5"], row["sha1"], row["sha256"], row["mime"],
            row["modified"], row["problem"], row["volume"] or 0, place if holders else _place(row["extents"]), holders,
            row["file_id"] in gathered, row["entry"], row["category"], row["method"], row["distance"] or 0, row["quality"],
            "contradicted" in row.keys() and bool(row["contradicted"]),  # noqa: SIM118 - a Row has values where a dict has keys
        )  # fmt: skip


def problems_of(database: sqlite3.Connection, stage: str, most: int) -> Iterator[tuple[str | None, str]]:
    """The first problems of one stage: ``(path, message)``."""
    yield from database.execute("select path, message from problems where stage = ? order by id limit ?", (stage, most))


def contents(database: sqlite3.Connection, most: int | None = None) -> Iterator[sqlite3.Row]:
    """What was gathered: ``path``, ``size``, ``sha256``, ``reason``, ``name``."""
    yield from database.execute(
        "select f.path, g.size, g.sha256, g.reason, g.name from gathered g left join files f on f.id = g.file_id"
        " order by g.file_id, g.name limit ?",
        (-1 if most is None else most,),
    )


def _holders(database: sqlite3.Connection, parent: int | None) -> tuple[tuple[str, ...], Place | None]:
    paths: list[str] = []
    place = None
    while parent is not None and len(paths) < _DEEPEST:
        row = database.execute("select path, extents, parent from files where id = ?", (parent,)).fetchone()
        if row is None:
            break
        paths.append(str(row["path"]))
        place, parent = _place(row["extents"]), row["parent"]
    return tuple(reversed(paths)), place


def _place(extents: str | None) -> Place | None:
    runs = array_of(extents)
    first = runs[0] if runs else None
    if isinstance(first, list) and first and isinstance(first[0], int):
        return Place(first[0], len(runs))
    return None
