"""What is odd in a list is told, and costs no more than it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amparo.known.lists import Entry, read_list, repeats
from amparo.known.lists.claim import MOST_FLAGS
from tests.known import specimens
from tests.known.specimens import lower, raw, upper


def listed(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_wrong_digest_is_left_out_and_told_and_its_entry_kept_by_the_others(tmp_path: Path):
    text = f"md5,sha1,pdq,entry\n{lower('md5', 1)},{lower('sha1', 1)}0,{lower('sha256', 1)[:-1]},a\n{lower('md5', 2)}x,,,b\n"
    known = read_list(listed(tmp_path / "l", text))
    assert list(known) == [Entry(md5=raw("md5", 1), entry="a", list="l")]
    assert (known.faulty_count, known.skipped_count) == (2, 1)
    assert known.remarks == [
        "line 2: the SHA-1 has 41 characters, not 40", "line 2: the PDQ has 63 characters, not 64"
    ]  # fmt: skip
    assert known.skipped == ["line 3: the MD5 has 33 characters, not 32"]


def test_repeated_and_contradictory_entries_are_all_given_and_told(tmp_path: Path):
    lines = [
        f"{lower('md5', 1)},{lower('sha1', 1)},A1", f"{upper('md5', 1)},{lower('sha1', 1)},A1", f"{lower('md5', 1)},,B2",
        f"{lower('md5', 1)},{lower('sha1', 2)},", f"{lower('md5', 2)},,A1",
    ]  # fmt: skip
    known = read_list(listed(tmp_path / "l", "md5,sha1,category\n" + "\n".join(lines) + "\n"))
    assert [(e.md5, e.category) for e in known] == [
        (raw("md5", 1), "A1"), (raw("md5", 1), "A1"), (raw("md5", 1), "B2"), (raw("md5", 1), None), (raw("md5", 2), "A1")
    ]  # fmt: skip
    assert (known.read, known.repeated_count, known.contradicted_count) == (5, 3, 2)
    assert known.remarks == [
        "line 4: an earlier entry of the same content has another category",
        "line 5: an earlier entry with the same digest has another digest beside it",
    ]


def test_repeats_are_counted_over_any_distance_and_the_counts_are_those_of_the_latest_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for chunk in (1, 7, 1000):
        monkeypatch.setattr(repeats, "_CHUNK", chunk)
        rows = [f"{lower('md5', n % 50)},{'A' if n < 50 or n % 2 else 'B'}" for n in range(130)]
        known = read_list(listed(tmp_path / "l", "md5,category\n" + "\n".join(rows)))
        for _ in range(2):
            assert len(list(known)) == 130
            assert (known.repeated_count, known.contradicted_count) == (80, 40)


def test_bare_digests_that_come_again_are_counted(tmp_path: Path):
    known = read_list(listed(tmp_path / "l", "".join(lower("sha1", n % 7) + "\n" for n in range(20))))
    assert len(list(known)) == 20 and known.repeated_count == 13


def test_no_more_than_so_many_digests_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repeats, "REMEMBERED", 10)
    monkeypatch.setattr(repeats, "_CHUNK", 5)
    known = read_list(listed(tmp_path / "l", "md5\n" + "".join(lower("md5", n % 40) + "\n" for n in range(80))))
    assert len(list(known)) == 80 and known.repeated_count == 10


def test_of_what_is_known_good_no_repeats_are_counted(tmp_path: Path):
    known = read_list(specimens.write_lines(tmp_path / "l", "rds2", specimens.rds2_lines(3) * 2))
    assert len(list(known)) == 6 and known.repeated_count == 0


def test_other_columns_are_kept_under_their_own_names_and_flags_are_read_as_json(tmp_path: Path):
    text = f'MD5;Reported by;flags\n{lower("md5", 1)};"A; B";"{{""x"":[1]}}"\n{lower("md5", 2)};;no json\n{lower("md5", 3)};;\n'
    known = read_list(listed(tmp_path / "l", text))
    assert [e.flags for e in known] == ['{"Reported by":"A; B","x":[1]}', '{"flags":"no json"}', None]


def test_a_film_in_a_column_is_a_row_of_fingerprints(tmp_path: Path):
    film = lower("sha256", 1) + lower("sha256", 2)
    text = (
        f"md5,film\n{lower('md5', 1)},{film}\n,{film}\n{lower('md5', 3)},{film[:-2]}\n{lower('md5', 4)},{film[:-1]}z\n"
    )
    known = read_list(listed(tmp_path / "l", text))
    assert [e.film for e in known] == [raw("sha256", 1) + raw("sha256", 2)] * 2 + [None] * 2
    assert known.remarks == [
        "line 4: the film's fingerprints have 126 characters, no multiple of 64",
        "line 5: the PDQ holds something other than 0-9 and a-f",
    ]


def test_what_icse_says_beside_the_digests_is_kept_in_its_own_terms(tmp_path: Path):
    header = "MD5;SHA1;ZZ40;PhotoDNA;Lace;Image ID;Is distributed;Victim identified;Offender identified;Series name;Baseline\n"
    text = header + f"{lower('md5', 1)};{lower('sha1', 1)};AB;CD;EF==;I-1;Y;N;;series;Yes\n"
    known = read_list(listed(tmp_path / "l", text))
    (read,) = known
    assert (known.scheme, read.category, read.entry) == ("ICSE", "baseline", "I-1")
    assert json.loads(read.flags or "") == {
        "ZZ40": "AB", "PhotoDNA": "CD", "Lace": "EF==", "Is distributed": "Y", "Victim identified": "N", "Series name": "series",
    }  # fmt: skip


def test_flags_that_are_too_long_are_left_out_from_the_longest_and_told(tmp_path: Path):
    entry = {
        "MediaID": 1,
        "MD5": upper("md5", 1),
        "Series": "s",
        "Tags": "t" * (MOST_FLAGS + 1),
        "PhotoDNA": "é" * 30_000,
    }
    known = read_list(specimens.write_vics(tmp_path / "l", [entry]))
    (read,) = known
    assert json.loads(read.flags or "") == {"Series": "s", "PhotoDNA": "é" * 30_000}
    assert known.remarks == ["entry 1: what it says under Tags is too long to be kept"]


def test_a_text_that_is_cut_is_told(tmp_path: Path):
    known = read_list(listed(tmp_path / "l", f"{lower('md5', 1)}  {'n' * 2000}\n"))
    assert [len(e.entry or "") for e in known] == [1024]
    assert known.remarks == ["line 1: a text longer than 1,024 characters is cut"]
