"""The results of a run, and beside them the journal by which an interrupted one goes on: each thing comes exactly once.

Results are written first and reach the disk; then the journal says, in one transaction, which things they are of and how far
the file reaches. Whatever lies behind that place when a run goes on was written by one that died before it could say so, and
is cut off.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from amparo.errors import UsedWrongly

FORMAT, VERSION = "amparo-bulk-journal", 1
SECONDS = 0.5  # between commits: so much work at most is done again
MOST_PENDING = 10_000


class Journal:
    """Writes ``results``. Raises UsedWrongly where they are there and ``resume`` is not set, or are those of another run."""

    def __init__(self, results: Path, settings: dict[str, Any], resume: bool) -> None:
        self.results, self.path = results, results.with_name(f"{results.name}.journal")
        self.counts: dict[str, int] = {}
        self._pending: list[tuple[bytes]] = []
        self._last = time.monotonic()
        there = results.exists() or self.path.exists()
        if there and not resume:
            raise UsedWrongly(f"{results} is there already: choose another file, or give --resume to go on with it.")
        if there and not self.path.is_file():
            raise UsedWrongly(
                f"{results} has no journal {self.path} beside it, so nothing can go on: choose another file."
            )
        self._database, self._stream = self._opened(settings)
        self._resumed = self._database.execute("select exists (select 1 from done)").fetchone()[0] == 1

    def _opened(self, settings: dict[str, Any]) -> tuple[sqlite3.Connection, Any]:
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            database.execute("pragma locking_mode = exclusive")
            return database, self._agreed(database, json.dumps(settings, ensure_ascii=True, sort_keys=True))
        except BaseException as error:
            if database is not None:
                database.close()
            if isinstance(error, sqlite3.OperationalError):
                if "locked" in str(error):
                    raise UsedWrongly(
                        f"Another command writes {self.results} just now: wait until it has ended."
                    ) from None
                raise UsedWrongly(f"The results cannot be written at {self.results}: choose another place.") from None
            if isinstance(error, sqlite3.DatabaseError | KeyError | ValueError | AttributeError | TypeError):
                raise UsedWrongly(
                    f"The journal {self.path} is damaged, so nothing can go on: choose another file."
                ) from None
            if isinstance(error, OSError):
                raise UsedWrongly(f"The results cannot be written at {self.results}: {error.strerror}.") from None
            raise

    def _agreed(self, database: sqlite3.Connection, settings: str) -> Any:
        """The results, open behind what the journal answers for."""
        database.execute("begin exclusive")
        database.execute("create table if not exists state (key text primary key, value text) without rowid")
        database.execute("create table if not exists done (key blob primary key) without rowid")
        state = dict(database.execute("select key, value from state"))
        if not state:
            if self.results.exists() and self.results.stat().st_size:
                raise ValueError
            state = {"format": f"{FORMAT} {VERSION}", "settings": settings, "length": "0", "counts": "{}"}
            database.executemany("insert into state values (?, ?)", state.items())
        if state["format"] != f"{FORMAT} {VERSION}":
            raise UsedWrongly(f"The journal {self.path} was written by another version: choose another file.")
        if state["settings"] != settings:
            raise UsedWrongly(
                f"{self.results} are the results of other paths, another index or another radius: choose another file."
            )
        self.counts = {str(key): int(value) for key, value in json.loads(state["counts"]).items()}
        length = int(state["length"])
        stream = os.fdopen(os.open(self.results, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            if stream.seek(0, os.SEEK_END) < length:
                raise UsedWrongly(
                    f"{self.results} is shorter than its journal says, it was changed: choose another file."
                )
            stream.truncate(length)
            stream.seek(length)
            database.execute("commit")
        except BaseException:
            stream.close()
            raise
        return stream

    def has(self, key: bytes) -> bool:
        """Whether a run before this one has done it."""
        return self._resumed and (
            self._database.execute("select 1 from done where key = ?", (key,)).fetchone() is not None
        )

    def is_own(self, path: str) -> bool:
        """Whether a file is one of those that are written here, met again in the store."""
        own = os.path.realpath(self.results)
        return path in (own, f"{own}.journal", f"{own}.journal-journal")

    def keep(self, key: bytes, lines: list[dict[str, Any]]) -> None:
        """What came of one thing."""
        for line in lines:
            self._stream.write(encoded(line) + b"\n")
        self._pending.append((key,))
        if len(self._pending) >= MOST_PENDING or time.monotonic() - self._last > SECONDS:
            self.commit()

    def commit(self) -> None:
        """Let what was kept outlive this process, and a power cut."""
        if self._pending:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._database.execute("begin")
            self._database.executemany("insert or ignore into done values (?)", self._pending)
            state = {"length": str(self._stream.tell()), "counts": json.dumps(self.counts)}
            self._database.executemany("insert or replace into state values (?, ?)", state.items())
            self._database.execute("commit")
            self._pending.clear()
        self._last = time.monotonic()

    def close(self) -> None:
        """Commit, and let go of the files."""
        try:
            self.commit()
        finally:
            self._stream.close()
            self._database.close()


def encoded(line: dict[str, Any]) -> bytes:
    """One line of JSON; a name that is not UTF-8 keeps its surrogates, as escapes."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace")
