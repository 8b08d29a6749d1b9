"""An index that changes: lists come, take another's place and go, and whoever asks sees all of a change or nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.index import KnownIndex
from amparo.known.library import Library, is_library
from tests.known import specimens
from tests.known.specimens import raw

ALIKE = bytes(range(32))


def listed(path: Path, rows: list[str], columns: str = "md5,pdq,category,entry") -> Path:
    path.write_text(columns + "\n" + "".join(row + "\n" for row in rows), "utf-8")
    return path


def near(bits: int) -> bytes:
    """The fingerprint with so many of its bits turned."""
    return (int.from_bytes(ALIKE) ^ ((1 << bits) - 1)).to_bytes(32)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path / "index")
    assert [change.what for change in library.add([specimens.write_vics(tmp_path / "set.json", 50)])] == ["added"]
    return library


def test_lists_that_come_one_after_another_all_answer(library: Library, tmp_path: Path):
    list(library.add([listed(tmp_path / "more.csv", [f"{raw('md5', 7).hex()},,9,seven"])]))
    hits = library.open().lookup(raw("md5", 7))
    assert [(hit.list, hit.entry, hit.category) for hit in hits] == [("set.json", "7", "1"), ("more.csv", "seven", "9")]


def test_the_same_list_twice_is_taken_once(library: Library, tmp_path: Path):
    assert [change.what for change in library.add([tmp_path / "set.json"])] == ["unchanged"]
    assert len(library.open()) == 50


def test_a_list_of_the_same_name_takes_the_place_of_another_only_where_that_is_asked_for(
    library: Library, tmp_path: Path
):
    (tmp_path / "new").mkdir()
    newer = specimens.write_vics(tmp_path / "new" / "set.json", 60)
    before = library.open()
    with pytest.raises(UsedWrongly, match="give --replace"):
        list(library.add([newer]))
    assert len(library.open()) == 50
    assert [change.what for change in library.add([newer], replace=True)] == ["replaced"]
    assert len(library.open()) == 60
    assert before.lookup(raw("md5", 7)) and len(before) == 50, "who had it open goes on with what was there"


def test_a_list_that_was_taken_out_no_longer_answers(library: Library, tmp_path: Path):
    list(library.add([listed(tmp_path / "more.csv", [f"{raw('md5', 7).hex()},,9,seven"])]))
    assert library.remove("set.json").said["entries"] == 50
    assert [hit.list for hit in library.open().lookup(raw("md5", 7))] == ["more.csv"]
    with pytest.raises(UsedWrongly, match=r"those in it: more\.csv"):
        library.remove("set.json")


def test_a_list_that_cannot_be_read_leaves_those_before_it(library: Library, tmp_path: Path):
    (tmp_path / "bad").write_text("no digest\n", "utf-8")
    good = listed(tmp_path / "good.csv", [f"{raw('md5', 1).hex()},,,"])
    with pytest.raises(UsedWrongly, match="neither a digest"):
        list(library.add([good, tmp_path / "bad"]))
    assert [known["list"] for known in library.open().described()] == ["set.json", "good.csv"]
    assert not list(library.folder.glob(".new-*"))


def test_what_a_kill_left_behind_is_swept_away_by_the_next_change(library: Library, tmp_path: Path):
    shutil.copytree(library.folder / "000001", library.folder / "000002")
    (library.folder / ".new-x").mkdir()
    list(library.add([listed(tmp_path / "more.csv", [f"{raw('md5', 7).hex()},,9,seven"])]))
    assert len(library.open().described()) == 2
    assert sorted(path.name for path in library.folder.iterdir() if path.is_dir()) == ["000001", "000002"]


_HOLDER = """
import sys
from pathlib import Path
from amparo.known.library import Library
with Library(Path(sys.argv[1]))._changing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_only_one_process_changes_it_at_a_time(library: Library, tmp_path: Path):
    more = listed(tmp_path / "more.csv", [f"{raw('md5', 7).hex()},,9,seven"])
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _HOLDER, library.folder], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(UsedWrongly, match="wait until it has ended"):
            list(library.add([more]))
        assert len(library.open()) == 50, "asking goes on"
        other.communicate()
    assert [change.what for change in library.add([more])] == ["added"]


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear reader")
    with pytest.raises(UsedWrongly, match="choose another folder"):
        list(Library(tmp_path / "mine").add([specimens.write_vics(tmp_path / "set.json", 5)]))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    assert not is_library(tmp_path / "mine") and not is_library(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": "x"}', '{"format": "amparo known library", "version": 1, "lists": [{"shelf": 3}]}'],
)
def test_a_damaged_catalogue_says_what_to_do(library: Library, text: str):
    (library.folder / "library.json").write_text(text)
    with pytest.raises(UsedWrongly, match="build it again"):
        library.open()


def test_a_catalogue_can_name_nothing_outside_its_folder(library: Library, tmp_path: Path):
    (tmp_path / "precious").mkdir()
    catalogue = json.loads((library.folder / "library.json").read_text())
    catalogue["lists"][0]["shelf"] = "../precious"
    (library.folder / "library.json").write_text(json.dumps(catalogue))
    with pytest.raises(UsedWrongly, match="build it again"):
        library.remove("set.json")
    assert (tmp_path / "precious").is_dir()


# Fingerprints -------------------------------------------------------------------------------------------------------


def test_a_picture_is_found_by_a_fingerprint_within_the_radius_and_not_beyond(tmp_path: Path):
    index = KnownIndex.build([listed(tmp_path / "l.csv", [f",{ALIKE.hex()},2,one"])])
    assert index.has_fingerprints
    [hits] = index.look_alikes([[near(31)]])
    assert [(hit.list, hit.entry, hit.category, hit.method, hit.distance) for hit in hits] == [
        ("l.csv", "one", "2", "pdq", 31)
    ]
    assert index.look_alikes([[near(32)]]) == [[]]
    assert [hit.distance for hit in index.look_alikes([[near(32)]], radius=32)[0]] == [32]


def test_of_a_pictures_forms_the_nearest_counts_and_an_entry_is_told_once(tmp_path: Path):
    rows = [f",{near(0).hex()},2,one", f",{near(9).hex()},2,one", f",{near(4).hex()},3,two"]
    index = KnownIndex.build([listed(tmp_path / "l.csv", rows)])
    [hits, none] = index.look_alikes([[bytes(32), near(3), near(20)], [bytes(32)]])
    assert [(hit.entry, hit.distance) for hit in hits] == [("two", 1), ("one", 3)] and none == []


def test_several_lists_answer_together_and_flags_come_along(tmp_path: Path):
    library = Library(tmp_path / "index")
    both = [listed(tmp_path / name, [f",{near(n).hex()},2,{name}"]) for n, name in enumerate(("a.csv", "b.csv"))]
    assert len(list(library.add(both))) == 2
    [hits] = library.open().look_alikes([[ALIKE]])
    assert [(hit.list, hit.distance) for hit in hits] == [("a.csv", 0), ("b.csv", 1)]


def test_an_index_of_digests_alone_has_no_fingerprints(library: Library):
    index = library.open()
    assert not index.has_fingerprints and index.look_alikes([[ALIKE]]) == [[]]
