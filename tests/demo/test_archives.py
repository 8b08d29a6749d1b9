"""The containers and papers of the demonstration, held against other readers and against our own."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pypdf import PdfReader

from amparo.demo import archives, documents
from amparo.errors import ReadFailed
from amparo.evidence import inside
from tests.demo.tools import ask

DAY = datetime(2026, 5, 4, 10, 5, 8, tzinfo=UTC)


def _members(content: bytes, path: str) -> tuple[dict[str, bytes], list[str]]:
    found: dict[str, bytes] = {}
    problems: list[str] = []

    def consume(trail: tuple[int, ...], member: inside.Member, pieces: Iterator[bytes]) -> None:
        with suppress(ReadFailed):  # what cannot be read is told as a problem, too
            found[member.path] = b"".join(pieces)

    inside.expand(io.BytesIO(content), None, path, inside.Limits(), consume, problems.append)
    return found, problems


def test_a_zip_with_a_password_opens_with_it_and_not_without() -> None:
    content = archives.zipped_with_password("formas/cão.jpg", b"content " * 99, b"segredo", DAY, 1)
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.read("formas/cão.jpg", b"segredo") == b"content " * 99
    with pytest.raises(RuntimeError, match="password"):
        archive.read("formas/cão.jpg")
    _, [problem] = _members(content, "x.zip")
    assert "encrypted" in problem


def test_archives_keep_their_members_and_times() -> None:
    members = {"leia.txt": b"text " * 50, "formas/ção.jpg": b"\xff\xd8" + bytes(99)}
    archive = zipfile.ZipFile(io.BytesIO(archives.zipped(members, DAY)))
    assert {name: archive.read(name) for name in archive.namelist()} == members
    assert archive.infolist()[0].date_time == (2026, 5, 4, 10, 5, 8)
    with tarfile.open(fileobj=io.BytesIO(archives.tar_gz(members, DAY))) as tar:
        assert [(entry.name, entry.mtime) for entry in tar] == [(name, DAY.timestamp()) for name in members]


def test_a_thumbnail_cache_gives_its_pictures() -> None:
    pictures = {"1f2e3d4c5b6a7988": b"\xff\xd8\xff first", "00a1b2c3d4e5f607": b"\x89PNG\r\n\x1a\n second!"}
    found, problems = _members(archives.thumbnails(pictures), "thumbcache_256.db")
    assert sorted(found.values()) == sorted(pictures.values())
    assert problems == []


def test_a_pdf_says_its_line(tmp_path: Path) -> None:
    content = documents.pdf("Olá (isto) é um \\ teste")
    assert PdfReader(io.BytesIO(content), strict=True).pages[0].extract_text() == "Olá (isto) é um \\ teste"
    (tmp_path / "a.pdf").write_bytes(content)
    assert ask("pdftotext", tmp_path / "a.pdf", "-").decode().strip() == "Olá (isto) é um \\ teste"


def test_a_document_keeps_its_pictures_beside_it() -> None:
    found, problems = _members(documents.docx(["Olá."], DAY, {"image1.png": b"\x89PNG"}), "a.docx")
    assert found["word/media/image1.png"] == b"\x89PNG"
    assert b"<w:t>Ol\xc3\xa1.</w:t>" in found["word/document.xml"]
    assert problems == []
