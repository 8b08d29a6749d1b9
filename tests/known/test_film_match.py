"""How much of one film is in another, and the forms in which fingerprints of films are handed over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import UsedWrongly
from amparo.known.film_features import Frame, distinct, from_text, to_json, to_text
from amparo.known.film_match import Share, compare, shares
from amparo.known.pdq import distance


class Hits(NamedTuple):
    query: np.ndarray
    row: np.ndarray


def bits(seed: int, flipped: int = 0) -> bytes:
    """Fingerprints of different seeds are far apart; ``flipped`` so many bits from the seed's own."""
    value = int.from_bytes(np.random.default_rng(seed).bytes(32))
    return (value ^ ((1 << flipped) - 1)).to_bytes(32)


def frames(*places: tuple[int, int] | int, quality: int = 100) -> list[Frame]:
    made = [bits(*place) if isinstance(place, tuple) else bits(place) for place in places]
    return [Frame(number, number / 2, one, quality) for number, one in enumerate(made)]


few = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 70), st.sampled_from([0, 49, 50, 100])), max_size=12)


def of(drawn: list[tuple[int, int, int]]) -> list[Frame]:
    return [Frame(n, float(n), bits(seed, flipped), quality) for n, (seed, flipped, quality) in enumerate(drawn)]


@given(few, few, st.integers(0, 64))
def test_the_shares_are_those_of_the_published_description(one: list, other: list, radius: int):
    query, reference = distinct(of(one)), distinct(of(other))

    def share(some: list[Frame], many: list[Frame]) -> float:
        found = [frame for frame in some if any(distance(frame.bits, known.bits) <= radius for known in many)]
        return len(found) / len(some) if some and many else 0.0

    assert compare(of(one), of(other), radius) == (share(query, reference), share(reference, query))


@given(few, few)
def test_the_shares_change_places_with_the_films(one: list, other: list):
    assert compare(of(one), of(other)) == compare(of(other), of(one))[::-1]


def test_thirty_one_bits_may_differ_and_thirty_two_may_not():
    assert compare(frames((1, 31)), frames(1)) == (1, 1)
    assert compare(frames((1, 32)), frames(1)) == (0, 0)


def test_a_piece_of_a_film_is_wholly_in_it_and_has_little_of_it():
    assert compare(frames(3, 4), frames(*range(10))) == (1, 0.2)


def test_frames_of_low_quality_and_repeated_ones_do_not_count():
    dull = frames(7, quality=49)
    assert compare(frames(1, 1, 1, 2) + dull, frames(1) + dull) == (0.5, 1)
    assert compare(dull, dull) == (0, 0)
    assert [frame.number for frame in distinct(frames(1, 2, 1))] == [0, 1]


def test_films_of_many_frames_are_compared_piece_by_piece():
    long = frames(*range(3000))
    assert compare(long, long[2500:]) == (pytest.approx(500 / 3000), 1)


# Against an index of many films ------------------------------------------------------------------------------------


def near(query: list[Frame], rows: list[bytes], radius: int = 31) -> Hits:
    pairs = [
        (q, r) for q, frame in enumerate(query) for r, row in enumerate(rows) if distance(frame.bits, row) <= radius
    ]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Hits(found[:, 0], found[:, 1])


@settings(max_examples=60)
@given(few, st.lists(few, max_size=4), st.randoms())
def test_each_known_film_has_the_shares_that_a_comparison_with_it_alone_gives(one: list, many: list, order: object):
    query, films = distinct(of(one)), [distinct(of(drawn)) for drawn in many]
    listed = [(number, frame.bits) for number, film in enumerate(films) for frame in film] + [(-1, bits(3))]
    order.shuffle(listed)  # type: ignore[attr-defined]
    owners = np.array([number for number, _ in listed], np.int32)
    found = shares(near(query, [row for _, row in listed]), owners, len(query))
    expected = {number: compare(query, film) for number, film in enumerate(films)}
    assert {share.film: (share.query, share.reference) for share in found} == {
        number: pair for number, pair in expected.items() if pair != (0, 0)
    }
    assert all(share.frames == round(share.query * len(query)) for share in found)


def test_the_film_with_most_of_the_query_comes_first():
    query = frames(1, 2, 3, 4)
    rows = [bits(1), bits(2), bits(3), bits(2), bits(9)]
    owners = np.array([0, 1, 1, 1, 2])
    assert shares(near(query, rows), owners, 4) == [Share(1, 0.5, 1.0, 2), Share(0, 0.25, 1.0, 1)]


def test_sizes_may_be_given_and_nothing_near_is_no_film():
    hits = near(frames(1), [bits(1)])
    assert shares(hits, np.array([0]), 1, np.array([4])) == [Share(0, 1.0, 0.25, 1)]
    assert shares(near(frames(1), [bits(2)]), np.array([0]), 1) == []
    assert shares(hits, np.array([-1]), 1) == []


def test_half_a_million_hits_are_added_up_at_once():
    chance = np.random.default_rng(1)
    owners = np.repeat(np.arange(1000), 200)
    hits = Hits(chance.integers(0, 3600, 500_000), chance.integers(0, len(owners), 500_000))
    found = shares(hits, owners, 3600)
    assert len(found) == 1000 and all(0 < share.query <= 1 and 0 < share.reference <= 1 for share in found)


# The forms ---------------------------------------------------------------------------------------------------------


kept = st.lists(
    st.builds(
        Frame,
        st.integers(0, 10**7),
        st.integers(0, 10**8).map(lambda thousandths: thousandths / 1000),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 100),
    ),
    max_size=8,
)


@given(kept)
def test_what_is_written_is_read_again(some: list[Frame]):
    assert from_text(to_text(some)) == some
    assert from_text(to_json(some)) == [frame._replace(number=place) for place, frame in enumerate(some)]


def test_the_lines_are_those_of_the_published_program():
    """A line of its sample-hashes, and one as python-threatexchange writes times above 100 seconds."""
    line = f"30,100,{bits(1).hex()},1.001\n"
    assert to_text([Frame(30, 1.001, bits(1), 100)]) == line
    assert from_text(line.upper()) == [Frame(30, 1.001, bits(1), 100)]
    assert from_text(f'["{bits(1).hex()},100,1.23e+02"]')[0].time == 123


@pytest.mark.parametrize(
    "text",
    [
        "1,100,abc,0.0",
        f"1,101,{bits(1).hex()},0.0",
        f"-1,100,{bits(1).hex()},0.0",
        f"1,100,{bits(1).hex()},nan",
        f"1,100,{bits(1).hex()},1e999",
        f"1,100,{bits(1).hex()},0.0,more",
        f"{'9' * 5000},100,{bits(1).hex()},0.0",
        "[1]",
        '[{"quality": 100}]',
    ],
)
def test_what_is_no_fingerprint_is_told_by_its_line(text: str):
    with pytest.raises(UsedWrongly, match=r"Line 1 is no fingerprint of a film's frame: ask for the list again\."):
        from_text(text)


def test_the_line_that_is_wrong_is_named():
    with pytest.raises(UsedWrongly, match="Line 3 "):
        from_text(to_text(frames(1, 2)) + "x\n")


@pytest.mark.parametrize("text", ["[", "[" * 100_000, '["a'])
def test_json_that_breaks_off_is_told(text: str):
    with pytest.raises(UsedWrongly, match="not sound JSON"):
        from_text(text)
