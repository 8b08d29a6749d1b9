"""The National Software Reference Library: what is ordinary, so that nobody needs to look at it.

RDSv3 is an SQLite database: a table or a view ``FILE`` with ``sha256``, ``sha1``, ``md5``; in the full set ``FILE`` is a
view over the table ``METADATA``, which holds each content once and is read instead. RDSv2 is CSV: ``"SHA-1","MD5",
"CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"``; files marked ``M`` (malicious) are not good
and are skipped. Source: NIST, "Data Formats of the NSRL Reference Data Set Distribution" (2009), "RDSv3" (2022).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from urllib.parse import quote

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import KINDS, Claim, Tally
from amparo.known.lists.columns import Columns, Header
from amparo.known.lists.source import ListFile

_MAGIC = b"SQLite format 3\x00"
_BATCH = 10_000
_STEPS = 1_000_000
_PATIENCE = 300.0  # seconds without a row; a view can be written so that it never gives one


class Rds3:
    """Reads the SQLite database of RDSv3."""

    format, good = "NSRL RDSv3", True
    scheme: str | None = None

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        tally.unit = "row"
        try:
            database = sqlite3.connect(f"file:{quote(str(source.path.absolute()))}?mode=ro&immutable=1", uri=True)
        except sqlite3.Error:
            raise UsedWrongly(f"The list {source.path} cannot be opened as a database: ask for it again.") from None
        try:
            yield from _rows(database, source, tally)
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise UsedWrongly(
                f"The list {source.path} is damaged after row {tally.read} ({error}): ask for it again."
            ) from None
        finally:
            database.close()


class Rds2(Columns):
    """Reads ``NSRLFile.txt`` of RDSv2."""

    format, good = "NSRL RDSv2", True

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        md5, sha1, sha256, special = (self.header.place(name) for name in (*KINDS, "specialcode"))
        for number, row in self.header.rows(source, tally):
            if special is not None and row[special].strip().upper() == "M":
                tally.skip(number, "the file is marked as malicious, so it is not good")
                continue
            claim = tally.claim(number, *(row[place] if place is not None else None for place in (md5, sha1, sha256)))
            if claim:
                yield claim


def recognise(opening: bytes) -> Rds3 | None:
    """A reader, where the file is an SQLite database."""
    return Rds3() if opening.startswith(_MAGIC) else None


def recognise_columns(header: Header) -> Rds2 | None:
    """A reader, where the header is that of ``NSRLFile.txt``."""
    return Rds2(header) if {"sha1", "productcode", "specialcode"} <= set(header.names) else None


def _rows(database: sqlite3.Connection, source: ListFile, tally: Tally) -> Iterator[Claim]:
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 20)
    database.execute("pragma trusted_schema = off")
    moved = [time.monotonic()]
    database.set_progress_handler(lambda: int(time.monotonic() - moved[0] > _PATIENCE), _STEPS)
    query = _query(database, source)
    cursor = database.execute(query)
    number, last = 0, None
    while rows := cursor.fetchmany(_BATCH):
        moved[0] = time.monotonic()
        for row in rows:
            number += 1
            if row == last:  # the same content under another name or in another package
                continue
            last = row
            claim = tally.claim(number, *(value if isinstance(value, str) else None for value in row))
            if claim:
                yield claim


def _query(database: sqlite3.Connection, source: ListFile) -> str:
    """What to ask the database: the digests of the table that holds each content once, in the order of an index if it has one."""
    kinds = {name.upper(): kind for name, kind in database.execute("select name, type from sqlite_master")}
    chosen = "METADATA" if kinds.get("FILE") == "view" and kinds.get("METADATA") == "table" else "FILE"
    for table in (chosen, "FILE"):
        columns = {row[1].lower() for row in database.execute(f"pragma table_info({table})")}
        if columns & set(KINDS):
            break
    else:
        raise UsedWrongly(
            f"The database {source.path} has no table FILE with sha256, sha1 or md5: is it the NSRL's RDSv3?"
        )
    wanted = ", ".join(kind if kind in columns else "null" for kind in KINDS)
    query = f"select {wanted} from {table}"  # noqa: S608  both come from the constants above
    by = next(kind for kind in ("sha256", "sha1", "md5") if kind in columns)
    ordered = f"{query} order by {by}"
    plan = " ".join(str(row[3]) for row in database.execute(f"explain query plan {ordered}"))
    return query if "TEMP B-TREE" in plan else ordered
