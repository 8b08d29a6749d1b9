"""Lists in columns: this program's own CSV, ICSE's, and one signal a row as python-threatexchange has it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import Any, Final, TextIO

from amparo.known.lists.claim import compact
from amparo.known.lists.entry import Entry
from amparo.known.lists.icse import BASELINE, NOT_BASELINE
from amparo.known.lists.threatexchange import VPDQ, kind_of, vpdq_text
from amparo.known.lists.writers.omissions import LINE_ENDS, PARTS, Omissions, flags_of, is_film

CSV: Final = ("md5", "sha1", "sha256", "pdq", "film", "category", "entry", "flags")
ICSE: Final = (
    "MD5", "SHA1", "ZZ40", "PhotoDNA", "Lace", "Image ID", "Is distributed", "Victim identified", "Offender identified",
    "Series name", "Investigation name", "Agency", "Number of submissions", "File Available", "Media Type", "Baseline",
)  # fmt: skip
SIGNALS: Final = ("signal_type", "signal_str", "collab", "category", "tags", "id", "flags")
_TYPES = ("signal_type", "type", "indicator_type")
_BASELINE = {BASELINE: "Yes", NOT_BASELINE: "No"}
_MOST_LINE_ENDS = 10  # in one row; a reader follows no more than 16 of them


def write_csv(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    """Every column that this program reads; flags as JSON. Nothing has no place."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(CSV)
    count = 0
    for entry in entries:
        if not omissions.parts(entry, *CSV):
            continue
        digests = [
            value.hex() if value else "" for value in (entry.md5, entry.sha1, entry.sha256, entry.pdq, entry.film)
        ]
        flags = flags_of(entry)
        rows.writerow([*digests, *_texts(omissions, entry.category, entry.entry), compact(flags) if flags else ""])
        count += 1
    return count


def write_icse(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    """The columns of ICSE's export; other flags have no place, nor has a category that says nothing of the baseline."""
    rows = csv.writer(out, delimiter=";", lineterminator="\n")
    rows.writerow(ICSE)
    count = 0
    for entry in entries:
        if not omissions.parts(entry, "md5", "sha1", "category", "entry"):
            continue
        flags = flags_of(entry)
        row: dict[str, str] = {name: flags[name] for name in ICSE if isinstance(flags.get(name), str)}
        omissions.flags(name for name in flags if name not in row)
        row["MD5"], row["SHA1"] = (value.hex() if value else "" for value in (entry.md5, entry.sha1))
        row["Image ID"] = entry.entry or ""
        row["Baseline"] = _BASELINE.get(entry.category or "", "")
        if entry.category is not None and not row["Baseline"]:
            omissions.note(PARTS["category"])
        rows.writerow(_texts(omissions, *(row.get(name) for name in ICSE)))
        count += 1
    return count


def write_signals(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    """A row for each digest of an entry, all with its identifier; what has no column of its own stands in ``flags`` as JSON."""
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(SIGNALS)
    count = 0
    for entry in entries:
        if not omissions.parts(entry, "md5", "sha1", "sha256", "pdq", "film", "category", "entry"):
            continue
        flags = flags_of(entry)
        kind = "video_" if is_film(entry, flags) else ""
        said = {name: flags.pop(name) for name in ("collab", "tags") if isinstance(flags.get(name), str)}
        spelled = next((flags.pop(name) for name in _TYPES if kind_of(str(flags.get(name)))), "")
        frames = flags.pop(VPDQ, None) if entry.film else None
        for signal, value in _signals(entry, kind, frames):
            collab, category, tags, named = _texts(
                omissions, said.get("collab"), entry.category, said.get("tags"), entry.entry
            )
            signal = spelled if kind_of(spelled) == kind_of(signal) else signal
            rows.writerow([signal, value, collab, category, tags, named, compact(flags) if flags else ""])
        count += 1
    return count


def _signals(entry: Entry, kind: str, frames: Any) -> Iterable[tuple[str, str]]:
    if entry.pdq is not None:
        yield "pdq", entry.pdq.hex()
    for name, value in (("md5", entry.md5), ("sha1", entry.sha1), ("sha256", entry.sha256)):
        if value is not None:
            yield kind + name, value.hex()
    if entry.film is not None:
        yield VPDQ, vpdq_text(entry.film, frames)


def _texts(omissions: Omissions, *texts: str | None) -> list[str]:
    """Texts as fields: a carriage return is a line end there, and a row has no more of them than readers follow."""
    fields = [text or "" for text in texts]
    if any("\r" in field for field in fields) or sum(field.count("\n") for field in fields) > _MOST_LINE_ENDS:
        omissions.note(LINE_ENDS)
        fields = [re.sub(r"[\r\n]+", " ", field) for field in fields]
    return fields
