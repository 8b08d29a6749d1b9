"""Odd, old and damaged databases still give a report, and what they lack is said to be missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amparo.evidence.report.facts import family_of, open_facts, read_facts
from tests.evidence.report.reading import bare, html_of, text_of
from tests.evidence.report.specimen import everyday


@pytest.mark.parametrize("value", ["", "not json", "[" * 100_000, "null", "[1, [2], {}]", '{"a": ', "7", '"text"'])
def test_a_run_table_that_cannot_be_understood_leaves_gaps_not_errors(value: str, tmp_path: Path) -> None:
    keys = ("order", "options", "lists", "interrupted", "source_size", "started", "finished", "triage", "source_format")
    text = text_of(bare(tmp_path, run=dict.fromkeys(keys, value)).finish())
    assert "not recorded" in text


def test_an_empty_run_table_still_gives_a_report(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.run = {}
    text = text_of(made.finish())
    assert "The time of the search was not recorded." in text
    assert "The SHA-256 of the source was not taken." in text


@pytest.mark.parametrize("extents", ["", "[]", "x", "[[]]", '[["a", 1]]', "[1, 2]", "{}", "null"])
def test_a_place_that_cannot_be_understood_is_said_to_be_none(extents: str, tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg", extents=extents))
    assert "no place of its own in the source" in text_of(made.finish())


def test_files_that_hold_each_other_in_a_circle_are_not_followed_for_ever(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a", "inside", parent=2))
    made.file("b", "inside", parent=1)
    assert "inside another file" in text_of(made.finish())


def test_a_match_whose_file_is_gone_is_still_shown(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(99)
    assert "(file 99, which the table files does not have)" in text_of(made.finish())


def test_a_database_of_before_contradictions_and_gathering_is_read(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"))
    made.database.executescript(
        "drop table gathered; drop table accesses; alter table matches drop column contradicted"
    )
    text = text_of(made.finish())
    assert "1 file matches known material" in text
    assert "No content was gathered" in text


def test_registered_accesses_are_counted(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.database.execute("insert into accesses(kind) values ('visit')")
    assert "has 1 rows, in the table accesses" in text_of(made.finish())


def test_content_types_fall_into_families() -> None:
    assert family_of("image/heic", False) == "picture"
    assert family_of("application/vnd.openxmlformats-officedocument.wordprocessingml.document", False) == "document"
    assert family_of("application/x-windows-registry", False) == "system"
    assert family_of("application/x-bitlocker", False) == "encrypted"
    assert family_of("application/x-unheard-of", False) == "other"
    assert family_of(None, False) == "unread"
    assert family_of("image/png", True) == "empty"


def test_reading_the_facts_writes_nothing(tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite")
    before = database.read_bytes()
    database.chmod(0o400)
    html_of(database)
    assert database.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence.sqlite", "report.html"]


def test_thirty_thousand_files_and_a_hundred_matches_take_a_moment(tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite", files=30_000, matches=100)
    html_of(database)
    began = time.process_time()
    html_of(database)
    assert time.process_time() - began < 1.5
    connection = open_facts(database)
    assert read_facts(connection, database).files == 30_005
    connection.close()


def test_the_page_alone_loads_neither_the_pdf_engine_nor_a_socket(tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite")
    code = (
        "import sys; from pathlib import Path; from amparo.evidence import report;"
        f"report.write_report(Path({str(database)!r}), Path({str(tmp_path)!r}), 'pt', pdf=False);"
        "print([name for name in ('weasyprint', 'socket', 'django') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "[]"
