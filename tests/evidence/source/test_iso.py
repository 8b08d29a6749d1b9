"""ISO 9660, plain, with Joliet, with Rock Ridge, and with a file in several extents."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, by_path, contents, ext, iso, noise, problems, seen

FILES = {
    "plain.bin": noise("plain", 50_000), "empty": b"", "a/b/deep.bin": noise("deep", 5000), "Férias/nós.txt": b"n",
    "a name that is longer than ISO 9660 allows.jpg": noise("long", 3000),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ext.tree(tmp_path_factory.mktemp("iso") / "tree", FILES)


@pytest.mark.parametrize("options", [("-J",), ("-R",), ("-J", "-R")], ids=" ".join)
def test_files_are_read_byte_for_byte_under_their_long_names(folder: Path, tmp_path: Path, options: tuple[str, ...]):
    image = iso.make(tmp_path / "disk", folder, *options)
    assert volumes.recognise(Raw(image)) == volumes.ISO
    found = contents(seen(image), "live")
    assert found == FILES
    assert problems(image) == []


def test_without_longer_names_the_contents_are_the_same_under_short_ones(folder: Path, tmp_path: Path):
    image = iso.make(tmp_path / "disk", folder, "-l")
    found = contents(seen(image), "live")
    assert len(found) == len(FILES) and set(found.values()) == set(FILES.values())
    assert "PLAIN.BIN" in found


def test_rock_ridge_keeps_links_times_and_directories_deeper_than_eight(tmp_path: Path):
    tree = ext.tree(
        tmp_path / "tree", {"1/2/3/4/5/6/7/8/9/10/deep.bin": noise("deep", 9000), "a" * 200 + ".jpg": b"long"}
    )
    (tree / "link").symlink_to("../some where/" + "b" * 180)
    os.utime(tree / ("a" * 200 + ".jpg"), (1_600_000_000, 1_700_000_001))
    image = iso.make(tmp_path / "disk", tree, "-R")
    found = by_path(seen(image))
    assert found["1/2/3/4/5/6/7/8/9/10/deep.bin"].content == noise("deep", 9000)
    assert found["link"].entry.inline == b"../some where/" + b"b" * 180
    assert found["a" * 200 + ".jpg"].entry.modified == "2023-11-14T22:13:21Z"
    assert not [path for path in found if path.startswith(("rr_moved/", "RR_MOVED/"))]
    assert problems(image) == []


def _record(name: bytes, block: int, size: int, flags: int) -> bytes:
    raw = struct.pack(
        "<BBI4xI4x7sBBB4xB", 33 + len(name) + (1 - len(name) % 2), 0, block, size, bytes(7), flags, 0, 0, len(name)
    )
    return raw + name + bytes(1 - len(name) % 2)


def _disc(records: list[bytes], content: bytes) -> bytes:
    """The smallest disc: a descriptor, a root directory of these records at block 18, ``content`` from block 19 on."""
    root = b"".join([_record(b"\0", 18, 2048, 2), _record(b"\1", 18, 2048, 2), *records]).ljust(2048, b"\0")
    descriptor = bytearray(2048)
    descriptor[:7], descriptor[128:130] = b"\1CD001\1", struct.pack("<H", 2048)
    descriptor[156:190] = _record(b"\0", 18, 2048, 2)
    end = b"\xffCD001\1".ljust(2048, b"\0")
    return bytes(16 * 2048) + bytes(descriptor) + end + root + content


def test_a_file_in_several_extents_is_one_file(tmp_path: Path):
    image, content = tmp_path / "disk", noise("extents", 3 * 2048)
    parts = [(21, 2048, 128), (19, 2048, 128), (20, 100, 0)]
    image.write_bytes(_disc([_record(b"FILM.AVI;1", *part) for part in parts], content))
    [(path, found)] = contents(seen(image), "live").items()
    assert path == "FILM.AVI"
    assert found == content[4096:6144] + content[:2048] + content[2048:2148]


def test_a_disc_that_was_cut_says_so_of_the_files_that_it_lost(tmp_path: Path):
    image = tmp_path / "disk"
    image.write_bytes(
        _disc([_record(b"THERE.BIN;1", 19, 2048, 0), _record(b"GONE.BIN;1", 90, 2048, 0)], noise("cut", 2048))
    )
    found = by_path(seen(image))
    assert found["THERE.BIN"].entry.problem is None
    assert "past the end of the image" in (found["GONE.BIN"].entry.problem or "")


def test_a_directory_that_holds_itself_is_walked_once(tmp_path: Path):
    image = tmp_path / "disk"
    image.write_bytes(_disc([_record(b"AGAIN", 18, 2048, 2), _record(b"A.BIN;1", 19, 2048, 0)], noise("loop", 2048)))
    assert list(contents(seen(image), "live")) == ["A.BIN"]


def test_times_and_extents(folder: Path, tmp_path: Path):
    image = iso.make(tmp_path / "disk", folder, "-J")
    one = by_path(seen(image))["plain.bin"]
    assert one.entry.created == "2023-11-14T22:13:20Z"  # ISO 9660 keeps one time, that of recording
    raw = image.read_bytes()
    assert b"".join(raw[at : at + length] for at, length in one.entry.runs or []) == FILES["plain.bin"]
