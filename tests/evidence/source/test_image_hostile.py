"""Images cut and spoilt at random: each opens and reads, or is refused in a sentence, soon, and nothing false comes of it."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amparo.child import ChildDied, isolated
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.image import image_files, image_format, open_image
from tests.evidence.source.images import (
    acquire,
    chunks_of,
    convert,
    disk,
    place,
    salvaged,
    sealed,
    section,
    segments,
    spoil,
)

CONTENT = disk(31, 600_000 // 512 * 512)
ROUNDS = 250
SEED = 7
MOST_READ = 4 << 20  # a spoilt header may claim any size: what a caller reads of it is the caller's to bound


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """The file with some of its bytes changed, moved, or gone; mostly where the structures are."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 3, 10))):
        end = chance.choice((100, 1200, 5000, len(content)))
        at = min(chance.randrange(end), len(content) - 1)
        at = chance.choice((at, at, len(content) - 1 - at))
        act = chance.randrange(7)
        if act < 2:
            content[at] ^= 1 << chance.randrange(8)
        elif act < 4:
            content[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, chance.randbytes(4), b"\x7f\xff\xff\xff"))
        elif act == 4:
            content[at : at + 8] = chance.choice((b"\xff" * 8, chance.randbytes(8), b"\x01" + b"\0" * 7))
        elif act == 5:
            del content[at:]
        else:
            del content[at : at + chance.randrange(1, 600)]
        if not content:
            content = bytearray(b"\0")
    return bytes(content)


def attempt(path: Path) -> str:
    try:
        image_format(path)
        image_files(path)
        device = open_image(path)
    except SourceUnreadable as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return "refused"
    failed = 0
    for at in [*range(0, min(device.size, MOST_READ), 1 << 18), max(0, device.size - 4096), device.size // 2]:
        try:
            data = device.read(at, 1 << 18)
            assert len(data) == min(1 << 18, device.size - at)
        except ReadFailed:
            failed += 1
    device.close()
    return "read with failures" if failed else "read"


def trials(path: Path, data: bytes, seed: int, start: int) -> Iterator[tuple[int, str, float]]:
    """In a child: one outcome after the other, with the seconds that it took."""
    for number in range(start, ROUNDS):
        path.write_bytes(spoilt(random.Random(seed * 100_000 + number), data))
        begun = time.process_time()
        yield number, "begun", 0.0
        yield number, attempt(path), time.process_time() - begun


def specimen(kind: str, folder: Path) -> Path:
    raw = folder / "disk.raw"
    raw.write_bytes(CONTENT)
    if kind == "built e01":
        return segments(folder, CONTENT, each=100)[0]
    if kind == "smart":
        return acquire(folder / "e", CONTENT, "smart")
    if kind == "e01":
        return acquire(folder / "e", CONTENT)
    form, options, *more = {
        "vmdk": ("vmdk", ""), "stream vmdk": ("vmdk", "subformat=streamOptimized"),
        "vhd": ("vpc", "force_size=on"), "vhdx": ("vhdx", "block_size=1M"),
        "qcow2": ("qcow2", "cluster_size=4k"), "compressed qcow2": ("qcow2", "", "-c"),
    }[kind]  # fmt: skip
    return convert(raw, folder / "x.bin", form, options, *more)


@pytest.mark.parametrize(
    "kind",
    ["e01", "smart", "built e01", "qcow2", "compressed qcow2", "vhd", "vmdk", "stream vmdk", "vhdx"],
)
def test_a_spoilt_image_is_read_or_refused_and_soon(kind: str, tmp_path: Path):
    path = specimen(kind, tmp_path)
    data = path.read_bytes()
    outcomes: dict[str, int] = {}
    slowest, crashes, done = 0.0, [], 0
    while done < ROUNDS:
        try:
            for _, outcome, seconds in isolated(trials, path, data, SEED, done, patience=20.0):
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                slowest = max(slowest, seconds)
                done += outcome != "begun"
        except ChildDied as error:
            crashes.append((done, str(error)))
            done += 1
    assert slowest < 5, slowest
    assert not crashes, crashes
    assert outcomes["begun"] == ROUNDS
    assert len(outcomes) >= 3, outcomes


def test_no_damage_to_an_e01_makes_a_chunk_pass_for_another(tmp_path: Path):
    (path,) = segments(tmp_path, CONTENT, each=100)
    data, chunks = path.read_bytes(), chunks_of(CONTENT)
    first = place(path, b"sectors")
    for number in range(ROUNDS):
        chance = random.Random(number)
        # The description of the disk stays: with another size for chunks, another disk is what the image truly says.
        path.write_bytes(data[:first] + spoilt(chance, data[first:]))
        device = open_image(path)
        for got, chunk in zip(salvaged(device), chunks, strict=False):
            assert got is None or got == chunk, number


def test_a_chain_of_sections_that_turns_back_ends(tmp_path: Path):
    (path,) = segments(tmp_path, CONTENT, each=100)
    spoil(path, place(path, b"table2"), sealed(struct.pack("<16sQQ40x", b"table2", 13, 76)))
    device = open_image(path)
    assert device.problems
    assert salvaged(device) == chunks_of(CONTENT)


def test_a_million_empty_sections_are_walked_in_seconds(tmp_path: Path):
    (path,) = segments(tmp_path, CONTENT, each=100)
    data = path.read_bytes()[:-76]
    path.write_bytes(data + b"".join(section(b"ltypes", len(data) + 76 * number) for number in range(200_000)))
    begun = time.process_time()
    assert salvaged(open_image(path)) == chunks_of(CONTENT)
    assert time.process_time() - begun < 5


def test_the_sectors_of_a_compressed_vmdk_that_was_cut_are_given_up_in_seconds(tmp_path: Path):
    raw = tmp_path / "raw"
    raw.write_bytes(random.Random(SEED).randbytes(24 << 20))
    path = convert(raw, tmp_path / "disk.vmdk", "vmdk", "subformat=streamOptimized")
    with path.open("r+b") as file:
        file.truncate(8 << 20)
    begun = time.process_time()
    assert salvaged(open_image(path), 512).count(None) >= 32 << 10
    assert time.process_time() - begun < 5
