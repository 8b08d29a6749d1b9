"""Tiny volumes of every file system for the whole run to stumble over, made by the tools that make real ones where these can."""

from __future__ import annotations

import io
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from amparo.demo import ntfs as demo_ntfs
from amparo.demo.content import Placed
from tests.evidence.source.disks import apfs as apfs_disks
from tests.evidence.source.disks import blank, ext, fat, need, noise, run
from tests.evidence.source.disks import hfs as hfs_disks

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


def hfs(path: Path) -> Path:
    """HFS+ with a resource fork, links of both sorts, a compressed file, and one whose extents overflow the catalog's record."""
    volume = hfs_disks.Volume(size=MIB)
    for name, content in FILES.items():
        volume.add(name, hfs_disks.File(content, pieces=5 if len(content) > 16_000 else 1))
    volume.add("pieces.bin", hfs_disks.File(noise("pieces", 11 * hfs_disks.BLOCK), pieces=11))
    volume.add("both.doc", hfs_disks.File(b"data", resource=noise("resource", 5_000)))
    volume.add("soft", hfs_disks.File(b"readme.txt", symbolic=True))
    volume.add("hard", hfs_disks.File(link_to="readme.txt"))
    volume.add("packed.txt", hfs_disks.File(b"text " * 500, packed=4))
    path.write_bytes(volume.image())
    return path


def apfs(path: Path, password: str | None = None) -> Path:
    """APFS whose tree has nodes below its root; sparse, for mkapfs makes none that is smaller."""
    files = {name: apfs_disks.File(content, pieces=2) for name, content in FILES.items()}
    files["both.doc"] = apfs_disks.File(b"data", resource=noise("resource", 5_000))
    files["holes.bin"] = apfs_disks.File(b"begins".ljust(30_000, b"\0") + b"ends", sparse=True)
    files["link"] = apfs_disks.File(b"readme.txt", symbolic=True)
    files["packed.txt"] = apfs_disks.File(b"text " * 500, packed=4)
    return apfs_disks.make(path, files, password=password)
