"""CASE/UCO: the validator of the CASE community finds nothing, and every node that is named is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amparo.evidence.exports import export
from tests.evidence.exports import specimen

Graph = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    export(specimen.make(folder / "package"), "case", folder / "case.jsonld")
    return folder / "case.jsonld"


@pytest.fixture(scope="module")
def graph(written: Path) -> Graph:
    return {node["@id"]: node for node in json.loads(written.read_text("utf-8"))["@graph"]}


def of_type(graph: Graph, kind: str) -> list[dict[str, Any]]:
    return [node for node in graph.values() if node["@type"] == kind]


def facets(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {facet["@type"].partition(":")[2]: facet for facet in node.get("core:hasFacet", [])}


def files(graph: Graph) -> dict[str, dict[str, Any]]:
    found = [node for node in of_type(graph, "observable:ObservableObject") if "core:tag" in node]
    return {facets(node)["FileFacet"]["observable:filePath"]: node for node in found}


def test_case_validate_finds_no_violation_in_a_real_or_a_training_package(written: Path, tmp_path: Path):
    export(specimen.make(tmp_path / "package", training=True), "case", tmp_path / "training.jsonld")
    tool = Path(sys.executable).with_name("case_validate")
    told = subprocess.run([tool, written, tmp_path / "training.jsonld"], capture_output=True, text=True, timeout=300)
    assert told.returncode == 0 and "Conforms: True" in told.stdout, told.stdout
    assert "NonExistentCDOConcept" not in told.stderr


def test_every_node_that_is_referred_to_is_there(graph: Graph):
    def links(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(links, value))
        if isinstance(value, dict):
            return {value["@id"]} if value.keys() == {"@id"} else set().union(*map(links, value.values()))
        return set()

    assert set().union(*map(links, graph.values())) <= graph.keys()


def test_identifiers_are_of_one_node_each(written: Path):
    def identifiers(value: Any) -> list[str]:
        if isinstance(value, list):
            return [each for item in value for each in identifiers(item)]
        if isinstance(value, dict):
            own = [value["@id"]] if "@type" in value and "@id" in value else []
            return own + [each for item in value.values() for each in identifiers(item)]
        return []

    found = identifiers(json.loads(written.read_text("utf-8")))
    assert len(found) == len(set(found)) > 100


def test_the_search_leads_from_the_order_to_the_exhibit_and_to_every_file(graph: Graph):
    (investigation,) = of_type(graph, "investigation:Investigation")
    (action,) = of_type(graph, "investigation:InvestigativeAction")
    authorization = graph[investigation["investigation:relevantAuthorization"]["@id"]]
    assert authorization["investigation:authorizationIdentifier"] == "Despacho 14/2026"
    assert "Lei 109/2009" in authorization["investigation:authorizationType"]
    # The day of the order begins in Lisbon, in summer an hour before it does in UTC; the last day ends there too.
    assert authorization["core:startTime"]["@value"] == "2026-07-19T23:00:00Z"
    assert authorization["core:endTime"]["@value"].startswith("2026-08-19T22:59:59")
    assert graph[action["action:performer"]["@id"]]["core:name"] == "Ana Exemplo"
    assert graph[action["action:instrument"][0]["@id"]]["tool:version"]
    exhibit, found = graph[action["action:object"][0]["@id"]], graph[action["action:result"][0]["@id"]]
    assert exhibit["investigation:exhibitNumber"] == found["investigation:rootExhibitNumber"] == "AP-7"
    source = graph[exhibit["core:object"][0]["@id"]]
    assert facets(source)["ContentDataFacet"]["observable:hash"][0]["types:hashValue"]["@value"] == "ab" * 32
    assert {link["@id"] for link in found["core:object"]} == {node["@id"] for node in files(graph).values()}


def test_every_file_has_its_name_and_its_three_digests(graph: Graph):
    found = files(graph)
    rows = specimen.files()
    assert found.keys() == {row["path"] for row in rows}
    for row in rows:
        hashes = facets(found[row["path"]])["ContentDataFacet"].get("observable:hash", [])
        known = {hash["types:hashMethod"].lower(): hash["types:hashValue"]["@value"] for hash in hashes}
        assert known == (specimen.digests(row["content"]) if row["content"] is not None else {})


def test_how_a_file_was_recovered_is_said_and_no_more_than_is_known(graph: Graph):
    found = files(graph)

    def recovery(path: str) -> list[str]:
        facet = facets(found[path])["RecoveredObjectFacet"]
        return [facet[f"observable:{what}RecoveredStatus"] for what in ("name", "metadata", "content")]

    assert recovery("Users/ana/gone.mp4") == ["recovered", "recovered", "partially recovered"]
    assert recovery("lost.jpg") == ["recovered", "unknown", "unknown"]
    assert recovery("$Carved/000000010000.jpg") == ["unknown", "unknown", "recovered"]
    assert "RecoveredObjectFacet" not in facets(found["Users/ana/a.jpg"])
    assert found["lost.jpg"]["core:description"] == "Its content was overwritten."


def test_a_match_leads_from_the_file_to_the_list_with_what_it_says(graph: Graph):
    relations = of_type(graph, "observable:ObservableRelationship")
    listed = [node for node in relations if node["core:kindOfRelationship"] == "Listed_In"]
    assert len(listed) == len(specimen.MATCHES)
    said = {(facets(graph[node["core:source"]["@id"]])["FileFacet"]["observable:fileName"],
             graph[node["core:target"]["@id"]]["core:name"]): node["core:description"] for node in listed}  # fmt: skip
    assert said["a.jpg", "national.json"] == "entry 77; category 1; method sha1; distance 0"
    assert said["o.png", "alike.csv"] == "entry x; category 1; method pdq; distance 12; quality 88"
    assert said["logo.png", "national.json"].endswith("contradicted 1")
    classes = facets(files(graph)["Users/ana/a.jpg"])["ArtifactClassificationResultFacet"]["analysis:classification"]
    assert [each["analysis:class"] for each in classes] == ["1", "2"]


def test_a_member_lies_in_its_archive_and_a_fragmented_file_at_each_of_its_places(graph: Graph):
    relations = of_type(graph, "observable:ObservableRelationship")
    inside = {
        node["core:source"]["@id"]: node for node in relations if node["core:kindOfRelationship"] == "Contained_Within"
    }
    found = files(graph)
    assert inside[found["mail.zip/inner.zip/b.gif"]["@id"]]["core:target"]["@id"] == found["mail.zip/inner.zip"]["@id"]
    ranges = inside[found["Users/ana/a.jpg"]["@id"]]["core:hasFacet"]
    assert [(r["observable:rangeOffset"], r["observable:rangeSize"]) for r in ranges] == [(2048, 512), (8192, 512)]
    volume = graph[inside[found["Users/ana/a.jpg"]["@id"]]["core:target"]["@id"]]
    assert volume["core:name"] == "Sistema"
