"""XFS, versions 4 and 5, as mkfs.xfs writes them from a list of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, by_path, contents, ext, noise, problems, run, seen, xfs

FILES = {
    "plain.bin": noise("plain", 50_000), "empty": b"", "a/b/c/deep.bin": noise("deep", 5000), "large.bin": noise("large", 3_000_000),
    "n" * 255: b"long", "Férias/nós.txt": b"n", "few/one": b"1", "few/two": b"2",
}  # fmt: skip
FILES |= {f"many/a_name_of_some_length_{number:04}": b"%d" % number for number in range(1500)}
KINDS = {
    "version 5": (),
    "version 4": ("-m", "crc=0"),
    "before 2020": ("-m", "bigtime=0,inobtcount=0"),
    "blocks of 1 KiB": ("-b", "size=1024"),
    "large inodes": ("-i", "size=2048"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = ext.tree(tmp_path_factory.mktemp("xfs") / "tree", FILES)
    (root / "link").symlink_to("a/b/c/deep.bin")
    (root / "long_link").symlink_to("x/" * 400 + "y")
    return root


@pytest.fixture(scope="module", params=KINDS)
def image(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return xfs.make(tmp_path_factory.mktemp("xfs") / "disk", folder, *KINDS[request.param])


def test_every_file_and_link_is_read_byte_for_byte(image: Path):
    assert volumes.recognise(Raw(image)) == volumes.XFS
    links = {"link": b"a/b/c/deep.bin", "long_link": b"x/" * 400 + b"y"}
    assert contents(seen(image)) == FILES | links
    assert problems(image) == []


def test_times_are_those_of_the_inode(image: Path):
    entry = by_path(seen(image))["plain.bin"].entry
    number = entry.address.split("-")[1]
    told = run("xfs_db", "-r", "-c", f"inode {number}", "-c", "print core.mtime.sec", image, TZ="UTC").decode()
    # core.mtime.sec = Tue Nov 24 21:08:14 2026
    assert entry.modified is not None and told.split()[5] == entry.modified[11:19]


def test_extents_lead_to_the_very_bytes_on_the_disk_in_every_allocation_group(image: Path):
    with image.open("rb") as disk:
        for path, one in by_path(seen(image)).items():
            if one.entry.runs:
                told = b"".join((disk.seek(at), disk.read(length))[1] for at, length in one.entry.runs)
                assert told == one.content, path


def test_no_block_of_a_file_counts_as_free(image: Path):
    system = volumes.open_filesystem(Raw(image), volumes.XFS)
    runs = [run for entry in system.entries() for run in entry.runs or []]
    allocation = system.allocation()
    assert all(allocation.any_in_use([run]) for run in runs)
    assert sum(length for _, length in allocation.free()) > 200 << 20


def test_a_name_that_is_no_text_loses_no_file(folder: Path, tmp_path: Path):
    image = xfs.make(tmp_path / "disk", folder, "-m", "crc=0")
    with image.open("r+b") as disk:
        head = disk.read(8 << 20)
        at = head.index(b"plain.bin")
        while at >= 0:
            disk.seek(at)
            disk.write(b"pl\xffin.bin")
            at = head.find(b"plain.bin", at + 1)
    found = contents(seen(image))
    assert FILES["plain.bin"] in found.values() and len(found) == len(FILES) + 2
