"""Disks made on the spot, by the tools that make real ones, and what is expected to be read back from them."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from amparo.child import isolated
from amparo.errors import ReadFailed
from amparo.evidence.source import volumes
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry

os.environ["PATH"] += ":/usr/sbin:/sbin"


class Raw:
    """An image file as a device, or bytes in memory."""

    def __init__(self, source: Path | bytes) -> None:
        self._memory = source if isinstance(source, bytes) else None
        self._handle = None if isinstance(source, bytes) else os.open(source, os.O_RDONLY)
        self.size = len(source) if isinstance(source, bytes) else source.stat().st_size

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if self._memory is not None or not length:
            return (self._memory or b"")[offset : offset + length]
        assert self._handle is not None
        return os.pread(self._handle, length, offset)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)


@dataclass(frozen=True)
class Seen:
    """A file as it was listed and read: ``content`` is None where it was not readable."""

    entry: Entry
    content: bytes | None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content or b"").hexdigest()


def need(*tools: str) -> None:
    """Skip the test, saying why, where a tool is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed here")


def run(*command: str | Path, text: bytes = b"", **environment: str) -> bytes:
    """Run a tool to its end and give its output; its failure is the test's failure."""
    done = subprocess.run(
        [str(part) for part in command],
        input=text,
        capture_output=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
    )
    assert not done.returncode, done.stderr.decode(errors="replace")
    return done.stdout


def blank(path: Path, size: int) -> Path:
    with path.open("wb") as image:
        image.truncate(size)
    return path


def noise(seed: object, size: int) -> bytes:
    return random.Random(str(seed)).randbytes(size)


def listed(device: Device, kind: str | None = None, keys: tuple[str, ...] = ()) -> Iterator[Seen | str]:
    """Every entry with its content, then every problem as a sentence."""
    kind = kind or volumes.recognise(device)
    assert kind is not None, "no file system was recognised"
    system = volumes.open_filesystem(device, kind)
    library = None
    for entry in system.entries():
        content: bytes | None = None
        if entry.problem is None:
            try:
                if entry.inline is not None:
                    content = entry.inline
                elif entry.runs is not None:
                    content = _from_runs(device, entry)
                else:
                    library = library or volumes.open_content(device, kind)
                    content = b"".join(library.content(entry.address, entry.size))
            except ReadFailed:
                content = None
        yield Seen(entry, content)
    yield from system.problems


def _from_runs(device: Device, entry: Entry) -> bytes:
    assert entry.runs is not None
    pieces = [bytes(length) if at == SPARSE else device.read(at, length) for at, length in entry.runs]
    whole = b"".join(pieces)
    return whole if entry.valid is None else whole[: entry.valid].ljust(len(whole), b"\0")


def seen(device: Device | Path, kind: str | None = None) -> list[Seen]:
    """What :func:`listed` gives, read in a child as the search does, without the problems."""
    device = Raw(device) if isinstance(device, Path) else device
    return [one for one in isolated(listed, device, kind, patience=60.0) if isinstance(one, Seen)]


def problems(device: Device | Path, kind: str | None = None) -> list[str]:
    device = Raw(device) if isinstance(device, Path) else device
    return [one for one in isolated(listed, device, kind, patience=60.0) if isinstance(one, str)]


def by_path(found: Iterable[Seen], *states: str) -> dict[str, Seen]:
    """By path, those of these states (all, where none is named); two files of one path fail the test."""
    result: dict[str, Seen] = {}
    for one in found:
        if not states or one.entry.state in states:
            assert one.entry.path not in result, f"{one.entry.path} was listed twice"
            result[one.entry.path] = one
    return result


def contents(found: Iterable[Seen], *states: str) -> dict[str, bytes | None]:
    return {path: one.content for path, one in by_path(found, *states).items()}


@dataclass(frozen=True)
class Told:
    """A file as The Sleuth Kit's own command tells it: times in whole seconds since 1970, 0 where there is none."""

    address: str
    size: int
    accessed: int
    modified: int
    changed: int
    created: int


def fls(image: Path) -> dict[str, Told]:
    """What ``fls`` lists, live and deleted, by path: the reference that our listings are held against."""
    need("fls")
    told: dict[str, Told] = {}
    for line in run("fls", "-r", "-m", "", "-z", "UTC", image).decode("utf-8", "backslashreplace").splitlines():
        _, path, address, mode, _, _, size, *when = line.split("|")
        if mode[0] in "rl-" and "$OrphanFiles" not in path and not path.endswith("(Volume Label Entry)"):
            plain = path.lstrip("/").split(" -> ")[0].removesuffix("-realloc)").removesuffix(" (deleted)")
            told.setdefault(plain, Told(address, int(size), *map(int, when)))
    return told


def seconds(text: str | None) -> int:
    """An entry's time in whole seconds since 1970, 0 for none, as ``fls`` writes it."""
    return 0 if text is None else int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())


def assert_times_agree(entry: Entry, told: Told) -> None:
    ours = (entry.accessed, entry.modified, entry.changed, entry.created)
    if ours == (None, None, None, None):
        return  # where a file system keeps 0 for no time, fls makes a year of it
    assert tuple(map(seconds, ours[:3])) == (told.accessed, told.modified, told.changed), entry.path
    assert seconds(entry.created) == told.created or not told.created, (
        entry.path
    )  # fls knows none on ext2, which may have one
