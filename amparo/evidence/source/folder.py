"""A folder as a source: read in place, following no link, and leaving no access time behind where the system allows."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed
from amparo.evidence.source.entry import Entry, shown

_PIECE = 1 << 20
_LONGEST = 4096  # bytes of a path; directories can be nested deeper, and each costs as many steps as it is deep
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def entries(root: Path, problems: list[str]) -> Iterator[Entry]:
    """Every regular file under ``root`` in the order of its name's bytes; links are listed, never followed, not even where
    one takes a directory's place meanwhile."""
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        try:
            at = _directory(root, directory)
        except OSError as error:
            problems.append(f"The directory “{shown(directory)}” cannot be read: {error.strerror}.")
            continue
        below = []
        try:
            with os.scandir(at) as listing:
                found = sorted((os.fsencode(item.name), item) for item in listing)
            for name, item in found:
                path = directory + b"/" + name if directory else name
                try:
                    info = item.stat(follow_symlinks=False)
                    if stat.S_ISDIR(info.st_mode):
                        below.append(path)
                    elif stat.S_ISREG(info.st_mode):
                        yield _entry(path, info)
                    elif stat.S_ISLNK(info.st_mode):
                        target = os.fsencode(os.readlink(item.name, dir_fd=at))
                        entry = _entry(path, info)
                        entry.inline, entry.size = target, len(target)
                        yield entry
                except OSError as error:
                    problems.append(f"“{shown(path)}” cannot be read: {error.strerror}.")
        except OSError as error:
            problems.append(f"The directory “{shown(directory)}” cannot be read: {error.strerror}.")
        finally:
            os.close(at)
        waiting += reversed(below)


def _directory(root: Path, path: bytes) -> int:
    """A descriptor of the directory at ``path`` below ``root``, which alone may be a link. Raises OSError."""
    if len(path) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in path.split(b"/") if path else ():
        above = at
        try:
            at = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=above)
        finally:
            os.close(above)
    return at


def _entry(path: bytes, info: os.stat_result) -> Entry:
    born = getattr(info, "st_birthtime", 0)
    return Entry(
        shown(path), info.st_size, "live", path.hex(),
        created=iso_from_epoch(int(born)) if born else None,
        modified=_iso(info.st_mtime_ns), accessed=_iso(info.st_atime_ns), changed=_iso(info.st_ctime_ns),
    )  # fmt: skip


def _iso(nanoseconds: int) -> str | None:
    return iso_from_epoch(*divmod(nanoseconds, 1_000_000_000))


def _open(root: Path, address: str) -> int:
    above, _, name = bytes.fromhex(address).rpartition(b"/")
    try:
        at = _directory(root, above)
        try:
            try:
                handle = os.open(name, _FLAGS | getattr(os, "O_NOATIME", 0), dir_fd=at)
            except PermissionError:  # only a file's owner may leave its access time alone
                handle = os.open(name, _FLAGS, dir_fd=at)
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise ReadFailed("It is no longer a regular file.")
    except OSError as error:
        raise ReadFailed(f"It cannot be opened: {error.strerror}.") from error
    return handle


def stored(root: Path, address: str) -> int:
    """How many bytes the file at an entry's address takes on its disk: holes take none. 0 where it is gone."""
    try:
        info = os.lstat(os.fsencode(root) + b"/" + bytes.fromhex(address))
    except OSError:
        return 0
    return getattr(info, "st_blocks", info.st_size // 512 + 1) * 512


def pieces(root: Path, address: str) -> Iterator[bytes]:
    """The content of the file at an entry's address. Raises :class:`ReadFailed`."""
    handle = _open(root, address)
    try:
        while piece := os.read(handle, _PIECE):
            yield piece
    except OSError as error:
        raise ReadFailed(f"It cannot be read to its end: {error.strerror}.") from error
    finally:
        os.close(handle)


def seekable(root: Path, address: str) -> io.BufferedIOBase:
    """The content as a seekable stream, for readers of archives."""
    return os.fdopen(_open(root, address), "rb")
