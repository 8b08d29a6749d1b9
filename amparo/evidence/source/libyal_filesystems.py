"""APFS and XFS, through libyal's readers. C over hostile bytes: only ever called in a child process."""

from __future__ import annotations

import stat
import struct
from array import array
from collections.abc import Iterator
from typing import Any

import pyfsapfs
import pyfsxfs

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device, DeviceFile
from amparo.evidence.source.entry import SPARSE, Entry, Runs, component, trimmed
from amparo.evidence.source.free_space import Allocation

_PIECE = 1 << 20
_SPARSE_EXTENT = 1
_LONGEST_LINK, _LINK_HEADER = 1024, 56
_RESOURCE_FORK = "com.apple.ResourceFork"
MOST_ENTRIES = 50_000_000


def open_filesystem(device: Device, kind: str, keys: tuple[str, ...] = ()) -> LibyalVolume:
    """The reader of an APFS container (all its volumes) or an XFS volume. Raises :class:`SourceUnreadable`."""
    return LibyalVolume(device, kind, keys)


class LibyalVolume:
    """``kind`` is ``apfs`` or ``xfs``. The volumes of an APFS container stand side by side, each under its own name."""

    def __init__(self, device: Device, kind: str, keys: tuple[str, ...] = ()) -> None:
        self.device, self.kind, self.problems = device, kind, list[str]()
        self._live = array("q")  # offset and length of every run met
        self._roots: list[tuple[str, Any]] = []
        self._encrypted = set[int]()  # the numbers of those whose runs lead to what only the library decrypts
        file = DeviceFile(device)
        try:
            if kind == "xfs":
                head = device.read(0, 512)
                self._groups: tuple[int, int, int] = (
                    struct.unpack_from(">I", head, 4)[0], struct.unpack_from(">I", head, 84)[0], head[124],
                )  # fmt: skip
                self._container: Any = pyfsxfs.volume()
                self._container.open_file_object(file)
                self._roots.append(("", self._container))
            else:
                self._container = pyfsapfs.container()
                self._container.open_file_object(file)
                several = self._container.number_of_volumes > 1
                for index in range(self._container.number_of_volumes):
                    volume = self._container.get_volume(index)
                    name = volume.name or f"volume {index + 1}"
                    locked = volume.is_locked()
                    if self._unlocked(volume, keys):
                        if locked:
                            self._encrypted.add(len(self._roots))
                        self._roots.append((name if several else "", volume))
                    else:
                        self.problems.append(f"The APFS volume “{name}” is encrypted: give its password with --key.")
        except (OSError, struct.error, IndexError) as error:
            raise SourceUnreadable(f"The {kind.upper()} file system is damaged and cannot be opened.") from error

    @staticmethod
    def _unlocked(volume: Any, keys: tuple[str, ...]) -> bool:
        if not volume.is_locked():
            return True
        for key in keys:
            for offer in (volume.set_password, volume.set_recovery_password):
                try:
                    offer(key)
                    if volume.unlock():
                        return True
                except OSError:
                    continue
        return False

    def entries(self) -> Iterator[Entry]:
        """Every regular file and link, from the roots down."""
        for number, (name, volume) in enumerate(self._roots):
            try:
                root = volume.get_root_directory()
            except OSError:
                root = None
            if root is None:
                self.problems.append(f"The root directory of “{name or self.kind}” cannot be read.")
                continue
            yield from self._walk(number, root, name)

    def _walk(self, number: int, root: Any, above: str) -> Iterator[Entry]:
        waiting = [(root, above)]
        visited: set[int] = set()
        while waiting:
            directory, path = waiting.pop()
            try:
                if (identity := self._identity(directory)) in visited:
                    continue
                visited.add(identity)
                count = directory.number_of_sub_file_entries
            except OSError:
                self.problems.append(f"The directory “{path or '/'}” cannot be read.")
                continue
            for index in range(count):
                try:
                    file = directory.get_sub_file_entry(index)
                    if file is None:
                        raise ValueError("nothing there")
                    name = self._name(file)
                    place = f"{path}/{name}" if path else name
                    mode = file.file_mode or 0
                    if stat.S_ISDIR(mode):
                        waiting.append((file, place))
                    elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                        yield self._entry(number, file, place, mode)
                        yield from self._resource_fork(number, file, place)
                except (OSError, OverflowError, ValueError):
                    self.problems.append(f"Entry {index} of the directory “{path or '/'}” is damaged.")

    def _name(self, file: Any) -> str:
        try:
            return component(file.name or f"entry-{self._identity(file)}")
        except (OSError, ValueError):  # the library gives no name that is not UTF-8, not even its bytes
            return f"unreadable-name-{self._identity(file)}"

    def _identity(self, file: Any) -> int:
        return int(file.identifier if self.kind == "apfs" else file.inode_number)

    def _entry(self, number: int, file: Any, path: str, mode: int) -> Entry:
        size = int(file.size or 0)
        created, modified = _time(file, "get_creation_time_as_integer"), _time(file, "get_modification_time_as_integer")
        if self.kind == "apfs":
            # libfsapfs (20260921) takes the first of an inode's four times for its modification. It is its creation, by Apple's
            # reference (j_inode_val_t), by The Sleuth Kit, and by what macOS writes: a file is not written to before it exists.
            created, modified = modified, created
        entry = Entry(
            path, size, "live", f"{number}-{self._identity(file)}", created=created, modified=modified,
            accessed=_time(file, "get_access_time_as_integer"), changed=_time(file, "get_inode_change_time_as_integer"),
        )  # fmt: skip
        if stat.S_ISLNK(mode):
            entry.inline = self._link_target(file, size)
            entry.size = len(entry.inline)
        elif not size:
            entry.inline = b""
        else:
            runs = self._runs(file, size)
            for run in runs or ():
                self._live.extend(run)
            entry.runs = None if number in self._encrypted else runs
        return entry

    def _link_target(self, file: Any, size: int) -> bytes:
        try:
            target = (file.symbolic_link_target or "").encode()
        except (OSError, ValueError):
            target = b""
        if self.kind == "xfs" and len(target) != size <= _LONGEST_LINK:
            # A target too long for the inode has a block of its own, since version 5 with a header that the library takes for it.
            runs = self._runs(file, size)
            if runs:
                block = self.device.read(runs[0][0], _LINK_HEADER + size)
                return block[_LINK_HEADER:] if block[:4] == b"XSLM" else block[:size]
        return target

    def _resource_fork(self, number: int, file: Any, path: str) -> Iterator[Entry]:
        if self.kind != "apfs":
            return
        for index in range(file.number_of_extended_attributes):
            attribute = file.get_extended_attribute(index)
            if attribute.name == _RESOURCE_FORK and attribute.size:
                address = f"{number}-{self._identity(file)}-{index}"
                yield Entry(f"{path}:rsrc", int(attribute.size), "live", address)

    def _runs(self, file: Any, size: int) -> Runs | None:
        """The runs, or None where they do not tell the whole content (compressed or stored in the record itself)."""
        runs: Runs = []
        try:
            for index in range(file.number_of_extents):
                offset, length, flags = file.get_extent(index)
                # libfsapfs (20260921) does not mark a hole; block 0, where it says that one lies, is the container's own.
                hole = flags & _SPARSE_EXTENT or (self.kind == "apfs" and not offset)
                runs.append((SPARSE if hole else self._address(offset), length))
        except (OSError, AttributeError, TypeError, ValueError):
            return None
        return trimmed(runs, size) if sum(length for _, length in runs) >= size else None

    def _address(self, offset: int) -> int:
        """XFS numbers blocks by allocation group, and libfsxfs (20260901) gives that number as if it were a place."""
        if self.kind != "xfs":
            return offset
        block, per_group, bits = self._groups  # bytes, blocks, and the bits of a number that stay inside a group
        group, inside = offset // block >> bits, offset // block & (1 << bits) - 1
        return (group * per_group + inside) * block

    def allocation(self) -> Allocation:
        """What the files listed by :meth:`entries` occupy: the file system's own map is not offered by the library."""
        return Allocation.from_runs(self._live, self.device.size, 4096)

    def content(self, address: str, size: int) -> Iterator[bytes]:
        """The content at an entry's address. Raises :class:`ReadFailed`."""
        number, identity, *attribute = (int(part) for part in address.split("-"))
        try:
            volume = self._roots[number][1]
            if self.kind == "apfs":
                file = volume.get_file_entry_by_identifier(identity)
            else:
                file = volume.get_file_entry_by_inode(identity)
            if attribute:
                file = file.get_extended_attribute(attribute[0])
            for offset in range(0, size, _PIECE):
                piece = file.read_buffer_at_offset(min(_PIECE, size - offset), offset)
                if not piece:
                    raise ReadFailed(f"Its content ends after {offset} of {size} bytes.")
                yield piece
        except OSError as error:
            raise ReadFailed("Its content cannot be read: the file system is damaged there.") from error


def _time(file: Any, name: str) -> str | None:
    try:
        ticks = getattr(file, name)()
    except (AttributeError, OSError):
        return None
    return iso_from_epoch(*divmod(ticks, 1_000_000_000)) if ticks else None
