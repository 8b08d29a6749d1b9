"""Files of an index of fingerprints that were cut or changed are told, and never bring the process down."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amparo.known.nearest import Damaged, Nearest, base, clusters, kernel
from tests.known.fingerprints import flipped, made

FILES = ("pdq.directory", "pdq.hashes", "pdq.postings", "pdq.signs")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sound")
    return folder, Nearest.build(made("clustered", 20_000, 1), folder)


def test_a_file_that_is_missing_cut_or_longer_is_told_when_the_index_is_opened(sound, tmp_path: Path):
    folder, described = sound
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)
    for name in FILES:
        for change in ("gone", "empty", "cut", "longer"):
            shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
            path = tmp_path / "copy" / name
            size = path.stat().st_size
            if change == "gone":
                path.unlink()
            else:
                os.truncate(path, {"empty": 0, "cut": size - 1, "longer": size + 1}[change])
            with pytest.raises(Damaged, match=name):
                Nearest.open(tmp_path / "copy", described)


def test_a_header_that_describes_something_else_is_told(sound):
    folder, described = sound
    last = described["bands"][-1]
    for wrong in (
        {}, {"rows": -1}, {"rows": "20000"}, {"rows": 1 << 60}, {"rows": True}, {"rows": 19_999}, {"version": 2}, {"bands": None},
        {"bands": [[0, 8, 0]]}, {"bands": [[0, 8]]}, {"bands": [*described["bands"][:-1], [last[0], 0, 0]]},
        {"bands": [*described["bands"][:-1], [last[0], 63, 0]]}, {"bands": [[at, 1, 0] for at in range(256)]},
        {"bands": [*described["bands"], [256, 8, 0]]}, {"bands": []},
    ):  # fmt: skip
        with pytest.raises(Damaged):
            Nearest.open(folder, (described | wrong) if wrong else {})


@pytest.mark.parametrize("way", ["kernel", "twin"])
def test_whatever_stands_in_the_files_a_search_ends_in_hits_or_in_a_sentence(
    sound, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, described = sound
    if way == "twin":
        monkeypatch.setattr(base, "KERNEL", None)
    elif kernel.KERNEL is None:
        pytest.skip("the extension is not built")
    random_ = random.Random(7)
    queries = np.concatenate([made("clustered", 20_000, 1)[:40], made("random", 10, 2)])[
        :: 1 if way == "kernel" else 10
    ]
    told = 0
    for round_ in range(60 if way == "kernel" else 15):
        copy = tmp_path / str(round_)
        shutil.copytree(folder, copy)
        for name in random_.sample(FILES, random_.choice((1, 2))):
            data = np.fromfile(copy / name, np.uint8)
            kind = random_.choice(("bytes", "all ones", "noise", "shuffled"))
            if kind == "bytes":
                for _ in range(random_.choice((1, 100, 5000))):
                    data[random_.randrange(len(data))] = random_.randrange(256)
            elif kind == "all ones":
                begin = random_.randrange(len(data))
                data[begin : begin + random_.choice((4, 4096, len(data)))] = 255
            elif kind == "noise":
                data[4:-4] = np.random.default_rng(round_).integers(0, 256, len(data) - 8, dtype=np.uint8)
            else:
                data[4:-4] = np.roll(data[4:-4], random_.randrange(len(data)))
            data.tofile(copy / name)
        try:
            index = Nearest.open(copy, described)
            hits = index.within(queries)
            assert not len(hits.row) or (
                hits.row.min() >= 0 and hits.row.max() < len(index) and hits.distance.max() <= 31
            )
            if way == "kernel" and round_ % 4 == 0:
                assert len(clusters(index, 31)) == len(index)
        except Damaged:
            told += 1
        shutil.rmtree(copy)
    assert told


def test_a_row_or_a_place_out_of_range_is_told_as_damage(sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, described = sound
    queries = made("clustered", 20_000, 1)[:10]
    for name, number in (("pdq.postings", 20_000), ("pdq.postings", 0xFFFFFFFF), ("pdq.directory", 0xFFFFFFFF)):
        shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
        held = np.fromfile(tmp_path / "copy" / name, np.uint32)
        places = held != 0 if name == "pdq.directory" else held >= 0
        ends = np.flatnonzero(held == 20_000)
        held[places] = number
        held[ends] = 20_000  # so that it opens
        held.tofile(tmp_path / "copy" / name)
        index = Nearest.open(tmp_path / "copy", described)
        for way in (kernel.KERNEL, None):
            with monkeypatch.context() as patched:
                patched.setattr(base, "KERNEL", way)
                with pytest.raises(Damaged, match="rows that are not there"):
                    index.within(queries)


def test_a_value_whose_rows_end_just_behind_the_last_is_told_as_damage(
    sound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, described = sound
    shutil.copytree(folder, tmp_path / "copy")
    held = np.fromfile(tmp_path / "copy" / "pdq.directory", np.uint32)
    ends = np.cumsum([(1 << width) + 1 for _, width, _ in described["bands"]])
    begins = np.array([0, *ends[:-1]])
    for begin, end in zip(begins, ends, strict=True):
        held[begin + 1 : end - 1] = 19_999 + 50 * (np.arange(end - begin - 2) % 2)  # 19,999 to 20,049 of 20,000 rows
    held.tofile(tmp_path / "copy" / "pdq.directory")
    index = Nearest.open(tmp_path / "copy", described)
    value_of_first_band = index.hashes[:, 0].astype(np.int64)  # at least its low 8 bits
    queries = index.hashes[(value_of_first_band % 2 == 1) & (value_of_first_band < 255)][:1]
    for way in (kernel.KERNEL, None):
        with monkeypatch.context() as patched:
            patched.setattr(base, "KERNEL", way)
            with pytest.raises(Damaged, match="rows that are not there"):
                index.within(queries, 0)


def test_the_kernel_refuses_memory_that_does_not_fit(sound):
    """The wrapper never gives it; a slip of the wrapper must not become a read out of bounds."""
    if kernel.KERNEL is None:
        pytest.skip("the extension is not built")
    native = kernel.KERNEL
    hashes, one = made("random", 16, 3), np.array([[0, 8, 0, 8, 1]], np.int32)
    directory, postings, signs = np.zeros(257, np.uint32), np.zeros(16, np.uint32), np.zeros(16, np.uint16)
    good: list[Any] = [hashes, directory, postings, signs, one, flipped(hashes, 0.1, 4), 0, 31, 100, 100, 100]
    assert native.nearest_within(*good)[0] == 16
    for place, wrong in (
        (0, b"x" * 31), (1, directory[:-1]), (2, postings[:-1]), (3, signs[:-1]), (4, b"x" * 19), (5, b"x" * 33), (6, -1), (6, 17),
        (7, -1), (7, 256), (8, -1), (9, 0), (10, -1), *((4, np.array([band], np.int32)) for band in (
            (-1, 8, 0, 8, 1), (255, 8, 0, 8, 1), (0, 0, 0, 8, 1), (0, 27, 0, 8, 1), (0, 8, -2, 8, 1), (0, 8, 0, 17, 1),
            (0, 8, 0, -1, 1), (0, 8, 0, 8, 300), (0, 25, 25, 8, 1), (0x7FFFFFFF, 0x7FFFFFFF, 0, 8, 1),
        )), (4, np.tile(one, (65, 1))),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            native.nearest_within(*(wrong if at == place else value for at, value in enumerate(good)))
    for sorting in ((hashes, 0, 8, 8, directory, postings[:-1], signs), (hashes, 250, 8, 8, directory, postings, signs),
                    (hashes, 0, 9, 8, directory, postings, signs), (hashes, 0, 8, 17, directory, postings, signs)):  # fmt: skip
        with pytest.raises(ValueError):
            native.nearest_sort(*sorting)
    parents = np.arange(16)
    joining: list[Any] = [hashes, b"", b"", b"", b"", hashes, np.arange(16), parents, 31, 100]
    native.nearest_join(*joining)
    for place, wrong, error in (
        (6, np.arange(15), ValueError), (7, parents[:-1].copy(), ValueError), (6, np.arange(16) + 1, OverflowError),
        (7, np.arange(16) + 1, OverflowError), (7, np.full(16, -1), OverflowError),
    ):  # fmt: skip
        with pytest.raises(error):
            native.nearest_join(*(wrong if at == place else value for at, value in enumerate(joining)))
