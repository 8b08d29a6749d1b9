"""Generated shapes and gradients, as PNG, GIF or JPEG. No picture of anything or anybody."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from amparo.demo import jpeg

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Grid = npt.NDArray[np.int64]

WIDTH, HEIGHT = 200, 150

_COLOURS: Final = {
    "azul": (30, 80, 200), "vermelho": (200, 40, 40), "verde": (40, 150, 70), "amarelo": (230, 200, 40),
    "roxo": (120, 50, 160), "laranja": (240, 140, 30), "cinzento": (120, 120, 120), "turquesa": (30, 170, 170),
}  # fmt: skip
_FORMS: Final[dict[str, Callable[[Grid, Grid], Mask]]] = {
    "triangulo": lambda x, y: (y > 25) & (y < 125) & (abs(x - 100) * 2 < y - 25),
    "circulo": lambda x, y: (x - 100) ** 2 + (y - 75) ** 2 < 55**2,
    "quadrado": lambda x, y: (abs(x - 100) < 50) & (abs(y - 75) < 50),
    "anel": lambda x, y: abs((x - 100) ** 2 + (y - 75) ** 2 - 50**2) < 900,
    "losango": lambda x, y: abs(x - 100) + abs(y - 75) < 60,
    "riscas": lambda x, y: (x + 2 * y) // 16 % 2 == 0,
    "xadrez": lambda x, y: (x // 25 + y // 25) % 2 == 0,
    "cruz": lambda x, y: (abs(x - 100) < 18) | (abs(y - 75) < 18),
}


def draw(name: str, seed: int) -> Pixels:
    """The picture ``form-colour``, such as ``triangulo-azul``, on a gradient and a little noise that ``seed`` decides."""
    form, _, colour = name.partition("-")
    chance = random.Random(f"{name} {seed}")  # noqa: S311  the same picture each time is what is wanted
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.int64)
    light, slope = chance.randrange(150, 200), chance.randrange(20, 50)
    shade = light + x * slope // WIDTH + y * slope // HEIGHT // 2
    pixels = np.stack([shade, shade - chance.randrange(20), shade - chance.randrange(20)], axis=-1)
    pixels[_FORMS[form](x, y)] = _COLOURS[colour]
    noise = np.frombuffer(chance.randbytes(HEIGHT * WIDTH * 3), dtype=np.uint8).reshape(pixels.shape)
    return np.clip(pixels + noise % 8, 0, 255).astype(np.uint8)


def picture(name: str, suffix: str, seed: int) -> bytes:
    """The picture as a file: ``suffix`` is ``jpg``, ``png`` or ``gif``."""
    return {"jpg": jpeg.encode, "png": png, "gif": gif}[suffix](draw(name, seed))


def png(pixels: Pixels) -> bytes:
    """An (h, w, 3) picture as PNG (W3C, 2003): eight bits, no filter."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def gif(pixels: Pixels) -> bytes:
    """An (h, w, 3) picture as GIF 89a (CompuServe, 1990), in 216 fixed colours."""
    height, width = pixels.shape[:2]
    steps = (pixels.astype(np.int64) * 5 + 127) // 255
    colours = (steps[..., 0] * 36 + steps[..., 1] * 6 + steps[..., 2]).astype(np.uint8)
    palette = b"".join(bytes([r * 51, g * 51, b * 51]) for r in range(6) for g in range(6) for b in range(6))
    screen = struct.pack("<HHBBB", width, height, 0xF7, 0, 0)
    image = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0)
    coded = _lzw(colours.tobytes())
    blocks = b"".join(bytes([len(coded[at : at + 255])]) + coded[at : at + 255] for at in range(0, len(coded), 255))
    return b"GIF89a" + screen + palette.ljust(768, b"\0") + image + b"\x08" + blocks + b"\0;"


def _lzw(values: bytes) -> bytes:
    """Variable-length codes from nine to twelve bits, the table begun anew when it is full (GIF 89a, appendix F)."""
    clear, end = 256, 257
    codes = {bytes([value]): value for value in range(256)}
    following, width = 258, 9
    buffer, filled = clear, 9
    run = b""
    for value in values:
        longer = run + bytes([value])
        if longer in codes:
            run = longer
            continue
        buffer |= codes[run] << filled
        filled += width
        codes[longer] = following
        following += 1
        if following > 1 << width:
            width += 1
        if width > 12:
            buffer |= clear << filled
            filled += 12
            codes = {bytes([value]): value for value in range(256)}
            following, width = 258, 9
        run = bytes([value])
    buffer |= codes[run] << filled
    filled += width
    following += 1
    if following > 1 << width and width < 12:
        width += 1
    buffer |= end << filled
    filled += width
    return buffer.to_bytes(-(-filled // 8), "little")
