"""The medium as it was handed over: what the image says of itself, and its digest, taken beside the search."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amparo.child import ChildDied, isolated
from amparo.errors import SourceUnreadable
from amparo.evidence.source import digest, image

PATIENCE = 6 * 3600.0  # a whole slow disk may pass before its digest is known


@dataclass(frozen=True, slots=True)
class Medium:
    """What the image says of itself; ``size`` in bytes, ``stored_digests`` as the acquiring tool kept them, and name, size
    and modification time of each of its ``files``."""

    format: str
    size: int
    stored_digests: dict[str, str]
    problems: list[str]
    files: tuple[tuple[str, int, int], ...]


def _media(path: Path) -> Iterator[Medium]:
    device = image.open_image(path)
    stored = getattr(device, "stored_digests", {})
    problems = list(getattr(device, "problems", []))
    yield Medium(image.image_format(path), device.size, dict(stored), problems, digest.source_files(path))


def describe(path: Path) -> Medium:
    """Open the image in a child, before anything is written: one that cannot be opened leaves no half-made package."""
    try:
        medium: Medium = next(isolated(_media, path))
        return medium
    except ChildDied as error:
        raise SourceUnreadable(f"The source cannot be read: {error}; check it with another tool.") from None


class Background:
    """The source's digest, taken in a child while the search goes on, so that the disk is read once."""

    def __init__(self, path: Path) -> None:
        self.state: digest.SourceState | None = None
        self.why = ""
        self._path = path
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.state = next(isolated(digest.measure, self._path, patience=PATIENCE))
        except (ChildDied, Exception) as error:
            self.why = str(error)

    def result(self) -> digest.SourceState | None:
        self._thread.join()
        return self.state
