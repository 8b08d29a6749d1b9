"""A person who reads Portuguese reads it everywhere: the command line, the report, the demonstration's checks; data stay English."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.evidence.report.reading import bare, text_of
from tests.evidence.sealed import sealed
from tests.test_cli import Run, _own_place, order_of, run  # noqa: F401 - fixtures

NESTED = "Fotos/a.zip: b.jpg: It is encrypted, so its content was not read. (3 more members were not read either.)"


@pytest.fixture(autouse=True)
def _portuguese(_own_place: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("AMPARO_LANGUAGE", "pt")


def test_a_check_is_told_in_portuguese_and_written_for_programs_in_english(run: Run, tmp_path: Path):  # noqa: F811
    package = sealed(tmp_path / "pacote")
    code, said, _ = run("verify", package)
    assert (
        code == 0 and "certo   O selo corresponde a tagmanifest-sha256.txt; foi feito em 24 de novembro de 2026" in said
    )
    assert "The " not in said and " was " not in said
    (package / "data" / "new").write_text("x", "utf-8")
    code, said, _ = run("verify", package)
    assert code == 1 and "ERRADO  data/new foi acrescentado: é um ficheiro, e o manifesto não o indica." in said
    code, said, _ = run("verify", package, "--json")
    assert (
        json.loads(said)["findings"][-1]["what"] == "data/new is a file that was added: the manifest does not name it."
    )


def test_a_refusal_is_told_in_portuguese(run: Run, tmp_path: Path):  # noqa: F811
    late = order_of(tmp_path, days_ago=60)
    code, said, told = run("search", tmp_path, "--order", late, "--out", tmp_path / "p")
    assert code == 3 and said == "" and "O despacho de pesquisa (Despacho 14/2026) caducou em " in told
    assert told.rstrip().endswith("; peça ao Ministério Público um novo.")


def test_help_is_in_portuguese(run: Run, capsys: pytest.CaptureFixture[str]):  # noqa: F811
    for command in ("", "search", "verify", "report", "export", "seal", "order", "demo"):
        with pytest.raises(SystemExit):
            run(*command.split(), "--help")
        told = capsys.readouterr().out
        assert told.startswith("utilização: amparo") and "mostra esta ajuda e termina" in told
        assert "usage" not in told and "PACKAGE" not in told and "options:" not in told


def test_what_is_lacking_is_named_as_the_help_names_it_and_what_was_typed_as_it_was(run: Run):  # noqa: F811
    assert run("verify")[2].startswith("amparo: Falta indicar: PACOTE. Escreva “amparo verify --help”")
    assert "Isto não se entende: file." in run("verify", "a", "file")[2]


def test_a_run_tells_what_it_could_not_read_and_keeps_it_in_english(run: Run, tmp_path: Path):  # noqa: F811
    source = tmp_path / "fonte"
    source.mkdir()
    (source / "mau.zip").write_bytes(b"PK\x03\x04 and nothing that follows")
    package = tmp_path / "p"
    code, _, told = run(
        "search", source, "--order", order_of(tmp_path, number='"123-26"'), "--out", package, "--no-pdf"
    )
    assert code == 5 and "não lido: mau.zip: " in told and "o número do processo «123-26» não está escrito" in told
    with closing(sqlite3.connect(package / "data" / "evidence.sqlite")) as database:
        ((message,),) = database.execute("select message from problems").fetchall()
    assert message not in told and message.startswith("It")


def test_the_report_tells_why_in_the_language_it_is_written_in(tmp_path: Path):
    made = bare(tmp_path, order={"warnings": ['o.toml: nothing reads "cor" in [order]; check its spelling.']})
    made.match(made.file("a.jpg", problem="Only 5 of 70000 bytes could be read."))
    made.problem("inside", "x/y", NESTED)
    made.problem("list", "volume 1", "what no template made")
    database = made.finish()
    text = text_of(database, "pt")
    assert (
        "Fotos/a.zip: b.jpg: Está cifrado, pelo que o conteúdo não foi lido. (Também não foram lidos mais 3 membros.)"
        in text
    )
    assert "Leitura: Só puderam ser lidos 5 de 70 000 bytes." in text and "what no template made" in text
    assert 'o.toml: nada lê "cor" em [order]; confirme como está escrito.' in text
    assert NESTED in text_of(database, "en")


def test_a_name_that_poses_as_a_sentence_is_not_markup_in_the_report(tmp_path: Path):
    made = bare(tmp_path)
    made.problem("list", None, "The directory “<b>x</b>\u202e” cannot be read.")
    text = text_of(made.finish(), "pt")
    assert "O diretório «<b>x</b>\\u202e» não pode ser lido." in text
