"""How these tests read a report: as text, and as the elements it is made of."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from amparo.evidence import report
from tests.evidence.report.specimen import Specimen


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._said: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        self._apart(tag)

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self._said.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        self._apart(tag)

    def _apart(self, tag: str) -> None:
        if tag not in ("a", "b", "bdi", "code"):
            self._said.append(" ")

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self._said).replace("\u00a0", " "))


def html_of(database: Path, language: str = "pt") -> str:
    """The page as it is written."""
    (written,) = report.write_report(database, database.parent, language, pdf=False)
    return written.read_text("utf-8")


def text_of(database: Path, language: str = "en") -> str:
    """What a reader reads on the page."""
    return Elements(html_of(database, language)).text


def bare(folder: Path, **more: Any) -> Specimen:
    """A specimen with one volume and no file yet."""
    made = Specimen(folder / "evidence.sqlite", **more)
    made.volume(1)
    return made
