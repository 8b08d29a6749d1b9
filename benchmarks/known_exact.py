"""Look-ups of digests in batches: ours against SQLite with an index on the digest, one thread each, in the same run.

    python benchmarks/known_exact.py [PEERS] [quick]

Twenty million SHA-1, a million where ``quick``; half of the digests asked for are known. SQLite is asked one by one with a
prepared statement and, which suits it better, by joining a table of the digests asked for. The time is the processor's, of
one thread.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from amparo.known import table
from amparo.known.table import DigestTable, bits_for, heads_of

ASKED = 2_000_000
ASKED_OF_SQLITE = 200_000


def run(peers: Path, quick: bool = False) -> None:
    """Nothing is needed of ``peers``: SQLite comes with Python."""
    rows = 1_000_000 if quick else 20_000_000
    chance = np.random.default_rng(rows)
    digests = chance.integers(0, 256, (rows, 20), dtype=np.uint8)
    asked = chance.integers(0, 256, (ASKED, 20), dtype=np.uint8)
    asked[::2] = digests[chance.integers(0, rows, ASKED // 2)]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        index, size = written(Path(scratch), digests)
        index.find_many(asked)
        ours = ASKED / min(timed(lambda: index.find_many(asked)) for _ in range(3))
        found = index.find_many(asked) >= 0
        quickly, table._find = table._find, None
        twin = ASKED / min(timed(lambda: index.find_many(asked)) for _ in range(2))
        same = np.array_equal(index.find_many(asked) >= 0, found)
        table._find = quickly
        print(f"{rows:,} SHA-1, {size / 1e6:,.0f} MB: {ours / 1e6:.1f} M look-ups a second in a batch "
              f"(10 M wanted); the twin in NumPy {twin / 1e6:.1f} M")  # fmt: skip

        database = sqlite3.connect(Path(scratch) / "peer.sqlite")
        database.execute("pragma journal_mode = off")
        database.execute("pragma cache_size = -2000000")
        database.execute("pragma mmap_size = 8000000000")
        database.execute("create table known(sha1 blob primary key) without rowid")
        order = np.argsort(heads_of(digests), kind="stable")
        for at in range(0, rows, 1 << 18):
            part = digests[order[at : at + (1 << 18)]]
            database.executemany("insert or ignore into known values (?)", ((row.tobytes(),) for row in part))
        database.commit()
        few = [row.tobytes() for row in asked[:ASKED_OF_SQLITE]]
        statement = "select 1 from known where sha1 = ?"
        begin = time.process_time()
        hits = [database.execute(statement, (digest,)).fetchone() is not None for digest in few]
        one_by_one = ASKED_OF_SQLITE / (time.process_time() - begin)
        database.execute("create temporary table asked(sha1 blob)")
        database.executemany("insert into asked values (?)", ((digest,) for digest in few))
        begin = time.process_time()
        joined = database.execute("select count(*) from asked join known using (sha1)").fetchone()[0]
        together = ASKED_OF_SQLITE / (time.process_time() - begin)
        print(f"  SQLite {sqlite3.sqlite_version}: {one_by_one / 1e6:.2f} M one by one, ours {ours / one_by_one:.0f} x "
              f"(50 wanted); {together / 1e6:.2f} M joined, ours {ours / together:.0f} x")  # fmt: skip
        if not same or hits != found[:ASKED_OF_SQLITE].tolist() or joined != sum(hits):
            sys.exit("The answers differ.")


def written(folder: Path, digests: np.ndarray) -> tuple[DigestTable, int]:
    """The files of a table, as amparo/known/binding.py writes them from lists, which known.py times."""
    rows, bits = len(digests), bits_for(len(digests))
    heads = heads_of(digests)
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    heads.tofile(folder / "sha1.heads")
    with (folder / "sha1.tails").open("wb") as out:
        for at in range(0, rows, 1 << 20):
            out.write(np.ascontiguousarray(digests[order[at : at + (1 << 20)], 8:]).data)
    order.astype(np.uint32).tofile(folder / "sha1.entries")
    prefixes = np.arange((1 << bits) + 1, dtype=np.uint64)
    np.searchsorted(heads >> np.uint64(64 - bits), prefixes).astype(np.uint32).tofile(folder / "sha1.directory")
    return DigestTable(folder, "sha1", 20, rows, bits), sum(path.stat().st_size for path in folder.iterdir())


def timed(work: object) -> float:
    begin = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - begin


if __name__ == "__main__":
    run(Path(), quick="quick" in sys.argv[1:])
