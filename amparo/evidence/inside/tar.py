"""tar in every dialect met: before POSIX, ustar, pax (POSIX.1-2001) and GNU, sparse files included.

A header that is damaged is told, and the next one is looked for by its mark. Folders, links and devices have no content and are
not handed over, so what a link points at is never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from amparo.evidence.inside.bounds import (
    MOST_DAMAGES,
    PIECE,
    Budget,
    Content,
    Damaged,
    Member,
    Tell,
    View,
    find,
    name_of,
    time_of,
)

BLOCK: Final = 512
_REGULAR: Final = frozenset(b"07\0S")
_NO_CONTENT: Final = frozenset(b"123456")
_MOST_LONG_NAME: Final = 64 << 10
_MOST_RECORDS: Final = 1 << 20
_MOST_PIECES: Final = 1 << 20
_RECORD: Final = re.compile(rb"(\d{1,7}) ([^=]{1,255})=")


class _Header(NamedTuple):
    name: bytes
    size: int
    modified: float | None
    kind: int
    raw: bytes


def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
    """The regular files of a tar, numbered by header from 0 (every header counts, the extended ones not)."""
    at, number, empty, damages = 0, -1, 0, 0
    pax: dict[bytes, bytes] = {}
    always: dict[bytes, bytes] = {}
    long_name: bytes | None = None
    while at + BLOCK <= view.size:
        raw = view.take(at, BLOCK)
        if not raw.strip(b"\0"):
            empty += 1
            at = at + BLOCK if empty < 2 else _next_header(view, at)
            continue
        header = _header(raw)
        if header is None or header.size < 0:
            damages += 1
            if damages > MOST_DAMAGES:
                raise Damaged("It is damaged in too many places to be followed further.")
            tell(f"Its header at byte {at} is damaged; the next one was looked for.")
            at = _next_header(view, at + BLOCK)
            pax, long_name = {}, None
            continue
        empty = 0
        body = at + BLOCK
        if header.kind in b"xgLKX":
            most = _MOST_RECORDS if header.kind in b"xgX" else _MOST_LONG_NAME
            data = view.take(body, header.size) if header.size <= most else b""
            if header.kind == ord("L"):
                long_name = data.rstrip(b"\0") or None
            elif header.kind in b"xX":
                pax = _records(data)
            elif header.kind == ord("g"):
                always |= _records(data)
            at = body + _padded(header.size)
            continue
        said = always | pax
        size = _number(said.get(b"size"), header.size)
        number += 1
        sparse: list[tuple[int, int]] | None = None
        real = size
        try:
            body, sparse, real, stored = _sparse(view, header, said, body, size)
        except (ValueError, IndexError):
            tell(f"The map of its sparse file at byte {at} is damaged.")
            stored = size
        name = said.get(b"GNU.sparse.name") or said.get(b"path") or long_name or header.name
        pax, long_name = {}, None
        if header.kind in _NO_CONTENT or (header.name.endswith(b"/") and not size):
            # The size of a link or of a folder is what it would take to store it: nothing follows (pax, "hard link" apart).
            at = at + BLOCK + (_padded(size) if header.kind == ord("1") and b"size" in said else 0)
            continue
        modified = time_of(_seconds(said.get(b"mtime"), header.modified))
        member = Member(name_of(name), real, modified, None)
        yield _content(view, number, member, body, stored, sparse, real)
        at = at + BLOCK + _padded(size)


def _content(
    view: View, number: int, member: Member, body: int, stored: int, sparse: list[tuple[int, int]] | None, real: int
) -> Content:
    window = view.part(body, stored)

    def pieces() -> Iterator[bytes]:
        whole = view.part(body, stored)
        if sparse is None:
            yield from whole.pieces()
            if whole.size < stored:
                raise Damaged("Its content ends too early.")
            return
        yield from _spread(whole, sparse, real)

    return Content(number, member, pieces, (body, window.size) if sparse is None else None)


def _spread(stored: View, sparse: list[tuple[int, int]], real: int) -> Iterator[bytes]:
    """A sparse file with its holes as zeros."""
    told = at = 0
    zeros = bytes(PIECE)
    for offset, length in [*sparse, (real, 0)]:
        if offset < told:
            raise Damaged("The map of this sparse file is damaged.")
        while told < offset:
            take = min(PIECE, offset - told)
            yield zeros[:take]
            told += take
        while length > 0:
            data = stored.take(at, min(PIECE, length))
            if not data:
                raise Damaged("Its content ends too early.")
            yield data
            at, told, length = at + len(data), told + len(data), length - len(data)


def _sparse(
    view: View, header: _Header, said: dict[bytes, bytes], body: int, size: int
) -> tuple[int, list[tuple[int, int]] | None, int, int]:
    """Where the stored bytes begin, the map of ``(offset, length)``, the real size, and the bytes stored."""
    if header.kind == ord("S"):
        numbers = [_octal(header.raw[at : at + 12]) for at in range(386, 386 + 96, 12)]
        real = _octal(header.raw[483:495])
        more = header.raw[482]
        while more and len(numbers) < _MOST_PIECES:
            block = view.take(body, BLOCK)
            if len(block) < BLOCK:
                raise ValueError
            numbers += [_octal(block[at : at + 12]) for at in range(0, 504, 12)]
            more = block[504]
            body += BLOCK
        return body, _pairs(numbers), real, size
    real = int(said.get(b"GNU.sparse.realsize") or said.get(b"GNU.sparse.size") or -1)
    if said.get(b"GNU.sparse.major") == b"1":
        text = view.take(body, BLOCK)
        lines = 1 + 2 * min(int(text.split(b"\n", 1)[0]), _MOST_PIECES)
        while text.count(b"\n") < lines:
            data = view.take(body + len(text), 1 << 16 if len(text) >= 1 << 14 else BLOCK)
            if not data or len(text) > size:
                raise ValueError
            text += data
        parts = text.split(b"\n", lines)
        used = _padded(sum(len(part) + 1 for part in parts[:lines]))
        return body + used, _pairs([int(part) for part in parts[1:lines]]), real, size - used
    if b"GNU.sparse.map" in said:
        return body, _pairs([int(part) for part in said[b"GNU.sparse.map"].split(b",")]), real, size
    return body, None, size, size


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    return [(offset, length) for offset, length in zip(numbers[::2], numbers[1::2], strict=False) if offset or length]


def _header(raw: bytes) -> _Header | None:
    """The header in this block, None where its checksum is wrong (signed sums count too: old writers used them)."""
    try:
        told = int(raw[148:156].strip(b" \0") or b"-1", 8)
        total = sum(raw[:148]) + 256 + sum(raw[156:])
        if told != total and told != total - 256 * sum(byte > 127 for byte in raw[:148] + raw[156:]):
            return None
        size = _octal(raw[124:136])
        modified: float | None = _octal(raw[136:148])
    except ValueError:
        return None
    name = raw[:100].split(b"\0", 1)[0]
    if raw[257:263] == b"ustar\0" and (prefix := raw[345:500].split(b"\0", 1)[0]):
        name = prefix + b"/" + name
    return _Header(name, size, modified, raw[156], raw)


def _octal(field: bytes) -> int:
    """A number in octal digits, or in base 256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    return int(digits, 8) if digits else 0


def _number(text: bytes | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else otherwise


def _seconds(text: bytes | None, otherwise: float | None) -> float | None:
    try:
        return otherwise if text is None else float(text)
    except ValueError:
        return otherwise


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: ``length key=value`` and a newline. Sparse maps of version 0.0 become one map."""
    found: dict[bytes, bytes] = {}
    chunks: list[bytes] = []
    at = 0
    while match := _RECORD.match(data, at):
        length = int(match[1])
        end = at + length
        if end > len(data) or end <= match.end() - 1:
            break
        value = data[match.end() : end - 1]
        if match[2] in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            chunks.append(value)
        else:
            found[match[2]] = value
        at = end
    if chunks:
        found.setdefault(b"GNU.sparse.map", b",".join(chunks))
    return found


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _next_header(view: View, at: int) -> int:
    """Where the next header with a POSIX mark begins, ``at`` or further on; the end where there is none."""
    place = find(view, b"ustar", at + 257)
    while place is not None:
        if (place - 257) % BLOCK == 0:
            return place - 257
        place = find(view, b"ustar", place + 1)
    return view.size
