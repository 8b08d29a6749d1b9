"""Fingerprints of the pictures and films that are read, taken in the worker from the same reading as their digests.

Decoders are large programs in C. One that crashes or hangs over a file takes its worker with it: the file is then read
once more without a fingerprint, and says so (:mod:`amparo.evidence.search`).
"""

from __future__ import annotations

from typing import Any, BinaryIO, Final, NamedTuple

LARGEST_PICTURE: Final = 128 << 20  # of a file; what is larger is a scan that no list has
LARGEST_FILM_KEPT: Final = 64 << 20  # in memory, from the one reading; a larger film is read again where it lies


STAGE: Final = "fingerprint"  # of what is said where none could be taken: the file itself was read


class Print(NamedTuple):
    """The PDQ fingerprint of a picture or of a frame of a film. ``seconds`` is its time in a film, None for a picture; ``forms``
    are the fingerprints of the picture's eight turns and flips, none for a frame."""

    frame: int
    seconds: float | None
    bits: bytes
    quality: int
    forms: tuple[bytes, ...] = ()


class Taken(NamedTuple):
    """``prints``, and a sentence where the file is a picture or a film and none, or not all, could be taken."""

    prints: tuple[Print, ...]
    problem: str | None


def is_picture(mime: str | None) -> bool:
    return mime is not None and mime.startswith("image/") and mime not in _DRAWN


def is_film(mime: str | None) -> bool:
    return mime is not None and mime.startswith("video/")


# Drawings, which have no pixels, and icons: none is decoded here.
_DRAWN: Final = frozenset({
    "image/svg+xml", "image/emf", "image/wmf", "image/x-emf", "image/x-wmf", "image/vnd.dwg", "image/vnd.dxf", "image/x-icon",
    "image/vnd.microsoft.icon", "image/vnd.djvu", "image/x-xcf", "image/vnd.adobe.photoshop", "image/x-photoshop",
})  # fmt: skip


def wanted(mime: str | None, size: int) -> bool:
    """Whether a content is to be kept in memory while it is read, for its fingerprint."""
    return (is_picture(mime) and size <= LARGEST_PICTURE) or (is_film(mime) and size <= LARGEST_FILM_KEPT)


def take(mime: str | None, stream: Any, size: int) -> Taken:
    """The fingerprints of a content of this type; ``stream`` can seek, None where the content cannot be had again."""
    if stream is None or (is_picture(mime) and size > LARGEST_PICTURE):
        return Taken((), f"It is too large for a fingerprint to be taken ({size} bytes).")
    stream.seek(0)
    return _of_picture(stream) if is_picture(mime) else _of_film(stream)


def _of_picture(stream: BinaryIO) -> Taken:
    from amparo.known.examining import picture_prints

    taken, problem = picture_prints(stream)
    return Taken(tuple(Print(p.frame, None, p.bits, p.quality, p.forms) for p in taken), problem)


def _of_film(stream: BinaryIO) -> Taken:
    from amparo.known.examining import film_frames
    from amparo.known.film_features import distinct

    taken, problem = film_frames(stream)
    return Taken(tuple(Print(f.number, f.time, f.bits, f.quality) for f in distinct(taken)), problem)
