"""Every format of image against the raw disk it was made from, and what is refused in one sentence."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.image import image_files, image_format, open_image
from tests.evidence.source.images import acquire, convert, disk, needs, salvaged, spoil, whole

CONTENT = disk(21, (5 << 20) + 65536 * 3)

CONVERTED = [
    ("vmdk", "vmdk", "subformat=monolithicSparse", ()),
    ("vmdk", "vmdk", "subformat=streamOptimized", ()),
    ("vhd", "vpc", "subformat=dynamic,force_size=on", ()),
    ("vhd", "vpc", "subformat=fixed,force_size=on", ()),
    ("vhdx", "vhdx", "subformat=dynamic", ()),
    ("vhdx", "vhdx", "subformat=fixed", ()),
    ("vhdx", "vhdx", "block_size=1M", ()),
    ("qcow2", "qcow2", "", ()),
    ("qcow2", "qcow2", "", ("-c",)),
    ("qcow2", "qcow2", "compat=0.10", ("-c",)),
    ("qcow2", "qcow2", "cluster_size=4k", ("-c",)),
    ("qcow2", "qcow2", "cluster_size=2M", ()),
    ("qcow2", "qcow2", "cluster_size=512", ()),
]


@pytest.fixture()
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(CONTENT)
    return path


def reads_anywhere(device: Device, content: bytes) -> None:
    for offset, length in ((0, 1), (511, 2), (65530, 70_000), (1 << 20, 3 << 20), (len(content) - 9, 50), (4097, 0)):
        assert device.read(offset, length) == content[offset : offset + length]
    for offset, length in ((-1, 5), (5, -1)):
        with pytest.raises(ReadFailed):
            device.read(offset, length)


# Formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "form", "options", "more"), CONVERTED)
def test_a_virtual_disk_gives_the_raw_disk_back(
    kind: str, form: str, options: str, more: tuple[str, ...], raw: Path, tmp_path: Path
):
    path = convert(raw, tmp_path / "seized.bin", form, options, *more)  # a name that tells nothing
    assert image_format(path) == kind
    assert image_files(path) == [path]
    device = open_image(path)
    assert device.size == len(CONTENT)
    assert whole(device) == CONTENT
    assert whole(device, 3000) == CONTENT


@pytest.mark.parametrize(
    ("subformat", "part"),
    [("monolithicFlat", "-flat"), ("twoGbMaxExtentSparse", "-s001"), ("twoGbMaxExtentFlat", "-f001")],
)
def test_a_disk_described_in_one_file_and_kept_in_others(subformat: str, part: str, raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "d" / "pc.vmdk", "vmdk", f"subformat={subformat}")
    assert image_files(path) == [path, path.with_name(f"pc{part}.vmdk")]
    assert whole(open_image(path)) == CONTENT
    path.with_name(f"pc{part}.vmdk").unlink()
    with pytest.raises(SourceUnreadable, match=f"pc{part}.vmdk"):
        open_image(path)


def test_a_part_of_a_split_vmdk_asks_for_its_descriptor(raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "d" / "pc.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse")
    with pytest.raises(SourceUnreadable, match="descriptor"):
        open_image(path.with_name("pc-s001.vmdk"))


def test_a_raw_disk_is_read_as_it_is(raw: Path):
    assert image_format(raw) == "raw"
    device = open_image(raw)
    reads_anywhere(device, CONTENT)
    assert whole(device) == CONTENT


@pytest.mark.parametrize("form", ["vpc", "qcow2"])
def test_our_own_readers_give_any_range(form: str, raw: Path, tmp_path: Path):
    path = convert(
        raw, tmp_path / "x", form, "force_size=on" if form == "vpc" else "", *(["-c"] if form == "qcow2" else [])
    )
    reads_anywhere(open_image(path), CONTENT)


@pytest.mark.parametrize(
    ("options", "what"), [("compression_type=zstd", "zstd"), ("extended_l2=on", "subclusters"), ("data_file=other", "another file")]
)  # fmt: skip
def test_a_qcow2_that_is_not_read_here_is_refused_by_name(options: str, what: str, raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "x.qcow2", "qcow2", options.replace("other", str(tmp_path / "other")))
    with pytest.raises(SourceUnreadable, match=f"{what}.*qemu-img convert"):
        open_image(path)


def test_earlier_states_kept_in_a_qcow2_are_told(raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "x.qcow2", "qcow2")
    subprocess.run(["qemu-img", "snapshot", "-c", "before", path], check=True)
    assert "1 earlier states" in open_image(path).problems[0]
    assert whole(open_image(path)) == CONTENT


def test_reading_leaves_the_access_time_alone(raw: Path, tmp_path: Path):
    paths = [raw, convert(raw, tmp_path / "x.vmdk", "vmdk"), convert(raw, tmp_path / "x.qcow2", "qcow2")]
    if shutil.which("ewfacquire"):
        paths.append(acquire(tmp_path / "e", CONTENT))
    for path in paths:
        os.utime(path, ns=(10**18, 2 * 10**18))
        whole(open_image(path))
        image_files(path)
        assert path.stat().st_atime_ns == 10**18


def test_a_block_device_is_read_by_its_size_and_never_interpreted(raw: Path, tmp_path: Path):
    needs("losetup")
    image = convert(raw, tmp_path / "x.qcow2", "qcow2")
    made = subprocess.run(["losetup", "--show", "-r", "-f", image], capture_output=True, text=True)
    if made.returncode:
        pytest.skip("this user may not make a loop device")
    loop = Path(made.stdout.strip())
    try:
        device = open_image(loop)
        assert image_format(loop) == "raw"
        assert whole(device) == image.read_bytes()
        device.close()
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


# Differences to a parent ----------------------------------------------------------------------------------------


def test_a_qcow2_over_another_over_a_raw_disk_is_read_through_all_three(raw: Path, tmp_path: Path):
    needs("qemu-io")
    for name, below, form in (("one", raw, "raw"), ("two", tmp_path / "one", "qcow2")):
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", form, tmp_path / name], check=True
        )
    changes = ["-c", "write -P 7 1000k 300k", "-c", "write -z 2M 1M"]
    subprocess.run(["qemu-io", *changes, tmp_path / "two"], check=True, capture_output=True)
    expected = bytearray(CONTENT)
    expected[1000 << 10 : 1300 << 10] = b"\7" * (300 << 10)
    expected[2 << 20 : 3 << 20] = bytes(1 << 20)
    assert whole(open_image(tmp_path / "two")) == expected
    assert image_files(tmp_path / "two") == [tmp_path / "two", tmp_path / "one", raw]
    raw.unlink()
    with pytest.raises(SourceUnreadable, match=r"disk\.raw"):
        open_image(tmp_path / "two")


def test_a_vmdk_snapshot_is_read_through_its_parent_and_only_the_right_one(raw: Path, tmp_path: Path):
    parent = convert(raw, tmp_path / "base.vmdk", "vmdk")
    delta = tmp_path / "delta.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-b", parent, "-F", "vmdk", delta], check=True)
    assert whole(open_image(delta)) == CONTENT
    assert image_files(delta) == [delta, parent]
    text = parent.read_bytes()
    at = text.index(b"\nCID=") + 5
    number = text[at : text.index(b"\n", at)]  # hexadecimal, as many digits as it needs
    spoil(parent, at, (b"1" if number[:1] != b"1" else b"2") + number[1:])
    with pytest.raises(SourceUnreadable, match="right one"):
        open_image(delta)


def differencing(path: Path, parent: Path, identifier: bytes, sectors: dict[int, bytes]) -> None:
    """A VHD with one block of 2 MiB, of which only these sectors are its own."""

    def footed(data: bytes) -> bytes:
        return data[:64] + struct.pack(">I", ~sum(data[:64] + data[68:]) & 0xFFFFFFFF) + data[68:]

    size = 2 << 20
    foot = struct.pack(">8sIIQI4sI4sQQI", b"conectix", 2, 0x10000, 512, 0, b"test", 0, b"Wi2k", size, size, 0)
    foot = footed((foot + struct.pack(">II16s", 4, 0, b"differencing one")).ljust(512, b"\0"))
    head = struct.pack(">8sQQIIII16sII512s", b"cxsparse", (1 << 64) - 1, 1536, 0x10000, 1, 2 << 20, 0, identifier, 0, 0,
                       ("C:\\disks\\" + parent.name).encode("utf-16-be"))  # fmt: skip
    head = head.ljust(1024, b"\0")
    head = head[:36] + struct.pack(">I", ~sum(head) & 0xFFFFFFFF) + head[40:]
    bits, block = bytearray(512), bytearray(2 << 20)
    for number, data in sectors.items():
        bits[number // 8] |= 0x80 >> number % 8
        block[number * 512 : number * 512 + 512] = data
    path.write_bytes(foot + head + struct.pack(">I", 4).ljust(512, b"\xff") + bytes(bits) + bytes(block) + foot)


def test_a_differencing_vhd_takes_each_sector_from_where_it_is(raw: Path, tmp_path: Path):
    raw.write_bytes(CONTENT[: 2 << 20])
    parent = convert(raw, tmp_path / "base.vhd", "vpc", "subformat=dynamic,force_size=on")
    identifier = parent.read_bytes()[68:84]
    own = {0: b"a" * 512, 7: b"b" * 512, 8: b"c" * 512, 9: b"d" * 512, 4095: b"e" * 512}
    delta = tmp_path / "delta.vhd"
    differencing(delta, parent, identifier, own)
    expected = bytearray(CONTENT[: 2 << 20])
    for number, data in own.items():
        expected[number * 512 : number * 512 + 512] = data
    device = open_image(delta)
    reads_anywhere(device, bytes(expected))
    assert whole(device) == whole(device, 1000) == expected
    assert image_files(delta) == [delta, parent]
    differencing(delta, parent, b"of another disk.", own)
    with pytest.raises(SourceUnreadable, match="right one"):
        open_image(delta)


def test_an_image_leads_to_no_file_outside_its_folder(raw: Path, tmp_path: Path):
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(CONTENT)
    folder = tmp_path / "case"
    folder.mkdir()
    overlay = folder / "x.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", overlay], check=True)
    flat = folder / "x.vmdk"
    lines = ("# Disk DescriptorFile", "version=1", "CID=1", "parentCID=ffffffff", 'createType="monolithicFlat"',
             "# Extent description", f'RW 100 FLAT "{secret}" 0', "# The Disk Data Base", "#DDB", "")  # fmt: skip
    flat.write_text("\n".join(lines))
    for path in (overlay, flat):
        with pytest.raises(SourceUnreadable, match="secret"):
            open_image(path)


@pytest.mark.parametrize("name", [b"a\x1b[2Jb", b"n" * 900, b"..", b"/", b"\xff\0\n"])
def test_a_name_that_no_file_has_is_not_even_repeated(name: bytes, raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "x.qcow2", "qcow2")
    spoil(path, 8, struct.pack(">QI", 1024, len(name)))
    spoil(path, 1024, name)
    with pytest.raises(SourceUnreadable, match=r"^x\.qcow2 names no usable file"):
        open_image(path)


def test_an_image_that_is_its_own_parent_is_refused(tmp_path: Path):
    needs("qemu-img")
    path = tmp_path / "x.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "x.qcow2", "-F", "qcow2", path, "1M"], check=True
    )
    with pytest.raises(SourceUnreadable, match="leads to itself"):
        open_image(path)


# Split sets -----------------------------------------------------------------------------------------------------


def parts(folder: Path, names: list[str], each: int = 700_000) -> list[Path]:
    paths = []
    for number, name in enumerate(names):
        paths.append(folder / name)
        paths[-1].write_bytes(CONTENT[number * each : (number + 1) * each if number < len(names) - 1 else None])
    return paths


@pytest.mark.parametrize(
    "names",
    [
        [f"disk.dd.{number:03}" for number in range(1, 9)],
        [f"disk.{number:03}" for number in range(8)],
        [f"disk.{number:02}" for number in range(8)],
        [f"disk.{number:03}" for number in range(998)] + ["disk.998", "disk.999", "disk.1000", "disk.1001"],
        [f"disk.dd.a{letter}" for letter in "abcdefgh"],
        [f"xa{letter}" for letter in "abcdefgh"],
    ],
)
def test_a_split_disk_is_joined_from_any_of_its_parts(names: list[str], tmp_path: Path):
    paths = parts(tmp_path, names, each=700_000 if len(names) < 10 else 5000)
    year = "disk.2019" if len(names) < 10 else "other.2019"
    for unrelated in (year, "disk.dd", "disk.txt", "disk.dd.zz", "xylophone"):
        (tmp_path / unrelated).write_bytes(b"unrelated")
    for given in (paths[0], paths[3], paths[-1]):
        assert image_format(given) == "split raw"
        assert image_files(given) == paths
        device = open_image(given)
        assert device.size == len(CONTENT)
        assert whole(device) == CONTENT
        reads_anywhere(device, CONTENT)
    assert image_files(tmp_path / year) == [tmp_path / year]
    assert image_files(tmp_path / "disk.dd") == [tmp_path / "disk.dd"]


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ([f"disk.{number:03}" for number in range(1, 9)], "disk.004"),
        ([f"disk.{number:03}" for number in range(1, 9)], "disk.001"),
        ([f"disk.a{letter}" for letter in "abcdefgh"], "disk.ad"),
    ],
)
def test_a_missing_part_is_named(names: list[str], gone: str, tmp_path: Path):
    parts(tmp_path, names)
    (tmp_path / gone).unlink()
    with pytest.raises(SourceUnreadable, match=gone):
        open_image(tmp_path / names[2])


def test_a_part_that_was_cut_is_told(tmp_path: Path):
    paths = parts(tmp_path, [f"disk.{number:03}" for number in range(1, 9)])
    paths[3].write_bytes(paths[3].read_bytes()[:-1])
    assert "disk.004" in open_image(paths[0]).problems[0]


# What cannot be opened ------------------------------------------------------------------------------------------


def test_each_thing_that_is_no_image_is_refused_in_one_sentence(tmp_path: Path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    marks = {
        "Ex01": b"EVF2\x0d\x0a\x81\x00", "L01": b"LVF\x09\x0d\x0a\xff\x00", "encrypted": b"ADCRYPT\0",
        "AFF": b"AFF10\x0d\x0a\0", "QCOW image of version 1": b"QFI\xfb\0\0\0\1", "ESX": b"COWD",
    }  # fmt: skip
    for what, mark in marks.items():
        (tmp_path / what).write_bytes(mark + bytes(5000))
    cases = {"missing": "no file", ".": "folder", "empty": "empty", "pipe": "neither", "a\0b": "name"}
    for name, match in {**cases, **{what: what for what in marks}}.items():
        for act in (image_files, open_image):
            if act is image_files and name.startswith("QCOW"):
                continue  # which files it is made of can still be told
            with pytest.raises(SourceUnreadable, match=match) as raised:
                act(tmp_path / name)
            assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_read_is_refused(raw: Path):
    raw.chmod(0)
    with pytest.raises(SourceUnreadable, match="right to read"):
        open_image(raw)


def test_a_disk_that_shrinks_while_it_is_read_is_a_failed_read(raw: Path):
    device = open_image(raw)
    os.truncate(raw, 1 << 20)
    assert device.read(0, 1 << 20) == CONTENT[: 1 << 20]
    with pytest.raises(ReadFailed, match=r"disk\.raw"):
        device.read(1 << 20, 512)


def test_a_damaged_compressed_cluster_fails_alone(raw: Path, tmp_path: Path):
    path = convert(raw, tmp_path / "x.qcow2", "qcow2", "", "-c")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = salvaged(open_image(path), 65536)
    assert None in found
    assert all(got in (None, CONTENT[at * 65536 : at * 65536 + 65536]) for at, got in enumerate(found))
