"""How an APFS volume is encrypted in software: its key bags, after the "Apple File System Reference" (2020) and libfsapfs's "APFS".

The password opens the key of the volume, and that one the key that everything is encrypted with: AES-XTS over sectors of 512 bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from tests.evidence.source.disks import noise

BLOCK, SECTOR = 4096, 512
CONTAINER_BAG, VOLUME_BAG = 0x6B657973, 0x72656373
_MASTER, _RECORDS = 2, 3  # tags of entries
ROUNDS = 1000  # of the derivation; macOS takes a hundred times as many

MASTER, _VOLUME = noise("master", 32), noise("volume", 32)


def encrypted(content: bytes, place: int, key: bytes = MASTER) -> bytes:
    """AES-XTS of whole sectors that begin at a block. A bag's two keys are the same, which OpenSSL refuses: so it is done here."""
    first, second = (Cipher(algorithms.AES(half), modes.ECB()).encryptor() for half in (key[:16], key[16:]))
    pieces = []
    for at in range(0, len(content), SECTOR):
        tweak = int.from_bytes(
            second.update((place * (BLOCK // SECTOR) + at // SECTOR).to_bytes(16, "little")), "little"
        )
        masks = b""
        for _ in range(SECTOR // 16):
            masks += tweak.to_bytes(16, "little")
            tweak = tweak << 1 ^ (0x87 | 1 << 128 if tweak >> 127 else 0)
        pieces.append(_mixed(first.update(_mixed(content[at : at + SECTOR], masks)), masks))
    return b"".join(pieces)


def _mixed(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def container_bag(volume: bytes, place: int) -> bytes:
    """What the container's bag says of the volume with this identifier, whose own bag lies at ``place``."""
    return _bag((volume, _RECORDS, struct.pack("<QQ", place, 1)), (volume, _MASTER, _wrapped(volume, _VOLUME, MASTER)))


def volume_bag(volume: bytes, password: str) -> bytes:
    user, salt = noise("user", 16), noise("salt", 16)
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS, 32)
    more = _value(0x84, ROUNDS.to_bytes(3, "big")) + _value(0x85, salt)
    return _bag((user, _RECORDS, _wrapped(volume, key, _VOLUME, more)))


def _bag(*entries: tuple[bytes, int, bytes]) -> bytes:
    body = b""
    for identifier, tag, data in entries:
        body += struct.pack("<16sHH4x", identifier, tag, len(data)) + data
        body = body.ljust(-(-len(body) // 16) * 16, b"\0")
    return struct.pack("<HHI8x", 2, len(entries), 16 + len(body)) + body


def _wrapped(volume: bytes, by: bytes, key: bytes, more: bytes = b"") -> bytes:
    inner = _value(0x80, b"\0") + _value(0x81, volume) + _value(0x82, bytes(8)) + _value(0x83, aes_key_wrap(by, key))
    inner = _value(0xA3, inner + more)
    salt = noise("blob", 8)
    keyed = hashlib.sha256(b"\x01\x16\x20\x17\x15\x05" + salt).digest()
    check = hmac.digest(keyed, inner, "sha256")
    return _value(0x30, _value(0x80, b"\0") + _value(0x81, check) + _value(0x82, salt) + inner)


def _value(tag: int, data: bytes) -> bytes:
    return bytes([tag]) + (bytes([len(data)]) if len(data) < 0x80 else bytes([0x81, len(data)])) + data
