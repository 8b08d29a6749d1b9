"""VICS JSON: pictures, films and what is listed, a content once; what the lists say and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from amparo.evidence.exports import export
from amparo.known.lists import read_list
from tests.evidence.exports import specimen


def case_of(path: Path) -> dict[str, Any]:
    root = json.loads(path.read_text("utf-8"))
    (case,) = root["value"]
    return case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("vics")
    export(specimen.make(folder / "package"), "vics", folder / "case.json")
    return case_of(folder / "case.json")


def media(case: dict[str, Any], content: str) -> dict[str, Any]:
    (found,) = [one for one in case["Media"] if one["MD5"] == specimen.digests(content)["md5"].upper()]
    return found


@pytest.mark.parametrize(
    ("version", "key", "model"),
    [
        (None, "@odata.context", "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Cases"),
        ("2.0", "@odata.context", "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Cases"),
        (
            "2.0-UK",
            "@odata.context",
            "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/$metadata#Cases",
        ),
        ("1.3", "odata.metadata", "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Cases"),
    ],
)
def test_the_root_names_the_model_of_the_version(tmp_path: Path, version: str | None, key: str, model: str):
    export(specimen.make(tmp_path / "package"), "vics", tmp_path / "out", version)
    assert next(iter(json.loads((tmp_path / "out").read_text("utf-8")).items())) == (key, model)


def test_pictures_films_and_listed_files_are_in_it_once_each_and_nothing_else(case: dict[str, Any]):
    wanted = ["a", "film", "orphan", "carved", "b", "listed", "logo"]
    assert sorted(one["MD5"] for one in case["Media"]) == sorted(specimen.digests(c)["md5"].upper() for c in wanted)
    assert [one["MediaID"] for one in case["Media"]] == list(range(1, 8))


def test_the_totals_agree_with_the_entries(case: dict[str, Any]):
    assert case["TotalMediaFiles"] == len(case["Media"])
    assert case["TotalPrecategorized"] == sum(one["IsPrecategorized"] for one in case["Media"]) == 1


def test_a_content_has_all_its_places(case: dict[str, Any]):
    one = media(case, "a")
    assert [place["FilePath"] for place in one["MediaFiles"]] == [
        "volume 1\\Users\\ana\\a.jpg",
        "volume 1\\Users\\ana\\copy of a.jpg",
    ]
    place = one["MediaFiles"][0]
    assert place["FileName"] == "a.jpg" and place["SourceID"] == "AP-7" and place["MD5"] == one["MD5"]
    assert place["Created"] == "2020-03-01T10:00:00Z" and place["Written"] == "2020-03-01T10:00:00.500000Z"
    assert place["PhysicalLocation"] == 2048 and one["MediaFiles"][1]["PhysicalLocation"] is None
    assert one["SHA1"] == specimen.digests("a")["sha1"].upper()


def test_what_is_deleted_and_what_lies_in_free_space_is_told_apart(case: dict[str, Any]):
    def flags(content: str) -> tuple[bool, bool]:
        place = media(case, content)["MediaFiles"][0]
        return place["Deleted"], place["Unallocated"]

    assert flags("a") == (False, False)
    assert flags("film") == flags("orphan") == (True, True)
    assert flags("carved") == (False, True)
    assert flags("b") == (True, True), "its outermost archive is deleted"


def test_a_member_names_the_archive_it_lies_in(case: dict[str, Any]):
    place = media(case, "b")["MediaFiles"][0]
    assert place["FileName"] == "b.gif"
    assert place["ParentFilePath"] == "mail.zip\\inner.zip" and place["ParentFileName"] == "inner.zip"
    assert place["ParentMD5"] == specimen.digests("inner")["md5"].upper()


def test_a_category_is_that_of_a_list_that_names_the_very_content(case: dict[str, Any]):
    judged = {c: (media(case, c)["Category"], media(case, c)["IsPrecategorized"], media(case, c)["IsSuspected"])
              for c in ("a", "film", "orphan", "carved", "b", "listed", "logo")}  # fmt: skip
    assert judged == {
        "a": (1, True, False),  # two lists differ: the graver
        "film": (None, False, True),  # "A" is no VICS category
        "orphan": (None, False, True),  # looks alike, is not the same
        "carved": (None, False, False),
        "b": (0, False, True),  # the list says: uncategorised
        "listed": (None, False, True),
        "logo": (None, False, True),  # a stronger digest differs
    }
    assert media(case, "film")["Tags"] == "partner.csv: A"
    assert media(case, "a")["Tags"] == "national.json: 1; partner.csv: 2"
    assert "distance 12" in media(case, "orphan")["Comments"]
    assert "known good: nsrl.db" in media(case, "logo")["Tags"] and "look at it" in media(case, "logo")["Comments"]


def test_the_digests_are_read_back_by_our_own_reader_of_vics(case: dict[str, Any], tmp_path: Path):
    root = {"@odata.context": "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media"}
    (tmp_path / "set.json").write_text(json.dumps({**root, "value": case["Media"]}))
    known = read_list(tmp_path / "set.json")
    entries = list(known)
    assert not known.skipped
    expected = {tuple(specimen.digests(c).values()) for c in ("a", "film", "orphan", "carved", "b", "listed", "logo")}
    assert {(e.md5.hex(), e.sha1.hex(), e.sha256.hex()) for e in entries if e.md5 and e.sha1 and e.sha256} == expected


def test_two_contents_made_to_share_an_md5_do_not_hide_each_other(tmp_path: Path):
    rows = [{"path": f"{n}.jpg", "mime": "image/jpeg", "content": str(n)} for n in range(3)]
    package = specimen.make(tmp_path / "package", rows=rows, same_md5=True)
    export(package, "vics", tmp_path / "out")
    case = case_of(tmp_path / "out")
    assert case["TotalMediaFiles"] == len(case["Media"]) == 3
    assert len({one["MD5"] for one in case["Media"]}) == 1 and len({one["SHA1"] for one in case["Media"]}) == 3


def test_every_medium_of_a_training_case_says_so(tmp_path: Path):
    export(specimen.make(tmp_path / "package", training=True), "vics", tmp_path / "out")
    case = case_of(tmp_path / "out")
    assert case["CaseNumber"].startswith("TRAINING ")
    assert all(one["Tags"].startswith("TRAINING") for one in case["Media"])
