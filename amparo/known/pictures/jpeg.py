"""JPEG, decoded to grey at the smallest of 1, 1/2, 1/4 and 1/8 that leaves 256 pixels each way.

What takes the time is then the entropy decoding, which nothing can leave out. A file whose end is missing is decoded as far as
it goes, and counts where at least three quarters of its rows are there: a picture recovered from deleted space is often so.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from amparo.errors import ReadFailed
from amparo.known.pictures.luma import Allowance, Frame, luma_of

SIDE: Final = 256  # pixels that the reduction leaves each way, at least
_ENOUGH: Final = 75  # per cent of the rows
_END: Final = b"\xff\xd9"
_SCANS: Final = 16  # times the limit of pixels, over all scans: a progressive file may have thousands


def decode(data: bytes, allowance: Allowance) -> Frame:
    """The picture of a JPEG file. Raises ReadFailed where it is too large, or too little of it is there; any exception of
    Pillow's where it is damaged."""
    image = JpegImageFile(io.BytesIO(data))
    progressive = "progressive" in image.info
    channels = len(image.layer)
    # the coefficients of all channels lie in memory until the last scan, two bytes each
    allowance.take(*image.size, 2 * channels + 0.5 if progressive else 1)
    if progressive and data.count(b"\xff\xda") * image.width * image.height > _SCANS * allowance.limits.pixels:
        raise ReadFailed("The picture is stored in more passes than is decoded here: examine it by itself.")
    full, mode = (image.height, image.width), image.mode
    try:
        return Frame(_reduced(image), full, mode)
    except OSError as error:
        if "truncated" not in str(error):
            raise
    luma = _reduced(JpegImageFile(io.BytesIO(data + _END)))
    # the decoder leaves grey where nothing is known
    there = np.flatnonzero((luma != luma[-1:, :1]).any(axis=1))
    share = (int(there[-1]) + 1) * 100 // len(luma) if len(there) else 0
    if share < _ENOUGH:
        raise ReadFailed(f"Only {share:,} % of the picture is there, too little for a fingerprint.")
    return Frame(luma, full, mode, whole=False)


def _reduced(image: JpegImageFile) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image.draft("L", (SIDE, SIDE))
    image.load()
    return luma_of(image)
