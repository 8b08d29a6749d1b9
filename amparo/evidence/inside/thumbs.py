"""Thumbs.db of Windows 98 to 7 and of network shares: an OLE compound file with one stream for each thumbnail.

Of Windows XP and before, a stream named by a number written backwards ("21" is thumbnail 12) whose file name and time stand in
the stream "Catalog". Of Vista and later, streams named by size and hash ("256_3d2f…"), without a catalogue.

Sources: [MS-CFB] for the compound file; the field's descriptions of the streams, which Microsoft does not document (ArchiveTeam,
"Windows thumbnail cache"; LibForensics, ``lf.win.shell.thumbsdb``). The head of a stream gives its own length, 12 or 24 bytes;
the oldest thumbnails have 16 bytes more before a JPEG in four channels, which is handed over as it lies.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, Final

from amparo.evidence.inside.bounds import PIECE, Budget, Content, Damaged, Member, Tell, View, filetime_of, printable

_STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8")
_LONGEST_HEAD: Final = 64


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The thumbnails of a Thumbs.db, numbered by their place in the list of streams."""
    import olefile

    class _Stream(io.RawIOBase):
        """What olefile asks of a file."""

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
            return view.seek(offset, whence)

        def tell(self) -> int:
            return view.tell()

        def read(self, size: int | None = -1) -> bytes:
            return view.read(-1 if size is None else size)

    ole = olefile.OleFileIO(_Stream(), raise_defects=olefile.DEFECT_FATAL)
    streams = ole.listdir(streams=True, storages=False)
    names: dict[int, tuple[str, str | None]] = {}
    for stream in streams:
        if stream[-1] == "Catalog":
            names = _catalogue(ole.openstream(stream).read(), tell)
    for number, stream in enumerate(streams):
        last = stream[-1]
        if last == "Catalog":
            continue
        index = int(last[::-1]) if last.isascii() and last.isdigit() and len(last) < 10 else None
        name, modified = names.get(index, (last, None)) if index is not None else (last, None)
        member = Member(printable(name), None, modified, None)
        yield _content(ole, number, stream, member)


def _content(ole: Any, number: int, stream: list[str], member: Member) -> Content:
    def pieces() -> Iterator[bytes]:
        data = ole.openstream(stream).read()
        size = ole.get_size(stream)
        data = data[_head(data) :]
        for at in range(0, len(data), PIECE):
            yield data[at : at + PIECE]
        if size > len(data) + _LONGEST_HEAD:
            raise Damaged("Its content ends too early.")

    return Content(number, member, pieces)


def _head(data: bytes) -> int:
    """The length of what stands before the picture; 0 where no picture shows itself, so that all is handed over."""
    declared = int.from_bytes(data[:4], "little")
    if declared in (12, 24) and data[declared:].startswith(_STARTS):
        return declared
    if declared == 12 and data[28:31] == _STARTS[0]:
        return 28
    found = data[:_LONGEST_HEAD].find(_STARTS[0])
    return max(found, 0)


def _catalogue(data: bytes, tell: Tell) -> dict[int, tuple[str, str | None]]:
    """Name and time by index: after 16 bytes of head, entries of length, index, FILETIME and a name in UTF-16."""
    found: dict[int, tuple[str, str | None]] = {}
    at = int.from_bytes(data[:2], "little") or 16
    while at + 16 <= len(data):
        length, index, ticks = struct.unpack_from("<IIQ", data, at)
        if length < 16 or at + length > len(data):
            tell("Its catalogue of names is damaged.")
            break
        name = data[at + 16 : at + length].decode("utf-16-le", "replace").split("\0", 1)[0]
        found[index] = (printable(name), filetime_of(ticks))
        at += length
    return found
