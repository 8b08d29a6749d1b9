"""Three digests of every file, live and deleted: Amparo against what an examiner would use instead, in the same run.

    python benchmarks/search.py [--quick] [--keep FOLDER]

Generates a disk of 30,000 files (1.5 GB, 1,000 of them deleted) as raw NTFS, raw ext4 and E01, and prints the median of
five runs of each tool, in turn, ratios, the hashing floor, and the peak memory; then time and memory at 3,000, 30,000 and 300,000
files. Needs root (to mount what it generates) and Debian's packages, which it installs where it may.

What is timed of Amparo is the whole command, from the order to the seal and the HTML report; the line below it is the part
that the peers do, from the survey of the medium to the last digest. What no peer does (carving, archives, the digest of the
whole medium, the PDF) is left out of the first tables and timed by itself at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from amparo.digests import woven  # noqa: E402
from amparo.evidence.order import example  # noqa: E402
from benchmarks import disks  # noqa: E402

AMPARO = [str(Path(sys.executable).with_name("amparo"))]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
DIGESTS_ONLY = ["--no-carve", "--no-inside", "--no-fingerprints", "--no-pdf", "--source-digest", "none"]
RUNS = 5


def _warm(image: Path) -> None:
    for part in sorted(image.parent.glob(f"{image.stem}.[Eer]*")):
        with part.open("rb") as content:
            while content.read(1 << 22):
                pass


def _timed(command: Callable[[], None], warm: Path | None = None) -> float:
    """Seconds. Before, ``warm`` and its parts are read, so that every tool finds them in memory."""
    if warm is not None:
        _warm(warm)
    os.sync()  # what the run before left to be written is not this one's work
    began = time.perf_counter()
    command()
    return time.perf_counter() - began


def _run(*command: str, codes: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode not in codes:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")


def floor(total: int) -> float:
    """Seconds that the three digests of so many bytes cost by OpenSSL alone, shared by all cores."""
    block = os.urandom(64 << 20)
    cost = 0.0
    for name in ("md5", "sha1", "sha256"):
        best = min(_timed(lambda: hashlib.new(name, block).digest() and None) for _ in range(3))  # noqa: B023
        cost += best / len(block)
    return cost * total / len(os.sched_getaffinity(0))


class Bench:
    def __init__(self, work: Path) -> None:
        self.work = work
        self.order = work / "order.toml"
        self.order.write_text(example(date.today()))
        self.package = work / "package"

    def search(self, image: Path, *options: str) -> None:
        shutil.rmtree(self.package, ignore_errors=True)
        _run(
            *AMPARO,
            "search",
            str(image),
            "--order",
            str(self.order),
            "--out",
            str(self.package),
            *options,
            codes=(0, 5),
        )

    def files(self) -> dict[str, int]:
        database = sqlite3.connect(self.package / "data/evidence.sqlite")
        rows = database.execute("select state, count(*) from files where sha256 is not null group by state").fetchall()
        return dict(rows)

    def digests_only(self) -> float:
        """Seconds from the survey to the last digest, by the run's own clock."""
        database = sqlite3.connect(self.package / "data/evidence.sqlite")
        times = dict(database.execute("select key, value from run where key in ('started', 'finished')").fetchall())
        begun, ended = (datetime.fromisoformat(times[key]) for key in ("started", "finished"))
        return (ended - begun).total_seconds()

    def bytes_read(self) -> int:
        database = sqlite3.connect(self.package / "data/evidence.sqlite")
        return int(database.execute("select sum(size) from files where sha256 is not null").fetchone()[0])

    def memory(self, image: Path, *options: str) -> tuple[float, float]:
        """Seconds, and peak memory in MB: proportional set sizes of all processes together, sampled every 50 ms."""
        shutil.rmtree(self.package, ignore_errors=True)
        command = [*AMPARO, "search", str(image), "--order", str(self.order), "--out", str(self.package), *options]
        _warm(image)
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        peak = 0.0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, _memory_of_session(process.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        taken = time.perf_counter() - began
        done.set()
        thread.join()
        if code not in (0, 5):
            sys.exit(f"amparo search ended with {code}")
        return taken, peak


def _memory_of_session(session: int) -> float:
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[3]) != session:
                continue
            for line in (folder / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return total / 1024


def fiwalk(work: Path, image: Path) -> Callable[[], None]:
    def run() -> None:
        (work / "fiwalk.xml").unlink(missing_ok=True)
        _run("fiwalk", "-X", str(work / "fiwalk.xml"), str(image))

    return run


def recover_and_hash(work: Path, image: Path) -> Callable[[], None]:
    def run() -> None:
        shutil.rmtree(work / "recovered", ignore_errors=True)
        _run("tsk_recover", "-e", str(image), str(work / "recovered"))
        with (work / "hashdeep.txt").open("wb") as out:
            subprocess.run(["hashdeep", "-r", "-c", "md5,sha1,sha256", str(work / "recovered")], stdout=out, check=True)
        shutil.rmtree(work / "recovered")

    return run


def compare(
    bench: Bench, name: str, image: Path, peers: dict[str, Callable[[], None]], goals: dict[str, float]
) -> None:
    bench.search(image, *DIGESTS_ONLY)  # warms the cache for everybody
    counts, total = bench.files(), bench.bytes_read()
    parts: list[float] = []

    def search() -> None:
        bench.search(image, *DIGESTS_ONLY)
        parts.append(bench.digests_only())

    taken: dict[str, list[float]] = {}
    for _ in range(RUNS):  # in turn, so that what else the machine does meets all alike
        for tool, run in {"": search, **peers}.items():
            taken.setdefault(tool, []).append(_timed(run, image))
    ours, part, limit = statistics.median(taken[""]), statistics.median(parts), floor(total)
    print(
        f"\n{name}: {counts.get('live', 0):,} live and {counts.get('deleted', 0):,} deleted files read, {total / 1e6:,.0f} MB"
    )
    print(f"  amparo search, order to seal {ours:7.2f} s")
    print(f"  listing and digests of it    {part:7.2f} s")
    print(f"  hashing floor                {limit:7.2f} s")
    print(
        f"  listing and digests take {part / limit:.2f} × the floor (goal ≤ 1.35 for raw), all of it {ours / limit:.2f} ×"
    )
    for peer in peers:
        theirs = statistics.median(taken[peer])
        goal = f" (goal ≥ {goals[peer]})" if peer in goals else ""
        print(
            f"  {peer:<28} {theirs:7.2f} s   amparo is {theirs / ours:.2f} × as fast{goal}; its listing and digests {theirs / part:.2f} ×",
            flush=True,
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the files, and no growth table")
    options.add_argument("--keep", type=Path, help="a folder for the generated disks, used again the next time")
    options.add_argument("--part", choices=("all", "peers", "growth"), default="all")
    given = options.parse_args()
    _run("sh", str(ROOT / "scripts/system_packages.sh"), "test")
    files, deleted, size = (3_000, 100, 150_000_000) if given.quick else (30_000, 1_000, 1_500_000_000)
    with tempfile.TemporaryDirectory(prefix="amparo-bench-") as scratch:
        work = Path(scratch)
        where = given.keep or work
        where.mkdir(exist_ok=True)
        kernel = "woven" if woven() else "one after another"
        print(f"{len(os.sched_getaffinity(0))} cores; digests {kernel}; medians of {RUNS} runs, warm cache")
        bench = Bench(work)
        ntfs = where / f"ntfs-{files}.raw"
        if not ntfs.exists():
            disks.make(ntfs, "ntfs", files, deleted, size)
        if given.part in ("all", "peers"):
            ext4 = where / f"ext4-{files}.raw"
            if not ext4.exists():
                disks.make(ext4, "ext4", files, deleted, size)
            peers(bench, ntfs, ext4)
        if given.part in ("all", "growth"):
            growth(bench, where, ntfs, (3_000, 30_000) if given.quick else (3_000, 30_000, 300_000))


def peers(bench: Bench, ntfs: Path, ext4: Path) -> None:
    """The tables that hold Amparo against other tools."""
    work = bench.work
    ewf = ntfs.with_suffix(".E01")
    if not ewf.exists():
        target = ("-t", str(ewf.with_suffix("")), str(ntfs))
        _run("ewfacquire", "-u", "-q", "-f", "encase6", "-c", "fast", "-S", "2GiB", *target)
    for name, image in (("raw ntfs", ntfs), ("raw ext4", ext4)):
        compare(
            bench, name, image,
            {"fiwalk (MD5 and SHA-1 only)": fiwalk(work, image), "tsk_recover + hashdeep": recover_and_hash(work, image)},
            {"fiwalk (MD5 and SHA-1 only)": 2.5, "tsk_recover + hashdeep": 6.0},
        )  # fmt: skip
    compare(
        bench, "E01 (NTFS)", ewf,
        {"fiwalk (MD5 and SHA-1 only)": fiwalk(work, ewf), "ewfverify (MD5 of the medium)": lambda: _run("ewfverify", "-q", str(ewf))},
        {"fiwalk (MD5 and SHA-1 only)": 3.0, "ewfverify (MD5 of the medium)": 1.0},
    )  # fmt: skip


def growth(bench: Bench, where: Path, ntfs: Path, counts: tuple[int, ...]) -> None:
    """Time and memory as the number of files grows, and with everything switched on."""
    print("\nMemory of all processes together, and time, as the number of files grows (4 KB a file, ext4)")
    for count in counts:
        disk = where / f"growth-{count}.raw"
        if not disk.exists():
            disks.make(disk, "ext4", count, 0, count * 4096)
        taken, peak = bench.memory(disk, *DIGESTS_ONLY)
        print(
            f"  {count:>9,} files  {taken:7.2f} s  {taken / count * 1e6:6.0f} µs a file  peak {peak:5.0f} MB",
            flush=True,
        )
    taken, peak = bench.memory(ntfs, *DIGESTS_ONLY)
    print(f"  the NTFS disk above: {taken:.2f} s, peak {peak:.0f} MB (goal under 400)")
    taken, peak = bench.memory(ntfs)
    print(f"  the same with carving, archives, the medium's digest twice, PDF: {taken:.2f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
