"""FAT12, FAT16 and FAT32 as mkfs.vfat and mtools write them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, assert_times_agree, by_path, contents, fat, fls, noise, problems, run, seen

LIVE = {
    "README.TXT": b"short name", "a long name with spaces and é.txt": noise("long", 3000), "Empty file": b"",
    "Férias/Praia/imagem 001.jpg": noise("jpg", 70_000), "Férias/" + "y" * 190 + ".bin": noise("y", 10),
    "UPPER.DAT": noise("upper", 512), "a/b/c/" + "z" * 180: b"z",
}  # fmt: skip
GONE = {"deleted long name.jpg": noise("d1", 40_000), "GONE.TXT": b"gone", "Férias/apagada é.png": noise("d2", 25_000)}


@pytest.fixture(scope="module", params=[12, 16, 32])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = fat.make(tmp_path_factory.mktemp("fat") / "disk", request.param, "-n", "LABEL")
    for place, content in (LIVE | GONE).items():
        fat.write(path, place, content)
    fat.delete(path, *GONE)
    return path


def test_every_live_file_is_read_byte_for_byte_under_its_long_name(image: Path):
    assert contents(seen(image), "live") == LIVE


def test_every_deleted_file_is_read_byte_for_byte_and_the_lost_first_letter_shown_as_such(image: Path):
    found = contents(seen(image), "deleted")
    assert found.pop("_ONE.TXT") == b"gone"
    assert found == {path: content for path, content in GONE.items() if path != "GONE.TXT"}


def test_the_listing_agrees_with_fls_in_paths_sizes_and_times(image: Path):
    told = fls(image)
    ours = by_path(seen(image))
    assert set(ours) == set(told)
    for path, one in ours.items():
        assert one.entry.size == told[path].size
        assert_times_agree(one.entry, told[path])
    assert ours["README.TXT"].entry.modified == "2023-11-14T22:13:20Z"


def test_free_space_is_what_blkls_calls_unallocated(image: Path):
    device = Raw(image)
    kind = volumes.recognise(device)
    assert kind == volumes.FAT
    ours = b"".join(device.read(*run) for run in volumes.open_filesystem(device, kind).allocation().free())
    theirs = run("blkls", "-A", image)
    # TSK also counts the sectors past the last whole cluster.
    assert hashlib.sha256(ours).digest() == hashlib.sha256(theirs[: len(ours)]).digest()
    assert 0 <= len(theirs) - len(ours) < 1 << 15 and not any(theirs[len(ours) :])


def test_files_of_a_deleted_directory_are_recovered(tmp_path: Path):
    image = fat.make(tmp_path / "disk", 32)
    for number in range(5):
        fat.write(image, f"album/{number}.bin", noise(number, 9000))
    fat.write(image, "stays.bin", b"stays")
    fat.remove(image, "album")
    found = {one.sha256 for one in seen(image) if one.entry.state in ("deleted", "orphan")}
    assert {hashlib.sha256(noise(number, 9000)).hexdigest() for number in range(5)} <= found


def test_a_deleted_file_whose_clusters_were_reused_does_not_pass_another_files_content_off_as_its_own(tmp_path: Path):
    image = fat.make(tmp_path / "disk", 16)
    fat.write(image, "first.bin", noise("first", 60_000))
    fat.delete(image, "first.bin")
    fat.write(image, "second.bin", noise("second", 60_000))
    everything = [one for one in seen(image) if one.entry.state != "live"]
    assert all(one.entry.problem for one in everything), [one.entry for one in everything]


def test_a_chain_that_runs_in_a_circle_ends(tmp_path: Path):
    image = fat.make(tmp_path / "disk", 16)
    fat.write(image, "circle.bin", noise("circle", 50_000))
    fat.write(image, "after.bin", b"after")
    raw = bytearray(image.read_bytes())
    sector, reserved = int.from_bytes(raw[11:13], "little"), int.from_bytes(raw[14:16], "little")
    length, copies = int.from_bytes(raw[22:24], "little"), raw[16]
    for copy in range(copies):
        at = (reserved + copy * length) * sector + 2 * 6
        raw[at : at + 2] = (3).to_bytes(2, "little")
    image.write_bytes(raw)
    found = by_path(seen(image), "live")
    assert found["after.bin"].content == b"after"
    assert found["circle.bin"].content is None or len(found["circle.bin"].content) <= 50_000


def test_a_directory_that_contains_itself_ends(tmp_path: Path):
    image = fat.make(tmp_path / "disk", 16)
    fat.write(image, "in/sub/file.bin", b"file")
    raw = bytearray(image.read_bytes())
    outer, inner = raw.find(b"IN         \x10"), raw.find(b"SUB        \x10")
    raw[inner + 26 : inner + 28] = raw[outer + 26 : outer + 28]
    image.write_bytes(raw)
    assert len(seen(image)) < 50
    assert problems(image) == []
