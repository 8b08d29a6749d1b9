"""ext2, ext3 and ext4, read by their own structures: live files, and names and inodes that deletion left.

The Sleuth Kit reads ext too, but walks every block of a file that claims terabytes, so that one flipped bit costs minutes, and does not
know clusters (bigalloc). Source: the Linux kernel's documentation of the ext4 disk layout.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import ext_layout
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry, Runs, component, shown
from amparo.evidence.source.ext_inode import ENCRYPTED, INDEXED, INLINE_DATA, Addresses, Damaged, Inode, parse
from amparo.evidence.source.free_space import Allocation

ROOT = 2
ORPHANS = "$OrphanFiles"
_TABLE_PIECE = 64 << 10
_PIECES_KEPT = 64
_DIRECTORY_TYPE = 2
_LONGEST_LINK = 4096
LARGEST_DIRECTORY = 1 << 30

_ERASED = "The file system erased where its content lay; carving may have found it."
_TAKEN = "Only its name is left: its record was given to another file since."
_NAME_ONLY = "Only its name is left: nothing says where its content lay."
_REUSED = "Its blocks were given to other files since it was deleted; its content is lost."
_LOST = "The addresses of its content are damaged, so it cannot be put together."


class ExtVolume:
    """An ext file system on ``device``. Raises :class:`SourceUnreadable` where no superblock can be used."""

    kind = "ext"

    def __init__(self, device: Device) -> None:
        self.device = device
        try:
            self.layout = ext_layout.read(device)
        except ValueError as error:
            raise SourceUnreadable(f"The ext file system cannot be opened: {error}.") from error
        self.problems: list[str] = []
        self._addresses = Addresses(device, self.layout)
        self._pieces: OrderedDict[int, bytes] = OrderedDict()
        self._map: Allocation | None = None
        self._unlinked: set[int] = set()

    def allocation(self) -> Allocation:
        """Which blocks are in use. Raises :class:`ReadFailed`."""
        return ext_layout.allocation(self.device, self.layout)

    def entries(self) -> Iterator[Entry]:
        """Every file by its name from the root down, then deleted ones that no name leads to."""
        try:
            self._map = self.allocation()
            self._unlinked = set(ext_layout.unlinked(self.device, self.layout))
        except ReadFailed as error:
            self.problems.append(f"Part of the file system's own maps cannot be read: {error}")
        yield from self._walk()
        for number in sorted(self._unlinked):
            inode = self._inode(number)
            if inode is not None and inode.is_file:
                yield self._entry(inode, f"{ORPHANS}/inode-{number}", "orphan")

    def _walk(self) -> Iterator[Entry]:
        live, deleted = [(ROOT, "")], list[tuple[int, str]]()
        visited = {ROOT}
        left = max(
            2 * self.device.size, LARGEST_DIRECTORY
        )  # directories laid over one another would be read without end
        while live or deleted:
            gone = not live
            number, path = (live or deleted).pop()
            directory = self._inode(number)
            if directory is None:
                self.problems.append(f"The directory “{path or '/'}” cannot be read.")
                continue
            left -= min(directory.size, LARGEST_DIRECTORY)
            if left < 0:
                self.problems.append("The directories claim more room than the volume has: the rest were left out.")
                return
            for name, target, dead, is_directory in self._names(directory, path):
                place = f"{path}/{name}" if path else name
                inode = self._inode(target) if target else None
                if inode is not None and inode.is_directory and not (dead and not inode.deleted):
                    if target not in visited:
                        visited.add(target)
                        (deleted if dead or gone else live).append((target, place))
                    continue
                if not (dead and is_directory):
                    yield from self._named(place, inode, dead or gone)

    def _named(self, path: str, inode: Inode | None, dead: bool) -> Iterator[Entry]:
        if dead and (inode is None or not inode.mode):
            yield Entry(path, 0, "deleted", "", problem=_NAME_ONLY)
        elif inode is None or not inode.mode:
            self.problems.append(f"“{path}” has a name but no record behind it.")
        elif dead and not inode.deleted:
            yield Entry(path, 0, "deleted", "", problem=_TAKEN)
        elif inode.is_file or inode.is_link:
            self._unlinked.discard(inode.number)
            yield self._entry(inode, path, "deleted" if dead else "live")

    def _entry(self, inode: Inode, path: str, state: str) -> Entry:
        entry = Entry(path, min(inode.size, (1 << 63) - 1), state, str(inode.number))
        entry.created, entry.modified, entry.accessed, entry.changed = inode.times()
        if inode.flags & ENCRYPTED:
            self.problems.append(f"“{path}” is encrypted by the file system: only its encrypted form was read.")
        try:
            entry.inline = inode.inline()
            if entry.inline is None and inode.is_link:
                entry.inline = self._content(self._addresses.runs(inode, min(inode.size, _LONGEST_LINK)))
                entry.size = len(entry.inline)
            elif entry.inline is None and not inode.size:
                entry.inline = b""
            elif entry.inline is None:
                entry.runs = self._addresses.runs(inode)
        except (Damaged, ReadFailed, struct.error, RecursionError):
            entry.problem = _ERASED if state != "live" else _LOST
            return entry
        if state != "live":
            stored = [run for run in entry.runs or () if run[0] != SPARSE]
            if not stored and not entry.inline:
                entry.problem = _ERASED
            elif self._map is not None and self._map.any_in_use(stored):
                entry.problem = _REUSED
        return entry

    def _content(self, runs: Runs) -> bytes:
        return b"".join(bytes(length) if at == SPARSE else self.device.read(at, length) for at, length in runs)

    def _inode(self, number: int) -> Inode | None:
        at = self.layout.inode_at(number)
        if at is None:
            return None
        first, inside = at // _TABLE_PIECE, at % _TABLE_PIECE
        piece = self._pieces.get(first)
        if piece is None:
            try:
                piece = self.device.read(first * _TABLE_PIECE, _TABLE_PIECE)
            except ReadFailed:
                return None
            self._pieces[first] = piece
            if len(self._pieces) > _PIECES_KEPT:
                self._pieces.popitem(last=False)
        raw = piece[inside : inside + self.layout.inode_size]
        return parse(raw, number) if len(raw) >= 128 else None

    # Names ------------------------------------------------------------------------------------------------------

    def _names(self, directory: Inode, path: str) -> Iterator[tuple[str, int, bool, bool]]:
        """Name, inode, whether it was deleted, and whether it says that it is a directory; the live ones first."""
        live: set[tuple[str, int]] = set()
        # A directory that grew leaves copies of names that live on elsewhere in it.
        left_over: dict[tuple[str, int], bool] = {}
        try:
            for raw, searched in self._blocks(directory):
                try:
                    for name, target, dead, is_directory in self._in_block(raw, searched):
                        if dead:
                            left_over[name, target] = is_directory
                        else:
                            live.add((name, target))
                            yield name, target, False, is_directory
                except Damaged:  # the next block has names of its own
                    self.problems.append(f"The directory “{path or '/'}” is damaged: part of it was left out.")
        except (Damaged, ReadFailed, struct.error, RecursionError):
            self.problems.append(f"The directory “{path or '/'}” is damaged: the rest of it was left out.")
        for (name, target), is_directory in left_over.items():
            if (name, target) not in live:
                yield name, target, True, is_directory

    def _blocks(self, directory: Inode) -> Iterator[tuple[bytes, bool]]:
        """The directory's blocks, and whether what is left of deleted names may be looked for there."""
        if directory.flags & INLINE_DATA:
            content = directory.inline() or b""
            yield content[4:60], True  # before the first name stands the parent's number
            yield content[60:], True
            return
        size = min(directory.size, LARGEST_DIRECTORY)
        block = self.layout.block
        index = 0
        for at, length in self._addresses.runs(directory, size):
            for offset in range(0, length - block + 1, block) if at != SPARSE else ():
                raw = self.device.read(at + offset, block)
                # A hashed directory's index looks like free space between names.
                is_index = bool(directory.flags & INDEXED) and (
                    not index or raw[:6] == struct.pack("<IH", 0, block & 0xFFFF)
                )
                yield raw, not is_index
                index += 1

    def _in_block(self, raw: bytes, searched: bool) -> Iterator[tuple[str, int, bool, bool]]:
        """The names in one block. Raises :class:`Damaged` where they end before it does."""
        at = 0
        while at + 8 <= len(raw):
            target, length, name_length, kind = struct.unpack_from("<IHBB", raw, at)
            length = length or 65536 if length in (0, 65535) and len(raw) == 65536 else length
            if length < 8 or length % 4 or at + length > len(raw):
                raise Damaged
            name = raw[at + 8 : at + 8 + name_length]
            used = 8 + -(-name_length // 4) * 4 if target else 0
            if target and name not in (b".", b".."):
                yield component(shown(name)), target, False, kind == _DIRECTORY_TYPE
            if searched:
                yield from self._left_over(raw[at + used : at + length])
            at += length

    def _left_over(self, raw: bytes) -> Iterator[tuple[str, int, bool, bool]]:
        """Names that deletion left in the room that the name before took over, or that lost only their inode."""
        at = 0
        while at + 12 <= len(raw):
            target, length, name_length, kind = struct.unpack_from("<IHBB", raw, at)
            used = 8 + -(-name_length // 4) * 4
            name = raw[at + 8 : at + 8 + name_length]
            if (
                name_length and kind <= 7 and len(name) == name_length and used <= length and length % 4 == 0
                and at + used <= len(raw) and target <= self.layout.inodes and b"/" not in name and b"\0" not in name
                and (target or min(name) >= 0x20)
            ):  # fmt: skip
                if name not in (b".", b".."):
                    yield component(shown(name)), target, True, kind == _DIRECTORY_TYPE
                at += used
            else:
                at += 4
