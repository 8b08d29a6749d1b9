"""DFXML: well-formed whatever the names, in the order of the schema, with the runs where they are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence.exports import dfxml, export
from tests.evidence.exports import specimen

SPACE = "{http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML}"
# fileobject's sequence in dfxml.xsd 1.1.0 (dfxml-working-group/dfxml_schema), as far as we write it.
SEQUENCE = [
    "filename", "partition", "id", "name_type", "filesize", "unalloc", "alloc", "orphan", "inode", "mtime", "ctime", "atime",
    "crtime", "libmagic", "byte_runs", "hashdigest",
]  # fmt: skip


def local(element: ElementTree.Element) -> str:
    assert element.tag.startswith(SPACE)
    return element.tag.removeprefix(SPACE)


def said(parent: ElementTree.Element, name: str) -> str | None:
    return parent.findtext(SPACE + name)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ElementTree.Element:
    folder = tmp_path_factory.mktemp("dfxml")
    export(specimen.make(folder / "package"), "dfxml", folder / "out.xml")
    return ElementTree.parse(folder / "out.xml").getroot()


@pytest.fixture(scope="module")
def objects(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {said(each, "id") or "": each for each in root.iter(SPACE + "fileobject")}


def test_every_file_is_there_with_its_three_digests(objects: dict[str, ElementTree.Element]):
    rows = specimen.files()
    assert objects.keys() == {str(number) for number in range(1, len(rows) + 1)}
    for number, row in enumerate(rows, 1):
        found = {each.get("type"): each.text for each in objects[str(number)].findall(SPACE + "hashdigest")}
        assert found == (specimen.digests(row["content"]) if row["content"] is not None else {})


def test_elements_stand_in_the_order_of_the_schema(root: ElementTree.Element, objects: dict[str, ElementTree.Element]):
    assert [local(each) for each in root][:3] == ["metadata", "creator", "source"]
    assert {local(each) for each in root[3:]} == {"volume"}
    for each in objects.values():
        places = [SEQUENCE.index(local(child)) for child in each]
        assert places == sorted(places)
        assert {"filename", "name_type"} <= {local(child) for child in each}


def test_hostile_names_come_back_and_what_xml_cannot_hold_is_made_visible(objects: dict[str, ElementTree.Element]):
    first = len(specimen.files()) - len(specimen.NAMES) + 1
    for number, name in enumerate(specimen.NAMES, first):
        shown = (
            name.replace("\x07", "\\x07")
            .replace("\x1b", "\\x1b")
            .replace("\ufffe", "\\ufffe")
            .replace("\uffff", "\\uffff")
        )
        assert said(objects[str(number)], "filename") == shown


@given(st.text())
def test_any_text_can_be_written_and_what_is_allowed_is_not_changed(name: str):
    name = name.encode("utf-8", "backslashreplace").decode()  # as sqlite holds it
    read = ElementTree.fromstring(f"<a>{dfxml.text(name)}</a>").text or ""
    allowed = [c for c in name if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"]
    assert read == name if len(allowed) == len(name) else read.startswith(name[:1]) or "\\" in read


def test_allocation_is_that_of_the_file_or_of_its_outermost_archive(objects: dict[str, ElementTree.Element]):
    unallocated = {number for number, each in objects.items() if said(each, "unalloc") == "1"}
    assert unallocated == {"3", "4", "5", "6", "7", "8", "9"}
    assert all((said(each, "alloc") == "1") != (number in unallocated) for number, each in objects.items())
    assert [number for number, each in objects.items() if said(each, "orphan")] == ["4"]


def test_runs_are_given_in_the_image_and_in_their_volume(objects: dict[str, ElementTree.Element]):
    runs = objects["1"].findall(f"{SPACE}byte_runs/{SPACE}byte_run")
    assert [run.attrib for run in runs] == [
        {"file_offset": "0", "fs_offset": "1024", "img_offset": "2048", "len": "512"},
        {"file_offset": "512", "fs_offset": "7168", "img_offset": "8192", "len": "512"},
    ]
    (carved,) = objects["5"].findall(f"{SPACE}byte_runs/{SPACE}byte_run")
    assert carved.attrib == {
        "file_offset": "0",
        "img_offset": "65536",
        "len": "300",
    }  # its volume has no place of its own


def test_where_a_hole_was_left_out_no_run_claims_a_place_in_the_file(tmp_path: Path):
    rows = [{"path": "sparse", "content": "x", "volume": 1, "size": 1 << 20, "extents": [[2048, 512], [4096, 512]]}]
    export(specimen.make(tmp_path / "package", rows=rows), "dfxml", tmp_path / "out")
    runs = list(ElementTree.parse(tmp_path / "out").getroot().iter(SPACE + "byte_run"))
    assert [(run.get("img_offset"), run.get("file_offset")) for run in runs] == [("2048", None), ("4096", None)]


def test_times_address_and_type_are_those_of_the_file(objects: dict[str, ElementTree.Element]):
    first = objects["1"]
    assert (said(first, "crtime"), said(first, "mtime")) == ("2020-03-01T10:00:00Z", "2020-03-01T10:00:00.500000Z")
    assert (said(first, "inode"), said(first, "libmagic"), said(first, "filesize")) == ("40", "image/jpeg", "1024")


def test_a_file_whose_volume_is_in_no_table_is_not_lost(tmp_path: Path):
    rows = [{"path": "a", "content": "a", "volume": 9}]
    assert export(specimen.make(tmp_path / "package", rows=rows), "dfxml", tmp_path / "out") == 1
