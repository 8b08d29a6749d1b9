"""Every time that the package knows, in order: the four times of each file, and the register of accesses.

Comma-separated, UTF-8 without a mark, one row a moment. Like mactime, a file's times that are the same moment share a
row, and ``macb`` says which they are: modified, accessed, changed (its metadata), born; a point stands for one that
is not. Formulas are made harmless as :mod:`amparo.evidence.exports.cells` says.
"""

from __future__ import annotations

import csv
import sqlite3
from itertools import groupby
from typing import Any, TextIO

from amparo.evidence.exports.cells import harmless
from amparo.evidence.exports.finished import TRAINING, Finished

COLUMNS = (
    "time", "kind", "macb", "state", "volume", "path", "size", "sha256", "application", "account", "subject", "detail",
    "locator", "table", "id", "exhibit",
)  # fmt: skip

_TIMES = (("modified", "m"), ("accessed", "a"), ("changed", "c"), ("created", "b"))
# SQLite sorts outside memory. Without its Z a whole second sorts before its fractions, which with it it would not.
_FILES = " union all ".join(
    f"select {column} as time, '{letter}' as letter, id from files where {column} is not null"  # noqa: S608
    for column, letter in _TIMES
)
_ALL = f"""
select rtrim(t.time, 'Z') as moment, 'files' as source, t.id as id, t.time as time, t.letter as letter, 'file' as kind,
       f.state as state, f.volume as volume, f.path as path, f.size as size, f.sha256 as sha256, null as application,
       null as account, null as subject, null as detail, null as locator
from ({_FILES}) t join files f on f.id = t.id
union all
select rtrim(a.time, 'Z'), 'accesses', a.id, a.time, '', a.kind, case a.recovered when 1 then 'recovered' else 'live' end,
       f.volume, a.path, null, null, a.application, a.account, a.subject, a.detail, a.locator
from accesses a left join files f on f.id = a.file_id where a.time is not null
order by moment, source, id
"""  # noqa: S608


def write(finished: Finished, out: TextIO, version: str) -> int:
    """Write the timeline; gives its rows, the header not counted."""
    del version
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    exhibit = harmless(finished.order["exhibit_number"])
    if finished.training:
        exhibit = f"{TRAINING} {exhibit}"
    rows = 0
    for _, group in groupby(finished.database.execute(_ALL), _moment):
        same = list(group)
        writer.writerow([*map(harmless, _row(same)), exhibit])
        rows += 1
    return rows


def _moment(row: sqlite3.Row) -> tuple[str, str, int]:
    return row["moment"], row["source"], row["id"]


def _row(same: list[sqlite3.Row]) -> list[Any]:
    row, letters = same[0], {each["letter"] for each in same}
    macb = "".join(letter if letter in letters else "." for _, letter in _TIMES) if row["source"] == "files" else ""
    return [
        row["time"], row["kind"], macb, row["state"], row["volume"], row["path"], row["size"], row["sha256"],
        row["application"], row["account"], row["subject"], row["detail"], row["locator"], row["source"], row["id"],
    ]  # fmt: skip
