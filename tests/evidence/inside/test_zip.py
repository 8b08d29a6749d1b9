"""ZIP: every method, every way of naming, and archives that are cut, shifted or made to do harm."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import zipfile
from pathlib import Path
from zlib import crc32

import pytest

from tests.evidence.inside.specimens import PICTURE, a_zip, opened

BYTES = random.Random(5).randbytes(3 << 20)


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflate", "bzip2", "lzma"],
)
def test_a_member_comes_out_as_it_went_in_whatever_packs_it(method: int) -> None:
    seen = opened(a_zip({"one.bin": BYTES, "empty": b"", "zeros": bytes(5 << 20)}, method))
    assert seen.contents() == {"one.bin": BYTES, "empty": b"", "zeros": bytes(5 << 20)}
    assert seen.problems == []
    assert seen.members[0].modified == "2020-02-29T12:30:58Z"
    assert seen.members[0].size == len(BYTES)


def test_a_deflate64_member_as_windows_explorer_makes_of_a_large_film_is_read() -> None:
    import inflate64

    deflater = inflate64.Deflater()
    packed = deflater.deflate(BYTES + bytes(1 << 20)) + deflater.flush()
    data = bytearray(a_zip({"film": b"placeholder"}, zipfile.ZIP_STORED))
    plain = BYTES + bytes(1 << 20)
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 9, 0, 0x21, crc32(plain), len(packed), len(plain), 4, 0)
        + b"film"
    )
    central = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\1\2",
        45,
        45,
        0,
        9,
        0,
        0x21,
        crc32(plain),
        len(packed),
        len(plain),
        4,
        0,
        0,
        0,
        0,
        0,
        0,
    )
    body = local + packed
    data = body + central + b"film" + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 50, len(body), 0)
    assert opened(bytes(data)).contents() == {"film": plain}


def test_folders_have_numbers_but_are_not_handed_over() -> None:
    seen = opened(a_zip({"a/": b"", "a/b": b"1", "c/": b"", "d": b"2"}))
    assert [(member.trail, member.path) for member in seen.members] == [((1,), "a/b"), ((3,), "d")]


def test_names_that_lead_elsewhere_stay_names() -> None:
    names = ["../../etc/passwd", "/absolute", "C:\\Windows\\x", "new\nline", "a" * 255, "ação.jpg"]
    assert list(opened(a_zip(dict.fromkeys(names, b"x"))).contents()) == names


def test_a_name_in_the_code_page_of_the_ibm_pc_and_one_in_undeclared_utf8_are_both_read() -> None:
    data = a_zip({"XXXX": b"1", "YYYY": b"2"}).replace(b"XXXX", b"a\x87\x84o").replace(b"YYYY", "éé".encode())
    assert list(opened(data).contents()) == ["açäo", "éé"]


def test_the_members_of_an_archive_behind_a_program_are_found() -> None:
    data = b"MZ" + bytes(9_000) + a_zip({"a": b"1", "b": b"22"})
    assert opened(data, mime="application/zip").contents() == {"a": b"1", "b": b"22"}


def test_a_zip64_is_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("large", "w", force_zip64=True) as member:
        member.write(BYTES)
    assert opened(out.getvalue()).contents() == {"large": BYTES}


def test_a_zip64_of_more_members_than_the_old_record_counts_is_read() -> None:
    files = {f"{n:x}": b"" for n in range(66_000)}
    seen = opened(a_zip(files, zipfile.ZIP_STORED))
    assert len(seen.members) == 66_000 and not seen.problems


def test_a_streamed_member_whose_sizes_stand_behind_it_is_found_without_a_directory() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.out = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.out += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        archive.writestr("a", b"first" * 999)
        archive.writestr("b", PICTURE)
    assert opened(pipe.out).contents() == {"a": b"first" * 999, "b": PICTURE}
    cut = pipe.out[: pipe.out.rindex(b"PK\1\2", 0, pipe.out.rindex(b"PK\1\2"))]
    seen = opened(cut)
    assert seen.contents() == {"a": b"first" * 999, "b": PICTURE}
    assert "directory" in seen.problems[0]


def test_what_is_whole_in_a_cut_archive_comes_out_and_the_rest_is_told() -> None:
    data = a_zip({"a": BYTES[:9000], "b": PICTURE, "c": BYTES[:90_000]})
    seen = opened(data[:60_000])
    assert seen.contents() == {"a": BYTES[:9000], "b": PICTURE, "c": None}
    assert seen.members[2].error and len(seen.problems) == 1


def test_a_wrong_checksum_is_told_and_the_neighbours_are_read() -> None:
    data = bytearray(a_zip({"a": b"1" * 50, "b": b"2" * 50, "c": b"3" * 50}, zipfile.ZIP_STORED))
    data[data.index(b"2" * 50) + 7] ^= 1
    seen = opened(bytes(data))
    assert seen.contents() == {"a": b"1" * 50, "b": None, "c": b"3" * 50}
    assert seen.members[1].error == "Its checksum does not agree with its content."


def test_an_encrypted_member_is_listed_and_told(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"not to be read")
    subprocess.run(["zip", "-q", "-P", "word", "out.zip", "secret.txt"], cwd=tmp_path, check=True)
    seen = opened((tmp_path / "out.zip").read_bytes())
    assert [(m.path, m.size, m.content) for m in seen.members] == [("secret.txt", 14, None)]
    assert seen.problems == ["secret.txt: It is encrypted, so its content was not read."]


def test_a_method_that_is_not_read_is_told_by_its_name() -> None:
    data = bytearray(a_zip({"a": b"x"}, zipfile.ZIP_STORED))
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(mark) + at] = 98
    assert "PPMd" in opened(bytes(data)).problems[0]


def test_the_pictures_in_a_document_are_members() -> None:
    data = a_zip({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", "word/media/image1.jpeg": PICTURE})
    assert opened(data, "letter.docx").contents()["word/media/image1.jpeg"] == PICTURE


def test_the_zip_program_and_this_reader_agree(tmp_path: Path) -> None:
    files = {f"dir/{n}.bin": BYTES[n * 1000 : n * 1000 + n * 777] for n in range(40)}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    subprocess.run(["zip", "-q", "-r", "out.zip", "dir"], cwd=tmp_path, check=True)
    seen = opened((tmp_path / "out.zip").read_bytes())
    assert seen.contents() == files and not seen.problems
