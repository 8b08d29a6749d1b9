"""LUKS volumes: cryptsetup writes the header, and the content is encrypted here, sector by sector, as dm-crypt would."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.evidence.source.disks import blank, noise, run

CHEAP = {
    "luks1": ("--type", "luks1", "--pbkdf-force-iterations", "1000"),
    "luks2 pbkdf2": ("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"),
    "luks2 argon2id": ("--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "64"),
    "luks2 argon2i": ("--type", "luks2", "--pbkdf", "argon2i", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "64"),
}  # fmt: skip


def luks(
    path: Path,
    content: bytes,
    passphrase: str,
    *options: str,
    cipher: str = "aes-xts-plain64",
    key: int = 512,
    sector: int = 512,
) -> Path:
    """A LUKS volume that holds ``content``. ``key`` in bits, ``sector`` in bytes."""
    secret = noise("volume key", key // 8)
    path.with_suffix(".key").write_bytes(secret)
    if "luks2" in options:
        options = (*options, "--sector-size", str(sector))  # left to itself, cryptsetup chooses by the disk below
    blank(path, (16 << 20) + len(content) + (4 << 20))
    run(
        "cryptsetup", "luksFormat", "--batch-mode", "--cipher", cipher, "--key-size", str(key), "--volume-key-file",
        path.with_suffix(".key"), *options, path, "-", text=passphrase.encode(),
    )  # fmt: skip
    start = payload(path)
    with path.open("r+b") as disk:
        disk.seek(start)
        disk.write(encrypt(content, secret, cipher, sector))
        disk.truncate(start + len(content))
    return path


def add_passphrase(path: Path, passphrase: str, *options: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(passphrase)
    run("cryptsetup", "luksAddKey", "--batch-mode", "--volume-key-file", path.with_suffix(".key"), *options, path, new)


def payload(path: Path) -> int:
    """Where the content begins, in bytes."""
    lines = run("cryptsetup", "luksDump", path).decode().splitlines()
    for line in lines:
        if line.startswith("Payload offset:"):
            return int(line.split()[-1]) * 512
        if line.strip().startswith("offset:") and "bytes" in line:
            return int(line.split()[1])
    raise AssertionError("no payload offset was told")


def encrypt(content: bytes, key: bytes, cipher: str, sector: int) -> bytes:
    pieces = []
    for at in range(0, len(content), sector):
        vector = (at // 512).to_bytes(16, "little")
        if "essiv" in cipher:
            essiv = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()
            vector = essiv.update(vector)
        mode = modes.XTS(vector) if "xts" in cipher else modes.CBC(vector)
        pieces.append(Cipher(algorithms.AES(key), mode).encryptor().update(content[at : at + sector]))
    return b"".join(pieces)
