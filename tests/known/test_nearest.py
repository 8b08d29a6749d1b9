"""Fingerprints that are near are found, all of them and no others, whatever the set and the radius."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import UsedWrongly
from amparo.known.nearest import Hits, Nearest, bands, base, kernel
from tests.known.fingerprints import SETS, brute_force, flipped, made, same

KERNELS = ("portable", "popcnt", "avx2", "avx512")
Hashes = npt.NDArray[np.uint8]


@pytest.fixture(params=[*KERNELS, "twin"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each of the kernels that this processor runs, and the twin in NumPy."""
    if request.param == "twin":
        monkeypatch.setattr(base, "KERNEL", None)
        monkeypatch.setattr(kernel, "KERNEL", None)
        yield "twin"
        return
    if kernel.KERNEL is None:
        pytest.skip("the extension is not built")
    if kernel.KERNEL.nearest_kernel(request.param) != request.param:
        kernel.KERNEL.nearest_kernel(None)
        pytest.skip("this processor does not run it")
    yield request.param
    kernel.KERNEL.nearest_kernel(None)


def band_always(patched: pytest.MonkeyPatch, rows: int) -> None:
    """Small sets have the bands of one of so many rows, and keep to them."""
    patched.setattr(base, "designed", lambda _, radius: bands.designed(rows, radius))
    patched.setattr(base, "planned", lambda layout, _, radius: bands.planned(layout, 1 << 60, radius))
    patched.setattr(Nearest, "_beyond", lambda _: 1 << 40)


@pytest.fixture(params=[30_000, 300_000])
def banded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    band_always(monkeypatch, request.param)


@pytest.mark.parametrize("kind", SETS)
def test_everything_near_is_found_by_bands_and_nothing_else(way: str, banded: None, kind: str, tmp_path: Path):
    hashes = made(kind, 700, 1)
    queries = np.concatenate([hashes[:12], flipped(hashes[:24], 0.09, 2), made("random", 6, 3)])
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    assert index.bands
    for radius in (0, 1, 7, 30, 31, 32, 45, 64):
        assert same(index.within(queries, radius), brute_force(hashes, queries, radius)), radius


@pytest.mark.parametrize("kind", SETS)
def test_everything_near_is_found_by_a_scan_and_nothing_else(way: str, kind: str):
    for rows in (1, 5, 31, 256, 257, 700):
        hashes = made(kind, rows, 4)
        queries = np.concatenate([hashes[:12], flipped(hashes[:12], 0.09, 5)])
        for radius in (0, 31, 64, 255):
            assert same(Nearest.of(hashes).within(queries, radius), brute_force(hashes, queries, radius))


def test_the_kernel_writes_the_files_that_its_twin_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, banded: None
):
    hashes = np.concatenate([made(kind, 1000, 6) for kind in SETS])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = Nearest.build(hashes, tmp_path / "a")
    monkeypatch.setattr(kernel, "KERNEL", None)
    assert Nearest.build(hashes, tmp_path / "b") == one and one["bands"]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_small_set_is_searched_at_any_radius_as_by_hand(data: st.DataObject):
    # Few different bytes, so that rows are near one another and equal.
    row = st.lists(st.sampled_from([0, 1, 3, 255]), min_size=32, max_size=32).map(bytes) | st.binary(
        min_size=32, max_size=32
    )
    rows = data.draw(st.lists(row, max_size=30))
    near = [bytes(a ^ b for a, b in zip(r, data.draw(row), strict=True)) for r in rows[:3]]
    asked = data.draw(st.lists(row, max_size=5)) + rows[:5] + near
    radius = data.draw(st.integers(0, 64))
    hashes = np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)
    queries = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 32)
    expected = brute_force(hashes, queries, radius)
    assert same(Nearest.of(hashes).within(queries, radius), expected)
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        band_always(patched, data.draw(st.sampled_from([10_000, 100_000])))
        index = Nearest.open(folder, Nearest.build(hashes, folder))
        assert same(index.within(queries, radius), expected)
        patched.setattr(base, "KERNEL", None)
        assert same(index.within(queries, radius), expected)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60_000_000), st.integers(0, 60), st.integers(0, 100), st.randoms(use_true_random=False))
def test_two_rows_no_further_apart_than_the_radius_meet_in_a_band_and_its_sign(rows, built_for, radius, random_):
    """The law that the index rests on, for every layout: differences spread over the bits at will leave one band that finds
    them, with what its sign leaves."""
    layout = bands.planned(bands.designed(rows, built_for), 1 << 60, radius)
    if not layout:
        return
    assert sum(band.radius + 1 for band in layout) == radius + 1
    assert [band.start for band in layout[1:]] == [band.start + band.width for band in layout[:-1]]
    assert layout[0].start == 0 and layout[-1].start + layout[-1].width == 256
    for _ in range(20):
        place = random_.randrange(256)  # some apart, some together
        width = random_.choice((256, max(radius, 1), 40))
        differing = {(place + random_.randrange(width)) % 256 for _ in range(radius)}
        assert any(
            (apart := sum(band.start <= bit < band.start + band.width for bit in differing)) <= band.radius
            and apart + sum((bit - band.start - band.width) % 256 < band.sign for bit in differing) <= band.bound
            for band in layout
        )


def test_of_a_million_equal_rows_one_question_finds_each(tmp_path: Path):
    hashes = np.broadcast_to(made("random", 1, 7), (1_000_000, 32))
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    hits = index.within(np.concatenate([flipped(hashes[:1], 0.03, 8), made("random", 1, 9)]))
    assert len(hits.row) == 1_000_000 and not hits.query.any() and np.array_equal(hits.row, np.arange(1_000_000))
    assert [len(part.row) for part in index.streamed(hashes[:3], most=5)] == [15]
    sizes = [len(part.row) for part in index.streamed(hashes[:3], chunk=10)]
    assert sizes == [1_000_000] * 3


@pytest.mark.parametrize("same_bits", [slice(0, 2), slice(4, 9), slice(30, 32)])
def test_rows_that_all_meet_in_one_band_are_searched_as_any_others(tmp_path: Path, same_bits: slice):
    hashes = made("random", 200_000, 10)
    hashes[:, same_bits] = hashes[0, same_bits]
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    assert index.bands
    queries = flipped(hashes[:40], 0.08, 11)
    assert same(index.within(queries), Nearest.of(hashes).within(queries))


def test_hits_come_in_parts_of_whole_questions_that_together_are_all(tmp_path: Path, way: str):
    hashes = made("clustered", 3000, 12)
    index = Nearest.of(hashes)
    parts = list(index.streamed(hashes[:600], 31, chunk=50))
    assert len(parts) > 1 and same(Hits.together(parts), index.within(hashes[:600]))
    assert all(before.query[-1] < after.query[0] for before, after in pairwise(parts))


def test_only_the_nearest_are_given_where_a_question_is_limited(way: str):
    hashes = made("clustered", 1000, 13)
    index = Nearest.of(hashes)
    everything, few = index.within(hashes[:50]), index.within(hashes[:50], most=2)
    for query in range(50):
        own, all_ = few.query == query, everything.query == query
        assert same(Hits(*(c[own] for c in few)), Hits(*(c[all_][:2] for c in everything)))
    assert not len(index.within(hashes[:5], most=0).row)


def test_many_threads_give_what_one_gives(tmp_path: Path):
    hashes = made("clustered", 60_000, 14)
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    queries = flipped(hashes[:2000], 0.02, 15)
    once = index.within(queries)
    assert same(index.within(queries, threads=3), once) and len(once.row) > 2000
    found: list[Hits] = []
    askers = [threading.Thread(target=lambda: found.append(index.within(queries))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(found) == 4 and all(same(hits, once) for hits in found)


def test_an_index_of_nothing_finds_nothing(tmp_path: Path):
    index = Nearest.open(tmp_path, Nearest.build(np.empty((0, 32), np.uint8), tmp_path))
    assert len(index) == 0 and not len(index.within(made("random", 5, 16)).row)
    assert not len(Nearest.of(made("random", 5, 17)).within(np.empty((0, 32), np.uint8)).row)


def test_rows_given_in_a_mapped_file_or_with_gaps_between_them_are_the_same_index(tmp_path: Path):
    wide = made("random", 5000, 18)
    (tmp_path / "rows").write_bytes(wide.tobytes())
    files = []
    for name, given_ in (
        ("a", np.memmap(tmp_path / "rows", np.uint8, "r", shape=(5000, 32))[::2]),
        ("b", np.ascontiguousarray(wide[::2])),
    ):
        (tmp_path / name).mkdir()
        described = Nearest.build(given_, tmp_path / name)
        files.append((json.dumps(described), {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}))
    assert files[0] == files[1]


def test_another_process_opens_the_files_and_finds_the_same(tmp_path: Path):
    hashes = made("clustered", 40_000, 19)
    described = Nearest.build(hashes, tmp_path)
    asked = """
import json, sys
from pathlib import Path
from amparo.known.nearest import Nearest
index = Nearest.open(Path(sys.argv[1]), json.loads(sys.argv[2]))
print(index.within(index.hashes[:100]).row.tolist())
"""
    told = subprocess.run(
        [sys.executable, "-c", asked, str(tmp_path), json.dumps(described)], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == Nearest.of(hashes).within(hashes[:100]).row.tolist()


def test_what_is_no_fingerprint_or_no_distance_is_refused(tmp_path: Path):
    index = Nearest.of(made("random", 5, 20))
    for wrong in (np.zeros((2, 31), np.uint8), np.zeros(32, np.uint8), np.zeros((2, 32), np.int8)):
        with pytest.raises(UsedWrongly, match="32 columns"):
            index.within(wrong)
        with pytest.raises(UsedWrongly, match="32 columns"):
            Nearest.build(wrong, tmp_path)
    for radius in (-1, 256):
        with pytest.raises(UsedWrongly, match="0 to 255"):
            index.within(made("random", 1, 21), radius)
