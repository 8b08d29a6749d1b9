"""One content packed alone: gzip (RFC 1952), bzip2, xz and the older .lzma. Several streams one after another are one content."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from amparo.evidence.inside.bounds import PIECE, Budget, Content, Damaged, Member, Tell, View, name_of, time_of

_STEP: Final = 1 << 16
_XZ_MEMORY: Final = 1 << 30
_ENDINGS: Final = (".gz", ".bz2", ".xz", ".lzma", ".tgz", ".tbz", ".tbz2", ".txz", ".svgz", ".emz", ".wmz")
_TAR: Final = (".tgz", ".tbz", ".tbz2", ".txz")


def gzip(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The content of a gzip file, under the name that it keeps."""
    head = view.take(0, 4096)
    name = modified = None
    if len(head) >= 10:
        modified = time_of(int.from_bytes(head[4:8], "little") or None)
        at = 10
        if head[3] & 4:
            at += 2 + int.from_bytes(head[at : at + 2], "little")
        if head[3] & 8 and (end := head.find(b"\0", at)) > at:
            name = name_of(head[at:end], "latin-1")

    def pieces() -> Iterator[bytes]:
        return _gzip_pieces(view)

    yield Content(0, Member(name or _name(path), None, modified, None), pieces)


def _gzip_pieces(view: View) -> Iterator[bytes]:
    view = view.part(0, view.size)
    data = view.read(_STEP)
    while data:
        unpacker = zlib.decompressobj(31)
        while not unpacker.eof:
            piece = unpacker.decompress(data, PIECE)
            if piece:
                yield piece
            data = unpacker.unconsumed_tail or (b"" if unpacker.eof else view.read(_STEP))
            if not data and not piece and not unpacker.eof:
                raise Damaged("Its content ends too early.")
        data = unpacker.unused_data or view.read(_STEP)
        while data and not data.strip(b"\0"):
            data = view.read(_STEP)  # tapes and some writers pad with zeros
        data = data.lstrip(b"\0")
        if data and not data.startswith(b"\x1f\x8b"[: len(data)]):
            return  # what follows is not gzip: gzip(1) ignores it with a warning


def _several(view: View, new: Callable[[], Any], mark: bytes) -> Iterator[bytes]:
    """Streams of bz2 or lzma, one after another."""
    view = view.part(0, view.size)
    data = view.read(_STEP)
    while data:
        unpacker = new()
        while not unpacker.eof:
            piece = unpacker.decompress(data, PIECE)
            if piece:
                yield piece
            data = b""
            if not unpacker.eof and unpacker.needs_input:
                data = view.read(_STEP)
                if not data:
                    raise Damaged("Its content ends too early.")
        data = (unpacker.unused_data or view.read(_STEP)).lstrip(b"\0")
        if data and not data.startswith(mark[: len(data)]):
            return


def bzip2(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The content of a bzip2 file."""
    yield Content(0, Member(_name(path), None, None, None), lambda: _several(view, bz2.BZ2Decompressor, b"BZh"))


def xz(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The content of an .xz or .lzma file. One whose dictionary needs over 1 GiB is refused."""
    yield Content(
        0,
        Member(_name(path), None, None, None),
        lambda: _several(view, lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, _XZ_MEMORY), b"\xfd7zXZ\0"),
    )


def _name(path: str) -> str:
    """The container's name without the ending that the packing gave it."""
    last = path.rpartition("/")[2]
    for ending in _ENDINGS:
        if last.lower().endswith(ending) and len(last) > len(ending):
            return last[: -len(ending)] + (".tar" if ending in _TAR else "")
    return "content"
