"""A suspect who writes the first bytes of his disk, or the files beside it, decides nothing about what is read."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from amparo.errors import SourceUnreadable
from amparo.evidence.source import image
from amparo.evidence.source.disguise import disk_beneath
from amparo.evidence.source.raw import RawDevice

SECRET = b"another case's file, or this machine's\n"
MKFS = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin:/usr/bin")
needs_mkfs = pytest.mark.skipif(MKFS is None, reason="e2fsprogs is not installed")


def qcow2(backing: str, size: int = 8 << 20) -> bytes:
    """The header of a QCOW2 image that holds nothing itself: 264 bytes."""
    name = backing.encode()
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 200, len(name), 16, size, 0, 1, 256, 512, 1, 0, 0)
    return head.ljust(200, b"\0") + name.ljust(56, b"\0") + bytes(8)


def vmdk(extent: str) -> bytes:
    return (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\n\n# Extent description\nRW 4 FLAT "{extent}" 0\n\n# The Disk Data Base\n#DDB\n'
    ).encode()


def ext(path: Path) -> bytes:
    path.write_bytes(bytes(8 << 20))
    assert MKFS is not None
    subprocess.run([MKFS, "-q", path], check=True, capture_output=True)
    return path.read_bytes()


BEGINNINGS = {
    "qcow2": qcow2("other.dd"),
    "vmdk": vmdk("other.dd"),
    "ewf": b"EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00",
    "vhdx": b"vhdxfile",
    "ad": b"ADCRYPT\0",
}


@needs_mkfs
@pytest.mark.parametrize("format", BEGINNINGS)
def test_a_disk_that_begins_like_another_format_is_searched_as_the_disk_that_it_is(tmp_path: Path, format: str):
    raw = ext(tmp_path / "suspect.dd")
    disguised = BEGINNINGS[format] + raw[len(BEGINNINGS[format]) :]
    (tmp_path / "suspect.dd").write_bytes(disguised)
    (tmp_path / "other.dd").write_bytes(SECRET * 1000)
    device = image.open_image(tmp_path / "suspect.dd")
    assert image.image_format(tmp_path / "suspect.dd") == "raw"
    assert device.read(0, device.size) == disguised
    assert ["made to mislead" in sentence for sentence in device.problems] == [True]


@needs_mkfs
def test_a_disk_without_a_disguise_has_no_such_problem(tmp_path: Path):
    ext(tmp_path / "suspect.dd")
    assert image.open_image(tmp_path / "suspect.dd").problems == []


def test_every_place_that_leaves_the_beginning_free_is_looked_at(tmp_path: Path):
    def found(at: int, mark: bytes) -> str | None:
        data = bytearray(1 << 20)
        data[at : at + len(mark)] = mark
        (tmp_path / "disk").write_bytes(data)
        return disk_beneath(RawDevice([tmp_path / "disk"]))

    partition = b"\x80\0\0\0\x83\0\0\0" + struct.pack("<II", 63, 1000) + bytes(48) + b"\x55\xaa"
    hfs = b"H+\x00\x04".ljust(40, b"\0") + struct.pack(">II", 4096, 256)
    assert found(446, partition) == "a partition table (MBR)"
    assert found(512, b"EFI PART") == "a partition table (GPT)"
    assert found(32769, b"CD001") == "an ISO 9660 file system"
    assert found(512, b"LABELONE") == "an LVM volume"
    assert found(1024, hfs) == "an HFS+ file system"
    assert found(65600, b"_BHRfS_M") == "a btrfs file system"
    assert found(0, b"nothing") is None


def test_compressed_data_is_never_taken_for_a_disk(tmp_path: Path):
    chance = random.Random(5)
    path = tmp_path / "image"
    for _ in range(2000):
        data = bytearray(chance.randbytes(4096))
        data[1080:1082], data[510:512], data[1024:1026] = (
            b"\x53\xef",
            b"\x55\xaa",
            b"H+",
        )  # as chance has it once in 65,536
        path.write_bytes(data)
        assert disk_beneath(RawDevice([path])) is None


# What lies beside the image ---------------------------------------------------------------------------------------


def test_a_backing_file_that_is_named_is_read_and_said_to_be_somebody_elses_perhaps(tmp_path: Path):
    (tmp_path / "mine.qcow2").write_bytes(qcow2("other.dd").ljust(1 << 16, b"\0"))
    (tmp_path / "other.dd").write_bytes(SECRET * 1000)
    device = image.open_image(tmp_path / "mine.qcow2")
    assert ["other.dd" in sentence and "same exhibit" in sentence for sentence in device.problems] == [True]


@pytest.mark.parametrize("name", ["/etc/passwd", "../../../etc/passwd", "file:///etc/passwd", "json:{}", "\\\\h\\s\\x"])
def test_a_backing_file_that_is_named_elsewhere_is_looked_for_beside_the_image_only(tmp_path: Path, name: str):
    (tmp_path / "mine.qcow2").write_bytes(qcow2(name).ljust(1 << 16, b"\0"))
    with pytest.raises(SourceUnreadable, match="put that file beside it"):
        image.open_image(tmp_path / "mine.qcow2")


@pytest.mark.parametrize("content", [qcow2("link"), vmdk("link")])
@pytest.mark.parametrize("target", ["secret", "/dev/zero", "folder", "nowhere"])
def test_a_link_beside_the_image_is_not_followed(tmp_path: Path, content: bytes, target: str):
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine").write_bytes(content)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(SourceUnreadable, match="is a link or no file, and is not followed"):
        image.open_image(tmp_path / "mine")
    with pytest.raises(SourceUnreadable, match="is a link or no file, and is not followed"):
        image.image_files(tmp_path / "mine")


@pytest.mark.parametrize("names", [("disk.001", "disk.002"), ("disk.aa", "disk.ab")])
def test_a_link_among_the_parts_of_a_split_image_is_not_followed(tmp_path: Path, names: tuple[str, str]):
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / names[0]).write_bytes(bytes(4096))
    (tmp_path / names[1]).symlink_to("secret")
    with pytest.raises(SourceUnreadable, match="is a link, which is not followed"):
        image.open_image(tmp_path / names[0])


def test_a_link_that_the_examiner_gives_is_followed(tmp_path: Path):
    (tmp_path / "disk.dd").write_bytes(SECRET)
    (tmp_path / "by-id").symlink_to("disk.dd")
    assert image.open_image(tmp_path / "by-id").read(0, len(SECRET)) == SECRET


@pytest.mark.parametrize("filling", [b"\n", b" ", b"\t\n", b"RW ", b"parentCID ", b'RW 4 FLAT "', b"\r"])
def test_a_descriptor_of_nothing_but_space_costs_no_time(tmp_path: Path, filling: bytes):
    (tmp_path / "mine.vmdk").write_bytes(b"# Disk DescriptorFile\n" + (filling * (1 << 20))[: 1 << 20])
    begun = time.monotonic()
    try:
        image.image_files(tmp_path / "mine.vmdk")
        image.open_image(tmp_path / "mine.vmdk")
    except SourceUnreadable:
        pass
    assert time.monotonic() - begun < 5
