"""Lists of known material: readers and writers, one module a format.

``read_list(path)`` tells the format by the file's content, never by its name. What every reader promises: memory does not
grow with the list; the digests of the empty file are dropped; a digest shorter or longer than it claims, or not hex, is left
out of its entry, and told; an entry with no digest left, or that cannot be read at all, is skipped, counted and, for the first
100, explained; repeated and contradictory entries are all given, and told; whatever has no place in a claim is among its flags.

``write_list(entries, format, out)`` writes any of ``FORMATS`` as the entries come, and tells what the format has no place for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from amparo.errors import UsedWrongly
from amparo.known.lists import columns, digests, hashdeep, icse, ncmec, nsrl, stopncii, threatexchange, vics
from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.entry import Entry
from amparo.known.lists.source import ListFile
from amparo.known.lists.writers import FORMATS, Written, write_list

__all__ = ["FORMATS", "Entry", "KnownList", "Written", "read_list", "write_list"]


class Format(Protocol):
    """What the module of a format gives for a file it recognises."""

    @property
    def format(self) -> str: ...

    @property
    def scheme(self) -> str | None: ...  # of its categories, a name of amparo.known.lists.categories

    @property
    def good(self) -> bool: ...

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]: ...


class KnownList:
    """A list that can be read any number of times; the counts are those of the latest reading.

    ``name`` is the file's name, ``format`` the format that was recognised, ``scheme`` that of its categories where the format
    has one, ``good`` whether its entries are known good.
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
    def scheme(self) -> str | None:
        return self._reader.scheme

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

    @property
    def faulty_count(self) -> int:
        """How many digests were left out of entries that were given without them."""
        return self._tally.faulty

    @property
    def withdrawn_count(self) -> int:
        """How many entries the list takes back; they were not given."""
        return self._tally.withdrawn

    @property
    def repeated_count(self) -> int:
        """How many entries were of a content that had come before; all of them were given. Of a list that is known good, 0."""
        return self._tally.repeats.repeated

    @property
    def contradicted_count(self) -> int:
        """How many of those say otherwise than the one before."""
        return self._tally.repeats.contradicted

    @property
    def remarks(self) -> list[str]:
        """The first 100 things to be said of entries that were given, each naming its line, row or entry."""
        return self._tally.remarks

    def withdrawals(self) -> Iterator[Entry]:
        """The entries that the list takes back, with their identifiers or digests; the whole list is read for them."""
        held: list[Claim] = []
        for _ in self._reader.claims(self._source, Tally(watch=False, withdrawn=held.append)):
            yield from self._entries(held)
            held.clear()
        yield from self._entries(held)

    def _entries(self, claims: Iterable[Claim]) -> Iterator[Entry]:
        for claim in claims:
            yield Entry(*claim, self.name, self.good)

    def __iter__(self) -> Iterator[Entry]:
        return self._entries(self.claims())

    def claims(self) -> Iterator[Claim]:
        """The same as plain tuples, for who reads millions."""
        tally = self._tally = Tally(watch=not self.good)
        yield from self._reader.claims(self._source, tally)
        tally.repeats.settle()
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
    if markup := ncmec.recognise(source, lines):
        return markup
    header = columns.header_of(lines)
    if header is not None and digests.is_digest_line(lines[header.line - 1]):
        header = None  # a file named after a column
    found: Format | None = stopncii.recognise(lines) or vics.recognise(lines) or hashdeep.recognise(lines)
    if found is None and header is not None:
        found = icse.recognise(header) or nsrl.recognise_columns(header)
        if found is None and not header.names_digests:
            found = threatexchange.recognise(header)
        found = found or columns.Columns(header)
    found = found or digests.recognise(lines)
    if found is not None:
        return found
    number, line = next(((n, line) for n, line in enumerate(lines, 1) if line.strip()), (1, ""))
    raise UsedWrongly(
        f"Line {number} of {source.path} is neither a digest nor a header that names md5, sha1, sha256 or pdq: {line[:40]!r}; "
        "check that the file is a list of known material."
    )
