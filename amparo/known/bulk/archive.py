"""A tar archive, plain or compressed with gzip, as a store of its members.

Of a plain one a worker reads a member where it lies. What is compressed can only be read forwards: it is unpacked here, member
by member, and sent to the workers; a large member by way of a file of our own, never more of them than there are workers.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from amparo.errors import SourceUnreadable, UsedWrongly
from amparo.known.bulk.headers import BLOCK, Damage, Forward, Member, is_heading, members
from amparo.known.bulk.thing import File, Held, Place, Spooled, Thing, Trouble

LARGEST_HELD: Final = 8 << 20  # bytes of a member that travel in memory
LARGEST_SENT: Final = 256 << 20  # to a cluster, where no file of ours can be reached
_GZIP: Final = b"\x1f\x8b\x08"
_PIECE: Final = 1 << 20


class Archive:
    """The archive in a file. ``reachable`` says whether workers see the files of this machine's temporary folder."""

    def __init__(self, path: Path, compressed: bool, reachable: bool = True) -> None:
        self.path, self.compressed, self._reachable = path, compressed, reachable
        self._spool: tempfile.TemporaryDirectory[str] | None = None

    @property
    def whole(self) -> str:
        """Its path, size and time: the journal knows members by where they lie in it."""
        status = self.path.stat()
        return f"{os.path.realpath(self.path)}\0{status.st_size}\0{status.st_mtime_ns}"

    def things(self) -> Iterator[Thing | Trouble]:
        """Every ordinary file in it. What is damaged is told, and what is behind it read."""
        try:
            with self.path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if self.compressed:
                    with gzip.GzipFile(fileobj=stream) as unpacked:
                        yield from self._things(Forward(cast(BinaryIO, unpacked), False), None)
                else:
                    yield from self._things(Forward(stream, True), size)
        except OSError as error:
            raise SourceUnreadable(f"{self.path} cannot be opened: {error.strerror}.") from None

    def _things(self, stream: Forward, size: int | None) -> Iterator[Thing | Trouble]:
        for found in members(stream):
            if isinstance(found, Damage):
                yield Trouble(str(self.path) if found.name is None else f"{self.path}/{found.name}", found.sentence)
                continue
            name = f"{self.path}/{found.name}"
            if size is None:
                yield from self._unpacked(stream, found, name)
                continue
            there = max(0, min(found.size, size - found.offset))
            place = File(os.path.realpath(self.path), found.offset, there)
            yield Thing(name, there, place, found.offset, _flaw(there, found.size))

    def _unpacked(self, stream: Forward, member: Member, name: str) -> Iterator[Thing | Trouble]:
        place: Place
        if member.size <= LARGEST_HELD or (not self._reachable and member.size <= LARGEST_SENT):
            data = stream.read(member.size)
            place, there = Held(data), len(data)
        elif not self._reachable:
            yield Trouble(name, f"It is too large to be sent to a cluster ({member.size} bytes): unpack the archive.")
            return
        else:
            path, there = self._spooled(stream, member.size)
            place = Spooled(path)
        yield Thing(name, there, place, member.offset, _flaw(there, member.size))

    def _spooled(self, stream: Forward, size: int) -> tuple[str, int]:
        if self._spool is None:
            self._spool = tempfile.TemporaryDirectory(prefix="amparo-unpacked-")
        try:
            handle, path = tempfile.mkstemp(dir=self._spool.name)
            there = 0
            with os.fdopen(handle, "wb") as file:
                while there < size and (piece := stream.read(min(_PIECE, size - there))):
                    file.write(piece)
                    there += len(piece)
        except OSError as error:
            raise UsedWrongly(
                f"A large file of {self.path} cannot be unpacked in {self._spool.name}: {error.strerror}; set TMPDIR to a folder with room."
            ) from None
        return path, there


def _flaw(there: int, size: int) -> str | None:
    return None if there == size else f"The archive ends within it: {there} of its {size} bytes are there."


def compression_of(path: Path) -> bool | None:
    """Whether a file is a tar archive that is compressed (True) or plain (False); None where it is none, or cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(BLOCK)
            if head.startswith(_GZIP):
                stream.seek(0)
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    first = Forward(cast(BinaryIO, unpacked), False).read(BLOCK)
                return True if is_heading(first) or path.name.endswith((".tar.gz", ".tgz")) else None
    except OSError:
        return None
    return False if is_heading(head) or path.name.endswith(".tar") else None
