"""FAT volumes written by mkfs.vfat and mtools."""

from __future__ import annotations

import os
from pathlib import Path

from tests.evidence.source.disks import blank, need, run

# Sizes at which mkfs.vfat really makes a FAT of that width.
SIZES = {12: 4 << 20, 16: 16 << 20, 32: 40 << 20}
_UTC = {"TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}


def make(path: Path, width: int, *options: str, size: int = 0) -> Path:
    need("mkfs.vfat", "mcopy")
    run("mkfs.vfat", "-F", str(width), *options, blank(path, size or SIZES[width]))
    return path


def write(image: Path, path: str, content: bytes, modified: int = 1_700_000_000) -> None:
    """Put a file there, its directories made as needed. ``modified`` in seconds since 1970; FAT keeps two seconds."""
    above = Path(path).parent
    for directory in [*reversed(above.parents), above]:
        if str(directory) != "." and not _exists(image, str(directory)):
            run("mmd", "-i", image, f"::{directory}", **_UTC)
    source = image.with_suffix(".content")
    source.write_bytes(content)
    os.utime(source, (modified, modified))
    run("mcopy", "-m", "-i", image, source, f"::{path}", **_UTC)


def _exists(image: Path, path: str) -> bool:
    return b"::/" in run("mdir", "-b", "-i", image, "::", **_UTC) and f"::/{path}/".encode() in run(
        "mdir", "-b", "-/", "-i", image, "::", **_UTC
    )


def delete(image: Path, *paths: str) -> None:
    run("mdel", "-i", image, *(f"::{path}" for path in paths), **_UTC)


def remove(image: Path, directory: str) -> None:
    """Delete a directory and all that is in it."""
    run("mdeltree", "-i", image, f"::{directory}", **_UTC)
