"""From what an examiner gives to the key of a BitLocker volume: passwords, recovery keys of 48 digits, startup keys in .BEK files.

Source: libbde's "BitLocker Drive Encryption (BDE) format specification".
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

CLEAR, STARTUP, RECOVERY, PASSWORD = 0, 0x0200, 0x0800, 0x2000
_ROUNDS = 1 << 20
_KEY, _STRETCH, _SEALED, _EXTERNAL = 1, 3, 5, 9  # kinds of value
_GROUPS = re.compile(r"(?<!\d)\d{6}(?:[- ]?\d{6}){7}(?!\d)")
_MOST_TRIED = 8  # each costs half a second; Windows makes one or two of a kind
_LARGEST_STARTUP_FILE = 4096

Entries = tuple[tuple[int, int, bytes], ...]


class Protector(NamedTuple):
    """One of the locks on the volume's master key: an identifier, what kind of key opens it, and its entries."""

    identifier: bytes
    protection: int
    properties: Entries

    def value(self, kind: int) -> bytes | None:
        return next((data for _, value, data in self.properties if value == kind), None)


class Candidate(NamedTuple):
    """A key to be tried on the protectors of one kind; ``identifier`` where it fits one of them only."""

    protection: int
    key: bytes
    identifier: bytes | None = None


def candidates(key: str, secret: bytes) -> Iterator[Candidate]:
    """What a key that was given may be. ``secret``: its bytes, or those of the file that it names with ``@``.

    The text files that Windows makes for recovery keys are understood too.
    """
    text = key
    if key.startswith("@"):
        startup = _startup(secret)
        if startup is not None:
            yield startup
            return
        wide = secret[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in secret[:64]
        text = secret.decode("utf-16" if wide else "utf-8-sig", "replace").rstrip("\r\n")
    for found in _GROUPS.finditer(text):
        numbers = [int(group) for group in re.findall(r"\d{6}", found.group())]
        if all(number % 11 == 0 and number // 11 < 1 << 16 for number in numbers):
            raw = struct.pack("<8H", *(number // 11 for number in numbers))
            yield Candidate(RECOVERY, hashlib.sha256(raw).digest())
    if len(text) <= 256:
        once = hashlib.sha256(text.encode("utf-16-le", "surrogatepass")).digest()
        yield Candidate(PASSWORD, hashlib.sha256(once).digest())


def _startup(raw: bytes) -> Candidate | None:
    """The key of a .BEK file, or None where it is none."""
    if not 48 < len(raw) <= _LARGEST_STARTUP_FILE:
        return None
    length, version, header = struct.unpack_from("<III", raw)
    if version != 1 or header != 48 or length > len(raw):
        return None
    for _, value, data in entries(raw[48:length]):
        if value == _EXTERNAL:
            key = next((inner for _, kind, inner in entries(data[24:]) if kind == _KEY), b"")
            if len(key) == 36:
                return Candidate(STARTUP, key[4:], data[:16])
    return None


def opened(protectors: tuple[Protector, ...], given: list[Candidate]) -> bytes | None:
    """The volume's master key, or None where none of these opens it. Raises ValueError or struct.error over damage."""
    for lock in protectors:
        if lock.protection == CLEAR:  # BitLocker is suspended: the key hangs beside the lock
            key, sealed = lock.value(_KEY), lock.value(_SEALED)
            if key is not None and sealed is not None and (found := unsealed(key[4:], sealed)):
                return found
    for candidate in given:
        fitting = [
            lock for lock in protectors
            if lock.protection == candidate.protection and candidate.identifier in (None, lock.identifier)
        ]  # fmt: skip
        for lock in fitting[:_MOST_TRIED]:
            sealed, stretch = lock.value(_SEALED), lock.value(_STRETCH)
            if sealed is None:
                continue
            key = candidate.key
            if candidate.protection != STARTUP:
                if stretch is None or len(stretch) < 20:
                    continue
                key = _stretched(key, stretch[4:20])
            found = unsealed(key, sealed)
            if found:
                return found
    return None


@lru_cache(maxsize=64)
def _stretched(first: bytes, salt: bytes) -> bytes:
    """A million rounds of SHA-256; remembered, because a volume has three copies of the same metadata."""
    last, fixed, sha256 = bytes(32), first + salt, hashlib.sha256
    for count in range(_ROUNDS):
        last = sha256(last + fixed + count.to_bytes(8, "little")).digest()
    return last


def unsealed(key: bytes, sealed: bytes) -> bytes | None:
    """The key within an AES-CCM encrypted one, or None where this is not the key to it. Raises ValueError over damage."""
    nonce, tag, body = sealed[:12], sealed[12:28], sealed[28:]
    try:
        container = AESCCM(key, tag_length=16).decrypt(nonce, body + tag, None)
    except InvalidTag:
        return None
    (size,) = struct.unpack_from("<I", container)
    return container[12:size]


def entries(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Metadata entries: type, kind of value, and data."""
    at = 0
    while at + 8 <= len(raw):
        size, kind, value, _ = struct.unpack_from("<HHHH", raw, at)
        if size < 8 or at + size > len(raw):
            return
        yield kind, value, raw[at + 8 : at + size]
        at += size
