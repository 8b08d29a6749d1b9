"""A folder searched in place: nothing followed, nothing changed, odd names kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from amparo.errors import ReadFailed
from amparo.evidence.source import folder
from tests.evidence.source.disks import noise


def listed(root: Path) -> dict[str, bytes]:
    return {
        entry.path: entry.inline if entry.inline is not None else b"".join(folder.pieces(root, entry.address))
        for entry in folder.entries(root, [])
    }


def test_every_file_is_read_byte_for_byte_whatever_its_name(tmp_path: Path):
    names = {
        b"plain": b"1",
        b"new\nline": b"2",
        b"not \xff text": b"3",
        b"n" * 255: b"4",
        b"back\\slash": b"5",
        b"..x": b"6",
    }
    (tmp_path / "a/b").mkdir(parents=True)
    for name, content in names.items():
        Path(os.fsdecode(os.fsencode(tmp_path / "a/b") + b"/" + name)).write_bytes(content)
    (tmp_path / "large").write_bytes(noise("large", 3_000_000))
    assert listed(tmp_path) == {"large": noise("large", 3_000_000)} | {
        "a/b/" + name.decode("utf-8", "backslashreplace"): content for name, content in names.items()
    }


def test_links_are_listed_and_never_followed(tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (tmp_path / "root/file link").symlink_to("../outside/secret")
    (tmp_path / "root/folder link").symlink_to("../outside")
    (tmp_path / "root/circle").symlink_to(".")
    found = listed(tmp_path / "root")
    assert found == {"file link": b"../outside/secret", "folder link": b"../outside", "circle": b"."}


def test_a_file_that_became_a_link_since_it_was_listed_is_not_followed(tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root/file").write_bytes(b"file")
    entry = next(folder.entries(tmp_path / "root", []))
    (tmp_path / "root/file").unlink()
    (tmp_path / "root/file").symlink_to("../secret")
    with pytest.raises(ReadFailed, match="cannot be opened"):
        list(folder.pieces(tmp_path / "root", entry.address))


def test_a_directory_that_became_a_link_since_it_was_listed_is_not_followed(tmp_path: Path):
    (tmp_path / "source" / "a" / "b").mkdir(parents=True)
    (tmp_path / "source" / "a" / "b" / "file").write_bytes(b"inside")
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "b" / "file").write_bytes(b"outside")
    [entry] = folder.entries(tmp_path / "source", [])
    assert b"".join(folder.pieces(tmp_path / "source", entry.address)) == b"inside"
    (tmp_path / "source" / "a").rename(tmp_path / "was")
    (tmp_path / "source" / "a").symlink_to(tmp_path / "other")
    with pytest.raises(ReadFailed):
        list(folder.pieces(tmp_path / "source", entry.address))
    with pytest.raises(ReadFailed):
        folder.seekable(tmp_path / "source", entry.address)


def test_a_directory_that_becomes_a_link_while_others_are_listed_is_not_followed(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "file").write_bytes(b"inside")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_bytes(b"outside")
    problems: list[str] = []
    listing = folder.entries(tmp_path / "source", problems)
    assert next(listing).path == "a/file"
    (tmp_path / "source" / "b").rename(tmp_path / "was")
    (tmp_path / "source" / "b").symlink_to(tmp_path / "other")
    assert [entry.path for entry in listing] == [] and "“b” cannot be read" in problems[0]


def test_a_folder_that_the_examiner_gives_may_be_a_link(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"inside")
    (tmp_path / "link").symlink_to("source")
    [entry] = folder.entries(tmp_path / "link", [])
    assert b"".join(folder.pieces(tmp_path / "link", entry.address)) == b"inside"


def test_directories_nested_without_end_are_left_at_some_depth(tmp_path: Path):
    at, name = os.open(tmp_path, os.O_RDONLY), "d" * 100
    for _ in range(50):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    problems: list[str] = []
    assert list(folder.entries(tmp_path, problems)) == []
    assert len(problems) == 1 and "File name too long" in problems[0]
    subprocess.run(["rm", "-rf", tmp_path / name], check=True)  # Python's own stumbles over such a depth


def test_a_file_that_became_a_pipe_since_it_was_listed_does_not_hang(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"file")
    entry = next(folder.entries(tmp_path, []))
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    with pytest.raises(ReadFailed, match="no longer a regular file"):
        list(folder.pieces(tmp_path, entry.address))


def test_pipes_and_sockets_are_not_listed(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"f")
    assert listed(tmp_path) == {"file": b"f"}


def test_reading_leaves_the_access_time_alone(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"file")
    os.utime(tmp_path / "file", (1_000_000_000, 1_600_000_000))
    assert listed(tmp_path) == {"file": b"file"}
    info = (tmp_path / "file").stat()
    assert (info.st_atime, info.st_mtime) == (1_000_000_000, 1_600_000_000)


def test_times_are_utc(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"file")
    os.utime(tmp_path / "file", ns=(1_700_000_000_123_456_789, 1_600_000_000_000_000_000))
    entry = next(folder.entries(tmp_path, []))
    assert (entry.accessed, entry.modified) == ("2023-11-14T22:13:20.123456Z", "2020-09-13T12:26:40Z")


def test_order_is_that_of_the_names(tmp_path: Path):
    for name in ("b", "a", "c/x", "a.d/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [entry.path for entry in folder.entries(tmp_path, [])] == ["a", "b", "a.d/y", "c/x"]
