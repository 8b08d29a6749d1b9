"""What kind of picture a file is, by its first bytes; its name is never asked."""

from __future__ import annotations

from typing import Final

HEAD: Final = 64  # bytes that are enough

_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51\0", "JPEG2000"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"FUJIFILMCCD-RAW ", "RAW"),
)
_HEIF: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF: Final = frozenset((b"avif", b"avis"))


def kind_of(head: bytes) -> str | None:
    """``JPEG``, ``PNG``, ``GIF``, ``WEBP``, ``BMP``, ``TIFF`` (camera files that are built as one too), ``JPEG2000``, ``HEIF``,
    ``AVIF`` or ``RAW``; None where the file is no picture that can be fingerprinted. ``head`` are its first HEAD bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            # two letters are weak: a bitmap's header has one of a few lengths, none of them above 124
            return None if kind == "BMP" and (head[15:18] != bytes(3) or not 12 <= head[14] <= 124) else kind
    return None


def _of_brands(head: bytes) -> str | None:
    """ISO/IEC 14496-12: the file's own brand, then those that it can be read as."""
    length = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] == b"crx ":
        return "RAW"
    for brand in brands:
        if brand in _AVIF:
            return "AVIF"
        if brand in _HEIF:
            return "HEIF"
    return "HEIF" if brands[0] in (b"mif1", b"msf1") else None
