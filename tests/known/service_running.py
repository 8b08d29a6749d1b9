"""A real service for tests: its own processes, a real socket, a real index of generated lists."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5, sha1, sha256
from pathlib import Path
from typing import Any

import httpx

from amparo import clock
from amparo.known.library import Library
from amparo.known.service.keys import KeyFile

ROWS = 300
COLUMNS = "md5,sha1,sha256,pdq,category,entry"


def content(number: int) -> bytes:
    """The content that the entry of this number stands for."""
    return f"content {number}".encode()


def digest(kind: str, number: int) -> str:
    return {"md5": md5, "sha1": sha1, "sha256": sha256}[kind](content(number)).hexdigest()


def fingerprint(number: int, turned: int = 0) -> str:
    """The fingerprint of the entry of this number, with so many bits turned."""
    bits = int.from_bytes(random.Random(number).randbytes(32)) ^ ((1 << turned) - 1)
    return bits.to_bytes(32).hex()


def write_list(path: Path, numbers: range) -> Path:
    rows = [
        f"{digest('md5', n)},{digest('sha1', n)},{digest('sha256', n)},{fingerprint(n)},{n % 3},{path.stem}-{n}"
        for n in numbers
    ]
    path.write_text("\n".join([COLUMNS, *rows, ""]), "utf-8")
    return path


class Running:
    """A service that runs, and what it was given."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.folder, self.process, self.url, self.log = folder, process, url, log
        self.index, self.keys, self.audit_file = folder / "index", folder / "keys.json", folder / "audit.jsonl"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def key(self, *scopes: str, lists: tuple[str, ...] = (), **more: Any) -> str:
        """A new key of these scopes, for all lists where none is named."""
        return KeyFile(self.keys).make("A provider", scopes, lists or None, clock.now(), **more)[1]

    def ask(self, key: str | None, *items: dict[str, Any], **more: Any) -> httpx.Response:
        return self.post("/v1/match", key, json={"items": list(items)}, **more)

    def post(self, route: str, key: str | None, **more: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **more.pop("headers", {})}
        return httpx.post(self.url + route, headers=headers, timeout=30, **more)

    def get(self, route: str, key: str | None = None) -> httpx.Response:
        return httpx.get(self.url + route, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=30)

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text("utf-8").splitlines()]

    def processes(self) -> list[int]:
        """All processes of the service, the first that listens among them."""
        found, new = [self.process.pid], [self.process.pid]
        while new:
            parent = new.pop()
            tasks = Path(f"/proc/{parent}/task").glob("*/children")
            below = [int(child) for task in tasks for child in task.read_text().split()]
            found += below
            new += below
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def amparo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AMPARO_LANGUAGE": "en"}
    command = [sys.executable, "-m", "amparo.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@contextmanager
def running(folder: Path, *options: str, wait: bool = True) -> Iterator[Running]:
    """The service over two lists, ``a.csv`` (entries 0 to 299) and ``b.csv`` (200 to 499)."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = [write_list(folder / "a.csv", range(ROWS)), write_list(folder / "b.csv", range(200, 200 + ROWS))]
    if not (folder / "index").exists():
        list(Library(folder / "index").add(lists))
    if not (folder / "keys.json").exists():
        KeyFile(folder / "keys.json").make("Prometheus", ["metrics"], None, clock.now())
    log = folder / "log.txt"
    command = [
        sys.executable, "-m", "amparo.cli", "provider", "serve", "--index", str(folder / "index"), "--keys",
        str(folder / "keys.json"), "--audit", str(folder / "audit.jsonl"), "--port", "0", *options,
    ]  # fmt: skip
    with log.open("w") as out:
        environment = {**os.environ, "AMPARO_LANGUAGE": "en"}
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True, env=environment)
    try:
        address = until(lambda: re.search(r"Listening at (\S+);", log.read_text()) or process.poll() is not None)
        assert not isinstance(address, bool), (process.poll(), log.read_text())
        service = Running(folder, process, address[1], log)
        if wait:
            until(lambda: _answers(service))
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def _answers(service: Running) -> bool:
    try:
        return httpx.get(service.url + "/health/ready", verify=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(true: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait until something is so; what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
    return value
