"""LVM: one or several logical volumes, in one piece or in many, nested in each other's company."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from amparo.child import ChildDied, isolated
from amparo.evidence.source import volumes
from amparo.evidence.source.device import Device
from amparo.evidence.source.volumes import EXT, FAT, LUKS, LVM
from tests.evidence.source.disks import Raw, contents, encrypted, ext, fat, lvm, need, noise, seen
from tests.evidence.source.disks.tables import entry, mbr

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("lvm")
    tree = ext.tree(folder / "tree", {"on first.bin": noise("first", 300_000)})
    return ext.make(folder / "disk", tree, "-t", "ext4", size=2 * MEGABYTE).read_bytes()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    disk = fat.make(tmp_path_factory.mktemp("lvm") / "disk", 12, size=MEGABYTE)
    fat.write(disk, "on second.bin", noise("second", 100_000))
    return disk.read_bytes()


def pieces(content: bytes, *places: int) -> list[tuple[int, bytes]]:
    """The content in as many segments as there are places."""
    each = -(-len(content) // len(places) // lvm.EXTENT) * lvm.EXTENT
    return [(place, content[index * each : (index + 1) * each]) for index, place in enumerate(places)]


def inside(disk: Device, survey: volumes.Survey, number: int, *keys: str) -> dict[str, bytes | None]:
    volume = survey.volumes[number]
    assert volume.filesystem is not None
    return contents(seen(volumes.open_volume(disk, volume, keys), volume.filesystem), "live")


def test_several_logical_volumes_on_a_bare_disk(first: bytes, second: bytes):
    disk = Raw(lvm.volume({"root": first, "home": second}))
    survey = volumes.survey(disk)
    assert [(v.id, v.kind, v.filesystem, v.label, v.parent) for v in survey.volumes] == [
        (0, "bare", LVM, None, None), (1, "logical", EXT, "root", 0), (2, "logical", FAT, "home", 0),
    ]  # fmt: skip
    assert survey.problems == []
    assert inside(disk, survey, 1) == {"on first.bin": noise("first", 300_000)}
    assert inside(disk, survey, 2) == {"on second.bin": noise("second", 100_000)}
    assert not survey.volumes[1].addressed


def test_a_logical_volume_in_pieces_out_of_order_inside_a_partition(first: bytes, second: bytes):
    group = lvm.volume({"root": pieces(first, 30, 0, 60), "home": pieces(second, 20, 90)})
    raw = mbr(entry(0x8E, 2048, len(group) // 512)).ljust(MEGABYTE, b"\0") + group
    survey = volumes.survey(Raw(raw))
    assert [(v.kind, v.filesystem) for v in survey.volumes if v.kind == "logical"] == [
        ("logical", EXT),
        ("logical", FAT),
    ]
    assert inside(Raw(raw), survey, 2) == {"on first.bin": noise("first", 300_000)}
    assert inside(Raw(raw), survey, 3) == {"on second.bin": noise("second", 100_000)}


def test_an_encrypted_volume_inside_a_logical_one(first: bytes, tmp_path: Path):
    need("cryptsetup")
    secret = encrypted.luks(tmp_path / "luks", first, "key", *encrypted.CHEAP["luks1"]).read_bytes()
    disk = Raw(lvm.volume({"vault": secret}))
    survey = volumes.survey(disk, ("key",))
    assert [v.filesystem for v in survey.volumes] == [LVM, LUKS, EXT]
    assert inside(disk, survey, 2, "key") == {"on first.bin": noise("first", 300_000)}
    assert volumes.survey(disk).problems == [
        ("volumes", "volume 1", "It is encrypted with LUKS: give its passphrase with --key.")
    ]


def test_a_virtual_machines_disk_in_a_logical_volume(second: bytes):
    machine = mbr(entry(6, 2048, 2048)).ljust(MEGABYTE, b"\0") + second
    disk = Raw(lvm.volume({"machine": machine}))
    survey = volumes.survey(disk)
    assert [(v.kind, v.filesystem) for v in survey.volumes] == [("bare", LVM), ("logical", None), ("partition", FAT)]
    assert inside(disk, survey, 2) == {"on second.bin": noise("second", 100_000)}
    assert survey.problems == []


def test_what_is_not_known_inside_is_said(first: bytes):
    survey = volumes.survey(Raw(lvm.volume({"swap": noise("swap", MEGABYTE)})))
    assert survey.problems == [
        ("volumes", "volume 1", "It holds no file system that is known here: it was only carved.")
    ]


def test_a_group_that_goes_on_on_another_disk_is_a_problem_not_silence(first: bytes):
    raw = lvm.volume({"root": first, "wide": noise("wide", 100_000)}, other_disk=True)
    moved = raw.replace(b'"pv0", 32\n', b'"pv1", 32\n')
    assert raw != moved
    survey = volumes.survey(Raw(moved))
    assert [v.label for v in survey.volumes] == [None, "root"]
    assert survey.problems == [
        (
            "volumes",
            "volume 0",
            "The logical volume “wide” lies in part on another disk: what lies here was not listed.",
        )
    ]


def test_metadata_that_goes_on_at_the_beginning_of_its_area_is_read(first: bytes):
    raw = bytearray(lvm.volume({"root": first}))
    area, size = 4096, MEGABYTE - 4096
    text = bytes(raw[area + 512 : area + 3000]).split(b"\0")[0] + b"\0"
    raw[area + 512 : area + 3000] = bytes(2488)
    raw[area + size - 100 : area + size] = text[:100]
    raw[area + 512 : area + 512 + len(text) - 100] = text[100:]
    raw[area + 40 : area + 48] = (size - 100).to_bytes(8, "little")
    disk = Raw(bytes(raw))
    assert inside(disk, volumes.survey(disk), 1) == {"on first.bin": noise("first", 300_000)}


def test_a_kind_that_cannot_be_put_together_is_named(first: bytes):
    raw = lvm.volume({"root": first, "thin": noise("thin", 100_000)})
    at = raw.rindex(b'"striped"')
    survey = volumes.survey(Raw(raw[:at] + b'"thinvol"' + raw[at + 9 :]))
    assert [v.label for v in survey.volumes] == [None, "root"]
    assert "“thin” (thinvol) cannot be put together" in survey.problems[0][2]


def test_damaged_metadata_is_a_problem(first: bytes):
    raw = bytearray(lvm.volume({"root": first}))
    raw[4096 + 600 : 4096 + 700] = bytes(100)
    survey = volumes.survey(Raw(bytes(raw)))
    assert [message for _, _, message in survey.problems] == [
        "The LVM volume group is damaged: its metadata cannot be read."
    ]


def surveyed(raws: list[bytes]):
    for raw in raws:
        yield len(volumes.survey(Raw(raw)).volumes)


def test_flipped_bits_never_reach_beyond_the_child():
    chance = random.Random(3)
    whole = lvm.volume({"a": noise("a", 100_000), "b": noise("b", 1000)})
    spoilt = []
    for _ in range(200):
        raw = bytearray(whole)
        for _ in range(chance.choice((1, 4, 40))):
            raw[chance.choice((chance.randrange(512, 1024), chance.randrange(4096, 6200)))] ^= 1 << chance.randrange(8)
        spoilt.append(bytes(raw))
    while spoilt:
        done = 0
        try:
            for count in isolated(surveyed, spoilt, patience=20.0):
                assert count < 2000
                done += 1
        except ChildDied:
            done += 1
        spoilt = spoilt[done:]
