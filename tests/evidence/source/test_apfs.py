"""APFS: every file byte for byte, in pieces, compressed, linked or encrypted, on volumes made here and on one that macOS wrote."""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from amparo.evidence.source.entry import SPARSE
from tests.evidence.search.running import digests, examined
from tests.evidence.search.running import problems as told_problems
from tests.evidence.source.disks import Raw, apfs, by_path, contents, need, noise, problems, run, seen
from tests.evidence.source.disks.apfs import BLOCK, File

PASSWORD = "only for the tests"
HOLED = noise("before", 9000).ljust(11 * BLOCK, b"\0") + noise("after", 5000)
TIMES = tuple(datetime(2026, month, 7, 11, 22, 33, 456789, tzinfo=UTC) for month in (1, 2, 3, 4))
FILES = {
    "plain.bin": File(noise("plain", 50_000), times=TIMES),
    "empty": File(),
    "a/b/c/deep.bin": File(noise("deep", 5000)),
    "Férias/ação à noite.txt": File(b"n"),
    "\U0001f4f7 fotografias/一.txt": File(b"c"),
    "n" * 255: File(b"long"),
    "pieces.bin": File(noise("pieces", 200_000), pieces=23),
    "a hole within.bin": File(HOLED, sparse=True),
    "a hole before.bin": File(bytes(2 * BLOCK) + b"end", sparse=True),
    "only a hole.bin": File(bytes(3 * BLOCK - 5), sparse=True),
    "link": File(b"a/b/c/deep.bin", symbolic=True),
    "both.doc": File(b"data", resource=noise("resource", 90_000)),
} | {f"many/a name of some length {number:03}": File() for number in range(300)}
FORKS = {"both.doc:rsrc": noise("resource", 90_000)}
EXPECTED = {path: file.content for path, file in FILES.items()} | FORKS
LOCKED = "The APFS volume “Tiny” is encrypted: give its password with --key."


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apfs.make(tmp_path_factory.mktemp("apfs") / "disk", FILES)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apfs.make(tmp_path_factory.mktemp("apfs") / "locked", FILES, password=PASSWORD)


def test_apfsck_finds_nothing_amiss_with_what_the_tests_write(image: Path):
    need("apfsck")
    assert run("apfsck", "-cuw", image) == b""


def test_every_file_link_and_fork_is_read_byte_for_byte(image: Path):
    assert volumes.recognise(Raw(image)) == volumes.APFS
    assert contents(seen(image)) == EXPECTED
    assert problems(image) == []


def test_names_of_which_only_the_case_differs_are_two_files_where_case_counts(tmp_path: Path):
    apfs.make(tmp_path / "disk", {"Foto.txt": File(b"one"), "foto.txt": File(b"two")}, "-s")
    assert contents(seen(tmp_path / "disk")) == {"Foto.txt": b"one", "foto.txt": b"two"}


def test_sizes_are_those_of_the_files(image: Path):
    found = by_path(seen(image))
    assert {path: one.entry.size for path, one in found.items()} == {p: len(c) for p, c in EXPECTED.items()}


def test_times_are_those_of_the_inode_and_none_stands_for_another(image: Path):
    entry = by_path(seen(image))["plain.bin"].entry
    told = (entry.created, entry.modified, entry.changed, entry.accessed)
    assert told == tuple(f"2026-0{month}-07T11:22:33.456789Z" for month in (1, 2, 3, 4))


def test_the_sleuth_kit_tells_the_same_times_and_content(image: Path):
    need("pstat", "istat", "icat")
    place = run("pstat", "-P", "apfs", image).decode().partition("APSB Block Number:")[2].split()[0]
    entry = by_path(seen(image))["plain.bin"].entry
    number = entry.address.partition("-")[2]
    assert run("icat", "-P", "apfs", "-B", place, image, number) == EXPECTED["plain.bin"]
    lines = run("istat", "-z", "UTC", "-P", "apfs", "-B", place, image, number).decode().splitlines()
    told = {name: value.split(".")[0].strip() for name, _, value in (line.partition(":") for line in lines)}
    names = ("Created", "Content Modified", "Attributes Modified", "Accessed")
    ours = (entry.created, entry.modified, entry.changed, entry.accessed)
    assert tuple(told[name] for name in names) == tuple((when or "")[:19].replace("T", " ") for when in ours)


def test_extents_lead_to_the_very_bytes_on_the_disk(image: Path):
    entry = by_path(seen(image))["pieces.bin"].entry
    assert entry.runs and len(entry.runs) == 17  # 49 blocks, three to an extent
    whole = Raw(image)
    assert b"".join(whole.read(at, length) for at, length in entry.runs) == FILES["pieces.bin"].content


def test_a_hole_is_told_as_one_and_not_as_the_first_bytes_of_the_container(image: Path):
    found = by_path(seen(image))
    runs = found["a hole within.bin"].entry.runs
    assert runs and [length for at, length in runs if at == SPARSE] == [8 * BLOCK]
    assert found["only a hole.bin"].entry.runs == [(SPARSE, 3 * BLOCK - 5)]


def test_files_that_are_stored_compressed_are_read_as_they_were(tmp_path: Path):
    files = {
        "3.txt": File(b"text " * 700, packed=3),
        "4.txt": File(b"a line of text " * 20_000 + noise("4", 70_000), packed=4),
        "7.txt": File(noise("7", 900), packed=7),
    }
    found = contents(seen(apfs.make(tmp_path / "disk", files)))
    assert {path: found[path] for path in files} == {path: file.content for path, file in files.items()}


def test_no_file_is_missing_in_silence_where_a_node_of_the_tree_is_lost(tmp_path: Path):
    files = {f"folder {number % 7}/file {number}": File(b"%d" % number) for number in range(60)}
    spoilt = apfs.make(tmp_path / "disk", files)
    whole = Raw(spoilt)
    nodes = [at for at in range(21_000, 21_400) if whole.read(at * BLOCK + 24, 8) == struct.pack("<II", 3, 0xE)]
    assert len(nodes) > 4
    for at in nodes:
        before = whole.read(at * BLOCK, BLOCK)
        with spoilt.open("r+b") as file:
            file.seek(at * BLOCK)
            file.write(bytes(BLOCK))
            file.flush()
            assert len(seen(spoilt)) < len(files) and problems(spoilt)
            file.seek(at * BLOCK)
            file.write(before)
    assert contents(seen(spoilt)) == {path: file.content for path, file in files.items()}


def test_free_space_holds_no_block_of_a_file(image: Path, locked: Path):
    for path, keys in ((image, ()), (locked, (PASSWORD,))):
        system = volumes.open_filesystem(Raw(path), volumes.APFS, keys)
        assert len(list(system.entries())) == len(EXPECTED)
        plain = by_path(seen(image))["plain.bin"].entry.runs
        assert plain and system.allocation().any_in_use(plain)
        assert not system.allocation().any_in_use([(apfs.SIZE - BLOCK, BLOCK)])


def test_an_encrypted_volume_without_its_password_is_a_problem_and_never_silence(locked: Path, tmp_path: Path):
    for number, keys in enumerate([(), ("another",)]):
        _, package = examined(locked, tmp_path, f"package {number}", keys=keys, carve=False)
        assert told_problems(package) == [("list", None, LOCKED)]
        assert digests(package) == {}


def test_a_volume_that_its_password_opens_is_read_in_clear(locked: Path, tmp_path: Path):
    _, package = examined(locked, tmp_path, keys=("another", PASSWORD), carve=False)
    assert told_problems(package) == []
    assert digests(package) == {path: hashlib.sha256(content).hexdigest() for path, content in EXPECTED.items()}


def test_an_encrypted_volume_whose_keys_are_lost_is_a_problem(tmp_path: Path):
    for number, whose in enumerate(("the container's", "the volume's")):
        spoilt = apfs.make(tmp_path / whose, {"a": File(b"a")}, password=PASSWORD)
        bag = struct.unpack("<Q", Raw(spoilt).read(1296, 8))[0]
        with spoilt.open("r+b") as file:
            file.seek((bag + 2 * number) * BLOCK)
            file.write(bytes(BLOCK))
        _, package = examined(spoilt, tmp_path, f"package {number}", keys=(PASSWORD,), carve=False)
        assert told_problems(package) and digests(package) == {}, whose


# An image that macOS wrote ----------------------------------------------------------------------------------------------

IMAGE = Path(__file__).parents[4] / "shared" / "fixtures" / "dfvfs" / "apfs.raw"


@pytest.fixture
def from_macos() -> Path:
    if not IMAGE.exists():
        pytest.skip(f"{IMAGE} is not part of this repository")
    return IMAGE


@pytest.mark.conformance
def test_the_files_of_the_container_are_listed_with_their_content(from_macos: Path):
    found = by_path(seen(from_macos))
    assert {path for path, one in found.items() if one.entry.size} == {
        "passwords.txt", "a_link", ".fseventsd/fseventsd-uuid", ".fseventsd/000000001714941a",
        ".fseventsd/000000001714941b", "a_directory/another_file", "a_directory/a_file", "a_directory/a_resourcefork:rsrc",
    }  # fmt: skip
    assert all(one.content is not None and len(one.content) == one.entry.size for one in found.values())
    assert found["a_link"].content == b"a_directory/another_file"
    raw, entry = from_macos.read_bytes(), found["passwords.txt"].entry
    assert b"".join(raw[at : at + length] for at, length in entry.runs or []) == found["passwords.txt"].content
    assert problems(from_macos) == []


@pytest.mark.conformance
def test_a_file_of_the_container_was_created_before_it_was_written_to(from_macos: Path):
    entry = by_path(seen(from_macos))["a_directory/a_file"].entry
    assert (entry.created, entry.modified, entry.changed, entry.accessed) == tuple(
        f"2022-01-14T07:19:41.{part}Z" for part in ("197370", "201997", "211025", "197370")
    )


@pytest.mark.conformance
def test_free_space_of_the_container_holds_no_block_of_a_file(from_macos: Path):
    system = volumes.open_filesystem(Raw(from_macos), volumes.APFS)
    runs = [run for entry in system.entries() for run in entry.runs or []]
    allocation = system.allocation()
    assert runs and all(allocation.any_in_use([run]) for run in runs)
