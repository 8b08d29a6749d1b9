"""The files of an E01 set and what their sections say: geometry, tables of chunks, digests, what is missing.

Layout after "Expert Witness Compression Format" (libyal, libewf documentation) and Rosen's "ASR Data's Expert Witness
Compression Format". Covers EnCase 1 to 7, linen, FTK Imager, SMART, and EWF-X; version 2 (Ex01) is another format.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.raw import Files, refuse_links

MARK = b"EVF\x09\x0d\x0a\xff\x00"
HEADER = 13
DESCRIPTOR = struct.Struct("<16sQQ40sI")
_TABLE_HEADER = struct.Struct("<I4xQ4xI")
_EXTENSION = re.compile(r"^\.[a-z](\d\d|[a-z]{2})$", re.IGNORECASE)
_KNOWN = (b"header", b"header2", b"xheader", b"volume", b"disk", b"data", b"sectors", b"table", b"table2", b"next",
          b"done", b"hash", b"digest", b"xhash", b"error2", b"session", b"incomplete", b"ltypes", b"ltree", b"map")  # fmt: skip
_MOST_SECTIONS = 1_000_000  # 10 TB in one segment with EnCase 1's small tables has 60,000
_MOST_CHUNK = 64 << 20
_SCAN = 1 << 20
_LISTED_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Geometry:
    """``size`` of the medium and of a chunk in bytes; ``identifier`` tells sets of segments apart (zeros in old ones)."""

    size: int
    chunk_size: int
    sector: int
    identifier: bytes


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where a table of chunk offsets lies: ``entries`` numbers of four bytes at ``offset`` in file ``file``."""

    file: int
    offset: int
    entries: int
    base: int
    has_checksum: bool


@dataclass(slots=True)
class Table:
    """One run of chunks. ``end`` is where its last chunk ends at the latest; ``twin`` is the second copy of the table."""

    place: TablePlace
    end: int
    twin: TablePlace | None = None


@dataclass(slots=True)
class Contents:
    """What a set of segments holds. In ``tables``, None stands for an unknown number of chunks that were lost."""

    geometry: Geometry
    tables: list[Table | None]
    digests: dict[str, str]
    complete: bool


@dataclass(slots=True)
class _Found:
    geometries: list[Geometry] = field(default_factory=list)
    doubtful: list[Geometry] = field(default_factory=list)
    tables: list[Table | None] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    closed: bool = False  # the segment in hand ended as a segment does, with “next” or “done”
    done: bool = False


def segment_files(path: Path) -> list[tuple[int, Path]]:
    """Number and path of every segment beside ``path`` that belongs to its set, in order.

    The number is the one that the file itself bears; names only tell which files to look at. Raises
    :class:`SourceUnreadable` where ``path`` is not a segment.
    """
    own = _number(path)
    if own is None:
        raise SourceUnreadable(f"{path.name} has no whole E01 header: it was cut, so copy it from the original again.")
    found = {own: path}
    if _EXTENSION.match(path.suffix):
        try:
            beside = sorted(path.parent.iterdir())
        except OSError:
            beside = []
        for other in beside:
            if other.stem == path.stem and _EXTENSION.match(other.suffix) and other != path and other.is_file():
                number = _number(other)
                if number is not None:
                    found.setdefault(number, other)
    refuse_links(path, list(found.values()))
    return sorted(found.items())


def _number(path: Path) -> int | None:
    try:
        files = Files([path])
    except SourceUnreadable:
        return None
    try:
        header = files.read(0, 0, HEADER)
    except ReadFailed:
        return None
    finally:
        files.close()
    number = int.from_bytes(header[9:11], "little")
    return number if header.startswith(MARK) and number else None


def _segment_name(number: int) -> str:
    """The extension of a segment: E01 to E99, then EAA, EAB to ZZZ."""
    if number <= 99:
        return f"E{number:02}"
    first, rest = divmod(number - 100, 26 * 26)
    return chr(ord("E") + first) + chr(ord("A") + rest // 26) + chr(ord("A") + rest % 26)


def read_set(files: Files, numbers: list[int], problems: list[str]) -> Contents:
    """Walk every segment's sections. Raises :class:`SourceUnreadable` where even the size of the medium is not known."""
    found = _Found()
    expected = 1
    for index, number in enumerate(numbers):
        if number > expected:
            _missing(expected, number - 1, problems)
            found.tables.append(None)
        expected = number + 1
        found.done = found.closed = False
        _read_segment(files, index, found, problems)
        if not found.closed:
            found.tables.append(None)
        if found.done and index < len(numbers) - 1:
            problems.append(f"{files.paths[index].name} says it is the last segment, but others follow it.")
    if not found.done:
        found.tables.append(None)  # nothing says how many chunks were to come
        problems.append(
            f"The image is not complete: after {files.paths[-1].name} a segment is missing, or this one was cut."
        )
    choice = found.geometries or found.doubtful
    if not choice:
        raise SourceUnreadable(
            f"{files.paths[0].name} does not say how large the disk is: its first segment is missing or damaged."
        )
    if not found.geometries:
        problems.append("The description of the disk does not match its checksum: its size may be wrong.")
    if len({one.identifier for one in found.geometries}) > 1:
        problems.append("The segments come from different images: check that the right files lie together.")
    return Contents(choice[0], found.tables, found.digests, found.done and None not in found.tables)


def _missing(first: int, last: int, problems: list[str]) -> None:
    names = _segment_name(first) if first == last else f"{_segment_name(first)} to {_segment_name(last)}"
    problems.append(f"The segment {names} is missing: put it beside the others.")


def _read_segment(files: Files, index: int, found: _Found, problems: list[str]) -> None:
    name = files.paths[index].name
    for kind, start, end in _sections(files, index, found, problems):
        try:
            if kind in (b"volume", b"disk", b"data"):
                _geometry(files.read(index, start, min(end - start, 1052)), found)
            elif kind == b"table":
                found.tables.append(_table(files, index, start, end))
            elif kind == b"table2":
                _second_table(files, index, start, end, found)
            elif kind in (b"hash", b"digest", b"xhash"):
                _digests(kind, files.read(index, start, min(end - start, 1 << 16)), found)
            elif kind == b"error2":
                _acquisition_errors(files.read(index, start, min(end - start, 1 << 20)), problems)
            elif kind == b"done":
                found.done = True
        except (ReadFailed, struct.error):
            if kind == b"table":
                found.tables.append(None)
            problems.append(f"The section “{kind.decode()}” at byte {start} of {name} cannot be read.")


def _sections(files: Files, index: int, found: _Found, problems: list[str]) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each section's content. After a damaged descriptor, goes on at the next whole one."""
    name, size = files.paths[index].name, files.sizes[index]
    at = HEADER
    for _ in range(_MOST_SECTIONS):
        if at + DESCRIPTOR.size > size:
            if at != size:
                problems.append(f"{name} ends in the middle of a section, at byte {size}: it was cut.")
            return
        try:
            kind, following, length = _descriptor(files.read(index, at, DESCRIPTOR.size))
        except (ReadFailed, ValueError):
            problems.append(f"The section at byte {at} of {name} is damaged: what it holds is lost.")
            # How many chunks it told of is not known, so what follows may only be placed from the other end.
            found.tables.append(None)
            there = _next_descriptor(files, index, at + 1)
            if there is None:
                return
            at = there
            continue
        start = at + DESCRIPTOR.size
        if kind in (b"next", b"done") or following <= at:
            found.closed = kind in (b"next", b"done")
            yield kind, start, min(size, max(start, at + length))
            return
        if length and at + length != following:
            problems.append(
                f"Size and place of the section “{kind.decode()}” at byte {at} of {name} contradict each other."
            )
        yield kind, start, min(size, following)
        at = following


def _descriptor(data: bytes) -> tuple[bytes, int, int]:
    kind, following, length, _, checksum = DESCRIPTOR.unpack(data)
    kind = kind.split(b"\0")[0]
    if checksum != zlib.adler32(data[:72]):
        raise ValueError("checksum")
    return kind, following, length


def _next_descriptor(files: Files, index: int, at: int) -> int | None:
    """The next whole descriptor at or after ``at``, found by the names of sections and their checksums.

    It must speak of its own place: the medium may hold an E01 file, whose descriptors stand in our chunks.
    """
    pattern = re.compile(b"(?:" + b"|".join(_KNOWN) + b")\0")
    size = files.sizes[index]
    while at + DESCRIPTOR.size <= size:
        try:
            piece = files.read(index, at, min(_SCAN, size - at))
        except ReadFailed:
            at += _SCAN
            continue
        for match in pattern.finditer(piece):
            candidate = piece[match.start() : match.start() + DESCRIPTOR.size]
            place = at + match.start()
            try:
                kind, following, length = _descriptor(candidate) if len(candidate) == DESCRIPTOR.size else (b"", 0, 0)
            except ValueError:
                continue
            if following and following == (place if kind in (b"next", b"done") else place + length):
                return place
        at += max(1, len(piece) - DESCRIPTOR.size + 1)
    return None


def _geometry(data: bytes, found: _Found) -> None:
    if len(data) < 94:
        raise ReadFailed("too short")
    chunks, sectors, sector = struct.unpack_from("<III", data, 4)
    if len(data) < 1052:  # Rosen's own layout, as SMART writes it
        count, identifier, good = int.from_bytes(data[16:20], "little"), b"", _sealed(data, 90)
    else:
        count, identifier, good = int.from_bytes(data[16:24], "little"), data[64:80], _sealed(data, 1048)
    chunk_size = sectors * sector
    size = count * sector or chunks * chunk_size
    if not 0 < chunk_size <= _MOST_CHUNK or not 0 < size < 1 << 62:
        return
    geometry = Geometry(size, chunk_size, sector, identifier)
    (found.geometries if good else found.doubtful).append(geometry)


def _sealed(data: bytes, at: int) -> bool:
    return zlib.adler32(data[:at]) == int.from_bytes(data[at : at + 4], "little")


def _place(files: Files, index: int, start: int, end: int) -> TablePlace | None:
    """The table in this section, or None where its header is not to be trusted."""
    header = files.read(index, start, 24)
    entries, base, checksum = _TABLE_HEADER.unpack(header)
    room = end - start - 24
    if checksum != zlib.adler32(header[:20]) or entries * 4 > room or base > files.sizes[index]:
        return None
    # Rosen's own layout has the chunks right behind the entries, and no checksum there.
    return TablePlace(index, start + 24, entries, base, room >= entries * 4 + 4)


def _table(files: Files, index: int, start: int, end: int) -> Table | None:
    place = _place(files, index, start, end)
    if place is None:
        return None
    last = (
        int.from_bytes(files.read(index, place.offset + 4 * (place.entries - 1), 4), "little") if place.entries else 0
    )
    inside = place.base + (last & 0x7FFFFFFF) >= start
    return Table(place, end if inside else start - DESCRIPTOR.size)


def _second_table(files: Files, index: int, start: int, end: int, found: _Found) -> None:
    place = _place(files, index, start, end)
    if place is None:
        return
    before = found.tables[-1] if found.tables else None
    if before is None or before.place.file != index or before.twin is not None:
        # The first copy was beyond use, so this one stands in for it.
        table = Table(place, start - DESCRIPTOR.size)
        if found.tables and before is None:
            found.tables[-1] = table
        else:
            found.tables.append(table)
    elif place.entries == before.place.entries:
        before.twin = place


def _digests(kind: bytes, data: bytes, found: _Found) -> None:
    if kind == b"xhash":
        text = zlib.decompressobj().decompress(data, 1 << 16)
        for name, value in re.findall(rb"<(MD5|SHA1|SHA256)>([0-9a-fA-F]{32,64})</", text):
            found.digests.setdefault(name.decode().lower(), value.decode().lower())
    elif kind == b"hash" and _sealed(data, 32):
        _keep_digest(found, "md5", data[:16])
    elif kind == b"digest" and _sealed(data, 76):
        _keep_digest(found, "md5", data[:16])
        _keep_digest(found, "sha1", data[16:36])


def _keep_digest(found: _Found, name: str, value: bytes) -> None:
    if any(value):
        found.digests.setdefault(name, value.hex())


def _acquisition_errors(data: bytes, problems: list[str]) -> None:
    (count,) = struct.unpack_from("<I", data)
    ranges = [
        struct.unpack_from("<II", data, 520 + 8 * number) for number in range(min(count, max(0, len(data) - 524) // 8))
    ]
    if ranges:
        listed = ", ".join(f"{number} from sector {first}" for first, number in ranges[:_LISTED_ERRORS])
        more = f" and {len(ranges) - _LISTED_ERRORS} further ranges" if len(ranges) > _LISTED_ERRORS else ""
        problems.append(f"Sectors that could not be read when the image was taken, and hold zeros: {listed}{more}.")
