"""The tables of law as files: every row says where it comes from, and rows fit together."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from amparo.errors import UsedWrongly
from amparo.law import tables
from amparo.law.bodies import authority, bodies, services
from amparo.law.counting import counting
from amparo.law.deadlines import deadlines
from amparo.law.duties import duties
from amparo.law.instruments import instrument, instruments, instruments_on
from amparo.law.measures import ACTS, measures
from amparo.law.offences import offences
from amparo.law.tables import Row

DATA = Path(str(files("amparo.law").joinpath("data")))
TABLES = {
    "bodies": bodies,
    "counting": lambda: (counting(),),
    "deadlines": deadlines,
    "duties": duties,
    "instruments": instruments,
    "measures": measures,
    "offences": offences,
}
COLUMNS = ("name_pt", "name_en", "article", "source", "basis", "in_force_from", "dates_basis", "checked")
ROWS = [row for read in TABLES.values() for row in read()]
MARKS = {"V", "S", "M"}


def raw_rows() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(DATA.glob("*/*.toml")):
        for key, value in tomllib.loads(path.read_text("utf-8")).items():
            for number, row in enumerate(value if isinstance(value, list) else [value]):
                yield f"{path.parent.name}/{path.stem}/{key}/{number}", row


RAW = dict(raw_rows())


def test_every_file_of_law_is_read_by_a_module():
    assert {path.stem for path in DATA.glob("*/*.toml")} == set(TABLES)
    assert {path.parent.name for path in DATA.glob("*/*")} == set(tables.JURISDICTIONS)
    terms = sum(row.valid_for is not None for row in measures())
    assert len(RAW) == len(ROWS) - terms, "a row of a file was not read"


@pytest.mark.parametrize("where", RAW)
def test_a_row_states_its_article_its_source_how_it_is_known_and_since_when_it_is_law(where: str):
    row = RAW[where]
    for column in COLUMNS:
        assert column in row, f"{where} has no {column}"
        assert row[column] != "" and not (isinstance(row[column], str) and row[column] != row[column].strip())
    assert row["basis"] in MARKS and row["dates_basis"] in MARKS
    assert type(row["in_force_from"]) is date


@pytest.mark.parametrize("where", RAW)
def test_no_row_claims_that_a_jurist_confirmed_it(where: str):
    assert RAW[where]["checked"] is False


@pytest.mark.parametrize("where", RAW)
def test_a_row_from_memory_names_no_address_that_was_never_opened(where: str):
    row = RAW[where]
    if row["basis"] == "M":
        assert row["source"].startswith(("from memory", "OJ L")) or row.get("question"), where
    if row["basis"] == "V":
        assert not row["source"].startswith("from memory"), where


def test_versions_of_a_row_follow_one_another_without_gap_or_overlap():
    versions: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in ROWS:
        versions[type(row).__name__, row.key].append(row)
    for (table, key), rows in versions.items():
        rows.sort(key=lambda row: row.in_force_from)
        for row in rows:
            assert row.in_force_until is None or row.in_force_from <= row.in_force_until, key
        for earlier, later in pairwise(rows):
            assert earlier.in_force_until is not None, f"{table} {key}: the earlier version never ends"
            assert later.in_force_from == earlier.in_force_until + timedelta(days=1), f"{table} {key}"


def test_a_key_means_one_thing_in_all_jurisdictions():
    for name, read in TABLES.items():
        places: dict[str, set[str]] = defaultdict(set)
        for row in read():
            places[row.key].add(row.jurisdiction)
            assert re.fullmatch(r"[a-z][a-z0-9_]*", row.key), f"{name}: {row.key}"
        assert all(len(where) == 1 for where in places.values()), name


def test_a_measure_is_ordered_requested_and_validated_by_authorities_of_the_tables():
    known = {body.key for body in bodies() if body.kind == "authority"}
    for row in measures():
        named = {*row.ordered_by, *row.urgent_by, row.requested_by, row.validated_by} - {""}
        assert named <= known, row.key
        assert set(row.authorises) <= set(ACTS), row.key
        assert row.ordered_by or row.through, f"{row.key}: nobody orders it and nothing carries it"


def test_rows_that_name_a_measure_name_one_that_exists():
    known = {row.key for row in measures()}
    for measure in measures():
        assert {*measure.through, measure.follows} - {""} <= known, measure.key
    for deadline in deadlines():
        assert deadline.measure in known | {""}, deadline.key


def test_what_the_words_call_a_deadline_or_a_duty_exists():
    known = {row.key for row in deadlines()} | {row.key for row in duties()}
    for where, row in RAW.items():
        words = " ".join([*row.get("limits", ()), row.get("must", ""), *row.get("particulars", ())])
        named_here = re.findall(r"\b(?:deadlines?|duty) ([a-z_0-9*]+)", words) + re.findall(
            r"\b[a-z]+_[a-z0-9_*]+", words
        )
        for named in named_here:
            assert any(re.fullmatch(named.replace("*", ".*"), key) for key in known), f"{where}: {named}"


def test_bodies_stand_for_wider_authorities_that_exist():
    known = {body.key for body in bodies() if body.kind == "authority"}
    for body in bodies():
        assert body.kind in {"authority", "service"}
        assert set(body.counts_as) <= known and body.key not in body.counts_as
        assert body.ask_en


def test_duties_bind_somebody_and_fines_rise():
    known = {body.key for body in bodies()} | {"provider", "controller", "registry", "everyone"}
    for duty in duties():
        assert duty.bound in known, duty.key
        for fine in duty.fines:
            assert fine.fault in {"intent", "negligence"} and 0 < fine.from_eur < fine.up_to_eur


@pytest.mark.parametrize("row", [row for row in ROWS if row.article != "practice; no article"], ids=lambda row: row.key)
def test_every_article_belongs_to_an_instrument_of_the_tables_that_was_in_force(row: Row):
    for citation in row.article.split("; "):
        cited = [text for text in instruments() if citation.startswith(text.short)]
        assert cited, f"{row.key}: no instrument is called as {citation!r} begins"
        assert any(text.in_force_from <= row.in_force_from for text in cited), (
            f"{row.key}: {citation} is younger than the row"
        )


def test_instruments_are_found_by_key_and_by_date():
    assert instrument("lei_109_2009").short == "Lei 109/2009"
    assert "lei_15_2024" not in {text.key for text in instruments_on(date(2024, 2, 29))}
    assert "lei_15_2024" in {text.key for text in instruments_on(date(2024, 3, 1))}


def test_an_unknown_key_is_answered_with_the_known_ones():
    with pytest.raises(UsedWrongly, match='"mayor" is not an authority that'):
        authority("mayor")
    with pytest.raises(UsedWrongly, match="judge, judicial_authority"):
        authority("mayor")


def test_a_service_is_no_authority_and_an_authority_no_service():
    with pytest.raises(UsedWrongly):
        authority("apav")
    names = {body.key for body in services()}
    assert {"apav", "cpcj", "court", "health", "school_psychologist", "linha_internet_segura", "inhope"} <= names
    assert "judge" not in names


def test_a_judge_and_a_prosecutor_are_judicial_authorities_and_the_police_are_not():
    for key in ("judge", "public_prosecution", "dciap", "judicial_authority"):
        assert authority(key).is_one_of(("judicial_authority",)), key
    assert not authority("police").is_one_of(("judicial_authority",))
    assert not authority("judicial_authority").is_one_of(("judge",)), "a prosecutor's order is not a judge's"


def test_a_column_that_nothing_reads_is_an_error():
    with pytest.raises(TypeError):
        tables.read("bodies", lambda columns: Row(**{**columns, "valid_dayz": 30}))


def test_days_are_written_the_same_on_every_machine():
    assert tables.spoken(date(2026, 11, 3)) == "3 Nov 2026"
