"""A BagIt bag (RFC 8493) on the disk: its names, walking it without following anything, and writing it so that a file is
there whole or not at all.

Names are bytes throughout, relative to the bag, with ``/``: what is on the disk is compared with what the manifest says,
byte for byte. Both come in the order of these bytes, so that two lists of any length are compared side by side in little
memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from amparo.errors import PackageWrong
from amparo.evidence.finding import shown

BAGIT, INFO, MANIFEST, TAGMANIFEST = "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"
LEDGER, SEAL, DATA = "custody.jsonl", "seal.json", "data"
TAGGED = (INFO, BAGIT, LEDGER, MANIFEST)  # what the tag manifest covers, in its order
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
REPORTS = ("data/report.html", "data/report.pdf")  # what may be written again after sealing, and sealed again
PARTIAL = ".partial"
LONGEST_LINE = 64 + 2 + 3 * 4096 + 1  # a digest, two spaces, and the longest path with every byte encoded
_LINE = re.compile(rb"([0-9a-f]{64})  ([^\r\n]+)\n")
_READ = 1 << 20


class Node(NamedTuple):
    """One thing in the bag. ``kind`` is ``file``, ``empty`` (a folder with nothing in it, whose path ends with ``/``), or
    what else it is."""

    path: bytes
    kind: str


class Entry(NamedTuple):
    """One line of a manifest."""

    path: bytes
    digest: str


def walk(root: Path, below: str = DATA) -> Iterator[Node]:
    """All that lies below a folder of the bag, in the order of the paths' bytes; links are named, never followed.
    Raises OSError where a folder cannot be listed."""
    top = os.fsencode(below)
    waiting = [(top, stat.S_ISDIR(os.lstat(place(root, top)).st_mode))]
    while waiting:
        path, is_folder = waiting.pop()
        if not is_folder:
            yield Node(path, kind_of(os.lstat(place(root, path)).st_mode))
            continue
        with os.scandir(place(root, path)) as listing:
            found = [(path + b"/" + entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
        if not found:
            yield Node(path + b"/", "empty")
        # A folder sorts as its name with a slash: so do the paths of what is in it.
        waiting += sorted(found, key=lambda one: one[0] + b"/" if one[1] else one[0], reverse=True)


def place(root: Path, path: bytes) -> bytes:
    """Where on the disk a name in the bag lies."""
    return os.fsencode(root) + b"/" + path


def kind_of(mode: int) -> str:
    """``file``, or in words what else a ``st_mode`` stands for."""
    if stat.S_ISREG(mode):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "pipe, socket or device"


def open_plain(path: Path | bytes) -> io.BufferedReader:
    """The file at ``path`` for reading. Raises OSError where it is no plain file; a link is not followed, and a pipe
    never waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "It is not a plain file", os.fsdecode(path))
    return os.fdopen(descriptor, "rb")


def digest_of(path: Path | bytes, *, settle: bool = False) -> tuple[str, int]:
    """SHA-256 in lower hex, and size in bytes. With ``settle`` the content is on the disk before this returns."""
    digest, size = hashlib.sha256(), 0
    with open_plain(path) as file:
        if settle:
            os.fsync(file.fileno())
        while piece := file.read(_READ):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def read_small(path: Path, largest: int) -> bytes:
    """A whole tag file. Raises OSError where it is no plain file, PackageWrong where it is larger than any such file."""
    with open_plain(path) as file:
        raw = bytearray()
        while len(raw) <= largest and (piece := file.read(largest + 1 - len(raw))):
            raw += piece
    if len(raw) > largest:
        raise PackageWrong(f"{path.name} is larger than Amparo writes it: it was changed.")
    return bytes(raw)


def line_of(entry: Entry) -> bytes:
    """One manifest line. RFC 8493, 2.1.3: line ends and the percent sign are percent-encoded, and only those."""
    path = entry.path.replace(b"%", b"%25").replace(b"\n", b"%0A").replace(b"\r", b"%0D")
    return entry.digest.encode("ascii") + b"  " + path + b"\n"


def entries(file: BinaryIO, name: str) -> Iterator[Entry]:
    """The lines of a manifest, which must be in the order of their paths, each path once and inside the bag. Raises
    PackageWrong at the first line that is not so."""
    before = b""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LONGEST_LINE:
            raise PackageWrong(f"{name}: line {number} is not a digest and a path as Amparo writes them.")
        path = _decoded(match[2])
        if path is None or line_of(Entry(path, match[1].decode())) != line:
            raise PackageWrong(f"{name}: line {number} encodes its path in a way of its own.")
        if path.startswith(b"/") or any(part in (b"", b".", b"..") for part in path.split(b"/")) or b"\0" in path:
            raise PackageWrong(f"{name}: line {number} names a place outside the package: {shown(path)}")
        if path <= before:
            what = "names a file a second time" if path == before else "is out of order"
            raise PackageWrong(f"{name}: line {number} {what}: {shown(path)}")
        before = path
        yield Entry(path, match[1].decode())


def _decoded(path: bytes) -> bytes | None:
    known = {b"%25": b"%", b"%0A": b"\n", b"%0D": b"\r"}
    try:
        return re.sub(rb"%.{0,2}", lambda found: known[found[0]], path)
    except KeyError:
        return None


def stage(root: Path, name: str, write: Callable[[BinaryIO], None]) -> None:
    """Write what :func:`settle` will put in the place of ``name``, and bring it to the disk. Raises OSError."""
    with (root / (name + PARTIAL)).open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def settle(root: Path) -> None:
    """Bring every staged file of a package to its place, where all of them were staged; drop them where they were not.

    The seal is staged last, so a staged seal means that everything it covers is on the disk: an interrupted sealing goes
    on here, or is as if it had never begun. Where ``root`` is no package, nothing happens. Raises OSError.
    """
    if not ((root / LEDGER).is_file() and (root / BAGIT).is_file()):
        return
    complete = (root / (SEAL + PARTIAL)).is_file()
    changed = set()
    for name in (*REPORTS, *TAGGED, TAGMANIFEST, SEAL):
        staged = root / (name + PARTIAL)
        if staged.is_file() and _is_folder(staged.parent):
            if complete:
                staged.replace(root / name)
            else:
                staged.unlink()
            changed.add(staged.parent)
    for folder in sorted(changed):
        sync_folder(folder)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def settle_file(path: Path) -> None:
    """Return once the file's content and its name are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network and USB file systems have no such call; the data itself was synced
        pass
    finally:
        os.close(descriptor)


def info(fields: Mapping[str, str]) -> bytes:
    """The bytes of ``bag-info.txt``: one label and value a line (RFC 8493, 2.2.2)."""
    return "".join(f"{label}: {' '.join(value.split())}\n" for label, value in fields.items() if value.strip()).encode(
        "utf-8", "replace"
    )
