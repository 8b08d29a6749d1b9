"""A whole examination in a test: an order of today, a computer generated once, and the tables that came of it."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from amparo.demo import computer
from amparo.evidence import examination
from amparo.evidence.order import example, read_order
from amparo.evidence.search import Options
from amparo.known.hits import Hit

TABLES = ("volumes", "files", "matches", "fingerprints", "accesses", "problems", "gathered")


class Listener:
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.matches: list[tuple[str, Hit]] = []
        self.problems: list[tuple[str, str | None, str]] = []
        self.stages: list[str] = []

    def stage(self, name: str, files: int, size: int) -> None:
        self.stages.append(name)

    def advance(self, files: int, size: int) -> None:
        pass

    def matched(self, path: str, hit: Hit) -> None:
        self.matches.append((path, hit))

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self.problems.append((stage, path, message))


@cache
def generated() -> computer.Computer:
    return computer.build()


def write_disk(folder: Path) -> Path:
    disk = folder / "disk.img"
    generated().write(disk)
    return disk


def write_order(folder: Path) -> Path:
    path = folder / "order.toml"
    path.write_text(example(date.today()), "utf-8")
    return path


def write_list(folder: Path, planted: list[computer.Planted] | None = None) -> Path:
    """The planted pictures as a list of known material: a CSV of SHA-1 and SHA-256."""
    import hashlib

    path = folder / "known.csv"
    rows = [
        f"{hashlib.sha1(p.content).hexdigest()},{hashlib.sha256(p.content).hexdigest()},{p.entry}"
        for p in (generated().planted if planted is None else planted)
    ]
    path.write_text("\n".join(["sha1,sha256,entry", *rows]), "utf-8")
    return path


def examine(
    source: Path, out: Path, *, options: dict[str, Any] | None = None, listener: Listener | None = None, **request: Any
) -> examination.Outcome:
    """Run one examination with a training order; no PDF and one digest of the source, unless asked for."""
    settings = {"pdf": False, "source_digest": "once", "key": out.parent / "seal-key.pem", **request}
    wanted = examination.Request(
        source, read_order(write_order(out.parent)), out, Options(**{"workers": 2, **(options or {})}), **settings
    )
    return examination.examine(wanted, listener or Listener(), lambda: datetime.now(UTC))


def tables(package: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but ``run``, which says when."""
    database = sqlite3.connect(package / "data/evidence.sqlite")
    try:
        return {table: database.execute(f"select * from {table} order by 1, 2, 3, 4").fetchall() for table in TABLES}
    finally:
        database.close()


def rows(package: Path, question: str, *values: Any) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(package / "data/evidence.sqlite")
    try:
        return database.execute(question, values).fetchall()
    finally:
        database.close()
