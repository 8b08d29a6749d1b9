"""LUKS 1 and 2 volumes, opened with a passphrase.

Sources: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from dataclasses import dataclass
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device

MAGIC = b"LUKS\xba\xbe"
_SECTOR = 512
_LARGEST_JSON = 4 << 20
_LARGEST_KEY_AREA = 16 << 20
_MOST_MEMORY_KIB = 4 << 20
_MOST_ITERATIONS = 100_000_000


@dataclass(frozen=True, slots=True)
class _Segment:
    offset: int
    size: int
    first_iv: int
    cipher: str
    sector: int


class LuksDevice:
    """The clear bytes of a LUKS volume; decrypted sector by sector, never written anywhere."""

    def __init__(self, device: Device, segment: _Segment, key: bytes) -> None:
        self._device, self._segment, self._key = device, segment, key
        self.size = min(segment.size, device.size - segment.offset) // segment.sector * segment.sector

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        sector = self._segment.sector
        first = offset // sector * sector
        last = -(-(offset + length) // sector) * sector
        raw = self._device.read(self._segment.offset + first, last - first)
        clear = _decrypt(raw, self._key, self._segment.cipher, self._segment.first_iv + first // _SECTOR, sector)
        return clear[offset - first : offset - first + length]

    def close(self) -> None:
        """Leave the device below open: others may be reading it."""


def open_luks(device: Device, passphrases: tuple[bytes, ...]) -> LuksDevice:
    """The volume behind the first passphrase that opens it. Raises :class:`SourceUnreadable` where none does."""
    head = device.read(0, 4096)
    if head[:6] != MAGIC:
        raise SourceUnreadable("This is not a LUKS volume.")
    version = int.from_bytes(head[6:8], "big")
    try:
        for passphrase in passphrases:
            opened = _open_first(device, head, passphrase) if version == 1 else _open_second(device, passphrase)
            if opened is not None:
                return opened
    except (KeyError, ValueError, TypeError, struct.error, IndexError) as error:
        raise SourceUnreadable("The LUKS header is damaged, or of a kind that is not supported.") from error
    raise SourceUnreadable("No key that was given opens the LUKS volume.")


def _open_first(device: Device, head: bytes, passphrase: bytes) -> LuksDevice | None:
    cipher = f"{_text(head[8:40])}-{_text(head[40:72])}"
    digest_name = _text(head[72:104])
    payload, key_length = struct.unpack_from(">II", head, 104)
    digest, salt = head[112:132], head[132:164]
    rounds = struct.unpack_from(">I", head, 164)[0]
    for slot in range(8):
        active, slot_rounds, slot_salt, material, stripes = struct.unpack_from(">II32sII", head, 208 + 48 * slot)
        if active != 0x00AC71F3:
            continue
        derived = _pbkdf2(digest_name, passphrase, slot_salt, slot_rounds, key_length)
        length = -(-key_length * stripes // _SECTOR) * _SECTOR
        key = _slot_key(device, material * _SECTOR, length, derived, cipher, key_length, stripes, digest_name)
        if hmac.compare_digest(_pbkdf2(digest_name, key, salt, rounds, 20), digest):
            segment = _Segment(payload * _SECTOR, device.size - payload * _SECTOR, 0, cipher, _SECTOR)
            return LuksDevice(device, segment, key)
    return None


def _open_second(device: Device, passphrase: bytes) -> LuksDevice | None:
    size = int.from_bytes(device.read(8, 8), "big")
    if not 4096 < size <= _LARGEST_JSON:
        raise ValueError("header size")
    described: dict[str, Any] = json.loads(device.read(4096, size - 4096).split(b"\0", 1)[0])
    for name, slot in sorted(described["keyslots"].items()):
        if slot.get("type") != "luks2":
            continue
        kdf, area, key_length = slot["kdf"], slot["area"], int(slot["key_size"])
        salt = base64.b64decode(kdf["salt"])
        if kdf["type"] == "pbkdf2":
            derived = _pbkdf2(kdf["hash"], passphrase, salt, int(kdf["iterations"]), int(area["key_size"]))
        else:
            if int(kdf["memory"]) > _MOST_MEMORY_KIB:
                raise ValueError("memory cost")
            kind = Type.ID if kdf["type"] == "argon2id" else Type.I
            derived = hash_secret_raw(
                passphrase, salt, int(kdf["time"]), int(kdf["memory"]), int(kdf["cpus"]), int(area["key_size"]), kind
            )
        stripes, digest_name = int(slot["af"]["stripes"]), slot["af"]["hash"]
        key = _slot_key(
            device,
            int(area["offset"]),
            int(area["size"]),
            derived,
            area["encryption"],
            key_length,
            stripes,
            digest_name,
        )
        for digest in described["digests"].values():
            if name not in digest["keyslots"]:
                continue
            wanted = base64.b64decode(digest["digest"])
            told = _pbkdf2(
                digest["hash"], key, base64.b64decode(digest["salt"]), int(digest["iterations"]), len(wanted)
            )
            if hmac.compare_digest(told, wanted):
                segment = described["segments"][sorted(digest["segments"])[0]]
                offset = int(segment["offset"])
                length = device.size - offset if segment["size"] == "dynamic" else int(segment["size"])
                if segment["type"] != "crypt" or "integrity" in segment:
                    raise ValueError("segment type")
                first_iv = int(segment.get("iv_tweak", 0))
                return LuksDevice(
                    device, _Segment(offset, length, first_iv, segment["encryption"], int(segment["sector_size"])), key
                )
    return None


def _slot_key(
    device: Device,
    offset: int,
    length: int,
    derived: bytes,
    cipher: str,
    key_length: int,
    stripes: int,
    digest_name: str,
) -> bytes:
    wanted = key_length * stripes
    if not 0 < wanted <= length <= _LARGEST_KEY_AREA:
        raise ValueError("key area")
    clear = _decrypt(device.read(offset, -(-wanted // _SECTOR) * _SECTOR), derived, cipher, 0, _SECTOR)
    return _merge(clear[:wanted], key_length, stripes, digest_name)


def _merge(split: bytes, length: int, stripes: int, digest_name: str) -> bytes:
    """Undo the anti-forensic splitter."""
    mixed = bytes(length)
    for index in range(stripes):
        mixed = bytes(a ^ b for a, b in zip(mixed, split[index * length : (index + 1) * length], strict=True))
        if index < stripes - 1:
            mixed = _diffuse(mixed, digest_name)
    return mixed


def _diffuse(data: bytes, digest_name: str) -> bytes:
    size = hashlib.new(digest_name).digest_size
    out = b""
    for number, at in enumerate(range(0, len(data), size)):
        piece = data[at : at + size]
        out += hashlib.new(digest_name, number.to_bytes(4, "big") + piece).digest()[: len(piece)]
    return out


def _pbkdf2(digest_name: str, secret: bytes, salt: bytes, rounds: int, length: int) -> bytes:
    if not 0 < rounds <= _MOST_ITERATIONS:
        raise ValueError("iterations")
    return hashlib.pbkdf2_hmac(digest_name, secret, salt, rounds, length)


def _decrypt(raw: bytes, key: bytes, cipher: str, sector_number: int, sector: int) -> bytes:
    name, mode, vector = [*cipher.split("-", 2), ""][:3]
    if name != "aes" or mode not in ("xts", "cbc"):
        raise SourceUnreadable(f"The cipher {cipher} is not supported.")
    if len(raw) % sector:
        raise ReadFailed("The encrypted volume ends in the middle of a sector.")
    algorithm = algorithms.AES(key)
    essiv = None
    if vector.startswith("essiv:"):
        essiv = Cipher(algorithms.AES(hashlib.new(vector[6:], key).digest()), modes.ECB()).encryptor()  # noqa: S305  ESSIV is defined so
    pieces = []
    for at in range(0, len(raw), sector):
        # Sector numbers count in 512 bytes whatever the sector's size, as dm-crypt does by default.
        number = (sector_number + at // _SECTOR) & (0xFFFFFFFF if vector == "plain" else (1 << 64) - 1)
        start = number.to_bytes(16, "little")
        if essiv is not None:
            start = essiv.update(start)
        chosen: Any = modes.XTS(start) if mode == "xts" else modes.CBC(start)
        pieces.append(Cipher(algorithm, chosen).decryptor().update(raw[at : at + sector]))
    return b"".join(pieces)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii")
