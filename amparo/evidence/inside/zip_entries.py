"""Where the members of a ZIP lie: its central directory, or the local headers one by one (PKWARE's APPNOTE 6.3.10)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from amparo.evidence.inside.bounds import View, filetime_of, find, name_of, time_of

LOCAL: Final = b"PK\x03\x04"
_CENTRAL, _END = b"PK\x01\x02", b"PK\x05\x06"
_DESCRIPTOR, _END64, _LOCATOR64 = b"PK\x07\x08", b"PK\x06\x06", b"PK\x06\x07"
_STORED: Final = 0
_WIDE: Final = 0xFFFFFFFF


class Entry(NamedTuple):
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


def overlaps(entries: list[Entry]) -> set[int]:
    """Places of the entries that begin inside the packed bytes of another."""
    found: set[int] = set()
    end, last = 0, -1
    for offset, packed in sorted((entry.offset, entry.packed or 0) for entry in entries):
        if offset < end and offset != last:
            found.add(offset)
        end, last = max(end, offset + 30 + packed), offset
    return found


# The central directory ------------------------------------------------------------------------------------------------


def directory(view: View, most: int) -> tuple[list[Entry], bool]:
    """Entries of the central directory, as many as are wanted, and whether it was whole."""
    place = _end(view)
    if place is None:
        return [], False
    begin, size, count, shift = place
    entries: list[Entry] = []
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
) -> Entry:
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
    return Entry(
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


def walk(view: View) -> Iterator[Entry]:
    """The local headers, each looked for behind the one before."""
    at = find(view, LOCAL, 0)
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
                packed_end = find(view, _DESCRIPTOR, after) if method == _STORED else None
                entry = entry._replace(
                    crc=None, size=None, packed=None if packed_end is None else packed_end - after, folder=False
                )
                if method == _STORED and packed_end is None:
                    entry = entry._replace(packed=view.size - after)
            yield entry
            after += entry.packed or 0
            at = find(view, LOCAL, min(after, view.size))
        else:
            at = find(view, LOCAL, at + 4)
