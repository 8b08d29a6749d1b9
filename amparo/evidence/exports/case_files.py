"""CASE nodes of what was found: volumes, lists of known material, files, and what the lists say of a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from amparo.evidence.exports.case_terms import Names, digests, moment, without_gaps
from amparo.evidence.exports.finished import Finished, Match, extents

Node = dict[str, Any]

_ALLOCATION = {"live": "allocated", "deleted": "unallocated", "orphan": "unallocated", "carved": "unallocated"}


def volumes(finished: Finished, names: Names) -> Iterator[Node]:
    """Each volume, and how it lies in the source or in another volume."""
    for volume in finished.volumes():
        this = f"volume {volume['id']}"
        partition = {
            "@id": names[f"{this} partition"],
            "@type": "observable:DiskPartitionFacet",
            "observable:partitionID": str(volume["id"]),
            "observable:diskPartitionType": volume["kind"],
            "observable:partitionOffset": volume["offset"],
            "observable:partitionLength": volume["size"],
        }
        system = {
            "@id": names[f"{this} file system"],
            "@type": "observable:FileSystemFacet",
            "observable:fileSystemType": volume["filesystem"],
        }
        yield {
            "@id": names[this],
            "@type": "observable:ObservableObject",
            "core:name": volume["label"] or this,
            "core:hasFacet": [
                without_gaps(facet) for facet in (partition, system) if volume["filesystem"] or facet is partition
            ],
        }
        yield _contained(names, this, f"volume {volume['parent']}" if volume["parent"] is not None else "source", [])


def lists(finished: Finished, names: Names) -> Iterator[Node]:
    """Each list of known material that was asked, and any further one that a match names."""
    told = {known["list"]: known for known in json.loads(finished.run.get("lists", "[]"))}
    named = [row[0] for row in finished.database.execute("select distinct list from matches order by list")]
    for name in sorted({*told, *named}):
        known = told.get(name, {})
        content = {
            "@id": names[f"list {name} content"],
            "@type": "observable:ContentDataFacet",
            "observable:sizeInBytes": known.get("size"),
            "observable:hash": digests(names, f"list {name}", {"SHA256": known.get("sha256")}),
        }
        file = {
            "@id": names[f"list {name} file"],
            "@type": "observable:FileFacet",
            "observable:fileName": name,
            "observable:sizeInBytes": known.get("size"),
        }
        yield {
            "@id": names[f"list {name}"],
            "@type": "observable:ObservableObject",
            "core:name": name,
            "core:description": f"List of known material ({known['format']})" if known.get("format") else None,
            "core:hasFacet": [without_gaps(file), without_gaps(content)],
        }


def nodes(finished: Finished, names: Names, row: sqlite3.Row) -> Iterator[Node]:
    """The file of a row of ``files``, where it lies, and what the lists say of it."""
    this = f"file {row['id']}"
    matches = finished.matches(row["id"])
    facets = [_file(names, this, row), _content(names, this, row)]
    if row["state"] in ("deleted", "orphan", "carved"):
        facets.append(_recovered(names, this, row))
    classes = sorted({match.category for match in matches if match.category})
    if classes:
        facets.append(_classified(names, this, classes))
    yield {
        "@id": names[this],
        "@type": "observable:ObservableObject",
        "core:description": row["problem"],
        "core:tag": [row["state"], *([f"known good: {row['known_good']}"] if row["known_good"] else [])],
        "core:hasFacet": facets,
    }
    ranges = [
        {
            "@id": names[f"{this} range {number}"],
            "@type": "observable:DataRangeFacet",
            "observable:rangeOffset": offset,
            "observable:rangeOffsetType": "bytes from the beginning of the source",
            "observable:rangeSize": length,
        }
        for number, (offset, length) in enumerate(extents(row) or ())
    ]
    yield _contained(
        names, this, f"file {row['parent']}" if row["parent"] is not None else f"volume {row['volume']}", ranges
    )
    for number, match in enumerate(matches):
        yield _listed(names, this, number, match)


def _file(names: Names, this: str, row: sqlite3.Row) -> Node:
    name = row["path"].rpartition("/")[2]
    _, point, extension = name.rpartition(".")
    return without_gaps({
        "@id": names[f"{this} name"],
        "@type": "observable:FileFacet",
        "observable:fileName": name,
        "observable:filePath": row["path"],
        "observable:extension": extension if point else None,
        "observable:isDirectory": False,
        "observable:sizeInBytes": row["size"],
        "observable:allocationStatus": _ALLOCATION.get(row["state"]),
        "observable:observableCreatedTime": moment(row["created"]),
        "observable:modifiedTime": moment(row["modified"]),
        "observable:accessedTime": moment(row["accessed"]),
        "observable:metadataChangeTime": moment(row["changed"]),
    })  # fmt: skip


def _content(names: Names, this: str, row: sqlite3.Row) -> Node:
    known = {"MD5": row["md5"], "SHA1": row["sha1"], "SHA256": row["sha256"]}
    return without_gaps({
        "@id": names[f"{this} content"],
        "@type": "observable:ContentDataFacet",
        "observable:mimeType": row["mime"],
        "observable:sizeInBytes": row["size"],
        "observable:hash": digests(names, this, known),
    })  # fmt: skip


def _recovered(names: Names, this: str, row: sqlite3.Row) -> Node:
    """What of a file that is no longer there was found again. That a content is whole is never claimed of one with a problem."""
    content = "unknown" if not row["sha256"] else "partially recovered" if row["problem"] else "recovered"
    timed = any(row[time] for time in ("created", "modified", "accessed", "changed"))
    return {
        "@id": names[f"{this} recovery"],
        "@type": "observable:RecoveredObjectFacet",
        "observable:nameRecoveredStatus": "recovered" if row["state"] == "deleted" else "unknown",
        "observable:metadataRecoveredStatus": "recovered" if timed else "unknown",
        "observable:contentRecoveredStatus": content,
    }


def _classified(names: Names, this: str, classes: list[str]) -> Node:
    return {
        "@id": names[f"{this} classes"],
        "@type": "analysis:ArtifactClassificationResultFacet",
        "analysis:classification": [
            {"@id": names[f"{this} class {each}"], "@type": "analysis:ArtifactClassification", "analysis:class": each}
            for each in classes
        ],
    }


def _contained(names: Names, inner: str, outer: str, ranges: list[Node]) -> Node:
    return {
        "@id": names[f"{inner} contained"],
        "@type": "observable:ObservableRelationship",
        "core:source": names.link(inner),
        "core:target": names.link(outer),
        "core:kindOfRelationship": "Contained_Within",
        "core:isDirectional": True,
        "core:hasFacet": ranges,
    }


def _listed(names: Names, this: str, number: int, match: Match) -> Node:
    said = {
        "entry": match.entry, "category": match.category, "method": match.method, "distance": match.distance,
        "quality": match.quality,
        "contradicted": match.contradicted or None,
    }  # fmt: skip
    return {
        "@id": names[f"{this} match {number}"],
        "@type": "observable:ObservableRelationship",
        "core:source": names.link(this),
        "core:target": names.link(f"list {match.list}"),
        "core:kindOfRelationship": "Listed_In",
        "core:isDirectional": True,
        "core:description": "; ".join(f"{name} {value}" for name, value in said.items() if value is not None),
    }
