"""The ledger: an act follows the one before it, or the first that does not is named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence import custody
from amparo.evidence.custody import Ledger, LedgerBroken, first_break
from tests.evidence.sealed import BY, NOON

WORDS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    kept = Ledger(tmp_path / "custody.jsonl")
    for number in range(6):
        kept.add(f"act {number}", BY, NOON, seen=number, note="ção")
    return kept


def lines_of(ledger: Ledger) -> list[bytes]:
    return ledger.path.read_bytes().splitlines(keepends=True)


def relinked(acts: list[dict[str, object]]) -> list[bytes]:
    """Lines that follow one another, from acts that did not."""
    lines: list[bytes] = []
    for number, act in enumerate(acts, 1):
        previous = custody.digest_of(lines[-1]) if lines else custody.NOTHING_BEFORE
        lines.append(custody.canonical({**act, "number": number, "previous": previous}) + b"\n")
    return lines


def test_an_untouched_ledger_has_no_break(ledger: Ledger):
    assert first_break(lines_of(ledger)) is None
    assert first_break(ledger.path.read_text("utf-8").splitlines()) is None
    assert first_break([]) is None


def test_each_line_carries_the_digest_that_sha256sum_prints_of_the_line_before(ledger: Ledger):
    command = ["sh", "-c", f"sed -n 3p '{ledger.path}' | sha256sum"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    assert json.loads(lines_of(ledger)[3])["previous"] == printed
    assert json.loads(lines_of(ledger)[0])["previous"] == "0" * 64


def test_an_edited_act_is_found_at_itself_or_at_the_one_after(ledger: Ledger):
    lines = lines_of(ledger)
    lines[2] = lines[2].replace(b'"seen":2', b'"seen":9')
    assert first_break(lines) == 4  # a well-written forgery shows where the next act does not follow it
    lines[2] = lines[2].replace(b'"seen":9', b'"seen": 9')
    assert first_break(lines) == 3  # a careless one at itself


def test_an_act_taken_out_of_the_middle_is_found(ledger: Ledger):
    lines = lines_of(ledger)
    assert first_break(lines[:2] + lines[3:]) == 3


def test_an_act_taken_from_the_front_is_found(ledger: Ledger):
    assert first_break(lines_of(ledger)[1:]) == 1


def test_two_acts_that_changed_places_are_found(ledger: Ledger):
    lines = lines_of(ledger)
    lines[1], lines[3] = lines[3], lines[1]
    assert first_break(lines) == 2


def test_renumbered_acts_are_found(ledger: Ledger):
    lines = lines_of(ledger)
    del lines[2]
    lines[2] = lines[2].replace(b'"number":4', b'"number":3')
    assert first_break(lines) == 3


def test_acts_whose_numbers_do_not_count_from_one_are_found_though_they_follow(ledger: Ledger):
    lines: list[bytes] = []
    for line in lines_of(ledger)[2:]:
        previous = custody.digest_of(lines[-1]) if lines else custody.NOTHING_BEFORE
        lines.append(custody.canonical({**json.loads(line), "previous": previous}) + b"\n")
    assert first_break(lines) == 1


def test_an_act_written_twice_is_found(ledger: Ledger):
    lines = lines_of(ledger)
    assert first_break([*lines[:3], lines[2], *lines[3:]]) == 4


def test_a_ledger_cut_or_written_anew_follows_itself_and_only_its_head_tells(ledger: Ledger):
    lines = lines_of(ledger)
    assert first_break(lines[:4]) is None
    rewritten = relinked([{**json.loads(line), "by": "Somebody Else"} for line in lines])
    assert first_break(rewritten) is None
    assert custody.digest_of(lines[3]) != ledger.head != custody.digest_of(rewritten[-1])


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=8), WORDS, max_size=4))
def test_whatever_an_act_says_it_is_written_in_one_spelling_and_read_back(act: str, details: dict[str, object]):
    ledger = Ledger(Path("/nonexistent/custody.jsonl"))
    line = ledger.next_line(act, BY, NOON, details)
    (read,) = custody.follow([line])
    assert line.count(b"\n") == 1
    assert (read.act, read.details, read.at) == (act, details, "2026-11-24T12:00:00Z")


def test_any_changed_byte_of_any_line_breaks_the_chain_or_changes_the_head(ledger: Ledger):
    whole, dice = ledger.path.read_bytes(), random.Random(8)
    for _ in range(1500):
        changed = bytearray(whole)
        changed[dice.randrange(len(whole) - 1)] ^= 1 << dice.randrange(8)
        lines = bytes(changed).splitlines(keepends=True) if b"\n" in changed else [bytes(changed)]
        assert first_break(lines) is not None or custody.digest_of(lines[-1]) != ledger.head


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 50_000, b"9" * 100_000,
        b'{"act":NaN}', b'{"act":"\\ud800"}', b"x" * (custody.LONGEST_LINE + 5),
        b'{"act":"a","act":"a","at":"2026-11-24T12:00:00Z","by":"","details":{},"number":1,"previous":"' + b"0" * 64 + b'"}',
        b'{"act":"a","at":"yesterday","by":"","details":{},"number":1,"previous":"' + b"0" * 64 + b'"}',
        b'{"act":"a","at":"2026-11-24T12:00:00Z","by":"","details":{},"number":true,"previous":"' + b"0" * 64 + b'"}',
    ],
    ids=range(15),
)  # fmt: skip
def test_a_line_that_is_no_act_breaks_the_chain_and_nothing_else(line: bytes):
    assert first_break([line]) == 1


def test_a_line_without_end_is_read_in_bounded_pieces(tmp_path: Path):
    with (tmp_path / "custody.jsonl").open("wb") as file:
        file.truncate(3 << 30)  # sparse
    with (tmp_path / "custody.jsonl").open("rb") as file:
        assert first_break(custody.read_lines(file)) == 1
        assert file.tell() < 8 << 20


def test_an_act_cut_by_a_power_failure_was_never_done(ledger: Ledger):
    with ledger.path.open("ab") as file:
        file.write(b'{"act":"half of a li')
    again = Ledger(ledger.path)
    assert again.cut and again.count == 6 and again.head == ledger.head
    again.add("resumed", BY, NOON)
    assert first_break(lines_of(again)) is None


def test_a_ledger_that_was_changed_is_not_written_on(ledger: Ledger):
    lines = lines_of(ledger)
    ledger.path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(LedgerBroken, match="line 3"):
        Ledger(ledger.path)


def test_a_time_without_a_zone_is_refused(ledger: Ledger):
    with pytest.raises(ValueError):
        ledger.add("act", BY, NOON.replace(tzinfo=None))
    assert first_break(lines_of(ledger)) is None


def test_a_name_that_no_text_can_hold_is_written_with_a_question_mark(ledger: Ledger):
    ledger.add("act", os.fsdecode(b"agent \xff"), NOON)
    assert json.loads(lines_of(ledger)[-1])["by"] == "agent ?"
    assert first_break(lines_of(ledger)) is None


def test_a_full_disk_leaves_the_ledger_as_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    before = ledger.path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError):
        ledger.add("act", BY, NOON)
    monkeypatch.undo()
    assert ledger.path.read_bytes() == before and ledger.count == 6
    ledger.add("act", BY, NOON)
    assert hashlib.sha256(lines_of(ledger)[-1]).hexdigest() == ledger.head
