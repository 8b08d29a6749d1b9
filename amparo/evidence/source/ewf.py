"""E01 images as bytes at an address: chunks found by table, inflated a run at a time, each held to its checksum.

A reader of our own, because libewf's costs milliseconds for a random read; tests hold both against each other.
"""

from __future__ import annotations

import bisect
import zlib
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.ewf_segments import Contents, Table, TablePlace, read_set, segment_files
from amparo.evidence.source.raw import Files

CACHE = 8 << 20  # bytes of inflated chunks kept
_CACHED_ENTRIES = 4 << 20  # chunk offsets kept, four bytes each: 128 GiB of disk at the usual chunk size
_FEW = 8  # a longer run is a sequential read, of which only the ends may be wanted again
_BAD_KEPT = 4096
_COMPRESSED = 0x80000000
_NOT_INFLATED: Any = isal_zlib.IsalError  # its stub calls the class an instance


class EwfDevice:
    """The medium in an E01 set; ``path`` may be any of its segments.

    ``stored_digests`` are what the image says its medium's digests are (lower hex by name), and ``problems`` sentences
    about what is missing or damaged. What is missing raises :class:`ReadFailed` when read, a chunk at a time. Raises
    :class:`SourceUnreadable` where not even the size of the medium can be told.
    """

    def __init__(self, path: Path) -> None:
        self.problems: list[str] = []
        members = segment_files(path)
        self._files = Files([file for _, file in members])
        try:
            contents = read_set(self._files, [number for number, _ in members], self.problems)
        except SourceUnreadable:
            self._files.close()
            raise
        self.stored_digests = contents.digests
        self._chunk = contents.geometry.chunk_size
        self.size = contents.geometry.size
        self._place_tables(contents)
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._most_cached = max(1, CACHE // self._chunk)
        self._offsets: OrderedDict[int, Any] = OrderedDict()
        self._offsets_kept = 0
        self._bad: dict[int, str] = {}

    def _place_tables(self, contents: Contents) -> None:
        """Give every table its first chunk. Across one gap they are counted from the end; between two, nothing is known."""
        wanted = -(-self.size // self._chunk)
        tables = contents.tables
        told = sum(table.place.entries for table in tables if table is not None)
        if contents.complete and told < wanted:
            self.problems.append(f"The image says it holds {wanted} chunks, but its tables list {told}: it ends early.")
            self.size = min(self.size, told * self._chunk)
            if not self.size:
                raise SourceUnreadable(f"{self._files.paths[0].name} holds nothing: take the image again.")
        placed: list[tuple[int, Table]] = []
        gaps = [index for index, table in enumerate(tables) if table is None]
        if told == wanted:
            gaps = []  # the gap hid no table
        first, at = gaps[0] if gaps else len(tables), 0
        for table in tables[:first]:
            if table is not None:
                placed.append((at, table))
                at += table.place.entries
        if gaps and told < wanted:
            back, end = [], wanted
            for table in reversed(tables[gaps[-1] + 1 :]):
                if table is not None:
                    end -= table.place.entries
                    back.append((end, table))
            placed += reversed(back)
        placed = [(first, table) for first, table in placed if table.place.entries]
        self._firsts = [first for first, _ in placed]
        self._tables = [table for _, table in placed]

    # Reading ----------------------------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of this range, shorter only where it passes ``size``. Raises :class:`ReadFailed`."""
        if offset < 0 or length < 0:
            raise ReadFailed(f"A read at {offset} of {length} bytes lies outside the image.")
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first, last = offset // self._chunk, (end - 1) // self._chunk
        pieces: list[bytes] = []
        chunk = first
        while chunk <= last:
            kept = self._cache.get(chunk)
            if kept is not None:
                self._cache.move_to_end(chunk)
                pieces.append(kept)
                chunk += 1
                continue
            until = chunk + 1
            while until <= last and until not in self._cache:
                until += 1
            chunk += self._inflate_run(chunk, until, pieces)
        skip = offset - first * self._chunk
        if len(pieces) == 1:
            return pieces[0][skip : skip + end - offset]
        pieces[-1] = pieces[-1][: end - last * self._chunk]
        if skip:
            pieces[0] = pieces[0][skip:]
        return b"".join(pieces)

    def missing_until(self, offset: int) -> int:
        """Up to where no table that was found tells of a chunk; ``offset`` where one tells of the chunk there."""
        chunk = offset // self._chunk
        number = bisect.bisect_right(self._firsts, chunk) - 1
        if number >= 0 and chunk < self._firsts[number] + self._tables[number].place.entries:
            return offset
        return self._firsts[number + 1] * self._chunk if number + 1 < len(self._firsts) else self.size

    def _inflate_run(self, chunk: int, until: int, pieces: list[bytes]) -> int:
        """Append the chunks from ``chunk`` on that one table lists, before ``until``; says how many."""
        number = bisect.bisect_right(self._firsts, chunk) - 1
        table = self._tables[number] if number >= 0 else None
        if table is None or chunk >= self._firsts[number] + table.place.entries:
            raise ReadFailed(
                f"The {self._chunk} bytes at {chunk * self._chunk} are in a part of the image that is missing or damaged."
            )
        at = chunk - self._firsts[number]
        count = min(until - chunk, table.place.entries - at, max(1, CACHE // self._chunk))
        for wanted in range(chunk, chunk + count) if self._bad else ():
            if wanted in self._bad:
                raise ReadFailed(self._bad[wanted])
        entries = self._entries(number)
        marked = entries[at : at + count + 1].tolist()
        if at + count == table.place.entries:
            marked.append(max(table.end, 0) << 1)
        starts = [entry >> 1 for entry in marked]
        # Stored, a chunk is never much larger than it is: whatever leads further is a damaged table.
        most = self._chunk + (self._chunk >> 3) + 1024
        file = table.place.file
        limit = self._files.sizes[file]
        ends = [
            min(following if following > start else limit, start + most, limit) for start, following in pairwise(starts)
        ]
        low, high = min(starts[:-1]), max(ends)
        together = 0 <= low < high <= low + most * count
        run = memoryview(self._files.read(file, low, high - low)) if together else None
        keep = count <= _FEW
        for index in range(count):
            start, stop = starts[index], ends[index]
            if start >= stop:
                raise self._is_bad(chunk + index, file, start, "lies past the end of the file")
            data = run[start - low : stop - low] if run is not None else self._files.read(file, start, stop - start)
            piece = self._inflate(chunk + index, data, marked[index] & 1, file, start)
            pieces.append(piece)
            if keep or index == count - 1:
                self._cache[chunk + index] = piece
        while len(self._cache) > self._most_cached:
            self._cache.popitem(last=False)
        return count

    def _inflate(self, chunk: int, data: bytes | memoryview, compressed: int, file: int, start: int) -> bytes:
        wanted = min(self._chunk, self.size - chunk * self._chunk)
        if compressed:
            try:
                inflater = isal_zlib.decompressobj()
                # One byte more than a chunk: so that the end, where the checksum is, is reached, and no further.
                piece: bytes = inflater.decompress(data, self._chunk + 1)
                if inflater.eof and wanted <= len(piece) <= self._chunk:
                    return piece
            except _NOT_INFLATED:
                pass
            try:
                other = zlib.decompressobj()
                piece = other.decompress(data, self._chunk + 1)
                if other.eof and wanted <= len(piece) <= self._chunk:
                    return piece
            except zlib.error:
                pass
            raise self._is_bad(chunk, file, start, "cannot be inflated")
        for size in dict.fromkeys((min(len(data) - 4, self._chunk), wanted)):
            if size >= wanted and len(data) >= size + 4:
                body = data[:size]
                if isal_zlib.adler32(body) == int.from_bytes(data[size : size + 4], "little"):
                    return bytes(body)
        raise self._is_bad(chunk, file, start, "does not match its checksum")

    def _is_bad(self, chunk: int, file: int, start: int, what: str) -> ReadFailed:
        """The failure of one chunk, kept so that asking again for its other sectors costs nothing."""
        message = (
            f"The chunk of {self._chunk} bytes at {chunk * self._chunk}, stored at byte {start} of "
            f"{self._files.paths[file].name}, {what}."
        )
        if len(self._bad) >= _BAD_KEPT:
            self._bad.clear()
        self._bad[chunk] = message
        return ReadFailed(message)

    # Tables -----------------------------------------------------------------------------------------------------

    def _entries(self, number: int) -> Any:
        """Of each chunk in a table, its offset in the file times two, plus one where it is compressed."""
        kept = self._offsets.get(number)
        if kept is not None:
            self._offsets.move_to_end(number)
            return kept
        table = self._tables[number]
        entries = self._load(table)
        self._offsets[number] = entries
        self._offsets_kept += len(entries)
        while self._offsets_kept > _CACHED_ENTRIES and len(self._offsets) > 1:
            self._offsets_kept -= len(self._offsets.popitem(last=False)[1])
        return entries

    def _load(self, table: Table) -> Any:
        sound = None
        for place in (table.place, table.twin):
            if place is not None and sound is None:
                sound = self._sound(place)
        if sound is None:
            # Neither copy matches its checksum. Each chunk is still held to its own, so nothing false can come of it.
            place = table.place
            sound = np.frombuffer(self._files.read(place.file, place.offset, 4 * place.entries), dtype="<u4")
        return _placed(sound, table.place.base, self._files.sizes[table.place.file])

    def _sound(self, place: TablePlace) -> Any:
        try:
            data = self._files.read(place.file, place.offset, 4 * place.entries + 4 * place.has_checksum)
        except ReadFailed:
            return None
        end = 4 * place.entries
        if place.has_checksum and zlib.adler32(data[:end]) != int.from_bytes(data[end:], "little"):
            return None
        return np.frombuffer(data[:end], dtype="<u4")

    def close(self) -> None:
        self._files.close()


def _placed(stored: Any, base: int, limit: int) -> Any:
    """Offsets times two with the mark of compression below, from the 31-bit ones that a table stores."""
    offsets = (stored & 0x7FFFFFFF).astype(np.int64)
    compressed = stored >> 31
    back = np.flatnonzero(np.diff(offsets) < 0)
    if len(back):
        # EnCase 6.7.1 wrote past 2 GiB with all 32 bits: from there on the upper bit is part of the place, and chunks
        # are not compressed.
        turn = int(back[0]) + 1
        rest = stored[turn:]
        if rest.min() >= _COMPRESSED and rest.max() < limit and (np.diff(rest.astype(np.int64)) > 0).all():
            offsets[turn:] = rest
            compressed[turn:] = 0
    return (offsets + base) * 2 + compressed
