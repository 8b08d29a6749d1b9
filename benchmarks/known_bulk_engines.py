"""One cluster engine by itself, in the environment that runs this: start-up, cost of a task, a killed worker, size.

python benchmarks/known_bulk_engines.py ray|dask
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

TASKS, SLEEPS, SECONDS = 1000, 200, 0.05


def size_of(*names: str) -> int:
    """Bytes of these distributions and of all that they need."""
    waiting, seen, total = list(names), set(), 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            total += path.stat().st_size if path.is_file() else 0
        waiting += [re.split(r"[^\w.-]", need)[0] for need in found.requires or () if "extra ==" not in need]
    return total


def nothing(number: int) -> int:
    return number


def pid_of() -> int:
    return os.getpid()


def sleeping(number: int, marks: str) -> tuple[int, int]:
    time.sleep(SECONDS)
    (Path(marks) / f"{number}-{time.monotonic_ns()}").touch()
    return number, os.getpid()


class OfRay:
    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        self.ray = ray
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
        self.victim = ray.get(ray.remote(pid_of).remote())

    def all(self, do: Any, units: list[tuple[Any, ...]]) -> list[Any]:
        task = self.ray.remote(do)
        return list(self.ray.get([task.remote(*unit) for unit in units]))

    def end(self) -> None:
        self.ray.shutdown()

    names = ("ray",)


class OfDask:
    def __init__(self) -> None:
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        self.client = Client(self.cluster)
        self.victim = self.client.submit(pid_of).result()

    def all(self, do: Any, units: list[tuple[Any, ...]]) -> list[Any]:
        return list(self.client.gather([self.client.submit(do, *unit, pure=False) for unit in units]))

    def end(self) -> None:
        self.client.close()
        self.cluster.close()

    names = ("distributed",)


def main() -> None:
    kind = {"ray": OfRay, "dask": OfDask}[sys.argv[1]]
    began = time.monotonic()
    engine = kind()
    found: dict[str, float] = {"start": time.monotonic() - began}
    engine.all(nothing, [(number,) for number in range(100)])
    began = time.monotonic()
    engine.all(nothing, [(number,) for number in range(TASKS)])
    found["task"] = (time.monotonic() - began) / TASKS
    with tempfile.TemporaryDirectory() as marks:
        threading.Timer(1.5, lambda: os.kill(engine.victim, signal.SIGKILL)).start()
        began = time.monotonic()
        results = engine.all(sleeping, [(number, marks) for number in range(SLEEPS)])
        found["killed"] = time.monotonic() - began
        found["ideal"] = SLEEPS * SECONDS / 2
        found["once"] = sorted(number for number, _ in results) == list(range(SLEEPS))
        found["again"] = len(list(Path(marks).iterdir())) - SLEEPS
    engine.end()
    found["bytes"] = size_of(*engine.names)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
