"""One file as a file system describes it, before any of its content is read."""

from __future__ import annotations

from dataclasses import dataclass

SPARSE = -1  # the offset of a run that is not stored: it reads as zeros

Runs = list[tuple[int, int]]


@dataclass(slots=True)
class Entry:
    """A file found in a file system.

    ``path`` is relative to the volume's root, with ``/``. Content lies in one of three places: ``inline`` (the bytes
    themselves), ``runs`` (``(offset, length)`` in bytes of the volume, offset :data:`SPARSE` for a hole; bytes past
    ``valid`` read as zeros whatever the medium holds), or only behind the file system's own reader, under ``address``.
    ``problem`` says why content is lost; then there is nothing to read.
    """

    path: str
    size: int
    state: str
    address: str
    created: str | None = None
    modified: str | None = None
    accessed: str | None = None
    changed: str | None = None
    runs: Runs | None = None
    inline: bytes | None = None
    valid: int | None = None
    problem: str | None = None


def shown(raw: bytes, encoding: str = "utf-8") -> str:
    r"""A name as text: bytes that are not ``encoding`` stay visible as ``\xNN``, and the zero byte as ``\x00``."""
    return raw.decode(encoding, "backslashreplace").replace("\0", "\\x00")


def component(name: str) -> str:
    r"""A name fit to be one part of a path: what would lead elsewhere is shown, as ``\x2f`` for ``/`` and ``\x2e.`` for ``..``."""
    if "/" in name or "\0" in name:
        name = name.replace("/", "\\x2f").replace("\0", "\\x00")
    return "\\x2e" + name[1:] if name in (".", "..") else name


def trimmed(runs: Runs, size: int) -> Runs:
    """The runs that hold the first ``size`` bytes, neighbours joined; cluster slack is left out."""
    kept: Runs = []
    left = size
    for offset, length in runs:
        if left <= 0:
            break
        take = min(length, left)
        if not take:
            continue
        left -= take
        if kept and offset != SPARSE and kept[-1][0] != SPARSE and kept[-1][0] + kept[-1][1] == offset:
            kept[-1] = (kept[-1][0], kept[-1][1] + take)
        else:
            kept.append((offset, take))
    return kept
