"""ext2, ext3 and ext4 as mke2fs writes them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import (
    Raw,
    assert_times_agree,
    by_path,
    contents,
    ext,
    fls,
    noise,
    problems,
    run,
    seen,
)  # fmt: skip

FILES = {
    "plain.bin": noise("plain", 50_000), "empty": b"", "tiny.txt": b"fits in the inode", "a/b/c/deep.bin": noise("deep", 5000),
    "large.bin": noise("large", 2_000_000), "new\nline": b"odd", "n" * 255: b"long", "Férias/nós.txt": b"n", "back\\slash": b"b",
    "..hidden": b"h",
}  # fmt: skip
KINDS = {
    "ext2": ("-t", "ext2"),
    "ext2, blocks of 1 KiB": ("-t", "ext2", "-b", "1024"),
    "ext3": ("-t", "ext3"),
    "ext4": ("-t", "ext4"),
    "ext4, 64 bit": ("-t", "ext4", "-O", "64bit,metadata_csum"),
    "ext4, blocks of 1 KiB, old inodes": ("-t", "ext4", "-b", "1024", "-I", "128", "-O", "^resize_inode,^64bit"),
    "ext4, small files in the inode": ("-t", "ext4", "-I", "512", "-O", "inline_data"),
    "ext4, scattered descriptors": ("-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "256"),
    "ext4, scattered descriptors, 32 bit": ("-t", "ext4", "-O", "meta_bg,^resize_inode,^64bit", "-b", "1024", "-g", "256"),
    "ext4, big clusters": ("-t", "ext4", "-O", "bigalloc", "-C", "16384"),
    "ext4, no flexible groups": ("-t", "ext4", "-O", "^flex_bg", "-b", "1024", "-g", "1024"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = ext.tree(tmp_path_factory.mktemp("ext") / "tree", FILES)
    (root / os.fsdecode(b"not \xff\xfe text")).write_bytes(b"bytes")
    with (root / "sparse.bin").open("wb") as file:
        file.write(noise("head", 10_000))
        file.seek(1_000_000)
        file.write(noise("tail", 7_777))
    (root / "link").symlink_to("a/b/c/deep.bin")
    (root / "long link").symlink_to("x/" * 100 + "y")
    (root / "outside").symlink_to("../../../etc/passwd")
    os.link(root / "plain.bin", root / "a/second name.bin")
    return root


@pytest.fixture(scope="module", params=KINDS)
def image(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ext.make(tmp_path_factory.mktemp("ext") / "disk", folder, *KINDS[request.param])


def test_every_file_link_and_hole_is_read_byte_for_byte(image: Path):
    sparse = noise("head", 10_000).ljust(1_000_000, b"\0") + noise("tail", 7_777)
    assert contents(seen(image)) == FILES | {
        "not \\xff\\xfe text": b"bytes", "sparse.bin": sparse, "a/second name.bin": FILES["plain.bin"],
        "link": b"a/b/c/deep.bin", "long link": b"x/" * 100 + b"y", "outside": b"../../../etc/passwd",
    }  # fmt: skip
    assert [one for one in problems(image) if "no directory leads to" not in one] == []


def test_the_listing_agrees_with_fls_in_sizes_and_times(image: Path):
    if b"bigalloc" in run("dumpe2fs", "-h", image):
        return  # The Sleuth Kit does not open it
    told, ours = fls(image), by_path(seen(image))
    assert {path for path in ours if path not in told} <= {"new\nline"}
    for path, one in ours.items():
        if path in told:
            assert one.entry.size == told[path].size
            assert_times_agree(one.entry, told[path])
    assert ours["plain.bin"].entry.modified == "2023-11-14T22:13:20Z"


def test_free_space_is_what_dumpe2fs_calls_free(image: Path):
    # Not blkls: it takes the copies of the superblock in groups that were never written for free.
    device = Raw(image)
    allocation = volumes.open_filesystem(device, volumes.EXT).allocation()
    system = volumes.open_filesystem(device, volumes.EXT)
    first_block, each = allocation.origin // system.layout.block, allocation.block // system.layout.block
    ours = {
        block + first_block
        for first, stop in zip(allocation.starts, allocation.stops, strict=True)
        for block in range(first, stop)
    }
    told: set[int] = set()
    for line in run("dumpe2fs", image).decode().splitlines():
        if line.startswith("  Free blocks: "):
            for part in line.removeprefix("  Free blocks: ").split(", "):
                first, _, last = part.partition("-")
                told |= set(range(int(first), int(last or first) + 1)) if first else set()
    assert ours == {block // each for block in told}


def test_extents_lead_to_the_very_bytes_on_the_disk(image: Path):
    one = by_path(seen(image))["large.bin"]
    with image.open("rb") as disk:
        told = b"".join((disk.seek(at), disk.read(length))[1] for at, length in one.entry.runs)
    assert told == FILES["large.bin"]


def test_ext2_deleted_files_are_read_by_their_inodes(tmp_path: Path):
    files = {f"dir/{number}.bin": noise(number, 3000 + 20_000 * (number % 4)) for number in range(12)}
    image = ext.make(tmp_path / "disk", ext.tree(tmp_path / "tree", files), "-t", "ext2")
    ext.change(image, *(f"rm /dir/{number}.bin" for number in range(0, 12, 2)))
    found = seen(image)
    gone = {one.sha256 for one in found if one.entry.state in ("deleted", "orphan") and one.entry.problem is None}
    assert gone == {hashlib.sha256(files[f"dir/{number}.bin"]).hexdigest() for number in range(0, 12, 2)}
    assert {one.entry.path for one in found if one.entry.state == "live"} == {f"dir/{n}.bin" for n in range(1, 12, 2)}


def test_ext4_deleted_files_are_named_where_a_name_is_left_and_their_blocks_are_free(tmp_path: Path):
    files = {f"dir/{number}.bin": noise(number, 30_000) for number in range(6)}
    image = ext.make(tmp_path / "disk", ext.tree(tmp_path / "tree", files), "-t", "ext4")
    before = by_path(seen(image))
    ext.change(image, "rm /dir/3.bin", "clri <16>")
    device = Raw(image)
    allocation = volumes.open_filesystem(device, volumes.EXT).allocation()
    assert not allocation.any_in_use(before["dir/3.bin"].entry.runs)
    for one in seen(image):
        if one.entry.state != "live":
            assert one.entry.problem or one.content == files["dir/3.bin"]


def test_a_directory_of_thousands_with_an_index_is_listed_whole(tmp_path: Path):
    files = {f"big/a rather long name for number {number:05}": b"%d" % number for number in range(1000)}
    image = ext.make(tmp_path / "disk", ext.tree(tmp_path / "tree", files), "-t", "ext4", "-b", "1024", "-N", "4000")
    subprocess.run(["e2fsck", "-fyD", image], capture_output=True)  # builds the index
    assert b"Flags: 0x81000" in run("debugfs", "-R", "stat big", image), "the index was not built"
    assert contents(seen(image)) == files


def test_a_directory_that_contains_itself_ends(tmp_path: Path):
    image = ext.make(tmp_path / "disk", ext.tree(tmp_path / "tree", {"a/b/file": b"f"}), "-t", "ext4")
    ext.change(image, "ln /a /a/b/again", "ln <2> /a/root", "ln /a/b/file /a/b/other")
    assert {one.entry.path for one in seen(image)} == {"a/b/file", "a/b/other"}


def test_names_that_lead_elsewhere_stay_inside(tmp_path: Path):
    image = ext.make(tmp_path / "disk", ext.tree(tmp_path / "tree", {"ab_cd_xy": b"1", "dir/zq": b"2"}), "-t", "ext2")
    raw = image.read_bytes().replace(b"ab_cd_xy", b"../../xy").replace(b"\x02\x01zq", b"\x02\x01..")
    image.write_bytes(raw)
    paths = {one.entry.path for one in seen(image)}
    assert "..\\x2f..\\x2fxy" in paths
    assert not [path for path in paths if ".." in path.split("/") or path.startswith("/")]
