"""PDQ, the perceptual fingerprint of 256 bits that lists of known material carry (Facebook, 2017), from luma.

The description: "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (ThreatExchange, hashing.pdf). A
picture's luma is blurred by two passes of a box, 1/128 of the picture wide; 64 x 64 samples are taken from it; of their cosine
transform the frequencies 1 to 16 each way are kept; a bit says whether one is above the median of all. Two pictures are
the same for a match where at most 31 bits differ; a fingerprint whose quality is below 50 is not matched on.

Here blur and samples are one operator, which is linear and separable: 64 rows of weights for the picture's height and 64 for
its width, each of about 1/64 of it. A picture decoded at 1/2, 1/4 or 1/8, as a JPEG can be in a fraction of the time, is not
taken for the picture: the weight of one of its pixels is the sum of those of the pixels that it is the mean of.

Everything is integer, so that the kernel (``native/pdq.c``) gives the same bits on every processor, and the twin here, in
NumPy, the same again: weights sum to 2^14; a row of blurred luma is kept times 2^7, rounded; a sample times 2^21; for quality
and transform it is rounded to 2^7; cosines are times 2^14; coefficients come out times 2^17. Against the published program,
in single precision, the bits that differ are those of coefficients that lie on the median; docs/matching.md has how many.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_pdq: Callable[..., tuple[bytes, int]] | None
try:
    from amparo.known._native import pdq as _pdq
except ImportError:  # no compiler was at hand when the package was installed
    _pdq = None

SMALLEST: Final = 5  # pixels; the fingerprint of what has fewer either way is all zero, with quality 0
LONGEST: Final = 1 << 20  # pixels either way
FORMS: Final = ("original", "rotate90", "rotate180", "rotate270", "flipx", "flipy", "flip-plus-1", "flip-minus-1")
QUALITY: Final = 50  # below it a fingerprint is not matched on

_SIDE, _KEPT = 64, 16
# For each of FORMS: signs change with the column, with the row, once more everywhere; rows and columns are swapped.
_SIGNS: Final = (
    (0, 0, 0, 0),
    (1, 0, 1, 1),
    (1, 1, 0, 0),
    (0, 1, 1, 1),
    (0, 1, 1, 0),
    (1, 0, 1, 0),
    (0, 0, 0, 1),
    (1, 1, 0, 1),
)


class Fingerprint(NamedTuple):
    """``bits`` are 32 bytes, whose ``hex()`` is what the published program prints; ``quality`` is 0 to 100."""

    bits: bytes
    quality: int


def of_luma(luma: npt.NDArray[np.uint8], full: tuple[int, int] | None = None) -> Fingerprint:
    """The fingerprint of an (h, w) picture; its rows must be contiguous, a stride between them may be any.

    ``full`` is (height, width) of the picture that ``luma`` is a reduction of by 1, 2, 4 or 8, each of its pixels the mean of a
    block. Raises ValueError where the sizes do not fit, or a side is longer than LONGEST.
    """
    bits, quality = _forms(luma, full, 1)
    return Fingerprint(bits, quality)


def dihedral(luma: npt.NDArray[np.uint8], full: tuple[int, int] | None = None) -> tuple[bytes, ...]:
    """The bits of a picture's eight turns and flips, in the order of FORMS; arguments and errors as :func:`of_luma`."""
    return of_luma_and_turns(luma, full)[1]


def of_luma_and_turns(
    luma: npt.NDArray[np.uint8], full: tuple[int, int] | None = None
) -> tuple[Fingerprint, tuple[bytes, ...]]:
    """:func:`of_luma` and :func:`dihedral` at the cost of one."""
    bits, quality = _forms(luma, full, 8)
    return Fingerprint(bits[:32], quality), tuple(bits[at : at + 32] for at in range(0, 256, 32))


def of_frame(plane: bytes | memoryview, stride: int, height: int, width: int) -> Fingerprint:
    """The fingerprint of a luma plane as decoders have it: ``height`` rows of ``width`` bytes, ``stride`` bytes apart, not copied.

    Raises ValueError where the plane is too short, or a side is longer than LONGEST.
    """
    if _pdq is not None:
        return Fingerprint(*_pdq(plane, stride, height, width, height, width, 1, 1))
    flat = np.frombuffer(plane, np.uint8)
    if height < 1 or width < 1 or stride < width or len(flat) < (height - 1) * stride + width:
        raise ValueError("the buffer does not hold the picture")
    return of_luma(np.lib.stride_tricks.as_strided(flat, (height, width), (stride, 1), writeable=False))


def distance(one: bytes, other: bytes) -> int:
    """How many bits differ."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _forms(luma: npt.NDArray[np.uint8], full: tuple[int, int] | None, forms: int) -> tuple[bytes, int]:
    if luma.ndim != 2 or luma.dtype != np.uint8:
        raise ValueError("luma is an (h, w) array of bytes")
    height, width = luma.shape
    full_height, full_width = full or (height, width)
    for factor in (1, 2, 4, 8):
        if (height, width) == (-(-full_height // factor), -(-full_width // factor)):
            break
    else:
        raise ValueError("the picture is no reduction by 1, 2, 4 or 8 of one of the full size")
    if _pdq is None:
        return twin(luma, full_height, full_width, factor, forms)
    if luma.strides[1] != 1 or luma.strides[0] < width:
        luma = np.ascontiguousarray(luma)
    stride = luma.strides[0] if height > 1 else width
    whole = (
        luma
        if luma.flags.c_contiguous
        else np.lib.stride_tricks.as_strided(luma, ((height - 1) * stride + width,), (1,))
    )
    return _pdq(whole, stride, height, width, full_height, full_width, factor, forms)


# ---- the twin ----


def twin(luma: npt.NDArray[np.uint8], full_height: int, full_width: int, factor: int, forms: int) -> tuple[bytes, int]:
    """What the kernel gives, in NumPy: ``forms`` (1 or 8) times 32 bytes, and the quality."""
    if max(full_height, full_width) > LONGEST or min(full_height, full_width) < 1:
        raise ValueError("the sizes of the picture and of its reduction do not fit each other")
    if min(full_height, full_width) < SMALLEST:
        return bytes(32 * forms), 0
    down, across = weights(full_height, factor), weights(full_width, factor)
    rows = np.empty((_SIDE, luma.shape[1]), np.int64)
    for k, (start, values) in enumerate(down):
        rows[k] = (_product(values, luma[start : start + len(values)]) + (1 << 6)) >> 7
    samples = np.empty((_SIDE, _SIDE), np.int64)
    for k, (start, values) in enumerate(across):
        samples[:, k] = _product(rows[:, start : start + len(values)], values)
    kept = (samples + (1 << 13)) >> 14
    cosines = _cosines()
    once = (_product(cosines, kept - 16384) + 2) >> 2
    twice = (_product(once, cosines.T) + (1 << 15)) >> 16
    return _bits(twice, forms), _quality(kept)


@lru_cache(maxsize=64)
def weights(length: int, factor: int = 1) -> tuple[tuple[int, npt.NDArray[np.int64]], ...]:
    """For each of 64 samples of a dimension of ``length`` pixels, averaged ``factor`` at a time: the first pixel that counts,
    and the weights of it and of those after it, which sum to 2^14."""
    window = -(-length // (2 * _SIDE))
    right = window // 2
    left = window - 1 - right
    made = []
    for k in range(_SIDE):
        centre = (2 * k + 1) * length // (2 * _SIDE)
        second = np.arange(max(0, centre - left), min(length - 1, centre + right) + 1)
        lows, highs = np.maximum(0, second - left), np.minimum(length - 1, second + right)
        shares = (1 << 32) // (highs - lows + 1)
        total = int((shares * (highs - lows + 1)).sum())
        low, high = int(lows[0]), int(highs[-1])
        steps = np.zeros(high - low + 2, np.int64)
        np.add.at(steps, lows - low, shares)
        np.subtract.at(steps, highs + 1 - low, shares)
        sums = np.cumsum(np.cumsum(steps)[:-1])
        ends = np.minimum(np.arange(low // factor, high // factor + 1) * factor + factor - 1, high)
        rounded = ((sums[ends - low] << 15) + total) // (2 * total)
        made.append((low // factor, np.diff(rounded, prepend=0)))
    return tuple(made)


@cache
def _cosines() -> npt.NDArray[np.int64]:
    scale = (1 << 14) * math.sqrt(2 / _SIDE)
    return np.array(
        [
            [round(scale * math.cos(math.pi * (f + 1) * (2 * i + 1) / (2 * _SIDE))) for i in range(_SIDE)]
            for f in range(_KEPT)
        ],
        np.int64,
    )


def _product(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """A product of matrices of integers: exact, for no sum here reaches 2^53, and far quicker than NumPy's own."""
    return (one.astype(np.float64) @ other.astype(np.float64)).astype(np.int64)


def _quality(kept: npt.NDArray[np.int64]) -> int:
    """Steps between neighbouring samples, in whole hundredths of the range, summed; 9,000 of them are quality 100."""
    steps = sum(int((np.abs(np.diff(kept, axis=axis)) * 100 // (255 * 128)).sum()) for axis in (0, 1))
    return min(100, steps // 90)


def _bits(coefficients: npt.NDArray[np.int64], forms: int) -> bytes:
    column, row = np.arange(_KEPT)[None, :], np.arange(_KEPT)[:, None]
    found = b""
    for by_column, by_row, negative, turned in _SIGNS[:forms]:
        values = np.where((by_column * column + by_row * row + negative) % 2, -coefficients, coefficients)
        above = values > np.sort(values, axis=None)[_KEPT * _KEPT // 2 - 1]
        found += np.packbits((above.T if turned else above).ravel(), bitorder="little")[::-1].tobytes()
    return found
