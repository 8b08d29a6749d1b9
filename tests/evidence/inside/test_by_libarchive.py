"""7z, RAR and the others that libarchive reads."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import py7zr
import pytest

from amparo.evidence import inside
from tests.evidence.inside.specimens import PICTURE, a_7z, a_cab, a_rar4, a_rar5, a_zip, an_lzh, by_libarchive, opened

BYTES = random.Random(3).randbytes(2_000_000)
FILES = {"a.bin": BYTES, "dir/p.jpg": PICTURE, "zeros": bytes(3_000_000), "inner.zip": a_zip({"q": b"hello"})}
OUT = {**FILES, "q": b"hello"}
FILTERS = {
    "lzma2": [{"id": py7zr.FILTER_LZMA2, "preset": 1}],
    "lzma": [{"id": py7zr.FILTER_LZMA, "preset": 1}],
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
    "ppmd": [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24}],
    "bcj": [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_LZMA2, "preset": 1}],
    "copy": [{"id": py7zr.FILTER_COPY}],
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_7z_comes_out_as_it_went_in_whatever_packs_it(name: str) -> None:
    seen = opened(a_7z(FILES, filters=FILTERS[name]))
    assert seen.contents() == OUT and not seen.problems
    assert seen.trails() == [(0,), (1,), (2,), (3,), (3, 0)]


def test_a_container_in_a_solid_archive_is_unpacked_again_where_it_may_not_be_kept() -> None:
    seen = opened(a_7z(FILES, filters=FILTERS["lzma2"]), limits=inside.Limits(memory=0))
    assert seen.contents() == OUT


def test_an_encrypted_7z_is_told() -> None:
    seen = opened(a_7z({"a": b"x" * 99}, password="word"))
    assert [(m.path, m.content) for m in seen.members] == [("a", None)] and "encrypted" in seen.problems[0]
    seen = opened(a_7z({"a": b"x" * 99}, password="word", header_encryption=True))
    assert not seen.members and "encrypted" in seen.problems[0]


def test_rar_of_both_kinds_comes_out_as_it_went_in() -> None:
    for pack in (a_rar4, a_rar5):
        seen = opened(pack(FILES))
        assert seen.contents() == OUT and not seen.problems, pack.__name__
    assert opened(a_rar5({"ação.jpg": PICTURE})).contents() == {"ação.jpg": PICTURE}
    assert opened(a_rar5({"a": b"1"})).members[0].modified == "2020-09-13T12:26:40Z"


def test_an_encrypted_rar_is_told() -> None:
    for pack in (a_rar4, a_rar5):
        seen = opened(pack({"a": bytes(64)}, encrypted=True))
        assert [m.content for m in seen.members] == [None], pack.__name__
        assert "encrypted" in "".join(seen.problems) + (seen.members[0].error or "")


def test_a_wrong_checksum_in_a_rar_is_told() -> None:
    for pack in (a_rar4, a_rar5):
        data = bytearray(pack({"a": b"1" * 90, "b": b"2" * 90}))
        data[data.index(b"1" * 90) + 4] ^= 1
        seen = opened(bytes(data))
        assert seen.members[0].content is None and seen.members[0].error, pack.__name__


@pytest.mark.parametrize("kind", ["iso9660", "cpio", "cpio_newc", "ar_svr4", "ar_bsd"])
def test_the_other_kinds_give_every_byte(kind: str) -> None:
    files = {"a.bin": BYTES, "p.jpg": PICTURE}
    seen = opened(by_libarchive(files, kind), "x.iso" if kind == "iso9660" else "x")
    assert sorted(m.content or b"" for m in seen.members) == sorted(files.values())


def test_a_disc_made_by_genisoimage_is_read_with_its_long_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a rather long name.jpeg").write_bytes(PICTURE)
    subprocess.run(["genisoimage", "-quiet", "-J", "-r", "-o", "out.iso", "in"], cwd=tmp_path, check=True)
    assert opened((tmp_path / "out.iso").read_bytes(), "out.iso").contents() == {"a rather long name.jpeg": PICTURE}


def test_a_7z_cut_short_is_told_and_nothing_is_invented() -> None:
    data = a_7z({"a": BYTES}, filters=FILTERS["copy"])
    seen = opened(data[:-40])
    assert not seen.members and len(seen.problems) == 1


def test_a_wrong_checksum_in_a_7z_is_told() -> None:
    for name in ("copy", "lzma2"):
        data = bytearray(a_7z({"a": BYTES[:9_000], "b": BYTES[:5_000]}, filters=FILTERS[name]))
        data[4_000] ^= 1
        seen = opened(bytes(data))
        assert seen.contents()["a"] is None, name


def test_a_cab_and_an_lzh_give_every_byte() -> None:
    files = {"a.bin": BYTES[:70_000], "p.jpg": PICTURE}
    for pack in (a_cab, an_lzh):
        seen = opened(pack(files))
        assert seen.contents() == files and not seen.problems, pack.__name__
    damaged = bytearray(an_lzh(files))
    damaged[5_000] ^= 1
    assert opened(bytes(damaged)).contents() == {"a.bin": None, "p.jpg": PICTURE}
