"""JPEG, decoded to grey at the smallest of 1, 1/2, 1/4 and 1/8 that leaves 256 pixels each way.

What takes the time is then the entropy decoding, which nothing can leave out. A file whose end is missing is decoded as far as
it goes, and counts where at least three quarters of its rows are there: a picture recovered from deleted space is often so.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL.JpegImagePlugin import JpegImageFile

from amparo.errors import ReadFailed
from amparo.known.pictures.luma import Allowance, Frame, luma_of

SIDE: Final = 256  # pixels that the reduction leaves each way, at least
_ENOUGH: Final = 75  # per cent of the rows
_END: Final = b"\xff\xd9"
_SCAN: Final = b"\xff\xda"
_SCANS: Final = 16  # times the limit of pixels, over all scans: a progressive file may have thousands


def decode(data: bytes, allowance: Allowance) -> Frame:
    """The picture of a JPEG file. Raises ReadFailed where it is too large, or too little of it is there; any exception of
    Pillow's where it is damaged."""
    image = JpegImageFile(io.BytesIO(data))
    pixels, progressive = image.width * image.height, "progressive" in image.info
    # Where there are several scans, the coefficients of all channels lie in memory until the last one, two bytes each. To count
    # them takes time, so it is done only where it matters (one more may be that of a thumbnail).
    held = 2 * len(image.layer)
    several = progressive or (pixels * held > allowance.limits.memory and data.count(_SCAN) > 1)
    allowance.take(image.width, image.height, held + 0.5 if several else 1)
    if progressive and data.count(_SCAN) * pixels > _SCANS * allowance.limits.pixels:
        raise ReadFailed("The picture is stored in more passes than is decoded here: examine it by itself.")
    full, mode = (image.height, image.width), image.mode
    try:
        return Frame(_reduced(image), full, "JPEG", mode)
    except OSError as error:
        if "truncated" not in str(error):
            raise
    luma = _reduced(JpegImageFile(io.BytesIO(data + _END)))
    return Frame(_mended(luma, 16 * len(luma) // full[0]), full, "JPEG", mode, whole=False)


def _mended(luma: npt.NDArray[np.uint8], block: int) -> npt.NDArray[np.uint8]:
    """``luma`` with the last row that is known in the place of those that are not; the decoder leaves them one grey.

    So the fingerprint of more pictures stays near to that of the whole than with grey: where a tenth is missing, of four in
    five, and of half of them otherwise. Raises ReadFailed where less than _ENOUGH is there.
    """
    there = np.flatnonzero((luma != luma[-1:, :1]).any(axis=1))
    known = int(there[-1]) + 1 if len(there) else 0
    if known * 100 < _ENOUGH * len(luma):
        raise ReadFailed(f"Only {known * 100 // len(luma):,} % of the picture is there, too little for a fingerprint.")
    if known == len(luma):
        return luma
    known = max(1, (known - 1) // max(1, block) * max(1, block))  # the last row of blocks may be there in part
    mended = luma.copy()
    mended[known:] = mended[known - 1]
    return mended


def _reduced(image: JpegImageFile) -> npt.NDArray[np.uint8]:
    image.draft("L", (SIDE, SIDE))
    image.load()
    return luma_of(image)
