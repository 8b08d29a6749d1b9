"""thumbcache_*.db, the thumbnails that Windows Vista, 7, 8, 8.1, 10 and 11 keep for each user, whether or not the picture is
still there.

Source: Joachim Metz, "Windows Explorer Thumbnail Cache database format" 0.0.7 (libwtcdb). Versions 20 (Vista), 21 (7), 30 (8.0),
31 (8.1) and 32 (10 and 11). The identifier of an entry, mostly the hash by which Windows knows the file, becomes the member's
name. The place of the first entry is not trusted: entries lie one behind the other, and after a damaged one the next mark is
looked for, so what was dropped from the chain but still lies there is found too. Checksums (a CRC-64 of Windows' own) are not
checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from amparo.evidence.inside.bounds import MOST_DAMAGES, Budget, Content, Damaged, Member, Tell, View, find, printable

_MARK: Final = b"CMMM"
_FILE_HEAD: Final = 24
_MOST_IDENTIFIER: Final = 4096
_ENDINGS: Final = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"BM", ".bmp"), (b"GIF8", ".gif"))


class _Layout(NamedTuple):
    """Where the sizes of identifier, padding and data stand in an entry, and how long its head is."""

    sizes: int
    head: int


_LAYOUTS: Final = {
    20: _Layout(24, 56),
    21: _Layout(16, 48),
    30: _Layout(16, 56),
    31: _Layout(16, 56),
    32: _Layout(16, 56),
}


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The thumbnails, numbered by the entry's place in the file; entries without data have numbers too."""
    head = view.take(0, _FILE_HEAD)
    version = int.from_bytes(head[4:8], "little") if len(head) == _FILE_HEAD else 0
    layout = _LAYOUTS.get(version)
    if layout is None:
        raise Damaged(f"Version {version} of the thumbnail cache is not known.")
    at = int.from_bytes(head[12:16], "little")
    if at < _FILE_HEAD or view.take(at, 4) != _MARK:
        at = _FILE_HEAD
    at = min(at, _find(view, _FILE_HEAD))
    number, damages = -1, 0
    while at < view.size:
        entry = view.take(at, layout.head)
        if len(entry) < layout.head or entry[:4] != _MARK:
            at = _find(view, at + 1)
            continue
        number += 1
        size = int.from_bytes(entry[4:8], "little")
        name_size, padding, data_size = struct.unpack_from("<III", entry, layout.sizes)
        begin = at + layout.head + name_size + padding
        if size < layout.head or name_size > _MOST_IDENTIFIER or begin + data_size > at + size:
            damages += 1
            if damages > MOST_DAMAGES:
                raise Damaged("It is damaged in too many places to be followed further.")
            tell(f"The entry at byte {at} is damaged; the next one was looked for.")
            at = _find(view, at + 4)
            continue
        if data_size:
            raw = view.take(at + layout.head, name_size)
            name = printable(raw.decode("utf-16-le", "replace").rstrip("\0")) or f"{at:08x}"
            start = view.take(begin, 4)
            name += next((ending for mark, ending in _ENDINGS if start.startswith(mark)), "")
            yield _content(view, number, Member(name, data_size, None, None), begin)
        if data_size and at + size <= view.size:
            at += size
        else:
            # A free entry may span the rest of the file, and what lies in it was cut off, not wiped.
            at = _find(view, begin + data_size if data_size else at + 4)


def _content(view: View, number: int, member: Member, begin: int) -> Content:
    size = member.size or 0

    def pieces() -> Iterator[bytes]:
        stretch = view.part(begin, size)
        yield from stretch.pieces()
        if stretch.size < size:
            raise Damaged("Its content ends too early.")

    return Content(number, member, pieces, (begin, view.part(begin, size).size))


def _find(view: View, at: int) -> int:
    """The next mark from ``at`` on, or the end."""
    found = find(view, _MARK, at)
    return view.size if found is None else found
