"""Whole stores: two workers beside one, on this machine's cores and on the cluster engine; a worker that is killed; the engines.

    python benchmarks/known.py --part bulk

Times of a store are those of the work: workers are started, and have their index open, before the clock runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amparo.cluster import Cluster
from amparo.crew import Crew, Engine
from amparo.known.bulk.run import examined
from amparo.known.bulk.stores import open_stores
from amparo.known.bulk.worker import Asking, prepare
from amparo.known.index import KnownIndex
from amparo.known.picture import fingerprints
from benchmarks.known_corpus import photo

WANTED = 1.7
TIMES = 3


def run(peers: Path, quick: bool = False) -> None:
    """Everything, in turn."""
    with tempfile.TemporaryDirectory(prefix="amparo-bench-") as scratch:
        store, index = _store(Path(scratch), 10 if quick else 40, 5 if quick else 10)
        asking = Asking(index)
        print("A folder of 3-MP pictures against an index, files a second")
        print("  engine     1 worker   2 workers   ratio (wanted)   a worker killed   results")
        _line("cores", lambda count: Crew(count, prepare, asking), store)
        _line("cluster", lambda count: Cluster("local", count, prepare, asking), store)
    _engines(peers)


def _store(folder: Path, pictures: int, names: int) -> tuple[Path, Path]:
    """Some pictures, each under several names."""
    (folder / "store").mkdir()
    rows = ["pdq,category,entry"]
    for number in range(pictures):
        first = folder / "store" / f"{number:03}-0.jpg"
        photo(number, 2000, 1500).save(first, quality=87)
        for name in range(1, names):
            os.link(first, folder / "store" / f"{number:03}-{name}.jpg")
        if number % 5 == 0:
            rows.append(f"{fingerprints(first.read_bytes())[0].fingerprint.bits.hex()},1,e{number}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    KnownIndex.build([folder / "list.csv"], folder / "index")
    return folder / "store", folder / "index"


def _line(name: str, start: Callable[[int], Engine], store: Path) -> None:
    times: dict[int, float] = {1: float("inf"), 2: float("inf")}
    results: list[dict[str, Any]] = []
    killed = float("inf")
    engines = {}
    for count in times:
        engine = engines[count] = start(count)
        _timed(engine, store)  # every worker has its decoders loaded
        for _ in range(TIMES):
            took, found = _timed(engine, store)
            times[count] = min(times[count], took)
            results.append(found)
        if count == 2:
            killed, found = _timed(engine, store, victim_after=times[2] / 3)
            results.append(found)
        engine.dismiss()
    files = len(results[0])
    ratio = times[1] / times[2]
    same = "the same, each file once" if all(found == results[0] for found in results) else "DIFFERENT"
    print(
        f"  {name:8} {files / times[1]:9.0f} {files / times[2]:11.0f} {ratio:8.2f} ({WANTED})"
        f"      {killed:.2f} s of {times[2]:.2f}   {same}"
    )


def _timed(engine: Engine, store: Path, victim_after: float | None = None) -> tuple[float, dict[str, Any]]:
    if victim_after is not None:
        threading.Timer(victim_after, _kill_a_worker).start()
    found: dict[str, Any] = {}
    began = time.monotonic()
    for result in examined(open_stores([str(store)]), engine):
        thing, answer = result
        assert thing.name not in found, "examined twice"
        found[thing.name] = answer
    return time.monotonic() - began, found


def _kill_a_worker() -> None:
    """One of Ray's workers where there are some, else one of ours."""
    below = _below(os.getpid())
    workers = [pid for pid in below if Path(f"/proc/{pid}/comm").read_text().startswith("ray::_do")]
    ours = [pid for pid in _children(os.getpid()) if "python" in Path(f"/proc/{pid}/comm").read_text()]
    os.kill((workers or ours)[-1], signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except (OSError, ValueError):
            continue
    return found


def _below(pid: int) -> list[int]:
    children = _children(pid)
    return children + [pid for child in children for pid in _below(child)]


def _engines(peers: Path) -> None:
    python = peers / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "distributed"], check=True
    )
    print("The engines by themselves, two workers")
    print("  engine    start   a task   200 x 50 ms, one worker killed   done again    installed")
    script = Path(__file__).with_name("known_bulk_engines.py")
    for name, runner in (("ray", Path(sys.executable)), ("dask", python)):
        said = subprocess.run([str(runner), str(script), name], capture_output=True, text=True, check=True).stdout
        found = json.loads(said.splitlines()[-1])
        once = "each once" if found["once"] else "NOT EACH ONCE"
        print(
            f"  {name:6} {found['start']:7.1f} s {found['task'] * 1e3:6.2f} ms      {found['killed']:.1f} s"
            f" (5.0 is ideal), {once} {found['again']:9} {found['bytes'] / 1e6:11.0f} MB"
        )
