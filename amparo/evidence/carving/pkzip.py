"""ZIP, and the documents that are one: PKWARE's APPNOTE 6.3.10, local headers, central directory and end agreeing."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from typing import Final
from zlib import crc32

from amparo.evidence.carving.reach import Broken, Outline, Reach

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_DESCRIPTOR, _END64, _LOCATOR64 = b"PK\x07\x08", b"PK\x06\x06", b"PK\x06\x07"
_METHODS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 18, 19, 20, 93, 94, 95, 96, 97, 98, 99})
_STREAMED: Final = 8
_UNKNOWN: Final = 0xFFFFFFFF
_MOST_NAME: Final = 4096
_MOST_MEMBERS: Final = 1 << 20
_OFFICE: Final = {
    b"word/": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    b"xl/": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    b"ppt/": ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
}
_DECLARED: Final = {
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.oasis.opendocument.graphics": "odg",
    "application/epub+zip": "epub",
}


class _Members:
    """Where each member begins, and a checksum of its name, in the order of the archive: 12 bytes a member."""

    def __init__(self) -> None:
        self.places, self.names = array("Q"), array("I")

    def add(self, at: int, name: bytes) -> None:
        if len(self.places) >= _MOST_MEMBERS:
            raise Broken
        self.places.append(at)
        self.names.append(crc32(name))

    def check(self, at: int, name: bytes) -> None:
        """A member of this name begins at ``at``."""
        place = bisect_left(self.places, at)
        if place == len(self.places) or self.places[place] != at or self.names[place] != crc32(name):
            raise Broken


def outline(reach: Reach) -> Outline:
    """From the first local header to the end record and its comment.

    Every member is stepped over; where its length stands only behind it, the data descriptor must give that length.
    The central directory must name those members and no others, and the end record (or its 64-bit form) give the
    directory's place, size and count. Archives in several parts, and padded or signed ones (Android), are refused.
    Raises Broken.
    """
    members = _Members()
    mime, kind = "application/zip", "zip"
    at = 0
    while (mark := reach.take(at, 4)) == _LOCAL:
        begin = at
        name, body, at = _member(reach, at)
        members.add(begin, name)
        if len(members.places) == 1 and name == b"mimetype" and body[1] - body[0] < 128:
            declared = reach.take(body[0], body[1] - body[0]).decode("ascii", "replace")
            mime, kind = (declared, _DECLARED[declared]) if declared in _DECLARED else (mime, kind)
        elif kind == "zip":
            mime, kind = next((known for start, known in _OFFICE.items() if name.startswith(start)), (mime, kind))
    directory = at
    count = 0
    while mark == _CENTRAL:
        at = _entry(reach, at, members)
        count += 1
        if count > len(members.places):
            raise Broken
        mark = reach.take(at, 4)
    if not count or count != len(members.places):
        raise Broken
    return Outline(_finish(reach, at, mark, directory, count), mime, kind)


def _member(reach: Reach, at: int) -> tuple[bytes, tuple[int, int], int]:
    """Name, body (begin, end) and the offset behind the member, its descriptor included."""
    version, flags, method, _, _, _, packed, size, name_length, extra_length = struct.unpack(
        "<HHHHHIIIHH", reach.take(at + 4, 26)
    )
    if version & 255 > 99 or flags & 0xC000 or method not in _METHODS or not 0 < name_length <= _MOST_NAME:
        raise Broken
    name = reach.take(at + 30, name_length)
    begin = at + 30 + name_length + extra_length
    wide = packed == _UNKNOWN or size == _UNKNOWN
    if wide:
        packed = _wide_size(reach.take(at + 30 + name_length, extra_length), size == _UNKNOWN, packed)
    if flags & _STREAMED and not packed:
        end = _described(reach, begin)
        return name, (begin, end[0]), end[1]
    end_of_body = begin + packed
    after = end_of_body
    if flags & _STREAMED and reach.take(after, 4) == _DESCRIPTOR:
        # The two widths cannot be told apart by the header alone: the one that a signature follows is meant.
        after += next((width for width in (16, 24) if reach.take(after + width, 2) == b"PK"), 1 << 62)
    return name, (begin, end_of_body), after


def _wide_size(extra: bytes, size_is_wide: bool, packed: int) -> int:
    """The packed size as the ZIP64 extra field gives it."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            where = at + 4 + (8 if size_is_wide else 0)
            if packed != _UNKNOWN:
                return packed
            if where + 8 > at + 4 + length or where + 8 > len(extra):
                raise Broken
            return int.from_bytes(extra[where : where + 8], "little")
        at += 4 + length
    raise Broken


def _described(reach: Reach, begin: int) -> tuple[int, int]:
    """The end of a body whose length stands behind it, and the offset behind that descriptor."""
    at = begin
    while True:
        at = reach.find(_DESCRIPTOR, at)
        narrow = int.from_bytes(reach.take(at + 8, 4), "little")
        if narrow == at - begin and reach.take(at + 16, 2) == b"PK":
            return at, at + 16
        if int.from_bytes(reach.take(at + 8, 8), "little") == at - begin and reach.take(at + 24, 2) == b"PK":
            return at, at + 24
        at += 4


def _entry(reach: Reach, at: int, members: _Members) -> int:
    """Check one entry of the central directory; the offset behind it."""
    fields = struct.unpack("<HHHHHHIIIHHHHHII", reach.take(at, 46)[4:])
    name_length, extra_length, comment_length, offset = fields[9], fields[10], fields[11], fields[15]
    if not 0 < name_length <= _MOST_NAME:
        raise Broken
    if offset != _UNKNOWN:
        members.check(offset, reach.take(at + 46, name_length))
    return at + 46 + int(name_length) + int(extra_length) + int(comment_length)


def _finish(reach: Reach, at: int, mark: bytes, directory: int, count: int) -> int:
    size = at - directory
    if mark == _END64:
        length = int.from_bytes(reach.take(at + 4, 8), "little")
        if not 44 <= length <= 1 << 16 or struct.unpack("<QQQ", reach.take(at + 32, 24)) != (count, size, directory):
            raise Broken
        locator = at + 12 + length
        if reach.take(locator, 4) != _LOCATOR64 or int.from_bytes(reach.take(locator + 8, 8), "little") != at:
            raise Broken
        at = locator + 20
        mark = reach.take(at, 4)
    if mark != _END:
        raise Broken
    record = struct.unpack("<HHHHIIH", reach.take(at + 4, 18))
    disk, first_disk, here, all_of_them, its_size, its_place, comment = record
    if disk not in (0, 0xFFFF) or first_disk not in (0, 0xFFFF) or here != all_of_them:
        raise Broken
    for value, truth, unknown in (
        (all_of_them, count, 0xFFFF),
        (its_size, size, _UNKNOWN),
        (its_place, directory, _UNKNOWN),
    ):
        if value not in (truth, unknown):
            raise Broken
    end: int = at + 22 + comment
    if end > reach.limit:
        raise Broken
    return end
