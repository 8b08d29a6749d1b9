"""Range search over fingerprints: ours against faiss as python-threatexchange sets it, one thread each, in the same run.

    python benchmarks/known_nearest.py PEERS [quick]      PEERS: an environment that has faiss-cpu

What is asked for is within 31 bits. Half of the questions are copies of a row with up to 40 bits flipped, half are strange.
faiss, which is slow, gets the first of the questions that ours gets; the time is the processor's, of one thread, so that
neighbours at work disturb it less, the least of three runs. Every answer of ours is held against a flat search by faiss, and,
for every question asked, on sets of several kinds, against looking at every row.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amparo.known.nearest import Hits, Living, Nearest, clusters

Hashes = npt.NDArray[np.uint8]
Ask = Callable[..., dict[str, Any]]
RADIUS = 31
WANTED = {"multi": 150, "flat": 60}
NAMES = {"multi": "IndexBinaryMultiHash 16 x 16, nflip 1", "flat": "IndexBinaryFlat"}


def run(peers: Path, quick: bool = False) -> None:
    """At a million and at ten million rows; ``quick`` at a tenth of that."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        for rows, asked_of_ours, asked_of_theirs in ((1_000_000, 20_000, 1000), (10_000_000, 20_000, 200)):
            if quick:
                rows //= 10
            against_faiss(Path(scratch), rows, asked_of_ours, asked_of_theirs, peers)
        kinds_of_sets(Path(scratch), 100_000 if quick else 1_000_000)
        living(Path(scratch), 100_000 if quick else 1_000_000)


@contextmanager
def peer(peers: Path) -> Iterator[Ask]:
    program = Path(__file__).with_name("known_nearest_peer.py")
    process = subprocess.Popen(
        [str(peers / "bin" / "python"), str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None

    def ask(**asked: Any) -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


def against_faiss(scratch: Path, rows: int, asked_of_ours: int, asked_of_theirs: int, peers: Path) -> None:
    folder = scratch / "index"
    folder.mkdir()
    hashes = np.random.default_rng(rows).integers(0, 256, (rows, 32), dtype=np.uint8)
    queries = questions(hashes, asked_of_ours, 1)
    np.save(scratch / "hashes.npy", hashes)
    np.save(scratch / "queries.npy", queries[:asked_of_theirs])
    del hashes
    given = np.load(scratch / "hashes.npy", mmap_mode="r")

    built, described = timed(lambda: Nearest.build(given, folder))
    begin = time.perf_counter()
    index = Nearest.open(folder, described)
    opened = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in folder.iterdir())
    index.within(queries[:2000])
    runs = [timed(lambda: index.within(queries)) for _ in range(3)]
    seconds, hits = min(runs, key=lambda run: run[0])
    ours = asked_of_ours / seconds
    scan = Nearest.of(index.hashes)
    scanned = 64 / min(timed(lambda: scan.within(queries[:64]))[0] for _ in range(2))
    print(f"\n{rows:,} rows, {len(index.bands)} bands: built in {built:.1f} s, {size / 1e6:,.0f} MB with the hashes,")
    print(f"opened in {opened * 1000:.1f} ms, {ours:,.0f} questions a second; looking at every row {scanned:,.0f}")

    first = Hits(*(column[: np.searchsorted(hits.query, asked_of_theirs)] for column in hits))
    wanted_pairs = set(zip(first.query.tolist(), first.row.tolist(), strict=True))
    for name in ("flat", "multi"):
        with peer(peers) as ask:  # a process for each, whose memory is its own
            made = ask(do="build", index=name, hashes=str(scratch / "hashes.npy"))
            into = str(scratch / "found.npz")
            times = [
                ask(do="search", index=name, queries=str(scratch / "queries.npy"), radius=RADIUS, into=into)
                for _ in range(2)
            ]
        theirs = asked_of_theirs / min(answer["busy"] for answer in times)
        found = np.load(into)
        asking = np.repeat(np.arange(asked_of_theirs), np.diff(found["limits"].astype(np.int64)))
        pairs = set(zip(asking.tolist(), found["rows"].tolist(), strict=True))
        print(
            f"  {NAMES[name]}, faiss {made['version']}: {theirs:,.1f} questions a second:"
            f" ours {ours / theirs:,.0f} x ({WANTED[name]} wanted at 10 M)\n"
            f"    built in {made['busy']:.1f} s, ours in {built / made['busy']:.2f} of it; {made['bytes'] / 1e6:,.0f} MB,"
            f" ours {size / made['bytes']:.2f} of it; {len(pairs):,} pairs, ours has {len(pairs & wanted_pairs):,} of these"
            f" and {len(wanted_pairs - pairs)} more",
            flush=True,
        )
        if name == "flat" and pairs != wanted_pairs:
            sys.exit("The answers differ.")
    shutil.rmtree(folder)


def kinds_of_sets(scratch: Path, rows: int) -> None:
    """Sets that are not spread evenly: the same answers as looking at every row, and what they cost."""
    chance = np.random.default_rng(5)
    random = chance.integers(0, 256, (rows, 32), dtype=np.uint8)
    one_band = random.copy()
    one_band[:, :2] = one_band[0, :2]
    half = random.copy()
    half[:, :16] = half[0, :16]
    sets = {
        "spread evenly": random,
        "clustered, ten copies each": flipped(random[chance.integers(0, rows // 10, rows)], 0.03, chance),
        "alike in one band": one_band,
        "alike in half of the bits": half,
        "all equal": np.broadcast_to(random[0], (rows, 32)),
    }
    print(f"\n{rows:,} rows of other kinds; recall is checked on every question")
    for name, hashes in sets.items():
        folder = scratch / "kind"
        folder.mkdir()
        index = Nearest.open(folder, Nearest.build(hashes, folder))
        queries = questions(hashes, 40 if name == "all equal" else 1000, 6)
        seconds, hits = timed(lambda index=index, queries=queries: index.within(queries))
        scan_seconds, expected = timed(lambda index=index, queries=queries: Nearest.of(index.hashes).within(queries))
        same = all(np.array_equal(one, other) for one, other in zip(hits, expected, strict=True))
        grouped = ""
        if not name.startswith("alike") or rows <= 100_000:  # alike, every row is held against nearly every other
            took, labels = timed(lambda index=index: clusters(index, RADIUS))
            grouped = f"; {len(np.unique(labels)):,} groups in {took:.1f} s"
        print(f"  {name}: {len(queries) / seconds:,.0f} questions a second (every row: {len(queries) / scan_seconds:,.0f}), "
              f"{len(hits.row):,} hits, {'all of them' if same else 'NOT THE SAME'}{grouped}", flush=True)  # fmt: skip
        shutil.rmtree(folder)
        if not same:
            sys.exit("The answers differ.")


def living(scratch: Path, rows: int) -> None:
    chance = np.random.default_rng(7)
    hashes = chance.integers(0, 256, (rows, 32), dtype=np.uint8)
    index = Living.create(scratch / "living")
    index.append(hashes[: rows - rows // 20])
    merged, _ = timed(index.merge)
    queries = questions(hashes, 10_000, 8)
    without = 10_000 / timed(lambda: index.within(queries))[0]
    begin = time.perf_counter()
    for at in range(rows - rows // 20, rows, 500):
        index.append(hashes[at : at + 500])
    appended = rows // 20 / (time.perf_counter() - begin)
    index.remove(range(0, 1000))
    with_tail = 10_000 / timed(lambda: index.within(queries))[0]
    print(f"\nA living index of {rows:,}: merged in {merged:.1f} s; {without:,.0f} questions a second without a tail, "
          f"{with_tail:,.0f} with one of {index.tail_rows:,}; {appended:,.0f} rows a second added, 500 at a time")  # fmt: skip


def questions(hashes: Hashes, count: int, seed: int) -> Hashes:
    chance = np.random.default_rng(seed)
    queries = chance.integers(0, 256, (count, 32), dtype=np.uint8)
    near = np.array(hashes[np.sort(chance.integers(0, len(hashes), count // 2))])
    for row, flips in zip(near, chance.integers(0, 41, count // 2), strict=True):
        bits = np.zeros(256, np.uint8)
        bits[chance.choice(256, flips, replace=False)] = 1
        row ^= np.packbits(bits)
    queries[::2][: count // 2] = chance.permutation(near)
    return queries


def flipped(hashes: Hashes, share: float, chance: np.random.Generator) -> Hashes:
    for at in range(0, len(hashes), 1 << 16):
        part = hashes[at : at + (1 << 16)]
        part ^= np.packbits(chance.random((len(part), 256), np.float32) < share, axis=1)
    return hashes


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The processor's seconds, and what the work gave."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


if __name__ == "__main__":
    run(Path(sys.argv[1]), quick="quick" in sys.argv[2:])
