"""Files that claim to be larger than any disk: no sum overflows, and none keeps the run past its limit."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import zipfile
from pathlib import Path

import pytest

from amparo.evidence import package as packages
from tests.evidence.search.containers import luks
from tests.evidence.search.running import digests, examined, problems, rows
from tests.evidence.search.specimens import FILES, PASSPHRASE, ext2, ntfs
from tests.evidence.source.disks import ext, noise

LARGEST = (1 << 63) - 1


def claiming(image: Path, names: list[str], clusters: int, size: int) -> None:
    """Turn the content of these files on NTFS into one hole of so many clusters and bytes."""
    data = bytearray(image.read_bytes())
    for name in names:
        at = (
            data.rindex(name.encode("utf-16-le")) // 1024 * 1024
        )  # the directories' index blocks come before their files
        for start in range(0, len(data), 1024):
            if data[start : start + 4] == b"FILE" and name.encode("utf-16-le") in data[start : start + 1024]:
                at = start
        inner = at + struct.unpack_from("<H", data, at + 20)[0]
        while struct.unpack_from("<I", data, inner)[0] != 0x80:
            inner += struct.unpack_from("<I", data, inner + 4)[0]
        runs = inner + struct.unpack_from("<H", data, inner + 32)[0]
        pairs = b"\x08" + struct.pack("<Q", clusters) + b"\0"
        assert runs + len(pairs) <= inner + struct.unpack_from("<I", data, inner + 4)[0]
        data[runs : runs + len(pairs)] = pairs
        struct.pack_into("<Q", data, inner + 24, clusters - 1)
        struct.pack_into("<QQQ", data, inner + 40, size, size, size)
    image.write_bytes(data)


def test_holes_of_many_exabytes_are_left_at_the_limit_and_their_sizes_can_be_added_up(tmp_path: Path) -> None:
    large = {f"{name}.large": noise(name, 20_000) for name in ("first", "second", "third")}
    image = ntfs(tmp_path / "disk.img", {**FILES, **large})
    claiming(image, list(large), 1 << 51, LARGEST)
    begun = time.monotonic()
    outcome, package = examined(image, tmp_path, seconds_a_file=1.0)
    assert time.monotonic() - begun < 60
    assert outcome.exit_code == 5
    assert rows(package, "select size from files where path like '%.large'") == [(LARGEST,)] * 3
    told = {path: message for stage, path, message in problems(package) if stage == "read"}
    assert set(told) == set(large)
    assert all("longer than the limit" in message for message in told.values())
    assert digests(package)["Windows/notes.log"] == hashlib.sha256(FILES["Windows/notes.log"]).hexdigest()
    assert all(finding.ok for finding in packages.verify(package))


def test_a_hole_of_terabytes_in_a_folder_is_left_at_the_limit(tmp_path: Path) -> None:
    source = ext.tree(tmp_path / "source", FILES)
    with (source / "hole").open("wb") as file:
        file.truncate(4 << 40)
    begun = time.monotonic()
    outcome, package = examined(source, tmp_path, seconds_a_file=1.0)
    assert time.monotonic() - begun < 60
    assert outcome.exit_code == 5
    found = digests(package)
    assert found["hole"] is None
    assert found["Windows/notes.log"] == hashlib.sha256(FILES["Windows/notes.log"]).hexdigest()


@pytest.mark.parametrize("size", [1 << 62, LARGEST, 1 << 63, (1 << 64) - 1])
def test_a_member_that_declares_more_than_a_table_can_hold_is_listed_all_the_same(size: int, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("claims.bin", b"little")
        file.writestr("honest.txt", b"honest")
    data = stream.getvalue()
    central = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    extra = struct.pack("<HHQ", 1, 8, size)
    entry = bytearray(data[central:])
    entry[24:28] = b"\xff" * 4
    entry[30:32] = struct.pack("<H", len(extra))
    name = 46 + len("claims.bin")
    changed = bytearray(data[:central] + bytes(entry[:name]) + extra + bytes(entry[name:]))
    struct.pack_into("<I", changed, end + len(extra) + 12, end - central + len(extra))
    (tmp_path / "source" / "a.zip").write_bytes(changed)
    _, package = examined(tmp_path / "source", tmp_path)
    found = digests(package)
    assert "a.zip/claims.bin" in found
    assert found["a.zip/honest.txt"] == hashlib.sha256(b"honest").hexdigest()
    assert all(finding.ok for finding in packages.verify(package))


def test_a_passphrase_made_to_take_minutes_to_try_is_left_and_the_rest_of_the_disk_is_searched(tmp_path: Path) -> None:
    locked = bytearray(luks(tmp_path / "locked").read_bytes())
    struct.pack_into(">I", locked, 208 + 4, 49_999_999)  # the rounds of the first key's derivation
    clear = ext2(tmp_path / "clear").read_bytes()
    table = b"".join(
        struct.pack("<B3xB3xII", 0, 0x83, first, count)
        for first, count in ((1, len(locked) // 512), (1 + len(locked) // 512, len(clear) // 512))
    )
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa" + locked + clear)
    begun = time.monotonic()
    outcome, package = examined(image, tmp_path, keys=(PASSPHRASE,), seconds_a_file=0.5, carve=False)
    assert time.monotonic() - begun < 40
    assert outcome.exit_code == 5
    assert any("was not searched" in message for stage, _, message in problems(package) if stage == "volumes")
    assert digests(package)["Windows/notes.log"] == hashlib.sha256(FILES["Windows/notes.log"]).hexdigest()
