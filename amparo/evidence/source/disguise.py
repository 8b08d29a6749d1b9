"""A disk that passes for something else.

A raw image begins with bytes that the suspect wrote. Where a file system leaves its first sectors alone (ext its first
1,024 bytes, ISO 9660 its first 32 KiB, a GPT its first sector), the header of another image format fits there, and a tool
that goes by the header would search a disk of the suspect's making, or files that the header names. So whatever an image's
beginning says, a disk that lies in it as it is comes first. Layouts after the kernel's ext4 documentation, Apple's
TN1150, ECMA-119, the UEFI specification, and the documentation of LVM2, LUKS2 and btrfs.
"""

from __future__ import annotations

import struct

from amparo.errors import ReadFailed
from amparo.evidence.source.device import SECTOR, Device

_MARKS = (  # long enough that compressed data holds none of them by chance
    (512, b"EFI PART", "a partition table (GPT)"),
    (4096, b"EFI PART", "a partition table (GPT)"),
    (32769, b"CD001", "an ISO 9660 file system"),
    (16384, b"SKUL\xba\xbe", "a LUKS volume"),
    (65600, b"_BHRfS_M", "a btrfs file system"),
    *((at, b"LABELONE", "an LVM volume") for at in (0, 512, 1024, 1536)),
)


def disk_beneath(file: Device) -> str | None:
    """What lies in the file as on a disk, whatever its first bytes say; None where there is nothing that leaves them free.

    Held to the sense of what is found and not to two bytes of a mark, which any compressed image holds somewhere.
    """
    for at, mark, what in _MARKS:
        if _at(file, at, len(mark)) == mark:
            return what
    head = _at(file, 0, 4096)
    if len(head) < 2048:
        return None
    if _is_ext(head, file.size):
        return "an ext file system"
    if _is_hfs_plus(head, file.size):
        return "an HFS+ file system"
    return "a partition table (MBR)" if _is_mbr(head, file.size) else None


def _at(file: Device, offset: int, length: int) -> bytes:
    try:
        return file.read(offset, length)
    except ReadFailed:
        return b""


def _is_ext(head: bytes, size: int) -> bool:
    inodes, blocks, _, _, _, first, block_size = struct.unpack_from("<7I", head, 1024)
    if head[1080:1082] != b"\x53\xef" or block_size > 6 or first > 1 or not inodes or not blocks:
        return False
    return bool(blocks << (10 + block_size) <= 2 * size)  # an image that was cut is still that disk


def _is_hfs_plus(head: bytes, size: int) -> bool:
    (version,) = struct.unpack_from(">H", head, 1026)
    block, blocks = struct.unpack_from(">II", head, 1024 + 40)
    if head[1024:1026] not in (b"H+", b"HX") or version not in (4, 5) or block < SECTOR or block & (block - 1):
        return False
    return bool(0 < block * blocks <= 2 * size)


def _is_mbr(head: bytes, size: int) -> bool:
    if head[510:512] != b"\x55\xaa":
        return False
    used = 0
    for at in range(446, 510, 16):
        status, kind = head[at], head[at + 4]
        start, count = struct.unpack_from("<II", head, at + 8)
        if status not in (0, 0x80):
            return False
        if kind:
            if not start or not count or start * SECTOR >= size:
                return False
            used += 1
    return used > 0
