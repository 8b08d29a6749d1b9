"""From any colour mode to luma of eight bits, and what a decode may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from amparo.errors import ReadFailed
from amparo.known.pdq import LONGEST

_STRIP: Final = 4_000_000  # pixels converted at a time: a large picture is never held twice in colour
# By way of RGB: Pillow has no direct way, and CMYK must come out as its RGB twin does.
_BY_WAY_OF_RGB: Final = frozenset(("CMYK", "HSV", "RGBa", "RGBX"))


class Limits(NamedTuple):
    """What decoding one file may take. ``pixels``: of all its frames together. ``memory``: bytes, estimated from the size that
    the file claims, before anything is decoded."""

    pixels: int = 300_000_000
    memory: int = 3 << 29


class Frame(NamedTuple):
    """One picture of a file. ``luma`` is (h, w), the whole picture or a reduction of the ``full`` (height, width) by 2, 4 or 8;
    ``kind`` is the format as :func:`amparo.known.pictures.kind.kind_of` names it, ``RAW`` for a camera file's preview; ``mode``
    is Pillow's name of the colour mode it was stored in; ``whole`` is False where the end of the file is missing."""

    luma: npt.NDArray[np.uint8]
    full: tuple[int, int]
    kind: str
    mode: str
    whole: bool = True


@dataclass
class Allowance:
    """What is left of the limits."""

    limits: Limits
    used: int = 0

    def take(self, width: int, height: int, bytes_a_pixel: float) -> bool:
        """Whether a frame of this size may be decoded too. Raises ReadFailed where it may not, and is the file's first."""
        pixels = width * height
        fits = (
            0 < pixels <= self.limits.pixels - self.used
            and max(width, height) <= LONGEST
            and pixels * bytes_a_pixel <= self.limits.memory
        )
        if not fits and not self.used:
            if not pixels:
                raise ReadFailed("The picture has no pixels.")
            raise ReadFailed(
                f"The picture claims {width:,} × {height:,} pixels, more than is decoded here: examine it by itself."
            )
        self.used += pixels
        return fits


def luma_of(image: Image.Image) -> npt.NDArray[np.uint8]:
    """(h, w) luma of a decoded picture: 0.299 R + 0.587 G + 0.114 B, as the published program has it.

    A palette is applied. Transparency is dropped: the colours beneath count, whatever stands behind the picture. Sixteen bits
    keep their upper eight; 32 bits and floating point are taken as they are where they fit 0 to 255, as 16 bits or as 0 to 1
    where they fit those, and are stretched between their extremes otherwise.
    """
    if image.mode == "L":
        return np.asarray(image)
    width, height = image.size
    out = np.empty((height, width), np.uint8)
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        low, high = _extremes(values)
        rows = max(1, _STRIP // width)
        for top in range(0, height, rows):
            out[top : top + rows] = _stretched(values[top : top + rows], low, high)
        return out
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = image if rows >= height else image.crop((0, top, width, min(height, top + rows)))
        out[top : top + rows] = _converted(strip)
    return out


def _converted(strip: Image.Image) -> npt.NDArray[np.uint8]:
    if strip.mode.startswith("I;16"):
        return (np.asarray(strip) >> 8).astype(np.uint8)
    if strip.mode == "LAB":
        return np.asarray(strip.getchannel(0))
    if strip.mode in _BY_WAY_OF_RGB:
        strip = strip.convert("RGB")
    return np.asarray(strip.convert("L"))


def _extremes(values: npt.NDArray[np.generic]) -> tuple[float, float]:
    """The values that become black and white."""
    low, high = np.inf, -np.inf
    for row in values:  # by rows, so that little is held twice
        finite = row[np.isfinite(row)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 0.0
    if low < 0:
        return low, high
    if values.dtype.kind == "f" and high <= 1:
        return 0.0, 1.0
    if high <= 255:
        return 0.0, 255.0
    return (0.0, 65535.0) if high <= 65535 else (low, high)


def _stretched(values: npt.NDArray[np.generic], low: float, high: float) -> npt.NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # a file may hold any value
        scaled = (values.astype(np.float64) - low) * (255 / (high - low) if high > low else 0)
        return np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8)
