"""A small baseline JPEG writer, in whole numbers, so that the same pixels give the same bytes on every machine.

ITU-T T.81: annex A (blocks), F.1 (baseline coding), and the example tables of annex K, which most cameras use as they are.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_LUMINANCE: Final = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87,
    80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92,
    95, 98, 112, 100, 103, 99,
)  # fmt: skip
_DC_COUNTS: Final = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
_DC_VALUES: Final = bytes(range(12))
_AC_COUNTS: Final = bytes((0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125))
_AC_VALUES: Final = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a"
    "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
)
_ZIGZAG: Final = sorted(
    range(64), key=lambda at: (at // 8 + at % 8, at // 8 if (at // 8 + at % 8) % 2 else at % 8)
)  # each diagonal the other way round
_SCALE: Final = 1 << 12


def _cosines() -> Ints:
    rows = np.arange(8)[:, None]
    columns = np.arange(8)[None, :]
    matrix = np.cos((2 * columns + 1) * rows * np.pi / 16) / 2
    matrix[0] = np.sqrt(1 / 8)
    return np.rint(matrix * _SCALE).astype(np.int64)


_COSINES: Final = _cosines()


def encode(pixels: Pixels, quality: int = 85) -> bytes:
    """The JFIF file of an (h, w, 3) picture; ``quality`` from 1 to 100, in the scale that is in common use."""
    height, width = pixels.shape[:2]
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = np.clip((np.array(_LUMINANCE, dtype=np.int64) * percent + 50) // 100, 1, 255)
    planes = [_coefficients(plane, table) for plane in _planes(pixels)]
    dc, ac = _codes(_DC_COUNTS, _DC_VALUES), _codes(_AC_COUNTS, _AC_VALUES)
    bits = _Bits()
    before = [0, 0, 0]
    for block in range(len(planes[0])):
        for index, plane in enumerate(planes):
            before[index] = _block(bits, plane[block], before[index], dc, ac)
    out = b"\xff\xd8" + _segment(0xE0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0))
    out += _segment(0xDB, bytes([0, *(int(table[at]) for at in _ZIGZAG)]))
    out += _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3)))
    out += _segment(0xC4, b"\x00" + _DC_COUNTS + _DC_VALUES) + _segment(0xC4, b"\x10" + _AC_COUNTS + _AC_VALUES)
    out += _segment(0xDA, b"\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00")
    return out + bits.closed() + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _planes(pixels: Pixels) -> list[Ints]:
    """Brightness and two colour differences (JFIF 1.02), around zero."""
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    brightness = (19595 * red + 38470 * green + 7471 * blue) >> 16
    return [
        brightness - 128,
        (-11059 * red - 21709 * green + 32768 * blue) >> 16,
        (32768 * red - 27439 * green - 5329 * blue) >> 16,
    ]


def _coefficients(plane: Ints, table: Ints) -> list[list[int]]:
    """The quantised coefficients of every block, in zigzag order; the last rows and columns are repeated to fill a block."""
    height, width = plane.shape
    full = np.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")
    blocks = full.reshape(full.shape[0] // 8, 8, -1, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    turned = (_COSINES @ blocks @ _COSINES.T).reshape(-1, 64)
    step = table * _SCALE * _SCALE
    coefficients: list[list[int]] = ((turned + step // 2) // step)[:, _ZIGZAG].tolist()
    return coefficients


def _codes(counts: bytes, values: bytes) -> dict[int, tuple[int, int]]:
    """For each value its code and the code's length (T.81, C.2)."""
    codes: dict[int, tuple[int, int]] = {}
    code = at = 0
    for length, count in enumerate(counts, 1):
        for value in values[at : at + count]:
            codes[value] = code, length
            code += 1
        at += count
        code <<= 1
    return codes


class _Bits:
    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, code: int, length: int) -> None:
        """Add the lowest ``length`` bits of ``code``."""
        if length:
            self._bits.append(f"{code:0{length}b}")

    def closed(self) -> bytes:
        """All bits, filled up with ones; a zero follows every 0xFF, which would else be a marker."""
        text = "".join(self._bits)
        text += "1" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _block(
    bits: _Bits, block: list[int], before: int, dc: dict[int, tuple[int, int]], ac: dict[int, tuple[int, int]]
) -> int:
    _number(bits, block[0] - before, 0, dc)
    zeros = 0
    for value in block[1:]:
        if not value:
            zeros += 1
            continue
        for _ in range(zeros // 16):
            bits.put(*ac[0xF0])
        _number(bits, value, zeros % 16, ac)
        zeros = 0
    if zeros:
        bits.put(*ac[0])
    return block[0]


def _number(bits: _Bits, value: int, zeros: int, codes: dict[int, tuple[int, int]]) -> None:
    size = abs(value).bit_length()
    bits.put(*codes[zeros << 4 | size])
    bits.put(value if value > 0 else value + (1 << size) - 1, size)
