"""The working tables of a run: what is to be read, what was read, and how they become ``evidence.sqlite``.

Every unit of work is written in one transaction with its results, so a run that is killed goes on where it was. Each row
carries a ``key`` that depends on the source alone, never on which process was quicker: ordering by it gives the same
tables however often the run was interrupted.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from amparo.errors import UsedWrongly
from amparo.evidence import tables
from amparo.evidence.reading import Additions
from amparo.evidence.source.entry import Runs
from amparo.evidence.source.volumes import Volume
from amparo.evidence.task import FIRST, INLINE, LARGEST, LATER, Found, Inside, Row
from amparo.evidence.veil import Veil
from amparo.evidence.working_tables import COPY, WORK, in_source

if TYPE_CHECKING:
    from amparo.known.hits import Hit

KIB_OF_CACHE = 32 << 10  # else a listing's pages are written and read again before it is whole
PAGES_A_CHECKPOINT = 16_384  # of 4 KiB: each checkpoint waits for the disk, and a log of 64 MiB harms nobody


class Shard(NamedTuple):
    """Free runs of a volume; the files that begin before ``until`` are this shard's."""

    runs: Runs
    until: int


class Plan:
    """The working database of one run. Used by one process, the one that leads the run. Contents in it are covered by
    ``veil``; raises UsedWrongly where those that are there were covered by another."""

    def __init__(self, path: Path, veil: Veil | None = None) -> None:
        fresh = not path.exists()
        self.path = path
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute(f"pragma wal_autocheckpoint = {PAGES_A_CHECKPOINT}")
        self.database.execute(f"pragma cache_size = -{KIB_OF_CACHE}")
        if fresh or not self.database.execute("select 1 from sqlite_master").fetchone():
            self.database.executescript("begin;" + WORK + "commit;")
        self._readings: list[tuple[Any, ...]] = []
        self._veil = veil or Veil()
        if self["veil"] is None:
            self["veil"] = self._veil.cover(b"").hex()
        try:
            self._veil.uncover(bytes.fromhex(self["veil"] or ""))
        except ValueError:
            self.close()
            raise UsedWrongly(
                "This run was begun with another signing key: resume it with that one, or choose another --out."
            ) from None

    def close(self) -> None:
        self.database.close()

    def retire(self) -> None:
        """Delete the tables, whose evidence is on the disk, and close them: what closing still writes is not waited for."""
        for beside in ("", "-wal", "-shm"):
            Path(f"{self.path}{beside}").unlink(missing_ok=True)
        self.database.execute("pragma synchronous = off")
        self.database.close()

    def __getitem__(self, key: str) -> str | None:
        row = self.database.execute("select value from state where key = ?", (key,)).fetchone()
        return row[0] if row else None

    def __setitem__(self, key: str, value: str) -> None:
        self.database.execute("insert or replace into state values (?, ?)", (key, value))

    def begin(self) -> None:
        self.database.execute("begin immediate")

    def commit(self) -> None:
        if self._readings:
            self.database.executemany("insert or replace into readings values (?, ?, ?, ?, ?, ?, ?)", self._readings)
            self._readings.clear()
        self.database.execute("commit")

    def rollback(self) -> None:
        self._readings.clear()
        if self.database.in_transaction:  # a full disk has ended it already
            self.database.execute("rollback")

    def problem(self, stage: str, path: str | None, message: str, unit: str | None = None) -> None:
        self.database.execute("insert into problems values (?, ?, ?, ?)", (stage, path, message, unit))

    # Listing ----------------------------------------------------------------------------------------------------

    def add_volumes(self, volumes: Iterable[Volume]) -> None:
        self.database.executemany(
            "insert into volumes values (?, ?, ?, ?, ?, ?, ?, ?)",
            [(v.id, v.kind, v.parent, v.filesystem, v.label, v.offset, v.size, json.dumps(v.layers)) for v in volumes],
        )

    def volumes(self) -> list[Volume]:
        rows = self.database.execute(
            "select id, kind, offset, size, filesystem, label, parent, layers from volumes order by id"
        )
        return [
            Volume(
                id_,
                kind,
                offset,
                size,
                system,
                label,
                parent,
                tuple((what, which) for what, which in json.loads(layers)),
            )
            for id_, kind, offset, size, system, label, parent, layers in rows
        ]

    def forget_listing(self, volume: int) -> None:
        """Drop a listing that was cut in the middle, to begin it again."""
        self.database.execute("delete from files where volume = ?", (volume,))
        self.database.execute("delete from problems where unit = ?", (f"list {volume}",))

    def add_rows(self, rows: list[Row]) -> list[Row]:
        """Keep files as :func:`row_of` gives them; those that are most urgent are given back as :func:`task_of` takes them."""
        before = self.database.execute("select coalesce(max(id), 0) from files").fetchone()[0]
        self.database.executemany(
            "insert into files(key, volume, path, size, state, address, created, modified, accessed, changed, runs, inline, valid,"
            " problem, first, at, shift) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row if row[INLINE] is None else (*row[:INLINE], self._veil.cover(row[INLINE]), *row[INLINE + 1 :])
                for row in rows
            ),
        )
        return [
            (number, row[1], row[2], row[3], row[5], row[10], row[INLINE], row[12])
            for number, row in enumerate(rows, before + 1)
            if row[14] == FIRST and row[13] is None
        ]

    def add_shards(self, volume: Volume, shards: Iterable[Shard]) -> None:
        self.database.execute("delete from shards where volume = ?", (volume.id,))
        self.database.executemany(
            "insert into shards(volume, runs, until) values (?, ?, ?)",
            ((volume.id, json.dumps(shard.runs), shard.until) for shard in shards),
        )

    def live_runs(self, volume: int) -> array[int]:
        """Every run of the live files listed: offset and length in bytes of the volume, one run after another."""
        rows = self.database.execute(
            "select runs from files where volume = ? and state = 'live' and runs is not null", (volume,)
        )
        return array("q", (number for (runs,) in rows for run in json.loads(runs) for number in run))

    # Reading ----------------------------------------------------------------------------------------------------

    def tasks(self, last_urgency: int = LATER) -> Iterator[Row]:
        """The files not yet read as :func:`task_of` takes them, the urgent ones first, then by address on the medium."""
        reader = sqlite3.connect(self.path)
        try:
            rows = reader.execute(
                "select id, volume, path, size, address, runs, inline, valid from files where problem is null and parent is null"
                " and state in ('live', 'deleted', 'orphan') and first <= ? and id not in (select file from readings)"
                " order by first, at",
                (last_urgency,),
            )
            for row in rows:
                yield self.uncovered(row)
        finally:
            reader.close()

    def uncovered(self, row: Row) -> Row:
        """A row that :func:`task_of` takes, with its content as it is."""
        return row if row[6] is None else (*row[:6], self._veil.uncover(row[6]), *row[7:])

    def remaining(self, last_urgency: int = LATER) -> tuple[int, int]:
        """How many files are left to read, and their bytes."""
        row = self.database.execute(
            "select count(*), cast(total(size) as integer) from files where problem is null and parent is null and state in"
            " ('live', 'deleted', 'orphan') and first <= ? and id not in (select file from readings)",
            (last_urgency,),
        ).fetchone()
        return row[0], row[1]

    def add_reading(self, file: int, found: Found, known_good: str | None = None) -> None:
        """Keep a finding; it is in the table once the transaction is committed."""
        self._readings.append((file, *found[:5], known_good))

    def add_match(self, file: int, hit: Hit, quality: int | None = None) -> bool:
        """Keep what a list knows of a file, unless the same entry is kept for it already: by a digest, or for another page."""
        before = self.database.execute(
            "select method, distance from matches where file = ? and list = ? and entry is ? and category is ?",
            (file, hit.list, hit.entry, hit.category),
        ).fetchone()
        if before is not None and quality is not None:
            if before[0] == hit.method and hit.distance < before[1]:
                self.database.execute(
                    "update matches set distance = ?, quality = ? where file = ? and list = ? and entry is ? and category is ?",
                    (hit.distance, quality, file, hit.list, hit.entry, hit.category),
                )
            return False
        self.database.execute(
            "insert into matches values (?, ?, ?, ?, ?, ?, ?, ?)",
            (file, hit.list, hit.entry, hit.category, hit.method, hit.distance, quality, int(hit.contradicted)),
        )
        return True

    def add_additions(self, file: int, path: str, additions: Iterable[Additions]) -> None:
        """What the hooks found in a file's one reading."""
        number = 0
        for more in additions:
            self.database.executemany(
                "insert into matches values (?, ?, ?, ?, ?, ?, ?, 0)", [(file, *match) for match in more.matches]
            )
            if more.prints:
                self.database.executemany(
                    "insert into fingerprints values (?, ?, ?, ?, ?)",
                    [(file, p.frame, p.seconds, p.bits, p.quality) for p in more.prints],
                )
            for access in more.accesses:
                number += 1
                self.database.execute(
                    "insert into accesses values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (file, number, path, *access)
                )
            for sentence in more.problems:
                self.problem(more.stage, path, sentence)

    def add_inside(self, parent: int, member: Inside) -> int:
        """A member's row, under the file or the member that holds it."""
        key, volume, path = self.database.execute(
            "select key, volume, path from files where id = ?", (parent,)
        ).fetchone()
        cursor = self.database.execute(
            "insert into files(key, volume, path, size, state, address, modified, problem, first, at, parent)"
            " values (?, ?, ?, ?, 'inside', ?, ?, ?, 0, 0, ?)",
            (
                f"{key}/{member.trail[-1]:08d}", volume, f"{path}/{member.path}", min(member.size, LARGEST),
                "/".join(map(str, member.trail)), member.modified, member.found.problem, parent,
            ),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_carved(self, volume: Volume, offset: int, length: int, suffix: str) -> int:
        cursor = self.database.execute(
            "insert into files(key, volume, path, size, state, address, runs, first, at, shift)"
            " values (?, ?, ?, ?, 'carved', ?, ?, 0, ?, ?)",
            (
                f"1:{volume.id:06d}:{offset:020d}", volume.id, f"$Carved/{offset:012x}.{suffix}", length, str(offset),
                json.dumps([[offset, length]]), offset, volume.offset if volume.addressed else 0,
            ),
        )  # fmt: skip
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def carved_to_decode(self) -> list[tuple[Row, str]]:
        """Pictures and films among what was carved, as :func:`task_of` takes them, with their types; those not decoded yet."""
        rows = self.database.execute(
            "select id, volume, path, size, address, runs, inline, valid, mime from files f join readings r on r.file = f.id"
            " where state = 'carved' and (mime like 'image/%' or mime like 'video/%') and f.id not in (select file from decoded)"
            " order by f.key"
        )
        return [(row[:8], row[8]) for row in rows]

    def decoded(self, file: int) -> None:
        """Note that the fingerprints of a carved file were taken, or could not be."""
        self.database.execute("insert into decoded values (?)", (file,))

    def forget_nested_carvings(self) -> None:
        """Drop what was carved from inside a file that began in an earlier shard: it is a part, not a file."""
        self.begin()
        last: tuple[int, int] = (-1, 0)
        for file, volume, offset, length in self.database.execute(
            "select id, volume, at - shift, size from files where state = 'carved' order by volume, at"
        ).fetchall():
            if last[0] == volume and offset + length <= last[1]:
                inner = "with recursive nested(id) as (values(?) union select f.id from files f join nested n on f.parent = n.id)"
                for table, column in (
                    ("readings", "file"),
                    ("matches", "file"),
                    ("accesses", "file"),
                    ("fingerprints", "file"),
                    ("files", "id"),
                ):
                    self.database.execute(f"{inner} delete from {table} where {column} in nested", (file,))  # noqa: S608
            else:
                last = (volume, offset + length)
        self.commit()

    # The end ----------------------------------------------------------------------------------------------------

    def write_evidence(self, path: Path, run: dict[str, str]) -> None:
        """The contract's tables, in an order that depends on the source alone."""
        path.unlink(missing_ok=True)
        tables.create(path).close()
        work = self.database
        work.execute("attach ? as evidence", (str(path),))
        work.execute("pragma evidence.journal_mode = off")
        work.execute("pragma evidence.synchronous = off")  # the package is synced as a whole before it is sealed
        work.create_function("in_source", 2, in_source, deterministic=True)
        work.executescript(COPY)
        work.executemany("insert into evidence.run values (?, ?)", sorted(run.items()))
        for statement in tables.INDICES.split(";"):
            if statement.strip():
                work.execute(statement.replace("create index ", "create index evidence."))
        work.execute("detach evidence")
