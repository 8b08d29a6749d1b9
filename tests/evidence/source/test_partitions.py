"""What lies where on a disk: MBR with its logical chain, GPT and its copy, bare file systems, gaps, and tables that lie."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from amparo.evidence.source.device import Window
from amparo.evidence.source.volumes import EXT, FAT, NTFS, Survey, Volume
from tests.evidence.source.disks import Raw, contents, ext, fat, ntfs, seen
from tests.evidence.source.disks.tables import entry, gpt, mbr

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small volume of each kind, with one file."""
    folder = tmp_path_factory.mktemp("small")
    disk = fat.make(folder / "fat", 12, size=MEGABYTE)
    fat.write(disk, "on fat.txt", b"fat")
    tree = ext.tree(folder / "tree", {"on ext.txt": b"ext"})
    return {
        FAT: disk.read_bytes(),
        EXT: ext.make(folder / "ext", tree, "-t", "ext2", size=MEGABYTE).read_bytes(),
        NTFS: ntfs.make(folder / "ntfs", 2 * MEGABYTE).read_bytes(),
    }


def blank(megabytes: int) -> bytearray:
    return bytearray(megabytes * MEGABYTE)


def put(disk: bytearray, at: int, content: bytes) -> None:
    disk[at : at + len(content)] = content


def found(survey: Survey, kind: str = "partition") -> list[tuple[int, int, str | None]]:
    return [(v.offset, v.size, v.filesystem) for v in survey.volumes if v.kind == kind]


def files(disk: bytes, volume: Volume) -> set[str]:
    return set(contents(seen(Window(Raw(disk), volume.offset, volume.size), volume.filesystem), "live"))


def test_primary_partitions_and_the_gaps_between_them(small):
    disk = blank(8)
    put(disk, 0, mbr(entry(6, 2048, 2048), entry(0x83, 8192, 2048, status=0x80)))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 4 * MEGABYTE, small[EXT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert found(survey) == [(MEGABYTE, MEGABYTE, FAT), (4 * MEGABYTE, MEGABYTE, EXT)]
    assert found(survey, "unpartitioned") == [
        (512, MEGABYTE - 512, None), (2 * MEGABYTE, 2 * MEGABYTE, None), (5 * MEGABYTE, 3 * MEGABYTE, None),
    ]  # fmt: skip
    assert survey.problems == [] and [v.id for v in survey.volumes] == [1, 2, 3, 4, 5]
    assert files(bytes(disk), survey.volumes[0]) == {"on fat.txt"}
    assert files(bytes(disk), survey.volumes[1]) == {"on ext.txt"}


def test_logical_partitions_in_their_chain(small):
    disk = blank(12)
    put(disk, 0, mbr(entry(6, 2048, 2048), entry(0x0F, 4096, 16384)))
    put(disk, 2 * MEGABYTE, mbr(entry(0x83, 2048, 2048), entry(0x05, 6144, 4096)))
    put(disk, 5 * MEGABYTE, mbr(entry(6, 2048, 2048)))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 3 * MEGABYTE, small[EXT])
    put(disk, 6 * MEGABYTE, small[FAT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert [(at // MEGABYTE, kind) for at, _, kind in found(survey)] == [(1, FAT), (3, EXT), (6, FAT)]
    assert survey.problems == []


def test_a_chain_of_logical_partitions_that_runs_in_a_circle_ends_and_is_reported(small):
    disk = blank(12)
    put(disk, 0, mbr(entry(0x05, 4096, 16384)))
    put(disk, 2 * MEGABYTE, mbr(entry(0x83, 2048, 2048), entry(0x05, 6144, 4096)))
    put(disk, 5 * MEGABYTE, mbr(entry(6, 2048, 2048), entry(0x05, 6144, 4096)))
    put(disk, 3 * MEGABYTE, small[EXT])
    put(disk, 6 * MEGABYTE, small[FAT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert [kind for _, _, kind in found(survey)] == [EXT, FAT]
    assert [message for _, _, message in survey.problems] == ["The chain of logical partitions runs in a circle."]


def test_a_chain_that_breaks_keeps_what_came_before(small):
    disk = blank(8)
    put(disk, 0, mbr(entry(0x05, 4096, 8192)))
    put(disk, 2 * MEGABYTE, mbr(entry(0x83, 2048, 2048), entry(0x05, 6144, 4096)))
    put(disk, 3 * MEGABYTE, small[EXT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert [kind for _, _, kind in found(survey)] == [EXT]
    assert "breaks at sector 10240" in survey.problems[0][2]


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("spoilt", ["nothing", "the header", "the entries", "the copy"])
def test_gpt_of_either_sector_size_and_its_copy_where_the_first_is_damaged(small, sector: int, spoilt: str):
    disk = blank(8)
    unit = MEGABYTE // sector
    gpt(disk, [(unit, 2 * unit - 1, "Basic data"), (4 * unit, 5 * unit - 1, "")], sector)
    put(disk, MEGABYTE, small[FAT])
    put(disk, 4 * MEGABYTE, small[EXT])
    at = {
        "nothing": None,
        "the header": sector + 40,
        "the entries": 2 * sector + 40,
        "the copy": len(disk) - sector + 40,
    }[spoilt]
    if at is not None:
        disk[at] ^= 0xFF
    survey = volumes.survey(Raw(bytes(disk)))
    assert found(survey) == [(MEGABYTE, MEGABYTE, FAT), (4 * MEGABYTE, MEGABYTE, EXT)]
    assert survey.volumes[0].label == "Basic data"
    told = ["The partition table at the start is damaged; its copy at the end was used."]
    assert [message for _, _, message in survey.problems] == (told if spoilt in ("the header", "the entries") else [])


def test_gpt_damaged_at_both_ends_is_reported_and_its_first_volume_still_found(small):
    disk = blank(4)
    gpt(disk, [(2048, 4095, "")])
    put(disk, MEGABYTE, small[EXT])
    disk[552] ^= 1
    disk[-500] ^= 1
    survey = volumes.survey(Raw(bytes(disk)))
    assert any("damaged, and so is its copy" in message for _, _, message in survey.problems)
    assert (MEGABYTE, 3 * MEGABYTE, EXT) in found(survey, "unpartitioned")


def test_gpt_beside_a_hybrid_mbr_is_preferred(small):
    disk = blank(8)
    gpt(disk, [(2048, 4095, "one"), (8192, 10239, "two")])
    put(disk, 0, mbr(entry(0xEE, 1, 2047), entry(6, 2048, 2048)))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 4 * MEGABYTE, small[EXT])
    assert [v.label for v in volumes.survey(Raw(bytes(disk))).volumes if v.kind == "partition"] == ["one", "two"]


def test_an_mbr_written_over_an_old_gpt_is_preferred(small):
    disk = blank(8)
    gpt(disk, [(8192, 10239, "old")], protective=False)
    put(disk, 0, mbr(entry(6, 2048, 2048)))
    put(disk, MEGABYTE, small[FAT])
    assert found(volumes.survey(Raw(bytes(disk)))) == [(MEGABYTE, MEGABYTE, FAT)]


def test_an_mbr_that_counts_in_sectors_of_4096_bytes(small):
    disk = blank(8)
    put(disk, 0, mbr(entry(6, 256, 256), entry(0x83, 1024, 256)))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 4 * MEGABYTE, small[EXT])
    assert found(volumes.survey(Raw(bytes(disk)))) == [(MEGABYTE, MEGABYTE, FAT), (4 * MEGABYTE, MEGABYTE, EXT)]


def test_partitions_that_overlap_or_repeat_or_run_past_the_end(small):
    disk = blank(4)
    table = (entry(6, 2048, 4096), entry(6, 2048, 4096), entry(0x83, 4096, 99_999), entry(7, 1 << 20, 2048))
    put(disk, 0, mbr(*table))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 2 * MEGABYTE, small[EXT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert found(survey) == [(MEGABYTE, 2 * MEGABYTE, FAT), (2 * MEGABYTE, 2 * MEGABYTE, EXT)]
    assert [message.split(" the end")[0] for _, _, message in survey.problems] == [
        "The partition at byte 2097152 runs past", "A partition at byte 536870912 lies past",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [FAT, EXT, NTFS])
def test_a_file_system_without_a_table_is_volume_0(small, kind: str):
    survey = volumes.survey(Raw(small[kind]))
    assert [(v.id, v.kind, v.offset, v.size, v.filesystem) for v in survey.volumes] == [
        (0, "bare", 0, len(small[kind]), kind)
    ]
    assert survey.problems == []


def test_an_ntfs_partition_that_ends_with_the_disk_does_not_pass_for_the_whole_disk(small):
    disk = blank(1) + small[NTFS]
    put(disk, 0, mbr(entry(7, 2048, 4096)))
    assert disk[-509:-505] == b"NTFS"
    assert found(volumes.survey(Raw(bytes(disk)))) == [(MEGABYTE, 2 * MEGABYTE, NTFS)]


def test_marks_of_a_file_system_that_was_there_before_the_table_do_not_hide_the_partitions(small):
    disk = bytearray(small[EXT].ljust(4 * MEGABYTE, b"\0"))
    put(disk, 0, mbr(entry(6, 4096, 2048)))
    put(disk, 2 * MEGABYTE, small[FAT])
    assert found(volumes.survey(Raw(bytes(disk)))) == [(2 * MEGABYTE, MEGABYTE, FAT)]


def test_a_file_system_whose_partition_was_deleted_is_found_in_the_gap(small):
    disk = blank(8)
    put(disk, 0, mbr(entry(6, 2048, 2048)))
    put(disk, MEGABYTE, small[FAT])
    put(disk, 2 * MEGABYTE, small[EXT])
    survey = volumes.survey(Raw(bytes(disk)))
    assert (2 * MEGABYTE, 6 * MEGABYTE, EXT) in found(survey, "unpartitioned")
    assert files(bytes(disk), survey.volumes[-1]) == {"on ext.txt"}


@pytest.mark.parametrize("disk", [b"", b"\0" * 100, bytes(MEGABYTE), b"\x55\xaa" * 40_000, bytes(510) + b"\x55\xaa"])
def test_what_is_no_disk_is_one_volume_to_be_carved(disk: bytes):
    survey = volumes.survey(Raw(disk))
    assert [(v.kind, v.filesystem) for v in survey.volumes] == [("bare", None)]
    assert len(survey.problems) == 1


def test_random_tables_never_give_a_partition_outside_the_disk_nor_more_than_a_table_holds():
    import random

    chance = random.Random(5)
    for _ in range(300):
        disk = bytearray(chance.randbytes(64 << 10))
        put(disk, 0, mbr(*(
            entry(chance.choice((0x05, 0x0F, 0x07, 0xEE, 0x83)), chance.randrange(200), chance.randrange(1 << 32)) for _ in range(4)
        )))  # fmt: skip
        for at in range(512, len(disk), 512):
            kind = chance.choice((0x05, 0x83))
            disk[at + 446 : at + 512] = mbr(
                entry(kind, chance.randrange(100), 9), entry(0x05, chance.randrange(100), 9)
            )[446:]
        survey = volumes.survey(Raw(bytes(disk)))
        assert len(survey.volumes) < 1100
        assert all(v.offset >= 0 and v.offset + v.size <= len(disk) for v in survey.volumes)


def test_a_header_that_promises_a_million_entries_is_refused():
    disk = blank(1)
    gpt(disk, [(64, 99, "")])
    for at in (512, len(disk) - 512):
        header = bytearray(disk[at : at + 92])
        struct.pack_into("<II", header, 80, 1 << 30, 128)
        put(disk, at, bytes(header))
    assert found(volumes.survey(Raw(bytes(disk)))) == []


def test_reading_a_volume_never_leaves_it(tmp_path: Path):
    window = Window(Raw(bytes(range(256)) * 8), 512, 100)
    assert window.read(90, 50) == bytes(range(90, 100))
    assert window.read(200, 5) == b""
