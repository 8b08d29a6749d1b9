"""The FAT32 writer, held against fsck.fat, The Sleuth Kit and our own reader."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amparo.demo.content import Placed
from amparo.demo.fat import FatVolume
from amparo.evidence.source.tsk import TskVolume
from tests.demo.tools import Memory, ask, fls

DAY = datetime(2026, 3, 1, 10, 5, 8, tzinfo=UTC)
CHANCE = random.Random(8)
FILES = [
    Placed("README.TXT", b"plain short name", DAY, DAY),
    Placed("vazio.txt", b"", DAY, DAY),
    Placed("Um nome comprido com acentuação.txt", CHANCE.randbytes(3_000), DAY, DAY + timedelta(days=2)),
    Placed("Pasta/Em pedaços.bin", CHANCE.randbytes(9_000), DAY, DAY, pieces=3),
    Placed("Pasta/Apagado com nome.jpg", CHANCE.randbytes(9_000), DAY, DAY, deleted=True),
    *(Placed(f"Pasta/Outra pasta/ficheiro número {n}.txt", b"%d" % n * 300, DAY, DAY) for n in range(60)),
    *(Placed(f"na raiz {n}.txt", b"%d" % n, DAY, DAY) for n in range(30)),
]
LOOSE = [CHANCE.randbytes(5_000)]


@pytest.fixture(scope="module")
def volume() -> tuple[FatVolume, list[int]]:
    made = FatVolume(34 << 20, "ENSAIO", 1 << 20, 0x1234)
    return made, made.lay(FILES, LOOSE)


@pytest.fixture(scope="module")
def image(volume: tuple[FatVolume, list[int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fat") / "fat.img"
    path.write_bytes(volume[0].image)
    return path


def test_fsck_finds_nothing_to_mend(image: Path) -> None:
    said = ask("/sbin/fsck.fat", "-n", image).decode().splitlines()
    assert said[-1].startswith(f"{image}: ")
    assert not [line for line in said[1:-1] if line.strip()]


def test_the_sleuth_kit_lists_and_reads_every_file(image: Path) -> None:
    listed = fls(image)
    for file in FILES:
        address, deleted = listed.pop(file.path)
        assert deleted == file.deleted
        assert ask("icat", *(["-r"] if deleted else []), image, address) == file.content
    assert all(path.startswith("$") or "Volume Label" in path for path in listed)


def test_our_reader_sees_the_same_states_contents_and_times(volume: tuple[FatVolume, list[int]]) -> None:
    device = Memory(volume[0].image)
    reader = TskVolume(device)
    entries = {entry.path: entry for entry in reader.entries()}
    assert reader.problems == []
    assert set(entries) == {file.path for file in FILES}
    for file in FILES:
        entry = entries[file.path]
        assert entry.state == ("deleted" if file.deleted else "live")
        assert device.content_of(entry) == file.content
        assert entry.created == "2026-03-01T10:05:08Z"
    free = reader.allocation().free()
    [place] = volume[1]
    assert any(at <= place and place + len(LOOSE[0]) <= at + length for at, length in free)


def test_a_volume_too_small_for_fat32_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        FatVolume(20 << 20, "X", 0, 1)
