"""hashdeep's own output: ``%%%% HASHDEEP-1.0``, then the columns' names, then one file a line.

The name comes last and may itself hold commas. The columns are read by their names; sizes, Tiger and Whirlpool are kept
among the flags. Several outputs put one after another are one list. Source: ``hashdeep(1)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from amparo.known.lists.claim import KINDS, Claim, Tally
from amparo.known.lists.source import ListFile

_MARK = "%%%%"


class Hashdeep:
    """Reads hashdeep's output."""

    format, good = "hashdeep", False
    scheme: str | None = None

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        columns: list[str] = []
        places: list[int | None] = []
        others: list[tuple[int, str]] = []
        name: int | None = None
        for number, line in source.lines(tally):
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith(_MARK):
                if "HASHDEEP" not in line:
                    columns = [column.strip().lower() for column in line[len(_MARK) :].split(",")]
                    places = [columns.index(kind) if kind in columns else None for kind in KINDS]
                    name = columns.index("filename") if "filename" in columns else None
                    others = [(at, column) for at, column in enumerate(columns) if at not in places and at != name]
                continue
            fields = line.split(",", len(columns) - 1) if columns else []
            if not columns or len(fields) != len(columns):
                tally.skip(
                    number,
                    f"there are {len(fields)} columns, not {len(columns)}" if columns else "no column is named yet",
                )
                continue
            md5, sha1, sha256 = (fields[place] if place is not None else None for place in places)
            flags = {column: fields[at].strip() for at, column in others}
            named = fields[name] if name is not None else None
            claim = tally.claim(number, md5, sha1, sha256, None, named, flags=flags)
            if claim:
                yield claim


def recognise(lines: list[str]) -> Hashdeep | None:
    """A reader, where the first line is hashdeep's."""
    return Hashdeep() if lines[0].startswith(f"{_MARK} HASHDEEP-") else None
