"""The report a magistrate reads: one HTML page with everything, and a PDF of it for paper.

Both are written from ``evidence.sqlite`` alone, and say nothing about the moment they are written: the same tables give
the same HTML, byte for byte. No picture of the evidence is shown, and nothing outside the page is ever asked for.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from amparo.evidence.report.facts import open_facts, read_facts
from amparo.evidence.report.page import pieces
from amparo.evidence.report.wording import LANGUAGES, Words

__all__ = ["LANGUAGES", "write_report"]


def write_report(database: Path, folder: Path, language: str, pdf: bool = True) -> list[Path]:
    """Write ``report.html``, and ``report.pdf`` where ``pdf``, into ``folder``; gives their paths.

    ``language`` is one of :data:`LANGUAGES`. A file that is there already is replaced once the new one is whole. Raises
    PackageWrong where ``database`` does not hold the contract's tables, UsedWrongly for another language.
    """
    words = Words(language)
    written = []
    with closing(open_facts(database)) as source:
        facts = read_facts(source, database)
        html = folder / "report.html"
        partial = html.with_name("report.html.part")
        with partial.open("w", encoding="utf-8", newline="\n", errors="backslashreplace") as stream:
            stream.writelines(pieces(facts, source, words, paper=False))
        os.replace(partial, html)
        written.append(html)
        if pdf:
            from amparo.evidence.report import paper

            text = "".join(pieces(facts, source, words, paper=True))
            written.append(paper.write_pdf(text, folder / "report.pdf", facts.digest))
    return written
