"""The examiner's signing key: one Ed25519 key in a file that only its owner can read, made the first time it is needed.

What others need of it is the fingerprint of its public half. Whoever verifies a package compares the fingerprint in the
seal with the one that the examiner handed over on paper: a package cannot vouch for its own key.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from amparo.errors import UsedWrongly

LARGEST = 1 << 16  # bytes of a key file
_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw


def default_key_path() -> Path:
    """Where the examiner's key lies: ``AMPARO_KEY`` where it is set, else ``amparo/seal-key.pem`` in the user's
    configuration folder (XDG Base Directory: ``XDG_CONFIG_HOME``, else ``~/.config``)."""
    if chosen := os.environ.get("AMPARO_KEY"):
        return Path(chosen)
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    return base / "amparo" / "seal-key.pem"


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The key in ``path`` (PKCS #8, PEM), made there where no file is; two runs that make it at once get the same one.

    ``AMPARO_KEY_PASSPHRASE`` opens, and on making protects, the file. Raises UsedWrongly where others can read the file,
    it holds no Ed25519 key, or the passphrase is missing, wrong or useless.
    """
    try:
        if not os.path.lexists(path):
            _create(path)
        return _load(path)
    except OSError as error:
        raise UsedWrongly(
            f"The signing key {path} cannot be read or made ({error.strerror or error}); put that right, or name another"
            " place with AMPARO_KEY."
        ) from error


def public_bytes(public: Ed25519PublicKey) -> bytes:
    """The 32 bytes of a public key (RFC 8032)."""
    return public.public_bytes(*_RAW)


def fingerprint(public: Ed25519PublicKey) -> str:
    """What people compare: the first 160 bits of the SHA-256 of the key's 32 bytes, in ten groups of four hex digits."""
    digits = hashlib.sha256(public_bytes(public)).hexdigest()[:40]
    return " ".join(digits[at : at + 4] for at in range(0, 40, 4))


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are the same, however they are spaced and whatever their case."""
    plain = [re.sub(r"[^0-9a-z]", "", text.lower()) for text in (one, other)]
    return plain[0] == plain[1]


def _passphrase() -> bytes | None:
    given = os.environ.get("AMPARO_KEY_PASSPHRASE")
    return given.encode("utf-8", "surrogateescape") if given else None


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = _passphrase()
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
    )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)  # unlike a rename, this never takes the place of a key that another run just made
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not os.path.lexists(path):
                partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _load(path: Path) -> Ed25519PrivateKey:
    with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise UsedWrongly(f"The signing key {path} is not a file: name a key file with AMPARO_KEY.")
        if os.name == "posix" and state.st_mode & 0o077:
            raise UsedWrongly(
                f"Others can read the signing key {path}: run “chmod 600 {path}”, and make a new key if anybody else uses"
                " this computer."
            )
        pem = file.read(LARGEST)
    passphrase = _passphrase()
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError as error:
        if passphrase is None:
            raise UsedWrongly(
                f"The signing key {path} is protected: give its passphrase in the environment as AMPARO_KEY_PASSPHRASE."
            ) from error
        raise UsedWrongly(
            f"AMPARO_KEY_PASSPHRASE is set but the signing key {path} is not protected: protect it, or unset that."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in pem:
            raise UsedWrongly(
                f"AMPARO_KEY_PASSPHRASE does not open the signing key {path}, or the file is damaged: check the passphrase."
            ) from error
        raise UsedWrongly(
            f"The signing key {path} is damaged: put back a copy of it, or move it away and a new one is made."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsedWrongly(f"The signing key {path} is not an Ed25519 key: name one that is, or move it away.")
    return key
