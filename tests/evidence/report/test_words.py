"""The two languages say the same things, and numbers, days and lists read as each writes them."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.evidence.report.wording import LANGUAGES, Words, shown, texts

SOURCES = "".join(
    files("amparo.evidence.report").joinpath(name).read_text("utf-8")
    for name in ("report.html", "page.py", "statements.py", "wording.py")
)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_in_the_same_order() -> None:
    assert list(texts("pt")) == list(texts("en"))


@pytest.mark.parametrize("key", list(texts("pt")))
def test_both_languages_have_the_same_places(key: str) -> None:
    one, other = places(texts("pt")[key]), places(texts("en")[key])
    assert one == other or key.endswith(".one")  # a language may write 1 as a word, and leave out what only many need


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_with_forms_has_both(language: str) -> None:
    keys = texts(language)
    for key in keys:
        if key.endswith((".one", ".other")) and key != "kind.other":
            stem = key.rpartition(".")[0]
            assert f"{stem}.one" in keys and f"{stem}.other" in keys
            assert places(keys[f"{stem}.one"]) <= places(keys[f"{stem}.other"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_whole_and_its_markup_is_closed(language: str) -> None:
    for key, text in texts(language).items():
        assert text.strip() == text or key.startswith(("value.list", "number.")), key
        assert "  " not in text, key
        assert text.count("<") == len(re.findall(r"</?(?:b|code)>", text)), key
        assert text.count("<b>") == text.count("</b>") and text.count("<code>") == text.count("</code>"), key
        assert "&" not in text, key


def test_no_text_is_left_that_nothing_says() -> None:
    named = "state state_one state_means kind stage format layer volume_kind glossary figure limits verify source summary gathered"
    for key in texts("en"):
        stem = key.removesuffix(".one").removesuffix(".other")
        if stem.split(".")[0] not in named.split():  # these are said by a key that is put together
            assert any(
                f"{mark}{said}{mark}" in SOURCES for mark in "'\"" for said in (stem, f".{stem.rpartition('.')[2]}")
            ), key


def test_the_glossary_has_ten_terms() -> None:
    assert len(Words("pt").family("glossary.terms")) == 10


def test_numbers_sizes_days_and_lists_read_as_each_language_writes_them() -> None:
    pt, en = Words("pt"), Words("en")
    assert (pt.number(1234567), en.number(1234567)) == ("1\u00a0234\u00a0567", "1,234,567")
    assert (pt.size_exact(1536), en.size_exact(1536)) == (
        "1,5\u00a0KiB (1\u00a0536\u00a0bytes)",
        "1.5\u00a0KiB (1,536\u00a0bytes)",
    )
    assert pt.size_exact(1023) == "1\u00a0023\u00a0bytes"
    assert (pt.day(date(2026, 11, 3)), en.day(date(2026, 11, 3))) == ("3 de novembro de 2026", "3 November 2026")
    assert pt.listed([shown(word) for word in "abc"]) == "a, b e c"


def test_a_moment_is_told_in_winter_and_in_summer_time() -> None:
    en = Words("en")
    assert en.moment(datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)) == (
        "5 January 2026, 10:00:00 (Lisbon time, UTC+00:00); 2026-01-05 10:00:00 UTC"
    )
    # The clocks go back at 02:00: the same hour comes twice, and the offset tells which.
    assert "01:30:00 (Lisbon time, UTC+01:00)" in en.moment(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert "01:30:00 (Lisbon time, UTC+00:00)" in en.moment(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_a_text_holds_it_is_shown_on_one_line_without_markup(text: str) -> None:
    said = str(shown(text))
    assert said.isprintable()
    assert not set("<>\"'") & set(said.replace("<bdi>", "").replace("</bdi>", ""))
    assert str(Words("en")("matches.entry", entry=text)) == f"entry {said}"
