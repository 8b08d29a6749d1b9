"""APFS. No tool on Linux writes it, so these are conformance tests, and bit flips of the one image at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from tests.evidence.source.disks import Raw, by_path, problems, seen

IMAGE = Path(__file__).parents[4] / "shared" / "fixtures" / "dfvfs" / "apfs.raw"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not IMAGE.exists(), reason=f"{IMAGE} is not part of this repository"),
]


def test_the_files_of_the_container_are_listed_with_their_content_and_times():
    found = by_path(seen(IMAGE))
    assert {path for path, one in found.items() if one.entry.size} == {
        "passwords.txt", "a_link", ".fseventsd/fseventsd-uuid", ".fseventsd/000000001714941a",
        ".fseventsd/000000001714941b", "a_directory/another_file", "a_directory/a_file", "a_directory/a_resourcefork:rsrc",
    }  # fmt: skip
    assert all(one.content is not None and len(one.content) == one.entry.size for one in found.values())
    assert found["a_link"].content == b"a_directory/another_file"
    entry = found["passwords.txt"].entry
    assert entry.created and entry.created.startswith("20") and entry.runs
    assert problems(IMAGE) == []


def test_extents_lead_to_the_very_bytes_on_the_disk():
    one = by_path(seen(IMAGE))["passwords.txt"]
    raw = IMAGE.read_bytes()
    assert b"".join(raw[at : at + length] for at, length in one.entry.runs or []) == one.content


def test_free_space_holds_no_block_of_a_file():
    system = volumes.open_filesystem(Raw(IMAGE), volumes.APFS)
    runs = [run for entry in system.entries() for run in entry.runs or []]
    allocation = system.allocation()
    assert runs and all(allocation.any_in_use([run]) for run in runs)
