"""Look-ups: what is in a list is found, nothing else is, and a damaged index says so."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import UsedWrongly
from amparo.known import binding, spills
from amparo.known.hits import Hit
from amparo.known.index import KnownIndex
from tests.known import specimens
from tests.known.specimens import lower, raw

WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}


def listed(path: Path, rows: list[str], columns: str = "md5,sha1,sha256,category,entry") -> Path:
    path.write_text(columns + "\n" + "".join(row + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def index(tmp_path: Path) -> KnownIndex:
    return KnownIndex.build([specimens.write_vics(tmp_path / "set.json", 50)], tmp_path / "index")


def test_a_file_on_a_list_is_found_once_by_its_strongest_digest(index: KnownIndex):
    assert index.lookup(raw("md5", 7), raw("sha1", 7), raw("sha256", 7)) == [Hit("set.json", "7", "1", "sha256", False)]
    assert index.lookup(raw("md5", 7), raw("sha1", 7), b"") == [Hit("set.json", "7", "1", "sha1", False)]
    assert index.lookup(raw("md5", 7)) == [Hit("set.json", "7", "1", "md5", False)]
    assert index.lookup(raw("md5", 99), raw("sha1", 99), raw("sha256", 99)) == []
    assert index.lookup() == []


def test_an_entry_whose_stronger_digest_differs_is_reported_by_the_weaker_one_and_marked(index: KnownIndex):
    assert index.lookup(raw("md5", 7), raw("sha1", 99), raw("sha256", 99)) == [
        Hit("set.json", "7", "1", "md5", False, contradicted=True)
    ]
    assert index.lookup(raw("md5", 7), raw("sha1", 7), raw("sha256", 99)) == [
        Hit("set.json", "7", "1", "sha1", False, contradicted=True)
    ]


def test_an_entry_that_claims_no_stronger_digest_is_not_contradicted(tmp_path: Path):
    index = KnownIndex.build([specimens.write_lines(tmp_path / "md5s", "md5sum", 3)])
    assert index.lookup(raw("md5", 1), raw("sha1", 1), raw("sha256", 1)) == [
        Hit("md5s", "some/file 1", None, "md5", False)
    ]


def test_a_collision_with_a_good_file_does_not_pass_for_good(tmp_path: Path):
    index = KnownIndex.build([specimens.write_rds3(tmp_path / "rds.db", 5)])
    assert index.lookup(raw("md5", 1), raw("sha1", 1), raw("sha256", 1)) == [Hit("rds.db", None, None, "sha256", True)]
    assert index.lookup(raw("md5", 1), raw("sha1", 1), raw("sha256", 99)) == []
    assert index.lookup(raw("md5", 99), raw("sha1", 1)) == []


def test_each_list_that_knows_a_file_says_so_in_the_order_of_the_lists(tmp_path: Path):
    first = specimens.write_lines(tmp_path / "first", "bare", 10)
    second = specimens.write_lines(tmp_path / "second", "csv", 10)
    good = specimens.write_lines(tmp_path / "good", "rds2", 10)
    index = KnownIndex.build([first, second, good], tmp_path / "index")
    assert index.lookup(raw("md5", 3), raw("sha1", 3)) == [
        Hit("first", None, None, "sha1", False), Hit("second", "entry, 3", "0", "sha1", False), Hit("good", None, None, "sha1", True)
    ]  # fmt: skip


def test_one_digest_under_several_entries_gives_each_of_them_and_under_none_only_one(tmp_path: Path):
    named = listed(tmp_path / "named", [f"{lower('md5', 1)},,,A,{n}" for n in range(3)])
    unnamed = listed(tmp_path / "unnamed", [f"{lower('md5', 1)},,,{c}," for c in "AAAB"])
    hits = KnownIndex.build([named, unnamed]).lookup(raw("md5", 1))
    assert [(h.list, h.entry, h.category) for h in hits] == [
        ("named", "0", "A"), ("named", "1", "A"), ("named", "2", "A"), ("unnamed", None, "A"), ("unnamed", None, "B")
    ]  # fmt: skip


def test_a_digest_repeated_without_end_costs_a_bounded_look_up(tmp_path: Path):
    index = KnownIndex.build([listed(tmp_path / "l", [f"{lower('md5', 1)},,,,{n}" for n in range(3000)])])
    assert [hit.entry for hit in index.lookup(raw("md5", 1))] == [str(n) for n in range(100)]


def test_of_two_entries_with_one_md5_the_one_whose_sha1_agrees_is_not_lost(tmp_path: Path):
    rows = [f"{lower('md5', 1)},{lower('sha1', n)},,," for n in range(5)] + [f"{lower('md5', 1)},,,,"]
    index = KnownIndex.build([listed(tmp_path / "l", rows[:5])])
    assert index.lookup(raw("md5", 1), raw("sha1", 4)) == [Hit("l", None, None, "sha1", False)]
    assert index.lookup(raw("md5", 1), raw("sha1", 9)) == [Hit("l", None, None, "md5", False, True)]
    index = KnownIndex.build([listed(tmp_path / "l", rows)])
    assert index.lookup(raw("md5", 1), raw("sha1", 9)) == [Hit("l", None, None, "md5", False)]


def test_digests_that_share_their_first_eight_bytes_are_told_apart(tmp_path: Path):
    alike = [b"\x11" * 8 + struct.pack(">Q", n * 7919 % 2**64) for n in range(500)]
    index = KnownIndex.build([listed(tmp_path / "l", [f"{d.hex()},{n}" for n, d in enumerate(alike)], "md5,entry")])
    assert all(index.lookup(d) == [Hit("l", str(n), None, "md5", False)] for n, d in enumerate(alike))
    others = [b"\x11" * 8 + struct.pack(">Q", n * 7919 + 1) for n in range(500)]
    assert not any(index.lookup(d) for d in others)
    found = index.lookup_many(np.frombuffer(b"".join(alike + others), np.uint8).reshape(-1, 16))
    assert sorted(found[:500]) == list(range(500)) and (found[500:] == -1).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_written_to_a_list_is_found_and_nothing_else_is(data: st.DataObject):
    kind = data.draw(st.sampled_from(list(WIDTHS)))
    width = WIDTHS[kind]
    # few letters, so that digests share beginnings
    digest = st.lists(st.sampled_from([0, 1, 255]), min_size=width, max_size=width).map(bytes) | st.binary(
        min_size=width, max_size=width
    )
    known = data.draw(st.lists(digest, min_size=1, max_size=60))
    others = [d for d in data.draw(st.lists(digest, max_size=60)) if d not in known]
    others += [d[:-1] + bytes([d[-1] ^ 1]) for d in known if d[:-1] + bytes([d[-1] ^ 1]) not in known]
    with tempfile.TemporaryDirectory() as folder:
        rows = [f"{d.hex()},{n % 2},{n}" for n, d in enumerate(known)]
        index = KnownIndex.build([listed(Path(folder) / "l", rows, f"{kind},category,entry")], Path(folder) / "i")
        for n, d in enumerate(known):
            assert Hit("l", str(n), str(n % 2), kind, False) in index.lookup(**{kind: d})
            assert len(index.lookup(**{kind: d})) == known.count(d)
        assert not any(index.lookup(**{kind: d}) for d in others)
        asked = np.frombuffer(b"".join(known + others), np.uint8).reshape(-1, width)
        found = index.lookup_many(asked) >= 0
        assert found[: len(known)].all() and not found[len(known) :].any()


@pytest.mark.parametrize("share", [50, 700, 1 << 22])
def test_an_index_sorted_in_shares_is_the_one_sorted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: int
):
    monkeypatch.setattr(spills, "_SHARE", share)
    monkeypatch.setattr(binding, "CHUNK", max(share // 3, 10))
    index = KnownIndex.build([specimens.write_lines(tmp_path / "l", "csv", 3000)], tmp_path / "index")
    for n in range(0, 3000, 37):
        assert index.lookup(sha1=raw("sha1", n)) == [Hit("l", f"entry, {n}", str(n % 3), "sha1", False)]
    asked = np.frombuffer(b"".join(raw("md5", n) for n in range(6000)), np.uint8).reshape(-1, 16)
    found = index.lookup_many(asked)
    assert sorted(found[:3000]) == list(range(3000)) and (found[3000:] == -1).all()


def test_identifiers_that_begin_late_in_a_list_and_lists_without_any_keep_to_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(binding, "CHUNK", 4)
    late = listed(tmp_path / "late", [f"{lower('md5', n)},,,,{f'é{n}' if n > 9 else ''}" for n in range(20)])
    none = specimens.write_lines(tmp_path / "none", "bare", 5)
    again = listed(tmp_path / "again", [f"{lower('md5', 3)},,,,last"])
    index = KnownIndex.build([late, none, again])
    assert [index.lookup(raw("md5", n))[0].entry for n in (2, 9, 10, 19)] == [None, None, "é10", "é19"]
    assert [hit.entry for hit in index.lookup(raw("md5", 3), raw("sha1", 3))] == [None, None, "last"]


def test_an_index_says_what_lists_it_stands_on(tmp_path: Path):
    path = specimens.write_lines(tmp_path / "l", "md5sum", [*specimens.md5sum_lines(4), "nonsense\n"])
    described = KnownIndex.build([path]).described()
    assert [(d["list"], d["format"], d["good"], d["entries"], d["skipped"], d["empty"]) for d in described] == [
        ("l", "digests", False, 4, 1, 0)
    ]
    assert described[0]["sha256"] == binding.digest_of_file(path) and json.dumps(described)


def test_an_index_is_opened_saved_and_checked_again(index: KnownIndex, tmp_path: Path):
    index.save(tmp_path / "deep" / "copy")
    shutil.rmtree(tmp_path / "index")
    copy = KnownIndex.open(tmp_path / "deep" / "copy")
    copy.verify()
    assert len(copy) == 50 and copy.lookup(raw("md5", 7)) == [Hit("set.json", "7", "1", "md5", False)]


def test_an_index_built_before_is_used_beside_lists(index: KnownIndex, tmp_path: Path):
    both = KnownIndex.build([tmp_path / "index", specimens.write_lines(tmp_path / "bare", "bare", 9)])
    assert [(hit.list, hit.method) for hit in both.lookup(raw("md5", 7), raw("sha1", 7))] == [
        ("set.json", "sha1"),
        ("bare", "sha1"),
    ]
    found = both.lookup_many(np.frombuffer(raw("sha1", 3) + raw("sha1", 77), np.uint8).reshape(-1, 20))
    assert found[0] >= 0 and found[1] == -1
    with pytest.raises(UsedWrongly, match="an index already"):
        KnownIndex.build([tmp_path / "index"], tmp_path / "other")


def test_an_index_that_is_not_kept_is_gone_with_its_last_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    index = KnownIndex.build([specimens.write_lines(tmp_path / "l", "bare", 9)])
    assert len(list(scratch.iterdir())) == 1
    del index
    assert list(scratch.iterdir()) == []


def test_a_list_that_cannot_be_read_leaves_the_index_that_was_there(index: KnownIndex, tmp_path: Path):
    (tmp_path / "bad").write_text("nothing of use")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UsedWrongly):
        KnownIndex.build([specimens.write_lines(tmp_path / "l", "bare", 9), tmp_path / "bad"], tmp_path / "index")
    (tmp_path / "l").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert KnownIndex.open(tmp_path / "index").lookup(raw("md5", 7))
    KnownIndex.build([specimens.write_lines(tmp_path / "l", "bare", 9)], tmp_path / "index")
    assert not KnownIndex.open(tmp_path / "index").lookup(raw("md5", 7))


def test_a_folder_that_holds_something_else_is_not_written_over(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary").touch()
    with pytest.raises(UsedWrongly, match="choose another folder"):
        KnownIndex.build([specimens.write_lines(tmp_path / "l", "bare", 9)], tmp_path / "mine")
    with pytest.raises(UsedWrongly, match="not an index"):
        KnownIndex.open(tmp_path / "mine")


def test_wrong_digests_and_no_lists_are_refused(index: KnownIndex):
    with pytest.raises(UsedWrongly, match="20 bytes, not 16"):
        index.lookup(sha1=bytes(16))
    with pytest.raises(UsedWrongly, match="16, 20 or 32"):
        index.lookup_many(np.zeros((4, 8), np.uint8))
    with pytest.raises(UsedWrongly, match="at least one list"):
        KnownIndex.build([])


def test_an_index_of_nothing_but_empty_files_knows_nothing(tmp_path: Path):
    (tmp_path / "l").write_text("d41d8cd98f00b204e9800998ecf8427e\n")
    index = KnownIndex.build([tmp_path / "l"], tmp_path / "index")
    assert index.lookup(bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"), raw("sha1", 1)) == [] and len(index) == 0
    assert (index.lookup_many(np.zeros((4, 20), np.uint8)) == -1).all()


def test_a_file_that_is_missing_cut_or_longer_is_told_when_the_index_is_opened(index: KnownIndex, tmp_path: Path):
    for name in sorted(path.name for path in (tmp_path / "index").iterdir()):
        for change in ("gone", "cut", "longer"):
            index.save(tmp_path / "copy")
            path = tmp_path / "copy" / name
            if change == "gone":
                path.unlink()
            elif path.stat().st_size > 1 or change == "longer":
                os.truncate(path, path.stat().st_size + (-1 if change == "cut" else 1))
            if change == "longer" and name == "header.json":
                continue  # a space behind it changes nothing
            with pytest.raises(UsedWrongly):
                KnownIndex.open(tmp_path / "copy")
            shutil.rmtree(tmp_path / "copy")


def test_any_changed_byte_is_told_when_the_index_is_checked_and_no_look_up_crashes_on_it(
    index: KnownIndex, tmp_path: Path
):
    random_ = random.Random(5)
    names = sorted(path.name for path in (tmp_path / "index").iterdir())
    asked = [(raw("md5", n), raw("sha1", n), raw("sha256", n)) for n in range(50)]
    for name in names * 3:
        index.save(tmp_path / "copy")
        path = tmp_path / "copy" / name
        data = bytearray(path.read_bytes())
        for _ in range(random_.choice((1, 40))):
            data[random_.randrange(len(data))] ^= random_.randrange(1, 256)
        path.write_bytes(data)
        with pytest.raises(UsedWrongly):
            KnownIndex.open(tmp_path / "copy").verify()
        try:
            damaged = KnownIndex.open(tmp_path / "copy")
            for digests in asked:
                damaged.lookup(*digests)
            damaged.lookup_many(np.frombuffer(b"".join(d[0] for d in asked), np.uint8).reshape(-1, 16))
        except UsedWrongly as error:
            assert "build it again" in str(error) or "not an index" in str(error)
        shutil.rmtree(tmp_path / "copy")
