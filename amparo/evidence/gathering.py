"""Contents of evidence, encrypted to those who may see them while they are read: nothing ever lies on a disk in clear.

The form is age (https://age-encryption.org/v1) for X25519 recipients: ``age -d -i KEY FILE.age`` opens it. A file is
named by the SHA-256 of its content, so that what lies in a hundred places is gathered once.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyrage

from amparo.errors import UsedWrongly

LARGEST_LIST = 1 << 20  # bytes of a file of recipients
_SECRET = re.compile(r"age-(secret-key|plugin)-", re.IGNORECASE)
_HOW = "age-keygen prints it as “Public key: age1…”"


class Gathered(NamedTuple):
    """What was written: the file's name in its folder, and the size in bytes and SHA-256 of the content in clear."""

    name: str
    size: int
    sha256: str


def parse_recipient(text: str) -> tuple[str, ...]:
    """The age public keys that ``text`` stands for: itself, or those in the file that it names (one a line; ``#`` begins
    a comment). Raises UsedWrongly where it is none, or a private key, which the message never repeats."""
    text = text.strip()
    if _SECRET.search(text):
        raise _private("--recipient")
    if text.lower().startswith("age1") and not os.path.lexists(text):
        return (_public(text, f"--recipient {text}"),)
    return _from_file(text)


def _from_file(text: str) -> tuple[str, ...]:
    try:
        with Path(text).open("rb") as file:
            raw = file.read(LARGEST_LIST + 1)
    except (OSError, ValueError) as error:
        # The text is not repeated: it may be a private key with its beginning lost.
        raise UsedWrongly(
            f"A --recipient is neither an age public key nor a file of them that can be read: give the key that begins"
            f" with age1 ({_HOW})."
        ) from error
    name = Path(text).name
    if len(raw) > LARGEST_LIST:
        raise UsedWrongly(f"{name} is too large to be a file of recipients: give one with a public key a line.")
    lines = raw.decode("utf-8-sig", "replace").splitlines()
    if any(_SECRET.search(line) for line in lines):
        raise _private(name)
    keys = [
        _public(line.strip(), f"line {number} of {name}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not keys:
        raise UsedWrongly(f"{name} names no recipient: write one public key a line ({_HOW}).")
    return tuple(dict.fromkeys(keys))


def _private(where: str) -> UsedWrongly:
    return UsedWrongly(
        f"What {where} gives is a private key, which must stay with its owner: give the public key ({_HOW}), and make a"
        " new pair if others could have seen this command."
    )


def _public(text: str, where: str) -> str:
    try:
        return str(pyrage.x25519.Recipient.from_str(text))
    except pyrage.RecipientError as error:
        where = where if text.lower().startswith("age1") else where.replace(text, "").strip()
        raise UsedWrongly(
            f"The key at {where} is not an age X25519 public key: copy it whole, from age1 to its end ({_HOW})."
        ) from error


@lru_cache(maxsize=8)
def _recipients(keys: tuple[str, ...]) -> list[pyrage.x25519.Recipient]:
    return [pyrage.x25519.Recipient.from_str(key) for key in keys]


class _Content:
    """The pieces as a file that can be read once; what the library would hide behind an error of its own is kept."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._piece, self._at = memoryview(b""), 0
        self.digest, self.size = hashlib.sha256(), 0
        self.error: BaseException | None = None

    def read(self, amount: int = -1) -> bytes:
        try:
            while self._at == len(self._piece):
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self.digest.update(piece)
                self.size += len(piece)
                self._piece, self._at = memoryview(piece), 0
        except BaseException as error:
            self.error = error
            raise
        end = len(self._piece) if amount < 0 else self._at + amount
        given = bytes(self._piece[self._at : end])
        self._at += len(given)
        return given


class _Sealed:
    """The file that is written, with the error that the library would hide."""

    def __init__(self, path: Path) -> None:
        self.file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=1 << 18)
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Left to :func:`gather`, which flushes once, at the end."""


def gather(pieces: Iterable[bytes], recipients: Sequence[str], folder: Path) -> Gathered:
    """Encrypt the content that ``pieces`` gives, in order, to the public keys, into ``folder``/``<sha256>.age``.

    Memory is bounded whatever the size. The file appears whole, on the disk, or not at all; where the same content was
    gathered before, that file stays. What ``pieces`` raises passes through; OSError where the file cannot be written.
    """
    keys = _recipients(tuple(recipients))
    if not keys:
        raise UsedWrongly("Nothing is gathered without a recipient: contents are never written in clear.")
    partial = folder / f"{secrets.token_hex(16)}.partial"
    content = _Content(pieces)
    try:
        sealed = _Sealed(partial)
        with sealed.file:
            try:
                pyrage.encrypt_io(content, sealed, keys)
            except pyrage.EncryptError as error:
                raise content.error or sealed.error or OSError(f"It could not be encrypted ({error}).") from None
            sealed.file.flush()
            os.fsync(sealed.file.fileno())
        sha256 = content.digest.hexdigest()
        name = f"{sha256}.age"
        if not (folder / name).exists():
            partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)
    return Gathered(name, content.size, sha256)
