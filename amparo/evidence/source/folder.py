"""A folder as a source: read in place, following no link, and leaving no access time behind where the system allows."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from amparo.clock import iso_from_epoch
from amparo.errors import ReadFailed
from amparo.evidence.source.entry import Entry, shown

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def entries(root: Path, problems: list[str]) -> Iterator[Entry]:
    """Every regular file under ``root`` in the order of its name's bytes; links are listed, never followed."""
    waiting = [os.fsencode(root)]
    base = len(waiting[0].rstrip(b"/")) + 1
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as listing:
                found = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            problems.append(f"The directory “{shown(directory[base:])}” cannot be read: {error.strerror}.")
            continue
        below = []
        for item in found:
            try:
                info = item.stat(follow_symlinks=False)
            except OSError as error:
                problems.append(f"“{shown(item.path[base:])}” cannot be read: {error.strerror}.")
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append(item.path)
            elif stat.S_ISREG(info.st_mode):
                yield _entry(item.path, base, info)
            elif stat.S_ISLNK(info.st_mode):
                target = os.readlink(item.path)  # noqa: PTH115  a name may be no text, and Path takes only text
                entry = _entry(item.path, base, info)
                entry.inline, entry.size = target, len(target)
                yield entry
        waiting += reversed(below)


def _entry(path: bytes, base: int, info: os.stat_result) -> Entry:
    born = getattr(info, "st_birthtime", 0)
    return Entry(
        shown(path[base:]), info.st_size, "live", path[base:].hex(),
        created=iso_from_epoch(int(born)) if born else None,
        modified=_iso(info.st_mtime_ns), accessed=_iso(info.st_atime_ns), changed=_iso(info.st_ctime_ns),
    )  # fmt: skip


def _iso(nanoseconds: int) -> str | None:
    return iso_from_epoch(*divmod(nanoseconds, 1_000_000_000))


def _open(root: Path, address: str) -> int:
    path = os.path.join(os.fsencode(root), bytes.fromhex(address))  # noqa: PTH118  as above
    try:
        try:
            handle = os.open(path, _FLAGS | getattr(os, "O_NOATIME", 0))
        except PermissionError:  # only a file's owner may leave its access time alone
            handle = os.open(path, _FLAGS)
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
