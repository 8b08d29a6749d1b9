"""Tiny disks of every kind for the whole run to stumble over, made by the tools that make real ones where these can."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from amparo.demo import ntfs as demo_ntfs
from amparo.demo import partition_table
from amparo.demo.content import Placed
from tests.evidence.source.disks import blank, ext, fat, need, noise, run
from tests.evidence.source.images import convert, segments

DAY = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
PASSPHRASE = "only for the tests"
MIB = 1 << 20


def archive(members: dict[str, bytes]) -> bytes:
    """A ZIP of these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, (2026, 11, 2, 9, 30, 0)), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


FILES = {
    "readme.txt": b"a few words\r\n" * 9,
    "Users/Ana/Pictures/noise.jpg": b"\xff\xd8\xff\xe0" + noise("picture", 9_000) + b"\xff\xd9",
    "Users/Ana/letters.zip": archive({"one.txt": b"dear reader, " * 40, "deep/two.zip": archive({"three": b"3" * 99})}),
    "Windows/notes.log": noise("log", 20_000),
    "empty": b"",
}


def ntfs(path: Path, files: dict[str, bytes] | None = None, size: int = MIB) -> Path:
    """An NTFS volume; ``readme.txt`` is in it once more, deleted, and one file lies in three pieces."""
    files = FILES if files is None else files
    volume = demo_ntfs.NtfsVolume(size, "TINY", DAY, 0, 7)
    placed = [
        Placed(name, content, DAY, DAY, pieces=3 if len(content) > 16_000 else 1) for name, content in files.items()
    ]
    volume.lay(
        [*placed, Placed("Users/gone.bin", noise("gone", 7_000), DAY, DAY, deleted=True)],
        [archive({"lost": b"x" * 500})],
    )
    path.write_bytes(volume.image)
    return path


def fat12(path: Path) -> Path:
    fat.make(path, 12, size=MIB)
    for name, content in FILES.items():
        fat.write(path, name, content)
    fat.write(path, "Users/gone.bin", noise("gone", 7_000))
    fat.delete(path, "Users/gone.bin")
    path.with_suffix(".content").unlink()
    return path


def ext4(path: Path) -> Path:
    ext.make(path, ext.tree(path.with_suffix(".tree"), FILES), "-t", "ext4", "-N", "64", size=MIB)
    ext.change(path, "rm /Windows/notes.log")
    return path


def ext2(path: Path) -> Path:
    return ext.make(path, ext.tree(path.with_suffix(".tree"), FILES), "-t", "ext2", "-N", "64", size=MIB)


def exfat(path: Path) -> Path:
    """Formatted by mkfs.exfat; no tool puts files on it without mounting, so they are put there here."""
    need("mkfs.exfat")
    run("mkfs.exfat", "-b", "64K", blank(path, MIB))
    data = bytearray(path.read_bytes())
    heap, _, root = struct.unpack_from("<III", data, 88)
    sector, cluster = 1 << data[108], 1 << data[108] + data[109]

    def place(number: int) -> int:
        return heap * sector + (number - 2) * cluster

    at, free = place(root), root + 1
    while data[at]:
        if data[at] == 0x81:
            bitmap = place(struct.unpack_from("<I", data, at + 20)[0])
        at += 32
    for name, content in FILES.items():
        name = name.rpartition("/")[2]
        count = -(-len(content) // cluster)
        units = name.encode("utf-16-le")
        entries = bytearray(
            struct.pack(
                "<BBHHHIIIBBBBB7x", 0x85, 1 + -(-len(units) // 30), 0, 0x20, 0, *[0x5D625BC0] * 3, 0, 0, *[0x80] * 3
            )
        )
        first = free if count else 0
        entries += struct.pack(
            "<BBBBHHQ4xIQ", 0xC0, 3 if count else 1, 0, len(name), 0, 0, len(content), first, len(content)
        )
        for part in range(0, len(units), 30):
            entries += b"\xc1\0" + units[part : part + 30].ljust(30, b"\0")
        check = 0
        for index, byte in enumerate(entries):
            if index not in (2, 3):
                check = ((check & 1) << 15) + (check >> 1) + byte & 0xFFFF
        entries[2:4] = check.to_bytes(2, "little")
        data[at : at + len(entries)] = entries
        at += len(entries)
        for number in range(free, free + count):
            data[bitmap + (number - 2) // 8] |= 1 << (number - 2) % 8
        if count:
            data[place(free) : place(free) + len(content)] = content
        free += count
    path.write_bytes(data)
    return path


def iso(path: Path) -> Path:
    need("genisoimage")
    run("genisoimage", "-quiet", "-J", "-R", "-o", path, ext.tree(path.with_suffix(".tree"), FILES))
    return path


def xfs(path: Path) -> Path:
    """As small as mkfs.xfs allows, and sparse."""
    need("mkfs.xfs")
    tree = ext.tree(path.with_suffix(".tree"), FILES)
    lines = ["/", "0 0", "d--755 0 0"]
    lines += [f"{number} ---644 0 0 {tree / name}" for number, name in enumerate(FILES)]
    lines += ["folder d--755 0 0", *(f"x{number} ---644 0 0 {tree / 'readme.txt'}" for number in range(9)), "$", "$"]
    described = path.with_suffix(".proto")
    described.write_text("\n".join(lines) + "\n")
    run("mkfs.xfs", "-q", "-p", described, blank(path, 300 * MIB))
    return path


def mbr(path: Path) -> Path:
    """Two primary partitions and an extended one with two logical ones."""
    volume = ext2(path.with_suffix(".volume")).read_bytes()
    sectors = len(volume) // 512

    def entry(kind: int, first: int, count: int) -> bytes:
        return struct.pack("<B3xB3xII", 0, kind, first, count)

    extended = 1 + 2 * sectors
    step = 1 + sectors
    table = [entry(0x83, 1, sectors), entry(0x06, 1 + sectors, sectors), entry(0x05, extended, 2 * step)]
    disk = (
        bytes(446)
        + b"".join(table).ljust(64, b"\0")
        + b"\x55\xaa"
        + volume
        + fat12(path.with_suffix(".fat")).read_bytes()
    )
    for following in (entry(0x05, step, step), b""):
        disk += bytes(446) + (entry(0x83, 1, sectors) + following).ljust(64, b"\0") + b"\x55\xaa" + volume
    path.write_bytes(disk)
    return path


def gpt(path: Path) -> Path:
    volume = ntfs(path.with_suffix(".volume")).read_bytes()
    parts = [
        partition_table.Partition(64 << 10, volume, "Basic data"),
        partition_table.Partition(80 << 14, b"\1" * 9_000, "?"),
    ]
    partition_table.write_disk(path, MIB + (512 << 10), parts, {40 << 10: archive({"between": b"y" * 700})}, 3)
    return path


def luks(path: Path) -> Path:
    """LUKS 1 by cryptsetup with a key of ours, so that what is in it can be encrypted without the kernel's help."""
    need("cryptsetup")
    key = noise("key", 64)
    path.with_suffix(".key").write_bytes(key)
    blank(path, 4 * MIB)
    run(
        "cryptsetup", "luksFormat", "-q", "--type", "luks1", "--cipher", "aes-xts-plain64", "--key-size", "512",
        "--hash", "sha256", "--pbkdf-force-iterations", "1000", "--master-key-file", path.with_suffix(".key"),
        "--key-file", "-", path, text=PASSPHRASE.encode(),
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[104:108], "big") * 512
    clear = ext2(path.with_suffix(".volume")).read_bytes()
    for sector in range(len(clear) // 512):
        coder = Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little"))).encryptor()
        data[at + sector * 512 : at + sector * 512 + 512] = coder.update(clear[sector * 512 : sector * 512 + 512])
    path.write_bytes(data[: at + len(clear)])
    return path


_LVM = """tiny {{
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 128
max_lv = 0
max_pv = 0
metadata_copies = 0

physical_volumes {{

pv0 {{
id = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
device = "/dev/sda1"
status = ["ALLOCATABLE"]
flags = []
dev_size = {sectors}
pe_start = {start}
pe_count = {extents}
}}
}}

logical_volumes {{

home {{
id = "cccccc-cccc-cccc-cccc-cccc-cccc-cccccc"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = 1

segment1 {{
start_extent = 0
extent_count = {extents}

type = "striped"
stripe_count = 1

stripes = [
"pv0", 0
]
}}
}}
}}
}}
contents = "Text Format Volume Group"
version = 1

description = ""

creation_host = "tiny"
creation_time = 1793600000

"""


def lvm(path: Path) -> Path:
    """One physical volume with one logical one, put together by hand: making one with the tools needs a kernel's help."""
    volume = ext2(path.with_suffix(".volume")).read_bytes()
    start, area = 64 << 10, 4096
    size = start + len(volume)
    text = _LVM.format(sectors=size // 512, start=start // 512, extents=len(volume) // (64 << 10)).encode() + b"\0"

    def checked(data: bytes) -> bytes:
        return struct.pack("<I", zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF) + data

    label = struct.pack("<I8s32sQ", 32, b"LVM2 001", b"b" * 32, size)
    label += struct.pack("<QQ16xQQ16x", start, 0, area, start - area)
    sector = b"LABELONE" + struct.pack("<Q", 1) + checked(label.ljust(492, b"\0"))
    place = struct.pack("<QQII", 512, len(text), zlib.crc32(text, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF, 0)
    head = checked((b" LVM2 x[5A%r0N*>" + struct.pack("<IQQ", 1, area, start - area) + place).ljust(508, b"\0"))
    data = bytearray(start) + volume
    data[512:1024] = sector
    data[area : area + 512] = head
    data[area + 512 : area + 512 + len(text)] = text
    path.write_bytes(data)
    return path


def split(path: Path) -> Path:
    """The NTFS volume in four parts; the first of them is the one that is damaged."""
    whole = ntfs(path.with_suffix(".volume")).read_bytes()
    for number in range(4):
        path.with_suffix(f".{number + 1:03}").write_bytes(whole[number * (256 << 10) : (number + 1) * (256 << 10)])
    return path.with_suffix(".001")


def e01(path: Path) -> Path:
    return segments(path.parent, ntfs(path.with_suffix(".volume")).read_bytes(), each=100)[0]


def by_qemu(kind: str, options: str = "", *more: str) -> Callable[[Path], Path]:
    return lambda path: convert(ntfs(path.with_suffix(".disk")), path, kind, options, *more)


KINDS: dict[str, Callable[[Path], Path]] = {
    "ntfs": ntfs, "fat": fat12, "ext4": ext4, "ext2": ext2, "exfat": exfat, "iso": iso, "xfs": xfs, "mbr": mbr, "gpt": gpt,
    "luks": luks, "lvm": lvm, "split": split, "e01": e01, "vmdk": by_qemu("vmdk"), "vhd": by_qemu("vpc", "force_size=on"),
    "vhdx": by_qemu("vhdx", "block_size=1M"), "qcow2": by_qemu("qcow2", "cluster_size=4k"),
}  # fmt: skip
