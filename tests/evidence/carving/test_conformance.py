"""Pictures of images made by mkfs and mkntfs, found without asking the file system."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from amparo.evidence.carving import carve
from tests.evidence.carving.specimens import Memory

IMAGES = Path(__file__).parents[4] / "shared" / "fixtures" / "small_images"


@pytest.mark.conformance
@pytest.mark.skipif(not IMAGES.is_dir(), reason=f"{IMAGES} is not part of this repository")
@pytest.mark.parametrize("name", ["small_ext4.raw.gz", "small_fat32.raw.gz", "small_ntfs.raw.gz"])
def test_every_picture_deleted_or_live_is_found_by_its_digest_and_none_invented(name: str):
    content = gzip.decompress((IMAGES / name).read_bytes())
    truth = json.loads((IMAGES / "truth.json").read_text())["files"]
    pictures = {one["sha256"]: one["deleted"] for one in truth if one["path"].endswith(".jpg")}
    assert sum(pictures.values()) == 12
    results = list(carve(Memory(content), [(0, len(content))]))
    found = {hashlib.sha256(content[one.offset : one.offset + one.length]).hexdigest() for one in results}
    assert found == set(pictures)
