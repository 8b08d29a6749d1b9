"""What is read through The Sleuth Kit: FAT, and content on NTFS and HFS+ that is compressed in their own ways.

The library is C over hostile bytes and may crash: it is only ever called in a child process.
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from collections.abc import Iterator
from typing import Any

import pytsk3

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import allocation_maps
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry, Runs, component, shown, trimmed
from amparo.evidence.source.free_space import Allocation

KINDS = {
    pytsk3.TSK_FS_TYPE_FAT12: "fat", pytsk3.TSK_FS_TYPE_FAT16: "fat", pytsk3.TSK_FS_TYPE_FAT32: "fat",
    pytsk3.TSK_FS_TYPE_HFS: "hfs", pytsk3.TSK_FS_TYPE_NTFS: "ntfs",
}  # fmt: skip
ORPHANS = "$OrphanFiles"
# The search for orphans reads every free sector of a FAT volume for what may have been a directory; past this size it would cost
# a whole pass over the disk, and invents more than it finds.
ORPHAN_SEARCH_LIMIT = 64 << 30
MOST_ORPHANS = 200_000
# The library's search for orphans follows every path there is: with a directory named in so many places, paths double as often.
MOST_NAMED_AGAIN = 12
_FIRST_CUT = 195  # bytes of a FAT name, in UTF-8, from which on the library loses some
_FIRST_FAT_RECORD = 3  # the library's number for the first place in FAT's directories
_CONTENT = {
    int(pytsk3.TSK_FS_ATTR_TYPE_DEFAULT): "",
    int(pytsk3.TSK_FS_ATTR_TYPE_HFS_DATA): "",
    int(pytsk3.TSK_FS_ATTR_TYPE_HFS_RSRC): "rsrc",
    int(pytsk3.TSK_FS_ATTR_TYPE_NTFS_DATA): "",
}
_SPARSE_RUN = int(pytsk3.TSK_FS_ATTR_RUN_FLAG_SPARSE)
# What an extent tree passes over is a hole; elsewhere a filler means that the library met nothing where something should be.
_RESIDENT = int(pytsk3.TSK_FS_ATTR_RES)
_COMPRESSED = int(pytsk3.TSK_FS_ATTR_COMP)
_UNALLOCATED_NAME = int(pytsk3.TSK_FS_NAME_FLAG_UNALLOC)
_UNALLOCATED = int(pytsk3.TSK_FS_META_FLAG_UNALLOC)
_VIRTUAL = int(pytsk3.TSK_FS_META_TYPE_VIRT_DIR)
_DIRECTORIES = (int(pytsk3.TSK_FS_META_TYPE_DIR), _VIRTUAL)
_REGULAR = int(pytsk3.TSK_FS_META_TYPE_REG)
_LINK = int(pytsk3.TSK_FS_META_TYPE_LNK)
LONGEST_INLINE = 4096
_FARTHEST = 1 << 60  # the library hands on block numbers that it never held against the volume
_LABEL = " (Volume Label Entry)"


class _Image(pytsk3.Img_Info):  # type: ignore[misc]
    """A device, as The Sleuth Kit asks for it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        super().__init__(url="", type=pytsk3.TSK_IMG_TYPE_EXTERNAL)

    def read(self, offset: int, size: int) -> bytes:
        try:
            return self._device.read(offset, size)
        except ReadFailed as error:
            raise OSError(str(error)) from error

    def get_size(self) -> int:
        return self._device.size

    def close(self) -> None:
        """The device is closed by whoever opened it."""


class TskVolume:
    """A file system on ``device``. Raises :class:`SourceUnreadable` where The Sleuth Kit recognises none."""

    def __init__(self, device: Device) -> None:
        os.environ["TZ"] = "UTC"  # FAT states no time zone: its wall-clock times are shown as they stand
        time.tzset()
        self.device, self.size = device, device.size
        self._image = _Image(device)
        try:
            self._fs = pytsk3.FS_Info(self._image)
        except OSError as error:
            raise SourceUnreadable(
                "The file system here cannot be opened: it is damaged, or laid out in a way that is not supported."
            ) from error
        info = self._fs.info
        if info.ftype not in KINDS:
            raise SourceUnreadable("The file system here is of a kind that is not supported.")
        self.kind = KINDS[info.ftype]
        self.block = int(info.block_size)
        self.problems: list[str] = []
        self._named_again = 0  # how often a directory was met that another had led to
        self._map: Allocation | None = None
        self._live = array("q")  # offset and length of every live run, where the file system keeps no map that we read

    def content(self, address: str, size: int, piece: int = 1 << 20) -> Iterator[bytes]:
        """The content at an entry's address, piece by piece, read by the library. Raises :class:`ReadFailed`."""
        number, kind, identity = (int(part) for part in address.split("-"))
        try:
            file = self._fs.open_meta(number)
            for offset in range(0, size, piece):
                data = file.read_random(offset, min(piece, size - offset), kind, identity)
                if not data:
                    raise ReadFailed(f"Its content ends after {offset} of {size} bytes.")
                yield data
        except OSError as error:
            raise ReadFailed("Its content cannot be read: the file system is damaged there.") from error

    def allocation(self) -> Allocation:
        """Which blocks are in use: the file system's own map, or, where none can be read, what :meth:`entries` met."""
        found = self._map or self._read_map()
        if found is not None:
            return found
        return Allocation.from_runs(self._live, self.size, self.block)

    def _read_map(self) -> Allocation | None:
        try:
            return allocation_maps.read(self.kind, self.device)
        except (ReadFailed, ValueError, ArithmeticError) as error:
            self.problems.append(
                f"The map of free blocks cannot be read, so it is put together from the files: {error}"
            )
            return None

    def entries(self) -> Iterator[Entry]:
        """Every file: by its name from the root down, then deleted ones that no name leads to."""
        for part in self.parts():
            yield from part

    def parts(self) -> Iterator[Iterator[Entry]]:
        """The same in parts, so that what one gave can be kept before the next is begun, which may take long."""
        self._map = self._read_map()
        visited = {root := int(self._fs.info.root_inum)}
        lost: list[int] = []
        yield self._walk(root, "", visited, lost)
        for number in lost:
            if self.size > ORPHAN_SEARCH_LIMIT:
                self.problems.append(
                    "Orphans were not searched for: the volume is too large for it to be worth a whole pass."
                )
            elif self._named_again > MOST_NAMED_AGAIN:
                self.problems.append(
                    f"Orphans were not searched for: directories are named again in {self._named_again} places, so paths have no end."
                )
            else:
                yield self._walk(number, ORPHANS, visited, [])

    def _walk(self, root: int, above: str, visited: set[int], lost: list[int]) -> Iterator[Entry]:
        """What is below a directory. Where the library keeps orphans is added to ``lost``."""
        # Live directories first: where a deleted one's blocks were given to a live one, the files there are the live one's.
        live, deleted = [(root, above)], list[tuple[int, str]]()
        orphan, met = above == ORPHANS, 0
        while live or deleted:
            number, path = (live or deleted).pop()
            for file, name, place in self._directory(number, path):
                meta = file.info.meta
                if meta is not None and int(meta.type) in _DIRECTORIES:
                    identity = self._identity(file, int(meta.addr))
                    if identity in visited:
                        self._named_again += 1
                        continue
                    visited.add(identity)
                    if int(meta.type) == _VIRTUAL:
                        lost.append(int(meta.addr))
                    else:
                        (deleted if int(meta.flags) & _UNALLOCATED else live).append((int(meta.addr), place))
                    continue
                met += orphan
                if met > MOST_ORPHANS:
                    self.problems.append(
                        f"More than {MOST_ORPHANS} orphans were reported, which no disk holds: the rest were left out."
                    )
                    return
                yield from self._named(file, meta, place, bool(int(name.flags) & _UNALLOCATED_NAME), orphan)

    def _directory(self, number: int, path: str) -> Iterator[tuple[Any, Any, str]]:
        """What a directory holds: the library's file and name, and the path."""
        try:
            found = iter(self._fs.open_dir(inode=number))
        except OSError:
            self.problems.append(
                "Files that no directory leads to could not be searched for: the file system is damaged or unusual."
                if path == ORPHANS
                else f"The directory “{path or '/'}” cannot be read."
            )
            return
        while True:
            try:
                file = next(found)
            except StopIteration:
                return
            except OSError:
                self.problems.append(f"The directory “{path or '/'}” is damaged; what precedes the damage was kept.")
                return
            name = file.info.name
            if name is None or name.name in (b".", b"..", None):
                continue
            text = component(self._whole_name(name))
            yield file, name, f"{path}/{text}" if path else text

    def _whole_name(self, name: Any) -> str:
        """The name as text. The library drops the end of a FAT name that is very long: it is read here, where it lies."""
        text = shown(name.name)
        if self.kind == "fat" and len(name.name) >= _FIRST_CUT:
            try:
                whole = allocation_maps.fat_long_name(self.device, int(name.meta_addr) - _FIRST_FAT_RECORD)
            except (ReadFailed, struct.error, IndexError):
                return text
            if whole.startswith(text):
                return whole
        return text

    def _identity(self, file: Any, number: int) -> int:
        """What tells one directory from another. On FAT a number is only the place of a name, and many names may lead to one."""
        if self.kind == "fat":
            try:
                for attribute in file:
                    for run in attribute:
                        return -1 - int(run.addr)
            except OSError:
                pass
        return number

    def _named(self, file: Any, meta: Any, path: str, name_deleted: bool, orphan: bool) -> Iterator[Entry]:
        empty = meta is None or not int(meta.size)
        if empty and (orphan or (self.kind == "fat" and path.endswith(_LABEL))):
            return  # a volume's label is no file; an orphan without name and length is nothing
        if meta is None:
            if name_deleted:
                yield Entry(
                    path, 0, "deleted", "", problem="Only its name is left: nothing says where its content lay."
                )
            else:
                self.problems.append(f"“{path}” has a name but no record behind it.")
            return
        if int(meta.type) not in (_REGULAR, _LINK):
            return
        in_use = not int(meta.flags) & _UNALLOCATED
        if name_deleted and in_use:
            yield Entry(
                path, 0, "deleted", "", problem="Only its name is left: its record was given to another file since."
            )
            return
        yield from self._content(file, meta, path, "orphan" if orphan else "live" if in_use else "deleted")

    def _content(self, file: Any, meta: Any, path: str, state: str) -> Iterator[Entry]:
        number, listed = int(meta.addr), False
        if int(meta.type) == _LINK and meta.link:
            entry = self._entry(meta, path, state, len(meta.link), f"{number}-1-0")
            entry.inline = bytes(meta.link)
            yield entry
            return
        try:
            attributes = list(file)
        except OSError:
            attributes = []
        for attribute in attributes:
            info = attribute.info
            kind = int(info.type)
            if kind not in _CONTENT:
                continue
            stream = _CONTENT[kind]
            size = int(info.size)
            if size < 0 or (stream and not size):
                continue
            listed = True
            entry = self._entry(
                meta, f"{path}:{stream}" if stream else path, state, size, f"{number}-{kind}-{int(info.id)}"
            )
            flags = int(info.flags)
            if flags & _RESIDENT and size <= LONGEST_INLINE:
                try:
                    entry.inline = file.read_random(0, size, kind, int(info.id)) if size else b""
                except OSError:
                    entry.problem = "Its content cannot be read: the file system is damaged there."
            elif not flags & _COMPRESSED:
                entry.runs = self._runs(attribute, size)
                if state == "live" and entry.runs and self._map is None:
                    for offset, length in entry.runs:
                        self._live.extend((offset, length))
            if state != "live" and self.kind == "fat" and size and self._reused(entry):
                entry.problem = "Its clusters were given to other files since it was deleted; its content is lost."
            yield entry
        if not listed:
            size = max(0, int(meta.size))
            entry = self._entry(meta, path, state, size, f"{number}-1-0")
            if size:
                entry.problem = "The file system no longer says where its content lies."
            else:
                entry.inline = b""
            yield entry

    def _reused(self, entry: Entry) -> bool:
        """Whether a deleted file's content is another's by now. The library gives no runs where it lies in blocks in use."""
        return entry.inline is None and (
            entry.runs is None or (self._map is not None and self._map.any_in_use(entry.runs))
        )

    def _entry(self, meta: Any, path: str, state: str, size: int, address: str) -> Entry:
        return Entry(
            path, size, state, address,
            created=iso_from_epoch(int(meta.crtime), int(meta.crtime_nano)),
            modified=iso_from_epoch(int(meta.mtime), int(meta.mtime_nano)),
            accessed=iso_from_epoch(int(meta.atime), int(meta.atime_nano)),
            changed=iso_from_epoch(int(meta.ctime), int(meta.ctime_nano)),
        )  # fmt: skip

    def _runs(self, attribute: Any, size: int) -> Runs | None:
        """The runs in bytes, or None where they do not tell the whole content and the library must read it."""
        block = self.block
        pieces: list[tuple[int, int, int]] = []
        for run in attribute:
            flags = int(run.flags)
            if flags not in (0, _SPARSE_RUN):
                return None
            pieces.append((int(run.offset), SPARSE if flags else int(run.addr) * block, int(run.len) * block))
        pieces.sort()
        runs: Runs = []
        told = 0
        for start, address, length in pieces:
            if start * block != told or address > _FARTHEST:
                return None
            runs.append((address, length))
            told += length
        return trimmed(runs, size) if told >= size else None
