"""NTFS volumes written by mkntfs and ntfs-3g, and how to lay hands on single records afterwards."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amparo.evidence.source.ntfs import NtfsVolume
from tests.evidence.source.disks import Raw, blank, need, run

READ_ONLY, COMPRESSED = 0x1, 0x800


def make(path: Path, size: int, *options: str) -> Path:
    need("mkntfs")
    run("mkntfs", "-q", "-F", "-s", "512", "-p", "0", "-H", "16", "-S", "63", *options, blank(path, size))
    return path


@contextmanager
def mounted(image: Path, options: str = "") -> Iterator[Path]:
    """The volume, writable through ntfs-3g. Skips where this machine lets nobody mount."""
    need("ntfs-3g", "umount")
    place = image.with_suffix(".mount")
    place.mkdir(exist_ok=True)
    tried = subprocess.run(
        ["ntfs-3g", "-o", "streams_interface=windows,compression,noatime" + options, image, place], capture_output=True
    )
    if tried.returncode:
        pytest.skip("ntfs-3g cannot mount here: " + tried.stderr.decode(errors="replace").strip())
    try:
        yield place
    finally:
        for _ in range(50):
            if not subprocess.run(["umount", place], capture_output=True).returncode:
                break
            time.sleep(0.1)
        for _ in range(100):  # the file system's process writes its last blocks after the mount is gone
            if not _held(image):
                break
            time.sleep(0.05)
        place.rmdir()


def _held(image: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ntfs-3g\0") and os.fsencode(image) in command:
            return True
    return False


def attributes(path: Path, flags: int) -> None:
    """Set the file's (or directory's) Windows attributes: a directory marked compressed compresses what is put in it."""
    os.setxattr(path, "system.ntfs_attrib", struct.pack("<I", flags))


def times(path: Path, created: int, modified: int, accessed: int, changed: int) -> None:
    """Set the four times, in ticks of 100 ns since 1601."""
    os.setxattr(path, "system.ntfs_times", struct.pack("<4Q", created, modified, accessed, changed))


def number(path: Path) -> int:
    return path.stat().st_ino


def records(image: Path) -> list[tuple[int, int]]:
    """Offset in the volume of every record of the master file table, by number (its runs as The Sleuth Kit tells them)."""
    need("istat")
    lines = run("istat", image, "0").decode().splitlines()
    at = max(i for i, line in enumerate(lines) if line.startswith("Type: $DATA"))
    clusters: list[int] = []
    for line in lines[at + 1 :]:
        if line.startswith("Type:"):
            break
        clusters += [int(word) for word in line.split()]
    boot = image.open("rb").read(512)
    cluster = struct.unpack_from("<H", boot, 11)[0] * boot[13]
    return list(enumerate(c * cluster + inner for c in clusters for inner in range(0, cluster, 1024)))


def fragment(image: Path) -> None:
    """Fill the volume with files of one cluster, then take out every second one by its place on the disk."""
    with mounted(image) as root:
        (root / "fill").mkdir()
        number = 0
        try:
            while True:
                (root / "fill" / str(number)).write_bytes(bytes(4096))
                number += 1
        except OSError:
            pass  # the volume is full
    listing = [entry for entry in NtfsVolume(Raw(image)).entries() if entry.path.startswith("fill/") and entry.runs]
    with mounted(image) as root:
        for entry in listing:
            if entry.runs and not entry.runs[0][0] // 4096 % 2:
                (root / entry.path).unlink()
