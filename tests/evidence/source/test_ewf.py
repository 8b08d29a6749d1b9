"""E01 against what was put in, against libewf, and with every part of it missing or damaged in turn."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from pathlib import Path

import pyewf
import pytest

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Window, missing_until
from amparo.evidence.source.ewf import EwfDevice
from amparo.evidence.source.image import image_files, open_image
from tests.evidence.source.images import (
    CHUNK,
    MARK,
    acquire,
    chunks_of,
    disk,
    place,
    salvaged,
    sealed,
    section,
    segments,
    spoil,
    table,
    volume,
    whole,
)

CONTENT = disk(1, (3 << 20) + 512 * 7)
FORMATS = (
    "ewf",
    "smart",
    "ftk",
    "encase2",
    "encase3",
    "encase4",
    "encase5",
    "encase6",
    "encase7",
    "linen5",
    "linen7",
    "ewfx",
)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compression", ["none", "fast"])
def test_every_kind_of_e01_gives_the_disk_back_and_its_digests(form: str, compression: str, tmp_path: Path):
    first = acquire(tmp_path / "e", CONTENT, form, compression, "-d", "sha1")
    device = open_image(first)
    assert device.size == len(CONTENT)
    assert whole(device) == CONTENT
    assert device.problems == []
    assert device.stored_digests["md5"] == hashlib.md5(CONTENT).hexdigest()
    assert device.stored_digests.get("sha1", hashlib.sha1(CONTENT).hexdigest()) == hashlib.sha1(CONTENT).hexdigest()
    assert ("sha1" in device.stored_digests) == (form in ("encase6", "encase7", "linen7", "ewfx"))


@pytest.mark.parametrize("sectors", ["16", "64", "2048"])
def test_reads_anywhere_agree_with_libewf(sectors: str, tmp_path: Path):
    first = acquire(tmp_path / "e", CONTENT, "encase6", "fast", "-b", sectors)
    theirs = pyewf.handle()
    theirs.open([str(path) for path in image_files(first)])
    device = open_image(first)
    chance = random.Random(4)
    for _ in range(400):
        offset = chance.randrange(len(CONTENT))
        length = min(chance.choice((1, 512, 4096, 100_000, 1 << 20)), len(CONTENT) - offset)
        assert device.read(offset, length) == theirs.read_buffer_at_offset(length, offset) == CONTENT[offset:][:length]
    assert device.read(len(CONTENT) - 5, 100) == CONTENT[-5:]
    assert device.read(len(CONTENT) + 5, 100) == b""
    with pytest.raises(ReadFailed):
        device.read(-1, 10)


def test_any_segment_leads_to_the_whole_set_and_a_hundred_are_put_in_order(tmp_path: Path):
    content = disk(2, 110 * CHUNK)
    paths = segments(tmp_path, content, each=1)
    assert paths[98].name == "set.E99" and paths[99].name == "set.EAA"
    (tmp_path / "set.EXE").write_bytes(b"MZ, not a segment")
    for given in (paths[0], paths[57], paths[109]):
        assert image_files(given) == paths
        assert whole(open_image(given)) == content


def test_the_number_in_a_segment_counts_not_its_name(tmp_path: Path):
    content = disk(3, 4 * CHUNK)
    paths = segments(tmp_path, content, each=1)
    paths[1].rename(tmp_path / "other")
    paths[2].rename(paths[1])
    (tmp_path / "other").rename(paths[2])
    assert whole(open_image(paths[0])) == content


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4])
def test_a_missing_segment_is_named_and_never_shifts_what_follows(lost: int, tmp_path: Path):
    content = disk(4, 20 * CHUNK)
    paths = segments(tmp_path, content, each=4)
    paths[lost].unlink()
    device = open_image(paths[2] if lost != 2 else paths[1])
    expected: list[bytes | None] = list(chunks_of(content))
    expected[lost * 4 : lost * 4 + 4] = [None] * 4
    assert salvaged(device) == expected
    assert device.size == len(content)
    assert (f"E0{lost + 1}" if lost < 4 else "not complete") in " ".join(device.problems)


def test_between_two_missing_segments_nothing_is_guessed(tmp_path: Path):
    content = disk(5, 20 * CHUNK)
    paths = segments(tmp_path, content, each=4)
    paths[1].unlink()
    paths[3].unlink()
    chunks: list[bytes | None] = list(chunks_of(content))
    assert salvaged(open_image(paths[0])) == chunks[:4] + [None] * 12 + chunks[16:]


@pytest.mark.parametrize("lost", [(0,), (2,), (4,), (1, 3), (0, 4)])
def test_the_device_knows_how_far_its_missing_parts_reach(lost: tuple[int, ...], tmp_path: Path):
    paths = segments(tmp_path, disk(5, 20 * CHUNK), each=4)
    for index in lost:
        paths[index].unlink()
    device = open_image(next(path for path in paths if path.exists()))
    found = salvaged(device)
    part = Window(device, 3 * CHUNK + 512, device.size)
    for offset in range(0, device.size, 512):
        until = missing_until(device, offset)
        assert until in (offset, device.size) or not until % CHUNK
        assert all(chunk is None for chunk in found[offset // CHUNK : until // CHUNK])
        assert until == device.size or found[until // CHUNK] is not None
        if offset >= part.offset:
            assert missing_until(part, offset - part.offset) == until - part.offset


@pytest.mark.parametrize("cut", [1, 60, 400, 20_000, 100_000])
@pytest.mark.parametrize("which", [1, 4])
def test_a_cut_segment_costs_only_itself(cut: int, which: int, tmp_path: Path):
    content = disk(6, 20 * CHUNK)
    paths = segments(tmp_path, content, each=4, store=True)
    data = paths[which].read_bytes()
    paths[which].write_bytes(data[:-cut])
    device = open_image(paths[0])
    chunks, found = chunks_of(content), salvaged(device)
    for number, (chunk, got) in enumerate(zip(chunks, found, strict=True)):
        assert got == chunk or (got is None and number // 4 == which)
    assert device.problems


@pytest.mark.parametrize("store", [True, False])
def test_a_damaged_chunk_fails_alone_and_says_where(store: bool, tmp_path: Path):
    content = random.Random(7).randbytes(8 * CHUNK)
    (path,) = segments(tmp_path, content, each=8, store=store)
    data = path.read_bytes()
    at = place(path, b"sectors") + 76 + 3 * (CHUNK + 4 if store else len(zlib.compress(content[:CHUNK], 1))) + 500
    spoil(path, at)
    device = open_image(path)
    found = salvaged(device)
    assert found == [chunk if number != 3 else None for number, chunk in enumerate(chunks_of(content))]
    with pytest.raises(ReadFailed, match=rf"98304, stored at byte \d+ of {path.name}"):
        device.read(0, len(content))
    assert device.read(2 * CHUNK, CHUNK) == content[2 * CHUNK : 3 * CHUNK]
    path.write_bytes(data)
    assert whole(open_image(path)) == content


def test_the_second_table_serves_where_the_first_is_damaged(tmp_path: Path):
    content = disk(8, 8 * CHUNK)
    for offset in (0, 30, 76, 76 + 24 + 8):  # the name of the section, its descriptor, the table's header, an entry
        (path,) = segments(tmp_path, content, each=8)
        spoil(path, place(path, b"table") + offset)
        assert whole(open_image(path)) == content, offset


def test_with_both_tables_damaged_no_chunk_is_taken_for_another(tmp_path: Path):
    content = disk(9, 8 * CHUNK)
    (path,) = segments(tmp_path, content, each=8)
    for kind in (b"table", b"table2"):
        spoil(path, place(path, kind) + 76 + 24 + 12, struct.pack("<I", 0x80000123))
    found = salvaged(open_image(path))
    assert [got for got in found if got is not None] == [c for n, c in enumerate(chunks_of(content)) if found[n]]
    assert found.count(None) in (1, 2)


def test_a_damaged_descriptor_is_passed_over(tmp_path: Path):
    content = disk(10, 8 * CHUNK)
    for kind in (b"sectors", b"table2"):
        (path,) = segments(tmp_path, content, each=8)
        spoil(path, place(path, kind) + 20)
        device = open_image(path)
        assert whole(device) == content
        assert len(device.problems) == 1


def test_an_e01_file_on_the_disk_is_not_taken_for_the_image_itself(tmp_path: Path):
    (inner,) = segments(tmp_path, disk(11, 4 * CHUNK), each=4, store=True)
    within = inner.read_bytes()
    content = (bytes(512) + within).ljust(6 * CHUNK, b"\0")
    (path,) = segments(tmp_path, content, each=6, store=True)
    spoil(path, place(path, b"sectors") + 20)
    device = open_image(path)
    assert device.size == len(content)
    assert whole(device) == content


def test_a_segment_of_more_than_two_gigabytes_with_a_base_offset(tmp_path: Path):
    chunk = b"far away".ljust(CHUNK, b".")
    head = MARK + struct.pack("<BHH", 1, 1, 0)
    head += section(b"volume", len(head), volume(2 * CHUNK))
    far = (3 << 30) + 100
    sectors = sealed(struct.pack("<16sQQ40x", b"sectors", far + 2000, far + 2000 - len(head)))
    first = zlib.compress(chunk)
    entries = table([0x80000000, 0x80000000 + len(first)], base=far)
    path = tmp_path / "set.E01"
    with path.open("wb") as file:
        file.write(head + sectors)
        file.seek(far)
        file.write(first + zlib.compress(chunk[::-1]))
        file.seek(far + 2000)
        file.write(section(b"table", far + 2000, entries))
        file.write(section(b"done", file.tell(), last=True))
    assert whole(open_image(path)) == chunk + chunk[::-1]


def test_the_offsets_that_encase_6_7_1_let_run_over(tmp_path: Path):
    chunks = [bytes([number]) * CHUNK for number in range(4)]
    head = MARK + struct.pack("<BHH", 1, 1, 0)
    head += section(b"volume", len(head), volume(4 * CHUNK))
    places = [len(head) + 76, (1 << 31) - 40_000, (1 << 31) + 100, (1 << 31) + 40_000]
    kept = [zlib.compress(chunks[0]), zlib.compress(chunks[1]), sealed(chunks[2]), sealed(chunks[3])]
    end = (1 << 31) + 90_000
    path = tmp_path / "set.E01"
    with path.open("wb") as file:
        file.write(head + sealed(struct.pack("<16sQQ40x", b"sectors", end, end - len(head))))
        for where, data in zip(places, kept, strict=True):
            file.seek(where)
            file.write(data)
        file.seek(end)
        marked = [places[0] | 1 << 31, places[1] | 1 << 31, places[2], places[3]]
        file.write(section(b"table", end, table(marked)))
        file.write(section(b"done", file.tell(), last=True))
    assert whole(open_image(path)) == b"".join(chunks)


def test_segments_of_two_images_are_told_apart(tmp_path: Path):
    content = disk(12, 8 * CHUNK)
    paths = segments(tmp_path, content, each=4, identifiers=(b"one set of files", b"another set here"))
    assert "different images" in " ".join(open_image(paths[0]).problems)


def test_what_could_not_be_read_when_the_image_was_taken_is_told(tmp_path: Path):
    content = bytes(4 * CHUNK)
    (path,) = segments(tmp_path, content, each=4)
    data = path.read_bytes()[:-76]
    errors = sealed(struct.pack("<I512x", 2)) + sealed(struct.pack("<IIII", 7, 2, 100, 1))
    data += section(b"error2", len(data), errors)
    path.write_bytes(data + section(b"done", len(data), last=True))
    assert "2 from sector 7, 1 from sector 100" in " ".join(open_image(path).problems)


def test_a_finished_image_that_claims_a_larger_disk_ends_where_its_chunks_end(tmp_path: Path):
    content = disk(13, 4 * CHUNK)
    (path,) = segments(tmp_path, content, each=4)
    data = path.read_bytes()
    path.write_bytes(data.replace(volume(len(content)), volume(1 << 40)))
    device = open_image(path)
    assert device.size == len(content)
    assert "ends early" in device.problems[0]


def test_a_chunk_that_inflates_without_end_or_has_none_is_only_a_bad_chunk(tmp_path: Path):
    content = bytes(3 * CHUNK)
    (path,) = segments(tmp_path, content, each=3)
    endless = zlib.compress(bytes(64 << 20), 9)
    unfinished = zlib.compressobj(1)
    kept = [
        endless,
        zlib.compress(bytes(CHUNK)),
        unfinished.compress(bytes(CHUNK)) + unfinished.flush(zlib.Z_SYNC_FLUSH),
    ]
    data = path.read_bytes()[: place(path, b"sectors")]
    at = len(data) + 76
    places = [at, at + len(kept[0]), at + len(kept[0]) + len(kept[1])]
    data += section(b"sectors", len(data), b"".join(kept))
    data += section(b"table", len(data), table([one | 1 << 31 for one in places]))
    path.write_bytes(data + section(b"done", len(data), last=True))
    assert salvaged(open_image(path)) == [None, bytes(CHUNK), None]


def test_what_is_not_an_image_at_all_is_refused_in_a_sentence(tmp_path: Path):
    path = tmp_path / "set.E01"
    path.write_bytes(MARK + b"\x01\x01\x00\x00\x00")
    with pytest.raises(SourceUnreadable, match="does not say how large"):
        EwfDevice(path)
    path.write_bytes(MARK)
    with pytest.raises(SourceUnreadable, match="was cut"):
        EwfDevice(path)
