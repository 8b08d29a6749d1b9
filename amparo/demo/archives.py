"""Containers of the demonstration: ZIP, also with a password, tar.gz, and a thumbnail cache of Windows 7."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_CRC: Final = tuple(zlib.crc32(bytes([value ^ 0xFF]), 0) ^ 0xFF000000 for value in range(256))
"""CRC-32 byte by byte, without the inversions before and after."""
_UTF8, _ENCRYPTED = 0x800, 1


def zipped(members: Mapping[str, bytes], moment: datetime) -> bytes:
    """A ZIP of these members. Pictures are stored as they are, for they do not get smaller."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
            small = name.endswith((".jpg", ".png", ".gif", ".zip"))
            entry.compress_type = zipfile.ZIP_STORED if small else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return out.getvalue()


def tar_gz(members: Mapping[str, bytes], moment: datetime) -> bytes:
    """A tar of these members, with gzip around it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), int(moment.timestamp())
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=int(moment.timestamp()))


def zipped_with_password(name: str, content: bytes, password: bytes, moment: datetime, seed: int) -> bytes:
    """A ZIP of one member under PKWARE's old cipher (APPNOTE.TXT 6.3.10, section 6.1)."""
    checksum = zlib.crc32(content)
    cipher = _Cipher(password)
    salt = random.Random(seed).randbytes(11) + bytes([checksum >> 24])  # noqa: S311  the same archive each time
    body = bytes(cipher.step(value) for value in salt + content)
    label = name.encode()
    clock = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    day = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    about = struct.pack(
        "<HHHHHIIIHH", 20, _UTF8 | _ENCRYPTED, 0, clock, day, checksum, len(body), len(content), len(label), 0
    )
    local = b"PK\3\4" + about + label + body
    entry = b"PK\1\2" + struct.pack("<H", 20) + about + struct.pack("<HHHII", 0, 0, 0, 0x20, 0) + label
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


class _Cipher:
    def __init__(self, password: bytes) -> None:
        self._keys = [0x12345678, 0x23456789, 0x34567890]
        for value in password:
            self._update(value)

    def step(self, value: int) -> int:
        """One byte, encrypted."""
        mask = (self._keys[2] | 2) & 0xFFFF
        coded = value ^ (mask * (mask ^ 1) >> 8) & 0xFF
        self._update(value)
        return coded

    def _update(self, value: int) -> None:
        first, second, third = self._keys
        first = first >> 8 ^ _CRC[(first ^ value) & 0xFF]
        second = ((second + (first & 0xFF)) * 134_775_813 + 1) & 0xFFFFFFFF
        third = third >> 8 ^ _CRC[(third ^ second >> 24) & 0xFF]
        self._keys = [first, second, third]


def thumbnails(members: Mapping[str, bytes]) -> bytes:
    """``thumbcache_256.db`` as Windows 7 writes it: each member behind the hexadecimal name that the cache gives it.

    After libyal's documentation "Windows Explorer Thumbnail Cache database format", version 21.
    """
    entries = b""
    for name, content in members.items():
        label = name.encode("utf-16-le")
        size = -(-(48 + len(label) + len(content)) // 8) * 8
        padding = 0
        head = struct.pack("<4sIQIIII", b"CMMM", size, int(name, 16), len(label), padding, len(content), 0)
        head += struct.pack("<QQ", zlib.crc32(content), zlib.crc32(head))
        entries += (head + label + content).ljust(size, b"\0")
    return struct.pack("<4sIIIII", b"CMMM", 21, 2, 24, 24 + len(entries), len(members)) + entries
