"""Readers of known-material lists, one module a format.

``read_list(path)`` tells the format by the file's content, never by its name. What every reader promises: memory does not
grow with the list; the digests of the empty file are dropped; an entry with a digest shorter or longer than it claims, or
that cannot be read at all, is skipped, counted and, for the first 100, explained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from amparo.errors import UsedWrongly
from amparo.known.lists import columns, digests, hashdeep, icse, nsrl, vics
from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.source import ListFile

__all__ = ["Entry", "KnownList", "read_list"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: at least one digest or fingerprint, what the list says of it, and whether it is ordinary."""

    md5: bytes | None = None
    sha1: bytes | None = None
    sha256: bytes | None = None
    pdq: bytes | None = None  # the fingerprint of a picture, 32 bytes
    film: bytes | None = None  # the fingerprints of a film's frames in order, 32 bytes each
    category: str | None = None
    entry: str | None = None  # its identifier, or its file's name, in the list
    flags: str | None = None  # compact JSON, names in order: whatever else the list says of it, in the list's own terms
    list: str = ""
    good: bool = False  # known good: a file like this need not be looked at


class Format(Protocol):
    """What the module of a format gives for a file it recognises."""

    format: str
    good: bool

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]: ...


class KnownList:
    """A list that can be read any number of times; the counts are those of the latest reading.

    ``name`` is the file's name, ``format`` the format that was recognised, ``good`` whether its entries are known good.
    Iterating raises UsedWrongly where the file cannot be read to its end, or not one of its entries can be used.
    """

    def __init__(self, source: ListFile, reader: Format) -> None:
        self._source, self._reader, self._tally = source, reader, Tally()
        self.path, self.name, self.size = source.path, source.path.name, source.size
        self.good = reader.good

    @property
    def format(self) -> str:
        return self._reader.format

    @property
    def version(self) -> str:
        """SHA-256 of the file, lower hex: taken while it was read, or now where it was not read to its end."""
        return self._source.sha256

    @property
    def read(self) -> int:
        """How many entries were given."""
        return self._tally.read

    @property
    def empty_count(self) -> int:
        """How many entries were of the empty file, and so were dropped."""
        return self._tally.empty

    @property
    def skipped_count(self) -> int:
        return self._tally.skipped

    @property
    def skipped(self) -> list[str]:
        """The first 100 reasons, each naming its line, row or entry."""
        return self._tally.reasons

    def __iter__(self) -> Iterator[Entry]:
        for claim in self.claims():
            yield Entry(*claim, self.name, self.good)

    def claims(self) -> Iterator[Claim]:
        """The same as plain tuples, for who reads millions."""
        tally = self._tally = Tally()
        yield from self._reader.claims(self._source, tally)
        if not tally.read and tally.skipped:
            raise UsedWrongly(f"Nothing in the list {self.path} can be used; the first reason is {tally.reasons[0]}.")


def read_list(path: Path) -> KnownList:
    """The list at ``path``, its format recognised by its content. Raises UsedWrongly where it is none that is known here."""
    source = ListFile(Path(path))
    return KnownList(source, _recognised(source))


def _recognised(source: ListFile) -> Format:
    if reader := nsrl.recognise(source.opening):
        return reader
    lines = source.first_lines()
    header = columns.header_of(lines)
    if header is not None and digests.is_digest_line(lines[header.line - 1]):
        header = None  # a file named after a column
    found: Format | None = vics.recognise(lines) or hashdeep.recognise(lines)
    if found is None and header is not None:
        found = icse.recognise(header) or nsrl.recognise_columns(header) or columns.Columns(header)
    found = found or digests.recognise(lines)
    if found is not None:
        return found
    number, line = next(((n, line) for n, line in enumerate(lines, 1) if line.strip()), (1, ""))
    raise UsedWrongly(
        f"Line {number} of {source.path} is neither a digest nor a header that names md5, sha1, sha256 or pdq: {line[:40]!r}; "
        "check that the file is a list of known material."
    )
