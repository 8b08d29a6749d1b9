"""What kind of content a file holds, told by its first bytes.

Promise: the content decides. A path's ending may only tell apart what the bytes leave open (a text that is a table, a ZIP that
is a document), so a picture named ``.dll`` is still a picture. A file of unknown kind gives None. Marks come from
``content_type.toml``; what needs more than marks is in this module. Nothing here raises for any bytes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amparo.evidence.content_text import ending_of, text_kind

HEAD: Final = 4096
"""How many first bytes are looked at."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_DECLARED: Final = re.compile(rb"mimetype((?:application|image|text)/[\w.+-]+)")
_ZIPS: Final = {
    "docx": _OFFICE + "wordprocessingml.document",
    "xlsx": _OFFICE + "spreadsheetml.sheet",
    "pptx": _OFFICE + "presentationml.presentation",
    "docm": "application/vnd.ms-word.document.macroEnabled.12",
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "pptm": "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    "vsdx": "application/vnd.ms-visio.drawing",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
    "apk": "application/vnd.android.package-archive",
    "kmz": "application/vnd.google-earth.kmz",
    "xpi": "application/x-xpinstall",
    "cbz": "application/vnd.comicbook+zip",
}
"""Kinds of ZIP that their ending tells apart."""
_OLES: Final = {
    "doc": "application/msword",
    "dot": "application/msword",
    "xls": "application/vnd.ms-excel",
    "xlt": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "pps": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
    "msi": "application/x-msi",
    "vsd": "application/vnd.visio",
    "pub": "application/vnd.ms-publisher",
}
_OLE_NAMES: Final = tuple(
    (name.encode("utf-16-le"), mime)
    for name, mime in (
        ("WordDocument", _OLES["doc"]),
        ("Workbook", _OLES["xls"]),
        ("PowerPoint Document", _OLES["ppt"]),
        ("__nameid_version1.0", _OLES["msg"]),
        ("__properties_version1.0", _OLES["msg"]),
        ("VisioDocument", _OLES["vsd"]),
        ("Catalog\0", "application/x-thumbs-db"),
        ("256_", "application/x-thumbs-db"),
        ("96_", "application/x-thumbs-db"),
        ("Book\0", _OLES["xls"]),
    )
)
_RAWS: Final = {
    "nef": (b"NIKON", "image/x-nikon-nef"),
    "nrw": (b"NIKON", "image/x-nikon-nef"),
    "arw": (b"SONY", "image/x-sony-arw"),
    "sr2": (b"SONY", "image/x-sony-arw"),
    "pef": (b"PENTAX", "image/x-pentax-pef"),
    "srw": (b"SAMSUNG", "image/x-samsung-srw"),
    "3fr": (b"Hasselblad", "image/x-hasselblad-3fr"),
    "iiq": (b"Phase One", "image/x-phaseone-iiq"),
    "erf": (b"EPSON", "image/x-epson-erf"),
    "dcr": (b"Kodak", "image/x-kodak-dcr"),
}
_BRANDS: Final = (
    dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic")
    | dict.fromkeys((b"avif", b"avis"), "image/avif")
    | dict.fromkeys((b"M4V ", b"M4VH", b"M4VP"), "video/x-m4v")
    | dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), "audio/mp4")
    | {b"qt  ": "video/quicktime", b"crx ": "image/x-canon-cr3", b"jp2 ": "image/jp2", b"jxl ": "image/jxl"}
)
_STILL_BRANDS: Final = frozenset((b"mif1", b"mif2", b"msf1", b"miaf"))
_RIFFS: Final = {
    b"WEBP": "image/webp",
    b"AVI ": "video/x-msvideo",
    b"AVIX": "video/x-msvideo",
    b"WAVE": "audio/wav",
    b"RMID": "audio/midi",
    b"ACON": "application/x-navi-animation",
    b"CDXA": "video/mpeg",
}
_Look = Callable[[bytes, str], str | None]


def _riff(head: bytes, path: str) -> str | None:
    return _RIFFS.get(head[8:12], "application/x-riff") if head[:4] in (b"RIFF", b"RIFX", b"RF64") else None


def _zip(head: bytes, path: str) -> str | None:
    if head[:4] not in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return None
    declared = _DECLARED.match(head, 30)
    if declared and head[8:10] == b"\0\0":
        # The text runs on into the next header's mark where the length is not asked.
        length = int.from_bytes(head[22:26], "little")
        return head[38 : 38 + length].decode("ascii", "replace") if 0 < length < 128 else declared[1].decode()
    if b"[Content_Types].xml" in head or b"_rels/.rels" in head or b"docProps/" in head:
        for folder, kind in ((b"word/", "docx"), (b"xl/", "xlsx"), (b"ppt/", "pptx"), (b"visio/", "vsdx")):
            if folder in head:
                ending = ending_of(path)
                return _ZIPS[ending] if ending in ("docm", "xlsm", "pptm") and ending[0] == kind[0] else _ZIPS[kind]
    elif b"AndroidManifest.xml" in head or b"classes.dex" in head:
        return _ZIPS["apk"]
    elif head.startswith(b"META-INF/", 30):
        return _ZIPS["apk"] if ending_of(path) == "apk" else _ZIPS["jar"]
    return _ZIPS.get(ending_of(path), "application/zip")


def _ole(head: bytes, path: str) -> str | None:
    if head[:8] != b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return None
    for name, mime in _OLE_NAMES:
        if name in head:
            return mime
    last = path.rpartition("/")[2].lower()
    if last == "thumbs.db" or (last.startswith("ehthumbs") and last.endswith(".db")):
        return "application/x-thumbs-db"
    return _OLES.get(ending_of(path), "application/x-ole-storage")


def _tiff(head: bytes, path: str) -> str | None:
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    if head[8:10] == b"CR" and head[:2] == b"II":
        return "image/x-canon-cr2"
    order = "little" if head[:1] == b"I" else "big"
    first = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    count = int.from_bytes(head[first : first + 2], order)  # type: ignore[arg-type]
    version = b"\x12\xc6" if order == "little" else b"\xc6\x12"  # DNGVersion, 50706
    for at in range(first + 2, min(first + 2 + 12 * count, len(head)), 12):
        if head[at : at + 2] == version:
            return "image/x-adobe-dng"
    maker, mime = _RAWS.get(ending_of(path), (b"", "image/tiff"))
    return mime if maker in head else "image/tiff"


def _ebml(head: bytes, path: str) -> str | None:
    if head[:4] != b"\x1aE\xdf\xa3":
        return None
    return "video/webm" if b"webm" in head[:80] else "video/x-matroska"


def _ogg(head: bytes, path: str) -> str | None:
    if head[:4] != b"OggS":
        return None
    if b"\x80theora" in head or b"fishead\0" in head or b"\x01video" in head:
        return "video/ogg"
    return "audio/ogg" if head[28:29] else "application/ogg"


def _form(head: bytes, path: str) -> str | None:
    if head[:4] != b"FORM":
        return None
    return {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff", b"ILBM": "image/x-ilbm"}.get(head[8:12], "application/x-iff")


def _bmp(head: bytes, path: str) -> str | None:
    known = head[14:18] in _BITMAP_HEADERS and head[6:10] == b"\0\0\0\0"
    return "image/bmp" if known else None


_BITMAP_HEADERS: Final = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))


def _icon(head: bytes, path: str) -> str | None:
    count = int.from_bytes(head[4:6], "little")
    if head[3:4] != b"\0" or not 0 < count < 512 or len(head) < 22 or head[9]:
        return None
    return {1: "image/vnd.microsoft.icon", 2: "image/x-win-cursor"}.get(head[2])


def _program(head: bytes, path: str) -> str | None:
    at = int.from_bytes(head[60:64], "little")
    if head[at : at + 4] == b"PE\0\0":
        return "application/vnd.microsoft.portable-executable"
    return "application/x-dosexec" if len(head) >= 64 and b"\0" in head[:64] else None


def _film_stream(head: bytes, path: str) -> str | None:
    """Bare H.264 and HEVC, as cameras of buildings export it: a parameter set comes first."""
    if head[:4] == b"\0\0\0\x01" and len(head) > 6:
        if head[4] & 0x9F == 0x07:
            return "video/h264"
        return "video/h265" if head[4] in (0x40, 0x42) and head[5] == 1 else None
    return None


def _lzma(head: bytes, path: str) -> str | None:
    """LZMA alone has no mark: usual properties, a dictionary of a usual size, and a length that is left open or sane."""
    dictionary, length = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    usual = dictionary >= 1 << 12 and dictionary.bit_count() <= 2 and len(head) > 13
    return "application/x-lzma" if usual and (length == (1 << 64) - 1 or length < 1 << 40) else None


def _portable(head: bytes, path: str) -> str | None:
    found = re.match(rb"P([1-6])(?:\s|#[^\n]*\n)+\d+\s+\d+\s", head[:256])
    return ("bitmap", "graymap", "pixmap")[(found[1][0] - 49) % 3].join(("image/x-portable-", "")) if found else None


def _media(head: bytes) -> str | None:
    """ISO/IEC 14496-12 and QuickTime: the brand, or the boxes that films had before there were brands."""
    kind = head[4:8]
    size = int.from_bytes(head[:4], "big")
    if kind != b"ftyp":
        if kind in (b"moov", b"mdat", b"wide", b"pnot") or head[size + 4 : size + 8] in (b"moov", b"mdat", b"wide"):
            return "video/quicktime" if size == 1 or size >= 8 or (kind == b"mdat" and not size) else None
        return None
    brand = head[8:12]
    if brand in _STILL_BRANDS:
        for at in range(16, min(size, len(head), 272), 4):
            if (mime := _BRANDS.get(head[at : at + 4])) and mime.startswith("image/"):
                return mime
        return "image/heif"
    if brand[:2] == b"3g":
        return "video/3gpp2" if brand[2:3] == b"2" else "video/3gpp"
    return _BRANDS.get(brand, "video/mp4")


_BOXES: Final = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))


_Row = tuple[bytes, tuple[tuple[int, bytes], ...], str | _Look]
_LOOKS: Final[tuple[tuple[bytes, _Look], ...]] = (
    (b"RI", _riff),
    (b"RF", _riff),
    (b"PK", _zip),
    (b"\xd0\xcf", _ole),
    (b"II", _tiff),
    (b"MM", _tiff),
    (b"\x1aE", _ebml),
    (b"Og", _ogg),
    (b"FO", _form),
    (b"BM", _bmp),
    (b"\0\0", _icon),
    (b"\0\0", _film_stream),
    (b"MZ", _program),
    (b"]\0", _lzma),
    *((b"P" + digit, _portable) for digit in (b"1", b"2", b"3", b"4", b"5", b"6")),
)


def _rows() -> tuple[dict[bytes, tuple[_Row, ...]], tuple[_Row, ...]]:
    """Rows by their first two bytes, longest first mark first; and those whose first mark lies further on."""
    with (Path(__file__).with_suffix(".toml")).open("rb") as table:
        written = tomllib.load(table)["type"]
    near: dict[bytes, list[_Row]] = {}
    far: list[_Row] = []
    for row in written:
        marks = sorted((int(at), bytes.fromhex(mark)) for at, mark in row["marks"])
        if marks[0][0]:
            far.append((b"", tuple(marks), row["mime"]))
        else:
            near.setdefault(marks[0][1][:2], []).append((marks[0][1], tuple(marks[1:]), row["mime"]))
    for rows in near.values():
        rows.sort(key=lambda row: -len(row[0]))
    for start, look in _LOOKS:
        near.setdefault(start, []).append((start, (), look))
    return {start: tuple(rows) for start, rows in near.items()}, tuple(far)


_NEAR, _FAR = _rows()


def mime_of(head: bytes, path: str) -> str | None:
    """The media type of a content that begins with ``head`` (its first 4,096 bytes, or all of it); None where unknown.

    Signatures: the specification named in each row of ``content_type.toml``. ``path`` only refines.
    """
    for start, rest, found in _NEAR.get(head[:2], ()):
        if head.startswith(start) and (not rest or all(head.startswith(mark, at) for at, mark in rest)):
            mime = found if isinstance(found, str) else found(head, path)
            if mime is not None:
                return mime
    if head[4:8] in _BOXES and (mime := _media(head)) is not None:
        return mime
    for _, marks, found in _FAR:
        at, mark = marks[0]
        if head.startswith(mark, at) and all(head.startswith(mark, at) for at, mark in marks[1:]):
            assert isinstance(found, str)
            return found
    if not head:
        return None
    if head[0] == 0x47 and head[188:189] == head[376:377] == b"G":
        return "video/mp2t"
    if head[4:5] == head[196:197] == head[388:389] == b"G":
        return "video/mp2t"
    mime = text_kind(head, path)
    if mime is None and _old_tar(head):
        return "application/x-tar"
    return mime


def _old_tar(head: bytes) -> bool:
    """A tar header of before POSIX, which has no mark: its checksum stands."""
    if len(head) < 512 or not head[0]:
        return False
    field = head[148:156].strip(b" \0")
    if not field.isdigit():
        return False
    try:
        return int(field, 8) == sum(head[:148]) + 256 + sum(head[156:512])
    except ValueError:
        return False
