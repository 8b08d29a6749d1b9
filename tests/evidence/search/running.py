"""Whole runs, in this process or by the command line, and what a test asks of the package that comes of them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from amparo.evidence.examination import Outcome, Request, examine
from amparo.evidence.order import example, read_order
from amparo.evidence.search import Options
from amparo.known.hits import Hit

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORDERED = date(2026, 11, 20)


class Quiet:
    """Follows a run and keeps what it was told."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str | None, str]] = []
        self.matches: list[tuple[str, str]] = []

    def stage(self, name: str, files: int, size: int) -> None:
        """Nothing to show."""

    def advance(self, files: int, size: int) -> None:
        """Nothing to show."""

    def matched(self, path: str, hit: Hit) -> None:
        self.matches.append((path, hit.entry))

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self.problems.append((stage, path, message))


def order_file(folder: Path) -> Path:
    file = folder / "order.toml"
    file.write_text(example(ORDERED), "utf-8")
    return file


def request(source: Path, folder: Path, out: str = "package", **more: Any) -> Request:
    """A request for ``source`` whose order, key and package lie in ``folder``."""
    settings = {name: more.pop(name) for name in list(more) if name in Options.__slots__}
    options = Options(**{"workers": 1, **settings})
    basic = {"pdf": False, "source_digest": "none", "key": folder / "seal.key"}
    return Request(source, read_order(order_file(folder)), folder / out, options, **{**basic, **more})


def examined(source: Path, folder: Path, out: str = "package", **more: Any) -> tuple[Outcome, Path]:
    """Examine ``source`` in this process; what came of it, and the package."""
    outcome = examine(request(source, folder, out, **more), Quiet(), lambda: NOON)
    return outcome, folder / out


def rows(package: Path, question: str) -> list[tuple[Any, ...]]:
    """Ask the package's tables."""
    with closing(sqlite3.connect(package / "data" / "evidence.sqlite")) as database:
        return database.execute(question).fetchall()


def digests(package: Path) -> dict[str, str | None]:
    """The SHA-256 of every file by its path; two files of one path fail the test."""
    found = rows(package, "select path, sha256 from files")
    assert len(dict(found)) == len(found), "a path was listed twice"
    return dict(found)


def problems(package: Path) -> list[tuple[str, str | None, str]]:
    return rows(package, "select stage, path, message from problems")


def tables(package: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that the contract names, save what tells of the run and not of the source."""
    names = ("volumes", "files", "matches", "accesses", "problems", "gathered")
    return {name: rows(package, f"select * from {name}") for name in names}


def command(
    source: Path, folder: Path, *more: str | Path, before: str = "", seconds: int = 120
) -> subprocess.CompletedProcess[bytes]:
    """``amparo search`` as a process of its own, its home in ``folder``. ``before``: Python to run first in that process."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    order = folder / "order.toml"
    order.write_text(example(datetime.now(UTC).date()), "utf-8")
    code = f"import sys\n{before}\nfrom amparo.cli import main\nsys.exit(main(sys.argv[1:]))"
    arguments = ["search", source, "--order", order, "--no-pdf", "--source-digest", "none", "--workers", "1", *more]
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8", "AMPARO_LANGUAGE": "en"}
    environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, env=environment, timeout=seconds
    )


def snapshot(folder: Path, *without: str) -> dict[str, tuple[int, int, bytes | str | None]]:
    """Everything below a folder: kind, modification time, and content of what is a regular file."""
    found: dict[str, tuple[int, int, bytes | str | None]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if any(name == skipped or name.startswith(skipped + "/") for skipped in without):
            continue
        info = path.lstat()
        content: bytes | str | None = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file() and info.st_size < 16 << 20:
            content = path.read_bytes()
        found[name] = info.st_mode, info.st_mtime_ns, content
    return found
