"""One table for a spreadsheet: a row a file, and where lists know the file, a row a match.

Semicolons and a byte order mark, because that is what Excel set to Portuguese opens by a double click; every cell in
quotation marks, formulas made harmless as :mod:`amparo.evidence.exports.cells` says.
"""

from __future__ import annotations

import csv
from typing import TextIO

from amparo.evidence.exports.cells import harmless
from amparo.evidence.exports.finished import TRAINING, Finished

_FILES = (
    "id", "volume", "state", "path", "size", "mime", "md5", "sha1", "sha256", "created", "modified", "accessed", "changed",
    "problem", "parent", "address", "known_good", "extents",
)  # fmt: skip
_MATCHES = ("list", "entry", "category", "method", "distance", "quality", "contradicted")
COLUMNS = ("exhibit", *_FILES, *_MATCHES)


def write(finished: Finished, out: TextIO, version: str) -> int:
    """Write the table; gives its rows, the header not counted."""
    del version
    out.write("\ufeff")
    writer = csv.writer(out, delimiter=";", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    exhibit = harmless(finished.order["exhibit_number"])
    if finished.training:
        exhibit = f"{TRAINING} {exhibit}"
    columns = ", ".join([*(f"f.{name}" for name in _FILES), *(f"m.{name}" for name in _MATCHES)])
    rows = 0
    for row in finished.database.execute(
        f"select {columns} from files f left join matches m on m.file_id = f.id order by f.id, m.list, m.entry, m.method"  # noqa: S608
    ):
        writer.writerow([exhibit, *map(harmless, row)])
        rows += 1
    return rows
