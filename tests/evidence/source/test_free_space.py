"""Free space against the plainest way to tell it: a flag for each block."""

from __future__ import annotations

from array import array
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence.source.entry import SPARSE, Runs
from amparo.evidence.source.free_space import Allocation

FLAGS = st.lists(st.booleans(), max_size=70)


def packed(used: list[bool]) -> bytes:
    return sum(flag << bit for bit, flag in enumerate(used)).to_bytes(-(-len(used) // 8), "little")


def free_runs(used: list[bool], block: int, origin: int = 0) -> Runs:
    at, found = 0, Runs()
    for flag, same in groupby(used):
        length = len(list(same))
        if not flag:
            found.append((at * block + origin, length * block))
        at += length
    return found


@given(st.lists(FLAGS, max_size=5))
def test_a_map_in_pieces_of_any_length_says_what_its_flags_say(pieces: list[list[bool]]) -> None:
    whole = [flag for piece in pieces for flag in piece]
    allocation = Allocation.from_pieces(((packed(piece), len(piece)) for piece in pieces), 4096, 7)
    assert allocation.free() == free_runs(whole, 4096, 7)


@given(FLAGS, st.integers(0, 90))
def test_what_a_map_cut_short_does_not_say_is_in_use(used: list[bool], count: int) -> None:
    raw = packed(used)
    told = ([*used, *[False] * 8][: 8 * len(raw)] + [True] * count)[:count]
    assert Allocation.from_pieces([(raw, count)], 512).free() == free_runs(told, 512)
    assert Allocation.from_bitmap(raw, count, 512).free() == free_runs(told, 512)


def test_a_map_longer_than_what_is_taken_at_once_goes_on_where_it_was() -> None:
    raw = bytearray(b"\xff" * (3 << 20))
    raw[(1 << 20) - 1 : (1 << 20) + 1] = b"\x7f\xfe"
    assert Allocation.from_bitmap(bytes(raw), len(raw) * 8, 1).free() == [((1 << 23) - 1, 2)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8), st.integers(0, 80))
def test_all_that_no_run_touches_is_free(live: Runs, size: int) -> None:
    used = [
        any(length and at < start + length and start < at + 4 for start, length in live)
        for at in range(0, size // 4 * 4, 4)
    ]
    flat = array("q", [number for run in [*live, (SPARSE, 9)] for number in run])
    assert Allocation.from_runs(flat, size, 4).free() == free_runs(used, 4)


@given(FLAGS, st.integers(0, 70), st.integers(0, 20))
def test_a_run_is_in_use_where_any_of_its_blocks_is(used: list[bool], start: int, length: int) -> None:
    allocation = Allocation.from_pieces([(packed(used), len(used))], 8, 3)
    expected = length > 0 and not all(block < len(used) and not used[block] for block in range(start, start + length))
    assert allocation.any_in_use([(3 + 8 * start, 8 * length)]) is expected
    assert not allocation.any_in_use([(SPARSE, 8 * length)])
