"""Images made by others: every one opens, and what is listed agrees with fls, with fiwalk, and with the list of what was put in."""

from __future__ import annotations

import gzip
import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from amparo.evidence.source import volumes
from amparo.evidence.source.device import Device
from amparo.evidence.source.image import open_image
from tests.evidence.source.disks import Raw, Seen, by_path, need, problems, run, seen

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
TREE = {"passwords.txt", "a_link", "a_directory/a_file", "a_directory/another_file"}

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not part of this repository"),
]


def only_volume(device: Device) -> volumes.Volume:
    survey = volumes.survey(device)
    assert survey.problems == [] and len(survey.volumes) == 1
    return survey.volumes[0]


def agrees_with_truth(device: Device) -> dict[str, Seen]:
    kind = only_volume(device).filesystem
    truth = json.loads((FIXTURES / "small_images/truth.json").read_text())["files"]
    found = seen(device, kind)
    live = by_path(found, "live")
    for file in truth:
        if not file["deleted"]:
            one = live[file["path"]]
            assert (one.entry.size, one.sha256) == (file["size"], file["sha256"])
    named = {file["path"] for file in truth if not file["deleted"]}
    assert {path for path in live if path not in named and not path.startswith("$")} == set()
    deleted = {file["sha256"] for file in truth if file["deleted"]}
    recovered = {one.sha256 for one in found if one.entry.state == "deleted" and one.entry.problem is None}
    assert recovered == (set() if kind == volumes.EXT else deleted)
    assert len(deleted) == 24 and problems(device, kind) == []
    return live


@pytest.mark.parametrize("kind", ["ntfs", "ext4", "fat32"])
def test_every_live_file_and_every_deleted_one_that_the_file_system_remembers(tmp_path: Path, kind: str):
    raw = tmp_path / "disk"
    raw.write_bytes(gzip.decompress((FIXTURES / f"small_images/small_{kind}.raw.gz").read_bytes()))
    agrees_with_truth(Raw(raw))


@pytest.mark.parametrize("suffix", ["E01", "qcow2", "vhd", "vmdk"])
def test_the_container_makes_no_difference(suffix: str):
    agrees_with_truth(open_image(FIXTURES / f"small_images/small_ntfs.{suffix}"))


@pytest.mark.parametrize(
    "path", ["dfvfs/ext2.E01", "dfvfs/ext2.qcow2", "dfvfs/ext2.vhd", "dfvfs/ext2.vmdk", "dfvfs/apfs.raw"]
)
def test_dfvfs_images_hold_the_same_tree(path: str):
    device = open_image(FIXTURES / path)
    found = by_path(seen(device, only_volume(device).filesystem), "live")
    assert {place for place in found if place[0] != "." and "a_resourcefork" not in place} == TREE
    assert found["a_link"].content == b"a_directory/another_file"
    assert found["a_directory/another_file"].entry.size == 22
    assert (found["passwords.txt"].content or b"").startswith(b"place,user,password")
    assert len(found["passwords.txt"].content or b"") == 116


@pytest.mark.parametrize("path", ["sleuthkit/image.dd", "sleuthkit/image.E01"])
def test_the_sleuth_kits_image_agrees_with_fiwalk(path: str):
    device = open_image(FIXTURES / path)
    found = by_path(seen(device, only_volume(device).filesystem))
    told = 0
    for file in ET.parse(FIXTURES / "sleuthkit/image_dd.xml").iter():
        if not file.tag.endswith("fileobject"):
            continue
        fields = {child.tag.rpartition("}")[2]: child.text for child in file}
        if fields.get("name_type") != "r" or fields.get("alloc_name") != "1":
            continue
        one = found[fields["filename"]]
        digests = {child.get("type"): child.text for child in file if child.tag.endswith("hashdigest")}
        assert one.entry.size == int(fields["filesize"])
        assert hashlib.md5(one.content or b"").hexdigest() == digests["md5"]
        assert (one.entry.modified, one.entry.accessed) == (fields["mtime"], fields["atime"])
        told += 1
    assert told == 3


def test_the_sleuth_kits_image_agrees_with_fls():
    need("fls")
    image = FIXTURES / "sleuthkit/image.dd"
    found = seen(Raw(image))
    lines = run("fls", "-r", "-p", image).decode().splitlines()
    told = {line.split("\t")[1]: " * " in line for line in lines if line[0] in "rl"}
    assert {one.entry.path: one.entry.state == "deleted" for one in found} == told
