r"""A case in VICS JSON (Project VIC), for tools that review pictures and films: 2.0 and 1.3.

In it are pictures and films, and whatever a list of known material knows; a content once, with every place where it lies.
The layout is the one that open tools read and write; no certification is claimed. The root names the model and holds
``value`` with one case, whose ``Media`` are the contents. Paths use ``\``, digests are upper hex, flags are true or false
(never text: tools take the text "false" for true), and whatever is unknown is null.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from itertools import groupby
from typing import Any, TextIO

import amparo
from amparo.evidence.exports.finished import TRAINING, Finished, Match, extents

#: Of each version the root's key and value. Cases of 2.0 are of a country's model; other countries use that of the US.
MODELS = {
    "2.0": ("@odata.context", "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Cases"),
    "2.0-UK": ("@odata.context", "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/$metadata#Cases"),
    "1.3": ("odata.metadata", "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Cases"),
}

_EXACT = ("md5", "sha1", "sha256")
_CATEGORISED = ("1", "2", "3", "4", "5")
_EMPTY = "d41d8cd98f00b204e9800998ecf8427e"  # the MD5 of nothing: it would be the same Media in every case
_WANTED = f"""files f where f.md5 in (
    select md5 from files where md5 is not null and md5 <> '{_EMPTY}'
    and (mime like 'image/%' or mime like 'video/%' or id in (select file_id from matches)))"""  # noqa: S608
# A content is its MD5, as VICS has it, and its SHA-256: two files made to share an MD5 must not hide each other.
_CONTENTS = f"(select 1 from {_WANTED} group by f.md5, f.sha256)"  # noqa: S608
_PRECATEGORISED = (
    f"(select 1 from files f join matches m on m.file_id = f.id where f.md5 <> '{_EMPTY}' and m.method in {_EXACT} and m.contradicted = 0"  # noqa: S608
    f" and trim(m.category) in {_CATEGORISED} group by f.md5, f.sha256)"
)


def write(finished: Finished, out: TextIO, version: str) -> int:
    """Write the case in the model of ``version`` (a key of :data:`MODELS`); gives how many Media it has."""
    key, model = MODELS[version]
    case = _case(finished, finished.count(_CONTENTS), finished.count(_PRECATEGORISED))
    out.write(f'{{"{key}": {json.dumps(model)}, "value": [\n')
    out.write(json.dumps(case, ensure_ascii=False)[:-1] + ', "Media": [\n')
    rows = finished.database.execute(f"select f.* from {_WANTED} order by f.md5, f.sha256, f.id")  # noqa: S608
    number = 0
    for number, (_, group) in enumerate(groupby(rows, lambda row: (row["md5"], row["sha256"])), 1):
        out.write(",\n" if number > 1 else "")
        _write_media(finished, number, group, out)
    out.write("\n]}]}\n")
    return number


def _case(finished: Finished, media: int, precategorised: int) -> dict[str, Any]:
    order, run = finished.order, finished.run
    identifier = str(finished.uuid("vics case"))
    told = {
        "Order": f"{order['reference']}, {order['issued_by']}, {order['issued_on']}",
        "Exhibit": f"{order['exhibit_number']}: {order['exhibit_description']}",
        "Source": run.get("source"),
        "SourceSHA256": run.get("source_sha256_before"),
        "EvidenceSHA256": finished.digest,
        "SearchStarted": run.get("started"),
        "SearchFinished": run.get("finished"),
    }
    if finished.training:
        told = {TRAINING: "This case comes from training data. It is never evidence.", **told}
    return {
        "CaseID": identifier,
        "CaseNumber": f"{TRAINING} {order['case_number']}" if finished.training else order["case_number"],
        "ContactOrganization": order["examiner_agency"],
        "ContactName": order["examiner_name"],
        "ContactPhone": None,
        "ContactEmail": None,
        "ContactTitle": None,
        "SourceApplicationName": "Amparo",
        "SourceApplicationVersion": run.get("version", amparo.__version__),
        "TotalMediaFiles": media,
        "TotalPrecategorized": precategorised,
        "SeizureDate": None,
        "CaseMetadata": [
            {"CaseID": identifier, "PropertyName": name, "PropertyValue": value}
            for name, value in told.items()
            if value
        ],
    }


def _write_media(finished: Finished, number: int, group: Iterable[sqlite3.Row], out: TextIO) -> None:
    """A content may lie in very many places: they are written as they come, and what sums them up comes after."""
    matches: set[tuple[Any, ...]] = set()
    ordinary: set[str] = set()
    first: sqlite3.Row | None = None
    for row in group:
        if first is None:
            first = row
            out.write(json.dumps(_content(finished, number, row), ensure_ascii=False)[:-1] + ', "MediaFiles": [')
        else:
            out.write(", ")
        out.write(json.dumps(_place(finished, row), ensure_ascii=False))
        matches.update(match[1:] for match in finished.matches(row["id"]))
        if row["known_good"]:
            ordinary.add(row["known_good"])
    said = [Match(0, *match) for match in sorted(matches, key=str)]
    out.write("], " + json.dumps(_judgement(finished, said, ordinary), ensure_ascii=False)[1:])


def _content(finished: Finished, number: int, row: sqlite3.Row) -> dict[str, Any]:
    hashes = [{"HashName": "SHA256", "HashValue": row["sha256"].upper()}] if row["sha256"] else []
    hashes += [{"HashName": "PDQ", "HashValue": pdq.upper()} for pdq in finished.pictures(row["id"])]
    return {
        "MediaID": number,
        "MD5": row["md5"].upper(),
        "SHA1": row["sha1"].upper() if row["sha1"] else None,
        "AlternativeHashes": hashes,
        "MediaSize": row["size"],
        "MimeType": row["mime"],
        "RelativeFilePath": _backslashed(row),
        "VictimIdentified": None,
        "OffenderIdentified": None,
        "IsDistributed": None,
        "SelfGenerated": None,
        "Series": None,
        "Exifs": [],
    }


def _judgement(finished: Finished, matches: list[Match], ordinary: set[str]) -> dict[str, Any]:
    """What the lists say. A category is only taken over where the very content is listed, nothing that looks alike."""
    own = [m.category.strip(" ") for m in matches if m.category and m.method in _EXACT and not m.contradicted]
    numbers = [int(category) for category in own if category in _CATEGORISED]
    # Where lists differ, the gravest: in every country's table 1 is graver than 2.
    category = min(numbers) if numbers else (0 if "0" in own else None)
    tags = [f"{m.list}: {m.category}" for m in matches if m.category]
    tags += [f"known good: {name}" for name in sorted(ordinary)]
    if finished.training:
        tags.insert(0, TRAINING)
    return {
        "Category": category,
        "IsPrecategorized": bool(numbers),
        "IsSuspected": bool(matches) and not numbers,
        "Tags": "; ".join(dict.fromkeys(tags)) or None,
        "Comments": "; ".join(map(_comment, matches)) or None,
    }


def _comment(match: Match) -> str:
    words = [f"{match.list} by {match.method}"]
    if match.entry:
        words.append(f"entry {match.entry}")
    if match.category:
        words.append(f"category {match.category}")
    if match.method not in _EXACT:
        words.append(f"distance {match.distance}")
    if match.contradicted:
        words.append("another digest of the entry differs: look at it")
    return ", ".join(words)


def _place(finished: Finished, row: sqlite3.Row) -> dict[str, Any]:
    state = finished.outermost(row)["state"]
    path = _backslashed(row)
    place = {
        "MD5": row["md5"].upper(),
        "FileName": path.rpartition("\\")[2],
        "FilePath": path,
        "Created": row["created"],
        "Written": row["modified"],
        "Accessed": row["accessed"],
        "Unallocated": state in ("deleted", "orphan", "carved"),
        "Deleted": state in ("deleted", "orphan"),
        "PhysicalLocation": next((offset for offset, _ in extents(row) or ()), None),
        "SourceID": finished.order["exhibit_number"],
    }
    if row["parent"] is not None:
        parent = finished.database.execute("select * from files where id = ?", (row["parent"],)).fetchone()
        if parent is not None:
            above = _backslashed(parent)
            place |= {
                "ParentMD5": parent["md5"].upper() if parent["md5"] else None,
                "ParentFileName": above.rpartition("\\")[2],
                "ParentFilePath": above,
            }
    return place


def _backslashed(row: sqlite3.Row) -> str:
    path: str = row["path"].replace("/", "\\")
    return rf"volume {row['volume']}\{path}" if row["volume"] else path
