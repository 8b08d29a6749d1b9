"""Parquet files as stores of digests and fingerprints: every row is asked once, and what is none is told."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.known.bulk import rows
from amparo.known.bulk.worker import open_index
from tests.known.bulk_specimens import index_of, listed, match, pdq_of, picture

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def put(folder: Path, group: int = 1 << 20, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "d.parquet", row_group_size=group)
    return folder / "d.parquet"


def digest(kind: str, data: bytes) -> bytes:
    return hashlib.new(kind, data).digest()


@pytest.mark.parametrize("form", ["text", "bytes", "fixed", "capitals", "dictionary"])
def test_digests_are_found_in_every_form_that_a_column_may_have(tmp_path: Path, form: str):
    contents = [b"content %d" % n for n in range(100)]
    values: Any = [digest("sha256", data) for data in contents]
    if form == "fixed":
        values = pa.array(values, pa.binary(32))
    elif form != "bytes":
        texts = [value.hex().upper() if form == "capitals" else value.hex() for value in values]
        values = pa.array(texts).dictionary_encode() if form == "dictionary" else pa.array(texts)
    path = put(tmp_path, 30, SHA256=values)
    answers, _ = match([path], index_of(tmp_path, exact=[contents[7], contents[99]]))
    assert sorted((known.row, known.hits[0].entry) for a in answers.values() for known in a.known) == [
        (7, "exact0"), (99, "exact1"),
    ]  # fmt: skip
    assert [name.rpartition("#")[2] for name in answers] == ["0-29", "30-59", "60-89", "90-99"]
    assert sum(answer.rows or 0 for answer in answers.values()) == 100


def test_fingerprints_are_asked_but_not_where_their_quality_says_nothing(tmp_path: Path):
    seen = picture(4)
    path = put(tmp_path, pdq=[pdq_of(seen), pdq_of(picture(9)), pdq_of(seen), None], quality=[90, 90, 20, 90])
    answers, _ = match([path], index_of(tmp_path, looks=[seen]))
    (answer,) = answers.values()
    assert [(known.row, known.hits[0].distance) for known in answer.known] == [(0, 0)] and answer.problem is None


def test_a_row_with_several_digests_gives_an_entry_once(tmp_path: Path):
    data = picture(4)
    path = put(tmp_path, md5=[digest("md5", data)], sha256=[digest("sha256", data)], pdq=[pdq_of(data)])
    answers, _ = match([path], index_of(tmp_path, looks=[data], exact=[data]))
    (known,) = next(iter(answers.values())).known
    assert sorted((hit.entry, hit.method) for hit in known.hits) == [("exact0", "sha256"), ("looks0", "pdq")]
    assert set(known.asked) == {"md5", "sha256", "pdq"}


def test_values_that_are_no_digests_are_counted_and_the_others_asked(tmp_path: Path):
    good = digest("sha256", b"known").hex()
    path = put(tmp_path, sha256=["", "zz" * 32, "abc", None, good, good[:-1], "é" * 32])
    answers, _ = match([path], index_of(tmp_path, exact=[b"known"]))
    (answer,) = answers.values()
    assert [known.row for known in answer.known] == [4]
    assert answer.problem == "4 of its values are neither digests nor fingerprints, and were not asked."


def test_a_table_without_a_column_of_digests_is_refused(tmp_path: Path):
    with pytest.raises(SourceUnreadable, match="has no column md5, sha1, sha256 or pdq"):
        listed(put(tmp_path, name=["x"]))
    numbers = put(tmp_path, md5=[1, 2, 3])
    (thing,) = listed(numbers)[0]
    with pytest.raises(ReadFailed, match="cannot be read"):
        rows.ask(thing.place, open_index(index_of(tmp_path, exact=[b"x"])), 31)


def test_damaged_tables_are_told_and_bring_nothing_down(tmp_path: Path):
    """Bytes flipped over the whole file, and files cut off: refused whole, or some groups told."""
    index = index_of(tmp_path, exact=[b"content 3"])
    path = put(tmp_path, 50, sha256=[digest("sha256", b"content %d" % n).hex() for n in range(200)])
    sound, chance, told = path.read_bytes(), random.Random(11), 0
    for attempt in range(14):
        data = bytearray(sound)
        if attempt % 7 == 0:
            data = data[: chance.randrange(8, len(data))]
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(4, len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
        try:
            answers, _ = match([path], index, workers=1)
            told += any(answer.problem for answer in answers.values())
        except SourceUnreadable:
            told += 1
    assert told >= 7
