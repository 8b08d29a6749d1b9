"""The search as CASE/UCO 1.5 JSON-LD: under which authority, by whom and with what, on which exhibit, and what was found.

One node a line in ``@graph``. Identifiers are UUIDs made of the tables' digest, so that two exports of a package name
everything alike and can be merged. ``case_validate`` (case-utils) finds nothing to say about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any, TextIO

import amparo
from amparo.clock import iso
from amparo.evidence.exports import case_files
from amparo.evidence.exports.case_terms import CONTEXT, Names, digests, moment, without_gaps
from amparo.evidence.exports.finished import TRAINING, Finished
from amparo.law.counting import end_of

_STATEMENT = "TRAINING: this comes from training data and is never evidence."


def write(finished: Finished, out: TextIO, version: str) -> int:
    """Write the graph; gives how many files are in it."""
    del version
    names = Names(finished)
    out.write('{"@context": ' + json.dumps(CONTEXT) + ',\n"@graph": [\n')
    opening = [*_authority(finished, names), *_people(finished, names), *_source(finished, names)]
    opening += [*case_files.volumes(finished, names), *case_files.lists(finished, names)]
    opening += _search(finished, names)
    out.write(",\n".join(_line(node) for node in opening))
    files = 0
    for row in finished.database.execute("select * from files order by id"):
        for node in case_files.nodes(finished, names, row):
            out.write(",\n" + _line(node))
        files += 1
    _write_found(finished, names, out)
    out.write("\n]}\n")
    return files


def _line(node: dict[str, Any]) -> str:
    return json.dumps(without_gaps(node), ensure_ascii=False)


def _authority(finished: Finished, names: Names) -> Iterator[dict[str, Any]]:
    order = finished.order
    issued, lapses = order["issued_on"], order.get("lapses_on")
    yield {
        "@id": names["authorization"],
        "@type": "investigation:Authorization",
        "core:name": order["reference"],
        "core:description": f"Issued by {order['issued_by']} on {issued}",
        "investigation:authorizationType": f"{order['measure']} ({order['article']})",
        "investigation:authorizationIdentifier": order["reference"],
        "core:startTime": _beginning(order.get("able_to_search_on") or issued),
        "core:endTime": moment(iso(end_of(date.fromisoformat(lapses)))) if lapses else None,
    }
    case = f"{TRAINING} {order['case_number']}" if finished.training else order["case_number"]
    together = ["authorization", "examiner", "person", "agency", "tool", "source", "exhibit", "found", "search"]
    yield {
        "@id": names["investigation"],
        "@type": "investigation:Investigation",
        "core:name": case,
        "core:description": _STATEMENT if finished.training else None,
        "core:tag": TRAINING if finished.training else None,
        "core:objectMarking": names.link("training") if finished.training else None,
        "investigation:investigationForm": "case",
        "investigation:relevantAuthorization": names.link("authorization"),
        "core:object": [names.link(name) for name in together],
    }
    if finished.training:
        yield {
            "@id": names["training"],
            "@type": "marking:MarkingDefinition",
            "marking:definitionType": "statement",
            "marking:definition": {
                "@id": names["training statement"],
                "@type": "marking:StatementMarking",
                "marking:definitionType": "statement",
                "marking:statement": _STATEMENT,
            },
        }


def _beginning(day: str) -> dict[str, str]:
    """Midnight of a day of law, which in summer is not midnight in UTC."""
    before = date.fromisoformat(day) - timedelta(days=1)
    return {"@type": "xsd:dateTime", "@value": iso(end_of(before) + timedelta(microseconds=1))}


def _people(finished: Finished, names: Names) -> Iterator[dict[str, Any]]:
    order = finished.order
    yield {"@id": names["examiner"], "@type": "investigation:Examiner", "core:name": order["examiner_name"]}
    yield {"@id": names["person"], "@type": "identity:Person", "core:name": order["examiner_name"]}
    yield {"@id": names["agency"], "@type": "identity:Organization", "core:name": order["examiner_agency"]}
    for source, kind, target in (("person", "Has_Role", "examiner"), ("person", "Member_Of", "agency")):
        yield {
            "@id": names[f"{source} {kind} {target}"],
            "@type": "core:Relationship",
            "core:source": names.link(source),
            "core:target": names.link(target),
            "core:kindOfRelationship": kind,
            "core:isDirectional": True,
        }
    yield {
        "@id": names["tool"],
        "@type": "tool:AnalyticTool",
        "core:name": "Amparo",
        "tool:version": finished.run.get("version", amparo.__version__),
        "tool:toolType": "search and seizure of computer data",
    }


def _source(finished: Finished, names: Names) -> Iterator[dict[str, Any]]:
    run, order = finished.run, finished.order
    size = int(run["source_size"]) if run.get("source_size", "").isdigit() else None
    file: dict[str, Any] = {
        "@id": names["source file"],
        "@type": "observable:FileFacet",
        "observable:fileName": run.get("source"),
        "observable:isDirectory": run.get("source_format") == "folder",
        "observable:sizeInBytes": size,
    }
    content: dict[str, Any] = {
        "@id": names["source content"],
        "@type": "observable:ContentDataFacet",
        "observable:sizeInBytes": size,
        "observable:hash": digests(names, "source", {"SHA256": run.get("source_sha256_before")}),
    }
    image: dict[str, Any] = {
        "@id": names["source image"],
        "@type": "observable:ImageFacet",
        "observable:imageType": run.get("source_format"),
    }
    facets = [file] if run.get("source_format") == "folder" else [file, content, image]
    yield {
        "@id": names["source"],
        "@type": "observable:ObservableObject",
        "core:name": run.get("source"),
        "core:hasFacet": [without_gaps(facet) for facet in facets],
    }
    yield {
        "@id": names["exhibit"],
        "@type": "investigation:ProvenanceRecord",
        "core:description": order["exhibit_description"],
        "core:tag": TRAINING if finished.training else None,
        "core:objectMarking": names.link("training") if finished.training else None,
        "investigation:exhibitNumber": order["exhibit_number"],
        "core:object": [names.link("source")],
    }


def _search(finished: Finished, names: Names) -> Iterator[dict[str, Any]]:
    run = finished.run
    yield {
        "@id": names["search"],
        "@type": "investigation:InvestigativeAction",
        "core:name": "search",
        "core:description": f"Search of exhibit {finished.order['exhibit_number']} under {finished.order['reference']}",
        "core:tag": TRAINING if finished.training else None,
        "action:startTime": moment(run.get("started")),
        "action:endTime": moment(run.get("finished")),
        "action:performer": names.link("examiner"),
        "action:instrument": [names.link("tool")],
        "action:object": [names.link("exhibit")],
        "action:result": [names.link("found")],
    }


def _write_found(finished: Finished, names: Names, out: TextIO) -> None:
    """The record of what the search found names every file: it is written piece by piece."""
    record = {
        "@id": names["found"],
        "@type": "investigation:ProvenanceRecord",
        "core:description": f"What the search found on exhibit {finished.order['exhibit_number']}",
        "core:tag": TRAINING if finished.training else None,
        "core:objectMarking": names.link("training") if finished.training else None,
        "investigation:rootExhibitNumber": finished.order["exhibit_number"],
    }
    out.write(",\n" + _line(record)[:-1] + ', "core:object": [')
    files: Iterable[tuple[int]] = finished.database.execute("select id from files order by id")
    for number, (file,) in enumerate(files):
        out.write((", " if number else "") + json.dumps(names.link(f"file {file}")))
    out.write("]}")
