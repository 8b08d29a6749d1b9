"""The disk as a whole: the partition table, the truth, and that the same seed gives the same disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amparo.demo import computer, partition_table
from amparo.evidence.source import ntfs, partitions, tsk, volumes
from tests.demo.tools import Memory, ask


@pytest.fixture(scope="module")
def made() -> computer.Computer:
    return computer.build()


@pytest.fixture(scope="module")
def disk(made: computer.Computer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    made.write(path)
    return path


def test_the_image_is_small_and_mostly_holes(disk: Path) -> None:
    assert disk.stat().st_size <= 64 << 20
    if sys.platform == "linux":
        assert disk.stat().st_blocks * 512 < 8 << 20


def test_the_sleuth_kit_sees_both_partitions(disk: Path) -> None:
    said = ask("mmls", disk).decode()
    assert "GUID Partition Table" in said
    assert "Windows" in said
    assert "PEN DEMO" in said


def test_we_see_both_partitions_and_what_lies_beside_them(disk: Path) -> None:
    found = volumes.survey(Memory(disk.read_bytes()))
    assert found.problems == []
    assert [(v.kind, v.filesystem) for v in found.volumes[:2]] == [("partition", "ntfs"), ("partition", "fat")]
    assert {v.kind for v in found.volumes[2:]} == {"unpartitioned"}


def test_the_copy_of_the_table_at_the_end_is_as_good(disk: Path) -> None:
    content = bytearray(disk.read_bytes())
    content[512:1024] = bytes(512)
    found, [problem] = partitions.partitions(Memory(content), lambda part: True)
    assert [part.label for part in found] == ["Windows", "PEN DEMO"]
    assert "copy at the end" in problem


def test_every_picture_lies_where_the_truth_says(made: computer.Computer, disk: Path) -> None:
    content = disk.read_bytes()
    systems = {
        computer.NTFS: (ntfs.NtfsVolume, content[computer.NTFS_AT : computer.NTFS_AT + computer.NTFS_SIZE]),
        computer.FAT: (tsk.TskVolume, content[computer.FAT_AT : computer.FAT_AT + computer.FAT_SIZE]),
    }
    listed = {}
    for number, (reader, part) in systems.items():
        device = Memory(part)
        for entry in reader(device).entries():
            listed[number, entry.path] = (entry.state, None if entry.problem else device.content_of(entry))
    for planted in made.planted:
        if planted.state == "carved":
            assert planted.offset is not None
            assert content[planted.offset : planted.offset + len(planted.content)] == planted.content
        elif planted.state in ("live", "deleted", "orphan"):
            assert listed[planted.volume, planted.path] == (planted.state, planted.content)


def test_known_pictures_are_many_and_of_every_state(made: computer.Computer) -> None:
    assert {planted.state for planted in made.planted} == {"live", "deleted", "orphan", "carved", "inside", "lost"}
    contents = {planted.entry: planted.content for planted in made.planted}
    assert len(set(contents.values())) == len(contents) > 20


def test_the_same_seed_gives_the_same_disk_whatever_the_order_of_sets(disk: Path, tmp_path: Path) -> None:
    digests = {hashlib.sha256(disk.read_bytes()).hexdigest()}
    for number in "12":
        path = tmp_path / number
        code = (
            f"from amparo.demo import computer; from pathlib import Path; computer.build().write(Path({str(path)!r}))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": number})
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_another_seed_gives_another_disk(made: computer.Computer) -> None:
    other = computer.build(1)
    assert {p.content for p in made.planted}.isdisjoint(p.content for p in other.planted)


def test_a_disk_written_over_a_longer_file_keeps_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"\xaa" * (3 << 20))
    partition_table.write_disk(path, 2 << 20, [partition_table.Partition(1 << 20, bytes(1 << 16), "x")], {}, 1)
    assert b"\xaa" * 64 not in path.read_bytes()
    assert path.stat().st_size == 2 << 20
