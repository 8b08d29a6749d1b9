"""Tiny disks whose volumes lie within something: partitions, encryption, logical volumes, shadow copies, files of images."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from amparo.demo import partition_table
from amparo.evidence.source.layers import open_layer
from amparo.evidence.source.volumes import BITLOCKER
from tests.evidence.search.specimens import (
    FILES,
    MIB,
    PASSPHRASE,
    apfs,
    archive,
    exfat,
    ext2,
    ext4,
    fat12,
    hfs,
    iso,
    ntfs,
    xfs,
)
from tests.evidence.source.disks import Raw, bitlocker, blank, need, noise, run, shadow
from tests.evidence.source.images import convert, segments


def mbr(path: Path) -> Path:
    """Two primary partitions and an extended one with two logical ones; of each pair one holds no file system."""
    first, logical = ext2(path.with_suffix(".volume")).read_bytes(), fat12(path.with_suffix(".fat")).read_bytes()
    other = noise("other", 8 << 10)

    def entry(kind: int, first: int, size: int) -> bytes:
        return struct.pack("<B3xB3xII", 0, kind, first, size // 512)

    def sector(*entries: bytes) -> bytes:
        return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"

    extended = 1 + (len(first) + len(other)) // 512
    step = 1 + len(logical) // 512
    disk = sector(
        entry(0x83, 1, len(first)), entry(0x06, 1 + len(first) // 512, len(other)), entry(0x05, extended, 2 * step * 512)
    ) + first + other  # fmt: skip
    disk += sector(entry(0x06, 1, len(logical)), entry(0x05, step, 512 + len(other))) + logical
    disk += sector(entry(0x83, 1, len(other))) + other
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


def bitlocked(path: Path) -> Path:
    """BitLocker around an NTFS volume with room for what BitLocker adds. To be opened once here: children that are forked from
    this process then know the key, which it takes a million rounds to derive from the password."""
    content = ntfs(path.with_suffix(".volume")).read_bytes()
    path.write_bytes(bitlocker.make(content, "xts-128", password=PASSPHRASE, recovery=bitlocker.recovery_key()))
    open_layer(Raw(path), (BITLOCKER, ""), (PASSPHRASE,))
    return path


def shadowed(path: Path) -> Path:
    """NTFS with two shadow copies, between which and the present files came, went and were written anew."""
    kept = {f"Users/Ana/kept {number}.bin": noise(number, 3_000) for number in range(4)}
    first = kept | {
        "Users/Ana/letter.txt": b"first words " * 300,
        "Users/Ana/gone.jpg": FILES["Users/Ana/Pictures/noise.jpg"],
    }
    second = first | {"Users/Ana/letter.txt": b"other words " * 300}
    now = kept | {"Users/Ana/letter.txt": b"last words.. " * 300, "Users/Ana/later.zip": FILES["Users/Ana/letters.zip"]}
    path.write_bytes(shadow.make(shadow.volume(now), shadow.volume(first), shadow.volume(second)))
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
    "ntfs": ntfs, "fat": fat12, "ext4": ext4, "ext2": ext2, "exfat": exfat, "iso": iso, "xfs": xfs, "hfs": hfs, "apfs": apfs,
    "mbr": mbr, "gpt": gpt, "luks": luks, "bitlocker": bitlocked, "apfs encrypted": partial(apfs, password=PASSPHRASE),
    "lvm": lvm, "shadow": shadowed, "split": split, "e01": e01, "vmdk": by_qemu("vmdk"),
    "vmdk compressed": by_qemu("vmdk", "subformat=streamOptimized"), "vhd": by_qemu("vpc", "force_size=on"),
    "vhdx": by_qemu("vhdx", "block_size=1M"), "qcow2": by_qemu("qcow2", "cluster_size=4k"),
    "qcow2 compressed": by_qemu("qcow2", "cluster_size=64k", "-c"),
}  # fmt: skip
