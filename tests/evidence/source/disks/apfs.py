"""APFS volumes: mkapfs makes the empty container, and files are put into it here, after Apple's "Apple File System Reference" (2020).

The file-system tree is written anew, over as many nodes as it takes, and with it what goes along with it: the object map, the tree of
extents, the map of free blocks, the counters of the volume, and the checksum of every block that was changed. apfsck finds nothing
amiss with what is not encrypted or compressed, both of which it does not know.
"""

from __future__ import annotations

import stat
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.evidence.source.disks import blank, need, run
from tests.evidence.source.disks.apfs_blocks import (
    FIXED,
    LEAF,
    ROOT_NODE,
    Container,
    Record,
    add,
    fill,
    number,
    records,
    shared_out,
)
from tests.evidence.source.disks.apfs_keys import (
    BLOCK,
    CONTAINER_BAG,
    MASTER,
    VOLUME_BAG,
    container_bag,
    encrypted,
    volume_bag,
)
from tests.evidence.source.disks.hfs import packed

SIZE = 128 << 20  # mkapfs makes no container that is smaller; nearly all of it is a hole
DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
_ROOT, _PRIVATE, _FIRST_USER = 2, 3, 16
_EXTENT, _INODE, _XATTR, _STREAM, _FILE_EXTENT, _NAME = 2, 3, 4, 6, 8, 9  # types of records
_UNENCRYPTED, _ONE_KEY = 1, 8  # flags of volumes
_ENCRYPTED = 4  # flag of what an object map leads to


@dataclass(frozen=True)
class File:
    """A file to be written. ``pieces`` says in how many extents; ``times`` are created, modified, changed, accessed."""

    content: bytes = b""
    resource: bytes = b""
    pieces: int = 1
    times: tuple[datetime, datetime, datetime, datetime] = (DAY,) * 4
    symbolic: bool = False
    sparse: bool = False  # blocks of zeros are holes
    packed: int = 0  # how macOS stores it compressed: see disks.hfs.File


def make(path: Path, files: Mapping[str, File], *options: str, password: str | None = None) -> Path:
    """A container with one volume that holds these files, encrypted in software where there is a password."""
    need("mkapfs")
    identifiers = ("-U", "1" * 8 + "-1111-2222-3333-" + "4" * 12, "-u", "5" * 8 + "-1111-2222-3333-" + "4" * 12)
    run("mkapfs", "-L", "Tiny", *identifiers, *options, blank(path, SIZE))
    with Container(path) as container:
        volume = _Volume(container, password is not None)
        for name, file in files.items():
            volume.add(name, file)
        volume.finish()
        if password is not None:
            _lock(container, bytes(volume.superblock[240:256]), password)
    return path


class _Volume:
    def __init__(self, container: Container, locked: bool) -> None:
        self.container, self.locked = container, locked
        self.superblock = container.block(container.object(number(container.main, 160)))
        self.folded = bool(number(self.superblock, 56) & 1)
        self.records: list[tuple[tuple[int, int, int, bytes], Record]] = []
        self.extents: list[Record] = []
        self.folders = {"": _ROOT}
        self.within = {_ROOT: 0}
        self.next = _FIRST_USER
        self._name(1, "root", _ROOT, stat.S_IFDIR)
        self._name(1, "private-dir", _PRIVATE, stat.S_IFDIR)
        self._inode(_PRIVATE, 1, "private-dir", stat.S_IFDIR | 0o755, 0)

    # Records -----------------------------------------------------------------------------------------------------

    def _record(self, of: int, kind: int, key: bytes, value: bytes, order: tuple[int, bytes] = (0, b"")) -> None:
        self.records.append(((of, kind, *order), (struct.pack("<Q", of | kind << 60) + key, value)))

    def _name(self, parent: int, name: str, of: int, mode: int) -> None:
        raw = name.encode() + b"\0"
        hashed = _hash(name, self.folded) << 10 | len(raw)
        value = struct.pack("<QQH", of, _nanoseconds(DAY), stat.S_IFMT(mode) >> 12)
        self._record(parent, _NAME, struct.pack("<I", hashed) + raw, value, (hashed, raw))

    def _inode(
        self, of: int, parent: int, name: str, mode: int, links: int, *fields: tuple[int, int, bytes], flags: int = 0,
        times: tuple[datetime, ...] = (DAY,) * 4, unpacked: int = 0,
    ) -> None:  # fmt: skip
        value = struct.pack("<QQ4Q", parent, of, *map(_nanoseconds, times))
        value += struct.pack("<QiIIIIIHHQ", flags, links, 0, 0, 0x20 if unpacked else 0, 0, 0, mode, 0, unpacked)
        fields = ((4, 2, name.encode() + b"\0"), *fields)
        held = b"".join(data.ljust(-(-len(data) // 8) * 8, b"\0") for _, _, data in fields)
        told = b"".join(struct.pack("<BBH", kind, what, len(data)) for kind, what, data in fields)
        self._record(of, _INODE, b"", value + struct.pack("<HH", len(fields), len(held)) + told + held)

    def _attribute(self, of: int, name: str, flags: int, data: bytes) -> None:
        raw = name.encode() + b"\0"
        value = struct.pack("<HH", flags, len(data)) + data
        self._record(of, _XATTR, struct.pack("<H", len(raw)) + raw, value, (0, raw))

    def folder(self, path: str) -> int:
        if path not in self.folders:
            above, _, name = path.rpartition("/")
            parent, own = self.folder(above), self._number()
            self.folders[path], self.within[own] = own, 0
            self.within[parent] += 1
            self._name(parent, name, own, stat.S_IFDIR)
            add(self.superblock, 192, 1)
        return self.folders[path]

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def add(self, path: str, file: File) -> None:
        above, _, name = path.rpartition("/")
        parent, own = self.folder(above), self._number()
        self.within[parent] += 1
        mode = stat.S_IFLNK | 0o755 if file.symbolic else stat.S_IFREG | 0o644
        self._name(parent, name, own, mode)
        add(self.superblock, 200 if file.symbolic else 184, 1)
        fields: list[tuple[int, int, bytes]] = []
        flags, resource = 0x8000, file.resource
        if file.symbolic:
            self._attribute(own, "com.apple.fs.symlink", 2 | 4, file.content + b"\0")
        elif file.packed:
            held, resource = packed(file.packed, file.content)
            head = struct.pack("<4sIQ", b"fpmc", file.packed, len(file.content))
            self._attribute(own, "com.apple.decmpfs", 2, head + held)
            flags |= 0x40000
        else:
            stream, holes = self._stream(own, file)
            self._record(own, _STREAM, b"", struct.pack("<I", 1))
            fields.append((8, 0x20, stream))
            if holes:
                fields.append((13, 0x28, struct.pack("<Q", holes)))
                flags |= 0x200
        if resource:
            stream, _ = self._stream(other := self._number(), File(resource))
            self._attribute(own, "com.apple.ResourceFork", 1, struct.pack("<Q", other) + stream)
            flags = flags & ~0x8000 | 0x4000
        unpacked = len(file.content) if file.packed else 0
        self._inode(own, parent, name, mode, 1, *fields, flags=flags, times=file.times, unpacked=unpacked)

    def _stream(self, of: int, file: File) -> tuple[bytes, int]:
        """Lay down a content: what describes it, and how many bytes of it are holes."""
        blocks = [file.content[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(file.content), BLOCK)]
        empty = [file.sparse and not any(block) for block in blocks]
        each = -(-len(blocks) // file.pieces)
        holes = at = 0
        while at < len(blocks):
            end = at + 1
            while end < len(blocks) and end % each and empty[end] == empty[at]:
                end += 1
            count, place = end - at, 0
            if empty[at]:
                holes += count * BLOCK
            else:
                place = self.container.take(count)
                content = b"".join(blocks[at:end])
                self.container.write(place, encrypted(content, place) if self.locked else content)
                value = struct.pack("<QQI", count | 1 << 60, of, 1)
                self.extents.append((struct.pack("<Q", place | _EXTENT << 60), value))
                self._count(count)
            value = struct.pack("<QQQ", count * BLOCK, place, place if self.locked else 0)
            self._record(of, _FILE_EXTENT, struct.pack("<Q", at * BLOCK), value, (at, b""))
            at = end
        return struct.pack("<5Q", len(file.content), len(blocks) * BLOCK, 0, len(file.content), 0), holes

    def _count(self, blocks: int) -> None:
        add(self.superblock, 88, blocks)
        add(self.superblock, 224, blocks)

    # The end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the trees and the volume's superblock."""
        for path, own in self.folders.items():
            above, _, name = path.rpartition("/")
            parent = 1 if own == _ROOT else self.folders[above]
            self._inode(own, parent, name or "root", stat.S_IFDIR | 0o755, self.within[own])
        self._tree([record for _, record in sorted(self.records)])
        about = (80, BLOCK, 0, 0, 8 if self.extents else 0, 20 if self.extents else 0, len(self.extents), 1)
        fill(self.container.block(number(self.superblock, 144)), ROOT_NODE | LEAF, 0, self.extents, about)
        struct.pack_into("<Q", self.superblock, 176, self.next)
        for at in (256, 304):  # last changed, and formatted
            struct.pack_into("<Q", self.superblock, at, _nanoseconds(DAY))
        struct.pack_into("<Q", self.superblock, 264, _ONE_KEY if self.locked else _UNENCRYPTED)

    def _tree(self, told: list[Record]) -> None:
        """The file-system tree: its root stays where mkapfs put it, the nodes below it are entered in the object map."""
        objects = self.container.block(number(self.container.block(number(self.superblock, 128)), 48))
        mapped = records(objects)
        root = int.from_bytes(mapped[0][1][8:], "little")
        places = [root]
        leaves = shared_out(told)
        longest = [max(len(record[half]) for record in told) for half in (0, 1)]
        about = (64, BLOCK, 0, 0, *longest, len(told), 1 if len(leaves) == 1 else 1 + len(leaves))
        if len(leaves) == 1:
            fill(self.container.block(root), ROOT_NODE | LEAF, 0, told, about)
        else:
            below: list[Record] = []
            for leaf in leaves:
                place, identifier = self.container.take(1), self.container.identifier()
                node = self.container.block(place)
                struct.pack_into("<QQII", node, 8, identifier, 1, 3, 0xE)
                fill(node, LEAF, 0, leaf)
                below.append((leaf[0][0], struct.pack("<Q", identifier)))
                mapped.append((struct.pack("<QQ", identifier, 1), struct.pack("<IIQ", 0, BLOCK, place)))
                places.append(place)
                self._count(1)
            fill(self.container.block(root), ROOT_NODE, 1, below, about)
        if self.locked:
            self.container.keys |= dict.fromkeys(places, MASTER)
            mapped = [(key, struct.pack("<I", _ENCRYPTED) + value[4:]) for key, value in mapped]
        fill(objects, ROOT_NODE | LEAF | FIXED, 0, mapped, (16, BLOCK, 16, 16, 16, 16, len(mapped), 1))


def _lock(container: Container, volume: bytes, password: str) -> None:
    """Write the key bags: the container's is encrypted with the container's identifier, the volume's with the volume's."""
    places = container.take(1), container.take(1)
    bags = container_bag(volume, places[1]), volume_bag(volume, password)
    for place, kind, bag, key in zip(
        places, (CONTAINER_BAG, VOLUME_BAG), bags, (bytes(container.main[72:88]), volume), strict=True
    ):
        block = container.block(place)
        struct.pack_into("<QQII", block, 8, place, 1, kind, 0)
        block[32 : 32 + len(bag)] = bag
        container.keys[place] = key * 2
    for superblock in (container.main, container.copy):
        struct.pack_into("<QQ", superblock, 1296, places[0], 1)
        struct.pack_into("<Q", superblock, 1264, number(superblock, 1264) | 4)  # encrypted in software


def _nanoseconds(when: datetime) -> int:
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 10**6 + since.microseconds) * 1000


def _hash(name: str, folded: bool) -> int:
    """22 bits of the CRC-32C of the name, decomposed and, where the case does not count, folded."""
    name = unicodedata.normalize("NFD", name)
    if folded:
        name = unicodedata.normalize("NFD", name.casefold())
    check = 0xFFFFFFFF
    for byte in name.encode("utf-32-le"):
        check ^= byte
        for _ in range(8):
            check = check >> 1 ^ (0x82F63B78 if check & 1 else 0)
    return check & 0x3FFFFF
