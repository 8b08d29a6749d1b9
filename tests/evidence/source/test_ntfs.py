"""NTFS as ntfs-3g writes it: live and deleted files, streams, links, holes, compression, and tables in pieces."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from amparo.evidence.source.ntfs import filetime
from tests.evidence.source.disks import (
    Raw,
    Seen,
    assert_times_agree,
    by_path,
    contents,
    fls,
    need,
    noise,
    ntfs,
    problems,
    run,
    seen,
)  # fmt: skip

TEXT = b"".join(b"line %d of a text that packs well\n" % number for number in range(20_000))
TICKS = 116_444_736_000_000_000  # of 1970
LONG = "ñ" * 255


def write_sparse(path: Path) -> bytes:
    with path.open("wb") as file:
        file.write(noise("head", 10_000))
        file.seek(1_000_000)
        file.write(noise("tail", 7_777))
    return path.read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """The image, the live contents by path, and the deleted ones."""
    image = ntfs.make(tmp_path_factory.mktemp("ntfs") / "disk", 24 << 20)
    live: dict[str, bytes] = {
        "plain.bin": noise("plain", 50_000), "resident.txt": b"resident", "empty": b"", "a/b/c/deep.bin": noise("deep", 5000),
        "plain.bin:stream": noise("stream", 100), "plain.bin:long stream": noise("long stream", 70_000),
        "new\nline and \\ and é": b"odd", LONG: b"long", "packed/text.txt": TEXT, "packed/noise.bin": noise("packed", 300_000),
        "packed/short.txt": b"ab" * 3000, "Fotografias de Férias/nós.txt": b"n",
    }  # fmt: skip
    gone = {f"gone/{number}.bin": noise(number, 200 if number % 3 else 30_000 + number) for number in range(30)}
    gone |= {
        "dropped/inside/one.bin": noise("one", 20_000),
        "dropped/two.txt": b"two",
        "loose.bin": noise("loose", 9999),
    }
    with ntfs.mounted(image) as root:
        (root / "packed").mkdir()
        ntfs.attributes(root / "packed", ntfs.COMPRESSED)
        for path, content in (live | gone).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        live["sparse.bin"] = write_sparse(root / "sparse.bin")
        (root / "a:note on a directory").write_bytes(b"a stream of a directory")
        live["a:note on a directory"] = b"a stream of a directory"
        for number in range(300):
            os.link(root / "resident.txt", root / f"link {number}")
            live[f"link {number}"] = b"resident"
        ntfs.times(root / "plain.bin", TICKS + 10_000_005, TICKS + 20_000_000, TICKS + 30_000_000, TICKS + 40_000_000)
        for path in gone:
            (root / path).unlink()
        for path in ("gone", "dropped/inside", "dropped"):
            (root / path).rmdir()
    return image, live, gone


@pytest.fixture(scope="module")
def found(written: tuple[Path, dict[str, bytes], dict[str, bytes]]) -> list[Seen]:
    return seen(written[0])


def test_every_live_file_stream_link_and_hole_is_read_byte_for_byte(written, found: list[Seen]):
    ours = {path: content for path, content in contents(found, "live").items() if not path.startswith("$")}
    assert ours == written[1]


def test_every_deleted_file_is_read_byte_for_byte_under_its_whole_path(written, found: list[Seen]):
    assert contents(found, "deleted") == written[2]


def test_the_listing_agrees_with_fls_in_paths_sizes_and_times(written, found: list[Seen]):
    told = fls(written[0])
    ours = by_path(found, "live")
    # fls writes the line feed as ^, and the stream of a directory as a directory.
    assert set(ours) - set(told) == {"a:note on a directory", "new\nline and \\ and é"}
    for path, one in ours.items():
        if path in told:
            assert one.entry.size == told[path].size, path
            assert_times_agree(one.entry, told[path])


def test_times_keep_their_fractions(found: list[Seen]):
    entry = by_path(found, "live")["plain.bin"].entry
    assert (entry.created, entry.modified) == ("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z")
    assert entry.accessed == "1970-01-01T00:00:03Z"
    assert filetime(TICKS + 15) == "1970-01-01T00:00:00.000001Z"
    assert filetime(0) is None and filetime(2**63 - 1) is None


def test_extents_lead_to_the_very_bytes_on_the_disk(written, found: list[Seen]):
    one = by_path(found, "live")["plain.bin"]
    with written[0].open("rb") as disk:
        told = b"".join((disk.seek(at), disk.read(length))[1] for at, length in one.entry.runs)
    assert told == one.content


def test_free_space_is_what_blkls_calls_unallocated(written):
    need("blkls", "fsstat")
    device = Raw(written[0])
    system = volumes.open_filesystem(device, volumes.NTFS)
    ours = b"".join(device.read(offset, length) for offset, length in system.allocation().free())
    assert hashlib.sha256(ours).digest() == hashlib.sha256(run("blkls", "-A", written[0])).digest()


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """A volume so fragmented that files, and the table itself, need attribute lists."""
    image = ntfs.make(tmp_path_factory.mktemp("ntfs") / "disk", 32 << 20)
    live = {"pieces.bin": noise("pieces", 1_500_000), "pieces.bin:more": noise("more", 300_000)}
    live["many names.bin"] = noise("names", 5000)
    gone = {"gone.bin": noise("gone", 1_200_000)}
    with ntfs.mounted(image) as root:
        (root / "packed").mkdir()
        ntfs.attributes(root / "packed", ntfs.COMPRESSED)
        (root / "packed/pieces.txt").write_bytes(TEXT)  # ntfs-3g packs only where it finds room in one piece
        (root / "packed/pieces.txt:more").write_bytes(TEXT[:30_000])
    ntfs.fragment(image)
    with ntfs.mounted(image) as root:
        for path, content in (live | gone).items():
            (root / path).write_bytes(content)
        for number in range(1000):
            os.link(root / "many names.bin", root / f"link {number}")
            live[f"link {number}"] = live["many names.bin"]
        live["packed/pieces.txt"] = TEXT
        live["packed/pieces.txt:more"] = TEXT[:30_000]
        for number in range(40):
            os.link(root / "packed/pieces.txt", root / f"packed/link {number}")
            live[f"packed/link {number}"] = TEXT
            live[f"packed/link {number}:more"] = TEXT[:30_000]
        (root / "gone.bin").unlink()
    return image, live, gone


def test_files_in_many_pieces_and_with_many_names_are_read_whole(scattered):
    image, live, gone = scattered
    found = seen(image)
    paths = by_path(found, "live")
    assert len(paths["pieces.bin"].entry.runs) == 367, "the file was meant to be in single clusters"
    assert len(paths["$MFT"].entry.runs) > 2
    ours = {p: one.content for p, one in paths.items() if not p.startswith(("$", "fill/"))}
    assert ours.keys() == live.keys()
    assert [path for path in ours if ours[path] != live[path]] == []
    # ntfs-3g wipes a deleted file's name where it lay in a second record; the content is still all there.
    assert gone["gone.bin"] in [one.content for one in found if one.entry.state == "orphan"]


def test_a_deleted_file_whose_directory_was_reused_is_an_orphan_and_one_overwritten_says_so(tmp_path: Path):
    image = ntfs.make(tmp_path / "disk", 12 << 20)
    with ntfs.mounted(image) as root:
        (root / "old").mkdir()
        (root / "old/orphan.bin").write_bytes(noise("orphan", 40_000))
        (root / "old/lost.bin").write_bytes(noise("lost", 3_000_000))
        for name in ("orphan.bin", "lost.bin"):
            (root / "old" / name).unlink()
        (root / "old").rmdir()
    with ntfs.mounted(image) as root:
        (root / "new").mkdir()  # takes the lowest free record, which was the old directory's
    found = by_path(seen(image), "orphan", "deleted")
    assert found["$OrphanFiles/orphan.bin"].content == noise("orphan", 40_000)
    taken = found["$OrphanFiles/lost.bin"].entry
    assert taken.problem is None or "given to other files" in taken.problem
    with ntfs.mounted(image) as root:
        (root / "all of it").write_bytes(bytes(os.statvfs(root).f_bavail * 4096 - (1 << 19)))
    again = by_path(seen(image), "orphan", "deleted")
    assert "given to other files" in (again["$OrphanFiles/lost.bin"].entry.problem or "")


def test_windows_own_compression_is_named_and_its_stored_form_kept(tmp_path: Path):
    image = ntfs.make(tmp_path / "disk", 12 << 20)
    with ntfs.mounted(image) as root:
        (root / "program.dll").write_bytes(b"")
        (root / "program.dll:WofCompressedData").write_bytes(noise("xpress", 5000))
        reparse = struct.pack("<IHHIIII", 0x80000017, 16, 0, 1, 2, 1, 0)
        os.setxattr(root / "program.dll", "system.ntfs_reparse_data", reparse)
    found = by_path(seen(image), "live")
    assert "Compressed by Windows itself" in (found["program.dll"].entry.problem or "")
    assert found["program.dll:WofCompressedData"].content == noise("xpress", 5000)


def test_a_torn_record_is_reported_and_its_neighbours_kept(tmp_path: Path):
    image = ntfs.make(tmp_path / "disk", 12 << 20)
    with ntfs.mounted(image) as root:
        for number in range(20):
            (root / f"{number}.txt").write_bytes(b"text %d" % number)
        torn = ntfs.number(root / "7.txt")
    place = dict(ntfs.records(image))[torn]
    with image.open("r+b") as disk:
        disk.seek(place + 510)
        disk.write(b"\xee\xee")
    ours = {path for path in by_path(seen(image), "live") if path.endswith(".txt")}
    assert ours == {f"{number}.txt" for number in range(20)} - {"7.txt"}
    assert problems(image) == [f"Record {torn} of the master file table is torn: its sectors do not belong together."]


def test_a_volume_without_its_boot_sector_is_read_by_the_copy_and_without_its_table_by_the_mirror(tmp_path: Path):
    image = ntfs.make(tmp_path / "disk", 12 << 20)
    with ntfs.mounted(image) as root:
        (root / "kept.txt").write_bytes(b"kept")
    mft = ntfs.records(image)[0][1]
    with image.open("r+b") as disk:
        disk.write(bytes(512))
        disk.seek(mft)
        disk.write(bytes(1024))
    assert volumes.recognise(Raw(image)) == volumes.NTFS
    assert contents(seen(image), "live")["kept.txt"] == b"kept"


@pytest.mark.parametrize("cluster", [512, 1024, 65536])
def test_any_cluster_size(tmp_path: Path, cluster: int):
    image = ntfs.make(tmp_path / "disk", 24 << 20, "-c", str(cluster))
    with ntfs.mounted(image) as root:
        (root / "live.bin").write_bytes(noise("live", 100_000))
        (root / "gone.bin").write_bytes(noise("gone", 100_000))
        (root / "gone.bin").unlink()
    found = contents(seen(image))
    assert (found["live.bin"], found["gone.bin"]) == (noise("live", 100_000), noise("gone", 100_000))
