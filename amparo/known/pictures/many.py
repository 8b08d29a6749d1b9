"""The formats that Pillow decodes whole, frame by frame: PNG, GIF, WebP, AVIF, TIFF, BMP and JPEG 2000."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from typing import Final

from PIL import Image

from amparo.errors import ReadFailed
from amparo.known.pictures.luma import Allowance, Frame, Limits, luma_of

FRAMES: Final = 10_000  # looked at; the pixels of all of them are bounded too

# Bytes that decoding takes for each pixel at its peak, measured (benchmarks/known_pictures.py --part memory) and rounded up.
_BYTES: Final = {"PNG": 6, "GIF": 14, "WEBP": 20, "AVIF": 14, "TIFF": 13, "BMP": 6, "JPEG2000": 24}
# Pillow asks about size while it opens a file, and the answer here comes right after: it must not warn of what is allowed.
# Over hostile files it warns of much, on the user's terminal. (What libtiff says there itself, only the caller can silence.)
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, Limits().pixels)


def decode(data: bytes, kind: str, allowance: Allowance) -> Iterator[Frame]:
    """The frames of a file, as far as the limits go. Raises ReadFailed where the first is too large already; any exception of
    Pillow's where the file is damaged."""
    if kind == "WEBP":
        _ask_first(data, allowance.limits)
    plugins = {"BMP": ("BMP", "DIB")}.get(kind, (kind,))
    with Image.open(io.BytesIO(data), formats=plugins) as image:
        for number in range(FRAMES):
            try:
                image.seek(number)
            except EOFError:
                return
            if not allowance.take(*image.size, _BYTES[kind]):
                return
            mode = image.mode
            image.load()
            yield Frame(luma_of(image), (image.height, image.width), kind, mode)


def first_page(data: bytes) -> int:
    """How many pixels the first page of a TIFF file has; 0 where it cannot be opened."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            return image.width * image.height
    except Exception:
        return 0


def _ask_first(data: bytes, limits: Limits) -> None:
    """The decoder of WebP makes room for the picture as soon as a file is opened, so its size is read here before
    (WebP Container Specification; RFC 6386, 9.1; WebP Lossless Bitstream, 3)."""
    chunk, body = data[12:16], data[20:30].ljust(10, b"\0")
    if chunk == b"VP8X":
        size = int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    elif chunk == b"VP8 ":
        size = int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    elif chunk == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        size = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        raise ReadFailed("The picture is damaged or cut off, and cannot be decoded.")
    Allowance(limits).take(*size, _BYTES["WEBP"])
