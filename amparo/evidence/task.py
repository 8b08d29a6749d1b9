"""One file to read, on its way between the processes of a run: as a row of the working tables, as a task, as a finding."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from amparo.evidence.reading import Additions
from amparo.evidence.source.entry import SPARSE, Entry, Runs
from amparo.evidence.source.volumes import Volume

_MEDIA = re.compile(
    r"\.(jpe?g|jpe|jfif|png|gif|bmp|tiff?|webp|heic|heif|avif|jp2|dng|cr2|nef|arw|mp4|m4v|mov|avi|mkv|webm|wmv|mpe?g|3gp|flv|ts)$",
    re.I,
)
_PEOPLE = re.compile(
    r"^(Users|home|Documents and Settings|Utilizadores|data/media|DCIM|Pictures|Documents|Downloads|Desktop|Videos|Music|Imagens|"
    r"Transfer[eê]ncias|Documentos|Ambiente de trabalho)(/|$)",
    re.I,
)
FIRST, SOON, LATER = 0, 1, 2
LARGEST = (1 << 63) - 1  # what a table can hold; a size past it, or a sum of such, is a lie that must not end the run
INLINE = 11  # the place of the content in a row of row_of


def urgency(path: str, state: str) -> int:
    """What an officer on the scene must know first: pictures and films of people's folders, then either, then the rest."""
    media, people = bool(_MEDIA.search(path)), bool(_PEOPLE.search(path))
    if media and (people or state != "live"):
        return FIRST
    return SOON if media or people else LATER


Row = tuple[Any, ...]


class Task(NamedTuple):
    """One file to read. ``runs`` are relative to the volume."""

    id: int
    volume: int
    path: str
    size: int
    address: str
    runs: Runs | None
    inline: bytes | None
    valid: int | None


def task_of(row: Row) -> Task:
    """From the columns id, volume, path, size, address, runs, inline, valid of ``files``."""
    runs = None if row[5] is None else _read(row[5])
    return Task(row[0], row[1], row[2], row[3], row[4], runs, row[6], row[7])


def row_of(volume: Volume, number: int, e: Entry) -> Row:
    """What ``files`` says of an entry, the volume's ``number``-th. Made where the entry is, for a tuple travels lighter."""
    shift = volume.offset if volume.addressed else 0
    at = next((offset for offset, _ in e.runs or () if offset != SPARSE), 0)
    return (
        f"0:{volume.id:06d}:{number:012d}", volume.id, e.path, min(e.size, LARGEST), e.state, e.address, e.created,
        e.modified, e.accessed, e.changed, None if e.runs is None else _written(e.runs), e.inline, e.valid, e.problem,
        urgency(e.path, e.state), shift + at, shift,
    )  # fmt: skip


def _written(runs: Runs) -> str:
    """Runs as compact JSON."""
    if len(runs) == 1:  # nearly every file; the general way takes ten times as long
        return f"[[{runs[0][0]},{runs[0][1]}]]"
    return json.dumps(runs, separators=(",", ":"))


def _read(text: str) -> Runs:
    if text.count("[") == 2:
        offset, _, length = text[2:-2].partition(",")
        return [(int(offset), int(length))]
    return [(offset, length) for offset, length in json.loads(text)]


class Found(NamedTuple):
    """What the reading of one file, or of one member inside it, gave."""

    md5: str | None
    sha1: str | None
    sha256: str | None
    mime: str | None
    problem: str | None
    additions: tuple[Additions, ...] = ()


class Inside(NamedTuple):
    """A member of a container: ``trail`` is its place in the tree of members, ``path`` what the container calls it."""

    trail: tuple[int, ...]
    path: str
    size: int
    modified: str | None
    found: Found
