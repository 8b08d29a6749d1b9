"""HEIC, by libheif and libde265 (the package pi_heif, which can decode and holds no encoder under the GPL)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from amparo.errors import ReadFailed
from amparo.known.pictures.luma import Allowance, Frame, luma_of

_BYTES: Final = 12  # a pixel, at the peak


def decode(data: bytes, allowance: Allowance) -> Iterator[Frame]:
    """The pictures of a file, the primary one first, turned as the file says they are to be shown: that is part of the picture
    in this format, where a JPEG's orientation is a note beside it.

    Raises ReadFailed where the first is too large, or the package is not there; any exception of its own for what is damaged.
    """
    try:
        import pi_heif  # type: ignore[import-untyped]
    except ImportError:
        raise ReadFailed("Pictures of this kind (HEIC) are decoded by the package pi_heif: install it.") from None
    file = pi_heif.open_heif(io.BytesIO(data))
    order = sorted(range(len(file)), key=lambda number: number != file.primary_index)
    for number in order:
        image = file[number]
        width, height = image.size
        if not allowance.take(width, height, _BYTES):
            return
        decoded = image.to_pillow()
        yield Frame(luma_of(decoded), (decoded.height, decoded.width), "HEIF", decoded.mode)
