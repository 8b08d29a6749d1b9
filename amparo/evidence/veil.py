"""What the working tables must remember of contents, made unreadable for whoever finds the disk of a run that was stopped.

A file small enough to lie within its own metadata is listed together with its bytes, and these wait in the working tables
until they are read. There they are encrypted (ChaCha20-Poly1305, RFC 8439) under a key that is derived (HKDF, RFC 5869)
from the examiner's signing key, so that the run can be resumed, and nobody without that key can read them.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes; drawn at random, for fewer than 2**32 contents


class Veil:
    """Covers and uncovers contents. Without a ``key``, for as long as this object lives only."""

    def __init__(self, key: Ed25519PrivateKey | None = None) -> None:
        secret = key.private_bytes_raw() if key is not None else os.urandom(32)
        derived = HKDF(SHA256(), 32, salt=None, info=b"amparo working tables, version 1").derive(secret)
        self._cipher = ChaCha20Poly1305(derived)

    def cover(self, content: bytes) -> bytes:
        """The content, encrypted; 28 bytes longer."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, None)

    def uncover(self, covered: bytes) -> bytes:
        """The content again. Raises ValueError where it was covered under another key, or was changed."""
        try:
            return self._cipher.decrypt(covered[:_NONCE], covered[_NONCE:], None)
        except InvalidTag:
            raise ValueError("covered under another key, or changed") from None
