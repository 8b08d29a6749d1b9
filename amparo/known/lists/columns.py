"""Lists in columns (CSV, semicolons, tabs) whose first line names any of md5, sha1, sha256, category, entry.

Names are read without regard to case, hyphens and spaces; other columns are passed over. A quoted field may hold
separators and up to 16 line ends; a quote that is never closed costs its own line and no other. Source: RFC 4180.
"""

from __future__ import annotations

import contextlib
import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from amparo.known.lists.claim import KINDS, Claim, Tally
from amparo.known.lists.source import ListFile

_SEPARATORS = (",", ";", "\t", "|")
_MOST_LINES = 16
_PREFERRED_HEADER_LINES = 3


@dataclass(frozen=True, slots=True)
class Header:
    """The line that names the columns: its number from 1, the separator, and the names, small letters and digits only."""

    line: int
    separator: str
    names: tuple[str, ...]

    def place(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def rows(self, source: ListFile, tally: Tally) -> Iterator[tuple[int, list[str]]]:
        """Every row after the header that has the header's number of columns, with its line's number."""
        waiting: deque[tuple[int, str]] = deque()
        lines = source.lines(tally)
        while True:
            numbered = waiting.popleft() if waiting else next(lines, None)
            if numbered is None:
                return
            number, line = numbered
            if number <= self.line or not line or line.isspace():
                continue
            row = line.split(self.separator) if '"' not in line else self._quoted(line, waiting, lines)
            if row is None:
                tally.skip(number, "a quotation mark is not closed")
                continue
            while len(row) > len(self.names) and not row[-1].strip():
                row.pop()
            if len(row) != len(self.names):
                tally.skip(number, f"there are {len(row)} columns, not {len(self.names)}")
                continue
            yield number, row

    def _quoted(self, line: str, waiting: deque[tuple[int, str]], lines: Iterator[tuple[int, str]]) -> list[str] | None:
        taken: list[tuple[int, str]] = []

        def feed() -> Iterator[str]:
            yield line + "\n"
            while len(taken) < _MOST_LINES:
                following = waiting.popleft() if waiting else next(lines, None)
                if following is None:
                    return
                taken.append(following)
                yield following[1] + "\n"

        # strict: csv then raises where a quotation mark is still open when the lines given to it end
        row = None
        with contextlib.suppress(csv.Error):
            row = next(csv.reader(feed(), delimiter=self.separator, strict=True), None)
        if row is None or (taken and len(row) != len(self.names)):
            waiting.extendleft(reversed(taken))
            return None
        return row


class Columns:
    """Reads rows by the header's names."""

    format, good = "CSV", False

    def __init__(self, header: Header) -> None:
        self.header = header

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        return self.by_name(source, tally, "category", "entry")

    def by_name(self, source: ListFile, tally: Tally, category: str, entry: str) -> Iterator[Claim]:
        """The claims, with the category and the identifier taken from the columns of these names."""
        places = [self.header.place(name) for name in (*KINDS, category, entry, "pdq")]
        for number, row in self.header.rows(source, tally):
            *said, pdq = (row[place] if place is not None else None for place in places)
            claim = tally.claim(number, *said, pdq=pdq)
            if claim:
                yield claim


def header_of(lines: list[str]) -> Header | None:
    """The header among the first three lines that hold something: a line that names a digest's column."""
    seen = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#") or line.lower().startswith("sep="):
            continue
        seen += 1
        if seen > _PREFERRED_HEADER_LINES or len(line) > 10_000:
            return None
        for separator in _SEPARATORS:
            try:
                names = tuple(_plain(name) for name in next(csv.reader([line], delimiter=separator), []))
            except csv.Error:
                continue
            if any(kind in names for kind in (*KINDS, "pdq")):
                return Header(number, separator, names)
    return None


def _plain(name: str) -> str:
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return plain.removesuffix("hash")
