"""ZIP and the documents that are one: PKWARE's APPNOTE 6.3.10.

Members come in the order of the central directory. Where that is missing or breaks off, as in a recovered fragment, the local
headers that it does not name follow, in the order they lie in. Stored, deflate, deflate64, bzip2, LZMA and XZ members are
read; an encrypted member, or one of another method, is listed with a problem.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from amparo.evidence.inside.bounds import (
    PIECE,
    Budget,
    Content,
    Damaged,
    Member,
    Tell,
    View,
    filetime_of,
    name_of,
    once,
    time_of,
)

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_DESCRIPTOR, _END64, _LOCATOR64 = b"PK\x07\x08", b"PK\x06\x06", b"PK\x06\x07"
_WIDE: Final = 0xFFFFFFFF
_STEP: Final = 1 << 16
_STORED, _DEFLATE, _DEFLATE64, _BZIP2, _LZMA, _XZ = 0, 8, 9, 12, 14, 95
_READ: Final = frozenset((_STORED, _DEFLATE, _DEFLATE64, _BZIP2, _LZMA, _XZ))
_METHODS: Final = {1: "shrunk", 6: "imploded", 93: "Zstandard", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES"}
_ENCRYPTED = "It is encrypted, so its content was not read."
_OVERLAPS = "Its content overlaps another member's, as in an archive made to do harm, so it was not read."


class _Entry(NamedTuple):
    """What a header says. ``end`` is where the packed bytes end at the earliest; None where only unpacking tells."""

    name: str
    flags: int
    method: int
    crc: int | None
    packed: int | None
    size: int | None
    offset: int
    modified: str | None
    folder: bool


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The members of a ZIP, numbered from 0 (folders have numbers too, and are not handed over)."""
    most = budget.limits.members - budget.members + 1
    entries, whole = _directory(view, most)
    if not whole:
        tell("Its central directory is missing or damaged, so its members were looked for one by one.")
        known = {entry.offset for entry in entries}
        for entry in _walk(view):
            if len(entries) > most:
                break
            if entry.offset not in known:
                entries.append(entry)
    overlapping = _overlaps(entries)
    for number, entry in enumerate(entries):
        if entry.folder:
            continue
        problem = _problem(entry) or (_OVERLAPS if entry.offset in overlapping else None)
        member = Member(entry.name, entry.size, entry.modified, problem)
        if problem:
            yield Content(number, member, once(problem))
        else:
            yield _content(view, number, member, entry)


def _content(view: View, number: int, member: Member, entry: _Entry) -> Content:
    begin = _body(view, entry)
    window = None
    if begin is not None and entry.method == _STORED and entry.packed is not None:
        window = (begin, entry.packed)

    def pieces() -> Iterator[bytes]:
        if begin is None:
            raise Damaged("Its local header is missing.")
        packed = view.part(begin, view.size if entry.packed is None else entry.packed)
        if entry.packed is not None and packed.size < entry.packed and entry.method == _STORED:
            yield from _checked(packed.pieces(), entry)
            raise Damaged("Its content ends too early.")
        yield from _checked(_unpacked(packed, entry), entry)

    return Content(number, member, pieces, window)


def _problem(entry: _Entry) -> str | None:
    if entry.flags & 1 or entry.method == 99:
        return _ENCRYPTED
    if entry.method not in _READ:
        return (
            f"It is packed by method {entry.method} ({_METHODS.get(entry.method, 'unknown')}), which is not read here."
        )
    return None


def _checked(pieces: Iterator[bytes], entry: _Entry) -> Iterator[bytes]:
    crc = size = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        if entry.size is not None and size > entry.size:
            raise Damaged(f"It unpacks to more than the {entry.size} bytes that are declared.")
        yield piece
    if entry.crc is not None and crc != entry.crc and size == entry.size:
        raise Damaged("Its checksum does not agree with its content.")


def _unpacked(packed: View, entry: _Entry) -> Iterator[bytes]:
    if entry.method == _STORED:
        yield from packed.pieces()
        return
    if entry.method == _DEFLATE64:
        yield from _deflate64(packed)
        return
    unpacker: Any
    if entry.method == _DEFLATE:
        unpacker = zlib.decompressobj(-15)
        while not unpacker.eof:
            data = unpacker.unconsumed_tail or packed.read(_STEP)
            piece = unpacker.decompress(data, PIECE)
            if piece:
                yield piece
            elif not data:
                raise Damaged("Its content ends too early.")
        return
    if entry.method == _BZIP2:
        unpacker = bz2.BZ2Decompressor()
    elif entry.method == _XZ:
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 30)
    else:
        unpacker = _lzma(packed)
    while not unpacker.eof:
        data = packed.read(_STEP) if unpacker.needs_input else b""
        piece = unpacker.decompress(data, PIECE)
        if piece:
            yield piece
        elif not data and unpacker.needs_input:
            if entry.method == _LZMA and not entry.flags & 2:
                return  # without a marker of its end (flag 1) the declared size is the end
            raise Damaged("Its content ends too early.")


def _lzma(packed: View) -> lzma.LZMADecompressor:
    """APPNOTE 5.8.8: version, length of the properties, and the properties of LZMA1."""
    _, length = struct.unpack("<HH", packed.read(4))
    properties = packed.read(length)
    if length != 5 or len(properties) != 5 or properties[0] >= 225:
        raise Damaged("Its LZMA header is damaged.")
    value = properties[0]
    chain = {
        "id": lzma.FILTER_LZMA1,
        "lc": value % 9,
        "lp": value // 9 % 5,
        "pb": value // 45,
        "dict_size": min(max(int.from_bytes(properties[1:], "little"), 4096), 1 << 30),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain])


def _deflate64(packed: View) -> Iterator[bytes]:
    import inflate64

    unpacker = inflate64.Inflater()
    while not unpacker.eof:
        data = packed.read(1024)  # a byte in may be a thousand out, and this reader cannot be told to stop
        if not data:
            raise Damaged("Its content ends too early.")
        piece = unpacker.inflate(data)
        for at in range(0, len(piece), PIECE):
            yield piece[at : at + PIECE]


def _body(view: View, entry: _Entry) -> int | None:
    head = view.take(entry.offset, 30)
    if len(head) < 30 or head[:4] != _LOCAL:
        return None
    name, extra = struct.unpack_from("<HH", head, 26)
    return int(entry.offset + 30 + name + extra)


def _overlaps(entries: list[_Entry]) -> set[int]:
    """Places of the entries that begin inside the packed bytes of another."""
    found: set[int] = set()
    end, last = 0, -1
    for offset, packed in sorted((entry.offset, entry.packed or 0) for entry in entries):
        if offset < end and offset != last:
            found.add(offset)
        end, last = max(end, offset + 30 + packed), offset
    return found


# The central directory ------------------------------------------------------------------------------------------------


def _directory(view: View, most: int) -> tuple[list[_Entry], bool]:
    """Entries of the central directory, as many as are wanted, and whether it was whole."""
    place = _end(view)
    if place is None:
        return [], False
    begin, size, count, shift = place
    entries: list[_Entry] = []
    data, at, base = b"", 0, begin
    while len(entries) < min(count, most):
        if len(data) - at < 46 + 3 * 0xFFFF and base + len(data) < begin + size:
            base += at
            data, at = view.take(base, min(1 << 20, begin + size - base)), 0
        if data[at : at + 4] != _CENTRAL or len(data) - at < 46:
            return entries, False
        fields = struct.unpack_from("<HHHHHHIIIHHHHHII", data, at + 4)
        name_length, extra_length, comment_length = fields[9:12]
        name = data[at + 46 : at + 46 + name_length]
        extra = data[at + 46 + name_length : at + 46 + name_length + extra_length]
        entries.append(
            _entry(
                name,
                extra,
                fields[2],
                fields[3],
                fields[4],
                fields[5],
                fields[6],
                fields[7],
                fields[8],
                fields[15],
                shift,
            )
        )
        at += 46 + name_length + extra_length + comment_length
    return entries, True


def _end(view: View) -> tuple[int, int, int, int] | None:
    """Place, size and count of the central directory, and how far the archive is shifted by what stands before it."""
    start = max(0, view.size - (1 << 16) - 22 - 20)
    tail = view.take(start, view.size - start)
    at = len(tail)
    for _ in range(64):
        at = tail.rfind(_END, 0, at)
        if at < 0:
            return None
        if len(tail) - at < 22:
            continue
        count, size, offset = struct.unpack_from("<HII", tail, at + 10)
        end = start + at
        if tail[max(0, at - 20) : at][:4] == _LOCATOR64 and (
            wide := _end64(view, int.from_bytes(tail[at - 12 : at - 4], "little"), end - 20)
        ):
            end, count, size, offset = wide
        begin = end - size
        if begin >= 0 and (view.take(begin, 4) == _CENTRAL or not count):
            return begin, size, count, begin - offset
        if view.take(offset, 4) == _CENTRAL:
            return offset, end - offset, count, 0
    return None


def _end64(view: View, declared: int, locator: int) -> tuple[int, int, int, int] | None:
    for at in (declared, locator - 56):
        head = view.take(at, 56)
        if len(head) == 56 and head[:4] == _END64:
            count, size, offset = struct.unpack_from("<QQQ", head, 32)
            return at, count, size, offset
    return None


def _entry(
    name: bytes,
    extra: bytes,
    flags: int,
    method: int,
    clock: int,
    day: int,
    crc: int,
    packed: int,
    size: int,
    offset: int,
    shift: int,
) -> _Entry:
    modified = text = None
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + length]
        if tag == 1:
            for which, value in (("size", size), ("packed", packed), ("offset", offset)):
                if value != _WIDE or len(body) < 8:
                    continue
                wide, body = int.from_bytes(body[:8], "little"), body[8:]
                if which == "size":
                    size = wide
                elif which == "packed":
                    packed = wide
                else:
                    offset = wide
        elif tag == 0x5455 and len(body) >= 5 and body[0] & 1:
            modified = time_of(int.from_bytes(body[1:5], "little", signed=True))
        elif tag == 0x000A and len(body) >= 16 and body[4:6] == b"\x01\0":
            modified = filetime_of(int.from_bytes(body[8:16], "little"))
        elif tag == 0x7075 and len(body) > 5 and int.from_bytes(body[1:5], "little") == zlib.crc32(name):
            text = name_of(body[5:])
        at += 4 + length
    if text is None:
        text = _name(name, bool(flags & 0x800))
    return _Entry(
        text,
        flags,
        method,
        crc,
        packed,
        size,
        offset + shift,
        modified or _dos_time(day, clock),
        name[-1:] in (b"/", b"\\") and not size,
    )


def _name(raw: bytes, is_utf8: bool) -> str:
    """UTF-8 where it is declared or fits (many writers forget to declare it); else the code page of the IBM PC."""
    try:
        return name_of(raw, "utf-8") if is_utf8 or raw.isascii() or raw.decode() else ""
    except UnicodeDecodeError:
        return name_of(raw, "cp437")


def _dos_time(day: int, clock: int) -> str | None:
    """MS-DOS keeps the time of a clock on the wall, without saying where; it is given as if that clock showed UTC."""
    try:
        when = datetime(
            1980 + (day >> 9),
            day >> 5 & 15,
            day & 31,
            clock >> 11,
            clock >> 5 & 63,
            min(59, (clock & 31) * 2),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


# Without one ----------------------------------------------------------------------------------------------------------


def _walk(view: View) -> Iterator[_Entry]:
    """The local headers, each looked for behind the one before."""
    at = _find(view, _LOCAL, 0)
    while at is not None:
        head = view.take(at, 30)
        if len(head) < 30:
            return
        version, flags, method, clock, day, crc, packed, size, name_length, extra_length = struct.unpack_from(
            "<HHHHHIIIHH", head, 4
        )
        after = at + 30 + name_length + extra_length
        if version & 255 <= 99 and 0 < name_length <= 4096 and after <= view.size:
            name, extra = view.take(at + 30, name_length), view.take(at + 30 + name_length, extra_length)
            entry = _entry(name, extra, flags, method, clock, day, crc, packed, size, 0, at)
            if flags & 8 and not entry.packed:
                # The sizes stand behind the content: deflate and its kind end by themselves.
                packed_end = _find(view, _DESCRIPTOR, after) if method == _STORED else None
                entry = entry._replace(
                    crc=None, size=None, packed=None if packed_end is None else packed_end - after, folder=False
                )
                if method == _STORED and packed_end is None:
                    entry = entry._replace(packed=view.size - after)
            yield entry
            after += entry.packed or 0
            at = _find(view, _LOCAL, min(after, view.size))
        else:
            at = _find(view, _LOCAL, at + 4)


def _find(view: View, mark: bytes, at: int) -> int | None:
    while at < view.size:
        data = view.take(at, PIECE)
        found = data.find(mark)
        if found >= 0:
            return at + found
        if len(data) < len(mark):
            return None
        at += len(data) - len(mark) + 1
    return None
