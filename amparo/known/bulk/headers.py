"""The headings of a tar archive's members, in the order of the archive (POSIX.1-2017 pax, and GNU tar's manual, "Basic Tar").

Written for archives that are damaged or made to do harm: a heading that is none is told and looked past, what a heading claims
is bounded before it is read, and nothing is kept of a member once the next one is asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

BLOCK: Final = 512
_LARGEST_NAME = 1 << 16
_LARGEST_RECORDS = 1 << 20
_FURTHEST = 1 << 30  # bytes looked through for the next heading
_ZEROS = bytes(BLOCK)
_MOST_ZEROS = 1 << 20  # bytes after which an archive has ended, whatever comes behind
_REGULAR = frozenset((b"0", b"\0", b"7"))
_NAMED = {b"1", b"2", b"3", b"4", b"5", b"6", b"V", b"M", b"N"}  # links, devices, folders, labels: there is no content


class Member(NamedTuple):
    """An ordinary file: ``size`` bytes from ``offset`` on."""

    name: str
    offset: int
    size: int


class Damage(NamedTuple):
    """A part of the archive that cannot be read, told in a sentence; ``name`` is the member's where it is known."""

    name: str | None
    sentence: str


class Forward:
    """A stream that is read forwards, and what broke it where it ended before its time."""

    def __init__(self, stream: BinaryIO, seekable: bool) -> None:
        self._stream, self._seekable = stream, seekable
        self._back = b""
        self.at = 0
        self.broken: str | None = None

    def unread(self, data: bytes) -> None:
        """Stand before what was just read again."""
        self._back = data + self._back
        self.at -= len(data)

    def read(self, size: int) -> bytes:
        """So many bytes; fewer at the end, or where it is broken."""
        pieces: list[bytes] = []
        if self._back:
            piece, self._back = self._back[:size], self._back[size:]
            pieces.append(piece)
            size -= len(piece)
            self.at += len(piece)
        while size > 0 and self.broken is None:
            try:
                piece = self._stream.read(min(size, 1 << 20))
            except EOFError:
                self.broken = "it is cut off"
                break
            except zlib.error:
                self.broken = "its compression is damaged"
                break
            except OSError as error:  # gzip's BadGzipFile is one, without a number
                self.broken = (error.strerror or "it cannot be read") if error.errno else "its compression is damaged"
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
            self.at += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def go_to(self, offset: int) -> None:
        """On to a place further behind."""
        if self._seekable:
            self._stream.seek(offset)
            self.at, self._back = offset, b""
            return
        while self.at < offset and self.read(min(offset - self.at, 1 << 20)):
            pass


def members(stream: Forward) -> Iterator[Member | Damage]:
    """Each ordinary file, to be read from the stream where it stands then, as far as wanted, before the next is asked for."""
    name: str | None = None  # what a heading before the member's own says of it
    records: dict[str, str] = {}
    zeros = 0
    while len(block := stream.read(BLOCK)) == BLOCK:
        if block == _ZEROS:
            zeros += BLOCK
            if zeros > _MOST_ZEROS:
                return
            continue
        zeros = 0
        size = _size_of(block)
        if size is None:
            passed, found = _search(stream)
            yield Damage(
                None, f"{passed} bytes from byte {stream.at - passed} on are damaged, what was in them is not read."
            )
            if not found:
                break
            name, records = None, {}
            continue
        kind, offset = block[156:157], stream.at
        end = offset + -(-size // BLOCK) * BLOCK
        if kind in b"LxgK":
            most = _LARGEST_NAME if kind == b"L" else _LARGEST_RECORDS
            data = stream.read(size) if size <= most else b""
            if kind == b"L" and data:
                name = _text(data.split(b"\0", 1)[0])
            elif kind == b"x" and data:
                records = _records(data)
            stream.go_to(end)
            continue
        said = records.get("path", name) or _name_of(block)
        if "size" in records and records["size"].isascii() and records["size"].isdigit():
            size = int(records["size"][:20])
            end = offset + -(-size // BLOCK) * BLOCK
        if kind == b"S" or any(key.startswith("GNU.sparse.") for key in records):
            yield Damage(
                said, "It is stored in pieces with holes between them, which is not read here: unpack the archive."
            )
            if kind == b"S":
                end += _pieces_heading(stream, block)
        elif kind in _NAMED:
            end = offset if kind != b"1" and not size else end
        elif kind in _REGULAR or size:
            yield Member(said, offset, size)
        name, records = None, {}
        stream.go_to(end)
    if stream.broken is not None:
        yield Damage(
            None,
            f"The archive cannot be read to its end, {stream.broken}: what is behind byte {stream.at} is not read.",
        )


def is_heading(block: bytes) -> bool:
    """Whether these 512 bytes head a member."""
    return len(block) == BLOCK and block != _ZEROS and _size_of(block) is not None


def _size_of(block: bytes) -> int | None:
    """The size that a heading claims; None where it is no heading."""
    claimed = _number(block[148:156])
    plain = sum(block) - sum(block[148:156]) + 8 * 32
    if claimed != plain and claimed != plain - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        return None
    return _number(block[124:136])


def _number(field: bytes) -> int | None:
    """In octal, or in base 256 where the highest bit says so; never below nothing."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value if not field[0] & 0x40 and value < 1 << 62 else None
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    if text.strip(b"01234567"):
        return None
    return int(text, 8)


def _name_of(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    before = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return _text(before + b"/" + name if before else name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """``length key=value`` lines; whatever is behind a damaged one is left."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 12)
        if space < 0 or not data[at:space].isdigit():
            break
        end = at + int(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end <= space or end > len(data):
            break
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            found[_text(key)] = _text(value)
        at = end
    return found


def _pieces_heading(stream: Forward, block: bytes) -> int:
    """How many bytes of further headings an old GNU file with holes has, each saying at byte 504 whether another follows."""
    extended, read = block[482], 0
    while extended and read < _LARGEST_RECORDS and len(more := stream.read(BLOCK)) == BLOCK:
        extended, read = more[504], read + BLOCK
    return read


def _search(stream: Forward) -> tuple[int, bool]:
    """Look for the next heading, and stand before it; gives how many bytes were passed over, and whether there is one."""
    passed = BLOCK
    while passed < _FURTHEST:
        block = stream.read(BLOCK)
        if len(block) < BLOCK:
            return passed + len(block), False
        if block[257:262] == b"ustar" and is_heading(block):
            stream.unread(block)
            return passed, True
        passed += BLOCK
    return passed, False
