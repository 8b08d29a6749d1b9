"""File systems read through The Sleuth Kit: FAT, exFAT, ext2/3/4, ISO 9660, HFS+, and NTFS content that is compressed.

The library is C over hostile bytes and may crash: it is only ever called in a child process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytsk3

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import allocation_maps
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import SPARSE, Entry, Runs, shown, trimmed
from amparo.evidence.source.free_space import Allocation

KINDS = {
    pytsk3.TSK_FS_TYPE_FAT12: "fat", pytsk3.TSK_FS_TYPE_FAT16: "fat", pytsk3.TSK_FS_TYPE_FAT32: "fat",
    pytsk3.TSK_FS_TYPE_EXFAT: "exfat", pytsk3.TSK_FS_TYPE_EXT2: "ext", pytsk3.TSK_FS_TYPE_EXT3: "ext",
    pytsk3.TSK_FS_TYPE_EXT4: "ext", pytsk3.TSK_FS_TYPE_ISO9660: "iso9660", pytsk3.TSK_FS_TYPE_HFS: "hfs",
    pytsk3.TSK_FS_TYPE_NTFS: "ntfs",
}  # fmt: skip
ORPHANS = "$OrphanFiles"
# The search for orphans reads every free sector of a FAT volume for what may have been a directory; past this size it would cost
# a whole pass over the disk, and invents more than it finds.
ORPHAN_SEARCH_LIMIT = 64 << 30
MOST_ORPHANS = 200_000
_CONTENT = {
    int(pytsk3.TSK_FS_ATTR_TYPE_DEFAULT): "",
    int(pytsk3.TSK_FS_ATTR_TYPE_HFS_DATA): "",
    int(pytsk3.TSK_FS_ATTR_TYPE_HFS_RSRC): "rsrc",
    int(pytsk3.TSK_FS_ATTR_TYPE_NTFS_DATA): "",
}
_PLAIN_RUN = (int(pytsk3.TSK_FS_ATTR_RUN_FLAG_NONE), int(pytsk3.TSK_FS_ATTR_RUN_FLAG_SPARSE))
_SPARSE_RUN = int(pytsk3.TSK_FS_ATTR_RUN_FLAG_SPARSE)
_RESIDENT, _RECOVERY = int(pytsk3.TSK_FS_ATTR_RES), int(pytsk3.TSK_FS_ATTR_RECOVERY)
_COMPRESSED = int(pytsk3.TSK_FS_ATTR_COMP)
_UNALLOCATED_NAME = int(pytsk3.TSK_FS_NAME_FLAG_UNALLOC)
_UNALLOCATED = int(pytsk3.TSK_FS_META_FLAG_UNALLOC)
_DIRECTORIES = (int(pytsk3.TSK_FS_META_TYPE_DIR), int(pytsk3.TSK_FS_META_TYPE_VIRT_DIR))
_REGULAR = int(pytsk3.TSK_FS_META_TYPE_REG)
_LINK = int(pytsk3.TSK_FS_META_TYPE_LNK)
LONGEST_INLINE = 4096
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
            raise SourceUnreadable("No file system was recognised here.") from error
        info = self._fs.info
        if info.ftype not in KINDS:
            raise SourceUnreadable("The file system here is of a kind that is not supported.")
        self.kind = KINDS[info.ftype]
        self.block = int(info.block_size)
        self.problems: list[str] = []
        self._seen: set[int] = set()
        self._live_runs: Runs = []

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
        try:
            found = allocation_maps.read(self.kind, self.device)
        except (ReadFailed, ValueError, IndexError, ArithmeticError) as error:
            self.problems.append(
                f"The map of free blocks cannot be read, so it is put together from the files: {error}"
            )
            found = None
        return found or Allocation.from_runs(self._live_runs, self.size)

    def entries(self) -> Iterator[Entry]:
        """Every file: by its name from the root down, then deleted ones that no name leads to."""
        yield from self._walk(int(self._fs.info.root_inum), "")
        if self.kind == "ext":
            for number in allocation_maps.ext_unlinked_inodes(self.device):
                if number not in self._seen:
                    yield from self._nameless(number)

    def _walk(self, root: int, above: str) -> Iterator[Entry]:
        waiting = [(root, above)]
        visited = {root}
        orphans = 0
        while waiting:
            number, path = waiting.pop()
            try:
                directory = self._fs.open_dir(inode=number)
            except OSError:
                self.problems.append(f"The directory “{path or '/'}” cannot be read.")
                continue
            found = iter(directory)
            while True:
                try:
                    file = next(found)
                except StopIteration:
                    break
                except OSError:
                    self.problems.append(
                        f"The directory “{path or '/'}” is damaged; what precedes the damage was kept."
                    )
                    break
                name = file.info.name
                if name is None or name.name in (b".", b"..", None):
                    continue
                text = shown(name.name).replace("/", "\\x2f")
                place = f"{path}/{text}" if path else text
                meta = file.info.meta
                if meta is not None and int(meta.type) in _DIRECTORIES:
                    address = int(meta.addr)
                    if text == ORPHANS and not path and self.size > ORPHAN_SEARCH_LIMIT:
                        self.problems.append(
                            "Orphans were not searched for: the volume is too large for it to be worth a whole pass."
                        )
                    elif address not in visited:
                        visited.add(address)
                        waiting.insert(0, (address, place)) if text == ORPHANS else waiting.append((address, place))
                    continue
                if place.startswith(ORPHANS):
                    orphans += 1
                    if orphans > MOST_ORPHANS:
                        self.problems.append(
                            f"More than {MOST_ORPHANS} orphans were reported, which no disk holds: the rest were left out."
                        )
                        return
                yield from self._named(file, meta, place, bool(int(name.flags) & _UNALLOCATED_NAME))

    def _named(self, file: Any, meta: Any, path: str, name_deleted: bool) -> Iterator[Entry]:
        if path.endswith(_LABEL) or (path.startswith(ORPHANS) and (meta is None or not int(meta.size))):
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
        number = int(meta.addr)
        in_use = not int(meta.flags) & _UNALLOCATED
        if name_deleted and in_use:
            yield Entry(
                path, 0, "deleted", "", problem="Only its name is left: its record was given to another file since."
            )
            return
        orphan = path.startswith(ORPHANS)
        if not orphan:
            self._seen.add(number)
        yield from self._content(file, meta, path, "orphan" if orphan else "live" if in_use else "deleted")

    def _nameless(self, number: int) -> Iterator[Entry]:
        try:
            file = self._fs.open_meta(number)
            meta = file.info.meta
            if int(meta.type) != _REGULAR or not int(meta.flags) & _UNALLOCATED or not int(meta.size):
                return
        except (OSError, AttributeError):
            return
        yield from self._content(file, meta, f"{ORPHANS}/inode-{number}", "orphan")

    def _content(self, file: Any, meta: Any, path: str, state: str) -> Iterator[Entry]:
        number, listed = int(meta.addr), False
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
            if stream and not size:
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
                if state == "live" and entry.runs:
                    self._live_runs += entry.runs
            if state != "live" and not size and self.kind == "ext":
                entry.problem = "The file system erased where its content lay; carving may have found it."
            yield entry
        if not listed:
            size = int(meta.size)
            entry = self._entry(meta, path, state, size, f"{number}-1-0")
            if size:
                entry.problem = "The file system no longer says where its content lies."
            elif state != "live" and self.kind == "ext":
                entry.problem = "The file system erased where its content lay; carving may have found it."
            else:
                entry.inline = b""
            yield entry

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
            if flags not in _PLAIN_RUN:
                return None
            pieces.append(
                (int(run.offset), SPARSE if flags == _SPARSE_RUN else int(run.addr) * block, int(run.len) * block)
            )
        pieces.sort()
        runs: Runs = []
        told = 0
        for start, address, length in pieces:
            if start * block != told:
                return None
            runs.append((address, length))
            told += length
        return trimmed(runs, size) if told >= size else None
