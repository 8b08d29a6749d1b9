"""What was found, held against what was put there: nothing may be missing, and nothing may be found that is not there."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amparo.demo.computer import OUTSIDE, Computer, Planted
from amparo.evidence import tables


@dataclass(slots=True)
class Comparison:
    """``found`` and ``missing`` are known pictures at the places where they must be found; ``explained`` are those that
    cannot be found, with the sentence of the search that says why; ``silent`` those it says nothing about; ``strangers`` are
    paths of matches that nobody planted; ``ordinary`` counts the files that the list of known good files set aside."""

    found: list[Planted] = field(default_factory=list)
    missing: list[Planted] = field(default_factory=list)
    explained: list[tuple[Planted, str]] = field(default_factory=list)
    silent: list[Planted] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    ordinary: int = 0
    ordinary_expected: int = 0

    @property
    def holds(self) -> bool:
        """Whether the search found everything that is there, and nothing else."""
        whole = self.ordinary == self.ordinary_expected
        return whole and not (self.missing or self.silent or self.strangers)

    def alike(self) -> int:
        """How many were found by their looks alone."""
        return sum(planted.original is not None for planted in self.found)

    def states(self) -> Counter[str]:
        """How many were found in each state."""
        return Counter(planted.state for planted in self.found)


def compare(evidence: Path, computer: Computer) -> Comparison:
    """Hold the tables of a finished package against the truth about the computer."""
    database = tables.open_read_only(evidence)
    try:
        return _compare(database, computer)
    finally:
        database.close()


def _compare(database: sqlite3.Connection, computer: Computer) -> Comparison:
    result = Comparison(ordinary_expected=len(computer.ordinary))
    matched = database.execute(
        "select f.id, f.volume, f.path, f.state, f.sha256, f.extents, m.entry, m.method from files f"
        " join matches m on m.file_id = f.id order by f.id"
    ).fetchall()
    told: set[int] = set()
    for planted in computer.planted:
        if planted.state == "lost":
            why = _why(database, planted)
            if why:
                result.explained.append((planted, why))
            else:
                result.silent.append(planted)
            continue
        row = next((row for row in matched if row["id"] not in told and _fits(planted, row)), None)
        if row is None:
            result.missing.append(planted)
        else:
            told.add(row["id"])
            result.found.append(planted)
    result.strangers = [row["path"] for row in matched if row["id"] not in told]
    result.ordinary = database.execute("select count(*) from files where known_good is not null").fetchone()[0]
    return result


def _fits(planted: Planted, row: Any) -> bool:
    """Whether a match is this picture, in this state, at this place, by this entry of the list."""
    if (row["state"], row["entry"]) != (planted.state, planted.entry):
        return False
    if row["sha256"] != hashlib.sha256(planted.content).hexdigest():
        return False
    if (row["method"] == "pdq") != (planted.original is not None):
        return False
    if planted.volume != OUTSIDE and row["volume"] != planted.volume:
        return False
    if planted.state == "carved":
        return bool(json.loads(row["extents"] or "[]") == [[planted.offset, len(planted.content)]])
    if planted.state == "inside":
        return str(row["path"]).endswith(planted.path)
    return bool(row["path"] == planted.path)


def _why(database: sqlite3.Connection, planted: Planted) -> str | None:
    """The sentence that the search left about a content it could not have."""
    row = database.execute(
        "select problem from files where volume = ? and path = ? and problem is not null"
        " union all select message from problems where path = ?",
        (planted.volume, planted.path, planted.path),
    ).fetchone()
    return str(row[0]) if row else None
