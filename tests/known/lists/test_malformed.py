"""Broken lines, broken files, and bytes made to break: only the declared error, or a skipped entry."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.lists import read_list
from tests.known import specimens

INSERTED = (
    b'"', b"\n", b"{", b"[", b"\\", b"\x00", b"%%%% ", b",", b"<", b"&x;", b"</", b"<!DOCTYPE x>", b"<image>", bytes(99),
)  # fmt: skip


@pytest.mark.parametrize("form", list(specimens.LINES))
def test_with_one_line_in_twenty_broken_every_sound_line_is_still_read(tmp_path: Path, form: str):
    sound = specimens.LINES[form][1](2000)
    lines, broken = specimens.spoil(sound, 0.05, seed=7)
    expected = list(
        read_list(specimens.write_lines(tmp_path / "list", form, [s for n, s in enumerate(sound) if n not in broken]))
    )
    known = read_list(specimens.write_lines(tmp_path / "list", form, lines))
    found = list(known)
    assert [e for e in found if e in set(expected)] == expected
    assert (
        len(found) - len(expected) + known.skipped_count == len(broken) == 100
    )  # a broken name may leave its digest sound
    assert len(known.skipped) == min(100, known.skipped_count) and all(why.startswith("line ") for why in known.skipped)


def test_only_the_first_hundred_reasons_are_kept(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text("md5\n" + "zz\n" * 5000 + specimens.lower("md5", 1))
    known = read_list(path)
    assert len(list(known)) == 1
    assert (len(known.skipped), known.skipped_count) == (100, 5000)


def test_a_line_without_end_is_skipped_in_bounded_memory_and_the_next_one_read(tmp_path: Path):
    path = tmp_path / "list"
    with path.open("w") as out:
        out.write(f"md5,entry\n{specimens.lower('md5', 1)},a\n")
        for _ in range(30):
            out.write("x" * 1_000_000)
        out.write(f"\n{specimens.lower('md5', 2)},b\n")
    known = read_list(path)
    tracemalloc.start()
    try:
        assert [e.entry for e in known] == ["a", "b"]
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert known.skipped == ["line 3: the line is longer than any entry can be"]


@pytest.mark.parametrize("form", [*specimens.LINES, "vics", "rds3", "ncmec", "stopncii"])
def test_a_list_with_bytes_changed_at_random_gives_only_the_declared_error(tmp_path: Path, form: str):
    path = tmp_path / "list"
    if form == "vics":
        specimens.write_vics(path, 12)
    elif form == "ncmec":
        specimens.write_ncmec(path, 8, [specimens.ncmec_entry(n, "video") for n in range(8, 12)])
    elif form == "stopncii":
        specimens.write_stopncii(path, 12)
    elif form == "rds3":
        specimens.write_rds3(path, 30)
    else:
        specimens.write_lines(path, form, 30)
    whole = path.read_bytes()
    random_ = random.Random(form)
    begin = time.monotonic()
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(random_.choice((1, 3, 30))):
            at = random_.randrange(len(data))
            match random_.randrange(4):
                case 0:
                    data[at] = random_.randrange(256)
                case 1:
                    del data[at : at + random_.randrange(1, 200)]
                case 2:
                    data[at:at] = random_.choice(INSERTED)
                case _:
                    other = random_.randrange(len(data))
                    data[at:at] = data[other : other + random_.randrange(1, 300)]
            data = data or bytearray(b"x")
        path.write_bytes(data)
        try:
            for entry in read_list(path):
                assert entry.md5 or entry.sha1 or entry.sha256 or entry.pdq or entry.film
                assert len(entry.pdq or bytes(32)) == 32 and not len(entry.film or b"") % 32
                assert entry.flags is None or json.loads(entry.flags)
                assert len(entry.md5 or bytes(16)) == 16 and len(entry.sha1 or bytes(20)) == 20
        except UsedWrongly as error:
            assert "\n" not in str(error)
    assert time.monotonic() - begin < 20


def test_random_bytes_are_refused(tmp_path: Path):
    path = tmp_path / "list"
    for seed in range(60):
        path.write_bytes(random.Random(seed).randbytes(2000))
        with pytest.raises(UsedWrongly):
            list(read_list(path))
