"""The page as a PDF: A4, tagged for screen readers as PDF/UA-1 asks, the same bytes for the same page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher


class Nothing(URLFetcher):  # type: ignore[misc]
    """Refuses every address: the page holds all that it needs."""

    def fetch(self, url: str, headers: Any = None) -> NoReturn:
        raise FatalURLFetchingError(f"The report asks for nothing outside itself, and {url!r} was asked for.")


def write_pdf(page: str, path: Path, identifier: str) -> None:
    """Write the PDF of ``page``. ``identifier`` (ASCII) marks the document, where PDF would otherwise have a random one."""
    HTML(string=page, url_fetcher=Nothing()).write_pdf(path, pdf_variant="pdf/ua-1", pdf_identifier=identifier.encode())
