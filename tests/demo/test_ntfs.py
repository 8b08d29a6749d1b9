"""The NTFS writer, held against The Sleuth Kit, ntfs-3g and our own reader."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.demo.content import Placed
from amparo.demo.ntfs import NtfsVolume
from amparo.demo.ntfs_records import mapping_pairs
from amparo.evidence.source.ntfs import NtfsVolume as Reader
from tests.demo.tools import Memory, ask, fls

DAY = datetime(2026, 3, 1, 10, 0, 5, 250_000, tzinfo=UTC)
CHANCE = random.Random(7)
LONG = "n" * 251 + ".txt"
FILES = [
    Placed("raiz.txt", b"short", DAY, DAY),
    Placed("vazio.txt", b"", DAY, DAY),
    Placed("Pasta/Ação.bin", CHANCE.randbytes(20_000), DAY, DAY + timedelta(hours=3)),
    Placed(f"Pasta/{LONG}", b"long name", DAY, DAY),
    Placed("Pasta/em pedaços.bin", CHANCE.randbytes(50_000), DAY, DAY, pieces=4),
    Placed("Pasta/com fluxo.txt", b"x", DAY, DAY, streams={"curto": b"abc", "longo": CHANCE.randbytes(9_000)}),
    Placed("Pasta/apagado.bin", CHANCE.randbytes(30_000), DAY, DAY, deleted=True),
    Placed("Pasta/apagado pequeno.txt", b"resident and deleted", DAY, DAY, deleted=True),
    Placed("Pasta/perdido.bin", CHANCE.randbytes(30_000), DAY, DAY, deleted=True),
    Placed("Pasta/por cima.bin", CHANCE.randbytes(9_000), DAY, DAY, over="Pasta/perdido.bin"),
    Placed("Pasta/sem pasta.bin", CHANCE.randbytes(9_000), DAY, DAY, strays=True),
    *(Placed(f"Muitos/{'ficheiro ' * 9}{n}.txt", b"%d" % n * 400, DAY, DAY) for n in range(700)),
]
LOOSE = [CHANCE.randbytes(5_000), CHANCE.randbytes(100)]


@pytest.fixture(scope="module")
def volume() -> tuple[NtfsVolume, list[int]]:
    made = NtfsVolume(16 << 20, "Ensaio", DAY, 1 << 20, 0x1234)
    return made, made.lay(FILES, LOOSE)


@pytest.fixture(scope="module")
def image(volume: tuple[NtfsVolume, list[int]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ntfs") / "ntfs.img"
    path.write_bytes(volume[0].image)
    return path


def test_the_sleuth_kit_lists_every_file_live_deleted_and_without_directory(image: Path) -> None:
    listed = fls(image)
    for file in FILES:
        path = f"$OrphanFiles/{file.path.rpartition('/')[2]}" if file.strays else file.path
        assert listed.pop(path)[1] == (file.deleted or file.strays)
        for stream in file.streams:
            assert not listed.pop(f"{path}:{stream}")[1]
    assert all(path.startswith("$") for path in listed)


def test_the_sleuth_kit_reads_every_content_but_the_overwritten_one(image: Path) -> None:
    listed = fls(image)
    for file in FILES[:16]:
        path = f"$OrphanFiles/{file.path.rpartition('/')[2]}" if file.strays else file.path
        read = ask("icat", image, listed[path][0])
        assert (read == file.content) == (file.path != "Pasta/perdido.bin")
        for stream, content in file.streams.items():
            assert ask("icat", image, listed[f"{path}:{stream}"][0]) == content


def test_ntfs_3g_mounts_it_without_a_complaint(image: Path) -> None:
    said = ask("ntfsfix", "-n", image).decode()
    assert "Mounting volume... OK" in said
    assert "processed successfully" in said
    assert not [line for line in said.splitlines() if "error" in line.lower() or "corrupt" in line.lower()]
    assert "Volume Name: Ensaio" in ask("ntfsinfo", "-m", image).decode()


def test_ntfs_3g_finds_every_name_of_a_directory_that_needs_a_tree_of_blocks(image: Path) -> None:
    names = ask("ntfsls", "-p", "Muitos", image).decode().splitlines()
    assert names.pop(0) == "."
    assert sorted(names) == sorted(file.path.partition("/")[2] for file in FILES if file.path.startswith("Muitos/"))
    for number in (0, 77, 350, 699):  # looked up by name, which needs the order of the tree
        assert ask("ntfscat", image, f"Muitos/{'ficheiro ' * 9}{number}.txt") == b"%d" % number * 400


def test_our_reader_sees_the_same_states_contents_and_times(volume: tuple[NtfsVolume, list[int]]) -> None:
    device = Memory(volume[0].image)
    reader = Reader(device)
    entries = {entry.path: entry for entry in reader.entries()}
    assert reader.problems == []
    for file in FILES:
        path = f"$OrphanFiles/{file.path.rpartition('/')[2]}" if file.strays else file.path
        entry = entries[path]
        assert entry.state == ("orphan" if file.strays else "deleted" if file.deleted else "live")
        assert (entry.problem is None) == (file.path != "Pasta/perdido.bin")
        if entry.problem is None:
            assert device.content_of(entry) == file.content
        assert entry.created == "2026-03-01T10:00:05.250000Z"


def test_what_nothing_points_to_lies_in_free_space_and_nothing_live_does(volume: tuple[NtfsVolume, list[int]]) -> None:
    made, places = volume
    device = Memory(made.image)
    reader = Reader(device)
    allocation = reader.allocation()
    for place, content in zip(places, LOOSE, strict=True):
        assert device.read(place, len(content)) == content
        assert not allocation.any_in_use([(place, len(content))])
    runs = [run for entry in reader.entries() if entry.state == "live" and entry.runs for run in entry.runs]
    free = allocation.free()
    assert not [1 for at, length in runs for begin, room in free if at < begin + room and begin < at + length]
    assert sorted(set(runs)) == sorted(runs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 30)), max_size=30))
def test_mapping_pairs_lead_back_to_the_runs(runs: list[tuple[int, int]]) -> None:
    raw = mapping_pairs(runs)
    back, at, first = [], 0, 0
    while raw[at]:
        lengths, offsets = raw[at] & 15, raw[at] >> 4
        count = int.from_bytes(raw[at + 1 : at + 1 + lengths], "little", signed=True)
        first += int.from_bytes(raw[at + 1 + lengths : at + 1 + lengths + offsets], "little", signed=True)
        back.append((first, count))
        at += 1 + lengths + offsets
    assert back == runs
    assert at == len(raw) - 1


_NAME = st.text(
    st.characters(codec="utf-8", exclude_characters='/\0.\\:*?"<>|', min_codepoint=32), min_size=1, max_size=60
)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(_NAME.map(str.upper), st.binary(max_size=6_000), max_size=40))
def test_whatever_is_laid_down_is_read_back(contents: dict[str, bytes]) -> None:
    made = NtfsVolume(4 << 20, "X", DAY, 0, 1)
    made.lay([Placed(f"a/{name}", content, DAY, DAY) for name, content in contents.items()])
    device = Memory(made.image)
    read = {entry.path: device.content_of(entry) for entry in Reader(device).entries() if entry.path.startswith("a/")}
    assert read == {f"a/{name}": content for name, content in contents.items()}
