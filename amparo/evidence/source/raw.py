"""Files opened so that reading leaves no trace on them, and the raw image: one file, a split set, or a block device."""

from __future__ import annotations

import bisect
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable

# A set of thousands of parts must not use up the process's file handles (1,024 on most systems).
MOST_OPEN = 64
_LARGEST_READ = 1 << 30  # the system gives at most 2 GiB a call

_NUMBERED = re.compile(r"^(?P<stem>.+\.)(?P<number>\d{2,4})$")
_LETTERED = re.compile(r"^(?P<stem>.*)(?P<letters>[a-z]{2,4})$")


def open_read_only(path: Path) -> tuple[int, int]:
    """A descriptor and the size in bytes of a regular file or block device.

    The access time stays as it was where the system allows that (Linux, for the owner of the file). Raises
    :class:`SourceUnreadable`.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceUnreadable(f"{path} is a folder, not an image: search it as a folder.")
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise SourceUnreadable(f"{path} is neither a file nor a disk: give an image or a block device.")
        try:
            handle = os.open(path, flags | getattr(os, "O_NOATIME", 0))
        except PermissionError:
            handle = os.open(path, flags)  # only the owner may ask that the access time be left
        try:
            return handle, os.lseek(handle, 0, os.SEEK_END)
        except OSError:
            os.close(handle)
            raise
    except FileNotFoundError:
        raise SourceUnreadable(f"There is no file {path}: check the path, or that the disk is attached.") from None
    except PermissionError:
        raise SourceUnreadable(f"{path} may not be read by this user: ask for the right to read it.") from None
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be opened ({error.strerror}): check the disk it is on.") from None
    except ValueError:
        raise SourceUnreadable("The source's name is not one that a file can have: check the path.") from None


class Files:
    """The files of one image, by number. At most ``MOST_OPEN`` of them are open at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.sizes: list[int] = []
        self._open: OrderedDict[int, int] = OrderedDict()
        try:
            for index, path in enumerate(self.paths):
                handle, size = open_read_only(path)
                self.sizes.append(size)
                self._keep(index, handle)
        except SourceUnreadable:
            self.close()
            raise

    def _keep(self, index: int, handle: int) -> int:
        self._open[index] = handle
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return handle

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Exactly this range of one file, or :class:`ReadFailed`."""
        handle = self._open.get(index)
        try:
            if handle is None:
                handle = self._keep(index, open_read_only(self.paths[index])[0])
            elif len(self.paths) > MOST_OPEN:
                self._open.move_to_end(index)
            data = os.pread(handle, length if length < _LARGEST_READ else _LARGEST_READ, offset)
            while len(data) < length:
                more = os.pread(handle, min(length - len(data), _LARGEST_READ), offset + len(data))
                if not more:
                    raise ReadFailed(
                        f"{self.paths[index].name} ends at byte {offset + len(data)}, before the {length} bytes at {offset}."
                    )
                data += more
            return data
        except (OSError, ValueError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "no such place"
            raise ReadFailed(
                f"The {length} bytes at {offset} of {self.paths[index].name} cannot be read ({why})."
            ) from None
        except SourceUnreadable as error:
            raise ReadFailed(str(error)) from None

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def __del__(self) -> None:
        self.close()


class FileDevice:
    """One of ``files`` as a device of its own."""

    def __init__(self, files: Files, index: int) -> None:
        self._files, self._index, self.size = files, index, files.sizes[index]

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of this range, shorter only where it passes ``size``. Raises :class:`ReadFailed`."""
        return self._files.read(self._index, offset, max(0, min(length, self.size - offset)))

    def close(self) -> None:
        """Leave the files open: they close with the last device on them."""


class RawDevice:
    """The files' bytes, one file after the other. ``problems`` says what looks wrong about the set."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.problems: list[str] = []
        self._files = Files(paths)
        sizes = self._files.sizes
        if not all(sizes):
            empty = self._files.paths[sizes.index(0)].name
            self.close()
            raise SourceUnreadable(f"{empty} is empty: copy it from the original again.")
        self._sizes = sizes[:]  # the room of each part; what a part cut in copying lacks of it cannot be read
        odd = [index for index in range(1, len(sizes) - 1) if sizes[index] != sizes[0]]
        for index in odd:
            self.problems.append(
                f"{self._files.paths[index].name} has {sizes[index]} bytes where the first part has {sizes[0]}: it may have been"
                " cut in copying."
            )
            if sizes[index] < sizes[0] and 2 * len(odd) < len(sizes):  # else the parts were never of one size
                self._sizes[index] = sizes[0]
        self._starts = [0, *accumulate(self._sizes)]
        self.size = self._starts.pop()

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of this range, shorter only where it passes ``size``. Raises :class:`ReadFailed`."""
        if offset < 0 or length < 0:
            raise ReadFailed(f"A read at {offset} of {length} bytes lies outside the image.")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if len(self._starts) == 1:
            return self._files.read(0, offset, end - offset)
        part = bisect.bisect_right(self._starts, offset) - 1
        pieces = []
        while offset < end:
            start, size = self._starts[part], self._sizes[part]
            take = min(end, start + size) - offset
            pieces.append(self._files.read(part, offset - start, take))
            offset += take
            part += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        self._files.close()


def split_parts(path: Path) -> list[Path]:
    """Every part of the split set that ``path`` belongs to, in order; just ``path`` where it stands alone.

    Sets are named as ``split`` and the imaging tools do: ``.001`` or ``.000`` or ``.00`` on, or ``aa`` on. A missing part
    raises :class:`SourceUnreadable` and names it.
    """
    numbered, lettered = _NUMBERED.match(path.name), _LETTERED.match(path.name)
    if numbered:
        stem = numbered["stem"]
        width = 3 if len(numbered["number"]) == 4 else len(numbered["number"])
        pattern = re.compile(rf"{re.escape(stem)}(\d{{{width},4}})")
        found = {
            int(match[1]): match[0]
            for match in map(pattern.fullmatch, _names(path))
            if match and f"{int(match[1]):0{width}}" == match[1]
        }
        if 10**width - 1 not in found:
            # Four digits are a year more often than a part.
            found = {number: name for number, name in found.items() if number < 10**width}
        if path.name not in found.values():
            return [path]
        first = 0 if 0 in found else 1
        return _whole_set(path, found, first, lambda number: f"{stem}{number:0{width}}")
    if lettered:
        return _lettered_set(path)
    return [path]


def _lettered_set(path: Path) -> list[Path]:
    """``split`` without options: two letters after the given beginning, from ``aa`` on."""
    names = set(_names(path))
    for width in (2, 3, 4):
        stem, letters = path.name[:-width], path.name[-width:]
        if not re.fullmatch(f"[a-z]{{{width}}}", letters) or stem + "a" * width not in names:
            continue
        pattern = re.compile(rf"{re.escape(stem)}([a-z]{{{width}}})")
        found = {_letters_value(match[1]): match[0] for match in map(pattern.fullmatch, names) if match}
        run = 0
        while run in found:
            run += 1
        # Other files may share the beginning (disk.dd beside disk.aa): only what is near the unbroken run is of the set.
        near = {number: name for number, name in found.items() if number <= 2 * run + 2}
        if path.name not in near.values():
            continue
        return _whole_set(path, near, 0, lambda number, stem=stem, width=width: stem + _letters(number, width))
    return [path]


def _letters_value(letters: str) -> int:
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - ord("a")
    return value


def _letters(value: int, width: int) -> str:
    out = ""
    for _ in range(width):
        value, rest = divmod(value, 26)
        out = chr(ord("a") + rest) + out
    return out


def _whole_set(path: Path, found: dict[int, str], first: int, name: object) -> list[Path]:
    assert callable(name)
    if len(found) == 1:
        return [path]
    last = max(found)
    missing = [number for number in range(first, last + 1) if number not in found]
    if missing:
        raise SourceUnreadable(
            f"The part {name(missing[0])} of the split image is missing ({len(missing)} in all): put it beside the others."
        )
    parts = [path.with_name(found[number]) for number in range(first, last + 1)]
    refuse_links(path, parts)
    return parts


def refuse_links(given: Path, parts: Sequence[Path]) -> None:
    """Raise :class:`SourceUnreadable` where a part that only its name makes one of the set is a link: the folder may be
    the suspect's, and the link may lead to this machine's own files. The one that was ``given`` may be a link."""
    for part in parts:
        if part != given and part.is_symlink():
            raise SourceUnreadable(
                f"The part {part.name} is a link, which is not followed: put the file itself beside {given.name}."
            )


def _names(path: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return [path.name]
