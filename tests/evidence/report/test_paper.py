"""The PDF: what can be read in it, what it refuses, and that paper stays of a length that people print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pypdf
import pytest
from weasyprint.urls import FatalURLFetchingError

from amparo.evidence import report
from amparo.evidence.report import paper
from tests.evidence.report.reading import bare
from tests.evidence.report.specimen import digests, everyday


def pdf_of(database: Path, language: str = "en") -> pypdf.PdfReader:
    html, pdf = report.write_report(database, database.parent, language)
    assert (html.name, pdf.name) == ("report.html", "report.pdf")
    return pypdf.PdfReader(pdf)


def text_of(pdf: pypdf.PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> pypdf.PdfReader:
    database = everyday(tmp_path_factory.mktemp("package") / "evidence.sqlite", order={"training": True})
    return pdf_of(database, "pt")


def test_the_text_is_there(training: pypdf.PdfReader) -> None:
    text = text_of(training)
    assert "Relatório de pesquisa de dados informáticos" in text
    assert "14 ficheiros correspondem a material conhecido" in text
    assert digests("Users/Ana/Pictures/Férias 0/IMG_00000.jpg")[2] in text


def test_every_page_of_a_training_report_says_so(training: pypdf.PdfReader) -> None:
    for page in training.pages:
        text = page.extract_text()
        assert "FORMAÇÃO (TRAINING): não vale como prova" in text
        assert text.count("FORMAÇÃO") == 2  # and once across the page


def test_every_page_after_the_first_names_the_case_and_its_number(training: pypdf.PdfReader) -> None:
    for number, page in enumerate(training.pages, 1):
        text = page.extract_text()
        assert f"Página {number} de {len(training.pages)}" in text
        assert number == 1 or "Processo 123/26.0JAEXP · Objeto AP-7" in text


def test_the_summary_is_on_the_first_page_and_the_order_begins_the_second(training: pypdf.PdfReader) -> None:
    assert "A fonte tem o mesmo SHA-256" in training.pages[0].extract_text()
    assert "Despacho e processo" in training.pages[1].extract_text()


@pytest.mark.parametrize("language", ["pt", "en"])
def test_the_longest_summary_still_fits_the_first_page(language: str, tmp_path: Path) -> None:
    fields = ("reference", "issued_by", "exhibit_description", "examiner_name", "examiner_agency")
    run = {
        "interrupted": '["2026-06-30T23:10:00Z"]',
        "triage": "1",
        "source_sha256_after": "00" * 32,
        "source": "portátil " * 12,
    }
    made = bare(
        tmp_path,
        order={**dict.fromkeys(fields, "palavras e mais " * 120), "training": True, "lapses_on": "2026-06-24"},
        run=run,
    )
    for number in range(48):
        file = made.file(f"{number}.jpg", ("live", "deleted", "carved", "orphan", "inside")[number % 5])
        made.match(
            file, f"lista da entidade parceira n.º {number % 8} de novembro de 2026.json", category=str(number // 8 % 3),
            method=("md5", "pdq")[number % 2], contradicted=number % 2 ^ 1,
        )  # fmt: skip
        made.problem("read", f"{number}.jpg", "It was not read.")
    made.gather(1)
    pages = [page.extract_text() for page in pdf_of(made.finish(), language).pages]
    assert ("secção 8)." if language == "pt" else "section 8).") in pages[0]
    assert ("Índice" if language == "pt" else "Contents") in pages[1]
    assert ("Despacho e processo" if language == "pt" else "Order and case") in pages[1]


def test_it_is_tagged_titled_and_of_one_language(training: pypdf.PdfReader) -> None:
    root: Any = training.trailer["/Root"]
    assert root["/Lang"] == "pt-PT"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert b'pdfuaid:part="1"' in root["/Metadata"].get_object().get_data()
    assert training.metadata is not None and training.metadata.title == "Relatório de pesquisa de dados informáticos"
    kinds = _kinds(root["/StructTreeRoot"]["/K"][0].get_object(), {})
    assert kinds["/H1"] == 1 and kinds["/H2"] >= 14 and kinds["/TH"] > 10 and kinds["/LI"] > 20
    assert kinds["/Figure"] == kinds["with Alt"]


def _kinds(element: Any, counted: dict[str, int]) -> dict[str, int]:
    element = element.get_object()
    if isinstance(element, pypdf.generic.DictionaryObject):
        kind = str(element.get("/S", ""))
        counted[kind] = counted.get(kind, 0) + 1
        if "/Alt" in element:
            counted["with Alt"] = counted.get("with Alt", 0) + 1
        children = element.get("/K", [])
        for child in children if isinstance(children, list) else [children]:
            _kinds(child, counted)
    return counted


def test_it_holds_no_time_of_writing_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"))
    database = made.finish()
    pdf = pdf_of(database)
    assert pdf.metadata is not None and "/CreationDate" not in pdf.metadata and "/ModDate" not in pdf.metadata
    first = (tmp_path / "report.pdf").read_bytes()
    pdf_of(database)
    assert (tmp_path / "report.pdf").read_bytes() == first


def test_it_needs_no_other_fonts_than_the_six_of_dejavu_core(training: pypdf.PdfReader) -> None:
    fonts = {
        str(font.get_object()["/BaseFont"]).partition("+")[2]
        for page in training.pages
        for font in page["/Resources"]["/Font"].get_object().values()  # type: ignore[index]
    }
    core = {f"DejaVu-{face}{weight}" for face in ("Sans", "Sans-Mono", "Serif") for weight in ("", "-Bold")}
    assert fonts <= core


def test_thousands_of_matches_are_cut_on_paper_and_every_list_keeps_its_share(tmp_path: Path) -> None:
    made = bare(tmp_path)
    for number in range(3000):
        made.match(made.file(f"IMG_{number:04}.jpg"))
    for number in range(5):
        made.match(number + 1, "parceiro.csv", entry=f"P-{number}")
    pdf = pdf_of(made.finish())
    text = text_of(pdf)
    assert "shows the first 195 matches of this list and leaves out 2,805" in text
    assert "data/report.html" in text.replace(" ", "")
    assert "P-4" in text
    assert len(pdf.pages) < 45


def test_a_name_of_thousands_of_characters_does_not_fill_the_paper(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("d/" * 8000 + "a.jpg"))
    pdf = pdf_of(made.finish())
    assert "… (15,405 more characters, in the HTML)" in text_of(pdf)
    assert len(pdf.pages) < 9


def test_a_page_that_asks_for_something_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    for address in ("http://127.0.0.1:9/a.png", (tmp_path / "secret.svg").as_uri(), "data:image/png;base64,AAAA"):
        with pytest.raises(FatalURLFetchingError, match="asks for nothing outside itself"):
            paper.write_pdf(f'<html lang="en"><title>t</title><img alt="" src="{address}">', tmp_path / "a.pdf", "ab")


def test_without_pdf_only_the_page_is_written(tmp_path: Path) -> None:
    report.write_report(everyday(tmp_path / "evidence.sqlite"), tmp_path, "en", pdf=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence.sqlite", "report.html"]
