"""The content decides what a file is; its name only refines."""

from __future__ import annotations

import io
import random
import struct
import timeit
import tomllib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence import content_type
from amparo.evidence.content_type import HEAD, mime_of
from tests.evidence.inside.specimens import a_7z, a_rar4, a_rar5, a_tar, a_thumbcache, a_zip, an_ole

TABLE = tomllib.loads(Path(content_type.__file__).with_suffix(".toml").read_text("utf-8"))["type"]
OFFICE = "application/vnd.openxmlformats-officedocument."


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['mime']}-{row['marks'][0][1][:8]}")
def test_every_row_of_the_table_is_told_by_its_marks(row: dict[str, list[tuple[int, str]]]) -> None:
    end = max(at + len(mark) // 2 for at, mark in row["marks"])
    if end > HEAD:
        pytest.skip("told only where more than the head is given")
    content = bytearray(b"\x01" * (end + 64))
    for at, mark in row["marks"]:
        content[at : at + len(mark) // 2] = bytes.fromhex(mark)
    assert mime_of(bytes(content), "x") == row["mime"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["mime"])
def test_every_row_of_the_table_has_a_source(row: dict[str, str]) -> None:
    assert row["source"] and "/" in row["mime"]


def ftyp(brand: bytes, *others: bytes) -> bytes:
    body = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(64)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (ftyp(b"isom", b"mp42"), "video/mp4"),
        (ftyp(b"mp42"), "video/mp4"),
        (ftyp(b"qt  "), "video/quicktime"),
        (ftyp(b"M4V "), "video/x-m4v"),
        (ftyp(b"M4A "), "audio/mp4"),
        (ftyp(b"3gp5"), "video/3gpp"),
        (ftyp(b"3g2a"), "video/3gpp2"),
        (ftyp(b"heic", b"mif1"), "image/heic"),
        (ftyp(b"mif1", b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1", b"mif1", b"avif"), "image/avif"),
        (ftyp(b"mif1", b"mif1"), "image/heif"),
        (ftyp(b"avif"), "image/avif"),
        (ftyp(b"crx "), "image/x-canon-cr3"),
        (struct.pack(">I", 500) + b"moov" + bytes(60), "video/quicktime"),
        (struct.pack(">I", 8) + b"wide" + struct.pack(">I", 500) + b"mdat", "video/quicktime"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0AVI LIST", "video/x-msvideo"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"OggS\0\x02" + bytes(20) + b"\x01\x1e\x01vorbis", "audio/ogg"),
        (b"OggS\0\x02" + bytes(20) + b"\x01\x2a\x80theora", "video/ogg"),
        (b"FORM\0\0\0\x10AIFFCOMM", "audio/aiff"),
        (b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0" + bytes(20), "image/vnd.microsoft.icon"),
        (b"P6\n# made here\n640 480\n255\n" + bytes(9), "image/x-portable-pixmap"),
        (b"P4 8 8 \0\0", "image/x-portable-bitmap"),
        (b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0", "application/vnd.microsoft.portable-executable"),
        (b"\0\0\0\x01\x67\x42\0\x1e" + bytes(9), "video/h264"),
        ((b"G" + b"\x40" * 187) * 4, "video/mp2t"),
        ((bytes(4) + b"G" + b"\x40" * 187) * 4, "video/mp2t"),
        (b"\xff\xd8\xff\xe1\0\x10Exif", "image/jpeg"),
    ],
)  # fmt: skip
def test_pictures_films_and_programs_show_themselves(head: bytes, mime: str) -> None:
    assert mime_of(head, "folder.d/name") == mime
    assert mime_of(head, "hidden.dll") == mime


def tiff(order: str, tags: list[int], rest: bytes = b"") -> bytes:
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8) + struct.pack(order + "H", len(tags))
    return head + b"".join(struct.pack(order + "HHII", tag, 1, 4, 0) for tag in tags) + bytes(4) + rest


def test_a_tiff_is_told_from_what_cameras_keep_in_one() -> None:
    for order in "<>":
        assert mime_of(tiff(order, [256, 271]), "scan.tif") == "image/tiff"
        assert mime_of(tiff(order, [256, 50706]), "scan.tif") == "image/x-adobe-dng"
        assert mime_of(tiff(order, [256], b"NIKON CORPORATION\0"), "DSC_1.NEF") == "image/x-nikon-nef"
        assert mime_of(tiff(order, [256], b"NIKON CORPORATION\0"), "renamed.tif") == "image/tiff"
        assert mime_of(tiff(order, [256]), "not-a-camera.nef") == "image/tiff"
    assert mime_of(b"II*\0\x10\0\0\0CR\x02\0" + bytes(90), "x") == "image/x-canon-cr2"


def test_a_zip_is_told_by_what_it_holds_and_then_by_its_ending() -> None:
    word = a_zip({"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"", "word/document.xml": b"x"})
    assert mime_of(word[:HEAD], "renamed.jpg") == OFFICE + "wordprocessingml.document"
    sheet = a_zip({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"x"})
    assert mime_of(sheet[:HEAD], "macro.xlsm") == "application/vnd.ms-excel.sheet.macroEnabled.12"
    assert mime_of(a_zip({"AndroidManifest.xml": b"x"})[:HEAD], "x") == "application/vnd.android.package-archive"
    assert mime_of(a_zip({"META-INF/MANIFEST.MF": b"x"})[:HEAD], "x") == "application/java-archive"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", "<x/>")
    assert mime_of(out.getvalue()[:HEAD], "x") == "application/vnd.oasis.opendocument.text"
    assert mime_of(a_zip({"a.txt": b"x"})[:HEAD], "x.jpg") == "application/zip"
    assert mime_of(a_zip({})[:HEAD], "x") == "application/zip"


def test_containers_made_here_are_known() -> None:
    assert mime_of(a_tar({"a": b"1"})[:HEAD], "x") == "application/x-tar"
    assert mime_of(a_7z({"a": b"1"})[:HEAD], "x") == "application/x-7z-compressed"
    assert mime_of(a_rar4({"a": b"1"})[:HEAD], "x") == mime_of(a_rar5({"a": b"1"})[:HEAD], "x") == "application/vnd.rar"
    assert mime_of(a_thumbcache(32, {"a": b"1"})[:HEAD], "x") == "application/x-thumbcache"


def test_an_ole_file_is_told_by_its_streams_where_they_are_seen() -> None:
    for stream, mime in (
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
        ("Catalog", "application/x-thumbs-db"),
        ("256_1122334455667788", "application/x-thumbs-db"),
    ):
        assert mime_of(an_ole({stream: b"x" * 90})[:HEAD], "x") == mime
    hidden = an_ole({"first": bytes(9_000), "x": b""})[:HEAD]
    assert mime_of(hidden, "old.doc") == "application/msword"
    assert mime_of(hidden, "folder/Thumbs.db") == "application/x-thumbs-db"
    assert mime_of(hidden, "x") == "application/x-ole-storage"


@pytest.mark.parametrize(
    ("text", "path", "mime"),
    [
        ("Olá, mundo\n", "x", "text/plain"),
        ("a;b;c\n1;2;3\n", "x.csv", "text/csv"),
        ("a;b;c\n1;2;3\n", "x.jpg", "text/plain"),
        ('<?xml version="1.0"?>\n<!-- c --><svg xmlns="x">', "x", "image/svg+xml"),
        ('<?xml version="1.0"?>\n<!DOCTYPE plist PUBLIC "x">', "x", "application/x-plist"),
        ('<?xml version="1.0"?><gpx>', "x.txt", "application/xml"),
        ("<!DOCTYPE html>\n<html>", "x.jpg", "text/html"),
        ("  <HTML><body>", "x", "text/html"),
        ('{"a": [1, 2]}', "x", "application/json"),
        ('[\n {"a": 1}]', "x", "application/json"),
        ("{ not json", "x", "text/plain"),
        ("From ana@example.org Sat Jan  3 01:05:34 1996\n", "x", "application/mbox"),
        ("Received: from a by b\nFrom: c@example.org\n\nbody", "x", "message/rfc822"),
        ("BEGIN:VCARD\nVERSION:3.0\n", "x", "text/vcard"),
        ("#!/bin/sh\necho", "x", "text/x-shellscript"),
    ],
)  # fmt: skip
def test_texts_show_their_kind_in_every_encoding(text: str, path: str, mime: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        assert mime_of(text.encode(encoding), path) == mime, encoding
    for encoding in ("utf-16-le", "utf-16-be"):
        assert mime_of((text * 3).encode(encoding), path) == mime, encoding


def test_a_text_cut_in_the_middle_of_a_letter_is_still_text() -> None:
    assert mime_of(("é" * HEAD).encode()[: HEAD - 1] + b"\xc3", "x") == "text/plain"
    assert mime_of(("x" + "é" * HEAD).encode()[:HEAD], "x") == "text/plain"


def test_noise_zeros_and_nothing_are_of_no_kind() -> None:
    rng = random.Random(1)
    known = sum(mime_of(b"\x99" + rng.randbytes(HEAD - 1), "x.jpg") is not None for _ in range(500))
    assert known == 0
    assert mime_of(bytes(HEAD), "x.jpg") is None
    assert mime_of(b"", "x.jpg") is None


@given(st.binary(max_size=600), st.text(max_size=20))
def test_no_bytes_and_no_name_break_it(head: bytes, path: str) -> None:
    mime = mime_of(head, path)
    assert mime is None or "/" in mime


def test_a_cut_head_of_every_kind_breaks_nothing() -> None:
    for whole in (
        a_zip({"a": b"1"}),
        tiff("<", [1, 2]),
        ftyp(b"mif1", b"heic"),
        an_ole({"a": b"1"}),
        a_tar({"a": b""}),
    ):
        for end in range(min(len(whole), 700)):
            mime_of(whole[:end], "x")


def test_it_keeps_up_with_thirty_thousand_files_a_second() -> None:
    picture = b"\xff\xd8\xff\xe0" + random.Random(2).randbytes(HEAD - 4)
    assert min(timeit.repeat(lambda: mime_of(picture, "Users/a/b.jpg"), number=2_000, repeat=5)) / 2_000 < 30e-6
