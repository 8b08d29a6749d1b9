"""HFS+ and HFSX: every fork byte for byte, hard and symbolic links, compressed files, and what The Sleuth Kit tells of the same volume."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import (
    Raw,
    assert_times_agree,
    by_path,
    contents,
    fls,
    need,
    noise,
    problems,
    run,
    seen,
)
from tests.evidence.source.disks.hfs import BLOCK, NODE, File, Volume, decomposed, wrapped
from tests.evidence.source.test_filesystems_hostile import survived

TIMES = tuple(datetime(2026, month, 7, 11, 22, 33, tzinfo=UTC) for month in (1, 2, 3, 4))
FILES = {
    "plain.bin": noise("plain", 50_000), "empty": b"", "a/b/c/deep.bin": noise("deep", 5000),
    "n" * 255: b"long", "Férias/ação à noite.txt": b"n", "\U0001f4f7 fotografias/一.txt": b"c", "pieces.bin": noise("p", 200_000),
}  # fmt: skip
FILES |= {f"many/a name of some length {number:04}": b"%d" % number for number in range(700)}
GONE = noise("gone", 9000)
PACKED = {
    "3.txt": (3, b"text " * 700),
    "4.txt": (4, b"a line of text " * 20_000 + noise("4", 70_000)),
    "7.txt": (7, noise("7", 900)),
}


def build(case_sensitive: bool = False) -> tuple[bytes, int]:
    """The volume, and where the content of its deleted file begins in bytes."""
    volume = Volume(case_sensitive=case_sensitive)
    for path, content in FILES.items():
        volume.add(path, File(content, pieces=23 if path == "pieces.bin" else 1, times=TIMES))
    volume.add("both.doc", File(b"data", resource=noise("resource", 90_000), pieces=1))
    volume.add("link", File(b"a/b/c/deep.bin", symbolic=True))
    volume.add("other name", File(link_to="plain.bin"))
    for name, (kind, content) in PACKED.items():
        volume.add(f"packed/{name}", File(content, packed=kind))
    at = volume.add("gone", File(GONE, deleted=True))
    if case_sensitive:
        volume.add("PLAIN.BIN", File(b"another"))
    return volume.image(), at


EXPECTED = {decomposed(path): content for path, content in FILES.items()} | {
    "both.doc": b"data", "both.doc:rsrc": noise("resource", 90_000), "link": b"a/b/c/deep.bin", "other name": FILES["plain.bin"],
} | {f"packed/{name}": content for name, (_, content) in PACKED.items()}  # fmt: skip


@pytest.fixture(scope="module")
def image() -> bytes:
    return build()[0]


def test_every_fork_and_link_is_read_byte_for_byte(image: bytes):
    assert volumes.recognise(Raw(image)) == volumes.HFS
    assert contents(seen(Raw(image))) == EXPECTED
    assert problems(Raw(image)) == []


def test_names_of_which_only_the_case_differs_are_two_files_on_hfsx():
    image, _ = build(case_sensitive=True)
    assert image[1024:1026] == b"HX"
    assert contents(seen(Raw(image))) == EXPECTED | {"PLAIN.BIN": b"another"}


def test_times_are_those_of_the_catalog_and_of_the_file_that_a_hard_link_leads_to(image: bytes):
    found = by_path(seen(Raw(image)))
    for path in ("plain.bin", "other name", "a/b/c/deep.bin"):
        entry = found[path].entry
        told = (entry.created, entry.modified, entry.changed, entry.accessed)
        assert told == tuple(f"2026-0{month}-07T11:22:33Z" for month in (1, 2, 3, 4)), path


def test_the_listing_agrees_with_fls_and_the_content_with_icat(image: bytes, tmp_path: Path):
    need("icat")
    (tmp_path / "disk").write_bytes(image)
    told = {path: one for path, one in fls(tmp_path / "disk").items() if path[0] not in "$^"}
    found = {path: one for path, one in by_path(seen(Raw(image))).items() if not path.endswith(":rsrc")}
    # The Sleuth Kit lists the forks of a file under one name, and the same one twice.
    assert {path.removesuffix(":rsrc") for path in told} == set(found)
    for path, one in found.items():
        assert_times_agree(one.entry, told[path])
        assert one.entry.size == told[path].size, path
    for path in ("plain.bin", "pieces.bin", "packed/3.txt", "packed/4.txt", "packed/7.txt", "other name"):
        assert run("icat", tmp_path / "disk", told[path].address.split("-")[0]) == EXPECTED[path], path


def test_a_volume_within_an_hfs_volume_is_told_in_the_bytes_of_the_whole(image: bytes):
    outer = wrapped(image)
    found = by_path(seen(Raw(outer)))
    assert {path: one.content for path, one in found.items()} == EXPECTED
    runs = found["plain.bin"].entry.runs
    assert runs and outer[runs[0][0] : runs[0][0] + 100] == FILES["plain.bin"][:100]
    assert sum(length for _, length in volumes.open_filesystem(Raw(outer), volumes.HFS).allocation().free()) > 1 << 20


def test_the_map_of_free_blocks_is_the_volumes_own():
    image, gone = build()
    system = volumes.open_filesystem(Raw(image), volumes.HFS)
    allocation = system.allocation()
    assert not allocation.any_in_use([(gone, len(GONE))])
    assert all(allocation.any_in_use([run]) for entry in system.entries() for run in entry.runs or ())
    assert allocation.any_in_use([(0, BLOCK)]) and allocation.any_in_use([(len(image) - BLOCK, BLOCK)])


def test_the_copy_of_the_header_serves_where_the_header_is_lost(image: bytes):
    spoilt = image[:1024] + bytes(512) + image[1536:]
    assert [one.filesystem for one in volumes.survey(Raw(spoilt)).volumes] == [volumes.HFS]
    # LZVN is left to The Sleuth Kit, which knows of no copy.
    assert contents(seen(Raw(spoilt))) == EXPECTED | {"packed/7.txt": None}


def catalog(image: bytes) -> int:
    """Where the catalog begins, in bytes."""
    return struct.unpack_from(">I", image, 1024 + 272 + 16)[0] * BLOCK


def test_leaves_that_a_broken_chain_does_not_lead_to_are_read_all_the_same(image: bytes):
    raw = bytearray(image)
    raw[catalog(image) + 3 * NODE + 8] = 7  # the third node's kind
    found = contents(seen(Raw(bytes(raw))))
    assert len(EXPECTED) - 40 < len(found) < len(EXPECTED)
    assert set(found.items()) <= set(EXPECTED.items())
    assert problems(Raw(bytes(raw))) == ["Part of the catalog is damaged: files are missing."]


def test_a_file_whose_folder_is_lost_is_an_orphan_and_one_whose_folders_form_a_circle_too(image: bytes):
    raw = bytearray(image)
    # The folder a/b, which its key says lies in a, is made to lie in itself: as good as lost.
    name = "b".encode("utf-16-be")
    number = struct.unpack_from(">I", raw, (at := raw.index(struct.pack(">H", 1) + name + b"\0\1")) + 4 + 8)[0]
    struct.pack_into(">I", raw, at - 4, number)
    found = by_path(seen(Raw(bytes(raw))))
    assert found["a/b/c/deep.bin".replace("a/b/c", f"$OrphanFiles/folder-{number + 1}")].entry.state == "orphan"


def test_a_way_of_compressing_that_is_not_known_is_said():
    volume = Volume(size=1 << 20)
    volume.add("new.bin", File(b"x" * 500, packed=11))
    entry = by_path(seen(Raw(volume.image())))["new.bin"].entry
    assert (entry.size, entry.problem) == (500, "It is stored compressed in a way that is not known here.")


def test_a_journal_that_was_not_played_back_is_said():
    volume = Volume(size=1 << 20)
    volume.add("a", File(b"a"))
    raw = bytearray(volume.image())
    struct.pack_into(">I", raw, 1024 + 4, 1 << 13)
    struct.pack_into(">I", raw, 1024 + 12, 200)
    struct.pack_into(">QQ", raw, 200 * BLOCK + 36, 201 * BLOCK, 8 * BLOCK)
    for start, said in ((512, []), (1024, [
        "The journal holds changes that were not yet made to the volume: files are told as before them."])):  # fmt: skip
        struct.pack_into("<4sIQQ", raw, 201 * BLOCK, b"xLNJ", 0x12345678, start, 512)
        assert problems(Raw(bytes(raw))) == said
        assert contents(seen(Raw(bytes(raw)))) == {"a": b"a"}


def test_a_volume_that_is_damaged_or_older_is_refused_in_words(image: bytes):
    spoilt = bytearray(image)
    spoilt[catalog(image) : catalog(image) + NODE] = bytes(NODE)
    old = bytearray(wrapped(image))
    old[1024 + 124 : 1024 + 126] = bytes(2)
    for raw, said in ((spoilt, "catalog is damaged beyond use"), (old, "of before 1998")):
        with pytest.raises(Exception, match=said):
            volumes.open_filesystem(Raw(bytes(raw)), volumes.HFS)


def test_flipped_bits_neither_crash_nor_hang_nor_yield_without_end(image: bytes, tmp_path: Path):
    chance = random.Random("hfs")
    (tmp_path / "disk").write_bytes(image)
    content = {
        at // 512
        for one in seen(Raw(image))
        for start, size in one.entry.runs or ()
        for at in range(start, start + size, 512)
    }
    sectors = [n for n in range(len(image) // 512) if n not in content and any(image[n * 512 : n * 512 + 512])]
    spoilt = [
        {chance.choice(sectors) * 512 + chance.randrange(512): 1 << chance.randrange(8) for _ in range(flips)}
        for flips in (1, 2, 8, 60, 400) * 12
    ]
    spoilt += [{1024 + chance.randrange(512): chance.randrange(1, 256) for _ in range(3)} for _ in range(40)]
    spoilt += [{catalog(image) + chance.randrange(200): chance.randrange(1, 256) for _ in range(2)} for _ in range(20)]
    assert survived(tmp_path / "disk", volumes.HFS, spoilt) == 0
