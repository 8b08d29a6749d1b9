"""Exact look-ups: Amparo's index of known digests against SQLite with an index on the digest, in the same run.

    python benchmarks/known.py --part lists

The list is a CSV of MD5, SHA-1, category and entry; both sides read it from disk. Half of the digests asked for are known.
"""

from __future__ import annotations

import csv
import hashlib
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from amparo.known.index import KnownIndex

ASKED = 1_000_000
ASKED_ONE_BY_ONE = 100_000


def run(peers: Path, quick: bool = False) -> None:
    """SQLite is part of Python: nothing is asked of ``peers``."""
    entries = 100_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listed = folder / "list.csv"
        with listed.open("w", encoding="ascii") as out:
            out.write("md5,sha1,category,entry\n")
            for n in range(entries):
                name = str(n).encode()
                out.write(f"{hashlib.md5(name).hexdigest()},{hashlib.sha1(name).hexdigest()},{n % 4},{n}\n")
        step = max(1, entries // (ASKED // 2))
        names = [n * step % entries if side else entries + n for n in range(ASKED // 2) for side in (0, 1)]
        digests = [hashlib.sha1(str(n).encode()).digest() for n in names]
        asked = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 20)

        begin = time.perf_counter()
        KnownIndex.build([listed], folder / "index")
        built = time.perf_counter() - begin
        begin = time.perf_counter()
        index = KnownIndex.open(folder / "index")
        opened = time.perf_counter() - begin
        index.lookup_many(asked)
        begin = time.perf_counter()
        found = int((index.lookup_many(asked) >= 0).sum())
        batch = ASKED / (time.perf_counter() - begin)
        begin = time.perf_counter()
        hits = sum(bool(index.lookup(sha1=digest)) for digest in digests[:ASKED_ONE_BY_ONE])
        single = ASKED_ONE_BY_ONE / (time.perf_counter() - begin)
        size = sum(path.stat().st_size for path in (folder / "index").iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        begin = time.perf_counter()
        peer = sqlite3.connect(folder / "peer.sqlite")
        peer.execute("create table known(md5 blob, sha1 blob, category text, entry text)")
        with listed.open(encoding="ascii", newline="") as stream:
            rows = csv.reader(stream)
            next(rows)
            peer.executemany(
                "insert into known values (?, ?, ?, ?)",
                ((bytes.fromhex(m), bytes.fromhex(s), c, e) for m, s, c, e in rows),
            )
        peer.execute("create index by_md5 on known(md5)")
        peer.execute("create index by_sha1 on known(sha1)")
        peer.commit()
        peer_built = time.perf_counter() - begin
        query = "select category, entry from known where sha1 = ?"
        begin = time.perf_counter()
        peer_hits = sum(bool(peer.execute(query, (digest,)).fetchall()) for digest in digests[:ASKED_ONE_BY_ONE])
        peer_single = ASKED_ONE_BY_ONE / (time.perf_counter() - begin)
        peer_size = (folder / "peer.sqlite").stat().st_size
        if hits != peer_hits or abs(found - ASKED // 2) > step:
            sys.exit(f"The answers differ: {hits} and {peer_hits}, {found} of {ASKED}.")

    print(f"{entries:,} entries; ours against sqlite3 {sqlite3.sqlite_version}")
    print(f"build       {built:8.2f} s     {peer_built:8.2f} s     {peer_built / built:6.1f} x")
    print(f"size        {size / 1e6:8.0f} MB    {peer_size / 1e6:8.0f} MB    {peer_size / size:6.1f} x")
    print(f"one by one  {single:8,.0f} /s   {peer_single:8,.0f} /s   {single / peer_single:6.1f} x")
    print(f"in a batch  {batch:8,.0f} /s   {peer_single:8,.0f} /s   {batch / peer_single:6.1f} x")
    print(f"open {opened * 1000:.1f} ms; peak memory before the peer, list generation included, {peak:,.0f} MB")
