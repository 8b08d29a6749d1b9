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
from typing import Any, Final

from amparo.evidence.inside.bounds import PIECE, Budget, Content, Damaged, Member, Tell, View, once
from amparo.evidence.inside.zip_entries import LOCAL, Entry, directory, overlaps, walk

_STEP: Final = 1 << 16
_STORED, _DEFLATE, _DEFLATE64, _BZIP2, _LZMA, _XZ = 0, 8, 9, 12, 14, 95
_READ: Final = frozenset((_STORED, _DEFLATE, _DEFLATE64, _BZIP2, _LZMA, _XZ))
_METHODS: Final = {1: "shrunk", 6: "imploded", 93: "Zstandard", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES"}
_ENCRYPTED = "It is encrypted, so its content was not read."
_OVERLAPS = "Its content overlaps another member's, as in an archive made to do harm, so it was not read."


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The members of a ZIP, numbered from 0 (folders have numbers too, and are not handed over)."""
    most = budget.limits.members - budget.members + 1
    entries, whole = directory(view, most)
    if not whole:
        tell("Its central directory is missing or damaged, so its members were looked for one by one.")
        known = {entry.offset for entry in entries}
        for entry in walk(view):
            if len(entries) > most:
                break
            if entry.offset not in known:
                entries.append(entry)
    overlapping = overlaps(entries)
    for number, entry in enumerate(entries):
        if entry.folder:
            continue
        problem = _problem(entry) or (_OVERLAPS if entry.offset in overlapping else None)
        member = Member(entry.name, entry.size, entry.modified, problem)
        if problem:
            yield Content(number, member, once(problem))
        else:
            yield _content(view, number, member, entry)


def _content(view: View, number: int, member: Member, entry: Entry) -> Content:
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


def _problem(entry: Entry) -> str | None:
    if entry.flags & 1 or entry.method == 99:
        return _ENCRYPTED
    if entry.method not in _READ:
        return (
            f"It is packed by method {entry.method} ({_METHODS.get(entry.method, 'unknown')}), which is not read here."
        )
    return None


def _checked(pieces: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    crc = size = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        if entry.size is not None and size > entry.size:
            raise Damaged(f"It unpacks to more than the {entry.size} bytes that are declared.")
        yield piece
    if entry.crc is not None and crc != entry.crc and size == entry.size:
        raise Damaged("Its checksum does not agree with its content.")


def _unpacked(packed: View, entry: Entry) -> Iterator[bytes]:
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


def _body(view: View, entry: Entry) -> int | None:
    head = view.take(entry.offset, 30)
    if len(head) < 30 or head[:4] != LOCAL:
        return None
    name, extra = struct.unpack_from("<HH", head, 26)
    return int(entry.offset + 30 + name + extra)
