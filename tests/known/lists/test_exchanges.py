"""StopNCII's records and ThreatExchange's signals: what is compared is read, what is not is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.lists import Entry, read_list
from amparo.known.lists.threatexchange import vpdq_text
from tests.known import specimens
from tests.known.specimens import lower, raw, stopncii_record, write_stopncii


def test_a_pictures_record_gives_its_pdq_and_a_films_its_md5(tmp_path: Path):
    known = read_list(write_stopncii(tmp_path / "l", [stopncii_record(1), stopncii_record(2, "VideoMD5")]))
    picture, film = known
    assert (known.format, known.scheme) == ("StopNCII JSON", "StopNCII")
    assert (picture.pdq, picture.md5, film.pdq, film.md5) == (raw("sha256", 1), None, None, raw("md5", 2))
    flags = stopncii_record(1)
    del flags["hashValue"]
    assert json.loads(picture.flags or "") == flags


def test_withdrawn_and_deleted_records_are_told_apart_with_their_values(tmp_path: Path):
    records = [stopncii_record(0), stopncii_record(1, status="Withdrawn"), stopncii_record(2, "VideoMD5", "Deleted")]
    known = read_list(write_stopncii(tmp_path / "l", records))
    assert [entry.pdq for entry in known] == [raw("sha256", 0)]
    assert known.withdrawn_count == 2
    assert [(entry.pdq, entry.md5) for entry in known.withdrawals()] == [
        (raw("sha256", 1), None),
        (None, raw("md5", 2)),
    ]


def test_texts_addresses_and_other_kinds_are_skipped_and_told(tmp_path: Path):
    records = [stopncii_record(0), stopncii_record(1, "Text"), stopncii_record(2, "VideoTMK"), {"hashValue": 5}, 7]
    known = read_list(write_stopncii(tmp_path / "l", records))
    assert len(list(known)) == 1
    assert known.skipped == [
        "entry 2: its kind, Text, is not compared here", "entry 3: its kind, VideoTMK, is not compared here",
        "entry 4: there is no digest", "entry 5: it is not an object",
    ]  # fmt: skip


def test_one_broken_record_costs_no_other_and_further_pages_are_told_and_read(tmp_path: Path):
    records: list[object] = [stopncii_record(n) for n in range(20)]
    records[3] = json.dumps(records[3])[:70]
    first = write_stopncii(tmp_path / "a", records, more=True).read_text()
    path = tmp_path / "l"
    path.write_text(
        first + "\n" + write_stopncii(tmp_path / "b", [stopncii_record(n) for n in range(20, 25)]).read_text()
    )
    known = read_list(path)
    assert [entry.pdq for entry in known] == [raw("sha256", n) for n in range(25) if n != 3]
    assert known.remarks == ["the list says that more of it follows: ask for the rest"]


def test_records_in_a_bare_array_are_read_and_a_root_without_records_is_refused(tmp_path: Path):
    path = tmp_path / "l"
    path.write_text(json.dumps([stopncii_record(1)]))
    assert [entry.pdq for entry in read_list(path)] == [raw("sha256", 1)]
    path.write_text('{"hashRecords": {}}')
    with pytest.raises(UsedWrongly, match="hashRecords"):
        list(read_list(path))


def test_the_columns_of_a_data_set_are_read_and_a_false_positive_stays_what_it_is(tmp_path: Path):
    path = tmp_path / "l"
    path.write_text(
        specimens.SIGNALS + f"pdq,{lower('sha256', 1)},trial,POSITIVE_CLASS,one two\n"
        f"video_md5,{lower('md5', 2)},trial,NEGATIVE_CLASS,\nvideo_sha256,{lower('sha256', 3)},,,\nraw_text,hello,trial,,\n"
    )
    known = read_list(path)
    assert (known.format, known.scheme) == ("ThreatExchange CSV", "ThreatExchange")
    assert list(known) == [
        Entry(
            pdq=raw("sha256", 1), category="POSITIVE_CLASS", list="l",
            flags='{"collab":"trial","signal_type":"pdq","tags":"one two"}',
        ),
        Entry(md5=raw("md5", 2), category="NEGATIVE_CLASS", flags='{"collab":"trial","signal_type":"video_md5"}', list="l"),
        Entry(sha256=raw("sha256", 3), flags='{"signal_type":"video_sha256"}', list="l"),
    ]  # fmt: skip
    assert known.skipped == ["line 5: its kind, raw_text, is not compared here"]


def test_the_columns_of_a_query_are_read(tmp_path: Path):
    path = tmp_path / "l"
    path.write_text(
        specimens.QUERY + f"9,{lower('sha256', 1)},HASH_PDQ,MALICIOUS,a b,77\n8,{lower('md5', 2)},HASH_MD5,,,\n"
    )
    assert list(read_list(path)) == [
        Entry(
            pdq=raw("sha256", 1), category="MALICIOUS", entry="9", list="l",
            flags='{"owner_id":"77","tags":"a b","type":"HASH_PDQ"}',
        ),
        Entry(md5=raw("md5", 2), entry="8", flags='{"type":"HASH_MD5"}', list="l"),
    ]  # fmt: skip


def test_a_films_frames_are_read_in_order_without_those_that_say_nothing(tmp_path: Path):
    frames = [f"{lower('sha256', n)},{quality},{n}.000" for n, quality in enumerate((100, 49, 50, 80))]
    quoted = json.dumps(frames).replace('"', '""')
    path = tmp_path / "l"
    path.write_text(specimens.SIGNALS + f'vpdq,"{quoted}",,,\n')
    (film,) = read_list(path)
    assert film.film == raw("sha256", 0) + raw("sha256", 2) + raw("sha256", 3)
    flags = json.loads(film.flags or "")
    assert flags["vpdq"] == {"left_out": 1, "quality": "100 50 80", "time": "0.000 2.000 3.000"}
    assert json.loads(vpdq_text(film.film, flags["vpdq"])) == [frames[0], frames[2], frames[3]]


def test_a_film_of_four_hours_is_one_field_and_its_even_times_take_no_room(tmp_path: Path):
    frames = [f"{lower('sha256', n)},100,{n}.000" for n in range(12_000)]
    quoted = json.dumps(frames).replace('"', '""')
    path = tmp_path / "l"
    path.write_text(specimens.SIGNALS + f'vpdq,"{quoted}",,,\n')
    (film,) = read_list(path)
    assert len(film.film or b"") == 12_000 * 32
    assert json.loads(film.flags or "")["vpdq"] == {"quality": "100", "time": "+1.000"}


@pytest.mark.parametrize("value", ["", "[]", "{}", '["x"]', "[1]", "[[", f'["{"0" * 64},49,0.000"]', "[" * 100_000])
def test_a_film_that_is_none_is_skipped_and_told(tmp_path: Path, value: str):
    quoted = value.replace('"', '""')
    path = tmp_path / "l"
    path.write_text(specimens.SIGNALS + f'vpdq,"{quoted}",,,\npdq,{lower("sha256", 1)},,,\n')
    known = read_list(path)
    assert len(list(known)) == 1
    assert known.skipped_count == 1


def test_lines_of_a_signals_type_and_its_value_are_read(tmp_path: Path):
    path = tmp_path / "l"
    path.write_text(
        f"pdq {lower('sha256', 1)}\nvideo_md5 {lower('md5', 2)}\npdq:{lower('sha256', 3)}  name\n{lower('sha256', 4)}\n"
    )
    assert [(e.pdq, e.md5, e.sha256, e.entry) for e in read_list(path)] == [
        (raw("sha256", 1), None, None, None), (None, raw("md5", 2), None, None),
        (raw("sha256", 3), None, None, "name"), (None, None, raw("sha256", 4), None),
    ]  # fmt: skip
