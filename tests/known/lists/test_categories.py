"""Categories come down to a small common scheme by tables, and are never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from amparo.known.lists import categories, read_list
from tests.known import specimens


@pytest.mark.parametrize(
    ("scheme", "category", "common"),
    [
        ("VICS US", "1", "csam"), ("vics us", " 3 ", "not_photographic"), ("VICS US", "0", "not_pertinent"), ("VICS", "2", "by_country"),
        ("NCMEC", "a1", "csam"), ("NCMEC", "B2", "csam"), ("ICSE", "baseline", "csam"), ("ICSE", "not baseline", "by_country"),
        ("IWF", "C", "csam"), ("StopNCII", None, "intimate"), ("ThreatExchange", "NEGATIVE_CLASS", "not_pertinent"),
    ],
)  # fmt: skip
def test_a_category_with_a_row_has_its_common_one(scheme: str, category: str | None, common: str):
    assert categories.common(scheme, category) == common


@pytest.mark.parametrize(
    ("scheme", "category"),
    [("VICS US", "9"), ("VICS UK", "1"), ("VICS", None), ("NCMEC", "1"), ("nobody's", "1"), (None, "1"), ("ThreatExchange", "csam")],
)  # fmt: skip
def test_nothing_is_guessed_of_a_category_without_a_row(scheme: str | None, category: str | None):
    assert categories.common(scheme, category) is None


def test_every_row_has_a_source_a_short_label_and_a_common_category_that_exists():
    assert len(categories.categories()) >= 18
    for row in categories.categories():
        assert row.source and 0 < len(row.label) <= 60 and row.common in categories.names()
        assert row.checked is False, "a row that a jurist has checked says who did"
    assert all(set(names) == {"en", "pt"} for names in categories.names().values())


def test_the_scheme_of_a_list_is_known_by_its_format_and_its_category_kept_beside(tmp_path: Path):
    known = read_list(specimens.write_ncmec(tmp_path / "a", 2))
    assert {(e.category, categories.common(known.scheme, e.category)) for e in known} == {
        ("A1", "csam"),
        ("A2", "csam"),
    }
    plain = read_list(specimens.write_lines(tmp_path / "b", "csv", 3))
    assert plain.scheme is None and {e.category for e in plain} == {"0", "1", "2"}
