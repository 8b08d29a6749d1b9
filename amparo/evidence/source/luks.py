"""LUKS 1 and 2 volumes, opened with a passphrase.

Sources: LUKS1 On-Disk Format Specification 1.2.3; LUKS2 On-Disk Format Specification 1.1.3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret_raw

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.sector_cipher import SECTOR, SectorCipher

MAGIC = b"LUKS\xba\xbe"
SECOND_MAGIC = b"SKUL\xba\xbe"
SECOND_HEADER = 16384  # where cryptsetup puts the copy of a header of the usual size

_LARGEST_HEADER = 4 << 20
_LARGEST_KEY_AREA = 16 << 20
# More than cryptsetup chooses on the fastest machine: a header that lies may ask for years of work.
_MOST_ITERATIONS = 50_000_000
_MOST_MEMORY_KIB = 2 << 20
_MOST_KIB_PASSES = 64 << 20
_MOST_LANES = 64

# What a header that lies can make of the code below.
_DAMAGE = (
    KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError, MemoryError, struct.error,
    Argon2Error, ReadFailed,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Segment:
    offset: int
    size: int
    first_iv: int
    cipher: str
    sector: int


class LuksDevice:
    """The clear bytes of a LUKS volume; decrypted as they are read, never written anywhere."""

    def __init__(self, device: Device, segment: _Segment, key: bytes) -> None:
        self._device, self._segment = device, segment
        self._cipher = SectorCipher(segment.cipher, key, segment.sector)
        self.size = max(0, min(segment.size, device.size - segment.offset)) // segment.sector * segment.sector

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        sector = self._segment.sector
        first = offset // sector * sector
        last = -(-(offset + length) // sector) * sector
        raw = self._device.read(self._segment.offset + first, last - first)
        if len(raw) < last - first:
            raise ReadFailed("The encrypted volume ends in the middle of a sector.")
        clear = self._cipher.decrypt(raw, self._segment.first_iv + first // SECTOR)
        return clear[offset - first : offset - first + length]

    def close(self) -> None:
        """Leave the device below open: others may be reading it."""


_Attempt = Callable[[bytes], LuksDevice | None]


def open_luks(device: Device, passphrases: tuple[bytes, ...]) -> LuksDevice:
    """The volume behind the first passphrase that opens it. Raises :class:`SourceUnreadable` where none does."""
    tried, why = 0, ""
    for attempt in _attempts(device):
        for passphrase in passphrases:
            try:
                opened = attempt(passphrase)
            except _DAMAGE as error:  # one key slot may be damaged, or of a kind that is not known, and the next whole
                why = str(error) if "not supported" in str(error) else why
                continue
            if opened is not None:
                return opened
            tried += 1
    if tried:
        raise SourceUnreadable("No key that was given opens the LUKS volume.")
    raise SourceUnreadable(f"The LUKS volume cannot be opened: {why or 'its header is damaged.'}")


def _attempts(device: Device) -> Iterator[_Attempt]:
    """One way to try a passphrase for each key slot in use."""
    head = device.read(0, 4096)
    if head[:8] == MAGIC + b"\0\1":
        for slot in range(8):
            if head[208 + 48 * slot :][:4] == b"\x00\xac\x71\xf3":
                yield partial(_open_first, device, head, slot)
        return
    for described in _second_headers(device):
        try:
            slots = sorted(described["keyslots"].items())
        except _DAMAGE:
            continue
        for name, slot in slots:
            yield partial(_open_second, device, described, name, slot)


# Version 1 ------------------------------------------------------------------------------------------------------


def _open_first(device: Device, head: bytes, slot: int, passphrase: bytes) -> LuksDevice | None:
    cipher = f"{_text(head[8:40])}-{_text(head[40:72])}"
    digest_name = _text(head[72:104])
    payload, key_length = struct.unpack_from(">II", head, 104)
    digest, salt, rounds = head[112:132], head[132:164], int.from_bytes(head[164:168], "big")
    slot_rounds, slot_salt, material, stripes = struct.unpack_from(">I32sII", head, 212 + 48 * slot)
    derived = _pbkdf2(digest_name, passphrase, slot_salt, slot_rounds, key_length)
    split = _split_key(device, material * SECTOR, key_length * stripes, cipher, derived)
    key = _merge(split, key_length, stripes, digest_name)
    if not hmac.compare_digest(_pbkdf2(digest_name, key, salt, rounds, len(digest)), digest):
        return None
    return LuksDevice(device, _Segment(payload * SECTOR, device.size - payload * SECTOR, 0, cipher, SECTOR), key)


# Version 2 ------------------------------------------------------------------------------------------------------


def _second_headers(device: Device) -> Iterator[dict[str, Any]]:
    """The two copies of the header, as JSON: one whose checksum holds before one whose does not, the newer one first."""
    found: list[tuple[bool, int, int, dict[str, Any]]] = []
    told = int.from_bytes(device.read(8, 8), "big")
    for at in sorted({0, told, *(1 << power for power in range(14, 23))}):
        raw = device.read(at, 4096) if at < device.size else b""
        size, sequence = int.from_bytes(raw[8:16], "big"), int.from_bytes(raw[16:24], "big")
        if raw[:6] != (SECOND_MAGIC if at else MAGIC) or not 4096 < size <= _LARGEST_HEADER:
            continue
        text = device.read(at + 4096, size - 4096)
        try:
            told_sum = hashlib.new(_text(raw[72:104]), raw[:448] + bytes(64) + raw[512:] + text).digest()
            described = json.loads(text.split(b"\0", 1)[0])
        except _DAMAGE:
            continue
        found.append((told_sum == raw[448 : 448 + len(told_sum)], sequence, -at, described))
    for *_, described in sorted(found, key=lambda one: one[:3], reverse=True):
        yield described


def _open_second(
    device: Device, described: dict[str, Any], name: str, slot: dict[str, Any], passphrase: bytes
) -> LuksDevice | None:
    if slot["type"] != "luks2":
        raise ValueError(f"A key slot of the type {slot['type']} is not supported.")
    area, length, stripes = slot["area"], int(slot["key_size"]), int(slot["af"]["stripes"])
    derived = _derived(slot["kdf"], passphrase, int(area["key_size"]))
    if length * stripes > int(area["size"]):
        raise ValueError("key area")
    split = _split_key(device, int(area["offset"]), length * stripes, area["encryption"], derived)
    key = _merge(split, length, stripes, slot["af"]["hash"])
    for digest in described["digests"].values():
        if name not in digest["keyslots"]:
            continue
        wanted, salt = base64.b64decode(digest["digest"]), base64.b64decode(digest["salt"])
        if hmac.compare_digest(_pbkdf2(digest["hash"], key, salt, int(digest["iterations"]), len(wanted)), wanted):
            return LuksDevice(device, _segment(device, described["segments"], digest["segments"]), key)
    return None


def _segment(device: Device, segments: dict[str, Any], names: list[str]) -> _Segment:
    segment = segments[min(names)]
    if segment["type"] != "crypt" or "integrity" in segment:
        raise ValueError("A volume with integrity tags is not supported.")
    offset = int(segment["offset"])
    size = device.size - offset if segment["size"] == "dynamic" else int(segment["size"])
    if offset < 0 or size < 0:
        raise ValueError("segment")
    return _Segment(offset, size, int(segment.get("iv_tweak", 0)), segment["encryption"], int(segment["sector_size"]))


def _derived(kdf: dict[str, Any], passphrase: bytes, length: int) -> bytes:
    salt = base64.b64decode(kdf["salt"])
    if kdf["type"] == "pbkdf2":
        return _pbkdf2(kdf["hash"], passphrase, salt, int(kdf["iterations"]), length)
    passes, memory, lanes = int(kdf["time"]), int(kdf["memory"]), int(kdf["cpus"])
    if memory > _MOST_MEMORY_KIB or passes * memory > _MOST_KIB_PASSES or lanes > _MOST_LANES:
        raise ValueError("A key slot that needs more memory than this machine gives is not supported.")
    kind = {"argon2id": Type.ID, "argon2i": Type.I}[kdf["type"]]
    return hash_secret_raw(passphrase, salt, passes, memory, lanes, length, kind)


# Common to both -------------------------------------------------------------------------------------------------


def _split_key(device: Device, offset: int, length: int, cipher: str, derived: bytes) -> bytes:
    if not 0 < length <= _LARGEST_KEY_AREA:
        raise ValueError("key area")
    return SectorCipher(cipher, derived).decrypt(device.read(offset, -(-length // SECTOR) * SECTOR), 0)[:length]


def _merge(split: bytes, length: int, stripes: int, digest_name: str) -> bytes:
    """Undo the anti-forensic splitter."""
    mixed = 0
    for index in range(stripes):
        mixed ^= int.from_bytes(split[index * length : (index + 1) * length], "big")
        if index < stripes - 1:
            mixed = int.from_bytes(_diffuse(mixed.to_bytes(length, "big"), digest_name), "big")
    return mixed.to_bytes(length, "big")


def _diffuse(data: bytes, digest_name: str) -> bytes:
    size = hashlib.new(digest_name).digest_size
    out = b""
    for number, at in enumerate(range(0, len(data), size)):
        piece = data[at : at + size]
        out += hashlib.new(digest_name, number.to_bytes(4, "big") + piece).digest()[: len(piece)]
    return out


def _pbkdf2(digest_name: str, secret: bytes, salt: bytes, rounds: int, length: int) -> bytes:
    if not 0 < rounds <= _MOST_ITERATIONS or not 0 < length <= 512:
        raise ValueError("iterations")
    return hashlib.pbkdf2_hmac(digest_name, secret, salt, rounds, length)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii")
