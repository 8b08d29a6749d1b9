"""The page of the command says what the command does."""

from __future__ import annotations

import re
from pathlib import Path

from amparo.evidence.exports import FORMATS, timeline
from tests.evidence.exports import specimen

PAGE = (Path(__file__).parents[3] / "docs/commands/export.md").read_text("utf-8")


def test_every_format_and_version_has_its_place_on_the_page():
    for format, (_, versions) in FORMATS.items():
        assert f"\n## {format}: " in PAGE
        assert all(f"`{version}`" in PAGE for version in versions)


def test_the_columns_of_the_timeline_are_named():
    assert all(f"`{column}`" in PAGE for column in timeline.COLUMNS)


def test_the_way_back_from_a_cell_that_the_page_gives_works():
    from amparo.evidence.exports.cells import harmless

    code = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert code
    for name in specimen.NAMES:
        told: dict[str, object] = {"cell": harmless(name)}
        exec(code[1], told)
        assert told["exact"] == name
