"""RAR 4 and 5, unpacked by libarchive and checked here.

libarchive up to 3.6 hands over a stored member whose checksum is wrong, and the cipher text of an encrypted member of RAR 5, as
if they were the content. So the headers are walked here as well: for each member its CRC-32, and whether it is encrypted.

Sources: RAR technote of WinRAR 3 and 4; "RAR 5.0 archive format" of rarlab.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

from amparo.evidence.inside.bounds import Budget, Content, Damaged, Tell, View, once
from amparo.evidence.inside.by_libarchive import ENCRYPTED, reader

_MARK5: Final = b"Rar!\x1a\x07\x01\x00"
_MOST_HEAD: Final = 2 << 20
_unpacked: Final = reader("rar", "rar5", steps=False)


class _Header(NamedTuple):
    """What is asked of a file's header; ``crc`` is None where it says nothing about the whole content."""

    size: int
    crc: int | None
    encrypted: bool


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The members of a RAR, numbered by file header from 0."""
    is_5 = view.take(0, 8) == _MARK5
    headers = (_headers5 if is_5 else _headers4)(view.part(0, view.size))
    walked = -1
    for content in _unpacked(view, path, budget, tell):
        header: _Header | None = None
        while walked < content.number:
            header = next(headers, None)
            walked += 1
        if header is None or content.member.problem is not None or header.size != content.member.size:
            yield content  # nothing to check against: the walk lost the thread where libarchive did not
        elif header.encrypted:
            yield content._replace(member=content.member._replace(problem=ENCRYPTED), open=once(ENCRYPTED))
        else:
            yield _with_check(content, header)


def _with_check(content: Content, header: _Header) -> Content:
    def pieces() -> Iterator[bytes]:
        crc = size = 0
        for piece in content.open():
            crc = crc32(piece, crc)
            size += len(piece)
            yield piece
        if size != header.size or header.crc not in (None, crc):
            raise Damaged("Its checksum does not agree with its content.")

    return content._replace(open=pieces)


def _headers4(view: View) -> Iterator[_Header]:
    at = 7
    while len(head := view.take(at, 7)) == 7:
        _, kind, flags, size = struct.unpack("<HBHH", head)
        fields = view.take(at + 7, size - 7)
        if size < 7 or len(fields) < size - 7:
            return
        data = int.from_bytes(fields[:4], "little") if flags & 0x8000 else 0
        if kind == 0x74:
            if len(fields) < 25:
                return
            packed, unpacked, _, crc = struct.unpack_from("<IIBI", fields)
            if flags & 0x100 and len(fields) >= 33:
                packed |= int.from_bytes(fields[25:29], "little") << 32
                unpacked |= int.from_bytes(fields[29:33], "little") << 32
            yield _Header(unpacked, None if flags & 3 else crc, bool(flags & 4))
            data = packed
        at += size + data


def _headers5(view: View) -> Iterator[_Header]:
    at = 8
    while len(head := view.take(at, 16)) > 7:
        length, begin = _number(head, 4)
        if not 0 < length <= _MOST_HEAD:
            return
        fields = view.take(at + begin, length)
        kind, where = _number(fields, 0)
        flags, where = _number(fields, where)
        extra = data = 0
        if flags & 1:
            extra, where = _number(fields, where)
        if flags & 2:
            data, where = _number(fields, where)
        if kind == 2:
            yield _file5(fields, where, extra, bool(flags & 0x18))
        at += begin + length + data


def _file5(fields: bytes, at: int, extra: int, split: bool) -> _Header:
    kind, at = _number(fields, at)
    size, at = _number(fields, at)
    _, at = _number(fields, at)
    at += 4 if kind & 2 else 0
    crc = int.from_bytes(fields[at : at + 4], "little") if kind & 4 and not split else None
    encrypted = False
    at = max(0, len(fields) - extra)
    while at < len(fields):
        length, begin = _number(fields, at)
        record, _ = _number(fields, begin)
        encrypted |= record == 1
        at = begin + length
    return _Header(size, crc, encrypted)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where it ends; what is cut off counts as zeros."""
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            break
    else:
        at = max(at, len(data))
    return value, at
