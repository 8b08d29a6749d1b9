"""The key and the seal: made once, kept from others, checked by OpenSSL too, and any change of it is seen."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import random
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from amparo.errors import AmparoError, PackageWrong, UsedWrongly
from amparo.evidence import keys
from amparo.evidence.custody import canonical
from amparo.evidence.seal import Seal, default_key_path, fingerprint, load_or_create_key
from tests.evidence.sealed import KEY, NOON, OTHER_KEY

TAGS = b"0" * 64 + b"  bagit.txt\n"


@pytest.fixture(autouse=True)
def no_key_of_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMPARO_KEY", "AMPARO_KEY_PASSPHRASE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def raw(key: object) -> bytes:
    return keys.public_bytes(key.public_key())  # type: ignore[attr-defined]


def made(token: bytes | None = None) -> bytes:
    return Seal.make(KEY, TAGS, acts=3, head="a" * 64, now=NOON, training=False, token=token)


def test_the_key_lies_where_the_desktop_keeps_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert default_key_path() == tmp_path / "home/.config/amparo/seal-key.pem"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert default_key_path() == tmp_path / "home/.config/amparo/seal-key.pem"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert default_key_path() == Path("/etc/xdg/amparo/seal-key.pem")
    monkeypatch.setenv("AMPARO_KEY", "/media/token/key.pem")
    assert default_key_path() == Path("/media/token/key.pem")


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "key.pem"
    first = load_or_create_key(path)
    assert raw(load_or_create_key(path)) == raw(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["key.pem"]


def _public_of(path: Path) -> bytes:
    return raw(load_or_create_key(path))


def test_runs_that_make_the_key_at_once_get_the_same_one(tmp_path: Path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for attempt in range(8):
            assert len(set(pool.map(_public_of, [tmp_path / f"{attempt}.pem"] * 4, chunksize=1))) == 1


def test_a_passphrase_protects_the_file_and_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "key.pem"
    monkeypatch.setenv("AMPARO_KEY_PASSPHRASE", "uma frase comprida")
    public = raw(load_or_create_key(path))
    assert b"ENCRYPTED" in path.read_bytes()
    assert raw(load_or_create_key(path)) == public
    monkeypatch.setenv("AMPARO_KEY_PASSPHRASE", "outra frase")
    with pytest.raises(UsedWrongly, match="does not open") as raised:
        load_or_create_key(path)
    assert "outra" not in str(raised.value)
    monkeypatch.delenv("AMPARO_KEY_PASSPHRASE")
    with pytest.raises(UsedWrongly, match="is protected: give its passphrase"):
        load_or_create_key(path)


def test_a_passphrase_that_protects_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    load_or_create_key(tmp_path / "key.pem")
    monkeypatch.setenv("AMPARO_KEY_PASSPHRASE", "uma frase")
    with pytest.raises(UsedWrongly, match="not protected"):
        load_or_create_key(tmp_path / "key.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    load_or_create_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(UsedWrongly, match="chmod 600"):
        load_or_create_key(tmp_path / "key.pem")


def test_a_damaged_key_is_refused_in_one_sentence_whatever_the_damage(tmp_path: Path):
    path, dice = tmp_path / "key.pem", random.Random(2)
    load_or_create_key(path)
    whole = path.read_bytes()
    damaged = [b"", whole[: len(whole) // 2], b"\0" * 5000, b"-----BEGIN PRIVATE KEY-----\n" * 50]
    for _ in range(200):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole))] = dice.randrange(256)
        damaged.append(bytes(changed))
    for content in damaged:
        path.write_bytes(content)
        try:
            load_or_create_key(path)  # a changed letter may be another key: only the fingerprint tells
        except UsedWrongly as error:
            assert str(path) in str(error) and "\n" not in str(error)
    path.write_bytes(b"")
    with pytest.raises(UsedWrongly, match="damaged"):
        load_or_create_key(path)


def test_a_key_of_another_kind_a_folder_and_a_pipe_are_refused(tmp_path: Path):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "rsa").touch(0o600)
    (tmp_path / "rsa").write_bytes(other.private_bytes(serialization.Encoding.PEM, *plain))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("rsa", "folder", "pipe", "nowhere", "rsa/below"):
        with pytest.raises(UsedWrongly, match=r"signing key"):
            load_or_create_key(tmp_path / name)


def test_a_fingerprint_is_ten_groups_that_people_can_compare():
    text = fingerprint(KEY.public_key())
    assert [len(group) for group in text.split(" ")] == [4] * 10
    assert keys.same_fingerprint(text, text.upper().replace(" ", ":"))
    assert not keys.same_fingerprint(text, fingerprint(OTHER_KEY.public_key()))
    assert not keys.same_fingerprint(text, text[:-1])


def test_a_seal_covers_its_tag_manifest_and_no_other():
    sealed = Seal.read(made())
    assert sealed.covers(TAGS)
    assert not sealed.covers(TAGS + b"\n") and not sealed.covers(b"")
    assert sealed.values["sealed_at"] == "2026-11-24T12:00:00Z"


def test_openssl_verifies_the_same_signature(tmp_path: Path):
    values = Seal.read(made()).values
    prefix = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of an Ed25519 key (RFC 8410)
    (tmp_path / "key.der").write_bytes(prefix + base64.b64decode(values["public_key"]))
    (tmp_path / "signature").write_bytes(base64.b64decode(values["signature"]))
    (tmp_path / "tags").write_bytes(TAGS)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in tags -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
    assert "Verified Successfully" in done.stdout


def test_any_changed_byte_of_a_seal_is_seen():
    whole = made(token=b"\x30\x03abc")
    for at in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            with pytest.raises(PackageWrong):
                Seal.read(bytes(changed))
    for at in range(len(whole)):
        with pytest.raises(PackageWrong):
            Seal.read(whole[:at] + whole[at + 1 :])


def test_a_statement_swapped_between_two_seals_of_the_same_key_is_seen():
    one, other = (
        json.loads(Seal.make(KEY, TAGS, acts=n, head="a" * 64, now=NOON, training=n == 1, token=None)) for n in (1, 2)
    )
    with pytest.raises(PackageWrong):
        Seal.read(canonical({**one, "training": other["training"]}) + b"\n")


@pytest.mark.parametrize(
    "hostile",
    [
        b"", b"null", b"[]", b"{}", b"[" * 500_000, b'{"a":' * 100_000, b"9" * 500_000, b"\xff" * 100,
        b'{"kind":"seal","kind":"seal"}', canonical({**json.loads(made()), "public_key": "AAAA"}) + b"\n",
        canonical({**json.loads(made()), "acts": "3"}) + b"\n", canonical({**json.loads(made()), "more": 1}) + b"\n",
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_seal_is_refused_in_one_sentence(hostile: bytes):
    with pytest.raises(AmparoError, match=r"seal\.json"):
        Seal.read(hostile)
