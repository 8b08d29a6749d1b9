"""BitLocker volumes as Windows 7 and later lay them out, written from nothing around the content of a volume.

After libbde's "BitLocker Drive Encryption (BDE) format", and Ferguson's "AES-CBC + Elephant diffuser" (2006). cryptsetup and libbde
open what this writes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import cache
from typing import Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tests.evidence.source.disks import noise

SECTOR, METADATA, HEADER = 512, 65536, 8192
ROUNDS = 1 << 20
IDENTIFIER = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")
STARTUP = bytes.fromhex("11223344556677889900aabbccddeeff")  # identifies the startup key
WHEN = 134_000_000_000_000_000  # a FILETIME of 2025

Method = Literal[
    "cbc-128 diffuser", "cbc-256 diffuser", "cbc-128", "cbc-256", "xts-128", "xts-256"
]  # fmt: skip
METHODS: tuple[Method, ...] = ("cbc-128 diffuser", "cbc-256 diffuser", "cbc-128", "cbc-256", "xts-128", "xts-256")


def recovery_key(seed: object = "recovery") -> str:
    """48 digits in eight groups, each a 16-bit number times eleven."""
    return "-".join(f"{number * 11:06}" for number in struct.unpack("<8H", noise(seed, 16)))


def make(
    content: bytes,
    method: Method = "xts-128",
    password: str | None = None,
    recovery: str | None = None,
    startup: bool = False,
    to_go: bool = False,
    clear: bool = False,
    vista: bool = False,
) -> bytes:
    """A BitLocker volume that holds ``content``, which must have room of zeros for three blocks of metadata and the header.

    It opens with any of the keys that are given; ``clear`` leaves the key beside the lock, as Windows does while BitLocker is
    suspended. ``to_go`` writes the header of a FAT volume on a removable drive, ``vista`` what Windows Vista wrote, where the
    first 16 sectors are not encrypted.
    """
    raw = bytearray(content)
    places = _room(content, [METADATA, METADATA, METADATA, HEADER])
    blocks, header = places[:3], places[3]
    key, tweak = _keys(method)
    image = bytearray(_encrypt(content, 0, method, key, tweak))
    image[header : header + HEADER] = _encrypt(bytes(raw[:HEADER]), header, method, key, tweak)
    image[:HEADER] = _volume_header(blocks, to_go).ljust(HEADER, b"\0")
    entries = _entries(header, method, key, tweak, password, recovery, startup, clear)
    metadata = _metadata(len(content), blocks, header, method, entries)
    if vista:
        mirror = struct.unpack_from("<Q", raw, 56)[0]
        raw[3:11], raw[56:64] = b"-FVE-FS-", struct.pack("<Q", blocks[0] // (raw[13] * SECTOR))
        image[:HEADER] = raw[:HEADER]
        image[header : header + HEADER] = _encrypt(content[header : header + HEADER], header, method, key, tweak)
        metadata = _metadata(0, blocks, mirror, method, entries[:-24], version=1)
    for place in blocks:
        size = 16384 if vista else METADATA
        image[place : place + size] = metadata.ljust(size, b"\0")
    return bytes(image)


def startup_file() -> bytes:
    """A .BEK file: the startup key that :func:`make` accepts."""
    key = _entry(0, 1, struct.pack("<I", 0x2002) + _startup_key())
    body = _entry(6, 9, STARTUP + struct.pack("<Q", WHEN) + key)
    return struct.pack("<IIII16sIIQ", 48 + len(body), 1, 48, 48 + len(body), STARTUP, 1, 0, WHEN) + body


def _room(content: bytes, sizes: list[int]) -> list[int]:
    places, at = [], HEADER
    for size in sizes:
        while any(content[at : at + size]):
            at += 4096
        assert at + size <= len(content), "the volume has no room for the metadata"
        places.append(at)
        at += size
    return places


def _startup_key() -> bytes:
    return noise("startup", 32)


def _keys(method: Method) -> tuple[bytes, bytes]:
    long = 32 if "256" in method else 16
    return noise("fvek", 2 * long if "xts" in method else long), noise("tweak", long)


# Metadata --------------------------------------------------------------------------------------------------------------


def _volume_header(blocks: list[int], to_go: bool) -> bytes:
    raw = bytearray(SECTOR)
    raw[:11] = b"\xeb\x58\x90" + (b"MSWIN4.1" if to_go else b"-FVE-FS-")
    struct.pack_into("<HBHB2xH", raw, 11, SECTOR, 8, 0, 0, 0)
    raw[21], raw[510:512] = 0xF8, b"\x55\xaa"
    raw[66:90] = struct.pack("<BI11s8s", 0x29, 0, b"NO NAME", b"FAT32").replace(b"\0", b" ")
    struct.pack_into("<16s3Q", raw, 424 if to_go else 160, IDENTIFIER, *blocks)
    return bytes(raw)


def _entries(
    header: int,
    method: Method,
    key: bytes,
    tweak: bytes,
    password: str | None,
    recovery: str | None,
    startup: bool,
    clear: bool,
) -> bytes:
    master = noise("vmk", 32)
    entries = _entry(7, 2, "TINY 1/1/2026".encode("utf-16-le") + b"\0\0")
    if password is not None:
        entries += _protected(0x2000, "password", *_stretched(_password_hash(password), noise("salt 1", 16)), master)
    if recovery is not None:
        entries += _protected(
            0x0800, "DiskPassword", *_stretched(_recovery_hash(recovery), noise("salt 2", 16)), master
        )
    if startup:
        use = _entry(0, 4, struct.pack("<I", 0x2002) + _sealed(_startup_key(), 9, _container(0x2002, _startup_key())))
        entries += _entry(
            2,
            8,
            STARTUP
            + struct.pack("<QHH", WHEN, 0, 0x0200)
            + use
            + _sealed(_startup_key(), 4, _container(0x2003, master)),
        )
    if clear:
        lock = _entry(0, 1, struct.pack("<I", 0x2002) + noise("clear", 32))
        entries += _entry(
            2, 8, noise("id clear", 16) + struct.pack("<QHH", WHEN, 0, 0) + lock
            + _sealed(noise("clear", 32), 5, _container(0x2003, master)),
        )  # fmt: skip
    code = 0x8000 + METHODS.index(method)
    if "diffuser" in method:
        material = key.ljust(32, b"\0") + tweak.ljust(32, b"\0")
    else:
        material = key
    entries += _sealed(master, 6, _container(code, material), 3)
    return entries + _entry(0xF, 0xF, struct.pack("<QQ", header, HEADER))


def _metadata(size: int, blocks: list[int], last: int, method: Method, entries: bytes, version: int = 2) -> bytes:
    """A block of metadata. ``last``: where the header was moved to; on Vista the cluster of the MFT's mirror."""
    length = 48 + len(entries)
    body = struct.pack(
        "<IIII16sIIQ", length, 1, 48, length, noise("volume", 16), 20, 0x8000 + METHODS.index(method), WHEN
    )
    whole = -(-(64 + length) // 16) * 16
    told = whole // 16 if version == 2 else whole
    sectors = HEADER // SECTOR if version == 2 else 0
    head = struct.pack("<8sHHHHQII3QQ", b"-FVE-FS-", told, version, 4, 4, size, 0, sectors, *blocks, last)
    raw = (head + body + entries).ljust(whole, b"\0")
    return raw + struct.pack("<HHI", 8, version, zlib.crc32(raw))


def _entry(kind: int, value: int, data: bytes) -> bytes:
    return struct.pack("<HHHH", 8 + len(data), kind, value, 1) + data


def _container(method: int, key: bytes) -> bytes:
    return struct.pack("<IHHI", 12 + len(key), 1, 0, method) + key


def _sealed(key: bytes, counter: int, container: bytes, kind: int = 0) -> bytes:
    """An AES-CCM encrypted key."""
    nonce = struct.pack("<QI", WHEN, counter)
    sealed = AESCCM(key, tag_length=16).encrypt(nonce, container, None)
    return _entry(kind, 5, nonce + sealed[-16:] + sealed[:-16])


def _protected(protection: int, name: str, key: bytes, salt: bytes, master: bytes) -> bytes:
    described = _entry(0, 2, name.encode("utf-16-le") + b"\0\0")
    inner = _sealed(key, 11, _container(0x1000, key))
    stretch = _entry(0, 3, struct.pack("<I", 0x1000) + salt + inner)
    head = noise(f"id {name}", 16) + struct.pack("<QHH", WHEN, 0, protection)
    return _entry(2, 8, head + described + stretch + _sealed(key, 12, _container(0x2003, master)))


def _password_hash(password: str) -> bytes:
    return hashlib.sha256(hashlib.sha256(password.encode("utf-16-le")).digest()).digest()


def _recovery_hash(recovery: str) -> bytes:
    numbers = [int(group) // 11 for group in recovery.split("-")]
    return hashlib.sha256(struct.pack("<8H", *numbers)).digest()


@cache
def _stretched(first: bytes, salt: bytes) -> tuple[bytes, bytes]:
    last, fixed = bytes(32), first + salt
    for count in range(ROUNDS):
        last = hashlib.sha256(last + fixed + count.to_bytes(8, "little")).digest()
    return last, salt


# Sectors ---------------------------------------------------------------------------------------------------------------


def _encrypt(content: bytes, start: int, method: Method, key: bytes, tweak: bytes) -> bytes:
    if "diffuser" in method:
        content = _diffused(content, start, tweak)
    block = Cipher(algorithms.AES(key if "xts" not in method else key[:16]), modes.ECB()).encryptor()
    pieces = []
    for at in range(0, len(content), SECTOR):
        if "xts" in method:
            mode: modes.Mode = modes.XTS(((start + at) // SECTOR).to_bytes(16, "little"))
        else:
            mode = modes.CBC(block.update((start + at).to_bytes(16, "little")))
        pieces.append(Cipher(algorithms.AES(key), mode).encryptor().update(content[at : at + SECTOR]))
    return b"".join(pieces)


def _diffused(content: bytes, start: int, tweak: bytes) -> bytes:
    """The sector key and both diffusers, over all sectors at once."""
    block = Cipher(algorithms.AES(tweak), modes.ECB()).encryptor()
    offsets = range(start, start + len(content), SECTOR)
    keys = b"".join(
        (block.update(at.to_bytes(16, "little")) + block.update(at.to_bytes(15, "little") + b"\x80")) * 16
        for at in offsets
    )
    words = (np.frombuffer(content, "<u4") ^ np.frombuffer(keys, "<u4")).reshape(-1, 128).T.copy()
    _turn(words, 5, -1, (9, 0, 13, 0))
    _turn(words, 3, 1, (0, 10, 0, 25))
    return words.T.tobytes()


def _turn(words: np.ndarray, cycles: int, way: int, turns: tuple[int, ...]) -> None:
    """One diffuser in the direction of encryption: A looks back (``way`` -1), B looks ahead."""
    for _ in range(cycles):
        for index in reversed(range(128)):
            far = words[(index + 5 * way) % 128]
            turn = np.uint32(turns[index % 4])
            turned = far << turn | far >> np.uint32(32 - turn) if turn else far
            words[index] -= words[(index + 2 * way) % 128] ^ turned
