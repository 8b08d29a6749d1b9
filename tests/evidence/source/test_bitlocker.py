"""BitLocker: opened with a password, a recovery key or a startup key; named where there is none; libbde and cryptsetup agree."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import struct
import time
import zlib
from pathlib import Path

import pybde
import pytest

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import volumes
from amparo.evidence.source.bitlocker import open_bitlocker
from tests.evidence.search import specimens
from tests.evidence.search.running import examined, problems, rows
from tests.evidence.source.disks import Raw, bitlocker, need, noise, run

PASSWORD = "palavra-passe não óbvia"
RECOVERY = bitlocker.recovery_key()
NO_KEY = "It is encrypted with BitLocker: give its password or recovery key with --key."
WRONG_KEY = "No key that was given opens the BitLocker volume."


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return specimens.ntfs(tmp_path_factory.mktemp("inner") / "ntfs").read_bytes()


@pytest.fixture(scope="module")
def image(volume: bytes) -> bytes:
    return bitlocker.make(volume, password=PASSWORD, recovery=RECOVERY, startup=True)


def clear(image: bytes, *keys: str) -> bytes:
    """The whole of the volume inside, as the survey and the readers after it open it."""
    device = Raw(image)
    survey = volumes.survey(device, keys)
    assert [(one.kind, one.filesystem) for one in survey.volumes] == [("bare", "bitlocker"), ("logical", "ntfs")]
    inner = volumes.open_volume(device, survey.volumes[1], keys)
    return inner.read(0, inner.size)


@pytest.mark.parametrize("method", bitlocker.METHODS)
def test_every_way_of_encrypting_is_undone_and_libbde_agrees(volume: bytes, tmp_path: Path, method: bitlocker.Method):
    image = bitlocker.make(volume, method, password=PASSWORD)
    assert clear(image, "wrong", PASSWORD) == volume
    (tmp_path / "disk").write_bytes(image)
    library = pybde.volume()
    library.set_password(PASSWORD)
    library.open(str(tmp_path / "disk"))
    assert library.read_buffer_at_offset(len(volume), 0) == volume
    device = open_bitlocker(Raw(image), (PASSWORD,), (b"",))
    chance = random.Random(method)
    for _ in range(50):
        at, length = chance.randrange(len(volume)), chance.randrange(200_000)
        assert device.read(at, length) == volume[at : at + length]


@pytest.mark.parametrize("written", [RECOVERY, RECOVERY.replace("-", ""), RECOVERY.replace("-", " ")])
def test_the_recovery_key_opens_it_however_its_groups_are_parted(image: bytes, volume: bytes, written: str):
    assert clear(image, written) == volume


def test_a_startup_key_and_what_windows_saves_of_a_recovery_key_are_read_from_their_files(
    image: bytes, volume: bytes, tmp_path: Path
):
    (tmp_path / "startup.BEK").write_bytes(bitlocker.startup_file())
    (tmp_path / "recovery.txt").write_text(f"Chave de recuperação:\r\n\t{RECOVERY}\r\n", "utf-16")
    (tmp_path / "password").write_text(PASSWORD + "\n", "utf-8")
    for name in ("startup.BEK", "recovery.txt", "password"):
        assert clear(image, f"@{tmp_path / name}") == volume, name


def test_cryptsetup_accepts_the_same_keys(volume: bytes, tmp_path: Path):
    need("cryptsetup")
    image = bitlocker.make(volume, password="plain words", recovery=RECOVERY, startup=True)
    (tmp_path / "disk").write_bytes(image)
    for name, key in (("p", b"plain words"), ("r", RECOVERY.encode()), ("s", bitlocker.startup_file())):
        (tmp_path / name).write_bytes(key)
        run("cryptsetup", "bitlkOpen", "--test-passphrase", "--key-file", tmp_path / name, tmp_path / "disk")
    told = run("cryptsetup", "bitlkDump", tmp_path / "disk").decode()
    assert "xts-plain64" in told and "VMK protected with startup key" in told


def test_a_suspended_volume_opens_without_a_key(volume: bytes):
    assert clear(bitlocker.make(volume, recovery=RECOVERY, clear=True)) == volume


def test_bitlocker_to_go_and_windows_vista_are_known(volume: bytes):
    assert clear(bitlocker.make(volume, password="x", to_go=True), "x") == volume
    image = bitlocker.make(volume, "cbc-128 diffuser", recovery=RECOVERY, vista=True)
    assert clear(image, RECOVERY) == volume
    library = pybde.volume()
    library.set_recovery_password(RECOVERY)
    library.open_file_object(io.BytesIO(image))
    # libbde leaves out where the mirror of the MFT lies, which its own description tells how to put back.
    assert library.read_buffer_at_offset(len(volume), 0) == volume[:56] + bytes(8) + volume[64:]


def test_what_windows_has_not_yet_encrypted_is_read_as_it_is(volume: bytes):
    raw = bytearray(bitlocker.make(volume, clear=True))
    half = len(volume) - (64 << 10)
    raw[half:] = volume[half:]
    for place in places(bytes(raw)):
        struct.pack_into("<Q", raw, place + 16, half)
        size = 16 * struct.unpack_from("<H", raw, place + 8)[0]
        struct.pack_into("<I", raw, place + size + 4, zlib.crc32(raw[place : place + size]))
    assert clear(bytes(raw)) == volume


@pytest.mark.parametrize(
    ("keys", "said"), [((), NO_KEY), (("wrong",), WRONG_KEY), (("000000-" * 7 + "000000",), WRONG_KEY)]
)
def test_without_the_right_key_one_problem_names_bitlocker(image: bytes, keys: tuple[str, ...], said: str):
    survey = volumes.survey(Raw(image), keys)
    assert [one.filesystem for one in survey.volumes] == [volumes.BITLOCKER]
    assert survey.problems == [("volumes", "volume 0", said)]


def test_a_whole_search_lists_what_is_inside_byte_for_byte(image: bytes, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.write_bytes(image)
    _, package = examined(disk, tmp_path, keys=(RECOVERY,))
    told = dict(rows(package, "select path, sha256 from files where volume = 1 and state = 'live'"))
    for path, content in specimens.FILES.items():
        assert told[path] == hashlib.sha256(content).hexdigest(), path
    assert rows(package, "select sha256 from files where path = 'Users/gone.bin' and state = 'deleted'") == [
        (hashlib.sha256(noise("gone", 7_000)).hexdigest(),)
    ]
    assert RECOVERY.encode() not in (package / "data" / "evidence.sqlite").read_bytes()
    _, package = examined(disk, tmp_path, "locked")
    assert ("volumes", "volume 0", NO_KEY) in problems(package)


def places(image: bytes) -> tuple[int, ...]:
    return struct.unpack_from("<3Q", image, 176)


def test_any_whole_copy_of_the_metadata_serves(volume: bytes):
    image = bitlocker.make(volume, clear=True)
    for kept in range(3):
        raw = bytearray(image)
        for number, place in enumerate(places(image)):
            if number != kept:
                struct.pack_into(
                    "<Q", raw, place + 16, 12288
                )  # says how much is encrypted: believed, were it not for the checksum
        assert clear(bytes(raw)) == volume, kept
    for place in places(image):
        raw[place : place + 8] = bytes(8)
    assert volumes.survey(Raw(bytes(raw))).problems[0][2] == "The BitLocker volume is damaged and cannot be opened."


def test_an_unknown_way_of_encrypting_is_said(volume: bytes):
    raw = bytearray(bitlocker.make(volume, clear=True))
    for place in places(bytes(raw)):
        raw[place + 64 + 36] = 9
    assert volumes.survey(Raw(bytes(raw))).problems == [
        ("volumes", "volume 0", "The BitLocker volume is encrypted in a way that is not supported.")
    ]


def test_metadata_that_asks_for_hours_of_work_is_given_up_in_good_time(volume: bytes):
    image = bitlocker.make(volume, password="x")
    raw = bytearray(image)
    place = places(image)[0]
    start = place + 112
    size, *_ = struct.unpack_from("<H", raw, start)
    locks = start + size
    (length,) = struct.unpack_from("<H", raw, locks)
    lock, rest = raw[locks : locks + length], bytes(raw[locks + length : place + 4000])
    many = b""
    for number in range(200):  # two hundred locks, each with a salt of its own
        copy = bytearray(lock)
        copy[lock.index(noise("salt 1", 16))] = number
        many += copy
    body = (many + rest)[:60_000]
    raw[locks : locks + len(body)] = body
    struct.pack_into("<I", raw, place + 64, 48 + size + len(many) + len(rest.rstrip(b"\0")))
    for other in places(image)[1:]:
        raw[other] = 0
    begun = time.process_time()  # of this process: the machine may be busy with others
    with contextlib.suppress(SourceUnreadable):
        open_bitlocker(Raw(bytes(raw)), ("wrong",), (b"",))
    assert time.process_time() - begun < 15


def test_flipped_bits_are_opened_or_refused(volume: bytes):
    image = bitlocker.make(volume, "cbc-128 diffuser", clear=True)
    chance = random.Random(9)
    for _ in range(300):
        raw = bytearray(image)
        for _ in range(chance.choice((1, 2, 8, 30))):
            raw[chance.choice([0, *places(image)]) + chance.randrange(500)] ^= 1 << chance.randrange(8)
        with contextlib.suppress(SourceUnreadable, ReadFailed):
            device = open_bitlocker(Raw(bytes(raw)), (), ())
            assert device.size <= len(raw)
            assert len(device.read(0, 4096)) == 4096
