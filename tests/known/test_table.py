"""A table of digests is asked for many at once by a kernel, and by its twin in NumPy, with the same answers."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.known import table
from amparo.known.table import Damaged, DigestTable, bits_for, heads_of

Digests = npt.NDArray[np.uint8]
needs_kernel = pytest.mark.skipif(table._find is None, reason="the extension is not built")


def written(folder: Path, digests: Digests, bits: int | None = None) -> DigestTable:
    """The files of a table of these, any order and with repeats, opened."""
    rows, width = digests.shape
    bits = bits_for(rows) if bits is None else bits
    order = np.array(sorted(range(rows), key=lambda row: digests[row].tobytes()), np.int64)
    digests = digests[order]
    heads = heads_of(digests)
    directory = np.searchsorted(heads >> np.uint64(64 - bits), np.arange((1 << bits) + 1, dtype=np.uint64))
    for name, values in (
        ("heads", heads), ("tails", np.ascontiguousarray(digests[:, 8:])), ("entries", order.astype(np.uint32)),
        ("directory", directory.astype(np.uint32)),
    ):  # fmt: skip
        (folder / f"sha1.{name}").write_bytes(values.tobytes())
    return DigestTable(folder, "sha1", width, rows, bits)


def by_twin(asked: DigestTable, digests: Digests) -> npt.NDArray[np.int64]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table, "_find", None)
        return asked.find_many(digests)


@needs_kernel
@pytest.mark.parametrize("width", [16, 20, 32])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 5000])
def test_the_kernel_finds_what_its_twin_finds(width: int, rows: int, tmp_path: Path):
    known = np.random.default_rng(rows).integers(0, 256, (rows, width), dtype=np.uint8)
    others = known.copy()
    others[:, -1] ^= 1  # the same head, another tail
    asked = np.concatenate([known, others, np.random.default_rng(6).integers(0, 256, (rows, width), dtype=np.uint8)])
    index = written(tmp_path, known)
    found = index.find_many(asked)
    assert np.array_equal(found, by_twin(index, asked))
    assert np.array_equal(known[[index.entry_at(place) for place in found[:rows]]], known)
    assert (found[rows:] == -1).all()
    assert np.array_equal(index.find_many(asked[::3]), found[::3]) and not len(index.find_many(asked[:0]))


@needs_kernel
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_table_answers_as_its_twin_and_as_one_by_one(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory):
    digest = st.lists(st.sampled_from([0, 1, 255]), min_size=12, max_size=12).map(
        bytes
    )  # many share heads and prefixes
    known = data.draw(st.lists(digest, min_size=1, max_size=80))
    asked = data.draw(st.lists(digest, max_size=40)) + known
    index = written(
        tmp_path_factory.mktemp("t"),
        np.frombuffer(b"".join(known), np.uint8).reshape(-1, 12),
        data.draw(st.integers(8, 14)),
    )
    digests = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 12)
    found = index.find_many(digests)
    assert np.array_equal(found, by_twin(index, digests))
    assert found.tolist() == [places[0] if (places := index.find(each)) else -1 for each in asked]


@needs_kernel
def test_a_damaged_table_is_answered_alike_by_both(tmp_path: Path):
    known = np.random.default_rng(2).integers(0, 256, (2000, 20), dtype=np.uint8)
    written(tmp_path, known)
    random_ = random.Random(3)
    told = 0
    for round_ in range(120):
        name = ("sha1.heads", "sha1.tails", "sha1.directory")[round_ % 3]
        sound = (tmp_path / name).read_bytes()
        changed = bytearray(sound)
        for _ in range(random_.choice((1, 20, 2000))):
            changed[random_.randrange(4, len(changed) - 4)] = random_.randrange(256)
        (tmp_path / name).write_bytes(changed)
        index = DigestTable(tmp_path, "sha1", 20, 2000, bits_for(2000))
        try:
            expected = by_twin(index, known)
        except Damaged:
            told += 1
            with pytest.raises(Damaged, match="not in order"):
                index.find_many(known)
        else:
            assert np.array_equal(index.find_many(known), expected)
        del index
        (tmp_path / name).write_bytes(sound)
    assert told
