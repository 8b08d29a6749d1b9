"""LUKS 1 and 2 as cryptsetup writes them: opened with a passphrase, named where there is none, refused where they lie."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from pathlib import Path

import pytest

from amparo.errors import SourceUnreadable
from amparo.evidence.source import volumes
from amparo.evidence.source.luks import open_luks
from tests.evidence.source.disks import Raw, contents, encrypted, ext, need, noise, seen

PASSPHRASE = "correct horse é battery"


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("inner")
    tree = ext.tree(folder / "tree", {"secret/plan.txt": b"plan", "picture.bin": noise("picture", 200_000)})
    return ext.make(folder / "ext", tree, "-t", "ext4", size=2 << 20).read_bytes()


@pytest.fixture(scope="module")
def image(volume: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("cryptsetup")
    path = tmp_path_factory.mktemp("luks") / "disk"
    return encrypted.luks(path, volume, PASSPHRASE, *encrypted.CHEAP["luks2 argon2id"])


def listed(image: Path | bytes, *keys: str) -> dict[str, bytes | None]:
    device = Raw(image)
    survey = volumes.survey(device, keys)
    inner = survey.volumes[-1]
    assert (inner.kind, inner.filesystem, inner.parent) == ("logical", volumes.EXT, 0), survey.problems
    return contents(seen(volumes.open_volume(device, inner, keys), volumes.EXT), "live")


@pytest.mark.parametrize("kind", encrypted.CHEAP)
@pytest.mark.parametrize(
    ("cipher", "key", "sector"),
    [("aes-xts-plain64", 512, 512), ("aes-xts-plain64", 256, 4096), ("aes-cbc-essiv:sha256", 256, 512), ("aes-cbc-plain64", 128, 512)],
)  # fmt: skip
def test_the_right_passphrase_opens_it(tmp_path: Path, volume: bytes, kind: str, cipher: str, key: int, sector: int):
    need("cryptsetup")
    if kind == "luks1":
        sector = 512  # it knows no other
    options = encrypted.CHEAP[kind]
    image = encrypted.luks(tmp_path / "disk", volume, PASSPHRASE, *options, cipher=cipher, key=key, sector=sector)
    device = open_luks(Raw(image), (b"wrong", PASSPHRASE.encode()))
    assert device.size == len(volume) and device.read(0, len(volume)) == volume
    chance = random.Random(1)
    for _ in range(50):
        at, length = chance.randrange(len(volume)), chance.randrange(5000)
        assert device.read(at, length) == volume[at : at + length]
    assert listed(image, PASSPHRASE) == {"secret/plan.txt": b"plan", "picture.bin": noise("picture", 200_000)}


def test_without_the_key_the_volume_is_named_as_encrypted(image: Path):
    for keys, sentence in (
        ((), "It is encrypted with LUKS: give its passphrase with --key."),
        (("wrong", "also wrong"), "No key that was given opens the LUKS volume."),
    ):
        survey = volumes.survey(Raw(image), keys)
        assert [v.filesystem for v in survey.volumes] == [volumes.LUKS]
        assert survey.problems == [("volumes", "volume 0", sentence)]


def test_a_key_file_opens_it(image: Path, tmp_path: Path):
    (tmp_path / "key").write_bytes(PASSPHRASE.encode())
    assert "picture.bin" in listed(image, f"@{tmp_path / 'key'}")


def test_any_of_several_passphrases_opens_it_though_another_slot_is_damaged(tmp_path: Path, volume: bytes):
    need("cryptsetup")
    image = encrypted.luks(tmp_path / "disk", volume, "first", *encrypted.CHEAP["luks1"])
    encrypted.add_passphrase(image, "second", "--pbkdf-force-iterations", "1000")
    assert listed(image, "second") == listed(image, "first")
    raw = bytearray(image.read_bytes())
    raw[208 + 4 : 208 + 8] = bytes(4)  # the first slot's iterations
    assert "picture.bin" in listed(bytes(raw), "second")


@pytest.mark.parametrize("spoilt", [range(4096, 4100), range(0x10, 0x18), range(448, 460), range(4096)], ids=str)
def test_the_second_header_serves_where_the_first_is_damaged(image: Path, spoilt: range):
    raw = bytearray(image.read_bytes())
    for at in spoilt:
        raw[at] ^= 0x55
    assert "picture.bin" in listed(bytes(raw), PASSPHRASE)


def header(image: Path) -> dict:
    return json.loads(image.read_bytes()[4096:16384].split(b"\0")[0])


def with_header(image: Path, described: object) -> bytes:
    """The image with other JSON in both headers, and checksums that hold."""
    raw = bytearray(image.read_bytes())
    text = json.dumps(described).encode() if not isinstance(described, bytes) else described
    for at in (0, 16384):
        raw[at + 4096 : at + 16384] = text.ljust(12288, b"\0")
        raw[at + 448 : at + 512] = bytes(64)
        raw[at + 448 : at + 480] = hashlib.sha256(raw[at : at + 16384]).digest()
    return bytes(raw)


LIES = {
    "4 GiB of memory": lambda d: d["keyslots"]["0"]["kdf"].update(memory=4 << 20),
    "years of work": lambda d: d["keyslots"]["0"]["kdf"].update(time=1 << 31),
    "no memory": lambda d: d["keyslots"]["0"]["kdf"].update(memory=0),
    "a trillion stripes": lambda d: d["keyslots"]["0"]["af"].update(stripes=10**12),
    "a key of no bytes": lambda d: d["keyslots"]["0"].update(key_size=0),
    "an area outside": lambda d: d["keyslots"]["0"]["area"].update(offset="99999999999999"),
    "an unknown cipher": lambda d: d["keyslots"]["0"]["area"].update(encryption="serpent-xts-plain64"),
    "no key slots": lambda d: d.update(keyslots={}),
    "key slots that are a list": lambda d: d.update(keyslots=[1, 2]),
    "a slot that is a word": lambda d: d.update(keyslots={"0": "slot"}),
    "no segment": lambda d: d.update(segments={}),
    "a negative segment": lambda d: d["segments"]["0"].update(offset="-512"),
    "sectors of 3 bytes": lambda d: d["segments"]["0"].update(sector_size=3),
    "a salt that is no base64": lambda d: d["keyslots"]["0"]["kdf"].update(salt="%%%"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_in_good_time(image: Path, lie: str):
    described = header(image)
    LIES[lie](described)
    begun = time.monotonic()
    with pytest.raises(SourceUnreadable, match=r"cannot be opened|No key that was given"):
        open_luks(Raw(with_header(image, described)), (PASSPHRASE.encode(),)).read(0, 512)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("text", [b"", b"[" * 12000, b"null", b'{"keyslots": 1e999}', b"\xff\xfe"])
def test_a_header_that_is_no_header_is_refused(image: Path, text: bytes):
    with pytest.raises(SourceUnreadable):
        open_luks(Raw(with_header(image, text)), (PASSPHRASE.encode(),))


def test_headers_with_flipped_bits_are_opened_or_refused(image: Path):
    chance = random.Random(9)
    whole = image.read_bytes()[: (16 << 20) + 8192]
    for _ in range(60):
        raw = bytearray(whole)
        for _ in range(chance.choice((1, 3, 30))):
            raw[chance.randrange(32768)] ^= 1 << chance.randrange(8)
        with contextlib.suppress(SourceUnreadable):
            open_luks(Raw(bytes(raw)), (PASSPHRASE.encode(),)).read(0, 4096)
