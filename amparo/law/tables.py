"""Reading the law's tables: rows with an article, a source and the days between which they are law.

The tables stand in ``data/<jurisdiction>/<table>.toml``: ``pt`` Portugal, ``eu`` the Union, ``int`` conventions. A TOML
table is a row, an array of tables (``[[key]]``) the versions of one row, and nothing about the law is written in code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any, TypeVar

from amparo.errors import UsedWrongly

JURISDICTIONS = ("pt", "eu", "int")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row of law carries. ``basis``: V read in ``source``, S a secondary source, M from memory; ``dates_basis``
    the same for the dates. ``checked`` is true only once a jurist confirmed the row; until then the interface says so.
    ``question`` is what the jurist is asked."""

    key: str
    jurisdiction: str
    name_pt: str
    name_en: str
    article: str
    source: str
    basis: str
    in_force_from: date
    dates_basis: str
    checked: bool
    in_force_until: date | None = None
    note: str = ""
    question: str = ""

    def in_force_on(self, day: date) -> bool:
        """Whether this row is law on ``day``; both ends are days in force."""
        return self.in_force_from <= day and (self.in_force_until is None or day <= self.in_force_until)


R = TypeVar("R", bound=Row)


def read(table: str, build: Callable[[dict[str, Any]], R]) -> tuple[R, ...]:
    """Every row of a table in all jurisdictions, each built from its columns (with ``key`` and ``jurisdiction`` added, and
    arrays of plain values made tuples). A column that ``build`` does not know is a TypeError: a typing slip in the law is
    found on import, not in court."""
    rows = []
    for jurisdiction in JURISDICTIONS:
        path = files("amparo.law").joinpath("data", jurisdiction, f"{table}.toml")
        if path.is_file():
            for key, value in tomllib.loads(path.read_text("utf-8")).items():
                for columns in value if isinstance(value, list) else [value]:
                    rows.append(build({**_frozen(columns), "key": key, "jurisdiction": jurisdiction}))
    return tuple(rows)


def _frozen(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in columns.items()}


def in_force(rows: Iterable[R], day: date) -> tuple[R, ...]:
    """The rows that are law on ``day``, in the order of the table."""
    return tuple(row for row in rows if row.in_force_on(day))


def find(rows: tuple[R, ...], what: str, key: str, on: date | None = None) -> R:
    """The row ``key`` as it is law ``on`` that day (the newest version where no day is given).

    Raises UsedWrongly: the key is unknown (the known ones are listed), or was not law on that day (its days are given).
    """
    versions = [row for row in rows if row.key == key]
    if not versions:
        known = ", ".join(sorted({row.key for row in rows}))
        article = "an" if what[0] in "aeio" else "a"
        raise UsedWrongly(f'"{key}" is not {article} {what} that the law tables know; use one of {known}.')
    newest = max(versions, key=lambda row: row.in_force_from)
    if on is None:
        return newest
    for row in versions:
        if row.in_force_on(on):
            return row
    raise UsedWrongly(
        f"{newest.article} ({newest.name_en}) was not law on {spoken(on)} by the law tables, which have it {_spans(versions)};"
        " check the date."
    )


def _spans(versions: Iterable[Row]) -> str:
    return " and ".join(
        f"from {spoken(row.in_force_from)}" + (f" to {spoken(row.in_force_until)}" if row.in_force_until else "")
        for row in sorted(versions, key=lambda row: row.in_force_from)
    )


def spoken(day: date) -> str:
    """A day as the sentences of this project write it: ``3 Nov 2026``, whatever the machine's language."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
