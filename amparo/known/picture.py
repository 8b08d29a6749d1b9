"""Pictures to fingerprints: what a file holds, decoded as far as PDQ needs it, and no further.

A JPEG is decoded in grey at 1/2, 1/4 or 1/8 where that leaves 256 pixels each way, and the filter is folded onto what comes out
(:mod:`amparo.known.pdq`); everything else is decoded whole. The orientation that a camera notes is not applied: the published
program does not apply it either, and a turned copy is found by its eight forms (``Picture.dihedral``).

Decoders are large programs written in C, and the files are hostile: call this in a process that may be killed. What is
checked here is what can be known before decoding: how large a picture claims to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple

from PIL import Image, ImageFile

from amparo.errors import ReadFailed
from amparo.known.pdq import Fingerprint, of_luma_and_turns
from amparo.known.pictures import heif, jpeg, many, raw
from amparo.known.pictures.kind import HEAD, kind_of
from amparo.known.pictures.luma import Allowance, Frame, Limits

__all__ = ["MOST_FRAMES", "Limits", "Picture", "fingerprints", "kind_of"]

MOST_FRAMES: Final = 32


class Picture(NamedTuple):
    """One picture of a file: ``frame`` counts from 0; ``width`` and ``height`` are those of the whole, in pixels; ``dihedral`` has
    the bits of its eight turns and flips, the first as it is; ``whole`` is False where the end of the file is missing."""

    fingerprint: Fingerprint
    dihedral: tuple[bytes, ...]
    frame: int
    width: int
    height: int
    format: str
    mode: str
    whole: bool = True


def fingerprints(
    data: bytes | BinaryIO,
    most_frames: int = MOST_FRAMES,
    limits: Limits = Limits(),  # noqa: B008  a NamedTuple of numbers
) -> list[Picture]:
    """The pictures of a file, given whole or as an open stream, read from where it stands.

    An animation, or a file of several pages, gives each picture that differs from those before it; where they are more than
    ``most_frames``, as many of them as that at most, evenly spread. What comes after a damaged frame is lost, what came before
    is given.

    Raises ReadFailed where nothing can be decoded: no picture, damaged, or larger than ``limits``.
    """
    if not isinstance(data, bytes):
        data = data.read()
    kind = kind_of(data[:HEAD])
    if kind is None:
        raise ReadFailed("The file is no picture of a kind that is decoded here.")
    # Other libraries (WeasyPrint, when a report is printed) ask Pillow to make something of cut files: the fingerprint would be
    # another one according to who was loaded before.
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        return _spread(_decoded(data, kind, Allowance(limits)), max(1, most_frames))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _spread(frames: Iterable[Frame], most: int) -> list[Picture]:
    kept: list[Picture] = []
    seen: set[bytes] = set()
    step = 1
    for number, frame in enumerate(frames):
        fingerprint, forms = of_luma_and_turns(frame.luma, frame.full)
        if fingerprint.bits in seen:
            continue
        if len(seen) % step == 0:
            if len(kept) == most:  # every second one goes, and of those to come too
                kept, step = kept[::2], step * 2
            if len(seen) % step == 0:
                height, width = frame.full
                kept.append(Picture(fingerprint, forms, number, width, height, frame.kind, frame.mode, frame.whole))
        seen.add(fingerprint.bits)
    return kept


def _decoded(data: bytes, kind: str, allowance: Allowance) -> Iterator[Frame]:
    """Frames until the first that cannot be decoded. Raises ReadFailed where that is the first of all."""
    frames = _frames(data, kind, allowance)
    number = 0
    while (frame := _next(frames, number == 0)) is not None:
        yield frame
        number += 1


def _next(frames: Iterator[Frame], first: bool) -> Frame | None:
    try:
        frame = next(frames, None)
        if frame is not None or not first:
            return frame
    except ReadFailed:
        if first:
            raise
    except Image.DecompressionBombError:  # Pillow looked before we could
        if first:
            raise ReadFailed("The picture claims more pixels than are decoded here: examine it by itself.") from None
    except MemoryError:
        if first:
            raise ReadFailed("To decode the picture takes more memory than there is: examine it by itself.") from None
    except Exception:  # noqa: S110  a decoder may raise anything over a hostile file, and its words mean nothing to the user
        pass
    if first:
        raise ReadFailed("The picture is damaged or cut off, and cannot be decoded.")
    return None


def _frames(data: bytes, kind: str, allowance: Allowance) -> Iterator[Frame]:
    if kind == "JPEG":
        yield jpeg.decode(data, allowance)
    elif kind == "HEIF":
        yield from heif.decode(data, allowance)
    elif kind == "RAW":
        yield raw.decode(data, raw.previews(data), allowance)
    elif kind == "TIFF":
        yield from _of_tiff(data, allowance)
    else:
        yield from many.decode(data, kind, allowance)


def _of_tiff(data: bytes, allowance: Allowance) -> Iterator[Frame]:
    """The pages of a TIFF file, or of a camera file that is built as one the preview: its first page is smaller, or cannot be
    decoded."""
    inside = raw.previews(data)
    if inside and (data[8:10] == b"CR" or inside[0].width * inside[0].height > many.first_page(data)):
        yield raw.decode(data, inside, allowance)
        return
    pages = many.decode(data, "TIFF", allowance)
    try:
        first = next(pages, None)
    except Exception:
        if not inside:
            raise
        yield raw.decode(data, inside, allowance)
        return
    if first is not None:
        yield first
        yield from pages
