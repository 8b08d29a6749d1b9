"""ISO 9660, plain, with Joliet, with Rock Ridge, and with a file in several extents."""

from __future__ import annotations

from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, by_path, contents, ext, iso, noise, problems, seen

FILES = {
    "plain.bin": noise("plain", 50_000), "empty": b"", "a/b/deep.bin": noise("deep", 5000), "Férias/nós.txt": b"n",
    "a name that is longer than ISO 9660 allows.jpg": noise("long", 3000),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ext.tree(tmp_path_factory.mktemp("iso") / "tree", FILES)


@pytest.mark.parametrize("options", [("-J",), ("-J", "-R")], ids=" ".join)
def test_files_are_read_byte_for_byte_under_their_long_names(folder: Path, tmp_path: Path, options: tuple[str, ...]):
    image = iso.make(tmp_path / "disk", folder, *options)
    assert volumes.recognise(Raw(image)) == volumes.ISO
    found = contents(seen(image), "live")
    assert found == FILES
    assert problems(image) == []


@pytest.mark.parametrize("option", ["-l", "-R"])
def test_without_joliet_the_contents_are_the_same_under_short_names(folder: Path, tmp_path: Path, option: str):
    # The Sleuth Kit does not take Rock Ridge's names from what genisoimage writes.
    image = iso.make(tmp_path / "disk", folder, option)
    found = contents(seen(image), "live")
    assert len(found) == len(FILES) and set(found.values()) == set(FILES.values())


def test_times_and_extents(folder: Path, tmp_path: Path):
    image = iso.make(tmp_path / "disk", folder, "-J")
    one = by_path(seen(image))["plain.bin"]
    assert one.entry.created == "2023-11-14T22:13:20Z"  # ISO 9660 keeps one time, that of recording
    raw = image.read_bytes()
    assert b"".join(raw[at : at + length] for at, length in one.entry.runs or []) == FILES["plain.bin"]
