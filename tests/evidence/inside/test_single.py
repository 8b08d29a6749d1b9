"""Contents packed alone, and the tars among them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest

from amparo.evidence import inside
from tests.evidence.inside.specimens import PICTURE, a_tar, by_libarchive, opened

BYTES = random.Random(9).randbytes(1 << 20) + bytes(3 << 20)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_the_content_comes_out_under_the_name_without_the_ending(ending: str) -> None:
    seen = opened(PACKERS[ending](BYTES), f"folder/photo.raw.{ending}")
    assert seen.contents() == {"photo.raw": BYTES} and not seen.problems


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
def test_several_streams_one_behind_the_other_are_one_content(ending: str) -> None:
    pack = PACKERS[ending]
    seen = opened(pack(BYTES) + pack(b"") + pack(b"end"), f"x.{ending}")
    assert seen.contents() == {"x": BYTES + b"end"}


@pytest.mark.parametrize("ending", PACKERS)
def test_a_cut_content_is_told(ending: str) -> None:
    seen = opened(PACKERS[ending](BYTES)[:-9], f"x.{ending}")
    assert seen.members[0].content is None and seen.members[0].error


def test_the_name_and_time_that_gzip_kept_are_given() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("ação.bmp", "wb", fileobj=out, mtime=1_600_000_000) as file:
        file.write(b"x")
    member = opened(out.getvalue(), "renamed.dat").members[0]
    assert (member.path, member.modified) == ("ação.bmp", "2020-09-13T12:26:40Z")


def test_zeros_and_rubbish_behind_gzip_are_passed_over() -> None:
    assert opened(gzip.compress(b"a") + bytes(70_000) + gzip.compress(b"b"), "x.gz").contents() == {"x": b"ab"}
    assert opened(gzip.compress(b"a") + b"rubbish", "x.gz").contents() == {"x": b"a"}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("memory", [64 << 20, 0], ids=["kept", "unpacked again"])
def test_a_picture_in_a_packed_tar_is_reached(ending: str, memory: int) -> None:
    files = {"a": BYTES, "p.jpg": PICTURE}
    seen = opened(PACKERS[ending](a_tar(files)), f"x.tar.{ending}", limits=inside.Limits(memory=memory))
    assert seen.trails() == [(0,), (0, 0), (0, 1)]
    assert seen.members[2].content == PICTURE and seen.members[1].content == BYTES


@pytest.mark.parametrize("packing", ["zstd", "lz4", "lzip", "compress"])
def test_a_tar_packed_by_the_rarer_ones_is_opened(packing: str) -> None:
    seen = opened(by_libarchive({"a": BYTES, "p.jpg": PICTURE}, "pax", packing), "x.tar.any")
    assert [m.path for m in seen.members] == ["x.tar", "a", "p.jpg"]
    assert seen.contents()["p.jpg"] == PICTURE and seen.contents()["a"] == BYTES
