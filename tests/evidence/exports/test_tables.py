"""The timeline and the table for spreadsheets: complete, in order, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence.exports import export, tables_csv, timeline
from amparo.evidence.exports.cells import harmless, original
from tests.evidence.exports import specimen

Rows = list[dict[str, str]]
FORMULA = tuple("=+-@＝＋－＠\t\r\n")


def read(path: Path, delimiter: str) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text, delimiter=delimiter, strict=True))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return specimen.make(tmp_path_factory.mktemp("tables") / "package")


@pytest.fixture(scope="module")
def table(package: Path) -> Rows:
    export(package, "csv", package.parent / "out.csv")
    return read(package.parent / "out.csv", ";")


@pytest.fixture(scope="module")
def times(package: Path) -> Rows:
    export(package, "timeline", package.parent / "timeline.csv")
    return read(package.parent / "timeline.csv", ",")


def test_the_table_opens_in_excel_set_to_portuguese(package: Path, table: Rows):
    raw = (package.parent / "out.csv").read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"exhibit";"id";')
    assert table and tuple(table[0]) == tables_csv.COLUMNS


def test_every_file_has_a_row_and_a_file_that_two_lists_know_has_two(table: Rows):
    rows = specimen.files()
    assert [row["id"] for row in table] == sorted(
        [str(n) for n in range(1, len(rows) + 1)] + ["1"], key=lambda number: int(number)
    )
    assert [(row["list"], row["category"]) for row in table if row["id"] == "1"] == [
        ("national.json", "1"),
        ("partner.csv", "2"),
    ]


def test_names_come_back_exactly_and_none_is_a_formula(table: Rows):
    by_id = {row["id"]: row for row in table}
    for number, row in enumerate(specimen.files(), 1):
        assert original(by_id[str(number)]["path"]) == row["path"]
    assert not [cell for row in table for cell in row.values() if cell.startswith(FORMULA)]
    assert original(by_id["11"]["list"]) == "=list\"';.csv" and by_id["11"]["entry"] == "'=1+1"


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_no_formula_appears_where_a_program_cuts_at_another_separator(package: Path, table: Rows, delimiter: str):
    for line in (package.parent / "out.csv").read_text("utf-8-sig").replace('"', "\n").splitlines():
        for cell in line.split(delimiter):
            assert not cell.startswith(tuple("=+-@")), line


@given(st.text(st.sampled_from("='+-@,;\"\t\r\n a＝")))
def test_any_cell_is_harmless_and_read_back_as_it_was(text: str):
    cell = harmless(text)
    assert original(cell) == text
    assert not cell.startswith(tuple("=+-@＝"))
    for separator in ',;"\t\r\n':
        assert not any(part.startswith(tuple("=+-@＝")) for part in cell.split(separator))


def test_the_timeline_is_in_order_to_the_fraction_of_a_second(times: Rows):
    assert tuple(times[0]) == timeline.COLUMNS
    moments = [row["time"].rstrip("Z") for row in times]
    assert moments == sorted(moments) and all(row["time"].endswith("Z") for row in times)
    shown = [row["time"] for row in times]
    assert shown.index("2020-03-01T10:00:00Z") < shown.index("2020-03-01T10:00:00.250000Z")


def test_times_of_a_file_that_are_one_moment_share_a_row(times: Rows):
    own = [(row["time"], row["macb"]) for row in times if row["table"] == "files" and row["id"] == "1"]
    assert own == [
        ("2020-03-01T10:00:00Z", "..cb"),
        ("2020-03-01T10:00:00.500000Z", "m..."),
        ("2021-01-01T00:00:00Z", ".a.."),
    ]


def test_every_time_of_every_file_is_there_once(times: Rows):
    expected = {
        (str(number), letter)
        for number, row in enumerate(specimen.files(), 1)
        for letter, column in (("m", "modified"), ("a", "accessed"), ("c", "changed"), ("b", "created"))
        if row.get(column)
    }
    found = [(row["id"], letter) for row in times if row["table"] == "files" for letter in row["macb"] if letter != "."]
    assert sorted(found) == sorted(expected)


def test_accesses_stand_among_the_files_and_one_without_a_time_is_left_out(times: Rows):
    accesses = [row for row in times if row["table"] == "accesses"]
    assert [(row["kind"], row["subject"], row["state"]) for row in accesses] == [
        ("download", "x.zip", "recovered"),
        ("visit", "https://example.invalid/?q=1", "live"),
    ]
    assert accesses[1]["volume"] == "1" and original(accesses[1]["detail"]) == '{"title": "=1"}'
