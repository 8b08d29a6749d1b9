"""The page as a PDF: A4, tagged for screen readers (PDF/UA-1), the same bytes for the same page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher


class _Nothing(URLFetcher):  # type: ignore[misc]
    """Refuses every address: the page holds all that it needs."""

    def fetch(self, url: str, headers: Any = None) -> NoReturn:
        raise FatalURLFetchingError(f"The report asks for nothing outside itself, and {url!r} was asked for.")


def write_pdf(page: str, path: Path, identifier: str) -> Path:
    """Write the PDF of ``page``. ``identifier`` marks the document instead of the random one that PDF otherwise has."""
    document = HTML(string=page, url_fetcher=_Nothing())
    partial = path.with_name(path.name + ".part")
    document.write_pdf(
        partial, pdf_variant="pdf/ua-1", pdf_identifier=identifier.encode("ascii"), uncompressed_pdf=False
    )
    os.replace(partial, path)
    return path
