"""The fingerprint of a decoded frame.

The published program turns a frame into RGB and that into luma again. What comes out is the luma that the decoder had,
stretched from 16..235 to 0..255 where the film is of video range. Stretching leaves the bits of a fingerprint as they are but
for rounding (4 of 256 at most, over the film of benchmarks/known_films.py) and changes its quality; so the
decoder's luma is used as it lies in memory, and stretched only where the quality is not full without it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from amparo.known import pdq

# Forms of pixels whose first plane is luma, a byte a pixel.
_LUMA_FIRST: Final = frozenset((
    "gray", "nv12", "nv16", "nv21", "nv24", "nv42", "yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p",
    "yuva420p", "yuva422p", "yuva444p", "yuvj411p", "yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p",
))  # fmt: skip
_STRETCHED: Final = np.array([min(255, max(0, round((v - 16) * 255 / 219))) for v in range(256)], np.uint8)
_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue in PDQ's luma
_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG


def fingerprint_of(frame: VideoFrame) -> pdq.Fingerprint:
    """The fingerprint of a frame in any form of pixels. Raises ValueError or an error of PyAV's where it cannot be converted."""
    form = frame.format
    if form.is_rgb or form.has_palette or form.is_bayer:
        colours = _plane(frame.reformat(format="rgb24"), 3).reshape(frame.height, frame.width, 3).astype(np.float32)
        return pdq.of_luma((colours @ _WEIGHTS + np.float32(0.5)).astype(np.uint8))
    grey = form.name.startswith("gray")
    full = grey or form.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    if form.name not in _LUMA_FIRST:  # more bits, packed, or one bit a pixel
        frame = frame.reformat(format="gray" if grey else "yuv420p")
    luma: Any = frame.planes[0]
    found = pdq.of_frame(luma, luma.line_size, frame.height, frame.width)
    if full or found.quality == 100:
        return found
    return pdq.Fingerprint(found.bits, pdq.of_luma(np.take(_STRETCHED, _plane(frame, 1))).quality)


def _plane(frame: VideoFrame, bytes_each: int) -> npt.NDArray[np.uint8]:
    """The first plane, (height, width * bytes_each), not copied."""
    plane: Any = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width * bytes_each]
