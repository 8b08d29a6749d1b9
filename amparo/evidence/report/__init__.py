"""The report a magistrate reads: one HTML page with everything, and a PDF of it for paper.

Both are written from ``evidence.sqlite`` alone, and say nothing about the moment they are written: the same tables give
the same files, byte for byte. No picture of the evidence is shown, and nothing outside the page is ever asked for.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ctypes import CDLL
from pathlib import Path

from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence.report.facts import open_facts, read_facts
from amparo.evidence.report.page import pieces, template
from amparo.evidence.report.wording import LANGUAGES, Words

__all__ = ["LANGUAGES", "check_paper", "prepare", "write_report"]


def check_paper() -> None:
    """Raises UsedWrongly where what the PDF needs is not installed: better said before hours of work than after."""
    if sys.platform == "linux":
        for library in ("libpango-1.0.so.0", "libpangoft2-1.0.so.0"):
            try:
                CDLL(library)
            except OSError as error:
                raise _without_pango(error) from None


def _without_pango(error: OSError) -> UsedWrongly:
    # What is missing is a library of the system, which no Python requirement brings.
    return UsedWrongly(
        "The PDF needs Pango: install libpango-1.0-0, libpangoft2-1.0-0 and fonts-dejavu-core, or use --no-pdf, and run"
        f" the command again, with --resume for a search ({error})."
    )


def prepare() -> None:
    """Make the page ready to be filled: a tenth of a second that can be spent beside other work."""
    template()


def write_report(database: Path, folder: Path, language: str, pdf: bool = True) -> list[Path]:
    """Write ``report.html``, and ``report.pdf`` where ``pdf``, into ``folder``; gives their paths.

    ``language`` is one of :data:`LANGUAGES`. A file that is there already is replaced once the new one is whole, and
    nothing half-written stays behind. Raises PackageWrong where ``database`` does not hold the contract's tables,
    UsedWrongly for another language or where what the PDF needs is not installed.
    """
    words = Words(language)
    html, paper = folder / "report.html", folder / "report.pdf"
    try:
        with closing(open_facts(database)) as source:
            facts = read_facts(source, database)
            with _replacing(html) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(pieces(facts, source, words, paper=False))
            if not pdf:
                return [html]
            with _replacing(paper) as partial:
                _write_pdf("".join(pieces(facts, source, words, paper=True)), partial, facts.digest)
    except sqlite3.DatabaseError as error:
        raise PackageWrong(f"{database} is damaged ({error}): take the package from its duplicate.") from None
    return [html, paper]


def _write_pdf(page: str, path: Path, identifier: str) -> None:
    try:
        from amparo.evidence.report import paper
    except OSError as error:
        raise _without_pango(error) from None
    paper.write_pdf(page, path, identifier)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
