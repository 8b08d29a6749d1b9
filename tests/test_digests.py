"""Three digests in one pass are the same three digests."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo import digests
from amparo.digests import Digests, OneAfterAnother, Together

MAKERS = [OneAfterAnother, Together]
needs_kernel = pytest.mark.skipif(not digests.woven(), reason="no compiler was at hand, or no SHA instructions")


def _expected(content: bytes) -> tuple[str, str, str]:
    return hashlib.md5(content).hexdigest(), hashlib.sha1(content).hexdigest(), hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("make", MAKERS)
@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_however_the_content_is_cut_the_digests_are_those_of_the_whole(
    make: type[Digests], pieces: list[bytes]
) -> None:
    taken = make()
    for piece in pieces:
        taken.update(piece)
    assert taken.hexdigests() == _expected(b"".join(pieces))


@pytest.mark.parametrize("make", MAKERS)
def test_every_length_around_a_block_and_its_padding_is_right(make: type[Digests]) -> None:
    content = random.Random(1).randbytes(400)
    for length in range(400):
        taken = make()
        taken.update(content[:length])
        assert taken.hexdigests() == _expected(content[:length]), length


@pytest.mark.parametrize("make", MAKERS)
def test_asking_in_the_middle_changes_nothing(make: type[Digests]) -> None:
    taken = make()
    taken.update(b"a" * 100)
    assert taken.hexdigests() == taken.hexdigests() == _expected(b"a" * 100)
    taken.update(memoryview(b"b" * 1000)[1:])
    assert taken.hexdigests() == _expected(b"a" * 100 + b"b" * 999)


@given(
    contents=st.lists(
        st.one_of(st.binary(max_size=300), st.integers(0, 5000).map(lambda n: random.Random(n).randbytes(n)))
    ),
    twice=st.randoms(),
)
def test_taken_together_the_digests_of_each_content_are_its_own(contents: list[bytes], twice: random.Random) -> None:
    taken = [Together() for _ in contents]
    for digest, content in zip(taken, contents, strict=True):
        digest.update(content)
        if twice.random() < 0.2:
            digest.update(b"")
    digests.settle(twice.sample(taken * 2, len(taken)))  # some are named twice, some are left out
    for digest, content in zip(taken, contents, strict=True):
        digest.update(b"and more")
        assert digest.hexdigests() == _expected(content + b"and more")


@needs_kernel
def test_the_kernel_counts_past_four_gigabits() -> None:
    piece = random.Random(2).randbytes(1 << 24)
    taken, peer = Together(), OneAfterAnother()
    for _ in range(33):  # 4.4 gigabits: the length no longer fits in 32 bits
        taken.update(piece)
        peer.update(piece)
    assert taken.hexdigests() == peer.hexdigests()


@needs_kernel
def test_the_kernel_refuses_what_is_no_bytes() -> None:
    with pytest.raises(TypeError):
        Together().update("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        digests.settle([OneAfterAnother()])
    with pytest.raises(TypeError):
        Together(1)  # type: ignore[call-arg]
