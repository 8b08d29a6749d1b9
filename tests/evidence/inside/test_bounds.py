"""What a hostile container may cost: never more than its bounds, and the rest of the run goes on."""

from __future__ import annotations

import gzip
import io
import lzma
import resource
import struct
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zlib import compressobj, crc32

import pytest

from amparo.errors import ReadFailed
from amparo.evidence import inside
from amparo.evidence.inside import bounds
from tests.evidence.inside.specimens import PICTURE, a_7z, a_rar4, a_rar5, a_tar, a_thumbcache, a_zip, opened

MIB = 1 << 20


def zeros(size: int) -> bytes:
    """A raw deflate stream of ``size`` zeros."""
    packer = compressobj(9, 8, -15)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def drained(data: bytes, limits: inside.Limits, path: str = "bomb") -> tuple[int, list[str]]:
    """How many bytes came out, nothing kept, and what was told."""
    out = 0
    problems: list[str] = []

    def consume(trail: tuple[int, ...], member: inside.Member, pieces: Iterator[bytes]) -> None:
        nonlocal out
        try:
            for piece in pieces:
                out += len(piece)
        except ReadFailed as error:
            problems.append(str(error))

    inside.expand(io.BytesIO(data), None, path, limits, consume, problems.append)
    return out, problems


def test_a_bomb_of_many_layers_ends_at_the_ratio() -> None:
    data = a_zip({f"{n}.bin": bytes(8 * MIB) for n in range(16)})
    for _ in range(4):
        data = a_zip({f"{n}.zip": data for n in range(16)})
    out, problems = drained(data, inside.Limits())
    assert out <= max(64 * MIB, 1000 * len(data)) + MIB
    assert any("made to do harm" in problem for problem in problems)


@pytest.mark.parametrize("kind", ["xz", "7z", "gz"])
def test_a_flat_bomb_is_stopped_while_it_unpacks(kind: str) -> None:
    if kind == "xz":
        packer = lzma.LZMACompressor(preset=1)
        data = b"".join(packer.compress(bytes(16 * MIB)) for _ in range(40)) + packer.flush()
    elif kind == "gz":
        data = gzip.compress(bytes(300 * MIB), 9)
    else:
        import py7zr

        data = a_7z({"bomb": bytes(300 * MIB), "after": b"x"}, filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out, problems = drained(data, inside.Limits(ratio=10, total=100 * MIB, size=100 * MIB))
    assert out <= 101 * MIB and problems
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_member_larger_than_a_member_may_be_does_not_cost_the_next() -> None:
    limits = inside.Limits(size=2 * MIB)
    for data in (a_zip({"a": bytes(9 * MIB), "b": PICTURE}), a_7z({"a": bytes(9 * MIB), "b": PICTURE})):
        seen = opened(data, limits=limits)
        assert seen.contents() == {"a": None, "b": PICTURE} and "larger than" in seen.problems[0]


def test_containers_a_hundred_deep_end_at_the_depth() -> None:
    data = PICTURE
    for n in range(100):
        data = a_zip({f"{n}.zip": data}, zipfile.ZIP_STORED)
    seen = opened(data, limits=inside.Limits(depth=8))
    assert len(seen.members) == 8 and len(seen.members[-1].trail) == 8
    assert seen.problems == ["92.zip: It lies 8 containers deep, so what is inside was not searched."]
    assert len(opened(data, limits=inside.Limits(depth=200)).members) == 100


def test_a_container_that_holds_itself_ends_at_the_depth() -> None:
    # A tar whose one member reaches over a second header to an end that is the same again: each layer looks like the last.
    block = bytearray(a_tar({"a.tar": b"x"}, tarfile.USTAR_FORMAT)[:512])
    data = b""
    for n in range(300, 0, -1):
        block[124:136] = b"%011o\0" % ((n - 1) * 512)
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
        data += block
    seen = opened(data)
    assert seen.trails() == [(0,) * depth for depth in range(1, 9)]
    assert seen.problems == ["a.tar: It lies 8 containers deep, so what is inside was not searched."]


def test_members_that_overlap_are_told_and_not_read() -> None:
    kernel = zeros(4 * MIB)
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0x21, crc32(bytes(4 * MIB)), len(kernel), 4 * MIB, 1, 0)
        + b"k"
    )
    body, entries = b"", []
    for n in range(50):
        entries.append((len(body), b"%d" % n))
        body += (
            struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0x21, 0, 2_000, 4 * MIB, len(str(n)), 0) + b"%d" % n
        )
    body += local + kernel
    directory = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0x21, 0, 4_000, 4 * MIB, len(name), 0, 0, 0, 0, 0, at
        )
        + name
        for at, name in entries
    )
    data = body + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 50, 50, len(directory), len(body), 0)
    seen = opened(data)
    assert sum("overlaps" in (m.error or "") for m in seen.members) == 49
    assert len(seen.problems) == 1 and "48 more members" in seen.problems[0]


def test_of_a_million_members_only_as_many_as_allowed_are_listed() -> None:
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 1_000_000
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0) + b"a"
    at = len(local) + len(directory)
    data = (
        local
        + directory
        + struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1_000_000, 1_000_000, len(directory), len(local))
    )
    data += struct.pack("<4sIQI", b"PK\6\7", 0, at, 1) + struct.pack(
        "<4sHHHHIIH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0
    )
    begun = time.monotonic()
    seen = opened(data, limits=inside.Limits(members=5_000))
    assert len(seen.members) == 5_000 and time.monotonic() - begun < 5
    assert seen.problems == ["It holds more than 5,000 members; those beyond were not read."]


def test_a_large_container_inside_another_is_reached_without_keeping_it() -> None:
    inner = a_zip({"noise": PICTURE * 3_000, "p.jpg": PICTURE}, zipfile.ZIP_STORED)
    limits = inside.Limits(memory=MIB)
    for outer in (
        a_zip({"i.zip": inner}),
        a_tar({"i.zip": inner}),
        gzip.compress(inner),
        a_7z({"x": b"1", "i.zip": inner}),
    ):
        assert opened(outer, "o", limits=limits).contents()["p.jpg"] == PICTURE


def test_a_container_that_is_nothing_but_damage_is_left_soon() -> None:
    bad = bytes(257) + b"ustar\0" + bytes(249)
    entry = b"CMMM" + b"\xff" * 52
    cut = a_zip({f"{n}": b"x" for n in range(40_000)}, zipfile.ZIP_STORED)[:2_500_000]
    for data in (
        a_tar({"a": b"1"})[:1024] + bad.replace(b"\0", b"\1") * 40_000,
        a_thumbcache(32, {"a": b"1"}) + entry * 400_000,
        cut,
    ):
        begun = time.monotonic()
        _, problems = drained(data, inside.Limits())
        assert len(problems) < 110 and time.monotonic() - begun < 10
    assert (
        "too many places"
        in drained(a_tar({"a": b"1"})[:1024] + bad.replace(b"\0", b"\1") * 400, inside.Limits())[1][-1]
    )


def test_going_back_and_back_again_in_what_is_not_kept_is_bounded() -> None:
    budget = bounds.Budget(inside.Limits(total=3 * MIB), 1)
    stream = bounds.Again(lambda: iter([bytes(MIB)] * 2), 2 * MIB, budget)
    with pytest.raises(ReadFailed, match="more unpacking than is allowed"):
        for _ in range(100):
            stream.seek(MIB + 5)
            stream.read(1)
            stream.seek(0)
            stream.read(1)


def test_only_one_member_is_handed_over_where_only_one_is_wanted() -> None:
    data = a_zip({"a": b"1", "b.tar": a_tar({"x": b"2", "p.jpg": PICTURE}), "c": b"3"})
    for pack in (data, a_7z({"in.zip": data}), a_rar4({"in.zip": data}), a_rar5({"in.zip": data}), gzip.compress(data)):
        every = opened(pack)
        for wanted in every.members:
            seen = opened(pack, only=wanted.trail)
            assert [(m.trail, m.content) for m in seen.members] == [(wanted.trail, wanted.content)]


def test_nothing_is_ever_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened(a_zip({"../../out": b"x", "i.rar": a_rar5({"/abs": PICTURE * 2_000})}), limits=inside.Limits(memory=0))
    assert not list(tmp_path.iterdir()) and not (tmp_path.parent.parent / "out").exists()
