"""Disks of other projects: the same content in every format that it was given in."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from amparo.evidence.source.image import image_format, open_image
from tests.evidence.source.images import whole

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
given = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not part of this repository")


@pytest.mark.conformance
@given
@pytest.mark.parametrize("form", ["E01", "qcow2", "vhd", "vmdk"])
def test_the_same_ntfs_in_every_format(form: str):
    content = gzip.decompress((FIXTURES / "small_images" / "small_ntfs.raw.gz").read_bytes())
    device = open_image(FIXTURES / "small_images" / f"small_ntfs.{form}")
    found = whole(device)
    assert found[: len(content)] == content
    assert not any(found[len(content) :]) and len(found) - len(content) < 1 << 20  # VHD rounds up to a cylinder


@pytest.mark.conformance
@given
@pytest.mark.parametrize("form", ["E01", "qcow2", "vhd", "vmdk"])
def test_the_same_ext2_in_every_format(form: str):
    found = whole(open_image(FIXTURES / "dfvfs" / f"ext2.{form}"))
    assert hashlib.md5(found[: 4 << 20]).hexdigest() == "196066add11fb71c4c49cf1bb50d6d24"
    assert not any(found[4 << 20 :])


@pytest.mark.conformance
@given
def test_the_sleuth_kits_e01_is_its_raw_disk_and_says_so_itself():
    device = open_image(FIXTURES / "sleuthkit" / "image.E01")
    content = (FIXTURES / "sleuthkit" / "image.dd").read_bytes()
    assert whole(device) == content
    assert device.stored_digests["md5"] == hashlib.md5(content).hexdigest()
    assert image_format(FIXTURES / "dfvfs" / "apfs.raw") == "raw"
