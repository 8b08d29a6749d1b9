"""tar in its dialects, and headers made to do harm."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from amparo.evidence import inside
from tests.evidence.inside.specimens import PICTURE, a_tar, opened

DIALECTS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
BYTES = random.Random(7).randbytes(2_500_000)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_members_come_out_as_they_went_in(dialect: int) -> None:
    files = {"a": BYTES, "dir/empty": b"", "d" * 90 + "/" + "n" * 99: b"long", "block": bytes(512)}
    seen = opened(a_tar(files, dialect))
    assert seen.contents() == files and not seen.problems
    assert seen.members[0].modified == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize("dialect", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_a_very_long_name_is_kept(dialect: int) -> None:
    assert list(opened(a_tar({"x/" * 900 + "é": b"1"}, dialect)).contents()) == ["x/" * 900 + "é"]


def test_a_tar_of_before_posix_is_known_by_its_checksum() -> None:
    data = bytearray(a_tar({"old": b"content"}, tarfile.USTAR_FORMAT))
    data[257:265] = bytes(8)
    data[148:156] = b"        "
    data[148:156] = b"%06o\0 " % sum(data[:512])
    assert opened(bytes(data)).contents() == {"old": b"content"}


def test_links_and_devices_are_never_followed_and_have_numbers() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("dev", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("file")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"yes"))
    assert [(m.trail, m.path, m.content) for m in opened(out.getvalue()).members] == [((3,), "file", b"yes")]


def test_names_that_are_no_utf8_stay_readable_text() -> None:
    data = a_tar({"XXXX": b"1"}, tarfile.GNU_FORMAT)
    head = bytearray(data[:512].replace(b"XXXX", b"\xff\xfe\n."))
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    assert list(opened(bytes(head) + data[512:]).contents()) == ["\\xff\\xfe\n."]


@pytest.mark.parametrize("kind", ["gnu", "0.0", "0.1", "1.0"])
def test_a_sparse_file_comes_out_with_its_holes(kind: str, tmp_path: Path) -> None:
    content = bytearray(6 << 20)
    for n in range(40):
        content[n * 150_000 + 77 : n * 150_000 + 5_077] = random.Random(n).randbytes(5_000)
    plain = bytes(content)
    with (tmp_path / "sparse").open("wb") as file:
        for at in range(0, len(plain), 4096):
            if plain[at : at + 4096].strip(b"\0"):
                file.seek(at)
                file.write(plain[at : at + 4096])
        file.truncate(len(plain))
    options = ["--format=gnu"] if kind == "gnu" else ["--format=pax", f"--sparse-version={kind}"]
    subprocess.run(["tar", "-S", *options, "-cf", "out.tar", "sparse"], cwd=tmp_path, check=True)
    data = (tmp_path / "out.tar").read_bytes()
    assert len(data) < len(plain), "the tar at hand found no holes"
    seen = opened(data)
    assert seen.contents() == {"sparse": plain} and seen.members[0].size == len(plain)


def test_two_tars_one_behind_the_other_are_read_to_the_end() -> None:
    seen = opened(a_tar({"a": b"1"}) + a_tar({"b": b"2"}))
    assert seen.contents() == {"a": b"1", "b": b"2"}


def test_behind_a_damaged_header_the_next_is_found() -> None:
    data = bytearray(a_tar({"a": b"1" * 700, "b": b"2" * 700, "c": b"3" * 700}, tarfile.USTAR_FORMAT))
    data[1536 + 5] ^= 0xFF
    seen = opened(bytes(data))
    assert seen.contents() == {"a": b"1" * 700, "c": b"3" * 700}
    assert seen.problems == ["Its header at byte 1536 is damaged; the next one was looked for."]


def test_a_cut_tar_gives_what_is_whole() -> None:
    seen = opened(a_tar({"a": b"1" * 700, "b": BYTES})[:900_000])
    assert seen.contents() == {"a": b"1" * 700, "b": None}


@pytest.mark.parametrize(
    "field", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"-0000000001\0", b"nonsense!!!\0"]
)
def test_a_size_beyond_all_bounds_costs_nothing(field: bytes) -> None:
    data = bytearray(a_tar({"a": b"1", "b": b"2"}, tarfile.USTAR_FORMAT))
    data[124:136] = field
    data[148:156] = b"        "
    data[148:156] = b"%06o\0 " % sum(data[:512])
    seen = opened(bytes(data))
    assert seen.contents().get("a") is None
    assert seen.problems or seen.members[0].error


def test_a_sparse_file_that_claims_a_petabyte_is_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("bomb")
        info.pax_headers = {"GNU.sparse.size": str(1 << 50), "GNU.sparse.map": f"{(1 << 50) - 1},1"}
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    seen = opened(out.getvalue())
    assert seen.members[0].content is None and "larger than" in seen.problems[0]


def test_a_chain_of_ten_thousand_extended_headers_ends() -> None:
    one = a_tar({"a": b"1"}, tarfile.PAX_FORMAT)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("é" * 90)
        archive.addfile(info)
    extended = out.getvalue()[:1024]
    assert opened(extended * 10_000 + one).contents() == {"é" * 90: b"1"}


def test_a_picture_in_a_tar_in_a_tar_is_reached_without_a_copy() -> None:
    inner = a_tar({"p.jpg": PICTURE})
    limits = inside.Limits(memory=0)
    seen = opened(a_tar({"inner.tar": inner}), limits=limits)
    assert seen.trails() == [(0,), (0, 0)] and seen.members[1].content == PICTURE
