"""Generated landscapes, and copies of them that no digest finds any more: recompressed, smaller, mirrored, turned.

Hills of noise under a sky of noise: no place, nobody. The same number gives the same landscape.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from amparo.known import picture

WIDTH, HEIGHT = 480, 360
_OCTAVES: Final = 7


def landscape(number: int) -> Image.Image:
    """The landscape of this number."""
    chance = np.random.default_rng(number)
    light = np.zeros((HEIGHT, WIDTH))
    for octave in range(1, _OCTAVES):
        coarse = Image.fromarray((chance.random((2**octave + 1, 2**octave + 1)) * 255).astype(np.uint8))
        light += np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), float) / 1.6**octave
    light = (light - light.min()) / (light.max() - light.min())
    tint = chance.random(3) * 0.5 + 0.5
    return Image.fromarray((light[..., None] * tint * 255).astype(np.uint8))


def fingerprint(image: Image.Image) -> bytes:
    """The PDQ fingerprint of a picture as it is."""
    return picture.fingerprints(_saved(image, "PNG"))[0].fingerprint.bits


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


COPIES: Final[dict[str, Callable[[Image.Image], bytes]]] = {
    "recompressed": lambda image: _saved(image, "JPEG", quality=30),
    "smaller": lambda image: _saved(image.resize((WIDTH * 5 // 8, HEIGHT * 5 // 8), Image.Resampling.LANCZOS), "PNG"),
    "mirrored": lambda image: _saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "WEBP", quality=80),
    "turned": lambda image: _saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=75),
}
"""How a copy is changed, by the word for it; each gives a file."""


def unlike(number: int) -> bytes:
    """A landscape that is on no list, as a file."""
    return _saved(landscape(number), "JPEG", quality=85)
