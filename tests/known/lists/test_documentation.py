"""The page on lists names every format that is written and every common category, and says of it what the tables say."""

from __future__ import annotations

from pathlib import Path

from amparo.known.lists import FORMATS, categories

PAGE = (Path(__file__).parents[3] / "docs" / "known-lists.md").read_text("utf-8")


def test_every_format_that_is_written_is_on_the_page():
    assert not [form for form in FORMATS if f"`{form}`" not in PAGE]


def test_every_common_category_is_on_the_page_with_its_meaning():
    for name, said in categories.names().items():
        assert f"| `{name}` | {said['en']} |" in PAGE


def test_every_scheme_is_on_the_page():
    assert not [scheme for scheme in categories.schemes() if f"`{scheme}`" not in PAGE]
