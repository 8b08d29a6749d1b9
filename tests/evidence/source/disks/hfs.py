"""HFS+ and HFSX volumes written from nothing, after Apple's Technical Note TN1150 (2004).

Written as Mac OS would leave them: trees of several nodes and two levels, forks of more than eight extents continued in
the extents overflow file, resource forks, hard and symbolic links, names decomposed. Nothing is journaled.
"""

from __future__ import annotations

import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

BLOCK, NODE = 4096, 4096
ROOT_PARENT, ROOT, EXTENTS_FILE, CATALOG_FILE, ALLOCATION_FILE, ATTRIBUTES_FILE, FIRST_USER = 1, 2, 3, 4, 6, 8, 16
_PRIVATE = "\0\0\0\0HFS+ Private Data"
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_PER_RECORD = 8  # extents in a fork, and in a record of the overflow file
_CHECKED_UNMOUNTED = 1 << 8

Extents = list[tuple[int, int]]


@dataclass(frozen=True)
class File:
    """A file to be written. ``pieces`` says in how many extents; ``times`` are created, modified, changed, accessed."""

    content: bytes = b""
    resource: bytes = b""
    pieces: int = 1
    times: tuple[datetime, datetime, datetime, datetime] = (datetime(2026, 3, 1, 12, tzinfo=UTC),) * 4
    link_to: str | None = None  # a hard link to the file of this path
    symbolic: bool = False
    packed: int = (
        0  # how Mac OS 10.6 and later store it compressed: 3 zlib, 4 zlib in the resource fork, 7 LZVN, 11 LZFSE
    )
    deleted: bool = False  # its blocks are free again and its records are gone; only the content is left


@dataclass
class Volume:
    """The volume while it is written. ``case_sensitive`` makes it HFSX."""

    size: int = 8 << 20
    case_sensitive: bool = False
    raw: bytearray = field(init=False)
    used: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.raw, self.used = bytearray(self.size), bytearray(self.size // BLOCK)
        self.used[0] = self.used[-1] = 1  # the volume header and its copy
        self.catalog: list[tuple[tuple[int, bytes], bytes, bytes]] = []
        self.overflow: list[tuple[tuple[int, int, int], bytes, bytes]] = []
        self.attributes: list[tuple[tuple[int, bytes], bytes, bytes]] = []
        self.folders: dict[str, int] = {"": ROOT}
        self.valence: dict[int, int] = {ROOT: 0}
        self.links: dict[str, int] = {}
        self.next, self.files = FIRST_USER, 0

    # Blocks ------------------------------------------------------------------------------------------------------

    def take(self, count: int, pieces: int = 1) -> Extents:
        """``count`` blocks in ``pieces`` extents, a free block between two of them."""
        found: Extents = []
        at = 1
        for piece in range(pieces):
            share = count // pieces + (piece < count % pieces)
            at = self.used.index(bytes(share), at) if share else at
            self.used[at : at + share] = b"\1" * share
            found.append((at, share))
            at += share + 1
        return [extent for extent in found if extent[1]]

    def write(self, content: bytes, number: int, kind: int = 0, pieces: int = 1) -> bytes:
        """Lay down a fork and give its 80 bytes; what is past the eighth extent goes to the overflow file."""
        extents = self.take(-(-len(content) // BLOCK), pieces)
        at = 0
        for first, count in extents:
            piece = content[at : at + count * BLOCK]
            self.raw[first * BLOCK : first * BLOCK + len(piece)] = piece
            at += count * BLOCK
        told = sum(count for _, count in extents[:_PER_RECORD])
        for index in range(_PER_RECORD, len(extents), _PER_RECORD):
            share = extents[index : index + _PER_RECORD]
            key = struct.pack(">HBBII", 10, kind, 0, number, told)
            self.overflow.append(((number, kind, told), key, _extents(share)))
            told += sum(count for _, count in share)
        return fork(len(content), extents)

    # Names -------------------------------------------------------------------------------------------------------

    def _record(self, parent: int, name: str, data: bytes, number: int, thread: int) -> None:
        key = catalog_key(parent, name)
        self.catalog.append((self._order(parent, name), key, data))
        self.catalog.append((self._order(number, ""), catalog_key(number, ""), struct.pack(">hh", thread, 0) + key[2:]))

    def _order(self, parent: int, name: str) -> tuple[int, bytes]:
        name = decomposed(name)
        # TN1150's table folds the zero character to the last of all; the rest is, for these names, lower case.
        return parent, _utf16(name if self.case_sensitive else name.replace("\0", "\uffff").lower())

    def folder(self, path: str) -> int:
        if path not in self.folders:
            parent, number = self.folder(path.rpartition("/")[0]), self._number()
            self.folders[path], self.valence[number] = number, 0
            self.valence[parent] += 1
        return self.folders[path]

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def add(self, path: str, file: File) -> int:
        """Write a file; gives its number in the catalog, or, for a deleted one, where its content begins in bytes."""
        if file.deleted:
            extents = self.take(-(-len(file.content) // BLOCK))
            at = extents[0][0] * BLOCK
            self.raw[at : at + len(file.content)] = file.content
            self._gone = [*getattr(self, "_gone", []), *extents]
            return at
        if file.link_to is not None:
            return self._hard_link(path, file)
        above, _, name = path.rpartition("/")
        number = self._number()
        mode = stat.S_IFLNK | 0o755 if file.symbolic else stat.S_IFREG | 0o644
        finder = b"slnkrhap" if file.symbolic else b"TEXTttxt"
        content = file.content
        resource = file.resource
        if file.packed:
            held, resource = packed(file.packed, content)
            held = struct.pack("<4sIQ", b"fpmc", file.packed, len(content)) + held
            name16 = _utf16("com.apple.decmpfs")
            key = struct.pack(">HHIIH", 12 + len(name16), 0, number, 0, len(name16) // 2) + name16
            data = struct.pack(">IIII", 0x10, 0, 0, len(held)) + held
            self.attributes.append(((number, name16), key, data + b"\0" * (len(data) & 1)))
            content = b""
        data = file_record(
            number, file.times, mode, finder, 0x20 if file.packed else 0,
            self.write(content, number, 0, file.pieces), self.write(resource, number, 0xFF),
        )  # fmt: skip
        self._record(parent := self.folder(above), name, data, number, 4)
        self.valence[parent] += 1
        self.files += 1
        return number

    def _hard_link(self, path: str, file: File) -> int:
        """TN1150, "Hard Links": the file itself moves to the private folder as iNode and a number."""
        assert file.link_to is not None
        private = self.folder(_PRIVATE)
        above, _, name = path.rpartition("/")
        if file.link_to not in self.links:
            original, _, first = file.link_to.rpartition("/")
            wanted = catalog_key(self.folders[original], first)
            index = next(i for i, (_, key, _) in enumerate(self.catalog) if key == wanted)
            _, _, data = self.catalog.pop(index)
            number = struct.unpack_from(">I", data, 8)[0]
            self.catalog = [record for record in self.catalog if record[1] != catalog_key(number, "")]
            self._record(private, f"iNode{number}", data, number, 4)
            self.valence[private] += 1
            self.links[file.link_to] = number
            self._link_record(self.folders[original], first, number, file)
        number = self._link_record(parent := self.folder(above), name, self.links[file.link_to], file)
        self.valence[parent] += 1
        self.files += 1
        return number

    def _link_record(self, parent: int, name: str, target: int, file: File) -> int:
        number = self._number()
        empty = fork(0, [])
        data = file_record(number, file.times, stat.S_IFREG, b"hlnkhfs+", 0, empty, empty, special=target)
        self._record(parent, name, data, number, 4)
        return number

    # The end -----------------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """The finished volume."""
        when = File().times
        for path, number in self.folders.items():
            above, _, name = path.rpartition("/")
            parent = ROOT_PARENT if number == ROOT else self.folders[above]
            data = struct.pack(">hHII", 1, 0, self.valence[number], number) + _dates(when)
            data += struct.pack(">IIBBHI", 501, 20, 0, 0, stat.S_IFDIR | 0o755, 0) + bytes(40)
            self._record(parent, name or "Volume", data, number, 3)
        attributes = self._tree(self.attributes, 266, ATTRIBUTES_FILE, 6) if self.attributes else fork(0, [])
        catalog = self._tree(self.catalog, 516, CATALOG_FILE, 6, 0xBC if self.case_sensitive else 0xCF)
        extents = self._tree(self.overflow, 10, EXTENTS_FILE, 2)
        blocks = len(self.used)
        bitmap = self.take(-(-blocks // 8 // BLOCK) or 1)
        for first, count in getattr(self, "_gone", []):
            self.used[first : first + count] = bytes(count)
        bits = int(bytes(48 + used for used in self.used).ljust(-(-blocks // 8) * 8, b"0"), 2)
        at = bitmap[0][0] * BLOCK
        self.raw[at : at + -(-blocks // 8)] = bits.to_bytes(-(-blocks // 8), "big")
        header = struct.pack(
            ">2sHI4sI", b"HX" if self.case_sensitive else b"H+", 5 if self.case_sensitive else 4, _CHECKED_UNMOUNTED,
            b"10.0", 0,
        ) + _dates((when[0], when[1], _EPOCH, when[3]), 4)  # fmt: skip
        header += struct.pack(
            ">IIIIIIIIIIQ", self.files, len(self.folders) - 1, BLOCK, blocks, self.used.count(0), 0, BLOCK, BLOCK,
            self.next, 1, 1,
        ) + bytes(32)  # fmt: skip
        header += fork(bitmap[0][1] * BLOCK, bitmap) + extents + catalog + attributes + fork(0, [])
        for start in (1024, self.size - 1024):
            self.raw[start : start + 512] = header
        return bytes(self.raw)

    def _tree(
        self, records: Iterable[tuple[tuple, bytes, bytes]], longest: int, number: int, flags: int, compare: int = 0
    ) -> bytes:
        """Lay down a B-tree of these records and give its fork."""
        level = [(key, key + data) for _, key, data in sorted(records, key=lambda record: record[0])]
        count, nodes, height, first = len(level), [b""], 0, 1
        leaves = (0, 0)
        while level:
            height += 1
            groups = _groups([record for _, record in level])
            first = len(nodes)
            above = []
            for index, group in enumerate(groups):
                after = first + index + 1 if index + 1 < len(groups) else 0
                before = first + index - 1 if index else 0
                nodes.append(node(after, before, -1 if height == 1 else 0, height, group))
                key = level[sum(map(len, groups[:index]))][0]
                above.append((key, key + struct.pack(">I", first + index)))
            leaves = (first, len(nodes) - 1) if height == 1 else leaves
            level = above if len(groups) > 1 else []
        total = max(len(nodes), 4)
        head = struct.pack(
            ">HIIIIHHIIHIBBI", height, first if count else 0, count, *leaves, NODE, longest, total, total - len(nodes), 0,
            NODE, 0, compare, flags,
        ).ljust(106, b"\0")  # fmt: skip
        used = int("1" * len(nodes) + "0" * (-len(nodes) % 8), 2).to_bytes(-(-len(nodes) // 8), "big")
        nodes[0] = node(0, 0, 1, 0, [head, bytes(128), used.ljust(NODE - 256, b"\0")])
        content = b"".join(nodes).ljust(total * NODE, b"\0")
        return self.write(content, number, pieces=1)


def _groups(records: list[bytes]) -> list[list[bytes]]:
    """Records shared out over nodes."""
    groups: list[list[bytes]] = []
    room = 0
    for record in records:
        if room < len(record) + 2:
            groups.append([])
            room = NODE - 14 - 2
        groups[-1].append(record)
        room -= len(record) + 2
    return groups


def node(after: int, before: int, kind: int, height: int, records: list[bytes]) -> bytes:
    raw = struct.pack(">IIbBHH", after, before, kind, height, len(records), 0)
    offsets = []
    for record in records:
        offsets.append(len(raw))
        raw += record
    offsets.append(len(raw))
    tail = struct.pack(f">{len(offsets)}H", *reversed(offsets))
    return raw.ljust(NODE - len(tail), b"\0") + tail


def decomposed(name: str) -> str:
    """As Mac OS writes names: decomposed, and the solidus, which separates folders, for the colon that once did."""
    return unicodedata.normalize("NFD", name)


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def catalog_key(parent: int, name: str) -> bytes:
    raw = _utf16(decomposed(name))
    return struct.pack(">HIH", 6 + len(raw), parent, len(raw) // 2) + raw


def _extents(extents: Extents) -> bytes:
    return b"".join(struct.pack(">II", *extent) for extent in extents).ljust(64, b"\0")


def fork(size: int, extents: Extents) -> bytes:
    return struct.pack(">QII", size, BLOCK, sum(count for _, count in extents)) + _extents(extents[:_PER_RECORD])


def _dates(times: Iterable[datetime], count: int = 5) -> bytes:
    """Seconds since 1904; the fifth, that of the last backup, is left 0."""
    return b"".join(struct.pack(">I", int((when - _EPOCH).total_seconds())) for when in times).ljust(4 * count, b"\0")


def file_record(
    number: int, times: tuple[datetime, ...], mode: int, finder: bytes, owner_flags: int, data: bytes, resource: bytes,
    special: int = 1,
) -> bytes:  # fmt: skip
    head = struct.pack(">hHII", 2, 2, 0, number) + _dates(times)
    return (
        head
        + struct.pack(">IIBBHI", 501, 20, 0, owner_flags, mode, special)
        + finder.ljust(40, b"\0")
        + data
        + resource
    )


def wrapped(volume: bytes, block: int = 4096, before: int = 16) -> bytes:
    """An HFS+ volume within an HFS volume, as disks of the years around 2000 have them (TN1150, "HFS Wrapper").

    ``before`` is how many blocks of the wrapper come first.
    """
    count = len(volume) // block
    raw = bytearray((before + count + 4) * block)
    first = 8  # in sectors: where the wrapper's first block begins
    head = struct.pack(">2sIIHHHHHIIHIHH", b"BD", 0, 0, 0x100, 0, 3, 0, before + count, block, block, first, 16, 0, 0)
    raw[1024 : 1024 + len(head)] = head
    raw[1024 + 124 : 1024 + 130] = struct.pack(">2sHH", b"H+", before, count)
    at = first * 512 + before * block
    raw[at : at + len(volume)] = volume
    return bytes(raw)


def packed(kind: int, content: bytes) -> tuple[bytes, bytes]:
    """Content compressed in one of Apple's ways: what the attribute holds, and the resource fork."""
    if kind == 3:
        return zlib.compress(content), b""
    if kind == 7:
        # LZVN without any match: literals of up to 271 bytes, then the end of the stream.
        parts = [content[at : at + 271] for at in range(0, len(content), 271)]
        ops = (b"\xe0" + bytes([len(p) - 16]) + p if len(p) > 15 else bytes([0xE0 | len(p)]) + p for p in parts)
        return b"".join(ops) + b"\x06" + bytes(7), b""
    if kind == 4:
        blocks = [zlib.compress(content[at : at + 65536]) for at in range(0, len(content), 65536)]
        blocks = [b"\xff" + content[n * 65536 :][:65536] if len(b) > 65536 else b for n, b in enumerate(blocks)]
        places, at = b"", 4 + 8 * len(blocks)
        for block in blocks:
            places += struct.pack("<II", at, len(block))
            at += len(block)
        data = struct.pack("<I", len(blocks)) + places + b"".join(blocks)
        head = struct.pack(">IIII", 0x100, 0x104 + len(data), 4 + len(data), 50).ljust(0x100, b"\0")
        return b"", head + struct.pack(">I", len(data)) + data + bytes(50)
    return content[:100], b""
