"""Groups of near-duplicates are the connected components, as joining every pair by hand makes them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.known.nearest import Nearest, base, clusters
from tests.known.fingerprints import SETS, brute_force, flipped, made


def by_hand(hashes: npt.NDArray[np.uint8], radius: int) -> list[int]:
    group = list(range(len(hashes)))
    hits = brute_force(hashes, hashes, radius)
    for one, other in zip(hits.query.tolist(), hits.row.tolist(), strict=True):
        a, b = group[one], group[other]
        if a != b:
            group = [min(a, b) if g in (a, b) else g for g in group]
    return group


@pytest.mark.parametrize("way", ["kernel", "twin"])
@pytest.mark.parametrize("kind", SETS)
def test_groups_are_those_that_joining_every_pair_makes(kind: str, way: str, monkeypatch: pytest.MonkeyPatch):
    if way == "twin":
        monkeypatch.setattr(base, "KERNEL", None)
    hashes = made(kind, 300, 1)
    for radius in (0, 8, 20, 31, 50):
        assert clusters(Nearest.of(hashes), radius).tolist() == by_hand(hashes, radius), radius


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 1, 7, 255]), min_size=8, max_size=8), max_size=25), st.integers(0, 40))
def test_groups_of_any_small_set_are_those_by_hand(rows: list[list[int]], radius: int):
    hashes = np.array([row * 4 for row in rows], np.uint8).reshape(-1, 32)
    assert clusters(Nearest.of(hashes), radius).tolist() == by_hand(hashes, radius)


def test_groups_are_found_by_bands_as_by_looking_at_every_row(tmp_path: Path):
    hashes = made("clustered", 20_000, 2)
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    assert index.bands
    groups = clusters(index, 31)
    assert np.array_equal(groups, clusters(Nearest.of(hashes), 31))
    assert 2000 < len(np.unique(groups)) < 5000


def test_a_chain_of_near_rows_is_one_group_however_far_its_ends():
    link = np.zeros((1, 32), np.uint8)
    chain = [link := flipped(link, 0.1, seed) for seed in range(40)]
    steps = [int(np.unpackbits(a ^ b).sum()) for a, b in pairwise(chain)]
    order = np.random.default_rng(3).permutation(40)
    hashes = np.concatenate(chain)[order]
    assert int(np.unpackbits(chain[0] ^ chain[-1]).sum()) > max(steps)
    assert not clusters(Nearest.of(hashes), max(steps)).any()


def test_a_row_that_comes_two_hundred_thousand_times_is_asked_for_once(tmp_path: Path):
    """Asking for each would find forty thousand million pairs."""
    hashes = np.concatenate([np.repeat(made("random", 2, 4), 100_000, axis=0), made("random", 5, 5)])
    index = Nearest.open(tmp_path, Nearest.build(hashes, tmp_path))
    groups = clusters(index, 31)
    assert np.unique(groups).tolist() == [0, 100_000, *range(200_000, 200_005)]
