"""Lists in columns (CSV, semicolons, tabs) whose first line names any of md5, sha1, sha256, pdq, film, category, entry, flags.

Names are read without regard to case, hyphens and spaces. ``film`` is the PDQ of a film's frames, 64 hex characters each, in
order; ``flags`` is JSON. Any other column is kept among the flags under its own name. A quoted field may hold separators and
up to 16 line ends; a quote that is never closed costs its own line and no other. Source: RFC 4180.
"""

from __future__ import annotations

import binascii
import contextlib
import csv
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amparo.known.lists.claim import KINDS, PDQ, SHOWN, Claim, Tally
from amparo.known.lists.source import ListFile

_SEPARATORS = (",", ";", "\t", "|")
_MOST_LINES = 16
_PREFERRED_HEADER_LINES = 3
_DIGESTS = frozenset((*KINDS, "pdq", "film"))
FLAGS = "flags"
# The film of four hours is a field of half a million characters; the module's own limit of 131,072 is the process's.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 22))

#: Names of the columns that hold a signal's type and its value, where each row has one signal.
TYPES = frozenset({"signaltype", "type", "indicatortype", "hashtype"})
VALUES = frozenset({"signalstr", "signalvalue", "signal", "indicator", "rawindicator"})


@dataclass(frozen=True, slots=True)
class Header:
    """The line that names the columns: its number from 1, the separator, and the names, small letters and digits only."""

    line: int
    separator: str
    names: tuple[str, ...]
    titles: tuple[str, ...]  # as they stand there

    @property
    def names_digests(self) -> bool:
        return not _DIGESTS.isdisjoint(self.names)

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
    scheme: str | None = None
    category, entry = "category", "entry"  # the names of the columns that hold them

    def __init__(self, header: Header) -> None:
        self.header = header
        own = (*KINDS, self.category, self.entry, "pdq", "film", FLAGS)
        self.places = tuple(header.place(name) for name in own)
        self.others = tuple((at, title) for at, title in enumerate(header.titles) if title and at not in self.places)

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        for number, row in self.header.rows(source, tally):
            claim = self.claim_of(number, row, tally)
            if claim:
                yield claim

    def claim_of(self, number: int, row: list[str], tally: Tally) -> Claim | None:
        """The claim of a row, by the columns' names."""
        md5, sha1, sha256, category, entry, pdq, film, said = (
            row[place] if place is not None else None for place in self.places
        )
        flags: dict[str, Any] = {title: row[at] for at, title in self.others if row[at]} if self.others else {}
        if said:
            flags.update(flags_of(said))
        frames = film_of(number, film, tally) if film else None
        return tally.claim(number, md5, sha1, sha256, category, entry, pdq=pdq, film=frames, flags=flags)


def flags_of(text: str) -> dict[str, Any]:
    """What a column of flags says: the members of its JSON object, or all of it under ``flags`` where it is none."""
    try:
        flags = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        flags = None
    return flags if isinstance(flags, dict) else {FLAGS: text}


def film_of(number: int, text: str, tally: Tally) -> bytes | None:
    """The fingerprints of a film's frames; None, told, where the text is no such thing."""
    try:
        film = binascii.unhexlify(text.strip())
    except ValueError:
        tally.fault(number, f"the {SHOWN['film']} holds something other than 0-9 and a-f")
        return None
    if len(film) % PDQ:
        tally.fault(number, f"the film's fingerprints have {2 * len(film)} characters, no multiple of {2 * PDQ}")
        return None
    return film


def header_of(lines: list[str]) -> Header | None:
    """The header among the first three lines that hold something: a line that names a digest's column, or a signal's."""
    seen = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#") or line.lower().startswith("sep="):
            continue
        seen += 1
        if seen > _PREFERRED_HEADER_LINES or len(line) > 10_000:
            return None
        for separator in _SEPARATORS:
            try:
                titles = tuple(title.strip() for title in next(csv.reader([line], delimiter=separator), []))
            except csv.Error:
                continue
            names = tuple(map(plain_name, titles))
            if not _DIGESTS.isdisjoint(names) or names_signals(names):
                return Header(number, separator, names, titles)
    return None


def names_signals(names: Sequence[str]) -> bool:
    """Whether the columns are those of a list with a signal's type and value in each row."""
    return not TYPES.isdisjoint(names) and not VALUES.isdisjoint(names)


def plain_name(name: str) -> str:
    """A column's name in small letters and digits only, without ``hash`` at its end."""
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return plain.removesuffix("hash")
