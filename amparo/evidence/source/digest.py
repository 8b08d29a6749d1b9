"""The digest of a whole source, before and after: that reading it changed nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amparo.evidence.reading import salvage
from amparo.evidence.source import image

_PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class SourceState:
    """``size`` in bytes and ``sha256`` of the medium; ``files`` gives each file's name, size and modification time (ns)."""

    size: int
    sha256: str
    files: tuple[tuple[str, int, int], ...]


def source_files(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and modification time in nanoseconds of every file that makes up the image."""
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in image.image_files(path))


def measure(path: Path) -> Iterator[SourceState]:
    """Yields the state once, so that it can run in a child. Sectors that cannot be read count as zeros."""
    device = image.open_image(path)
    sha256 = hashlib.new("sha256", usedforsecurity=False)
    for at in range(0, device.size, _PIECE):
        sha256.update(salvage(device, at, min(_PIECE, device.size - at), []))
    yield SourceState(device.size, sha256.hexdigest(), source_files(path))
