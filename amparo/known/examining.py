"""One file as it is matched: its digests, and the fingerprints of the picture or film that it is, from one reading.

Decoders are C over hostile bytes: call :func:`examine` in a process that may be killed (:mod:`amparo.crew`). ``decode`` switches
them off: so a file that brought its process down is examined once more, for its digests alone.
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final, NamedTuple

from amparo.digests import Together
from amparo.errors import AmparoError
from amparo.known.film_features import QUALITY, Frame
from amparo.known.hits import Hit
from amparo.known.index import RADIUS, KnownIndex
from amparo.known.pictures.kind import HEAD, kind_of

LARGEST_PICTURE: Final = 128 << 20  # bytes; what is larger has its digests taken only
LARGEST_FILM_KEPT: Final = 64 << 20  # in memory; of a larger film the stream is read again, where it can seek
SECONDS: Final = 60.0  # for one film
_PIECE: Final = 1 << 20


class Print(NamedTuple):
    """The fingerprint of one picture: ``frame`` counts from 0; ``forms`` are those of its eight turns and flips."""

    frame: int
    bits: bytes
    quality: int
    forms: tuple[bytes, ...]


class Examined(NamedTuple):
    """What one reading gave; digests in lower hex. ``problem`` is a sentence where no fingerprint, or not all, could be taken."""

    name: str
    size: int
    md5: str
    sha1: str
    sha256: str
    pictures: tuple[Print, ...] = ()
    film: tuple[Frame, ...] = ()
    problem: str | None = None


def examine(stream: BinaryIO, name: str, decode: bool = True) -> Examined:
    """Read a content to its end. Raises OSError as reading the stream does, and nothing for what it holds."""
    digests, size = Together(), 0
    kind: str | None = None
    film = False
    kept: io.BytesIO | None = None
    while piece := stream.read(_PIECE):
        if not size and decode:
            kind, film = kind_of(piece[:HEAD]), is_film(piece[:HEAD])
            kept = io.BytesIO() if kind or film else None
        digests.update(piece)
        size += len(piece)
        if kept is not None:
            kept.write(piece)
            if size > (LARGEST_PICTURE if kind else LARGEST_FILM_KEPT):
                kept = None
    found = Examined(name, size, *digests.hexdigests())
    if kind is not None:
        return _picture(found, kept)
    return _film(found, kept, stream) if film else found


def look_up(index: KnownIndex, found: Examined, radius: int = RADIUS) -> list[Hit]:
    """What an index knows of it: by its digests, then by looks; an entry that its digests found is not told again."""
    hits = index.lookup(bytes.fromhex(found.md5), bytes.fromhex(found.sha1), bytes.fromhex(found.sha256))
    told = {(hit.list, hit.entry, hit.category) for hit in hits}
    alike: list[Hit] = []
    pictures = [p.forms for p in found.pictures if p.quality >= QUALITY]
    for near in index.look_alikes(pictures, radius) if pictures else ():
        alike += near
    if found.film:
        alike += index.films_alike(found.film, radius)
    for hit in sorted(alike, key=lambda hit: hit.distance):
        if (hit.list, hit.entry, hit.category) not in told:
            told.add((hit.list, hit.entry, hit.category))
            hits.append(hit)
    return hits


def is_film(head: bytes) -> bool:
    """Whether a content that begins so may be a film, in one of the containers that are read here."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return kind_of(head) is None
    return (
        head.startswith(_FILMS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI ") or head[:1] == b"G" == head[188:189]
    )


# Matroska and WebM; MPEG programme and elementary streams; Windows Media; Flash; Ogg; RealMedia.
_FILMS: Final = (
    b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"FLV\1", b"OggS", b".RMF",
)  # fmt: skip


def picture_prints(stream: BinaryIO) -> tuple[tuple[Print, ...], str | None]:
    """The fingerprints of the pictures in a stream, read from where it stands, and a sentence where there are none."""
    from amparo.known import picture

    try:
        pictures = picture.fingerprints(stream)
    except (AmparoError, MemoryError) as error:
        why = str(error) if isinstance(error, AmparoError) else "It asks for more memory than there is."
        return (), f"No fingerprint was taken: {why}"
    return tuple(Print(p.frame, p.fingerprint.bits, p.fingerprint.quality, p.dihedral) for p in pictures), None


def film_frames(stream: BinaryIO) -> tuple[tuple[Frame, ...], str | None]:
    """The fingerprints of a film's frames, and a sentence where they are not those of the whole film."""
    from amparo.known import film

    taken = film.fingerprint(stream, limits=film.Limits(seconds=SECONDS))
    problem = None if taken.problem is None else f"Its fingerprints are not those of the whole film: {taken.problem}"
    return tuple(taken.frames), problem


def _picture(found: Examined, kept: io.BytesIO | None) -> Examined:
    if kept is None:
        return found._replace(problem=f"It is too large for a fingerprint to be taken ({found.size} bytes).")
    kept.seek(0)
    pictures, problem = picture_prints(kept)
    return found._replace(pictures=pictures, problem=problem)


def _film(found: Examined, kept: io.BytesIO | None, stream: BinaryIO) -> Examined:
    source: BinaryIO = kept if kept is not None else stream
    if kept is None and not stream.seekable():
        return found._replace(problem=f"It is too large for a fingerprint to be taken ({found.size} bytes).")
    source.seek(0)
    frames, problem = film_frames(source)
    return found._replace(film=frames, problem=problem)
