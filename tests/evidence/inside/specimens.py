"""Containers made here, byte by byte where no writer of the format is at hand, and a way to open them and see everything."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from amparo.errors import AmparoError
from amparo.evidence import inside

PICTURE = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(range(256)) * 8 + b"\xff\xd9"
Files = dict[str, bytes]


class Seen(NamedTuple):
    """A member as a consumer met it; ``content`` is None where reading it failed, and ``error`` then says why."""

    trail: tuple[int, ...]
    path: str
    size: int | None
    modified: str | None
    content: bytes | None
    error: str | None


class Opened(NamedTuple):
    members: list[Seen]
    problems: list[str]

    def contents(self) -> dict[str, bytes | None]:
        return {member.path: member.content for member in self.members}

    def trails(self) -> list[tuple[int, ...]]:
        return [member.trail for member in self.members]


def opened(
    data: bytes,
    path: str = "specimen",
    mime: str | None = None,
    limits: inside.Limits = inside.Limits(),  # noqa: B008 (frozen)
    only: tuple[int, ...] | None = None,
) -> Opened:
    """Everything that comes out. A parent that is not there before its members fails the test."""
    members: list[Seen] = []
    problems: list[str] = []
    met: set[tuple[int, ...]] = {()}

    def consume(trail: tuple[int, ...], member: inside.Member, pieces: Iterator[bytes]) -> None:
        assert trail[:-1] in met or only is not None, f"{trail} came before its parent"
        assert trail not in met, f"{trail} came twice"
        met.add(trail)
        (member.path + "".join(problems)).encode()
        content: bytes | None = None
        error = member.problem
        try:
            parts = []
            for piece in pieces:
                assert 0 < len(piece) <= 1 << 20
                parts.append(piece)
            content = b"".join(parts)
        except (AmparoError, OSError, MemoryError) as failure:
            error = str(failure)
        members.append(Seen(trail, member.path, member.size, member.modified, content, error))

    inside.expand(io.BytesIO(data), mime, path, limits, consume, problems.append, only)
    return Opened(members, problems)


def a_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 2, 29, 12, 30, 58)), data, method)
    return out.getvalue()


def a_tar(files: Files, dialect: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def a_7z(files: Files, **options: object) -> bytes:
    import py7zr

    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(data, name)
    return out.getvalue()


def by_libarchive(files: Files, kind: str, packing: str | None = None) -> bytes:
    import libarchive

    out = bytearray()

    def write(data: bytes) -> int:
        out.extend(data)
        return len(data)

    with libarchive.custom_writer(write, kind, packing) as archive:
        for name, data in files.items():
            archive.add_file_from_memory(name, len(data), data)
    return bytes(out)


# RAR: nobody but its maker may pack it, but storing is not packing -----------------------------------------------------


def a_rar4(files: Files, encrypted: bool = False) -> bytes:
    """RAR technote 3: members stored as they are."""

    def block(kind: int, flags: int, fields: bytes, data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", crc32(head) & 0xFFFF) + head + data

    out = b"Rar!\x1a\x07\0" + block(0x73, 0, bytes(6))
    for name, data in files.items():
        raw = name.encode("ascii")
        fields = struct.pack(
            "<IIBIIBBHI", len(data), len(data), 3, crc32(data), 0x505D63DD, 20, 0x30, len(raw), 0o100644
        )
        out += block(0x74, 0x8000 | (4 if encrypted else 0), fields + raw, data)
    return out + block(0x7B, 0x4000, b"")


def a_rar5(files: Files, encrypted: bool = False) -> bytes:
    """RAR 5.0 archive format: members stored as they are."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        return bytes([*out, value])

    def block(head: bytes, data: bytes = b"") -> bytes:
        head = number(len(head)) + head
        return struct.pack("<I", crc32(head)) + head + data

    out = b"Rar!\x1a\x07\x01\0" + block(b"\x01\x00\x00")
    for name, data in files.items():
        raw = name.encode()
        fields = number(6) + number(len(data)) + number(0o100644) + struct.pack("<II", 1_600_000_000, crc32(data))
        fields += b"\0\x01" + number(len(raw)) + raw
        extra = b""
        if encrypted:
            record = b"\x01\0\0\x0f" + bytes(32)
            extra = number(len(record)) + record
        head = number(2) + number(3 if extra else 2) + (number(len(extra)) if extra else b"")
        out += block(head + number(len(data)) + fields + extra, data)
    return out + block(b"\x05\0\0")


# Caches of thumbnails -------------------------------------------------------------------------------------------------


def an_ole(streams: dict[str, bytes]) -> bytes:
    """MS-CFB version 3: small streams in the mini stream, large ones in sectors."""
    sectors: list[bytes] = []
    fat: list[int] = []
    mini, mini_fat = b"", []

    def chain(data: bytes) -> int:
        first = len(sectors)
        parts = [data[at : at + 512].ljust(512, b"\0") for at in range(0, len(data), 512)]
        for place, part in enumerate(parts):
            sectors.append(part)
            fat.append(len(sectors) if place + 1 < len(parts) else 0xFFFFFFFE)
        return first if parts else 0xFFFFFFFE

    entries = []
    for name, data in streams.items():
        if len(data) >= 4096:
            entries.append((name, chain(data), len(data)))
            continue
        first, count = len(mini) // 64, -(-len(data) // 64)
        mini += data.ljust(count * 64, b"\0")
        mini_fat += [first + place + 1 for place in range(count - 1)] + [0xFFFFFFFE] * bool(count)
        entries.append((name, first if count else 0xFFFFFFFE, len(data)))
    root = ("Root Entry", chain(mini), len(mini))
    mini_at = chain(b"".join(struct.pack("<I", link) for link in mini_fat))

    def entry(name: str, kind: int, start: int, size: int, right: int, child: int) -> bytes:
        raw = (name + "\0").encode("utf-16-le")
        head = raw.ljust(64, b"\0") + struct.pack("<HBBIII", len(raw), kind, 1, 0xFFFFFFFF, right, child)
        return head + bytes(16 + 4 + 16) + struct.pack("<IQ", start, size)

    none = 0xFFFFFFFF
    folder = entry(root[0], 5, root[1], root[2], none, 1 if entries else none)
    for place, (name, start, size) in enumerate(entries, 1):
        folder += entry(name, 2, start, size, place + 1 if place < len(entries) else none, none)
    folder_at = chain(folder)
    needed = 1
    while needed * 128 < len(sectors) + needed:
        needed += 1
    fat_at = len(sectors)
    fat += [0xFFFFFFFD] * needed
    fat += [none] * (needed * 128 - len(fat))
    sectors += [struct.pack("<128I", *fat[at : at + 128]) for at in range(0, len(fat), 128)]
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, needed, folder_at, 0, 4096, mini_at, bool(mini_fat), 0xFFFFFFFE, 0)
    places = [*range(fat_at, fat_at + needed)]
    return head + struct.pack("<109I", *(places + [none] * (109 - needed))) + b"".join(sectors)


def a_catalogue(names: Iterable[tuple[int, str, int]]) -> bytes:
    """The stream "Catalog" of Windows XP: ``(index, name, FILETIME)``."""
    out = b""
    for index, name, ticks in names:
        raw = (name + "\0").encode("utf-16-le") + bytes(2)
        out += struct.pack("<IIQ", 16 + len(raw), index, ticks) + raw
    return struct.pack("<HHIII", 16, 7, 1, 96, 96) + out


def a_thumbcache(version: int, pictures: Files) -> bytes:
    """libwtcdb's description of the format; the checksums are left at zero."""
    out = b""
    for name, data in pictures.items():
        raw = name.encode("utf-16-le")
        sizes = struct.pack("<III", len(raw), 2, len(data))
        length = {20: 56, 21: 48}.get(version, 56)
        head = struct.pack("<8s", b"\x11" * 8) + (
            struct.pack("<8s", "jpg".encode("utf-16-le")) if version == 20 else b""
        )
        head = (head + sizes).ljust(length - 8, b"\0")
        out += b"CMMM" + struct.pack("<I", length + len(raw) + 2 + len(data)) + head + raw + b"\0\0" + data
    return b"CMMM" + struct.pack("<IIIII", version, 4, 24, 24 + len(out), len(pictures)) + out


# CAB and LHA, stored ----------------------------------------------------------------------------------------------------


def a_cab(files: Files) -> bytes:
    """MS-CAB: one folder of stored blocks, without checksums."""
    whole = b"".join(files.values())
    blocks = [whole[at : at + 0x8000] for at in range(0, len(whole), 0x8000)]
    entries, at = b"", 0
    for name, data in files.items():
        entries += struct.pack("<IIHHHH", len(data), at, 0, 0x505D, 0x63DD, 0xA0) + name.encode() + b"\0"
        at += len(data)
    begin = 36 + 8 + len(entries)
    body = b"".join(struct.pack("<IHH", 0, len(block), len(block)) + block for block in blocks)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, begin + len(body), 0, 44, 0, 3, 1, 1, len(files), 0, 0, 0)
    return head + struct.pack("<IHH", begin, len(blocks), 0) + entries + body


def an_lzh(files: Files) -> bytes:
    """LHA, headers of level 0, method -lh0-."""
    out = b""
    for name, data in files.items():
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        raw = name.encode()
        fields = b"-lh0-" + struct.pack("<IIIBBB", len(data), len(data), 0x505D63DD, 0x20, 0, len(raw)) + raw
        fields += struct.pack("<H", crc)
        out += bytes([len(fields), sum(fields) & 255]) + fields + data
    return out + b"\0"
