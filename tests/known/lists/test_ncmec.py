"""Answers of NCMEC's interface: every element is kept, and what is broken costs its own entry."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.lists import read_list, source
from tests.known import specimens
from tests.known.specimens import lower, ncmec_entry, raw, write_ncmec


def ids(path: Path) -> list[str | None]:
    return [entry.entry for entry in read_list(path)]


def test_pictures_and_films_are_read_with_their_classification_member_and_time(tmp_path: Path):
    known = read_list(write_ncmec(tmp_path / "l", 2, [ncmec_entry(5, "video")]))
    assert (known.format, known.scheme) == ("NCMEC XML", "NCMEC")
    _, second, film = known
    assert (second.md5, second.sha1, second.pdq) == (raw("md5", 1), raw("sha1", 1), raw("sha256", 1))
    assert (second.entry, second.category, film.category) == ("id1", "A2", "A2")
    assert json.loads(second.flags or "") == {
        "type": "image", "member": {"@id": "42", "#text": "Example Member"}, "timestamp": "2017-10-24T15:00:01Z",
        "fingerprints": {"pdna": "QUJD"},
    }  # fmt: skip
    assert json.loads(film.flags or "")["type"] == "video"


def test_entries_that_are_taken_back_are_told_apart(tmp_path: Path):
    deleted = '<deletedImage><member id="43">Other</member><id>gone</id><timestamp>2017-10-24T15:10:00Z</timestamp></deletedImage>'
    known = read_list(
        write_ncmec(tmp_path / "l", [ncmec_entry(1), deleted], ["<deletedVideo><id>film</id></deletedVideo>"])
    )
    assert [entry.entry for entry in known] == ["id1"]
    assert (known.withdrawn_count, known.skipped_count) == (2, 0)
    assert known.remarks == ["entry 2: the list takes it back", "entry 3: the list takes it back"]
    assert [(entry.entry, entry.md5) for entry in known.withdrawals()] == [("gone", None), ("film", None)]
    only = read_list(write_ncmec(tmp_path / "only", [deleted]))
    assert list(only) == [] and only.withdrawn_count == 1  # a list of nothing but these is no wrong list


def test_feedback_and_fingerprints_by_reference_are_kept_as_they_are(tmp_path: Path):
    more = (
        '<tmk-pdqf rel="self" href="/v2/entries/1/fingerprints/TMK_PDQF"/></fingerprints>'
        '<feedback lastUpdateTimestamp="2023-06-01T12:48:14Z"><affirmativeFeedback type="Md5"><members>'
        '<member id="1">A</member><member id="2">B</member></members></affirmativeFeedback></feedback>'
    )
    (read,) = read_list(write_ncmec(tmp_path / "l", [ncmec_entry(1).replace("</fingerprints>", more)]))
    flags = json.loads(read.flags or "")
    assert flags["fingerprints"]["tmk-pdqf"] == {"@rel": "self", "@href": "/v2/entries/1/fingerprints/TMK_PDQF"}
    assert flags["feedback"]["affirmativeFeedback"]["members"]["member"] == [
        {"@id": "1", "#text": "A"}, {"@id": "2", "#text": "B"}
    ]  # fmt: skip


def test_further_pages_are_told(tmp_path: Path):
    known = read_list(
        write_ncmec(tmp_path / "l", 1, after="<paging><next>/v2/entries?start=2001&amp;size=9</next></paging>")
    )
    assert len(list(known)) == 1 and known.remarks == ["the list says that more of it follows: ask for the rest"]


def test_answers_put_one_after_another_are_one_list(tmp_path: Path):
    path = tmp_path / "l"
    pages = [write_ncmec(tmp_path / str(n), [ncmec_entry(n), ncmec_entry(n + 1)]).read_text() for n in (0, 2, 4)]
    path.write_text("".join(pages))
    known = read_list(path)
    assert [entry.entry for entry in known] == [f"id{n}" for n in range(6)]
    assert known.skipped == []


def test_prefixed_names_other_encodings_and_marks_are_read(tmp_path: Path):
    path = write_ncmec(tmp_path / "l", [ncmec_entry(1).replace("Example Member", "Associação")])
    text = path.read_text("utf-8")
    prefixed = text.replace("<", "<ns:").replace("<ns:/", "</ns:").replace("<ns:?", "<?").replace("xmlns=", "xmlns:ns=")
    for name, data in (
        ("bom", text.encode("utf-8-sig")), ("utf-16", text.encode("utf-16")), ("crlf", text.replace("\n", "\r\n").encode()),
        ("latin", text.replace("UTF-8", "ISO-8859-1").encode("latin-1")), ("prefix", prefixed.encode()),
        ("comment", text.replace("<images", "<!-- <image><id>no</id></image> --><images").encode()),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        (read,) = read_list(tmp_path / name)
        assert (read.entry, read.md5) == ("id1", raw("md5", 1)), name
        assert json.loads(read.flags or "")["member"]["#text"] == "Associação", name


def test_a_document_type_is_refused_wherever_it_stands_so_that_no_entity_grows(tmp_path: Path):
    bomb = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    first = tmp_path / "first"
    first.write_text(specimens.NCMEC.replace("<queryResult", bomb + "<queryResult") + "<images/></queryResult>")
    later = tmp_path / "later"
    later.write_text(write_ncmec(tmp_path / "l", 3).read_text() + bomb + "<queryResult/>")
    for path in (first, later):
        with pytest.raises(UsedWrongly, match="document type"):
            list(read_list(path))


def test_one_broken_entry_costs_no_other(tmp_path: Path):
    entries = [ncmec_entry(n) for n in range(60)]
    entries[0] = entries[0][:80]  # broken off, and the very first
    entries[10] = entries[10].replace("</id>", "</ib>")
    entries[20] = entries[20].replace("</image>", "")
    entries[30] = entries[30].replace("Example", "&unknown;")
    entries[40] = entries[40].replace("<id>", "<id a='1' a='2'>")
    entries[50] = "<image " + entries[50]
    entries[55] = entries[55].replace("Example", "\x00")
    entries[59] = entries[59].replace("</image>", "")
    known = read_list(write_ncmec(tmp_path / "l", entries))
    kept = [int((entry.entry or "")[2:]) for entry in known]
    assert kept == [
        n for n in range(60) if n not in (0, 10, 20, 30, 40, 55, 59)
    ]  # of entry 50, all is there once its false start is passed over
    assert known.skipped_count == 8 and not any("cut short" in why for why in known.skipped)


def test_entries_split_over_any_two_reads_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entries = [ncmec_entry(n) for n in range(12)]
    entries[5] = entries[5].replace("</md5>", "</mb5>")
    path = write_ncmec(tmp_path / "l", entries)
    for size in (1, 2, 3, 7, 64, 1000):
        monkeypatch.setattr(source, "_PIECE", size)
        assert ids(path) == [f"id{n}" for n in range(12) if n != 5], size


def test_a_list_that_was_cut_short_gives_what_it_has_and_says_so(tmp_path: Path):
    path = write_ncmec(tmp_path / "l", 20)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    known = read_list(path)
    assert ids(path) == [f"id{n}" for n in range(10)][: len(ids(path))] and len(ids(path)) >= 8
    list(known)
    assert "cut short" in known.skipped[-1]


def test_depth_length_and_number_of_what_is_broken_are_bounded(tmp_path: Path):
    entries = [
        ncmec_entry(0), ncmec_entry(1).replace("<id>", "<x>" * 5000 + "<id>"), ncmec_entry(2),
        ncmec_entry(3).replace("Example", "x" * 5_000_000), ncmec_entry(4),
        ncmec_entry(5).replace('"42"', '"' + "4" * 5_000_000 + '"'), ncmec_entry(6),
    ]  # fmt: skip
    assert ids(write_ncmec(tmp_path / "l", entries)) == ["id0", "id2", "id4", "id6"]
    with pytest.raises(UsedWrongly, match="damaged around entry"):
        ids(write_ncmec(tmp_path / "m", ["<image><id></image>"] * 20_000))


def test_two_values_for_one_digest_are_told(tmp_path: Path):
    twice = ncmec_entry(1).replace("</md5>", f"</md5><md5>{lower('md5', 2)}</md5>")
    known = read_list(write_ncmec(tmp_path / "l", [twice]))
    (read,) = known
    assert read.md5 == raw("md5", 1) and json.loads(read.flags or "")["fingerprints"]["md5"] == lower("md5", 2)
    assert known.remarks == ["entry 1: it has two different values for md5: the first counts"]


def test_bytes_changed_at_random_lose_few_entries(tmp_path: Path):
    path = write_ncmec(tmp_path / "l", 200)
    whole = path.read_bytes()
    for seed in range(20):
        random_ = random.Random(seed)
        data = bytearray(whole)
        for _ in range(5):
            data[random_.randrange(2000, len(data))] = random_.randrange(256)
        path.write_bytes(data)
        assert len(ids(path)) >= 185
