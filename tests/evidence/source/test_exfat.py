"""exFAT: files in one piece (which have no chain) and in many, live and deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, by_path, contents, exfat, fls, noise, problems, seen

LIVE = {
    "photo.jpg": noise("photo", 100_000), "Férias/a long name that goes on over several entries é.bin": noise("long", 9000),
    "empty.txt": b"", "a/b/deep.txt": b"deep", "x" * 200 + ".bin": b"x",
}  # fmt: skip
CHAINED = {"chained.bin": noise("chained", 60_000), "scattered.bin": noise("scattered", 70_000)}
GONE = {"deleted.jpg": noise("deleted", 50_000), "Férias/apagada é.png": noise("apagada", 30_000)}


@pytest.fixture(scope="module", params=["2K", "4K", "32K"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exfat") / "disk"
    disk = exfat.make(path, 16 << 20, "-c", request.param)
    for place, content in LIVE.items():
        disk.add(place, content)
    disk.add("chained.bin", CHAINED["chained.bin"], chained=True)
    disk.add("scattered.bin", CHAINED["scattered.bin"], chained=True, step=3)
    for at in [disk.add(place, content) for place, content in GONE.items()]:
        disk.delete(at)
    disk.add("after.txt", b"after")
    path.write_bytes(disk.raw)
    return path


def test_every_live_file_is_read_byte_for_byte_chained_or_not(image: Path):
    assert volumes.recognise(Raw(image)) == volumes.EXFAT
    assert contents(seen(image), "live") == LIVE | CHAINED | {"after.txt": b"after"}
    assert problems(image) == []


def test_deleted_files_in_one_piece_are_read_byte_for_byte(image: Path):
    assert contents(seen(image), "deleted", "orphan") == GONE


def test_the_listing_agrees_with_fls_in_paths_and_sizes(image: Path):
    told = {path: one.size for path, one in fls(image).items() if not path.startswith("$")}
    assert {path: one.entry.size for path, one in by_path(seen(image)).items()} == told


def test_files_of_a_deleted_directory_are_recovered(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    inside = disk.add("album/one.jpg", noise("one", 20_000))
    root = disk.place(disk.root)
    disk.delete(inside)
    at = next(place for place in range(root, root + disk.cluster, 32) if disk.raw[place] == exfat.FILE)
    disk.delete(at)
    path.write_bytes(disk.raw)
    assert contents(seen(path), "deleted") == {"album/one.jpg": noise("one", 20_000)}


def test_a_deleted_file_in_pieces_is_read_along_its_chain_where_that_was_left(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    at = disk.add("pieces.bin", noise("pieces", 70_000), chained=True, step=2)
    chain = bytes(disk.raw[disk.fat : disk.fat + 4096])
    disk.delete(at)
    disk.raw[disk.fat : disk.fat + 4096] = chain
    path.write_bytes(disk.raw)
    assert contents(seen(path), "deleted") == {"pieces.bin": noise("pieces", 70_000)}


def test_the_copy_of_the_boot_sector_serves_where_the_first_is_damaged(image: Path, tmp_path: Path):
    raw = bytearray(image.read_bytes())
    raw[108:110] = b"\xff\xff"
    (tmp_path / "disk").write_bytes(raw)
    assert contents(seen(tmp_path / "disk"), "live")["photo.jpg"] == LIVE["photo.jpg"]


def test_a_chain_that_runs_in_a_circle_or_out_of_the_volume_is_named(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    for name, following in (("circle.bin", 0), ("outside.bin", 1 << 30)):
        first = disk.free
        disk.add(name, noise(name, 60_000), chained=True)
        disk.link(first + 3, following or first)
    path.write_bytes(disk.raw)
    found = by_path(seen(path))
    assert all("broken" in (one.entry.problem or "") for one in found.values()) and len(found) == 2


def test_times_count_their_offset_from_utc(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    disk.add("utc.txt", b"1", modified=datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC))
    disk.add("east.txt", b"2", modified=datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC), offset=8)
    path.write_bytes(disk.raw)
    found = by_path(seen(path))
    assert found["utc.txt"].entry.modified == "2024-05-06T07:08:10Z"
    assert found["east.txt"].entry.modified == "2024-05-06T05:08:10Z"


def test_bytes_past_the_valid_length_read_as_zeros(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    disk.add("partly.bin", noise("partly", 40_000), valid=10_000)
    path.write_bytes(disk.raw)
    assert by_path(seen(path))["partly.bin"].content == noise("partly", 40_000)[:10_000].ljust(40_000, b"\0")


def test_a_deleted_file_whose_clusters_were_reused_does_not_pass_another_files_content_off_as_its_own(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    before = disk.free
    disk.delete(disk.add("first.bin", noise("first", 50_000)))
    disk.free = before
    disk.add("second.bin", noise("second", 50_000))
    path.write_bytes(disk.raw)
    lost = [one.entry for one in seen(path) if one.entry.state != "live"]
    assert lost and all(entry.problem for entry in lost)


def test_a_directory_that_contains_itself_ends(tmp_path: Path):
    path = tmp_path / "disk"
    disk = exfat.make(path)
    disk.add("a/b/file.txt", b"file")
    outer = disk.directories["a"][0]
    disk.enter(
        "a/b", "again", exfat.DIRECTORY, [outer], 4 * disk.cluster, False, None, datetime(2024, 1, 1, tzinfo=UTC), 0
    )
    path.write_bytes(disk.raw)
    assert [one.entry.path for one in seen(path)] == ["a/b/file.txt"]


def test_free_space_is_what_the_bitmap_says(image: Path):
    device = Raw(image)
    writer = exfat.Writer(image.read_bytes())
    free = {n for n in range(2, writer.count + 2) if not writer.used(n)}
    allocation = volumes.open_filesystem(device, volumes.EXFAT).allocation()
    ours = {n + 2 for first, stop in zip(allocation.starts, allocation.stops, strict=True) for n in range(first, stop)}
    assert ours == free and allocation.origin == writer.heap
