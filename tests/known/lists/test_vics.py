"""VICS hash sets: streamed, and read past whatever is broken in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.lists import Entry, read_list
from tests.known import specimens
from tests.known.specimens import lower, raw, upper, vics_entry


@pytest.mark.parametrize(("key", "model"), [("@odata.context", specimens.VICS20), ("odata.metadata", specimens.VICS13)])
def test_both_models_are_read(tmp_path: Path, key: str, model: str):
    known = read_list(specimens.write_vics(tmp_path / "set.json", 5, key, model))
    told = (
        '{"DateUpdated":"/Date(1400000000000)/","Exifs":[{"MD5":"%s","PropertyName":"Make","PropertyValue":"x"}],'
        '"MediaSize":"1234","PhotoDNA":"%s","VictimIdentified":"false"}'
    )
    assert list(known) == [
        Entry(
            raw("md5", n), raw("sha1", n), raw("sha256", n), category=str(n % 3), entry=str(n), list="set.json",
            flags=told % (upper("md5", n), "QUJD" * 48),
        )
        for n in range(5)
    ]  # fmt: skip


def test_the_version_is_the_models(tmp_path: Path):
    assert read_list(specimens.write_vics(tmp_path / "a", 1)).format == "VICS 2.0"
    assert read_list(specimens.write_vics(tmp_path / "b", 1, "odata.metadata", specimens.VICS13)).format == "VICS 1.3"


def test_an_uncategorised_entry_and_one_without_a_sha1_are_kept(tmp_path: Path):
    path = specimens.write_vics(
        tmp_path / "l", [{"MediaID": "x", "Category": None, "MD5": lower("md5", 1), "SHA1": None}]
    )
    assert list(read_list(path)) == [Entry(raw("md5", 1), None, None, entry="x", list="l")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le"])
def test_other_members_of_the_root_may_come_first_and_the_text_may_be_utf_16(tmp_path: Path, encoding: str):
    path = tmp_path / "l"
    root = {"odata.metadata": specimens.VICS13, "more": {"value": [1]}, "value": [vics_entry(1)], "after": 1}
    path.write_text(json.dumps(root, indent=2), encoding)
    assert [e.md5 for e in read_list(path)] == [raw("md5", 1)]


def test_one_broken_entry_costs_no_other(tmp_path: Path):
    entries: list[object] = [vics_entry(n) for n in range(60)]
    sound = [json.dumps(vics_entry(n)) for n in range(60)]
    entries[0] = sound[0][:30]  # broken off, and the very first
    entries[10] = sound[10][:100]
    entries[20] = sound[20].replace('"Category": 2', '"Category": oops')
    entries[30] = 17
    entries[40] = {"MediaID": 40, "MD5": upper("md5", 40)[:-1]}
    entries[50] = sound[50].replace(": null", ": null,,")
    entries[55] = sound[55].replace('"MD5": "', '"MD5": "' + "A" * 300, 1)
    known = read_list(specimens.write_vics(tmp_path / "l", entries))
    kept = [e.entry for e in known]
    assert set(range(60)) - {int(n or -1) for n in kept} == {0, 10, 20, 30, 40, 50}  # 55 is known by its SHA-1
    assert len(kept) == len(set(kept)) == 54
    assert known.skipped_count >= 6 and known.faulty_count == 1 and any("31 characters" in why for why in known.skipped)


def test_an_entry_split_over_any_two_reads_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = specimens.write_vics(tmp_path / "l", 30)
    for size in (1, 2, 3, 7, 64, 1000):
        monkeypatch.setattr("amparo.known.lists.source._PIECE", size)
        assert [e.entry for e in read_list(path)] == [str(n) for n in range(30)]


def test_a_set_that_was_cut_short_gives_what_it_has_and_says_so(tmp_path: Path):
    path = specimens.write_vics(tmp_path / "l", 20)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    known = read_list(path)
    assert [e.entry for e in known] == [str(n) for n in range(10)][: known.read]
    assert known.read >= 9 and "cut short" in known.skipped[-1]


def test_a_case_is_refused_as_it_is_no_hash_set(tmp_path: Path):
    path = specimens.write_vics(tmp_path / "l", [{"CaseID": "1", "Media": [vics_entry(1)]}])
    with pytest.raises(UsedWrongly, match="case, not a hash set"):
        list(read_list(path))


def test_deep_nesting_long_numbers_and_halves_of_characters_are_no_trap(tmp_path: Path):
    entries: list[object] = [
        vics_entry(0), '{"MediaID": ' + "[" * 100_000, vics_entry(1), '{"MediaID": ' + "9" * 5000 + "}",
        {**vics_entry(2), "MediaID": "\ud800"}, vics_entry(3),
    ]  # fmt: skip
    known = read_list(specimens.write_vics(tmp_path / "l", entries))
    assert [e.md5 for e in known] == [raw("md5", n) for n in (0, 1, 2, 3)]
    assert [e.entry for e in known][2] == "\\ud800"


def test_a_list_broken_all_through_is_given_up_soon(tmp_path: Path):
    path = specimens.write_vics(tmp_path / "l", ['{"MD5": [{}'] * 200_000)
    with pytest.raises(UsedWrongly, match="damaged around entry"):
        list(read_list(path))


def test_flags_series_tags_and_hashes_that_are_not_compared_are_kept_in_the_lists_own_terms(tmp_path: Path):
    entry = {
        "MediaID": 7, "Category": 1, "MD5": upper("md5", 7), "SHA1": None, "IsDistributed": "true", "VictimIdentified": "false",
        "OffenderIdentified": None, "Series": "série 1", "Tags": "a;b", "IsPrecategorized": True, "PhotoDNA": "",
        "AlternativeHashes": [
            {"HashName": "PhotoDNA", "HashValue": "QUJD"}, {"HashName": "SHA-256", "HashValue": upper("sha256", 7)},
            {"HashName": "pdq", "HashValue": upper("sha256", 8)},
        ],
    }  # fmt: skip
    (read,) = read_list(specimens.write_vics(tmp_path / "l", [entry]))
    assert (read.sha256, read.pdq) == (raw("sha256", 7), raw("sha256", 8))
    assert json.loads(read.flags or "") == {
        "IsDistributed": "true", "VictimIdentified": "false", "Series": "série 1", "Tags": "a;b", "IsPrecategorized": True,
        "AlternativeHashes": [{"HashName": "PhotoDNA", "HashValue": "QUJD"}],
    }  # fmt: skip
    assert read.flags == json.dumps(
        json.loads(read.flags or ""), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def test_an_entry_with_nothing_but_a_pdq_is_kept_and_one_with_nothing_but_a_photodna_is_told(tmp_path: Path):
    entries = [
        {"MediaID": 1, "AlternativeHashes": [{"HashName": "PDQ", "HashValue": upper("sha256", 1)}]},
        {"MediaID": 2, "AlternativeHashes": [{"HashName": "PhotoDNA", "HashValue": "QUJD"}]},
    ]
    known = read_list(specimens.write_vics(tmp_path / "l", entries))
    assert list(known) == [Entry(pdq=raw("sha256", 1), entry="1", list="l")]
    assert known.skipped == ["entry 2: its only digest is a PhotoDNA value, which is not compared here"]


def test_of_two_values_for_one_digest_the_first_counts_and_the_other_is_kept_and_told(tmp_path: Path):
    others = [{"HashName": "SHA256", "HashValue": lower("sha256", n)} for n in (1, 1, 2)]
    known = read_list(specimens.write_vics(tmp_path / "l", [{"MediaID": 1, "MD5": "", "AlternativeHashes": others}]))
    (read,) = known
    assert read.sha256 == raw("sha256", 1)
    assert json.loads(read.flags or "") == {"AlternativeHashes": [others[2]]}
    assert known.remarks == ["entry 1: it has two different values for SHA256: the first counts"]


def test_numbers_that_no_program_could_read_again_are_kept_as_text(tmp_path: Path):
    path = specimens.write_vics(tmp_path / "l", [f'{{"MediaID": 1, "MD5": "{upper("md5", 1)}", "A": NaN, "B": 1e999}}'])
    (read,) = read_list(path)
    assert read.flags == '{"A":"NaN","B":"1e999"}'


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        ("http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media", "VICS US"),
        ("http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/$metadata#Media", "VICS UK"),
        (specimens.VICS20, "VICS"),
        (specimens.VICS13, "VICS"),
    ],
)
def test_the_scheme_of_the_categories_is_that_of_the_models_country(tmp_path: Path, model: str, scheme: str):
    assert read_list(specimens.write_vics(tmp_path / "l", 1, model=model)).scheme == scheme
